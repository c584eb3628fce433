//! From the inventory to the candidates.

pub mod similarity;
