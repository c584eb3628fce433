//! Standard output, whose reader may be gone and whose disk may be full.

use std::fmt;
use std::io::{self, StdoutLock, Write};

/// Standard output for one command. It returns an error where `println!` would panic.
pub struct Stdout(StdoutLock<'static>);

/// The reader of standard output has closed it, as `head` does when it has enough.
#[derive(Debug)]
struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of standard output has closed it")
    }
}

impl std::error::Error for ReaderGone {}

/// Takes standard output.
#[must_use]
pub fn lock() -> Stdout {
    Stdout(io::stdout().lock())
}

/// Whether a command ended because its output is no longer read, which is not a failure.
#[must_use]
pub fn reader_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<ReaderGone>())
    })
}

fn told(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ReaderGone),
        kind => io::Error::new(kind, format!("cannot write to standard output: {error}")),
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(told)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(told)
    }
}
