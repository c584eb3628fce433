//! Converts fields of data files to the key and the cells of a row.

use adclick::builder::table;
use adclick::builder::table::{ColumnKind, RowLayout};
use adclick::composite_key;
use arrow_array::{Array, ArrayRef};

use crate::cells::{Fault, Field, RecordReader, STRING, Scalar, cell};
use crate::schema_file::{CellSource, TableFile};

/// Turns records into keys and rows.
pub(super) struct TableRowMaker<'a> {
    table: &'a TableFile,
    columns: Vec<&'a str>,
    /// For each id of the key, the index of its column.
    key: Vec<usize>,
    /// For each cell, the indices of its columns.
    cells: Vec<Vec<usize>>,
    row: Vec<u8>,
    all_missing: Vec<u8>,
    missing: Vec<bool>,
    ids: Vec<u64>,
    numbers: Vec<f32>,
}

impl<'a> TableRowMaker<'a> {
    pub(super) fn new(table: &'a TableFile) -> Self {
        let mut columns: Vec<&'a str> = Vec::new();
        let mut number = |name: &'a str| {
            columns.iter().position(|c| *c == name).unwrap_or_else(|| {
                columns.push(name);
                columns.len() - 1
            })
        };
        let key = table.key.iter().map(|k| number(&k.column)).collect();
        let cells: Vec<Vec<usize>> =
            table.cells.iter().map(|c| c.from.iter().map(|name| number(name)).collect()).collect();
        let all_missing = table.layout.missing();
        Self {
            missing: vec![false; cells.len()],
            row: all_missing.clone(),
            ids: Vec::new(),
            numbers: Vec::new(),
            table,
            columns,
            key,
            cells,
            all_missing,
        }
    }

    /// The data file's columns that are read.
    pub(super) fn columns(&self) -> Vec<&'a str> {
        self.columns.clone()
    }

    /// The row that [`TableRowMaker::make`] made.
    pub(super) fn row(&self) -> &[u8] {
        &self.row
    }

    /// Which of its cells are missing.
    pub(super) fn missing(&self) -> &[bool] {
        &self.missing
    }

    /// Makes the row of a record; returns its key.
    pub(super) fn make(&mut self, record: &RecordReader) -> Result<u64, Fault> {
        self.ids.clear();
        for (source, &column) in self.table.key.iter().zip(&self.key) {
            let expected = if source.integer { "an integer id other than 0" } else { "an id" };
            let cell = record.field(column)?.one(&source.column)?;
            let id = match cell {
                Some(cell) => id(&source.column, source.integer, &cell)?,
                None => None,
            };
            let id = id.ok_or_else(|| Fault::new(&source.column, expected, b""))?;
            if id == 0 {
                return Err(Fault::new(&source.column, expected, b"0"));
            }
            self.ids.push(id);
        }
        let key = composite_key(&self.ids);
        self.row.copy_from_slice(&self.all_missing);
        for i in 0..self.cells.len() {
            self.missing[i] = !self.cell(i, record)?;
        }
        Ok(key)
    }

    /// Fills one cell; false when it is missing.
    fn cell(&mut self, i: usize, record: &RecordReader) -> Result<bool, Fault> {
        let (layout, source) = (&self.table.layout, &self.table.cells[i]);
        let kind = layout.columns()[i].kind;
        let name = source.from[0].as_str();
        match kind {
            ColumnKind::F32 | ColumnKind::F16 => {
                let cell = record.field(self.cells[i][0])?.one(name)?.filter(|cell| !cell.is_absent());
                let Some(cell) = cell else { return Ok(false) };
                let number = number(name, &cell)?;
                put(layout, &mut self.row, i, name, table::Cell::Number(number))?;
            }
            ColumnKind::Vector { dim } => {
                self.numbers.clear();
                if source.from.len() == 1 {
                    match record.field(self.cells[i][0])? {
                        Field::Missing => return Ok(false),
                        Field::Text(text) => {
                            for part in text.split(|&b| b == source.separator) {
                                self.numbers.push(number(name, &part.into())?);
                            }
                        }
                        Field::One(cell) => self.numbers.push(number(name, &cell)?),
                        Field::List(items) => numbers(name, &items, &mut self.numbers)?,
                    }
                } else {
                    for (column, &at) in source.from.iter().zip(&self.cells[i]) {
                        if let Some(cell) = record.field(at)?.one(column)?.filter(|cell| !cell.is_absent()) {
                            self.numbers.push(number(column, &cell)?);
                        }
                    }
                    if self.numbers.is_empty() {
                        return Ok(false);
                    }
                }
                if self.numbers.len() != usize::from(dim) {
                    let found = format!("{} numbers", self.numbers.len());
                    return Err(Fault::new(name, format!("a vector of {dim} numbers"), found.as_bytes()));
                }
                put(layout, &mut self.row, i, name, table::Cell::Vector(&self.numbers))?;
            }
            ColumnKind::U32 { cap } | ColumnKind::U64 { cap } => {
                self.ids.clear();
                match record.field(self.cells[i][0])? {
                    Field::Missing => return Ok(false),
                    Field::Text(text) if cap > 1 => {
                        for part in text.split(|&b| b == source.separator).filter(|part| !part.is_empty()) {
                            self.ids.extend(id_of(source, kind, &part.into())?);
                        }
                    }
                    Field::Text(text) => self.ids.extend(id_of(source, kind, &text.into())?),
                    Field::One(cell) => self.ids.extend(id_of(source, kind, &cell)?),
                    Field::List(items) => {
                        for at in 0..items.len() {
                            if let Some(item) = cell(name, &items, at)? {
                                self.ids.extend(id_of(source, kind, &item)?);
                            }
                        }
                    }
                }
                if self.ids.len() > usize::from(cap) {
                    let expected = if cap == 1 { "one id".into() } else { format!("at most {cap} ids") };
                    return Err(Fault::new(name, expected, format!("{} ids", self.ids.len()).as_bytes()));
                }
                put(layout, &mut self.row, i, name, table::Cell::Ids(&self.ids))?;
                return Ok(!self.ids.is_empty());
            }
        }
        Ok(true)
    }
}

/// A value that the layout refuses after all checks here: a number too large for fp16.
fn put(layout: &RowLayout, row: &mut [u8], i: usize, name: &str, cell: table::Cell<'_>) -> Result<(), Fault> {
    layout.put(row, i, cell).map_err(|_| {
        let found = match cell {
            table::Cell::Number(number) => number.to_string(),
            table::Cell::Vector(numbers) => numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(" "),
            table::Cell::Missing | table::Cell::Ids(_) => String::new(),
        };
        Fault::new(name, "numbers that fit fp16 (-65504 to 65504; f32 takes more)", found.as_bytes())
    })
}

fn number(column: &str, cell: &Scalar<'_>) -> Result<f32, Fault> {
    cell.number().ok_or_else(|| Fault::new(column, "a finite number", &cell.show()))
}

fn numbers(column: &str, items: &ArrayRef, to: &mut Vec<f32>) -> Result<(), Fault> {
    for at in 0..items.len() {
        let item = cell(column, items, at)?;
        let item = item.ok_or_else(|| Fault::new(column, "a vector of finite numbers", b"null in it"))?;
        to.push(number(column, &item)?);
    }
    Ok(())
}

fn id_of(source: &CellSource, kind: ColumnKind, cell: &Scalar<'_>) -> Result<Option<u64>, Fault> {
    let id = id(&source.from[0], source.integer, cell)?;
    if matches!(kind, ColumnKind::U32 { .. }) && id > Some(u32::MAX.into()) {
        return Err(Fault::new(&source.from[0], "an integer from 0 to 4294967295 (u64 takes more)", &cell.show()));
    }
    Ok(id)
}

/// The id in a cell; `None` if the cell is missing.
fn id(column: &str, integer: bool, cell: &Scalar<'_>) -> Result<Option<u64>, Fault> {
    let (id, expected) = if integer {
        (cell.integer_id(), format!("{} (raw = \"string\" takes others)", cell.expected_integer()))
    } else {
        (cell.text_id(), STRING.to_owned())
    };
    match id {
        None if cell.is_absent() => Ok(None),
        None => Err(Fault::new(column, expected, &cell.show())),
        found => Ok(found),
    }
}
