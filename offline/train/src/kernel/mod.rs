//! The arithmetic of training on this CPU: products of matrices, and loops over the values of a batch.
//!
//! Every sum is made in one order, and products in sums are fused on every CPU: the same inputs give the same bits under
//! AVX-512, AVX2 and plain code. (Plain code on an x86 CPU without FMA is slow: the library computes each fused product.)

// SAFETY of the room: code for AVX-512 or AVX2 is reached through a `Cpu` only, which is made for instruction sets that this
// CPU was found to have; pointers stay in ranges that `product::multiply` has checked.
#![allow(unsafe_code, reason = "SIMD instructions, behind checks of the CPU and of every range")]

mod loops;
mod product;

pub(crate) use loops::{Adam, Dropout, draw};
pub(crate) use product::{Left, Panels, Right, Start, padded};

/// The instruction set that the arithmetic uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpu(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Cpu {
    /// The fastest one.
    pub(crate) fn best() -> Self {
        Self::all()[0]
    }

    /// All that this CPU has, the fastest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::with_capacity(3);
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw");
            if avx2 && avx512 {
                all.push(Self(Set::Avx512));
            }
            if avx2 {
                all.push(Self(Set::Avx2));
            }
        }
        all.push(Self(Set::Portable));
        all
    }
}
