//! What one core can do at most: loops of independent multiply-adds in registers.

use crate::clock::Clock;

/// What is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    F32,
    Bf16,
    Int8,
}

impl Unit {
    pub(crate) const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32 FMA",
            Self::Bf16 => "bf16 (vdpbf16ps)",
            Self::Int8 => "int8 (vpdpbusd)",
        }
    }
}

/// A loop of some rounds, and the operations of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    pub(crate) unit: Unit,
    run: fn(u64),
    flops: f64,
}

impl Peak {
    /// The widest loop of a unit that this CPU has.
    pub(crate) fn of(unit: Unit) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return x86_64::of(unit);
        #[cfg(not(target_arch = "x86_64"))]
        return {
            let _ = unit;
            None
        };
    }

    /// Operations a second, a multiplication and an addition counted as two.
    pub(crate) fn measure(&self, rounds: u64, clock: Clock) -> f64 {
        let begin = clock.now();
        (self.run)(rounds);
        self.flops * rounds as f64 / (clock.now() - begin).max(1) as f64 * 1e9
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "multiplies in registers of the CPU's choice")]
mod x86_64 {
    use std::arch::asm;

    use super::{Peak, Unit};

    /// Accumulators: more than latency times throughput of any of these instructions.
    const CHAINS: usize = 12;

    /// A loop of one instruction on registers of one kind: 12 accumulators, and two operands that are 0.
    macro_rules! peak {
        ($name:ident, $feature:literal, $clear:literal, $op:literal, $register:literal) => {
            /// # Safety
            /// The CPU must have the feature.
            #[target_feature(enable = $feature)]
            unsafe fn $name(rounds: u64) {
                // SAFETY: works in registers only, all of which are declared; the caller vouches for the instructions.
                // At least one round, so that the counter does not run below 0.
                unsafe {
                    asm!(
                        peak!(@each $clear, $register),
                        concat!($clear, " ", $register, "14, ", $register, "14, ", $register, "14"),
                        concat!($clear, " ", $register, "15, ", $register, "15, ", $register, "15"),
                        ".p2align 5",
                        "2:",
                        peak!(@step $op, $register),
                        "dec {rounds}",
                        "jnz 2b",
                        rounds = inout(reg) rounds.max(1) => _,
                        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                        out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                        out("xmm14") _, out("xmm15") _,
                        options(nostack, nomem),
                    );
                }
            }
        };
        (@each $op:literal, $r:literal) => {
            peak!(@lines $op, $r, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"])
        };
        (@lines $op:literal, $r:literal, [$($n:literal),*]) => {
            concat!($($op, " ", $r, $n, ", ", $r, $n, ", ", $r, $n, "\n"),*)
        };
        (@step $op:literal, $r:literal) => {
            peak!(@steps $op, $r, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"])
        };
        (@steps $op:literal, $r:literal, [$($n:literal),*]) => {
            concat!($($op, " ", $r, $n, ", ", $r, "14, ", $r, "15\n"),*)
        };
    }

    peak!(fma_512, "avx512f", "vpxord", "vfmadd231ps", "zmm");
    peak!(fma_256, "avx2,fma", "vpxor", "vfmadd231ps", "ymm");
    peak!(bf16_512, "avx512f,avx512bf16", "vpxord", "vdpbf16ps", "zmm");
    peak!(int8_512, "avx512f,avx512vnni", "vpxord", "vpdpbusd", "zmm");

    pub(super) fn of(unit: Unit) -> Option<Peak> {
        let wide = is_x86_feature_detected!("avx512f");
        // f32 lanes, and products that each of them adds up.
        let (run, lanes, products): (fn(u64), usize, usize) = match unit {
            // SAFETY: `wide` says that the features were detected.
            Unit::F32 if wide => (|n| unsafe { fma_512(n) }, 16, 1),
            Unit::F32 if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
                // SAFETY: the features were just detected.
                (|n| unsafe { fma_256(n) }, 8, 1)
            }
            // SAFETY: `wide` and the check say that the features were detected.
            Unit::Bf16 if wide && is_x86_feature_detected!("avx512bf16") => (|n| unsafe { bf16_512(n) }, 16, 2),
            // SAFETY: `wide` and the check say that the features were detected.
            Unit::Int8 if wide && is_x86_feature_detected!("avx512vnni") => (|n| unsafe { int8_512(n) }, 16, 4),
            _ => return None,
        };
        Some(Peak { unit, run, flops: (2 * CHAINS * lanes * products) as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_end_and_count_what_they_do() {
        let peaks: Vec<Peak> = Unit::ALL.into_iter().filter_map(Peak::of).collect();
        for peak in &peaks {
            assert!(peak.measure(0, Clock::Wall).is_finite());
            let rate = peak.measure(1000, Clock::Cpu);
            assert!(rate.is_finite() && rate > 0.0, "{peak:?}: {rate}");
        }
        let flops = |unit| peaks.iter().find(|p| p.unit == unit).map(|p| p.flops);
        if let (Some(single), Some(half), Some(int)) = (flops(Unit::F32), flops(Unit::Bf16), flops(Unit::Int8)) {
            assert_eq!([half, int], [2.0 * single, 4.0 * single]);
        }
    }
}
