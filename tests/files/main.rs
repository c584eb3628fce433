//! Files: the format from its page alone, what goes in comes out, and files that were damaged or made to do harm.

mod attack;
mod format_attacks;
mod format_by_hand;
mod format_contents;
mod format_round_trip;
mod mutated;
mod sample;
mod table_attacks;
mod table_by_hand;
mod tables;

#[global_allocator]
static ALLOCATOR: testkit::allocator::Counting = testkit::allocator::Counting;
