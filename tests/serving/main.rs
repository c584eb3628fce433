//! Serving: from a bundle and a request to scores and winners, under an allocator that counts.

mod ad_cache;
mod allocations;
mod checks;
mod columns;
mod decide;
mod explain;
mod exposition;
mod failures;
mod golden_features;
mod id_sums;
mod inputs;
mod metrics;
mod overlay;
mod plain;
mod precision;
mod segments;
mod staging_tables;
mod switches;
mod tables;
mod written_rows;

#[global_allocator]
static ALLOCATOR: testkit::allocator::Counting = testkit::allocator::Counting;
