//! An allocator that counts: what each thread does, and the bytes that are alive.

#![allow(dead_code, reason = "each test uses its part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator with the counts.
pub(crate) struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    // Initialised by the compiler and without a destructor: reaching it allocates nothing.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Allocations, reallocations and deallocations of this thread so far.
pub(crate) fn calls() -> u64 {
    CALLS.get()
}

/// Bytes alive in the process.
pub(crate) fn live() -> isize {
    LIVE.load(Ordering::SeqCst)
}

fn count(bytes: isize) {
    CALLS.set(CALLS.get() + 1);
    LIVE.fetch_add(bytes, Ordering::SeqCst);
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory that it gave.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
