//! An allocator that counts: what each thread does, and the bytes that are alive. A test program that reads the counts makes it
//! its `#[global_allocator]`.
#![allow(unsafe_code, reason = "a global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator with the counts.
pub struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    // Initialised by the compiler and without a destructor: reaching it allocates nothing.
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Allocations, reallocations and deallocations of this thread so far.
pub fn calls() -> u64 {
    CALLS.get()
}

/// Bytes of the largest block that this thread asked for since it last called [`forget_largest`].
pub fn largest() -> usize {
    LARGEST.get()
}

pub fn forget_largest() {
    LARGEST.set(0);
}

/// Bytes alive in the process.
pub fn live() -> isize {
    LIVE.load(Ordering::SeqCst)
}

fn asked(size: usize) {
    LARGEST.set(LARGEST.get().max(size));
}

fn count(bytes: isize) {
    CALLS.set(CALLS.get() + 1);
    LIVE.fetch_add(bytes, Ordering::SeqCst);
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory that it gave.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        asked(layout.size());
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`, and `System` gave the memory.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        asked(size);
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`, and `System` gave the memory.
        unsafe { System.realloc(at, layout, size) }
    }
}
