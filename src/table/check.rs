//! Checks the rows of a table: a lookup must find each row, and each cell must be as a builder writes it.

use super::columns::{ColumnKind, RowLayout};
use super::file::Table;
use crate::cancel::Cancel;
use crate::error::{Error, Result};

/// The number of rows between two checks for cancellation.
const ROWS_BETWEEN: u64 = 1 << 14;

/// Each row is in the slot where a lookup finds it, each cell is one that [`RowLayout::put`] writes, and free slots are
/// all zero.
pub(super) fn rows(table: &Table, cancel: Cancel<'_>) -> Result<()> {
    let view = table.view();
    let mut found = 0;
    for slot in 0..table.slots() {
        if slot % ROWS_BETWEEN == 0 {
            cancel.check()?;
        }
        let key = table.key(slot);
        let fail = |what: String| {
            Err(Error::corrupt(format!("section `rows`, offset {} (slot {slot}): {what}", table.offset(slot))))
        };
        if table.padding(slot).iter().any(|&b| b != 0) {
            return fail("bytes after the row are not zero".to_owned());
        }
        if key == 0 {
            if table.row(slot).iter().any(|&b| b != 0) {
                return fail("a free slot (key 0) is not zero".to_owned());
            }
            continue;
        }
        found += 1;
        let expected = view.start_of(key);
        if expected != table.offset(slot) {
            let expected = expected / table.stride();
            return fail(format!("key {key:#018x} belongs in slot {expected}: a lookup does not find it"));
        }
        row(table.layout(), table.row(slot)).or_else(|what| fail(format!("key {key:#018x}, {what}")))?;
    }
    if found != table.len() {
        return Err(Error::corrupt(format!("section `table`, offset 0: {} rows, the slots hold {found}", table.len())));
    }
    Ok(())
}

/// The cells of one row.
pub(super) fn row(layout: &RowLayout, row: &[u8]) -> std::result::Result<(), String> {
    let mut end = 0;
    for (i, column) in layout.columns().iter().enumerate() {
        let span = layout.span(i);
        end = end.max(span.offset + span.len).max(if column.kind.is_ids() { span.count + 2 } else { 0 });
        let entries = &row[span.offset..span.offset + span.len];
        let fail = |what: String| Err(format!("column `{}` ({}): {what}", column.name, column.kind));
        match column.kind {
            ColumnKind::U32 { cap } | ColumnKind::U64 { cap } => {
                let count = u16::from_le_bytes([row[span.count], row[span.count + 1]]);
                if count > cap {
                    return fail(format!("{count} ids, at most {cap}"));
                }
                let used = span.len / usize::from(cap) * usize::from(count);
                if entries[used..].iter().any(|&b| b != 0) {
                    return fail("bytes after the last id are not zero".to_owned());
                }
            }
            ColumnKind::F32 | ColumnKind::F16 | ColumnKind::Vector { .. } => {
                let missing = layout.is_missing(row, i);
                for position in 0..column.kind.entries() {
                    if layout.number(row, i, position).is_none() != missing {
                        return fail(format!("position {position} is not finite, or is where the cell is missing"));
                    }
                }
                if missing && !is_nan(column.kind, entries) {
                    return fail("an infinite number".to_owned());
                }
            }
        }
    }
    match row[end..].iter().find(|&&b| b != 0) {
        Some(b) => Err(format!("bytes after the last column: {b:#04x}, expected 0")),
        None => Ok(()),
    }
}

/// Whether all entries are the NaN that marks a missing cell.
fn is_nan(kind: ColumnKind, entries: &[u8]) -> bool {
    match kind {
        ColumnKind::F32 => entries == [0, 0, 0xc0, 0x7f],
        _ => entries.chunks_exact(2).all(|e| e == [0, 0x7e]),
    }
}
