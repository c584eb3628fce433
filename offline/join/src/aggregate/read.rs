//! Reads joined rows, categories of ads, and the counters of an hour of rows.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use adclick_data::files::read_text;
use anyhow::{Context, Result, bail, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::counters::{Counted, Hours, Of, Tally};
use crate::record::hour;
use crate::segments::{longs, or_zero};
use crate::store::write_file;

/// The files of rows of a join's output, with the hour of their decisions, in order.
pub(super) fn rows_of(joined: &Path) -> Result<Vec<(i64, PathBuf)>> {
    let root = joined.join("rows");
    let mut found = Vec::new();
    let what = || format!("cannot read {}", root.display());
    for day in std::fs::read_dir(&root).with_context(what)? {
        let day = day.with_context(what)?.path();
        let name = day.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(date) = name.strip_prefix("day=") else { continue };
        let begin =
            adclick_data::time::parse(&format!("{date}T00:00:00Z")).with_context(|| day.display().to_string())?;
        for file in std::fs::read_dir(&day).with_context(what)? {
            let path = file.with_context(what)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let at =
                name.strip_prefix("hour-").and_then(|n| n.strip_suffix(".parquet")).and_then(|n| n.parse::<i64>().ok());
            if let Some(at) = at {
                found.push((hour(begin) + at, path));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The batches of a file; `columns`: only those.
pub(super) fn batches(
    path: &Path,
    columns: Option<&[&str]>,
    mut each: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let what = || format!("cannot read {}", path.display());
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).with_context(what)?).with_context(what)?;
    let mask = match columns {
        Some(columns) => ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    for batch in builder.with_projection(mask).with_batch_size(8192).build().with_context(what)? {
        each(&batch.with_context(what)?).with_context(what)?;
    }
    Ok(())
}

const COLUMNS: [&str; 8] = ["user", "ad", "advertiser", "rendered_us", "click_us", "viewable", "view_us", "weight"];

/// The rows of a file that count.
pub(super) fn counted(path: &Path, categories: &BTreeMap<u64, u64>, mut each: impl FnMut(Counted)) -> Result<()> {
    batches(path, Some(&COLUMNS), |batch| {
        let weight =
            batch.column_by_name("weight").and_then(|c| c.as_primitive_opt::<Float64Type>()).context("no weight")?;
        rows(batch, categories, |row, counted| {
            if weight.value(row) > 0.0 {
                each(counted);
            }
        })
    })
}

/// The rows of a batch as they are counted.
pub(super) fn rows(
    batch: &RecordBatch,
    categories: &BTreeMap<u64, u64>,
    mut each: impl FnMut(usize, Counted),
) -> Result<()> {
    let (user, ad, advertiser) = (longs(batch, "user")?, longs(batch, "ad")?, longs(batch, "advertiser")?);
    let (rendered, clicked, view) = (longs(batch, "rendered_us")?, longs(batch, "click_us")?, longs(batch, "view_us")?);
    let viewable = batch.column_by_name("viewable").and_then(|c| c.as_boolean_opt()).context("no viewable")?;
    for row in 0..batch.num_rows() {
        let ad = or_zero(ad, row) as u64;
        // In view is known once it has been.
        let viewed = viewable.value(row).then(|| hour(rendered.value(row) + or_zero(view, row)));
        each(
            row,
            Counted {
                user: or_zero(user, row) as u64,
                ad,
                advertiser: or_zero(advertiser, row) as u64,
                category: categories.get(&ad).copied().unwrap_or(0),
                shown: hour(rendered.value(row)),
                clicked: (!clicked.is_null(row)).then(|| hour(clicked.value(row))),
                viewed,
            },
        );
    }
    Ok(())
}

/// The categories of ads.
pub(super) fn categories(path: &Path) -> Result<BTreeMap<u64, u64>> {
    let text = read_text(path)?;
    let mut lines = text.lines().enumerate();
    let head = lines.next().map(|(_, head)| head.trim());
    ensure!(
        head == Some("ad,category"),
        "{}: line 1: expected `ad,category`, found `{}`",
        path.display(),
        head.unwrap_or("")
    );
    let mut found = BTreeMap::new();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let pair = line.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        let Some((ad, category)) = pair else {
            bail!("{}: line {}: expected two numbers, found `{line}`", path.display(), at + 1);
        };
        ensure!(
            found.insert(ad, category).is_none(),
            "{}: line {}: ad {ad} has a category already",
            path.display(),
            at + 1
        );
    }
    Ok(found)
}

const BYTES: usize = 49;

/// Writes counters.
pub(super) fn write_counters(path: &Path, hours: &Hours) -> Result<()> {
    write_file(path, |out| {
        for (hour, counters) in &hours.0 {
            for (of, tally) in counters {
                let (kind, a, b) = match *of {
                    Of::User(a) => (0, a, 0),
                    Of::Ad(a) => (1, a, 0),
                    Of::Advertiser(a) => (2, a, 0),
                    Of::UserAdvertiser(a, b) => (3, a, b),
                    Of::UserCategory(a, b) => (4, a, b),
                };
                out.write_all(&[kind])?;
                for word in [*hour, a as i64, b as i64, tally.impressions, tally.clicks, tally.views] {
                    out.write_all(&word.to_le_bytes())?;
                }
            }
        }
        Ok(())
    })
}

/// Reads what [`write_counters`] wrote.
pub(super) fn read_counters(path: &Path) -> Result<Hours> {
    let what = || format!("cannot read {}", path.display());
    let mut input = BufReader::new(std::fs::File::open(path).with_context(what)?);
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).with_context(what)?;
    let (records, rest) = bytes.as_chunks::<BYTES>();
    ensure!(rest.is_empty(), "{}: {} bytes too many at the end", path.display(), rest.len());
    let mut hours = Hours::default();
    for record in records {
        let word = |at: usize| i64::from_le_bytes(std::array::from_fn(|i| record[1 + 8 * at + i]));
        let (a, b) = (word(1) as u64, word(2) as u64);
        let of = match record[0] {
            0 => Of::User(a),
            1 => Of::Ad(a),
            2 => Of::Advertiser(a),
            3 => Of::UserAdvertiser(a, b),
            4 => Of::UserCategory(a, b),
            other => bail!("{}: a counter of kind {other}", path.display()),
        };
        let tally = Tally { impressions: word(3), clicks: word(4), views: word(5) };
        hours.0.entry(word(0)).or_default().insert(of, tally);
    }
    Ok(hours)
}
