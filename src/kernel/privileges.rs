//! What we may do once everything is open: CAP_NET_ADMIN, which the kernel asks for at each verdict, and nothing else.
#![allow(unsafe_code)] // prctl and the set*id calls, which std does not offer for the own process

use std::collections::HashSet;
use std::ffi::CString;
use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum PrivilegeError {
    #[error("there is no user `{0}` on this machine: correct run-as.user")]
    NoUser(String),
    #[error("there is no group `{0}` on this machine: correct run-as.group")]
    NoGroup(String),
    #[error("cannot become user `{user}`")]
    Become { user: String, source: io::Error },
    #[error("cannot drop capabilities")]
    Caps(#[from] caps::errors::CapsError),
    #[error("cannot set no_new_privs")]
    NoNewPrivs(#[source] io::Error),
}

/// Whether this thread may talk to netfilter.
#[must_use]
pub fn may_administer_network() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap_or(false)
}

/// Keeps CAP_NET_ADMIN for this thread and for every thread that it starts later, drops every other capability, and,
/// if told so, becomes another user. Nothing that is executed later gains anything back.
pub fn drop_all_but_net_admin(run_as: Option<(&str, Option<&str>)>) -> Result<(), PrivilegeError> {
    if let Some((user, group)) = run_as {
        become_user(user, group)?;
    }
    let keep: CapsHashSet = HashSet::from([Capability::CAP_NET_ADMIN]);
    for capability in caps::all() {
        // Without CAP_SETPCAP the bounding set stays as it is; the sets below and no_new_privs still hold.
        if capability != Capability::CAP_NET_ADMIN && caps::drop(None, CapSet::Bounding, capability).is_err() {
            break;
        }
    }
    caps::set(None, CapSet::Effective, &keep)?;
    caps::set(None, CapSet::Permitted, &keep)?;
    caps::set(None, CapSet::Inheritable, &HashSet::new())?;
    // SAFETY: prctl(PR_SET_NO_NEW_PRIVS) takes integers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(PrivilegeError::NoNewPrivs(io::Error::last_os_error()));
    }
    Ok(())
}

fn become_user(user: &str, group: Option<&str>) -> Result<(), PrivilegeError> {
    let (uid, primary) = find_user(user).ok_or_else(|| PrivilegeError::NoUser(user.to_owned()))?;
    let gid = match group {
        Some(group) => find_group(group).ok_or_else(|| PrivilegeError::NoGroup(group.to_owned()))?,
        None => primary,
    };
    let failed = |source| PrivilegeError::Become { user: user.to_owned(), source };
    // SAFETY: all four take integers, and setgroups a pointer to one gid with the count 1.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0),
            libc::setgroups(1, &raw const gid),
            libc::setresgid(gid, gid, gid),
            libc::setresuid(uid, uid, uid),
        ]
    };
    if results.iter().any(|result| *result != 0) {
        return Err(failed(io::Error::last_os_error()));
    }
    // setresuid cleared the effective set; permitted was kept.
    caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN)?;
    Ok(())
}

fn find_user(name: &str) -> Option<(libc::uid_t, libc::gid_t)> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is a C string; the returned record is read before any other call could overwrite it, and only one
    // thread runs at this point of the start.
    unsafe { libc::getpwnam(name.as_ptr()).as_ref() }.map(|record| (record.pw_uid, record.pw_gid))
}

fn find_group(name: &str) -> Option<libc::gid_t> {
    let name = CString::new(name).ok()?;
    // SAFETY: as for getpwnam above.
    unsafe { libc::getgrnam(name.as_ptr()).as_ref() }.map(|record| record.gr_gid)
}
