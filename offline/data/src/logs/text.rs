//! Rows of delimited text: Criteo's tab-separated lines, Avazu's and other files with a header.

use std::io::Read;
use std::path::Path;

use anyhow::Result;

use super::bad::BadRows;
use super::columns::Columns;
use super::make::RowMaker;
use super::{Batch, Format, Labels};
use crate::cells::Delimited;
use crate::cells::TextRecord;

pub(super) struct TextReader {
    file: Delimited,
    maker: RowMaker,
    places: Vec<usize>,
}

impl TextReader {
    pub(super) fn new(
        stream: Box<dyn Read>,
        path: &Path,
        format: &Format,
        columns: &Columns,
        labels: Labels,
    ) -> Result<Self> {
        let file = if *format == Format::Criteo {
            let inputs = columns.inputs.iter().map(|i| i.column.clone());
            Delimited::tabbed(stream, path, std::iter::once(columns.click.clone()).chain(inputs).collect())
        } else {
            let all = RowMaker::new(columns, Labels::Required, |_| true)?;
            let wanted: Vec<&str> = all.wanted().iter().map(|w| w.column.as_str()).collect();
            Delimited::headed(stream, path, &wanted)?
        };
        let maker = RowMaker::new(columns, labels, |name| file.place(name).is_some())?;
        let places = maker.places(|column| file.needed(column))?;
        Ok(Self { file, maker, places })
    }

    pub(super) fn read(
        &mut self,
        batch: &mut Batch,
        max_rows: usize,
        next: &mut u64,
        bad: &mut BadRows,
        path: &Path,
    ) -> Result<()> {
        while batch.rows.len() < max_rows {
            if !self.file.next(*next)? {
                return Ok(());
            }
            let number = *next;
            *next += 1;
            let first_value = batch.values.len();
            let record = TextRecord { file: &self.file, places: &self.places };
            let made = self.file.check_length().and_then(|()| self.maker.make(&record, number, batch));
            match made {
                Ok(row) => batch.rows.push(row),
                Err(fault) => {
                    batch.values.truncate(first_value);
                    bad.add(path, format_args!("line {}", self.file.line()), &fault, *next)?;
                }
            }
        }
        Ok(())
    }
}
