//! Kernels for x86-64, one file for each instruction set.

pub(super) mod avx2;
pub(super) mod avx512;
pub(super) mod fast;
mod loops;
mod zmm;
