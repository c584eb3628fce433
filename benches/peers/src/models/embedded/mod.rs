//! Models of ids: most inputs are rows of embedding tables, from small ones to such as no cache holds.

mod bundle;
mod ids;
mod ours;
mod task;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::builder::artifact::OpenMode;
use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::{Bytes, model};
use adclick::builder::bundle::MODEL_FILE;
use adclick::builder::hash::mix;
use adclick::builder::infer::Weights;
use half::f16;

use crate::{Error, tensors};
pub(crate) use ids::{Draw, Pool};
pub(crate) use ours::all;
pub(crate) use task::Asked;

/// Columns of an embedding.
pub(crate) const DIM: usize = 16;
/// Numbers of a request.
pub(crate) const NUMBERS: usize = 13;
/// Tables of all models: first the large ones, then those of [`SMALL`] rows.
const LARGE_TABLES: usize = 8;
const TABLES: usize = 20;
const SMALL: usize = 1000;

/// How large everything is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Rows of a large embedding table.
    pub(crate) rows: usize,
    /// Ads of which candidates are taken, and users of which requests are, of each [`Draw`].
    pub(crate) ads: usize,
    pub(crate) users: usize,
}

impl Size {
    pub(crate) const FULL: Self = Self { rows: 1_000_000, ads: 1 << 18, users: 1 << 12 };
}

/// One feature of ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) table: usize,
    /// Values of one request or candidate; of more than one, their mean counts.
    pub(crate) values: usize,
}

/// A model, with bundles on disk.
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) size: Size,
    /// Those of a request, and those of each candidate.
    pub(crate) request: Vec<Ids>,
    pub(crate) candidate: Vec<Ids>,
    pub(crate) passed: PathBuf,
    pub(crate) from_tables: PathBuf,
    /// The network's weights.
    pub(crate) model: Arc<Model>,
}

/// What a table holds: whole fp16, whose mean is 0 and whose spread is 0.1, from nothing but its place.
pub(crate) fn cell(table: usize, row: usize, column: usize) -> f32 {
    let bits = mix((table as u64) << 40 ^ (row as u64) << 8 ^ column as u64) >> 40;
    f16::from_f32((bits as f32 / (1u32 << 23) as f32 - 1.0) * 0.173).to_f32()
}

impl Size {
    pub(crate) fn rows_of(self, table: usize) -> usize {
        if table < LARGE_TABLES { self.rows } else { SMALL }
    }
}

impl World {
    /// E: all ids are the candidate's. R: half of the columns are the request's, with a history of 50 ids.
    pub(crate) fn new(name: &'static str, size: Size, directory: &Path) -> Result<Self, Error> {
        let one = |table| Ids { table, values: 1 };
        let (request, candidate): (Vec<Ids>, Vec<Ids>) = match name {
            "E" => (Vec::new(), (0..TABLES).map(one).collect()),
            _ => {
                let request = [0, 1, 2, 8, 9, 10, 11, 12, 13].map(one);
                let history = Ids { table: 3, values: 50 };
                (request.into_iter().chain([history]).collect(), [4, 5, 6, 7, 14, 15, 16, 17, 18, 19].map(one).into())
            }
        };
        let [passed, from_tables] = bundle::make(name, size, (&request, &candidate), directory)?;
        let file = passed.join(MODEL_FILE);
        let model = Arc::new(model::Model::open(Bytes::open(&file, OpenMode::Map)?)?);
        tensors::write(&directory.join(format!("{name}.safetensors")), model.network(), Weights::of(&model))?;
        let world = Self { name, size, request, candidate, passed, from_tables, model };
        Ok(world)
    }

    /// What peers read beside the network: all tables as f32, and how they are used.
    pub(crate) fn write_tables(&self, directory: &Path) -> Result<(), Error> {
        let words = |ids: &[Ids]| ids.iter().map(|ids| format!("{}:{}", ids.table, ids.values)).collect::<Vec<_>>();
        let rows: Vec<String> = (0..TABLES).map(|table| self.size.rows_of(table).to_string()).collect();
        let lines = [rows, words(&self.request), words(&self.candidate)].map(|words| words.join(" "));
        std::fs::write(directory.join(format!("{}.features", self.name)), lines.join("\n"))?;
        let path = directory.join("tables.f32");
        let all: usize = (0..TABLES).map(|table| self.size.rows_of(table) * DIM).sum();
        if std::fs::metadata(&path).is_ok_and(|file| file.len() == 4 * all as u64) {
            return Ok(());
        }
        let mut values = Vec::with_capacity(all);
        for table in 0..TABLES {
            for row in 0..self.size.rows_of(table) {
                values.extend((0..DIM).map(|column| cell(table, row, column)));
            }
        }
        Ok(std::fs::write(path, tensors::bytes(&values))?)
    }
}
