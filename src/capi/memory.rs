//! Reading and writing the caller's memory.

use bytemuck::Pod;

use super::status::Failure;
use crate::error::Status;
use crate::refusal::Refusal;

/// The caller's struct that begins with its own size, as this library knows it: what the caller's lacks is 0.
///
/// # Safety
/// `from` is NULL or points to a u32 that says how many readable bytes begin there.
pub(super) unsafe fn read_sized<T: Pod>(from: *const T, what: &'static str) -> Result<T, Failure> {
    if from.is_null() {
        return Err(null(what));
    }
    if !from.is_aligned() {
        return Err(Failure::Refusal(Refusal::Field { what, index: 0, rule: "the struct is not aligned" }));
    }
    // SAFETY: not NULL, and by the contract a u32 stands there.
    let size = unsafe { from.cast::<u32>().read() };
    let expected = size_of::<T>() as u32;
    // More than a page of what this library does not know is no newer struct but a size that was never set.
    if size < 4 || size > expected + 4096 {
        return Err(Failure::Refusal(Refusal::StructSize { what, found: size, expected }));
    }
    let mut value = T::zeroed();
    let known = size.min(expected) as usize;
    // SAFETY: `size` bytes are readable by the contract, and `known` is not more than either side has.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), std::ptr::from_mut(&mut value).cast(), known) };
    // SAFETY: bytes `expected..size` are readable by the contract; the range is empty when size ≤ expected.
    let tail = unsafe { std::slice::from_raw_parts(from.cast::<u8>().add(known), size as usize - known) };
    if tail.iter().any(|&b| b != 0) {
        return Err(Failure::Refusal(Refusal::StructSize { what, found: size, expected }));
    }
    Ok(value)
}

/// Writes as much of a struct as the caller's has room for; its first u32, the size, stays as the caller set it.
/// NULL and a size under 8 are left alone.
///
/// # Safety
/// `to` is NULL or points to a u32 that says how many writable bytes begin there.
pub(super) unsafe fn write_sized<T: Copy>(to: *mut T, value: &T) {
    if to.is_null() || !to.is_aligned() {
        return;
    }
    // SAFETY: not NULL, and by the contract a u32 stands there.
    let size = unsafe { to.cast::<u32>().read() } as usize;
    let len = size.min(size_of::<T>());
    if len > 4 {
        // SAFETY: `size` bytes are writable by the contract, `len` is not more than either side has; the two do not
        // overlap because `value` is a local of the library.
        unsafe {
            std::ptr::copy_nonoverlapping(
                std::ptr::from_ref(value).cast::<u8>().add(4),
                to.cast::<u8>().add(4),
                len - 4,
            );
        }
    }
}

/// The caller's array; NULL is an array of nothing.
///
/// # Safety
/// `from` is NULL or points to `len` readable entries that nobody changes during the call.
pub(super) unsafe fn slice<'a, T: Pod>(from: *const T, len: usize, what: &'static str) -> Result<&'a [T], Failure> {
    check_array(from, len, what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, aligned, and readable by the contract; `check_array` made sure that the size fits isize.
    Ok(unsafe { std::slice::from_raw_parts(from, len) })
}

/// The caller's array to write to; NULL is an array of nothing.
///
/// # Safety
/// `to` is NULL or points to `len` initialised entries that nobody else touches during the call.
pub(super) unsafe fn slice_mut<'a, T: Pod>(to: *mut T, len: usize, what: &'static str) -> Result<&'a mut [T], Failure> {
    check_array(to, len, what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: not NULL, aligned, and writable by the contract; any bytes are a valid T.
    Ok(unsafe { std::slice::from_raw_parts_mut(to, len) })
}

fn check_array<T>(at: *const T, len: usize, what: &'static str) -> Result<(), Failure> {
    if len == 0 {
        return Ok(());
    }
    if at.is_null() {
        return Err(null(what));
    }
    if !at.is_aligned() || len.checked_mul(size_of::<T>()).is_none_or(|bytes| bytes > isize::MAX as usize) {
        let rule = "the array is not aligned to its entries, or larger than memory";
        return Err(Failure::Refusal(Refusal::Field { what, index: 0, rule }));
    }
    Ok(())
}

/// A place for one output.
///
/// # Safety
/// `to` is NULL or points to a writable T.
pub(super) unsafe fn put<T>(to: *mut T, value: T, what: &'static str) -> Result<(), Failure> {
    if to.is_null() {
        return Err(null(what));
    }
    // SAFETY: not NULL and writable by the contract; unaligned is allowed.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

pub(super) fn null(what: &'static str) -> Failure {
    Failure::Refusal(Refusal::Field { what, index: 0, rule: "it is NULL" })
}

/// A text of the caller: bytes with a length.
///
/// # Safety
/// As [`slice`].
pub(super) unsafe fn text<'a>(from: *const u8, len: usize, what: &'static str) -> Result<&'a str, Failure> {
    // SAFETY: the same contract.
    let bytes = unsafe { slice(from, len, what) }?;
    std::str::from_utf8(bytes).map_err(|_| Failure::Plain(Status::InvalidArgument, "a name is not UTF-8"))
}

/// A path of the caller: bytes with a length.
///
/// # Safety
/// As [`slice`].
pub(super) unsafe fn path<'a>(from: *const u8, len: usize) -> Result<&'a std::path::Path, Failure> {
    // SAFETY: the same contract.
    let bytes = unsafe { slice(from, len, "path") }?;
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
