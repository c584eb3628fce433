//! Asking for a cache line before it is needed.

/// Brings the line at `byte` of `items` into the caches, if this CPU can be asked. Any number is safe: nothing is read.
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], byte: usize) {
    let at = items.as_ptr().cast::<u8>().wrapping_add(byte);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see and never faults; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch reads nothing that the program can see and never faults.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}
