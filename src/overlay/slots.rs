//! The memory of an overlay: sets of tagged slots, each slot two images of a row and a sequence number.
//!
//! One writer at a time fills the image that readers do not read, and then publishes it by incrementing the sequence
//! number. A reader copies the image that the sequence number selects and checks the number again. So a writer that is
//! preempted half way makes no reader wait, and a reader's copy counts only when nothing was published over it. The
//! orderings are checked with loom (the tests below, run by tests/loom).

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use std::sync::Once;

#[cfg(not(loom))]
use crate::artifact::Words;
use crate::error::{Error, Result, Status};
use crate::hash::bucket;
use crate::prefetch::prefetch;

/// A word that threads share.
pub(super) type Word = AtomicU64;

/// The number of slots in a set: their tags are two neighbouring cache lines. (With two, loom's models stay small.)
pub(super) const WAYS: usize = if cfg!(loom) { 2 } else { 16 };
/// How often a reader tries before it gives up. Each failed try means that the row was written meanwhile.
const TRIES: usize = 16;

/// The word of a slot's sequence number, whose lowest bit selects the image that readers read.
const SEQUENCE: usize = 0;
/// The word of a slot's write order: the count of writes at its last write. Only writers read it.
const STAMP: usize = 1;
const HEADER: usize = 2;
/// Words of a cache line.
const LINE: usize = 8;
/// Words of a page.
const PAGE: usize = 4096 / size_of::<u64>();
/// The number of cache lines to prefetch; in longer slots the hardware prefetcher follows.
const MOST_LINES: usize = 8;

#[cfg(not(loom))]
fn zeroed(len: usize) -> Result<Words> {
    Words::zeroed(len).map_err(|e| {
        let bytes = len.saturating_mul(size_of::<u64>());
        let message = format!("no {bytes} bytes of memory for an overlay ({e}): give it fewer rows");
        Error::new(Status::CapacityExceeded, message)
    })
}

#[cfg(loom)]
type Words = Box<[AtomicU64]>;

#[cfg(loom)]
fn zeroed(len: usize) -> Result<Words> {
    if len > 1 << 10 {
        return Err(Error::new(Status::CapacityExceeded, "too large for a model"));
    }
    Ok((0..len).map(|_| AtomicU64::new(0)).collect())
}

/// Where a key's row is, or would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotFor {
    /// The slot holds the key.
    Held(u32),
    /// The slot is free.
    Free(u32),
    /// The slot of the set's row that was written longest ago.
    Oldest(u32),
}

/// Tagged slots. Every image begins with its key, so that a reader notices when a slot went to another key.
pub(super) struct Slots {
    /// A tag for each slot, then the slots. Both begin at a pair of cache lines.
    words: Words,
    /// Whether the pages of the tags are in memory.
    touched: Once,
    sets: u32,
    /// Words of a slot.
    stride: usize,
    /// Words of an image.
    image: usize,
}

impl Slots {
    /// Room for `slots` images of `image` words, rounded up to whole sets.
    pub(super) fn new(slots: usize, image: usize) -> Result<Self> {
        let sets = slots.div_ceil(WAYS).max(1);
        let stride = (HEADER + 2 * image).next_multiple_of(LINE);
        let words = sets.checked_mul(WAYS * (stride + 1)).filter(|words| *words < isize::MAX as usize / 16);
        let (Ok(sets), Some(_)) = (u32::try_from(sets * WAYS), words) else {
            let message = format!(
                "an overlay of {slots} slots: expected less than 2^32, and what memory can hold: ask for fewer overlay_rows"
            );
            return Err(Error::new(Status::CapacityExceeded, message));
        };
        let sets = sets / WAYS as u32;
        let slots = sets as usize * WAYS;
        let words = zeroed(slots * (stride + 1))?;
        Ok(Self { words, touched: Once::new(), sets, stride, image })
    }

    /// Bytes reserved.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// Brings the pages of the tags into memory. Readers look at the tags of any set as soon as there is a row, so the
    /// writer of the first row does this for them; an overlay without rows takes no memory.
    fn touch(&self) {
        self.touched.call_once(|| {
            for tag in self.words.iter().take(self.slots() as usize).step_by(PAGE) {
                tag.store(0, Ordering::Relaxed);
            }
        });
    }

    pub(super) fn sets(&self) -> u32 {
        self.sets
    }

    pub(super) fn slots(&self) -> u32 {
        self.sets * WAYS as u32
    }

    /// Words of an image.
    pub(super) fn image(&self) -> usize {
        self.image
    }

    /// The set that a key belongs to.
    pub(super) fn set_of(&self, key: u64) -> u32 {
        bucket(key, self.sets)
    }

    fn tags_of(&self, key: u64) -> (u32, &[AtomicU64]) {
        let first = self.set_of(key) * WAYS as u32;
        (first, self.words.get(first as usize..first as usize + WAYS).unwrap_or(&[]))
    }

    /// The slot of a key, if it has one. Relaxed: a reader that sees the tag too early finds in `read` that the
    /// sequence number has changed since, and tries again.
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let (first, tags) = self.tags_of(key);
        tags.iter().position(|tag| tag.load(Ordering::Relaxed) == key).map(|way| first + way as u32)
    }

    fn words_of(&self, slot: u32) -> Option<&[AtomicU64]> {
        let at = self.slots() as usize + slot as usize * self.stride;
        self.words.get(at..at + self.stride)
    }

    /// The image in a slot's words that the sequence number names.
    fn image_of<'a>(&self, slot_words: &'a [AtomicU64], sequence: u64) -> &'a [AtomicU64] {
        &slot_words[HEADER + (sequence & 1) as usize * self.image..][..self.image]
    }

    /// Prefetches the slot's cache lines.
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(slot_words) = self.words_of(slot) {
            for line in (0..slot_words.len().min(MOST_LINES * LINE)).step_by(LINE) {
                prefetch(slot_words, line);
            }
        }
    }

    /// The result of `look` on the slot's image. `look` may be called several times and the image may be torn (each
    /// word by itself is whole): only the last call counts. `None`: every try met a write.
    pub(super) fn read<T>(&self, slot: u32, mut look: impl FnMut(&[AtomicU64]) -> T) -> Option<T> {
        let slot_words = self.words_of(slot)?;
        for _ in 0..TRIES {
            // Acquire: the image that this number names is seen as it was published.
            let sequence = slot_words[SEQUENCE].load(Ordering::Acquire);
            let seen = look(self.image_of(slot_words, sequence));
            // Pairs with the fence in `publish`: if `look` saw a word of a later image in this place, then the load
            // below sees at least the sequence number under which that image was begun.
            fence(Ordering::Acquire);
            if slot_words[SEQUENCE].load(Ordering::Relaxed) == sequence {
                return Some(seen);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Where a key's row is or goes. The set's writers are locked out.
    pub(super) fn slot_for(&self, key: u64) -> SlotFor {
        let (first, tags) = self.tags_of(key);
        let way = |way: usize| first + way as u32;
        let tag = |wanted: u64| tags.iter().position(|tag| tag.load(Ordering::Relaxed) == wanted);
        if let Some(held) = tag(key) {
            return SlotFor::Held(way(held));
        }
        if let Some(free) = tag(0) {
            return SlotFor::Free(way(free));
        }
        let oldest = (0..tags.len()).min_by_key(|&at| self.stamp(way(at))).unwrap_or(0);
        SlotFor::Oldest(way(oldest))
    }

    /// The slot's tag: its key, 0 when it is free.
    pub(super) fn tag(&self, slot: u32) -> u64 {
        self.tag_at(slot).map_or(0, |tag| tag.load(Ordering::Relaxed))
    }

    fn tag_at(&self, slot: u32) -> Option<&AtomicU64> {
        // The slots come after the tags.
        self.words.get(slot as usize).filter(|_| slot < self.slots())
    }

    /// The write order of the slot's last write.
    pub(super) fn stamp(&self, slot: u32) -> u64 {
        self.words_of(slot).map_or(0, |slot_words| slot_words[STAMP].load(Ordering::Relaxed))
    }

    /// Copies the slot's image. The set's writers are locked out.
    pub(super) fn load(&self, slot: u32, to: &mut [u64]) {
        if let Some(slot_words) = self.words_of(slot) {
            let image = self.image_of(slot_words, slot_words[SEQUENCE].load(Ordering::Relaxed));
            for (to, word) in to.iter_mut().zip(image) {
                *to = word.load(Ordering::Relaxed);
            }
        }
    }

    /// Frees the slot. A reader that found it before still finds the image, until another key takes the place. The
    /// set's writers are locked out.
    pub(super) fn free(&self, slot: u32) {
        if let Some(tag) = self.tag_at(slot) {
            tag.store(0, Ordering::Release);
        }
    }

    /// Replaces the slot's image; its first word is the key and becomes the tag. The set's writers are locked out.
    pub(super) fn publish(&self, slot: u32, image: &[u64], stamp: u64) {
        let (Some(slot_words), Some(tag)) = (self.words_of(slot), self.tag_at(slot)) else { return };
        self.touch();
        let sequence = slot_words[SEQUENCE].load(Ordering::Relaxed);
        // Pairs with the fence in `read`: a reader that sees a word written below sees `sequence`, so it knows that the
        // image before `sequence`'s, which stood in the same place, is gone.
        fence(Ordering::Release);
        for (word, &new) in self.image_of(slot_words, sequence + 1).iter().zip(image) {
            word.store(new, Ordering::Relaxed);
        }
        slot_words[STAMP].store(stamp, Ordering::Relaxed);
        // Release: who sees the number sees the image.
        slot_words[SEQUENCE].store(sequence + 1, Ordering::Release);
        // Release: with the fence in `read`, who finds the row finds this image or a later one.
        tag.store(image[0], Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::sync::Mutex;
    use loom::sync::atomic::Ordering;
    use loom::thread;

    use super::{SlotFor, Slots};

    /// Images of a key and two words that must match.
    fn image(key: u64, number: u64) -> [u64; 3] {
        [key, number, !number]
    }

    /// The image that a reader of `key` gets, checked to be whole and the key's own.
    fn look(slots: &Slots, key: u64) -> Option<u64> {
        let slot = slots.find(key)?;
        let [found, number, complement] =
            slots.read(slot, |image| std::array::from_fn(|i| image[i].load(Ordering::Relaxed)))?;
        assert_eq!(number, !complement, "half of one image and half of another");
        if found != key {
            return None;
        }
        assert_eq!(number >> 8, key, "another key's row");
        Some(number)
    }

    fn write(slots: &Slots, key: u64, number: u64, stamp: u64) {
        let (SlotFor::Held(slot) | SlotFor::Free(slot) | SlotFor::Oldest(slot)) = slots.slot_for(key);
        slots.publish(slot, &image(key, number), stamp);
    }

    #[test]
    fn loom_no_reader_sees_half_a_row() {
        loom::model(|| {
            let slots = Arc::new(Slots::new(1, 3).unwrap());
            write(&slots, 1, 0x100, 0);
            let reader = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || look(&slots, 1))
            };
            write(&slots, 1, 0x101, 1);
            write(&slots, 1, 0x102, 2);
            reader.join().unwrap();
            assert_eq!(look(&slots, 1), Some(0x102));
        });
    }

    #[test]
    fn loom_a_row_that_was_upserted_is_found_whole() {
        loom::model(|| {
            let slots = Arc::new(Slots::new(1, 3).unwrap());
            let reader = {
                let slots = Arc::clone(&slots);
                // A tag that is found leads to its image: nothing was evicted.
                thread::spawn(move || slots.find(1).map(|_| assert!(look(&slots, 1).is_some())))
            };
            write(&slots, 1, 0x100, 0);
            reader.join().unwrap();
        });
    }

    #[test]
    fn loom_a_slot_that_goes_to_another_key_is_noticed() {
        loom::model(|| {
            let slots = Arc::new(Slots::new(1, 3).unwrap());
            write(&slots, 1, 0x100, 0);
            write(&slots, 2, 0x200, 1);
            let reader = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || (look(&slots, 1), look(&slots, 3)))
            };
            // The set has two ways: key 1 is evicted, and written again in the place of key 2.
            write(&slots, 3, 0x300, 2);
            write(&slots, 1, 0x101, 3);
            reader.join().unwrap();
            assert_eq!((look(&slots, 1), look(&slots, 2), look(&slots, 3)), (Some(0x101), None, Some(0x300)));
        });
    }

    #[test]
    fn loom_a_slot_that_is_given_up_and_taken_again_is_noticed() {
        loom::model(|| {
            let slots = Arc::new(Slots::new(1, 3).unwrap());
            write(&slots, 1, 0x100, 0);
            let reader = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || look(&slots, 1))
            };
            slots.free(slots.find(1).unwrap());
            write(&slots, 2, 0x200, 1);
            let seen = reader.join().unwrap();
            assert!(seen.is_none_or(|number| number == 0x100));
            assert_eq!((look(&slots, 1), look(&slots, 2)), (None, Some(0x200)));
        });
    }

    #[test]
    fn loom_writers_that_take_turns_are_one_writer() {
        loom::model(|| {
            let slots = Arc::new((Mutex::new(()), Slots::new(1, 3).unwrap()));
            write(&slots.1, 1, 0x100, 0);
            let other = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || {
                    let _one = slots.0.lock().unwrap();
                    write(&slots.1, 1, 0x101, 1);
                })
            };
            let reader = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || look(&slots.1, 1))
            };
            {
                let _one = slots.0.lock().unwrap();
                write(&slots.1, 1, 0x102, 2);
            }
            other.join().unwrap();
            reader.join().unwrap();
        });
    }
}
