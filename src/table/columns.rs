//! The columns of a feature table, and the positions of their cells in a row.

use crate::error::{Error, Result};
use crate::schema::check_name;

/// The most columns a table may have.
pub const MAX_COLUMNS: usize = 1024;
/// The longest row in bytes, without its key.
pub const MAX_ROW: usize = 1 << 14;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// One f32.
    F32,
    /// One fp16.
    F16,
    /// A vector of fp16; present or missing as a whole.
    Vector {
        /// The number of values.
        dim: u16,
    },
    /// Up to `cap` category ids that fit 32 bits.
    U32 {
        /// The most ids of one cell; 1 = a single-valued category.
        cap: u16,
    },
    /// Up to `cap` category ids.
    U64 {
        /// The most ids of one cell; 1 = a single-valued category.
        cap: u16,
    },
}

impl ColumnKind {
    /// The most entries of a cell.
    #[must_use]
    pub fn entries(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Vector { dim: n } | Self::U32 { cap: n } | Self::U64 { cap: n } => n.into(),
        }
    }

    /// Whether its cells hold category ids.
    #[must_use]
    pub fn is_ids(self) -> bool {
        matches!(self, Self::U32 { .. } | Self::U64 { .. })
    }

    /// Bytes of one entry: also its alignment in the row.
    fn size(self) -> usize {
        match self {
            Self::U64 { .. } => 8,
            Self::F32 | Self::U32 { .. } => 4,
            Self::F16 | Self::Vector { .. } => 2,
        }
    }
}

impl std::fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::Vector { dim } => write!(f, "f16 vector of {dim}"),
            Self::U32 { cap: 1 } => f.write_str("u32 id"),
            Self::U64 { cap: 1 } => f.write_str("u64 id"),
            Self::U32 { cap } => write!(f, "up to {cap} u32 ids"),
            Self::U64 { cap } => write!(f, "up to {cap} u64 ids"),
        }
    }
}

/// A named column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// Unique in the table.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
}

/// The position of a column's cell in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The offset of the entries.
    pub offset: usize,
    /// Bytes of the entries.
    pub len: usize,
    /// The offset of the u16 that counts the ids of an id column; 0 in other columns.
    pub count: usize,
}

/// A row's columns and their positions. The positions follow from the columns: entries of 8 bytes first, then those of
/// 4 and of 2, each group in the columns' order, then the counts (u16) of id columns; the row ends at a multiple of 8.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowLayout {
    columns: Vec<Column>,
    spans: Vec<Span>,
    width: usize,
}

/// The position of one number in every row of a layout. Numbers of one kind sort together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberAt {
    half: bool,
    offset: usize,
}

impl NumberAt {
    /// The number in a row of the layout; `None` when it is missing.
    #[inline]
    #[must_use]
    pub fn read(self, row: &[u8]) -> Option<f32> {
        let number = if self.half {
            half::f16::from_le_bytes(bytes(row, self.offset)).to_f32()
        } else {
            f32::from_le_bytes(bytes(row, self.offset))
        };
        number.is_finite().then_some(number)
    }
}

/// The position of a column of single ids in every row of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdAt {
    long: bool,
    offset: usize,
    count: usize,
}

impl IdAt {
    /// The id in a row of the layout; `None` when it is missing.
    #[inline]
    pub(crate) fn read(self, row: &[u8]) -> Option<u64> {
        let id = if self.long {
            u64::from_le_bytes(bytes(row, self.offset))
        } else {
            u32::from_le_bytes(bytes(row, self.offset)).into()
        };
        (u16::from_le_bytes(bytes(row, self.count)) > 0).then_some(id)
    }
}

/// The content of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Unknown: the schema's default is used.
    Missing,
    /// For an f32 or fp16 column. Must be finite; fp16 takes the nearest value and refuses values past 65504.
    Number(f32),
    /// For a vector column: one number for each entry.
    Vector(&'a [f32]),
    /// For an id column; an empty list is a missing cell.
    Ids(&'a [u64]),
}

impl RowLayout {
    /// The layout of these columns.
    ///
    /// # Errors
    /// `InvalidArgument` naming the column: an invalid or duplicate name, a cell without entries, too many columns, a
    /// row longer than [`MAX_ROW`].
    pub fn new(columns: Vec<Column>) -> Result<Self> {
        if columns.is_empty() || columns.len() > MAX_COLUMNS {
            return Err(Error::argument(format!("{} columns, expected 1 to {MAX_COLUMNS}", columns.len())));
        }
        for (i, c) in columns.iter().enumerate() {
            check_name("column", &c.name)?;
            if columns[..i].iter().any(|other| other.name == c.name) {
                return Err(Error::argument(format!("column `{}` is named twice", c.name)));
            }
            if c.kind.entries() == 0 {
                return Err(Error::argument(format!("column `{}` has room for 0 values, expected 1 or more", c.name)));
            }
        }
        let mut spans = vec![Span { offset: 0, len: 0, count: 0 }; columns.len()];
        let mut at = 0;
        for size in [8, 4, 2] {
            for (span, c) in spans.iter_mut().zip(&columns).filter(|(_, c)| c.kind.size() == size) {
                (span.offset, span.len) = (at, size * c.kind.entries());
                at += span.len;
            }
        }
        for (span, _) in spans.iter_mut().zip(&columns).filter(|(_, c)| c.kind.is_ids()) {
            span.count = at;
            at += 2;
        }
        let width = at.next_multiple_of(8);
        if width > MAX_ROW {
            return Err(Error::argument(format!("a row has {width} bytes, at most {MAX_ROW}")));
        }
        Ok(Self { columns, spans, width })
    }

    /// The columns in declared order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Bytes of a row without its key: a multiple of 8.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of the column with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The position of a column's cell.
    #[must_use]
    pub fn span(&self, column: usize) -> Span {
        self.spans[column]
    }

    /// A row in which every cell is missing.
    #[must_use]
    pub fn missing(&self) -> Vec<u8> {
        let mut row = vec![0; self.width];
        for column in 0..self.columns.len() {
            // A missing cell is valid in every column.
            let _ = self.put(&mut row, column, Cell::Missing);
        }
        row
    }

    /// Writes one cell.
    ///
    /// # Errors
    /// `InvalidArgument` naming the column, the values that it takes and the one given; the row is then unchanged.
    pub fn put(&self, row: &mut [u8], column: usize, cell: Cell<'_>) -> Result<()> {
        let (c, span) = (&self.columns[column], self.spans[column]);
        let fail = |what: String| Err(Error::argument(format!("column `{}` ({}): {what}", c.name, c.kind)));
        match (c.kind, cell) {
            (ColumnKind::F32 | ColumnKind::F16 | ColumnKind::Vector { .. }, Cell::Missing) => {
                for at in (0..span.len).step_by(c.kind.size()) {
                    write_number(c.kind, &mut row[span.offset + at..], f32::NAN);
                }
            }
            (ColumnKind::F32 | ColumnKind::F16, Cell::Number(number)) => {
                check_number(c.kind, number).or_else(fail)?;
                write_number(c.kind, &mut row[span.offset..], number);
            }
            (ColumnKind::Vector { dim }, Cell::Vector(numbers)) => {
                if numbers.len() != dim.into() {
                    return fail(format!("{} numbers, expected {dim}", numbers.len()));
                }
                for (i, &number) in numbers.iter().enumerate() {
                    check_number(c.kind, number).or_else(|what| fail(format!("position {i}: {what}")))?;
                }
                for (i, &number) in numbers.iter().enumerate() {
                    write_number(c.kind, &mut row[span.offset + 2 * i..], number);
                }
            }
            (ColumnKind::U32 { .. } | ColumnKind::U64 { .. }, Cell::Missing) => self.put_ids(row, column, &[]),
            (ColumnKind::U32 { cap } | ColumnKind::U64 { cap }, Cell::Ids(ids)) => {
                if ids.len() > cap.into() {
                    return fail(format!("{} ids, at most {cap}", ids.len()));
                }
                if let (ColumnKind::U32 { .. }, Some(id)) = (c.kind, ids.iter().find(|&&id| id > u32::MAX.into())) {
                    return fail(format!("id {id} needs more than 32 bits: make it a u64 column"));
                }
                self.put_ids(row, column, ids);
            }
            (_, given) => return fail(format!("it does not take {}", given.what())),
        }
        Ok(())
    }

    fn put_ids(&self, row: &mut [u8], column: usize, ids: &[u64]) {
        let (size, span) = (self.columns[column].kind.size(), self.spans[column]);
        row[span.offset..span.offset + span.len].fill(0);
        for (i, id) in ids.iter().enumerate() {
            row[span.offset + size * i..][..size].copy_from_slice(&id.to_le_bytes()[..size]);
        }
        row[span.count..span.count + 2].copy_from_slice(&(ids.len() as u16).to_le_bytes());
    }

    /// The number of an f32 or fp16 cell, or of one position of a vector; `None` when it is missing.
    #[must_use]
    pub fn number(&self, row: &[u8], column: usize, position: usize) -> Option<f32> {
        self.number_at(column, position)?.read(row)
    }

    /// The position of a number in the rows, for callers that read many of them; `None` when the column holds no
    /// numbers or has no such position.
    #[must_use]
    pub fn number_at(&self, column: usize, position: usize) -> Option<NumberAt> {
        let (kind, span) = (self.columns[column].kind, self.spans[column]);
        match kind {
            ColumnKind::F32 => Some(NumberAt { offset: span.offset, half: false }),
            ColumnKind::F16 | ColumnKind::Vector { .. } if position < kind.entries() => {
                Some(NumberAt { offset: span.offset + 2 * position, half: true })
            }
            _ => None,
        }
    }

    /// The position of the ids of a column that has room for one. `None` for other columns.
    pub(crate) fn id_at(&self, column: usize) -> Option<IdAt> {
        let Span { offset, count, .. } = self.spans[column];
        match self.columns[column].kind {
            ColumnKind::U32 { cap: 1 } => Some(IdAt { long: false, offset, count }),
            ColumnKind::U64 { cap: 1 } => Some(IdAt { long: true, offset, count }),
            _ => None,
        }
    }

    /// The fp16 bytes of a vector cell, two for each position; `None` when it is missing or the column holds no vectors.
    #[must_use]
    pub fn vector<'a>(&self, row: &'a [u8], column: usize) -> Option<&'a [u8]> {
        let span = self.spans[column];
        // The first position decides: a cell is missing as a whole.
        let there = matches!(self.columns[column].kind, ColumnKind::Vector { .. }) && !self.is_missing(row, column);
        there.then(|| &row[span.offset..span.offset + span.len])
    }

    /// The ids of an id cell; none when it is missing. Never more than the column has room for, even if the row's count
    /// says so.
    pub fn ids<'a>(&self, row: &'a [u8], column: usize) -> impl Iterator<Item = u64> + use<'a> {
        let (kind, span) = (self.columns[column].kind, self.spans[column]);
        let count = if kind.is_ids() { u16::from_le_bytes(bytes(row, span.count)).into() } else { 0 };
        let entries = &row[span.offset..span.offset + span.len];
        entries.chunks_exact(kind.size()).take(count).map(|entry| {
            let mut id = [0; 8];
            id[..entry.len()].copy_from_slice(entry);
            u64::from_le_bytes(id)
        })
    }

    /// Whether a cell is missing.
    #[must_use]
    pub fn is_missing(&self, row: &[u8], column: usize) -> bool {
        if self.columns[column].kind.is_ids() {
            self.ids(row, column).next().is_none()
        } else {
            self.number(row, column, 0).is_none()
        }
    }
}

impl Cell<'_> {
    fn what(self) -> &'static str {
        match self {
            Self::Missing => "a missing value",
            Self::Number(_) => "a number",
            Self::Vector(_) => "a vector",
            Self::Ids(_) => "ids",
        }
    }
}

#[inline]
fn bytes<const N: usize>(row: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&row[at..at + N]);
    array
}

fn check_number(kind: ColumnKind, number: f32) -> std::result::Result<(), String> {
    if !number.is_finite() {
        return Err(format!("{number} is not a finite number"));
    }
    if kind != ColumnKind::F32 && !half::f16::from_f32(number).is_finite() {
        return Err(format!("{number} does not fit fp16 (at most 65504): make it an f32 column"));
    }
    Ok(())
}

fn write_number(kind: ColumnKind, to: &mut [u8], number: f32) {
    match kind {
        ColumnKind::F32 => {
            // There is only one NaN, so that equal tables have equal bytes.
            let number = if number.is_nan() { f32::from_bits(0x7fc0_0000) } else { number };
            to[..4].copy_from_slice(&number.to_le_bytes());
        }
        _ => {
            let half = if number.is_nan() { half::f16::from_bits(0x7e00) } else { half::f16::from_f32(number) };
            to[..2].copy_from_slice(&half.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(kinds: &[ColumnKind]) -> RowLayout {
        let columns = kinds.iter().enumerate().map(|(i, &kind)| Column { name: format!("c{i}"), kind }).collect();
        RowLayout::new(columns).unwrap()
    }

    #[test]
    fn cells_stand_apart_and_aligned() {
        let kinds = [
            ColumnKind::F16,
            ColumnKind::U64 { cap: 3 },
            ColumnKind::F32,
            ColumnKind::Vector { dim: 5 },
            ColumnKind::U32 { cap: 1 },
        ];
        let layout = layout(&kinds);
        let places: Vec<_> = (0..kinds.len()).map(|c| layout.span(c)).map(|s| (s.offset, s.len, s.count)).collect();
        assert_eq!(places, [(32, 2, 0), (0, 24, 44), (24, 4, 0), (34, 10, 0), (28, 4, 46)]);
        assert_eq!(layout.width(), 48);
    }

    #[test]
    fn what_is_put_is_read() {
        let layout =
            layout(&[ColumnKind::U32 { cap: 2 }, ColumnKind::Vector { dim: 2 }, ColumnKind::F32, ColumnKind::F16]);
        let mut row = layout.missing();
        assert!((0..4).all(|c| layout.is_missing(&row, c)));
        layout.put(&mut row, 0, Cell::Ids(&[7, u32::MAX.into()])).unwrap();
        layout.put(&mut row, 1, Cell::Vector(&[0.5, -2.0])).unwrap();
        layout.put(&mut row, 2, Cell::Number(0.1)).unwrap();
        layout.put(&mut row, 3, Cell::Number(0.1)).unwrap();
        assert_eq!(layout.ids(&row, 0).collect::<Vec<_>>(), [7, u32::MAX.into()]);
        assert_eq!((layout.number(&row, 1, 0), layout.number(&row, 1, 1)), (Some(0.5), Some(-2.0)));
        assert_eq!((layout.number(&row, 1, 2), layout.number(&row, 0, 0)), (None, None));
        assert_eq!((layout.number(&row, 2, 0), layout.number(&row, 3, 0)), (Some(0.1), Some(0.099_975_586)));
        layout.put(&mut row, 0, Cell::Ids(&[1])).unwrap();
        assert_eq!(layout.ids(&row, 0).collect::<Vec<_>>(), [1]);
        // A count past the room means a damaged row: the ids that fit are read.
        let count = layout.span(0).count;
        row[count..count + 2].fill(0xff);
        assert_eq!(layout.ids(&row, 0).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let layout =
            layout(&[ColumnKind::U32 { cap: 2 }, ColumnKind::Vector { dim: 2 }, ColumnKind::F32, ColumnKind::F16]);
        let mut row = layout.missing();
        let before = row.clone();
        for (column, cell, expected) in [
            (0, Cell::Ids(&[1, 2, 3]), "column `c0` (up to 2 u32 ids): 3 ids, at most 2"),
            (0, Cell::Ids(&[1 << 32]), "needs more than 32 bits"),
            (1, Cell::Vector(&[1.0]), "1 numbers, expected 2"),
            (1, Cell::Vector(&[1.0, f32::NAN]), "position 1: NaN is not a finite number"),
            (2, Cell::Number(f32::INFINITY), "inf is not a finite number"),
            (3, Cell::Number(70000.0), "does not fit fp16"),
            (2, Cell::Ids(&[1]), "column `c2` (f32): it does not take ids"),
        ] {
            let error = layout.put(&mut row, column, cell).unwrap_err().message;
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(row, before);
    }
}
