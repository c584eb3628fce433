//! Arrays whose entries grow: candidates and winners. A later header appends fields to them, so the caller says how large its
//! entries are (`candidate_size` and `winner_size` of its request or auction options), and neither side has to be the newer one.
//!
//! | the caller's entry | candidates | winners |
//! | --- | --- | --- |
//! | as large as this library's | read in place | written in place |
//! | smaller: an older header | copied; what it lacks is 0 | written as far as the entry goes |
//! | larger: a newer header | copied, if all bytes beyond this library's entry are 0; else refused | bytes beyond become 0 |
//!
//! What is copied goes through memory that the scorer brings ([`Room`]), so that nothing is allocated for a request.

use std::marker::PhantomData;

use bytemuck::Pod;

use super::failure::Failure;
use super::memory::{check_array, slice, slice_mut};
use crate::auction::Reason;
use crate::memory::{filled, untouched};
use crate::refusal::Refusal;
use crate::types::{Candidate, Request, Winner};

/// An entry of an array that may grow at its end.
pub(super) trait Entry: Pod {
    /// The name of its arrays.
    const ARRAY: &'static str;
    /// The name of the field that states its size.
    const STATED: &'static str;
    /// The size of its first version: the smallest that a caller can have, and the meaning of a size of 0.
    const FIRST: usize;
}

impl Entry for Candidate {
    const ARRAY: &'static str = "candidates";
    const STATED: &'static str = "candidate_size";
    const FIRST: usize = 56;
}

impl Entry for Winner {
    const ARRAY: &'static str = "winners";
    const STATED: &'static str = "winner_size";
    const FIRST: usize = 64;
}

/// A size larger than this was never set: no later header has such an entry.
const LARGEST: usize = 4096;

/// The request of the headers whose entries are those of the first version. Only they may leave the sizes at 0.
pub(super) const LAST_WITHOUT_SIZES: usize = 72;

/// A program that never set the sizes, compiled with a header of larger entries, would be read with the wrong stride.
/// Its request is larger too, and so it is refused.
const _: () = assert!(
    size_of::<Candidate>() == Candidate::FIRST && size_of::<Winner>() == Winner::FIRST
        || size_of::<Request>() > LAST_WITHOUT_SIZES,
    "when candidates or winners grow, so must adclick_request"
);

/// How far apart the caller's entries stand.
pub(super) struct Stride<T>(usize, PhantomData<T>);

impl<T> Clone for Stride<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Stride<T> {}

impl<T: Entry> Stride<T> {
    /// As the caller states it; 0, where it may be, is the first version's.
    pub(super) fn new(stated: u32, may_be_zero: bool) -> Result<Self, Failure> {
        const { assert!(T::FIRST <= size_of::<T>() && T::FIRST.is_multiple_of(align_of::<T>())) };
        let size = match stated {
            0 if may_be_zero => T::FIRST,
            _ => stated as usize,
        };
        if size < T::FIRST || size > LARGEST || !size.is_multiple_of(align_of::<T>()) {
            let (first, align) = (T::FIRST as u32, align_of::<T>() as u32);
            return Err(Refusal::EntrySize { what: T::STATED, found: stated, first, align }.into());
        }
        Ok(Self(size, PhantomData))
    }

    fn is_ours(self) -> bool {
        self.0 == size_of::<T>()
    }

    /// The bytes that both sides know.
    fn shared(self) -> usize {
        self.0.min(size_of::<T>())
    }
}

/// The sizes of the entries of one call.
#[derive(Clone, Copy)]
pub(super) struct Strides {
    pub(super) candidate: Stride<Candidate>,
    pub(super) winner: Stride<Winner>,
}

impl Strides {
    pub(super) fn new(candidate: u32, winner: u32, may_be_zero: bool) -> Result<Self, Failure> {
        Ok(Self { candidate: Stride::new(candidate, may_be_zero)?, winner: Stride::new(winner, may_be_zero)? })
    }
}

/// Memory for entries that cannot be used where they are in the caller's arrays.
pub(super) struct Room {
    /// Reasons are collected here and written as numbers once the call has succeeded.
    pub(super) reasons: Box<[Reason]>,
    /// Candidates of other sizes, copied.
    pub(super) candidates: Box<[Candidate]>,
    /// Winners of other sizes, until they are copied.
    pub(super) winners: Box<[Winner]>,
}

impl Room {
    /// What a scorer brings, for entries of any size. Its pages for copies take no memory until a caller needs them.
    pub(super) fn of_scorer(n: usize) -> crate::Result<Self> {
        let reasons = filled_with_won(n)?;
        Ok(Self { reasons, candidates: untouched(n)?, winners: untouched(n)? })
    }

    /// What one call without a scorer needs.
    pub(super) fn of_call(reasons: usize, n: usize, winners: usize, strides: Strides) -> crate::Result<Self> {
        Ok(Self {
            reasons: filled_with_won(reasons)?,
            candidates: filled(if strides.candidate.is_ours() { 0 } else { n })?,
            winners: filled(if strides.winner.is_ours() { 0 } else { winners })?,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.reasons) + size_of_val(&*self.candidates) + size_of_val(&*self.winners)
    }
}

fn filled_with_won(n: usize) -> crate::Result<Box<[Reason]>> {
    let mut reasons = crate::memory::reserved(n)?;
    reasons.resize(n, Reason::Won);
    Ok(reasons.into_boxed_slice())
}

/// The caller's array as entries of this library. `room` has place for `n` entries, unless the sizes are equal.
///
/// # Safety
/// `from` is NULL or points to `n` readable entries, `stride` apart, which stay unchanged while the slice is used.
pub(super) unsafe fn entries<T: Entry>(
    from: *const T,
    n: usize,
    stride: Stride<T>,
    room: &mut [T],
) -> Result<&[T], Failure> {
    if stride.is_ours() {
        // SAFETY: clause arrays, as this function asks: the stride is the size of `T`.
        return unsafe { slice(from, n, T::ARRAY) };
    }
    check_array(from, n, stride.0, T::ARRAY)?;
    let most = room.len();
    let room = room.get_mut(..n).ok_or(Refusal::Capacity { what: T::ARRAY, found: n, most })?;
    if n == 0 {
        return Ok(room);
    }
    // SAFETY: not NULL; clause arrays, as this function asks; `check_array` made sure that `n` entries of `stride` bytes
    // fit isize.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), n * stride.0) };
    for (index, (entry, to)) in bytes.chunks_exact(stride.0).zip(room.iter_mut()).enumerate() {
        let (shared, beyond) = entry.split_at(stride.shared());
        if beyond.iter().any(|&byte| byte != 0) {
            return Err(Refusal::UnknownField { what: T::ARRAY, index, known: size_of::<T>() as u32 }.into());
        }
        *to = T::zeroed();
        bytemuck::bytes_of_mut(to)[..shared.len()].copy_from_slice(shared);
    }
    Ok(room)
}

/// The caller's array to be filled.
pub(super) enum Outputs<'a, T> {
    /// Entries as this library knows them.
    InPlace(&'a mut [T]),
    /// Entries of another size: filled in `room` and copied on success.
    Apart { room: &'a mut [T], to: &'a mut [u8], stride: Stride<T> },
}

impl<'a, T: Entry> Outputs<'a, T> {
    /// `n` is how many entries the caller has; no more are filled than `room` has, unless the sizes are the same.
    ///
    /// # Safety
    /// `to` is NULL or points to `n` writable entries, `stride` apart, which nothing else accesses while this value
    /// lives.
    pub(super) unsafe fn new(to: *mut T, n: usize, stride: Stride<T>, room: &'a mut [T]) -> Result<Self, Failure> {
        if stride.is_ours() {
            // SAFETY: clauses arrays and outputs, as this function asks: the stride is the size of `T`.
            return Ok(Self::InPlace(unsafe { slice_mut(to, n, T::ARRAY) }?));
        }
        check_array(to, n, stride.0, T::ARRAY)?;
        let n = n.min(room.len());
        let bytes = match n {
            0 => &mut [],
            // SAFETY: not NULL; clauses arrays and outputs, as this function asks; `check_array` made sure
            // that their bytes fit isize. Any content is a valid u8.
            _ => unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), n * stride.0) },
        };
        Ok(Self::Apart { room: &mut room[..n], to: bytes, stride })
    }

    /// Where the entries are to be filled in.
    pub(super) fn entries(&mut self) -> &mut [T] {
        match self {
            Self::InPlace(entries) => entries,
            Self::Apart { room, .. } => room,
        }
    }

    /// Writes the first `n` entries to the caller; those behind them stay as they are.
    pub(super) fn finish(self, n: usize) {
        let Self::Apart { room, to, stride } = self else { return };
        for (entry, to) in room[..n].iter().zip(to.chunks_exact_mut(stride.0)) {
            let (shared, beyond) = to.split_at_mut(stride.shared());
            shared.copy_from_slice(&bytemuck::bytes_of(entry)[..shared.len()]);
            beyond.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;
    use crate::error::Status;

    /// A candidate of a later library.
    #[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
    #[repr(C)]
    struct Later {
        present: Candidate,
        more: [u64; 2],
    }

    impl Entry for Later {
        const ARRAY: &'static str = Candidate::ARRAY;
        const STATED: &'static str = Candidate::STATED;
        const FIRST: usize = Candidate::FIRST;
    }

    fn candidates() -> [Candidate; 3] {
        [1, 2, 3].map(|ad_key| Candidate { ad_key, quality: 0.5, ..Candidate::default() })
    }

    fn status<T>(result: Result<T, Failure>) -> Option<Status> {
        result.err().map(|failure| failure.status())
    }

    #[test]
    fn sizes_are_checked() {
        assert!(Stride::<Candidate>::new(0, true).is_ok_and(|s| s.0 == 56));
        for size in [56, 64, 4096] {
            assert!(Stride::<Candidate>::new(size, false).is_ok_and(|s| s.0 == size as usize));
        }
        for size in [0, 1, 48, 55, 57, 60, 4104, u32::MAX] {
            assert_eq!(status(Stride::<Candidate>::new(size, false)), Some(Status::BadStructSize), "{size}");
        }
    }

    #[test]
    fn arrays_that_cannot_be_are_refused_before_they_are_touched() {
        let (mut array, mut room) = (candidates(), candidates());
        let (at, most) = (&raw mut array[0], usize::MAX / 8);
        let [wide, narrow] = [4096, 64].map(|size| Stride::<Candidate>::new(size, false).ok().unwrap());
        // SAFETY: refused before anything is read or written.
        unsafe {
            assert_eq!(status(entries(at, most, wide, &mut room)), Some(Status::InvalidArgument));
            assert_eq!(status(Outputs::new(at, most, wide, &mut room)), Some(Status::InvalidArgument));
            assert_eq!(status(entries(at, 4, narrow, &mut room)), Some(Status::CapacityExceeded));
            assert_eq!(status(entries(std::ptr::null(), 1, narrow, &mut room)), Some(Status::InvalidArgument));
            assert_eq!(status(entries(at.wrapping_byte_add(4), 1, narrow, &mut room)), Some(Status::InvalidArgument));
        }
        // SAFETY: no entry is read.
        assert!(unsafe { entries(std::ptr::null(), 0, narrow, &mut []) }.is_ok_and(<[Candidate]>::is_empty));
    }

    #[test]
    fn a_later_library_takes_present_entries() {
        let present = candidates();
        let mut room = [Later { more: [9; 2], ..Later::zeroed() }; 3];
        let stride = Stride::<Later>::new(size_of::<Candidate>() as u32, false).ok().unwrap();
        // SAFETY: three entries of the stride stand there.
        let read = unsafe { entries((&raw const present).cast::<Later>(), 3, stride, &mut room) };
        let Ok(read) = read else { panic!("refused") };
        assert_eq!(read.iter().map(|later| later.present).collect::<Vec<_>>(), present);
        assert!(read.iter().all(|later| later.more == [0; 2]));

        let mut to = [Candidate { ad_key: 7, ..Candidate::default() }; 3];
        // SAFETY: three entries of the stride stand there.
        let outputs = unsafe { Outputs::new((&raw mut to).cast::<Later>(), 3, stride, &mut room) };
        let Ok(mut outputs) = outputs else { panic!("refused") };
        for (entry, present) in outputs.entries().iter_mut().zip(present) {
            *entry = Later { present, more: [5; 2] };
        }
        outputs.finish(2);
        assert_eq!(to[..2], present[..2]);
        assert_eq!(to[2].ad_key, 7, "past those that were filled");
    }

    #[test]
    fn the_present_library_takes_later_entries_that_ask_for_nothing_new() {
        let mut later = candidates().map(|present| Later { present, more: [0; 2] });
        let stride = Stride::<Candidate>::new(size_of::<Later>() as u32, false).ok().unwrap();
        let mut room = [Candidate::default(); 5];
        // SAFETY: three entries of the stride stand there.
        let read = unsafe { entries((&raw const later).cast(), 3, stride, &mut room) };
        assert!(read.is_ok_and(|read| read == candidates()));
        later[1].more[1] = 1 << 63;
        // SAFETY: three entries of the stride stand there.
        let Err(refused) = (unsafe { entries((&raw const later).cast(), 3, stride, &mut room) }) else {
            panic!("a field that is not known was ignored")
        };
        assert_eq!(refused.status(), Status::BadStructSize);
        assert!(refused.to_string().starts_with("candidates[1] "), "{refused}");

        later[2].more = [3; 2];
        // SAFETY: three entries of the stride stand there.
        let outputs = unsafe { Outputs::new((&raw mut later).cast(), 3, stride, &mut room) };
        let Ok(mut outputs) = outputs else { panic!("refused") };
        outputs.entries()[0].ad_key = 17;
        outputs.finish(1);
        assert_eq!((later[0].present.ad_key, later[0].more), (17, [0; 2]));
        assert_eq!((later[1].more[1], later[2].more), (1 << 63, [3; 2]));
    }
}
