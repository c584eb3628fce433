//! The rows of an upsert: checks them, and prepares one at a time for writing.

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, Result, Status};
use crate::table::{Cell, ColumnKind, RowLayout};
use crate::types::{Row, Value};

/// How an upsert treats the columns of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Operation {
    /// The given columns are replaced, the others stay.
    #[default]
    Columns,
    /// The row is replaced: columns that are not given become missing.
    WholeRow,
    /// Numbers are added to the given columns.
    Increment,
}

/// One value of a row to write: a [`Value`] whose `feature` is a column's handle.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct ColumnValue {
    /// The column's handle.
    pub column: u32,
    /// The number, or that of a vector's position.
    pub number: f32,
    /// The id, or the position in a vector.
    pub id: u64,
}

const _: () =
    assert!(size_of::<ColumnValue>() == size_of::<Value>() && align_of::<ColumnValue>() == align_of::<Value>());

impl ColumnValue {
    /// What an upsert's caller passes, the same bytes.
    pub(super) fn of(values: &[Value]) -> &[Self] {
        bytemuck::cast_slice(values)
    }
}

/// Rows to write, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The rows; a key may occur several times, the rows are then written in order.
    pub rows: &'a [Row],
    /// Their values. A column's values stand together in its row: one number; the ids; or the number of every position
    /// of a vector, `id` being the position.
    pub values: &'a [ColumnValue],
    /// What is done with them.
    pub operation: Operation,
    /// The time at which the values were right: microseconds since 1970-01-01 UTC. Kept in whole seconds, 1970 to 2106.
    pub time_us: i64,
}

/// The row that is being checked or written.
pub(super) struct Draft<'a> {
    layout: &'a RowLayout,
    /// A row of the table; only the cells of `given` columns are valid.
    pub(super) row: Vec<u8>,
    /// The amounts of an increment, by column.
    pub(super) deltas: Vec<f32>,
    /// The given columns, in the order of their first values.
    pub(super) given: Vec<usize>,
    is_given: Vec<bool>,
    missing: Vec<u8>,
    ids: Vec<u64>,
    numbers: Vec<f32>,
}

impl Batch<'_> {
    /// The time in seconds.
    pub(super) fn time_s(&self) -> Result<u32> {
        u32::try_from(self.time_us.div_euclid(1_000_000)).map_err(|_| {
            Error::argument(format!(
                "time_us {}: expected microseconds since 1970-01-01 UTC, up to the year 2106",
                self.time_us
            ))
        })
    }

    /// The values of a row and the place of the first.
    fn values_of(&self, row: &Row) -> Result<(&[ColumnValue], usize)> {
        let first = row.first_value as usize;
        let values = self.values.get(first..).and_then(|rest| rest.get(..row.n_values as usize));
        values.map(|values| (values, first)).ok_or_else(|| {
            Error::argument(format!(
                "first_value {} + n_values {} is past the {} values",
                row.first_value,
                row.n_values,
                self.values.len()
            ))
        })
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(layout: &'a RowLayout) -> Self {
        let (missing, columns) = (layout.missing(), layout.columns().len());
        let numbers = layout.columns().iter().map(|c| c.kind.entries()).max().unwrap_or(0);
        Self {
            layout,
            row: missing.clone(),
            deltas: vec![0.0; columns],
            given: Vec::with_capacity(columns),
            is_given: vec![false; columns],
            missing,
            ids: Vec::with_capacity(numbers),
            numbers: Vec::with_capacity(numbers),
        }
    }

    /// Reads the row at `index`. `column` gives the column of a value's handle.
    ///
    /// # Errors
    /// `InvalidArgument` and, for NaN and infinity, `InvalidValue`; the message names the row, the value and the column.
    pub(super) fn read(
        &mut self,
        batch: &Batch<'_>,
        index: usize,
        column: &dyn Fn(u32) -> Result<usize>,
    ) -> Result<()> {
        let row = &batch.rows[index];
        let in_row = |e: Error| e.within(format_args!("rows[{index}]"));
        if row.key == 0 {
            return Err(in_row(Error::argument("key 0 is no key")));
        }
        let (values, mut at) = batch.values_of(row).map_err(in_row)?;
        self.is_given.fill(false);
        self.given.clear();
        if batch.operation == Operation::WholeRow {
            self.row.copy_from_slice(&self.missing);
        }
        for run in values.chunk_by(|a, b| a.column == b.column) {
            let read = column(run[0].column)
                .map_err(|e| (0, e))
                .and_then(|c| self.read_cell(c, run, batch.operation == Operation::Increment));
            read.map_err(|(i, e)| in_row(e.within(format_args!("values[{}]", at + i))))?;
            at += run.len();
        }
        if batch.operation == Operation::WholeRow {
            self.given.clear();
            self.given.extend(0..self.layout.columns().len());
        }
        Ok(())
    }

    /// The values of one column. On failure the place among them that is at fault.
    fn read_cell(
        &mut self,
        column: usize,
        run: &[ColumnValue],
        increment: bool,
    ) -> std::result::Result<(), (usize, Error)> {
        let c = &self.layout.columns()[column];
        let fail =
            |at: usize, what: String| Err((at, Error::argument(format!("column `{}` ({}): {what}", c.name, c.kind))));
        if std::mem::replace(&mut self.is_given[column], true) {
            return fail(0, "given twice: the values of a column stand together, once in a row".to_owned());
        }
        let numbers = !c.kind.is_ids();
        if let (true, Some(at)) = (numbers, run.iter().position(|v| !v.number.is_finite())) {
            let message = format!("column `{}` ({}): {} is not a finite number", c.name, c.kind, run[at].number);
            return Err((at, Error::new(Status::InvalidValue, message)));
        }
        self.numbers.clear();
        self.ids.clear();
        let cell = match c.kind {
            ColumnKind::F32 | ColumnKind::F16 => {
                if run.len() > 1 {
                    return fail(1, format!("{} values, expected 1", run.len()));
                }
                self.deltas[column] = run[0].number;
                Cell::Number(run[0].number)
            }
            ColumnKind::Vector { dim } => {
                self.numbers.resize(dim.into(), f32::NAN);
                for (at, value) in run.iter().enumerate() {
                    let position = usize::try_from(value.id).ok().and_then(|id| self.numbers.get_mut(id));
                    match position {
                        None => return fail(at, format!("position {} (its id), expected 0 to {}", value.id, dim - 1)),
                        Some(number) if !number.is_nan() => return fail(at, format!("position {} twice", value.id)),
                        Some(number) => *number = value.number,
                    }
                }
                if let Some(position) = self.numbers.iter().position(|number| number.is_nan()) {
                    return fail(0, format!("position {position} is not given, expected all {dim}"));
                }
                Cell::Vector(&self.numbers)
            }
            ColumnKind::U32 { cap } | ColumnKind::U64 { cap } => {
                if run.len() > cap.into() {
                    return fail(cap.into(), format!("{} ids, at most {cap}", run.len()));
                }
                if let (ColumnKind::U32 { .. }, Some(at)) = (c.kind, run.iter().position(|v| v.id > u32::MAX.into())) {
                    return fail(at, format!("id {} needs more than 32 bits", run[at].id));
                }
                self.ids.extend(run.iter().map(|v| v.id));
                Cell::Ids(&self.ids)
            }
        };
        match (increment, c.kind) {
            (true, ColumnKind::F32 | ColumnKind::F16) => {}
            (true, _) => return fail(0, "cannot be incremented: only a column of one number can".to_owned()),
            (false, _) => self.layout.put(&mut self.row, column, cell).map_err(|e| (0, e))?,
        }
        self.given.push(column);
        Ok(())
    }
}
