//! A network namespace of one's own, for a probe or a test: whatever happens in it, nobody else's traffic meets it.
#![allow(unsafe_code)] // unshare(2)

use std::{io, panic, thread};

/// Runs `work` on a thread of its own in a fresh, empty network namespace, which goes away with the thread. Programs
/// that `work` starts are in it too. Needs CAP_SYS_ADMIN.
pub fn in_fresh_network<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // SAFETY: unshare(2) takes no pointers; it moves this thread alone, which ends with this closure.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(work())
        });
        worker.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}
