//! What was decided and what came of it, joined into rows to train on.
//!
//! Each module uses those before it: [`record`] (what is joined), [`counts`] (what became of it), [`traffic`] (what no
//! customer did), [`orders`], [`touch`] (who gets an order), [`hour`] (the join itself, in memory), and what brings an
//! hour into memory and its rows to disk; [`run`] is a run of the whole.

pub mod aggregate;
pub mod counts;
pub mod hour;
mod ids;
mod ingest;
pub mod options;
pub mod orders;
mod parallel;
mod part;
mod place;
mod process;
pub mod record;
mod route;
mod rows;
pub mod run;
mod segments;
pub mod simulate;
mod slates;
mod store;
pub mod touch;
mod touches;
pub mod traffic;
mod write;
