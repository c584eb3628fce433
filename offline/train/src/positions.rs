//! Position features: trained with the logged positions, served with a fixed one. To measure or calibrate a model against clicks
//! from all positions, each row has to be scored at its own.

use std::path::{Path, PathBuf};

use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::Model;
use adclick::builder::bundle::Manifest;
use adclick::builder::model::pack_model;
use adclick::builder::schema::{Feature, Kind, Schema, bucketise};
use adclick_data::logs::{InputValue, LogColumns, LogFiles, LogRow, Reads, RowBatch};
use adclick_data::progress::Progress;
use adclick_data::setting::{refuse, require};
use anyhow::{Context, Result};
use serde::Serialize;

use crate::bundle::{Beside, BundleParts};
use crate::unpack::unpack;

/// The position at which rows are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// Each row at the position that it was logged at.
    Logged,
    /// At the position that is served, and only the rows that were logged there.
    Served,
}

/// At which positions rows are scored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Positions {
    /// The inputs of the model's position features, and what is served for each.
    pub features: Vec<PositionFeature>,
    /// How rows are scored; null when they do not carry their positions and are all scored as if logged at the served
    /// one.
    pub scored: Option<Position>,
}

/// A position feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PositionFeature {
    /// The raw value that it reads.
    pub input: String,
    /// What is served.
    pub served: f32,
}

fn features(schema: &Schema) -> impl Iterator<Item = (usize, &Feature, f32)> {
    schema.features.iter().enumerate().filter_map(|(number, f)| Some((number, f, f.position?)))
}

impl Positions {
    /// How a model scores rows of these columns; `None` for a model without position features.
    ///
    /// # Errors
    /// A choice that the model or the rows do not allow.
    pub fn new(schema: &Schema, columns: &LogColumns, wanted: Option<Position>) -> Result<Option<Self>> {
        let mut inputs: Vec<PositionFeature> = Vec::new();
        for (_, feature, served) in features(schema) {
            let of = PositionFeature { input: feature.input.clone(), served };
            if !inputs.contains(&of) {
                inputs.push(of);
            }
        }
        let features = inputs;
        if features.is_empty() {
            require!(wanted.is_none(), [Position], "the model has no position feature: leave the position out");
            return Ok(None);
        }
        let lacking = features.iter().find(|f| columns.input(&f.input).is_none());
        if let (Some(lacking), Some(_)) = (lacking, wanted) {
            refuse!([Position], "the rows have no input `{}`, which says their positions", lacking.input);
        }
        let scored = lacking.is_none().then(|| wanted.unwrap_or(Position::Logged));
        Ok(Some(Self { features, scored }))
    }

    /// What to warn of.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.scored.is_none().then(|| {
            format!(
                "the rows do not say their positions ({}): all of them are scored as if they were shown where the model is \
                 served ({}); clicks from other positions make the figures wrong",
                self.names(),
                self.served()
            )
        })
    }

    fn names(&self) -> String {
        self.features.iter().map(|f| f.input.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn served(&self) -> String {
        self.features.iter().map(|f| f.served.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Which rows are left out, if any are.
    #[must_use]
    pub fn filter(&self, schema: &Schema, logs: &LogFiles) -> Option<AtServed> {
        (self.scored == Some(Position::Served)).then(|| AtServed::new(schema, logs))
    }
}

impl std::fmt::Display for Positions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (names, served) = (self.names(), self.served());
        match self.scored {
            Some(Position::Logged) => {
                write!(f, "each row at the position that it was logged at ({names}; served: {served})")
            }
            Some(Position::Served) => write!(f, "the rows logged at the position that is served ({names}: {served})"),
            None => write!(f, "all rows at the position that is served ({names}: {served}), for they say none"),
        }
    }
}

/// Picks the rows that were logged where the model is served.
#[derive(Debug)]
pub struct AtServed {
    places: Vec<(Reads, Kind, f32)>,
}

impl AtServed {
    fn new(schema: &Schema, logs: &LogFiles) -> Self {
        let columns = logs.format.columns();
        let place = |(number, feature, served): (usize, &Feature, f32)| {
            Some((logs.reads(&columns, number, &feature.input)?, feature.kind.clone(), served))
        };
        Self { places: features(schema).filter_map(place).collect() }
    }

    /// Whether a row is one of them. To the model, the positions of one bucket are the same.
    #[must_use]
    pub fn has(&self, batch: &RowBatch, row: &LogRow) -> bool {
        let values = batch.values(row);
        self.places.iter().all(|(reads, kind, served)| {
            // The last of several values counts, as in a request.
            let last = values.iter().rfind(|v| reads.has(v));
            last.is_some_and(|value| same_position(kind, value, *served))
        })
    }
}

fn same_position(kind: &Kind, value: &InputValue, served: f32) -> bool {
    match kind {
        Kind::Category { boundaries, .. } if boundaries.is_empty() => value.id == served as u64,
        Kind::Category { boundaries, .. } => bucketise(boundaries, value.number) == bucketise(boundaries, served),
        _ => value.number == served,
    }
}

/// The same model with its positions as ordinary values, which rows carry; `None` for a model without position
/// features.
///
/// # Errors
/// A model that cannot be read or written.
pub fn as_logged(model: &[u8]) -> Result<Option<Vec<u8>>> {
    let model = Model::open(Bytes::copy_of(model)?)?;
    if features(model.schema()).next().is_none() {
        return Ok(None);
    }
    let mut spec = unpack(&model);
    clear(&mut spec.schema);
    Ok(Some(pack_model(&spec).context("the model cannot be scored at logged positions")?))
}

/// Makes positions ordinary values and says whether there were any.
pub fn clear(schema: &mut Schema) -> bool {
    schema.features.iter_mut().filter_map(|f| f.position.take()).count() > 0
}

/// A bundle to score rows with.
#[derive(Debug)]
pub struct LoggedBundle {
    /// Where it is.
    pub path: PathBuf,
    /// The generation of the bundle that it replaces.
    pub generation: u64,
    /// At which positions rows are scored.
    pub positions: Option<Positions>,
    /// Kept until the engine is closed.
    _beside: Option<Beside>,
}

impl LoggedBundle {
    /// The bundle itself, or where rows are scored at their own positions one beside it (else in the directory for
    /// temporary files) whose model takes them. Warns when rows do not carry their positions.
    ///
    /// # Errors
    /// An error in the bundle, and the errors of [`Positions::new`].
    pub fn new(bundle: &Path, columns: &LogColumns, wanted: Option<Position>, progress: &Progress) -> Result<Self> {
        let manifest = Manifest::read(bundle)?;
        let generation = manifest.generation();
        let entry = manifest.file(adclick::builder::bundle::Role::Model).context("the bundle has no model")?;
        let file = bundle.join(&entry.name);
        let model = Model::open(Bytes::open(&file, adclick::builder::artifact::OpenMode::Map)?)
            .with_context(|| file.display().to_string())?;
        let positions = Positions::new(model.schema(), columns, wanted)?;
        if let Some(warning) = positions.as_ref().and_then(Positions::warning) {
            progress.warn(&warning);
        }
        let mut opened = Self { path: bundle.to_owned(), generation, positions, _beside: None };
        if opened.positions.as_ref().is_some_and(|p| p.scored == Some(Position::Logged)) {
            let mut parts = BundleParts::read(bundle)?;
            if let Some(logged) = as_logged(&parts.model)? {
                parts.model = logged;
                let elsewhere = || std::env::temp_dir().join(bundle.file_name().unwrap_or_default());
                let beside = Beside::of(bundle, true).or_else(|_| Beside::of(&elsewhere(), true))?;
                opened.path = beside.path().join("logged");
                parts.write(&opened.path, true, false)?;
                opened._beside = Some(beside);
            }
        }
        Ok(opened)
    }
}
