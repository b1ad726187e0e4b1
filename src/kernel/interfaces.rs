//! Names of network interfaces.
#![allow(unsafe_code)] // if_indextoname

use std::ffi::CStr;

/// The name of interface `index`, if there is one now.
#[must_use]
pub fn name(index: u32) -> Option<String> {
    let mut buffer = [0 as libc::c_char; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the IF_NAMESIZE bytes that if_indextoname may write, its NUL included.
    let found = unsafe { libc::if_indextoname(index, buffer.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: on success the buffer holds a NUL-terminated name.
    Some(unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_string_lossy().into_owned())
}

/// The names of all interfaces of this network namespace.
#[must_use]
pub fn all() -> Vec<String> {
    // SAFETY: if_nameindex takes nothing; its list is given back to if_freenameindex below.
    let list = unsafe { libc::if_nameindex() };
    let Some(first) = std::ptr::NonNull::new(list) else { return Vec::new() };
    let mut names = Vec::new();
    let mut at = first.as_ptr();
    // SAFETY: the list ends with an entry whose index is 0 and whose name is null; until then names end with NUL.
    unsafe {
        while (*at).if_index != 0 && !(*at).if_name.is_null() {
            names.push(CStr::from_ptr((*at).if_name).to_string_lossy().into_owned());
            at = at.add(1);
        }
        libc::if_freenameindex(first.as_ptr());
    }
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_known_and_nonsense_is_not() {
        assert_eq!(super::name(1).as_deref(), Some("lo"));
        assert_eq!(super::name(u32::MAX), None);
        assert!(super::all().contains(&"lo".to_owned()));
    }
}
