//! Prefetching cache lines.

/// Prefetches the line of entry `at` into the second-level cache, if this CPU supports it. Any number is safe: nothing
/// is read.
///
/// Not into the first level: a core can wait for more lines on their way to the second (48 against 24 on AMD Zen 4),
/// and many lines prefetched at once evict each other from the first.
#[inline(always)]
pub fn prefetch<T>(entries: &[T], at: usize) {
    prefetch_line(entries.as_ptr().wrapping_add(at));
}

/// The same for the line of any address.
#[inline(always)]
pub fn prefetch_line<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see and never faults; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch reads nothing that the program can see and never faults.
    unsafe {
        core::arch::asm!("prfm pldl2keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}
