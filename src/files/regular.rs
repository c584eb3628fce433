//! Opens and reads only regular files: a FIFO would make its reader wait for ever.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result, Status};

/// Opens a regular file for reading and returns its length. Anything else (a FIFO, a socket, a device, a directory) is
/// refused at once, without waiting.
///
/// # Errors
/// `Io`, naming the file and its actual type.
pub fn open_regular(path: &Path) -> Result<(File, u64)> {
    let fail = |e: io::Error| Error::io("open", path, &e);
    // Checks the type before opening, because opening some devices has side effects.
    regular(fs::metadata(path).map_err(fail)?.file_type()).map_err(fail)?;
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // If it has become a FIFO since, opening does not wait for a writer. The flag has no effect on regular files.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    regular(metadata.file_type()).map_err(fail)?;
    Ok((file, metadata.len()))
}

/// Reads a regular file of at most `most` bytes. A longer one is refused before any of it is read.
///
/// # Errors
/// As [`open_regular`]; `Corrupt` when it is longer.
pub fn read_limited(path: &Path, most: u64) -> Result<Vec<u8>> {
    let (file, len) = open_regular(path)?;
    let too_long = |len: u64| {
        Err(Error::corrupt(format!("{}: {len} bytes, expected at most {most}: not what it should be", path.display())))
    };
    if len > most {
        return too_long(len);
    }
    let mut bytes = Vec::with_capacity(len as usize);
    // It may grow meanwhile.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, &e))?;
    if bytes.len() as u64 > most { too_long(bytes.len() as u64) } else { Ok(bytes) }
}

/// The same for text.
///
/// # Errors
/// As [`read_limited`]; `Io` when it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read_limited(path, most)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::new(Status::Io, format!("cannot read {}: not UTF-8 at offset {at}", path.display()))
    })
}

fn regular(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    Err(io::Error::other(format!("it is {}, expected a regular file", what(kind))))
}

/// The type of a file that is not a regular one.
fn what(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a FIFO";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a directory" } else { "something else" }
}
