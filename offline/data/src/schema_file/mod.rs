//! The schema file: a TOML text that names the features of a model, for training and packing alike.
//!
//! It becomes the core's [`Schema`] plus what only offline work needs: how a data file's columns become raw values, how
//! each embedding table is filled, which columns are labels, and how a state dict's tensors are read. `docs/schema.md`
//! describes the keys.

mod binding;
mod build;
mod cells;
pub mod duration;
mod keys;
mod labels;
mod options;
mod raw;
mod tables;
mod values;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use adclick::builder::artifact::model::spec::{Activation, HeadKind, Structure};
use adclick::builder::schema::{Enrichment, Feature, KeyPart, Kind, Schema, Source};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::logs::{InputColumn, InputKind, KeyColumn, KeyId, LogColumns};

pub use cells::CellSource;
pub use keys::KeyColumns;
pub use labels::{LabelColumns, TimeUnit};
pub use options::PLACEHOLDERS;
pub use tables::{IdColumn, TableFile, key_text};

/// A schema file, parsed and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFile {
    /// The features and tables. A vocabulary that is not yet built has a count of 0.
    pub schema: Schema,
    /// How raw columns are read, one entry for each feature.
    pub columns: Vec<RawColumn>,
    /// How the tables are filled, one entry for each embedding.
    pub tables: Vec<EmbeddingFill>,
    /// The file's setting of each embedding's weights in the wide part. Without one, packing takes none and training
    /// creates some.
    pub wide: Vec<Option<bool>>,
    /// The model's reads from feature tables; empty when all values are passed.
    pub enrichment: Enrichment,
    /// How data files become those tables, one entry for each of [`Enrichment::tables`].
    pub feature_tables: Vec<TableFile>,
    /// The columns of data files that hold a request's keys.
    pub keys: KeyColumns,
    /// The label columns, when the file names them.
    pub labels: Option<LabelColumns>,
    /// Details that weights alone do not give.
    pub model: ModelOptions,
    /// Tensors with other names.
    pub tensors: Vec<Mapping>,
    /// XXH3-64 of the file's text, which may have come through a pipe and cannot be read again; 0 without a file.
    pub xxh3: u64,
}

/// How the column of a data file becomes raw values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawColumn {
    /// Whether category values are integers (their own ids) or strings (hashed to ids).
    pub integer: bool,
    /// The separator of a multi-valued feature's or vector's values within one text column.
    pub separator: String,
}

/// How an embedding table is filled.
#[derive(Debug, Clone, PartialEq)]
pub enum EmbeddingFill {
    /// No ids are given: they index the table directly or by hash.
    Indexed,
    /// The ids are given, in row order.
    Given(Vec<u64>),
    /// The trainer collects the ids.
    Built {
        /// The least count of an id; the default depends on the number of rows.
        min_count: Option<u64>,
        /// The most ids; the most frequent ones are kept.
        max_size: Option<u32>,
    },
    /// Ids and rows are given and never trained: a category with fixed values.
    Fixed {
        /// In row order.
        ids: Vec<u64>,
        /// All rows, the unknown row first: one column.
        rows: Vec<f32>,
    },
}

/// Details that a state dict alone does not give. All are optional.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelOptions {
    /// The input of the deep part. By default it follows from the output layer's width.
    pub structure: Option<Structure>,
    /// The form of the cross layers. By default it follows from the tensor names.
    pub cross: Option<CrossForm>,
    /// The activation of the deep layers and towers: one for all, or one for each deep layer. Empty = not given.
    pub activation: Vec<Activation>,
    /// The position of BatchNorm. By default the module numbers tell.
    pub batchnorm: Option<NormOrder>,
    /// BatchNorm's epsilon; without it torch's 1e-5.
    pub batchnorm_eps: Option<f64>,
    /// Added to the diagonal of full cross matrices (`diag_scale`); by default nothing.
    pub diag_scale: Option<f64>,
    /// The order of the columns that the output layer reads. By default cross before deep.
    pub output_order: Option<OutputOrder>,
    /// The file declares that there are no interactions without weights, such as a factorisation machine's.
    pub no_interactions: bool,
    /// The predictions of the rows of an output layer with several outputs. Empty = one pCTR.
    pub heads: Vec<HeadKind>,
}

/// The form of the cross layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrossForm {
    /// `[d, d]` matrices.
    Full,
    /// U and V.
    LowRank,
    /// DCN v1.
    Vector,
    /// DCN-mix.
    Mixture,
    /// No cross layers.
    None,
}

/// The position of BatchNorm relative to the activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormOrder {
    /// Linear, BatchNorm, activation.
    BeforeActivation,
    /// Linear, activation, BatchNorm.
    AfterActivation,
}

/// The columns of the output layer of a parallel model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputOrder {
    /// `[cross; deep]`.
    CrossDeep,
    /// `[deep; cross]`.
    DeepCross,
}

/// One line of `[tensors]`: pack's name and the file's. In both, `{i}` matches a number and `{name}` a name without
/// dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The name that pack knows.
    pub role: String,
    /// The name in the weights file.
    pub name: String,
    /// The file holds the matrix as `[in, out]`.
    pub transpose: bool,
}

impl SchemaFile {
    /// Reads and checks a schema file.
    ///
    /// # Errors
    /// The error, with file, feature, key, the value found and the values allowed.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            crate::files::read_text(path).with_context(|| format!("cannot read the schema {}", path.display()))?;
        build::build(&text, path.parent().unwrap_or(Path::new("")))
            .with_context(|| format!("schema {}", path.display()))
    }

    /// The same from a text; vocabulary files are read from the current directory.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str) -> Result<Self> {
        build::build(text, Path::new(""))
    }

    /// The columns of data files of this schema: labels, one input for each raw value that rows may carry (those that
    /// features read from tables are optional), and the ids that tables are looked up by.
    ///
    /// # Errors
    /// No `[labels]`, no column in `[keys]` for an id of a table's key, a separator of several bytes, or features that read one input in different ways.
    pub fn data_columns(&self) -> Result<LogColumns> {
        let labels = self.labels.as_ref().context("a schema for training needs [labels] with at least `click`")?;
        let mut columns = LogColumns {
            click: labels.click.clone(),
            conversion: labels.conversion.clone(),
            weight: labels.weight.clone(),
            time: labels.time_column(),
            inputs: Vec::new(),
            keys: self.key_columns()?,
        };
        let mut places: HashMap<&str, usize> = HashMap::new();
        let bound: HashSet<u32> = self.enrichment.bindings.iter().map(|b| b.feature).collect();
        let bound = |i: usize| bound.contains(&(i as u32));
        for (i, (feature, raw)) in self.schema.features.iter().zip(&self.columns).enumerate() {
            if feature.source == Source::Time {
                continue;
            }
            let kind = input_kind(&feature.kind, raw).with_context(|| format!("feature `{}`", feature.name))?;
            match places.get(feature.input.as_str()).and_then(|&at| columns.inputs.get_mut(at)) {
                None => {
                    places.insert(&feature.input, columns.inputs.len());
                    let (name, column) = (feature.input.clone(), feature.input.clone());
                    columns.inputs.push(InputColumn { name, column, kind, optional: bound(i) });
                }
                Some(known) => {
                    ensure!(
                        known.kind == kind,
                        "feature `{}` reads input `{}` as {kind:?}, another one as {:?}",
                        feature.name,
                        feature.input,
                        known.kind
                    );
                    known.optional &= bound(i);
                }
            }
        }
        Ok(columns)
    }

    /// The columns with the ids that make up the keys of the tables.
    fn key_columns(&self) -> Result<Vec<KeyColumn>> {
        let mut columns: Vec<KeyColumn> = Vec::new();
        for table in &self.enrichment.tables {
            for part in &table.key {
                let (id, name, given) = match part {
                    KeyPart::User => (KeyId::User, "user", &self.keys.user),
                    KeyPart::Ad => (KeyId::Ad, "ad", &self.keys.ad),
                    KeyPart::Advertiser => (KeyId::Advertiser, "advertiser", &self.keys.advertiser),
                    KeyPart::Placement => (KeyId::Placement, "placement", &self.keys.placement),
                    KeyPart::Column(_) => continue,
                };
                if columns.iter().any(|c| c.id == id) {
                    continue;
                }
                let given = given.as_ref().with_context(|| {
                    format!(
                        "table `{}` is looked up by the {name}: say in [keys] which column of data files holds it, as \
                         in {name} = \"{name}_id\"",
                        table.name
                    )
                })?;
                let (column, integer) = (given.column.clone(), given.integer);
                columns.push(KeyColumn { id, column, integer, table: table.name.clone(), needed: true });
            }
        }
        // The others are read where files have them: calibrators have segments by them.
        let given = [
            (KeyId::User, &self.keys.user),
            (KeyId::Ad, &self.keys.ad),
            (KeyId::Advertiser, &self.keys.advertiser),
            (KeyId::Placement, &self.keys.placement),
        ];
        for (id, given) in given {
            if let Some(given) = given
                && columns.iter().all(|c| c.id != id)
            {
                let (column, integer) = (given.column.clone(), given.integer);
                columns.push(KeyColumn { id, column, integer, table: String::new(), needed: false });
            }
        }
        Ok(columns)
    }

    /// The schema of a model over `dim` ready columns: one vector named `x`.
    #[must_use]
    pub fn dense(dim: u32) -> Self {
        let feature = Feature {
            name: "x".into(),
            input: "x".into(),
            source: Source::Candidate,
            kind: Kind::Vector { dim },
            position: None,
        };
        Self {
            schema: Schema { features: vec![feature], embeddings: Vec::new() },
            columns: vec![RawColumn { integer: false, separator: " ".into() }],
            tables: Vec::new(),
            wide: Vec::new(),
            enrichment: Enrichment::default(),
            feature_tables: Vec::new(),
            keys: KeyColumns::default(),
            labels: None,
            model: ModelOptions::default(),
            tensors: Vec::new(),
            xxh3: 0,
        }
    }

    /// The names of the tables whose vocabulary is not yet built.
    #[must_use]
    pub fn unbuilt(&self) -> Vec<&str> {
        let tables = self.schema.embeddings.iter().zip(&self.tables);
        tables.filter(|(_, t)| matches!(t, EmbeddingFill::Built { .. })).map(|(e, _)| e.name.as_str()).collect()
    }
}

/// The form of a feature's raw values in a column.
fn input_kind(kind: &Kind, raw: &RawColumn) -> Result<InputKind> {
    let separator = || match raw.separator.as_bytes() {
        [byte] => Ok(*byte),
        _ => bail!("separator {:?}: data files have separators of one byte", raw.separator),
    };
    Ok(match kind {
        Kind::Number { .. } => InputKind::Number,
        Kind::Category { boundaries, .. } if !boundaries.is_empty() => InputKind::Number,
        Kind::Category { .. } if raw.integer => InputKind::Integer,
        Kind::Category { .. } => InputKind::Text,
        Kind::MultiCategory { .. } if raw.integer => InputKind::Integers(separator()?),
        Kind::MultiCategory { .. } => InputKind::Texts(separator()?),
        Kind::Vector { dim } => InputKind::Vector(*dim, separator()?),
    })
}

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
