//! Writes the output: Parquet files by day and hour, each complete or not there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::builder::files::TempFile;
use anyhow::{Context, Result};
use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::counts::Aside;
use crate::record::HOUR_US;

/// Rows of a row group.
const GROUP_ROWS: usize = 1 << 17;

/// The file of an hour: `DATASET/day=2026-11-30/NAME-07.parquet`.
pub(crate) fn place(out: &Path, dataset: &str, name: &str, hour: i64) -> PathBuf {
    let day = adclick_data::time::show(hour * HOUR_US);
    let day = day.split('T').next().unwrap_or_default();
    out.join(dataset).join(format!("day={day}")).join(format!("{name}-{:02}.parquet", hour.rem_euclid(24)))
}

/// A Parquet file beside its place.
pub(crate) struct Output {
    place: PathBuf,
    beside: TempFile,
    writer: ArrowWriter<std::fs::File>,
    pub(crate) rows: u64,
}

impl Output {
    pub(crate) fn create(place: PathBuf, schema: SchemaRef) -> Result<Self> {
        let what = || format!("{} is not written", place.display());
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).with_context(what)?;
        }
        let beside = TempFile::make(&place)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            // The same rows give the same bytes, whichever version wrote them.
            .set_created_by("adclick join".to_owned())
            .build();
        let writer = ArrowWriter::try_new(beside.file().try_clone().with_context(what)?, schema, Some(properties))
            .with_context(what)?;
        Ok(Self { place, beside, writer, rows: 0 })
    }

    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).with_context(|| format!("{} is not written", self.place.display()))
    }

    /// Gives the file its name. A file without rows is removed instead.
    pub(crate) fn finish(self) -> Result<u64> {
        let what = || format!("{} is not written", self.place.display());
        self.writer.close().with_context(what)?;
        if self.rows == 0 {
            if self.place.exists() {
                std::fs::remove_file(&self.place).with_context(what)?;
            }
            return Ok(0);
        }
        self.beside.rename_to(&self.place)?;
        Ok(self.rows)
    }
}

/// Writes the records that are in no row.
pub(crate) fn aside(place: PathBuf, records: &mut [Aside]) -> Result<()> {
    records.sort_unstable();
    let long = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema = Arc::new(Schema::new(vec![
        text("kind"),
        text("reason"),
        long("time_us", false),
        long("impression_id", true),
        long("impression_id_high", true),
        long("own_id", true),
        long("user", true),
        long("value", true),
    ]));
    let mut out = Output::create(place, schema.clone())?;
    for records in records.chunks(8192) {
        let texts = |of: fn(&Aside) -> &'static str| -> ArrayRef {
            let mut column = StringBuilder::new();
            records.iter().for_each(|r| column.append_value(of(r)));
            Arc::new(column.finish())
        };
        let longs = |of: &dyn Fn(&Aside) -> Option<i64>| -> ArrayRef {
            let mut column = Int64Builder::new();
            records.iter().for_each(|r| column.append_option(of(r)));
            Arc::new(column.finish())
        };
        let some = |n: i64| (n != 0).then_some(n);
        out.push(&RecordBatch::try_new(
            schema.clone(),
            vec![
                texts(|r| r.kind),
                texts(|r| r.reason),
                longs(&|r| Some(r.time_us)),
                longs(&|r| (r.id != 0).then_some(r.id as i64)),
                longs(&|r| (r.id != 0).then_some((r.id >> 64) as i64)),
                longs(&|r| some(r.own_id)),
                longs(&|r| some(r.user)),
                longs(&|r| some(r.value)),
            ],
        )?)?;
    }
    out.finish()?;
    Ok(())
}
