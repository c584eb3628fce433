//! The join from segments to Parquet.

#![allow(unreachable_pub, reason = "modules of one program")]

mod aggregate;
mod brute;
mod cases;
mod random;
mod slates;
mod sql;
mod support;
mod traffic;
