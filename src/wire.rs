//! Little-endian bytes of the small sections: a writer, and a reader that checks every step and reports offsets.

use crate::error::{Error, Result};

/// Collects the bytes of a section.
#[derive(Debug, Default)]
#[cfg(feature = "builder")]
pub(crate) struct Writer(pub(crate) Vec<u8>);

#[cfg(feature = "builder")]
impl Writer {
    pub(crate) fn u8(&mut self, v: u8) {
        self.0.push(v);
    }

    pub(crate) fn u16(&mut self, v: u16) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, v: i64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, v: i32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, v: f32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, v: f64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    /// A u16 length, then the bytes. The caller has checked that the length fits.
    pub(crate) fn text(&mut self, v: &str) {
        self.u16(v.len() as u16);
        self.0.extend_from_slice(v.as_bytes());
    }
}

/// Reads the bytes of a section from its start.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    section: &'static str,
    bytes: &'a [u8],
    at: usize,
    /// The start of the last item read, which errors point at.
    last: usize,
}

macro_rules! numbers {
    ($($name:ident $type:ty),*) => { $(
        pub(crate) fn $name(&mut self) -> Result<$type> {
            self.array().map(<$type>::from_le_bytes)
        }
    )* };
}

impl<'a> Reader<'a> {
    pub(crate) fn new(section: &'static str, bytes: &'a [u8]) -> Self {
        Self { section, bytes, at: 0, last: 0 }
    }

    numbers!(u8 u8, u16 u16, u32 u32, u64 u64, i32 i32, i64 i64, f32 f32, f64 f64);

    /// The offset of the next item.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// An error about the last item read.
    pub(crate) fn error(&self, what: impl std::fmt::Display) -> Error {
        self.error_at(self.last, what)
    }

    fn error_at(&self, at: usize, what: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("section `{}`, offset {at}: {what}", self.section))
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let left = self.bytes.len() - self.at;
        if len > left {
            return Err(self.error_at(self.at, format_args!("{len} more bytes expected, {left} are left")));
        }
        self.last = self.at;
        let slice = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let slice = self.bytes(N)?;
        let mut array = [0; N];
        array.copy_from_slice(slice);
        Ok(array)
    }

    /// A u16 length, then that many bytes of UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let len = self.u16()?;
        let bytes = self.bytes(len.into())?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a text is not UTF-8"))
    }

    /// A count of items that take at least `least` bytes each, so that a wrong count fails before anything is
    /// allocated.
    pub(crate) fn count(&mut self, what: &str, least: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        let left = self.bytes.len() - self.at;
        match count.checked_mul(least) {
            Some(need) if need <= left => Ok(count),
            _ => Err(self.error(format_args!("{count} {what} cannot stand in the {left} bytes that are left"))),
        }
    }

    /// `n` bytes that must be 0.
    pub(crate) fn zeros(&mut self, n: usize) -> Result<()> {
        match self.bytes(n)?.iter().find(|&&b| b != 0) {
            None => Ok(()),
            Some(b) => Err(self.error(format_args!("{n} zero bytes expected, found {b:#04x}"))),
        }
    }

    /// The section must end here.
    pub(crate) fn end(&self) -> Result<()> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.error_at(self.at, format_args!("the section should end here, {left} bytes follow"))),
        }
    }
}
