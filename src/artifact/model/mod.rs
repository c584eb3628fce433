//! The model artifact: schema, layers, weights, embeddings, golden requests, provenance.

pub mod network;
pub mod spec;
