//! How the kernel gives us memory.

/// Small pages only. Where huge ones are the default (Debian's kernels), each thread touches a little of many of the allocator's
/// regions, and an idle gate with four queues held 45 MiB. A kernel that refuses costs memory and nothing else.
pub fn take_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
