//! How near to a core the caches are: whether adding kept sums is faster than multiplying.
//!
//! A sum over sixteen columns saves sixteen products for each number fetched. AMD's cores read their third-level cache at
//! about 100 GB/s (Zen 4 and 5: docs/performance.md), which is worth 2 to 5 products a number. Intel's servers read theirs
//! at 20 to 25 GB/s, worth 16, so that only sums in the second-level cache gain. The rule depends on the CPU's maker and
//! nothing that is measured, so that a machine always computes the same.

/// Sums that stay in a second-level cache beside everything else.
const SECOND_LEVEL: u64 = 1 << 20;
/// Sums that stay in a third-level cache.
#[cfg(target_arch = "x86_64")]
const THIRD_LEVEL: u64 = 64 << 20;

/// See [`super::Kernel::near_bytes`].
pub(super) fn bytes() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // The leaf that every CPU has: its maker's name.
        let leaf = core::arch::x86_64::__cpuid(0);
        let name = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes);
        if name.as_flattened() == b"AuthenticAMD" {
            return THIRD_LEVEL;
        }
    }
    SECOND_LEVEL
}
