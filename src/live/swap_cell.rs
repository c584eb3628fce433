//! One pointer that many threads read without locks and one publisher replaces.
//!
//! Hazard pointers (Michael 2004), one slot for each reader. A read announces the pointer in the reader's own slot and
//! checks again whether it is still current; the publisher frees values that no slot announces. They were chosen over
//! crossbeam-epoch and arc-swap because here a reader never does the publisher's work: an epoch's readers now and then
//! run deferred destructors and allocate bags for them, and both keep thread-local state that is allocated the first
//! time a thread reads (a scorer may be called from another thread every time). The announcements are checked with loom
//! (the tests below, run by tests/loom).

#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering, fence};
use std::ops::Deref;
use std::ptr;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Alone on its cache lines, so that readers do not share lines.
#[repr(align(128))]
struct Slot<T>(AtomicPtr<T>);

struct Publisher<T> {
    slots: Vec<Arc<Slot<T>>>,
    /// Replaced values that some reader may still hold.
    retired: Vec<Arc<T>>,
}

/// The pointer. Holds one strong count of what it points at.
pub(crate) struct SwapCell<T> {
    current: AtomicPtr<T>,
    publisher: Mutex<Publisher<T>>,
}

// SAFETY: the cell owns `Arc<T>`s and hands out `&T` on other threads, which is what `Arc<T>: Send + Sync` asks of T.
unsafe impl<T: Send + Sync> Send for SwapCell<T> {}
// SAFETY: what `&SwapCell` gives to threads is `&T`, which is what `T: Sync` allows, and what it drops is T, which `T: Send`
// allows; all other shared state is atomic or behind the mutex.
unsafe impl<T: Send + Sync> Sync for SwapCell<T> {}

impl<T> SwapCell<T> {
    pub(crate) fn new() -> Self {
        Self {
            current: AtomicPtr::new(ptr::null_mut()),
            publisher: Mutex::new(Publisher { slots: Vec::new(), retired: Vec::new() }),
        }
    }

    /// Makes `new` current (`None`: nothing is). What was current is freed once no reader holds it, by this thread
    /// now or by whoever calls [`SwapCell::publish`] or [`SwapCell::reclaim`] or drops a [`SwapReader`] next, never by a read.
    pub(crate) fn publish(&self, new: Option<Arc<T>>) {
        let mut publisher = self.lock();
        let new = new.map_or(ptr::null_mut(), |new| Arc::into_raw(new).cast_mut());
        // Release: a reader of the pointer sees what it points at. The fence in `reclaim` comes after.
        let old = self.current.swap(new, Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: a non-null `current` came from `Arc::into_raw` in an earlier call, and the swap took it out, so
            // its strong count is taken back exactly once.
            let old = unsafe { Arc::from_raw(old) };
            // A value that was current before may still be waiting; one entry for each keeps the list short.
            if !publisher.retired.iter().any(|retired| Arc::ptr_eq(retired, &old)) {
                publisher.retired.push(old);
            }
        }
        reclaim(&mut publisher);
    }

    /// Frees values that no reader holds any more. Returns how many replaced values are still waiting.
    pub(crate) fn reclaim(&self) -> usize {
        reclaim(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Publisher<T>> {
        // The lists are valid at every point where a panic could happen.
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reclaim<T>(publisher: &mut Publisher<T>) -> usize {
    let Publisher { slots, retired } = publisher;
    // Pairs with the fence in `SwapReader::load`. All SeqCst fences have one order. If the reader's comes first, the scan
    // below sees its announcement; if this one does, the reader's second look sees that the pointer was replaced.
    fence(Ordering::SeqCst);
    // Acquire: whoever announces nothing, or something else, has done with what it announced before.
    retired.retain(|value| slots.iter().any(|slot| ptr::eq(slot.0.load(Ordering::Acquire), Arc::as_ptr(value))));
    retired.len()
}

impl<T> Drop for SwapCell<T> {
    fn drop(&mut self) {
        // Readers hold an Arc of the cell, so none is left.
        let current = self.current.load(Ordering::Acquire);
        if !current.is_null() {
            // SAFETY: `current` came from `Arc::into_raw` in `publish` and was not taken out since; no reader can hold
            // it any more.
            drop(unsafe { Arc::from_raw(current) });
        }
    }
}

/// One reader's slot. May move between threads; reads one value at a time.
pub(crate) struct SwapReader<T> {
    cell: Arc<SwapCell<T>>,
    slot: Arc<Slot<T>>,
}

impl<T> SwapReader<T> {
    /// Registers a reader: takes the publisher's lock and allocates.
    pub(crate) fn new(cell: &Arc<SwapCell<T>>) -> Self {
        let slot = Arc::new(Slot(AtomicPtr::new(ptr::null_mut())));
        cell.lock().slots.push(Arc::clone(&slot));
        Self { cell: Arc::clone(cell), slot }
    }

    /// The current value, kept alive until the guard is dropped. `None`: nothing is published. Lock-free: the loop
    /// repeats only when a publication fell between its two reads.
    pub(crate) fn load(&mut self) -> Option<Guard<'_, T>> {
        let mut seen = self.cell.current.load(Ordering::Acquire);
        loop {
            if seen.is_null() {
                self.slot.0.store(ptr::null_mut(), Ordering::Release);
                return None;
            }
            // Release: reads of what was announced before are done.
            self.slot.0.store(seen, Ordering::Release);
            // Pairs with the fence in `reclaim`: see there. (Fences and not SeqCst operations, because loom does not
            // model the single order of the latter.)
            fence(Ordering::SeqCst);
            let again = self.cell.current.load(Ordering::Acquire);
            if ptr::eq(again, seen) {
                // SAFETY: the slot announced `seen` before this second look found it current, so every publisher that
                // takes it out scans the slots afterwards and finds the announcement; it stays until the guard is
                // dropped. `&mut self` makes sure that the slot serves one guard at a time.
                return Some(Guard { value: unsafe { &*seen }, slot: &self.slot });
            }
            seen = again;
        }
    }
}

impl<T> Drop for SwapReader<T> {
    fn drop(&mut self) {
        let mut publisher = self.cell.lock();
        publisher.slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
        // The value that this reader held last may have waited for it alone.
        reclaim(&mut publisher);
    }
}

/// Keeps a value alive while it is read.
pub(crate) struct Guard<'a, T> {
    value: &'a T,
    slot: &'a Slot<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // Release: all reads of the value happen before the publisher sees that it may go.
        self.slot.0.store(ptr::null_mut(), Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::cell::UnsafeCell;
    use loom::sync::atomic::{AtomicUsize, Ordering};

    use super::{SwapCell, SwapReader};

    /// A value that tells whether it was freed. `content` stands for its bytes: the model checker fails when one
    /// thread frees them and nothing makes sure that another's reading is over, or that it sees them written.
    struct Watched {
        number: usize,
        content: UnsafeCell<()>,
        freed: Arc<AtomicUsize>,
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            self.content.with_mut(|_| ());
            self.freed.fetch_or(1 << self.number, Ordering::SeqCst);
        }
    }

    #[test]
    fn loom_no_reader_sees_a_freed_value() {
        loom::model(|| {
            let freed = Arc::new(AtomicUsize::new(0));
            let value =
                |number| Some(Arc::new(Watched { number, content: UnsafeCell::new(()), freed: Arc::clone(&freed) }));
            let cell = Arc::new(SwapCell::new());
            cell.publish(value(0));
            let mut reader = SwapReader::new(&cell);
            let watched = Arc::clone(&freed);
            let thread = loom::thread::spawn(move || {
                // The second reading announces another value over the first, or the same once more.
                for _ in 0..2 {
                    if let Some(guard) = reader.load() {
                        let number = guard.number;
                        assert_eq!(watched.load(Ordering::SeqCst) & (1 << number), 0, "value {number} was freed");
                        guard.content.with(|_| ());
                    }
                }
                reader
            });
            cell.publish(value(1));
            cell.publish(value(2));
            let reader = thread.join().unwrap();
            assert_eq!(cell.reclaim(), 0);
            assert_eq!(freed.load(Ordering::SeqCst), 0b011, "both replaced values are freed, the current one is not");
            drop((cell, reader));
            assert_eq!(freed.load(Ordering::SeqCst), 0b111);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::{SwapCell, SwapReader};

    #[test]
    fn a_held_value_outlives_its_replacement() {
        let cell = Arc::new(SwapCell::new());
        let mut reader = SwapReader::new(&cell);
        assert!(reader.load().is_none());
        let first = Arc::new(1);
        cell.publish(Some(Arc::clone(&first)));
        let mut other = SwapReader::new(&cell);
        let guard = reader.load().unwrap();
        cell.publish(Some(Arc::new(2)));
        assert_eq!((*guard, *other.load().unwrap(), cell.reclaim()), (1, 2, 1));
        assert_eq!(Arc::strong_count(&first), 2);
        drop(guard);
        assert_eq!((cell.reclaim(), Arc::strong_count(&first)), (0, 1));
        cell.publish(None);
        assert!(reader.load().is_none());
    }
    #[test]
    fn what_is_replaced_again_and_again_waits_once_and_goes_with_its_last_reader() {
        let cell = Arc::new(SwapCell::new());
        let (first, second) = (Arc::new(1), Arc::new(2));
        cell.publish(Some(Arc::clone(&first)));
        let mut reader = SwapReader::new(&cell);
        // Its destructor does not run: the slot goes on announcing, as in a request that takes its time.
        std::mem::forget(reader.load());
        for _ in 0..100 {
            cell.publish(Some(Arc::clone(&second)));
            cell.publish(Some(Arc::clone(&first)));
        }
        cell.publish(None);
        assert_eq!(cell.reclaim(), 1);
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (2, 1));
        drop(reader);
        assert_eq!(Arc::strong_count(&first), 1);
    }
}
