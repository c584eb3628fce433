//! The network's arithmetic: kernels beside the reference, by hand, at random, and beside vectors of other libraries.

mod fast;
mod golden_layers;
mod kernels;
mod random;
