//! How the allocator treats large blocks: frames and activations of the net are some 10 to 100 MB, come and go all the time,
//! and cost more in page faults than in arithmetic when each is fetched anew from the system.

/// Keeps freed blocks for the next ones of their size instead of giving them back to the system at once; at least 1 GiB that
/// is not in use may stay with the program. Call once, before other threads run. Does nothing where the allocator is not glibc's.
pub fn keep_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const GIB: i32 = 1 << 30;
        #[expect(unsafe_code, reason = "the allocator has no safe interface")]
        // SAFETY: `mallopt` may be called at any time; it only sets parameters, and refuses values that it does not know.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, GIB);
            // All threads share the one heap that can grow and shrink; the others are too small for such blocks.
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

/// The most memory that the program has had at once, MiB; `None` where the system does not say.
pub fn peak_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
