//! What the tests and benchmarks of adclick share, compiled once: random models and requests, bundles of them, plain answers to
//! compare with, and parts that run in a process of their own.
#![allow(missing_docs, reason = "names of tests' parts, which say what they are")]

pub mod allocator;
pub mod blocks;
pub mod child;
pub mod common;
pub mod container;
pub mod endless;
pub mod mutations;
pub mod networks;
pub mod opens;
pub mod overlaid;
pub mod parity;
pub mod plain_tables;
pub mod publishers;
pub mod segments;
