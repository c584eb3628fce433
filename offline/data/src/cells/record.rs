//! Records of text files and of record batches, alike to what reads them.

use arrow_array::ArrayRef;

use super::array;
use super::delimited::Delimited;
use super::fault::Fault;
use super::field::Field;

/// One record of a data file.
pub(crate) trait Record {
    /// The field in the column with this number, of those that the reader asked for.
    fn field(&self, column: usize) -> Result<Field<'_>, Fault>;
}

/// A line of a text file.
pub(crate) struct TextRecord<'a> {
    pub(crate) file: &'a Delimited,
    /// Where the columns stand in the line.
    pub(crate) places: &'a [usize],
}

impl Record for TextRecord<'_> {
    fn field(&self, column: usize) -> Result<Field<'_>, Fault> {
        Ok(Field::text(self.file.field(self.places[column])))
    }
}

/// A row of a record batch.
pub(crate) struct ArrayRecord<'a> {
    pub(crate) columns: &'a [(&'a str, &'a ArrayRef)],
    pub(crate) at: usize,
}

impl Record for ArrayRecord<'_> {
    fn field(&self, column: usize) -> Result<Field<'_>, Fault> {
        let (name, array) = self.columns[column];
        array::field(name, array, self.at)
    }
}
