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

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_known_and_nonsense_is_not() {
        assert_eq!(super::name(1).as_deref(), Some("lo"));
        assert_eq!(super::name(u32::MAX), None);
    }
}
