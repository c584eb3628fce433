//! Reading and writing the caller's memory.

use std::ffi::c_char;

use bytemuck::Pod;

use super::failure::{Failure, null};
use crate::error::Status;
use crate::refusal::Refusal;

/// A struct that begins with its own size.
pub(super) trait SizedStruct: Pod {
    /// Its name in C.
    const NAME: &'static str;
    /// The size of its first version: the least that a caller can have.
    const FIRST: usize;
}

/// More than a page past what this library knows is no newer struct but a size that was never set.
const MOST_UNKNOWN: usize = 4096;

/// The size that a caller's struct states; `None` for NULL.
///
/// # Safety
/// `at` is NULL or points to a u32 that says how many bytes begin there.
pub(super) unsafe fn sized_room<T>(at: *const T) -> Option<usize> {
    // SAFETY: not NULL; clause sizes, as this function asks: a u32 stands there.
    (!at.is_null()).then(|| unsafe { at.cast::<u32>().read_unaligned() } as usize)
}

/// The same, checked.
///
/// # Safety
/// As [`sized_room`].
unsafe fn checked_room<T: SizedStruct>(at: *const T) -> Result<Option<usize>, Failure> {
    const { assert!(T::FIRST >= 4 && T::FIRST <= size_of::<T>(), "the first version is not larger than the present one") };
    // SAFETY: clause sizes, as this function asks.
    let Some(size) = (unsafe { sized_room(at) }) else { return Ok(None) };
    if !at.is_aligned() {
        return Err(Failure::Refusal(Refusal::Argument {
            what: T::NAME,
            rule: "the struct is not aligned to its type",
        }));
    }
    if size < T::FIRST || size > size_of::<T>() + MOST_UNKNOWN {
        return Err(bad_size::<T>(size));
    }
    Ok(Some(size))
}

fn bad_size<T: SizedStruct>(found: usize) -> Failure {
    Failure::Refusal(Refusal::StructSize { what: T::NAME, found: found as u32, expected: size_of::<T>() as u32 })
}

/// The caller's struct as this library knows it: fields that the caller's lacks are 0. `None` for NULL.
///
/// # Safety
/// `from` is NULL or points to a u32 that says how many readable bytes begin there.
pub(super) unsafe fn read_optional<T: SizedStruct>(from: *const T) -> Result<Option<T>, Failure> {
    // SAFETY: clause sizes, as this function asks.
    let Some(size) = (unsafe { checked_room(from) })? else { return Ok(None) };
    let mut value = T::zeroed();
    let known = size.min(size_of::<T>());
    // SAFETY: clause sizes, as this function asks: `size` bytes are readable, and `known` is not more than either side has.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), std::ptr::from_mut(&mut value).cast(), known) };
    // SAFETY: clause sizes: bytes `known..size` are readable, too; the range is empty when the caller's is not the larger.
    let tail = unsafe { std::slice::from_raw_parts(from.cast::<u8>().add(known), size - known) };
    if tail.iter().any(|&b| b != 0) {
        return Err(bad_size::<T>(size));
    }
    Ok(Some(value))
}

/// The same for a struct that must be there.
///
/// # Safety
/// As [`read_optional`].
pub(super) unsafe fn read_sized<T: SizedStruct>(from: *const T) -> Result<T, Failure> {
    // SAFETY: clause sizes, as this function asks.
    unsafe { read_optional(from) }?.ok_or_else(|| null(T::NAME))
}

/// A struct of the caller, written on success.
pub(super) struct Output<T> {
    to: *mut T,
    size: usize,
}

impl<T: SizedStruct> Output<T> {
    /// Checks the size; writes nothing. NULL means that the caller does not want the output.
    ///
    /// # Safety
    /// `to` is NULL or points to a u32 that says how many bytes begin there; they are writable for as long as this
    /// value lives.
    pub(super) unsafe fn new(to: *mut T) -> Result<Self, Failure> {
        // SAFETY: clause sizes, as this function asks.
        Ok(Self { to, size: unsafe { checked_room(to) }?.unwrap_or(0) })
    }

    /// Writes as much of `value` as the caller's struct has room for. Its size stays as the caller set it; what this
    /// library does not know becomes 0.
    pub(super) fn write(self, value: &T) {
        if self.size == 0 {
            return;
        }
        let known = self.size.min(size_of::<T>());
        // SAFETY: clauses sizes and outputs, as `new` asks: `size` bytes are writable, and `known`, at least 4, is not more than either
        // side has; the two do not overlap because `value` is a local of the library.
        unsafe {
            let to = self.to.cast::<u8>();
            std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast::<u8>().add(4), to.add(4), known - 4);
            to.add(known).write_bytes(0, self.size - known);
        }
    }
}

/// The caller's array; NULL is an array of nothing.
///
/// # Safety
/// `from` is NULL or points to `len` readable entries, which stay unchanged while the slice is used.
pub(super) unsafe fn slice<'a, T: Pod>(from: *const T, len: usize, what: &'static str) -> Result<&'a [T], Failure> {
    check_array(from, len, size_of::<T>(), what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL and aligned; clause arrays, as this function asks; `check_array` made sure that the size fits isize.
    Ok(unsafe { std::slice::from_raw_parts(from, len) })
}

/// The caller's array to write to; NULL is an array of nothing.
///
/// # Safety
/// `to` is NULL or points to `len` writable entries, which nothing else accesses while the slice is used. What they
/// hold does not matter: memory from C has some content, and any bytes are a valid T.
pub(super) unsafe fn slice_mut<'a, T: Pod>(to: *mut T, len: usize, what: &'static str) -> Result<&'a mut [T], Failure> {
    check_array(to, len, size_of::<T>(), what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not NULL and aligned; clauses arrays and outputs, as this function asks; any bytes are a valid T.
    Ok(unsafe { std::slice::from_raw_parts_mut(to, len) })
}

/// Whether an array of entries `stride` bytes apart can be at this address.
pub(super) fn check_array<T>(at: *const T, len: usize, stride: usize, what: &'static str) -> Result<(), Failure> {
    if len == 0 {
        return Ok(());
    }
    if at.is_null() {
        return Err(null(what));
    }
    if !at.is_aligned() || len.checked_mul(stride).is_none_or(|bytes| bytes > isize::MAX as usize) {
        let rule = "the array is not aligned to its entries, or larger than memory";
        return Err(Failure::Refusal(Refusal::Argument { what, rule }));
    }
    Ok(())
}

/// The place of one output, written on success. NULL is an error.
///
/// # Safety
/// `to` is NULL or points to a T that is writable for as long as this value lives.
pub(super) unsafe fn place<T>(to: *mut T, what: &'static str) -> Result<Place<T>, Failure> {
    if to.is_null() { Err(null(what)) } else { Ok(Place(to)) }
}

/// The same; NULL when the caller does not want the output.
///
/// # Safety
/// As [`place`].
pub(super) unsafe fn optional_place<T>(to: *mut T) -> Place<T> {
    Place(to)
}

/// Where one output goes.
pub(super) struct Place<T>(*mut T);

impl<T> Place<T> {
    pub(super) fn put(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not NULL; clause outputs, as `place` asks; unaligned is allowed.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

/// A text of the caller: bytes with a length.
///
/// # Safety
/// As [`slice`].
pub(super) unsafe fn text<'a>(from: *const c_char, len: usize, what: &'static str) -> Result<&'a str, Failure> {
    // SAFETY: clause arrays, as this function asks.
    let bytes = unsafe { slice(from.cast(), len, what) }?;
    let rule = "it is not UTF-8";
    std::str::from_utf8(bytes).map_err(|_| Failure::Refusal(Refusal::Argument { what, rule }))
}

/// A path of the caller: bytes with a length.
///
/// # Safety
/// As [`slice`].
pub(super) unsafe fn path<'a>(from: *const c_char, len: usize) -> Result<&'a std::path::Path, Failure> {
    // SAFETY: clause arrays, as this function asks.
    path_of(unsafe { slice(from.cast(), len, "path") }?)
}

/// The same of its bytes.
pub(super) fn path_of(bytes: &[u8]) -> Result<&std::path::Path, Failure> {
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Failure::Plain(Status::InvalidArgument, "the path is empty or holds a 0 byte"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Ok(std::path::Path::new(std::ffi::OsStr::from_bytes(bytes)))
    }
    #[cfg(not(unix))]
    {
        let text = std::str::from_utf8(bytes);
        text.map(std::path::Path::new).map_err(|_| Failure::Plain(Status::InvalidArgument, "the path is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;
    use crate::types::{Outcome, Request};

    /// The structs of the hot call as a later library may know them.
    #[derive(Clone, Copy, Pod, Zeroable)]
    #[repr(C)]
    struct LaterRequest {
        present: Request,
        more: [u64; 2],
    }

    #[derive(Clone, Copy, Pod, Zeroable)]
    #[repr(C)]
    struct LaterOutcome {
        present: Outcome,
        more: [u64; 2],
    }

    impl SizedStruct for LaterRequest {
        const NAME: &'static str = Request::NAME;
        const FIRST: usize = Request::FIRST;
    }

    impl SizedStruct for LaterOutcome {
        const NAME: &'static str = Outcome::NAME;
        const FIRST: usize = Outcome::FIRST;
    }

    #[test]
    fn a_later_library_takes_the_present_structs() {
        let present = Request { struct_size: size_of::<Request>() as u32, request_id: 7, ..Request::default() };
        // What follows the caller's struct in memory is not the library's.
        let around = LaterRequest { present, more: [u64::MAX; 2] };
        // SAFETY: clause sizes: the struct holds the bytes that its size states.
        let Ok(read) = (unsafe { read_sized(&raw const around) }) else { panic!("refused") };
        assert_eq!((read.present, read.more), (present, [0; 2]));

        let mut place = LaterOutcome { present: Outcome::default(), more: [u64::MAX; 2] };
        place.present.struct_size = size_of::<Outcome>() as u32;
        let done =
            LaterOutcome { present: Outcome { n_winners: 3, generation: 9, ..Outcome::default() }, more: [1, 2] };
        // SAFETY: clause sizes: the struct holds the bytes that its size states.
        let Ok(output) = (unsafe { Output::new(&raw mut place) }) else { panic!("refused") };
        output.write(&done);
        assert_eq!((place.present.n_winners, place.present.generation, place.more), (3, 9, [u64::MAX; 2]));
        assert_eq!(place.present.struct_size as usize, size_of::<Outcome>());
    }

    #[test]
    fn the_present_library_takes_later_structs_that_ask_for_nothing_new() {
        let mut later = LaterRequest::zeroed();
        later.present.struct_size = size_of::<LaterRequest>() as u32;
        later.present.request_id = 7;
        let at = (&raw const later).cast::<Request>();
        // SAFETY: clause sizes: the struct holds the bytes that its size states.
        assert!(unsafe { read_sized(at) }.is_ok_and(|r| r.request_id == 7));
        later.more[1] = 1;
        let at = (&raw const later).cast::<Request>();
        // SAFETY: clause sizes: the struct holds the bytes that its size states.
        assert!(unsafe { read_sized(at) }.is_err());
    }
}
