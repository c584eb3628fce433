//! Writes the container: either a whole file in memory, or only header and directory for a file written piece by piece.

use super::{ALIGN, ArtifactKind, ENTRY, FORMAT_VERSION, HEADER, MAGIC, valid_name};
use crate::hash::checksum;

/// Builds an artifact in memory. The same sections give the same bytes.
#[derive(Debug)]
pub struct Builder {
    kind: ArtifactKind,
    sections: Vec<(String, bool, Vec<u8>)>,
}

impl Builder {
    /// An artifact without sections.
    #[must_use]
    pub fn new(kind: ArtifactKind) -> Self {
        Self { kind, sections: Vec::new() }
    }

    /// Adds a section. `name`: 1 to 24 bytes of `a-z`, `0-9` and `_`.
    ///
    /// # Panics
    /// The name breaks this rule.
    #[must_use]
    pub fn section(mut self, name: &str, required: bool, bytes: Vec<u8>) -> Self {
        assert!(valid_name(name.as_bytes()), "section name {name:?}");
        self.sections.push((name.to_owned(), required, bytes));
        self
    }

    /// The bytes of the file.
    #[must_use]
    pub fn build(self) -> Vec<u8> {
        let mut file = vec![0; front_len(self.sections.len())];
        let mut entries = Vec::with_capacity(self.sections.len());
        for (name, required, bytes) in &self.sections {
            entries.push(SectionEntry {
                name,
                required: *required,
                len: bytes.len() as u64,
                checksum: checksum(bytes),
            });
            file.extend_from_slice(bytes);
            file.resize(file.len().next_multiple_of(ALIGN), 0);
        }
        let front = front(self.kind, &entries);
        file[..front.len()].copy_from_slice(&front);
        file
    }
}

/// A section as the directory lists it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SectionEntry<'a> {
    pub(crate) name: &'a str,
    pub(crate) required: bool,
    pub(crate) len: u64,
    pub(crate) checksum: u64,
}

/// Bytes of header and directory; the first section begins there.
pub(crate) fn front_len(sections: usize) -> usize {
    HEADER + ENTRY * sections
}

/// Header and directory of a file with these sections, in this order.
pub(crate) fn front(kind: ArtifactKind, sections: &[SectionEntry<'_>]) -> Vec<u8> {
    let mut front = vec![0; front_len(sections.len())];
    let mut offset = front.len() as u64;
    for (section, entry) in sections.iter().zip(front[HEADER..].chunks_exact_mut(ENTRY)) {
        entry[..section.name.len()].copy_from_slice(section.name.as_bytes());
        put(entry, 24, &offset.to_le_bytes());
        put(entry, 32, &section.len.to_le_bytes());
        put(entry, 40, &section.checksum.to_le_bytes());
        put(entry, 48, &u32::from(section.required).to_le_bytes());
        offset = (offset + section.len).next_multiple_of(ALIGN as u64);
    }
    let directory = checksum(&front[HEADER..]);
    let header = &mut front[..HEADER];
    put(header, 0, &MAGIC);
    put(header, 8, &FORMAT_VERSION.to_le_bytes());
    put(header, 12, &(kind as u32).to_le_bytes());
    put(header, 16, &offset.to_le_bytes());
    put(header, 24, &(sections.len() as u32).to_le_bytes());
    put(header, 32, &directory.to_le_bytes());
    let sum = checksum(&header[..56]);
    put(header, 56, &sum.to_le_bytes());
    front
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}
