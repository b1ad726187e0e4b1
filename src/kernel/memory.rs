//! How the kernel gives us memory, and when it gets it back.
#![allow(unsafe_code)] // mi_collect, which takes and returns nothing

use std::time::{Duration, Instant};

/// Small pages only. Where huge ones are the default (Debian's kernels), each thread touches a little of many of the allocator's
/// regions, and an idle gate with four queues held 45 MiB. A kernel that refuses costs memory and nothing else.
pub fn take_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Between two collections of a thread that is calm again and again. None takes long where nothing was freed.
const COLLECT_INTERVAL: Duration = Duration::from_secs(10);

/// Gives back what one thread has allocated and others have freed.
///
/// The allocator lets a thread's pages go when that thread looks at them. One that judges packets looks while it allocates; when a
/// crowd of connections has gone and nobody comes, it does not, and all their memory would stay with us.
#[derive(Debug, Default)]
pub struct CalmThread {
    collected: Option<Instant>,
}

impl CalmThread {
    /// The thread has nothing to do: a good moment to look for what is free.
    pub fn note_calm(&mut self) {
        if self.collected.is_some_and(|last| last.elapsed() < COLLECT_INTERVAL) {
            return;
        }
        // SAFETY: takes no pointers; it works on the calling thread's own heap and on what is nobody's.
        unsafe { libmimalloc_sys::mi_collect(true) };
        self.collected = Some(Instant::now());
    }
}
