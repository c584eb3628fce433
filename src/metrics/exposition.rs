//! A snapshot as text: its length, or the text written to the caller's memory.

use std::fmt::{self, Write};

use super::snapshot::Metrics;
use super::text;

impl Metrics {
    /// Bytes of the text.
    pub(crate) fn len(&self) -> usize {
        let mut length = Length(0);
        // Counting does not fail.
        let _ = text::write(self, &mut length);
        length.0
    }

    /// Writes the text to `buffer` and returns its length.
    ///
    /// # Errors
    /// The length needed, when `buffer` is smaller; then nothing is written.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, usize> {
        let needed = self.len();
        let Some(room) = buffer.get_mut(..needed) else { return Err(needed) };
        let mut slice = Slice { room, at: 0 };
        // The text is the one that was counted, so it fits.
        let _ = text::write(self, &mut slice);
        Ok(needed)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}

/// Counts the bytes written.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Writes to existing memory.
struct Slice<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl Write for Slice<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let to = self.room.get_mut(self.at..self.at + text.len()).ok_or(fmt::Error)?;
        to.copy_from_slice(text.as_bytes());
        self.at += text.len();
        Ok(())
    }
}
