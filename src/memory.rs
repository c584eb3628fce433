//! Memory that callers give no size to twice: it is there when this returns, or the caller is told that it is not.

use crate::error::{Error, Result, Status};

/// `n` times the default, every page of it touched: nothing is left for a first request to wait for.
///
/// # Errors
/// `CapacityExceeded` when the system refuses so much.
pub(crate) fn filled<T: Default + Clone>(n: usize) -> Result<Box<[T]>> {
    let mut values = reserved(n)?;
    values.resize(n, T::default());
    Ok(values.into_boxed_slice())
}

/// Room for `n`.
///
/// # Errors
/// As [`filled`].
pub(crate) fn reserved<T>(n: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(n).map_err(|_| {
        let text = format!(
            "{} bytes of memory were refused: ask for fewer candidates, or free some",
            n as u128 * size_of::<T>() as u128
        );
        Error::new(Status::CapacityExceeded, text)
    })?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error_that_says_how_much() {
        assert_eq!(&*filled::<u32>(3).unwrap(), [0, 0, 0]);
        assert_eq!(reserved::<u64>(5).unwrap().capacity(), 5);
        for n in [usize::MAX, usize::MAX / 16] {
            let error = filled::<u64>(n).unwrap_err();
            assert_eq!(error.status, Status::CapacityExceeded);
            assert!(error.message.contains(&(n as u128 * 8).to_string()), "{}", error.message);
        }
    }
}
