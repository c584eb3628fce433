//! The bytes of a file, either mapped or copied into our own memory. Only this module maps files.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use memmap2::{Mmap, MmapMut, MmapRaw};

use crate::error::{Error, Result};
#[cfg(feature = "builder")]
use crate::files::open_regular;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenMode {
    /// Memory-mapped, shared between processes. A file that is truncated while mapped kills the process (SIGBUS), so
    /// published files must be replaced by rename and never written in place.
    #[default]
    Map,
    /// Read into anonymous memory, which is unaffected by later changes of the file.
    Copy,
}

/// The immutable bytes of an artifact, aligned to at least 64.
#[derive(Debug)]
pub struct Bytes(Backing);

#[derive(Debug)]
enum Backing {
    Mapped(Mmap),
    Copied { memory: MmapMut, len: usize },
}

impl Bytes {
    /// Opens a regular file.
    ///
    /// # Errors
    /// `Io` when the file cannot be opened, read or mapped, or is not a regular file.
    #[cfg(feature = "builder")]
    pub fn open(path: &Path, mode: OpenMode) -> Result<Self> {
        let (file, len) = open_regular(path)?;
        Self::of(file, len, path, mode)
    }

    /// The bytes of an open file of this length; the path is for messages.
    pub(crate) fn of(mut file: File, len: u64, path: &Path, mode: OpenMode) -> Result<Self> {
        let len = usize::try_from(len).map_err(|_| Error::corrupt(format!("{}: too large", path.display())))?;
        match mode {
            OpenMode::Map if len > 0 => {
                // SAFETY: the map is read-only and private to this value. Its contract, that no process truncates or
                // rewrites the file while it is mapped, is the documented rule for published bundles
                // (docs/operations.md); the copy mode exists for callers who cannot keep it.
                let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, &e))?;
                Ok(Self(Backing::Mapped(map)))
            }
            _ => {
                let mut bytes = Self::zeroed(len)?;
                file.read_exact(bytes.memory_mut()).map_err(|e| Error::io("read", path, &e))?;
                Ok(bytes)
            }
        }
    }

    /// A copy of a slice, aligned as a file would be.
    ///
    /// # Errors
    /// `Io` when the memory cannot be allocated.
    #[cfg(feature = "builder")]
    pub fn copy_of(slice: &[u8]) -> Result<Self> {
        let mut bytes = Self::zeroed(slice.len())?;
        bytes.memory_mut().copy_from_slice(slice);
        Ok(bytes)
    }

    /// Zeroed memory of the process, in large pages where the system has them. Pages are allocated on the first write.
    ///
    /// # Errors
    /// `Io` when the memory cannot be allocated.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        // At least one page: the system refuses an empty map.
        let memory = MmapMut::map_anon(len.max(1))
            .map_err(|e| Error::new(crate::Status::Io, format!("cannot allocate {len} bytes: {e}")))?;
        // A hint, before the first touch: with 2 MiB pages a random row of a large table misses one level fewer of the
        // page table.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Ok(Self(Backing::Copied { memory, len }))
    }

    /// The bytes if they are in memory of the process; otherwise none.
    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Backing::Copied { memory, len } => &mut memory[..*len],
            Backing::Mapped(_) => &mut [],
        }
    }

    /// Announces that all bytes are about to be read. A hint: a map of a file that is not in the system's cache is then
    /// read in 2 MiB pages, where the file system supports them (on Linux those with large folios). Not for files that
    /// are read sparsely: each first touch would read a whole large page.
    pub(crate) fn expect_whole_reading(&self) {
        #[cfg(target_os = "linux")]
        if let Backing::Mapped(map) = &self.0 {
            let _ = map.advise(memmap2::Advice::HugePage);
        }
    }

    /// Asks the system to bring all pages in now, so that no request waits for them.
    pub fn prefault(&self) {
        if let Backing::Mapped(map) = &self.0 {
            // A hint: where the system does not support it, pages are read when first touched.
            let _ = map.advise(memmap2::Advice::WillNeed);
            let mut sum = 0u8;
            for page in map.chunks(4096) {
                sum = sum.wrapping_add(page[0]);
            }
            std::hint::black_box(sum);
        }
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Backing::Mapped(map) => map,
            Backing::Copied { memory, len } => &memory[..*len],
        }
    }
}

/// Words that threads share, in a map of their own. They are zero until written, the system allocates them page by page
/// as they are touched, and they are freed as a whole. An allocator would keep them for the process.
#[derive(Debug)]
pub(crate) struct Words {
    map: MmapRaw,
    len: usize,
}

impl Words {
    /// This many words, all zero.
    ///
    /// # Errors
    /// The system refuses this much memory.
    pub(crate) fn zeroed(len: usize) -> std::io::Result<Self> {
        let bytes = len.max(1).checked_mul(size_of::<u64>()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { map: MmapMut::map_anon(bytes)?.into(), len })
    }
}

impl std::ops::Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the map is anonymous, writable, this value's alone and `len` words long, it begins at a page, and any
        // bits are an AtomicU64. It is accessed only through these atomics, which may be written while they are shared.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.len) }
    }
}
