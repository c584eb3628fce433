//! The container that every artifact shares: header, section directory, sections. docs/format.md is normative.

#[cfg(feature = "builder")]
mod write;

use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::hash::checksum;

#[cfg(feature = "builder")]
pub use write::Builder;
#[cfg(feature = "builder")]
pub(crate) use write::{SectionEntry, front, front_len};

/// First bytes of every artifact.
pub const MAGIC: [u8; 8] = *b"ADCLICK\0";
/// The version that this library writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// Sections begin at multiples of this many bytes.
pub const ALIGN: usize = 64;
/// Bytes of the header.
const HEADER: usize = 64;
/// Bytes of a directory entry.
const ENTRY: usize = 64;
/// Bytes of a section's name in its entry.
const NAME: usize = 24;
/// The flag of a section that a reader must understand.
const REQUIRED: u32 = 1;
/// An upper limit on the sections of any artifact; keeps the directory small before it is trusted.
const MAX_SECTIONS: u32 = 1024;

/// The kind of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ArtifactKind {
    /// A model.
    Model = 1,
    /// A feature table.
    Table = 2,
    /// Calibrators.
    Calibrators = 3,
}

/// A section's place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Whether a reader that does not know the section must refuse the file.
    pub required: bool,
    /// First byte in the file, a multiple of 64.
    pub offset: usize,
    /// Bytes, without padding.
    pub len: usize,
}

/// The checked directory of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    sections: Vec<Section>,
}

impl Container {
    /// Checks header, directory, padding and every checksum, and that required sections are among `known`.
    ///
    /// # Errors
    /// `Corrupt` (damage) or `Unsupported` (newer version, unknown required section), naming section and offset.
    pub fn open(file: &[u8], kind: ArtifactKind, known: &[&str]) -> Result<Self> {
        Self::open_until(file, kind, known, Cancel::default())
    }

    /// The same, with a way to cancel it.
    pub(crate) fn open_until(file: &[u8], kind: ArtifactKind, known: &[&str], cancel: Cancel<'_>) -> Result<Self> {
        Self::open_with(file, kind, known, Some(cancel))
    }

    /// The same without the sections' checksums: for bytes that were just compared with a checksum, or that are too
    /// many to read. Header and directory are still checked.
    ///
    /// # Errors
    /// As [`Container::open`].
    pub fn open_unread(file: &[u8], kind: ArtifactKind, known: &[&str]) -> Result<Self> {
        Self::open_with(file, kind, known, None)
    }

    /// `checksums`: whether to check those of the sections. The check can be cancelled.
    fn open_with(file: &[u8], kind: ArtifactKind, known: &[&str], checksums: Option<Cancel<'_>>) -> Result<Self> {
        let count = check_header(file, kind)?;
        let mut sections = Vec::with_capacity(count);
        let mut next = HEADER + ENTRY * count;
        for i in 0..count {
            let (section, sum) = check_entry(file, i, next)?;
            let entry = HEADER + ENTRY * i;
            if sections.iter().any(|s: &Section| s.name == section.name) {
                return Err(Error::corrupt(format!(
                    "directory entry {i}, offset {entry}: section `{}` is in the file twice",
                    section.name
                )));
            }
            let end = section.offset + section.len;
            let found = match checksums {
                Some(cancel) => cancel.checksum(&file[section.offset..end])?,
                None => sum,
            };
            if found != sum {
                return Err(Error::corrupt(format!(
                    "section `{}`, offset {}: checksum {found:016x}, the directory says {sum:016x}: the file is \
                     damaged, copy it again",
                    section.name, section.offset
                )));
            }
            next = end.next_multiple_of(ALIGN);
            if let Some(i) = file[end..next].iter().position(|&b| b != 0) {
                return Err(Error::corrupt(format!(
                    "section `{}`, offset {}: padding after the section is not zero",
                    section.name,
                    end + i
                )));
            }
            if section.required && !known.contains(&section.name.as_str()) {
                return Err(Error::unsupported(format!(
                    "directory entry {i}, offset {entry}: section `{}` is required and this library does not know it: \
                     update the library",
                    section.name
                )));
            }
            sections.push(section);
        }
        if next != file.len() {
            return Err(Error::corrupt(format!(
                "directory: the sections end at offset {next}, the file at {}: bytes follow that no section owns",
                file.len()
            )));
        }
        Ok(Self { sections })
    }

    /// All sections in file order.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The place of a section, if the file has it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// The place of a required section.
    ///
    /// # Errors
    /// `Corrupt` when the file does not have it.
    pub fn require(&self, name: &str) -> Result<&Section> {
        self.find(name)
            .ok_or_else(|| Error::corrupt(format!("directory, offset {HEADER}: section `{name}` is missing")))
    }
}

fn check_header(file: &[u8], kind: ArtifactKind) -> Result<usize> {
    if file.len() < HEADER {
        return Err(Error::corrupt(format!("header, offset 0: {HEADER} bytes expected, the file has {}", file.len())));
    }
    if file[..8] != MAGIC {
        return Err(Error::corrupt(format!(
            "header, offset 0: not an adclick artifact (expected {MAGIC:02x?}, found {:02x?})",
            &file[..8]
        )));
    }
    let version = u32_at(file, 8);
    // A newer version may have another header, so the version is checked first.
    if version > FORMAT_VERSION {
        return Err(Error::unsupported(format!(
            "header, offset 8: format version {version}, this library reads up to {FORMAT_VERSION}: update the library"
        )));
    }
    let (sum, found) = (u64_at(file, 56), checksum(&file[..56]));
    if sum != found {
        return Err(Error::corrupt(format!(
            "header, offset 56: checksum {found:016x}, the header says {sum:016x}: the file is damaged, copy it again"
        )));
    }
    if version != FORMAT_VERSION {
        return Err(Error::corrupt(format!("header, offset 8: format version {version}, expected {FORMAT_VERSION}")));
    }
    if u32_at(file, 12) != kind as u32 {
        return Err(Error::corrupt(format!(
            "header, offset 12: artifact kind {}, expected {} ({kind:?})",
            u32_at(file, 12),
            kind as u32
        )));
    }
    if u64_at(file, 16) != file.len() as u64 {
        return Err(Error::corrupt(format!(
            "header, offset 16: the file should have {} bytes and has {}: it was cut or grew, copy it again",
            u64_at(file, 16),
            file.len()
        )));
    }
    let count = u32_at(file, 24);
    if count == 0 || count > MAX_SECTIONS {
        return Err(Error::corrupt(format!("header, offset 24: {count} sections, expected 1 to {MAX_SECTIONS}")));
    }
    if let Some(i) = (28..32).chain(40..56).find(|&i| file[i] != 0) {
        return Err(Error::corrupt(format!("header, offset {i}: reserved byte is {:#04x}, expected 0", file[i])));
    }
    let count = count as usize;
    let end = HEADER + ENTRY * count;
    if end > file.len() {
        return Err(Error::corrupt(format!(
            "header, offset 24: {count} sections need a directory up to offset {end}, the file ends at {}",
            file.len()
        )));
    }
    let (sum, found) = (u64_at(file, 32), checksum(&file[HEADER..end]));
    if sum != found {
        return Err(Error::corrupt(format!(
            "directory, offset {HEADER}: checksum {found:016x}, the header says {sum:016x}: the file is damaged"
        )));
    }
    Ok(count)
}

/// The section of directory entry `i`, which must begin at `expected`.
fn check_entry(file: &[u8], i: usize, expected: usize) -> Result<(Section, u64)> {
    let at = HEADER + ENTRY * i;
    let entry = &file[at..at + ENTRY];
    let name_len = entry[..NAME].iter().position(|&b| b == 0).unwrap_or(NAME);
    if !valid_name(&entry[..name_len]) || entry[name_len..NAME].iter().any(|&b| b != 0) {
        return Err(Error::corrupt(format!(
            "directory entry {i}, offset {at}: the section name is not 1 to {NAME} of a-z, 0-9, _ padded with zeros"
        )));
    }
    let name: String = entry[..name_len].iter().map(|&b| char::from(b)).collect();
    let fail = |field: usize, what: String| {
        Err(Error::corrupt(format!("directory entry {i} (section `{name}`), offset {}: {what}", at + field)))
    };
    let (offset, len, flags) = (u64_at(entry, 24), u64_at(entry, 32), u32_at(entry, 48));
    if offset != expected as u64 {
        return fail(24, format!("the section should begin at {expected}, the entry says {offset}"));
    }
    let room = (file.len() - expected.min(file.len())) as u64;
    // Padding is part of the file, so the rounded length must fit too.
    match len.checked_next_multiple_of(ALIGN as u64) {
        Some(padded) if padded <= room => {}
        _ => return fail(32, format!("the section has {len} bytes, {room} are left in the file")),
    }
    if flags & !REQUIRED != 0 {
        return fail(48, format!("flags {flags:#010x}, only {REQUIRED} (required) is known"));
    }
    if let Some(i) = (52..ENTRY).find(|&i| entry[i] != 0) {
        return fail(i, format!("reserved byte is {:#04x}, expected 0", entry[i]));
    }
    let section = Section { required: flags & REQUIRED != 0, offset: expected, len: len as usize, name: name.clone() };
    Ok((section, u64_at(entry, 40)))
}

fn valid_name(name: &[u8]) -> bool {
    (1..=NAME).contains(&name.len()) && name.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
