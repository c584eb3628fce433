//! The named features of a model: their kinds and sources, and how raw values become model inputs.
//!
//! One definition serves training, packing and serving: `offline/` builds a [`Schema`], the model file carries it, and
//! [`crate::enrich`] assembles inputs from it. No other code turns a raw value into a model input.

mod codec;
mod enrichment;
mod layout;
mod transform;
mod validate;

#[cfg(feature = "builder")]
pub use enrichment::{Binding, TableUse};
pub use enrichment::{ColumnUse, Enrichment, KeyPart, Lookup, MAX_KEY_PARTS, MAX_TABLES, Measure};
#[cfg(feature = "builder")]
pub use layout::Column;
pub use layout::Layout;
pub use transform::{Transform, bucketise};
#[cfg(feature = "builder")]
pub use validate::MAX_FEATURES;
pub(crate) use validate::check_name;
pub use validate::{MAX_NAME, MAX_WIDTH};

use crate::hash::bucket;
use crate::named::{Named, displayed_by_name};

/// Where in a request a feature's value comes from: the same for all candidates, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// One value for the whole request.
    Request = 0,
    /// One value for each candidate.
    Candidate = 1,
}

/// The place a feature's raw value is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Source {
    /// Passed with the request.
    Context = 0,
    /// A table keyed by user.
    User = 1,
    /// Derived from the request's time.
    Time = 2,
    /// A table keyed by ad.
    Ad = 3,
    /// A table keyed by a pair, such as user and advertiser.
    Cross = 4,
    /// Passed with the candidate.
    Candidate = 5,
    /// The dot product of two vectors.
    Dot = 6,
}

impl Source {
    /// The side that a source belongs to.
    pub(crate) fn side(self) -> Side {
        match self {
            Self::Context | Self::User | Self::Time => Side::Request,
            Self::Ad | Self::Cross | Self::Candidate | Self::Dot => Side::Candidate,
        }
    }
}

impl From<Source> for Side {
    fn from(source: Source) -> Self {
        source.side()
    }
}

impl Named for Source {
    fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::User => "user",
            Self::Time => "time",
            Self::Ad => "ad",
            Self::Cross => "cross",
            Self::Candidate => "candidate",
            Self::Dot => "dot",
        }
    }
}

displayed_by_name!(Source);

/// How the rows of a multi-valued category are pooled into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Pooling {
    /// The weighted sum of the rows divided by the number of values (repeats count each time).
    Mean = 0,
    /// The weighted sum of the rows.
    Sum = 1,
}

/// How a category id finds its row in an embedding table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Index {
    /// The id is the row, counted from `first_row`; ids of `count` and more are unknown.
    Identity {
        /// The number of ids.
        count: u32,
    },
    /// `first_row + bucket(id, buckets)`: nothing is unknown, ids may share a row.
    Hashed {
        /// The number of rows that the ids are spread over.
        buckets: u32,
    },
    /// The ids of a vocabulary that the model file holds; all others are unknown.
    Vocabulary {
        /// The number of ids in the vocabulary.
        count: u32,
    },
}

impl Index {
    /// The number of rows that the index can address (without the unknown and missing rows).
    #[must_use]
    pub fn count(self) -> u32 {
        match self {
            Self::Identity { count } | Self::Vocabulary { count } => count,
            Self::Hashed { buckets } => buckets,
        }
    }

    /// [`Embedding::row`], for callers that keep `first_row` at hand.
    #[inline]
    pub(crate) fn row(self, id: u64, first_row: u32, vocabulary: impl FnOnce(u64) -> Option<u32>) -> Option<u32> {
        match self {
            Self::Identity { count } => (id < u64::from(count)).then(|| first_row + id as u32),
            Self::Hashed { buckets } => Some(first_row + bucket(id, buckets)),
            Self::Vocabulary { .. } => vocabulary(id),
        }
    }
}

/// A table of embedding rows, shared by the features that name it. Row order: the unknown row if there is one, the
/// missing row if there is one, then the rows of the index.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Its name, unique in the schema.
    pub name: String,
    /// How an id finds its row.
    pub index: Index,
    /// Columns per row; 0 for a table that only the wide part uses.
    pub dim: u32,
    /// Whether unknown ids have a row of their own; without one they contribute zeros.
    pub unknown_row: bool,
    /// Whether a missing value has a row of its own; without one it contributes zeros.
    pub missing_row: bool,
    /// Whether the wide part has a weight for each row and head.
    pub wide: bool,
}

impl Embedding {
    /// The number of rows before those of the index.
    #[must_use]
    pub fn first_row(&self) -> u32 {
        u32::from(self.unknown_row) + u32::from(self.missing_row)
    }

    /// All rows of the table.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::from(self.first_row()) + u64::from(self.index.count())
    }

    /// The row of an id; `None` when the index does not know it. `vocabulary` gives the row of an id of the vocabulary,
    /// and is called only if there is one.
    #[inline]
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn row(&self, id: u64, vocabulary: impl FnOnce(u64) -> Option<u32>) -> Option<u32> {
        self.index.row(id, self.first_row(), vocabulary)
    }

    /// The row of ids that the index does not know.
    #[must_use]
    pub fn unknown(&self) -> Option<u32> {
        self.unknown_row.then_some(0)
    }

    /// The row of a missing value.
    #[must_use]
    pub fn missing(&self) -> Option<u32> {
        self.missing_row.then_some(u32::from(self.unknown_row))
    }
}

/// The kind of a feature, and how its value is used.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One number, one input column.
    Number {
        /// Applied to the raw value.
        transform: Transform,
        /// The raw value that replaces a missing one.
        default: f32,
    },
    /// One category: a row of an embedding table.
    Category {
        /// The index of the table.
        embedding: u32,
        /// Ascending boundaries that turn a number into a bucket id (the number of boundaries ≤ value); empty when the
        /// value is an id already.
        boundaries: Vec<f32>,
        /// The id that replaces a missing value; without one the table's missing row does.
        default: Option<u64>,
    },
    /// Any number of categories, pooled into one row. Each value's number is its weight.
    MultiCategory {
        /// The index of the table.
        embedding: u32,
        /// How the rows are pooled; no value at all gives zeros.
        pooling: Pooling,
    },
    /// A vector of numbers; a value's id is its position. Missing positions are 0.
    Vector {
        /// The number of columns.
        dim: u32,
    },
}

/// One named feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// Its name, unique in the schema.
    pub name: String,
    /// The name of the raw value it reads. Several features may read one value (a number and its buckets).
    /// A `time` feature has one of [`TIME_INPUTS`].
    pub input: String,
    /// The source of the raw value, which also determines the side.
    pub source: Source,
    /// Its kind.
    pub kind: Kind,
    /// A position feature: trained with the logged position, served with this raw value (number, or category id).
    pub position: Option<f32>,
}

/// The derivations of the request's time: hour 0-23, weekday with Monday = 0, weekend 0 or 1, and the sine and
/// cosine of the hour's and the weekday's share of their cycle.
pub const TIME_INPUTS: [&str; 7] = ["hour", "weekday", "weekend", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos"];

/// The features of a model in the order in which the model was trained, and the tables that they use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schema {
    /// In declared order: the order of the columns of ready inputs (`score_dense`).
    pub features: Vec<Feature>,
    /// The tables that the features name by number.
    pub embeddings: Vec<Embedding>,
}

impl Feature {
    /// The number of input columns.
    #[must_use]
    pub fn width(&self, embeddings: &[Embedding]) -> usize {
        match &self.kind {
            Kind::Number { .. } => 1,
            Kind::Category { embedding, .. } | Kind::MultiCategory { embedding, .. } => {
                embeddings[*embedding as usize].dim as usize
            }
            Kind::Vector { dim } => *dim as usize,
        }
    }

    /// The side of the feature.
    #[must_use]
    pub fn side(&self) -> Side {
        self.source.side()
    }

    /// Whether it takes values that callers pass: a time is derived, and a position is fixed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.source != Source::Time && self.position.is_none()
    }
}
