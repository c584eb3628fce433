//! Memory that is allocated once: when a function returns, it either holds all of it or has failed.

use bytemuck::Zeroable;

use crate::error::{Error, Result, Status};

/// `n` times the default, with every page touched, so that a first request waits for none of them.
///
/// # Errors
/// `CapacityExceeded` when the system refuses this much memory.
pub(crate) fn filled<T: Default + Clone>(n: usize) -> Result<Box<[T]>> {
    let mut values = reserved(n)?;
    values.resize(n, T::default());
    Ok(values.into_boxed_slice())
}

/// `n` zeros, whose pages are allocated on the first write: for memory that most callers never use.
///
/// # Errors
/// As [`filled`].
pub(crate) fn untouched<T: Zeroable>(n: usize) -> Result<Box<[T]>> {
    bytemuck::try_zeroed_slice_box(n).map_err(|()| refused::<T>(n))
}

/// Room for `n`.
///
/// # Errors
/// As [`filled`].
pub(crate) fn reserved<T>(n: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(n).map_err(|_| refused::<T>(n))?;
    Ok(values)
}

fn refused<T>(n: usize) -> Error {
    let bytes = n as u128 * size_of::<T>() as u128;
    Error::new(
        Status::CapacityExceeded,
        format!("{bytes} bytes of memory were refused: ask for fewer candidates, or free some"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error_that_says_how_much() {
        assert_eq!(&*filled::<u32>(3).unwrap(), [0, 0, 0]);
        assert_eq!(&*untouched::<u32>(3).unwrap(), [0, 0, 0]);
        assert_eq!(reserved::<u64>(5).unwrap().capacity(), 5);
        assert_eq!(untouched::<u64>(usize::MAX / 16).unwrap_err().status, Status::CapacityExceeded);
        for n in [usize::MAX, usize::MAX / 16] {
            let error = filled::<u64>(n).unwrap_err();
            assert_eq!(error.status, Status::CapacityExceeded);
            assert!(error.message.contains(&(n as u128 * 8).to_string()), "{}", error.message);
        }
    }
}
