//! Rings between those who decide and the one who writes. Putting in never waits: what finds no room is lost, and its
//! number says so.
//!
//! A scorer has a ring of its own, so its decisions meet nobody else's. (A queue that several fill may make one of them wait
//! for another that was interrupted, and then yields its thread, which is a system call.) Events come from any thread and
//! share one.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

use super::record::{Decided, EventRecord, Scored, Slate, Stream, Waiting};
use crate::error::Result;
use crate::memory::reserved;
use crate::types::Winner;

/// How many records one stream of a ring was offered, and how many of them found no room.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counter {
    next: AtomicU64,
    lost: AtomicU64,
}

impl Counter {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) struct Ring {
    pub(super) number: u32,
    waiting: ArrayQueue<Waiting>,
    free: ArrayQueue<Box<Slate>>,
    slates: ArrayQueue<Box<Slate>>,
    counters: [Counter; 3],
    too_large: AtomicU64,
}

/// How large slates may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlateRoom {
    pub(super) candidates: usize,
    pub(super) values: usize,
    /// How many of them may wait.
    pub(super) waiting: usize,
}

impl Ring {
    /// `slates`: what a slate may hold, if there are to be any.
    pub(super) fn new(number: u32, records: usize, slates: Option<SlateRoom>) -> Result<Self> {
        let room = slates.unwrap_or(SlateRoom { candidates: 0, values: 0, waiting: 0 });
        // A queue has at least one place.
        let free = ArrayQueue::new(room.waiting.max(1));
        for _ in 0..room.waiting {
            let slate = Slate {
                seq: 0,
                decided: Decided::default(),
                winners: reserved(room.candidates)?,
                candidates: reserved(room.candidates)?,
                values: reserved(room.values)?,
                request_values: 0,
            };
            // As many as there are places.
            let _ = free.push(Box::new(slate));
        }
        Ok(Self {
            number,
            waiting: ArrayQueue::new(records),
            free,
            slates: ArrayQueue::new(room.waiting.max(1)),
            counters: Default::default(),
            too_large: AtomicU64::new(0),
        })
    }

    fn put(&self, stream: Stream, make: impl FnOnce(u64) -> Waiting) {
        let counter = &self.counters[stream as usize];
        let seq = counter.number();
        // One place stays free: in a full ring, the queue would wait for the writer to finish taking a record out.
        if self.waiting.len() + 1 >= self.waiting.capacity() || self.waiting.push(make(seq)).is_err() {
            counter.lose();
        }
    }

    /// A winner of a decision.
    #[inline]
    pub(super) fn put_decision(&self, decided: &Decided, scored: Scored, winner: &Winner) {
        self.put(Stream::Decisions, |seq| Waiting::Decision { seq, decided: *decided, scored, winner: *winner });
    }

    pub(super) fn put_event(&self, record: EventRecord) {
        self.put(Stream::Events, |seq| Waiting::Event { seq, record });
    }

    /// A slate that `fill` fills; it says whether all had room.
    pub(super) fn put_slate(&self, fill: impl FnOnce(&mut Slate) -> bool) {
        let counter = &self.counters[Stream::Slates as usize];
        let seq = counter.number();
        let Some(mut slate) = self.free.pop() else { return counter.lose() };
        slate.seq = seq;
        if !fill(&mut slate) {
            self.too_large.fetch_add(1, Ordering::Relaxed);
            counter.lose();
            return self.give_back(slate);
        }
        if let Err(slate) = self.slates.push(slate) {
            counter.lose();
            self.give_back(slate);
        }
    }

    pub(super) fn take(&self) -> Option<Waiting> {
        self.waiting.pop()
    }

    pub(super) fn take_slate(&self) -> Option<Box<Slate>> {
        self.slates.pop()
    }

    /// Gives a slate's memory back. There are as many places as slates.
    pub(super) fn give_back(&self, slate: Box<Slate>) {
        let _ = self.free.push(slate);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.slates.len()
    }

    /// What a stream was offered, and what of it was lost.
    pub(super) fn counts(&self, stream: Stream) -> (u64, u64) {
        let counter = &self.counters[stream as usize];
        (counter.next.load(Ordering::Relaxed), counter.lost.load(Ordering::Relaxed))
    }

    pub(super) fn too_large(&self) -> u64 {
        self.too_large.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Candidate;

    fn put(ring: &Ring) {
        let scored = Scored { candidate: Candidate::default(), logits: [0.0; 2], multiplier: 1.0 };
        ring.put_decision(&Decided::default(), scored, &Winner::default());
    }

    fn numbers(ring: &Ring) -> Vec<u64> {
        std::iter::from_fn(|| ring.take())
            .map(|waiting| match waiting {
                Waiting::Decision { seq, .. } | Waiting::Event { seq, .. } => seq,
            })
            .collect()
    }

    #[test]
    fn what_finds_no_room_leaves_its_number() {
        let ring = Ring::new(0, 16, None).unwrap();
        (0..20).for_each(|_| put(&ring));
        assert_eq!(ring.counts(Stream::Decisions), (20, 5));
        assert_eq!(numbers(&ring), (0..15).collect::<Vec<_>>());
        put(&ring);
        assert_eq!(numbers(&ring), [20]);
        ring.put_slate(|_| true);
        assert_eq!(ring.counts(Stream::Slates), (1, 1));
    }

    #[test]
    fn slates_go_round() {
        let ring = Ring::new(0, 16, Some(SlateRoom { candidates: 3, values: 5, waiting: 8 })).unwrap();
        (0..10).for_each(|_| ring.put_slate(|_| true));
        assert_eq!(ring.counts(Stream::Slates), (10, 2));
        for seq in 0..8 {
            let slate = ring.take_slate().unwrap();
            assert_eq!(slate.seq, seq);
            ring.give_back(slate);
        }
        ring.put_slate(|_| false);
        ring.put_slate(|_| true);
        assert_eq!((ring.counts(Stream::Slates), ring.too_large()), ((12, 3), 1));
        assert_eq!(ring.take_slate().unwrap().seq, 11);
    }

    #[test]
    fn many_numbers_are_written_once_or_lost_once() {
        let ring = Ring::new(0, 64, None).unwrap();
        let (mut seen, done) = (Vec::new(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..200_000).for_each(|_| put(&ring));
                done.store(1, Ordering::Release);
            });
            loop {
                let ended = done.load(Ordering::Acquire) == 1;
                seen.extend(numbers(&ring));
                if ended {
                    break;
                }
            }
        });
        let (offered, lost) = ring.counts(Stream::Decisions);
        assert_eq!((offered, seen.len() as u64), (200_000, 200_000 - lost));
        assert!(seen.is_sorted_by(|a, b| a < b));
    }
}
