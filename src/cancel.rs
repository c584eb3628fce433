//! Cancelling long work: opening a bundle checks now and then whether to continue.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result, Status};

/// Whether to continue. The default always does.
#[derive(Clone, Copy, Default)]
pub struct Cancel<'a>(Option<&'a dyn Fn() -> bool>);

/// The bytes that are summed between two checks.
const CHUNK: usize = 16 << 20;

impl<'a> Cancel<'a> {
    /// Work ends when `asked` returns true. The working thread calls it several hundred times a second.
    #[must_use]
    pub fn when(asked: &'a dyn Fn() -> bool) -> Self {
        Self(Some(asked))
    }

    /// # Errors
    /// `Closed` when the work should end.
    pub(crate) fn check(self) -> Result<()> {
        match self.0 {
            Some(asked) if asked() => Err(Error::new(Status::Closed, "called off: the engine was closed meanwhile")),
            _ => Ok(()),
        }
    }

    /// The checksum of bytes that may be many.
    ///
    /// # Errors
    /// As [`Cancel::check`].
    pub(crate) fn checksum(self, bytes: &[u8]) -> Result<u64> {
        let mut sum = Xxh3::new();
        for chunk in bytes.chunks(CHUNK) {
            self.check()?;
            sum.update(chunk);
        }
        Ok(sum.digest())
    }
}

impl fmt::Debug for Cancel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Cancel(when asked)" } else { "Cancel(never)" })
    }
}
