//! Opens a table file. Every count and offset is checked before anything relies on it.

use std::sync::Arc;

use super::check;
use super::file::{Head, Table, section, stride};
use super::index::Index;
use crate::artifact::Bytes;
use crate::artifact::container::{ArtifactKind, Container};
use crate::cancel::Cancel;
use crate::error::{Error, Result};

/// How much of a table file is checked when it is opened. Header, directory and every count and offset are always
/// checked, and a lookup stays inside the file for any content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checks {
    /// All of it: checksums, and each row in the slot where a lookup would find it. Reads the whole file.
    #[default]
    Full,
    /// Everything except the checksums: for bytes that were just compared with the checksum of the whole file.
    Content,
    /// No content of the rows: only what a lookup needs is read. For files that were checked before, or that are larger
    /// than memory.
    Structure,
}

impl Table {
    /// Opens the bytes of a table file and checks all of it.
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported`, naming section and offset, what was expected and what was found.
    #[cfg(feature = "builder")]
    pub fn open(bytes: Bytes) -> Result<Self> {
        Self::open_with(bytes, Checks::Full)
    }

    /// Opens the bytes of a table file.
    ///
    /// # Errors
    /// As [`Table::open`], within the limits of `checks`.
    #[cfg(feature = "builder")]
    pub fn open_with(bytes: Bytes, checks: Checks) -> Result<Self> {
        Self::open_until(bytes, checks, Cancel::default())
    }

    /// The same, with a way to cancel it.
    pub(crate) fn open_until(bytes: Bytes, checks: Checks, cancel: Cancel<'_>) -> Result<Self> {
        if checks != Checks::Structure {
            bytes.expect_whole_reading();
        }
        let container = match checks {
            Checks::Full => Container::open_until(&bytes, ArtifactKind::Table, &section::ALL, cancel)?,
            Checks::Content | Checks::Structure => Container::open_unread(&bytes, ArtifactKind::Table, &section::ALL)?,
        };
        let range = |name: &str| container.require(name).map(|s| s.offset..s.offset + s.len);
        let head = Head::decode(&bytes[range(section::TABLE)?])?;
        let stride = stride(head.layout.width());
        let (slots, buckets) = (head.shape.all_slots(), head.shape.all_buckets());
        for (name, found, expected) in [
            (section::ROWS, range(section::ROWS)?.len(), slots.checked_mul(stride as u64)),
            (section::PILOTS, range(section::PILOTS)?.len(), buckets.checked_mul(2)),
            (section::DEFAULT, range(section::DEFAULT)?.len(), Some(head.layout.width() as u64)),
        ] {
            if expected != Some(found as u64) {
                let expected = expected.map_or("more than there can be".to_owned(), |n| n.to_string());
                return Err(Error::corrupt(format!(
                    "section `{name}`, offset {found}: it ends here, the table's columns, slots and buckets take {expected} \
                     bytes"
                )));
            }
        }
        if head.rows > slots {
            return Err(Error::corrupt(format!("section `table`, offset 0: {} rows in {slots} slots", head.rows)));
        }
        let provenance = match container.find(section::PROVENANCE) {
            Some(s) => std::str::from_utf8(&bytes[s.offset..s.offset + s.len])
                .map_err(|e| Error::corrupt(format!("section `provenance`, offset {}: not UTF-8", e.valid_up_to())))?
                .to_owned(),
            None => String::new(),
        };
        let table = Self {
            index: Index::new(head.seed, head.shape),
            layout: Arc::new(head.layout.clone()),
            stride,
            slots,
            rows: range(section::ROWS)?,
            pilots: range(section::PILOTS)?,
            default: range(section::DEFAULT)?,
            provenance,
            sections: container.sections().to_vec(),
            bytes,
            head,
        };
        check::row(&table.layout, table.default_row())
            .map_err(|what| Error::corrupt(format!("section `default`, offset 0, {what}")))?;
        if checks != Checks::Structure {
            check::rows(&table, cancel)?;
        }
        Ok(table)
    }
}
