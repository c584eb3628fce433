//! Files of Arrow record batches: Parquet, and Arrow IPC in its file and its stream format.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::progress::JobStage;

/// The container of record batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnarKind {
    /// Parquet.
    Parquet,
    /// Arrow IPC with a footer (Feather version 2).
    ArrowFile,
    /// The streaming format of Arrow IPC.
    ArrowStream,
}

/// The number of rows in a batch of a Parquet file. Batches of Arrow files have the size that their writer chose.
const BATCH_ROWS: usize = 4096;

/// The record batches of a file, one at a time.
pub(crate) struct Records {
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>,
    stage: JobStage,
    pace: Pace,
}

/// How far a batch advances the stage. Streams advance it themselves.
enum Pace {
    Row(f64),
    Batch(f64),
    None,
}

impl Records {
    /// Opens a file. `choose` gets the names of its columns and returns those to read.
    ///
    /// # Errors
    /// A file that is not of its kind, and any error of `choose`.
    pub(crate) fn open(
        mut file: File,
        path: &Path,
        container: ColumnarKind,
        stage: &JobStage,
        choose: impl FnOnce(&[String]) -> Result<Vec<usize>>,
    ) -> Result<Self> {
        let bytes = file.metadata()?.len() as f64;
        let choose = |names: &[String]| choose(names).with_context(|| path.display().to_string());
        let (batches, pace): (Box<dyn Iterator<Item = _>>, _) = match container {
            ColumnarKind::Parquet => {
                let what = || format!("cannot read {} as Parquet", path.display());
                let builder = ParquetRecordBatchReaderBuilder::try_new(file).with_context(what)?;
                let roots = choose(&names(builder.schema()))?;
                let rows = builder.metadata().file_metadata().num_rows();
                let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
                let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().with_context(what)?;
                (Box::new(reader), Pace::Row(bytes / rows.max(1) as f64))
            }
            ColumnarKind::ArrowFile => {
                let what = || format!("cannot read {} as Arrow IPC", path.display());
                let all = FileReader::try_new(BufReader::new(&file), None).with_context(what)?;
                let columns = choose(&names(&all.schema()))?;
                let batches = all.num_batches();
                drop(all);
                let reader = FileReader::try_new(BufReader::new(file), Some(columns)).with_context(what)?;
                (Box::new(reader), Pace::Batch(bytes / batches.max(1) as f64))
            }
            ColumnarKind::ArrowStream => {
                let what = || format!("cannot read {} as an Arrow IPC stream", path.display());
                let all = StreamReader::try_new(BufReader::new(&file), None).with_context(what)?;
                let columns = choose(&names(&all.schema()))?;
                drop(all);
                file.rewind().with_context(what)?;
                let stream = BufReader::new(stage.reads(file));
                (Box::new(StreamReader::try_new(stream, Some(columns)).with_context(what)?), Pace::None)
            }
        };
        Ok(Self { batches, stage: stage.clone(), pace })
    }

    /// The next batch.
    ///
    /// # Errors
    /// The file ends early or is damaged.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(record) = self.batches.next().transpose()? else { return Ok(None) };
        match self.pace {
            Pace::Row(bytes) => self.stage.advance((record.num_rows() as f64 * bytes) as u64),
            Pace::Batch(bytes) => self.stage.advance(bytes as u64),
            Pace::None => {}
        }
        Ok(Some(record))
    }
}

/// The columns of a file by their names.
pub(crate) struct BatchColumns<'a> {
    names: &'a [String],
    /// The first index of each name, and whether there is another one.
    known: HashMap<&'a str, (usize, bool)>,
}

impl<'a> BatchColumns<'a> {
    pub(crate) fn new(names: &'a [String]) -> Self {
        let mut known: HashMap<&str, (usize, bool)> = HashMap::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            known.entry(name).and_modify(|place| place.1 = true).or_insert((i, false));
        }
        Self { names, known }
    }

    pub(crate) fn names(&self) -> &[String] {
        self.names
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        self.known.contains_key(column)
    }

    /// The index of a required column, which must be unique.
    ///
    /// # Errors
    /// Names the missing column and those that the file has.
    pub(crate) fn place(&self, column: &str) -> Result<usize> {
        let (at, again) = self.known.get(column).copied().with_context(|| {
            let shown: Vec<&str> = self.names.iter().take(40).map(String::as_str).collect();
            format!("expected a column \"{column}\", found: {}", shown.join(", "))
        })?;
        ensure!(!again, "two columns have the name \"{column}\"");
        Ok(at)
    }
}

fn names(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|f| f.name().clone()).collect()
}
