//! The inputs of a model: their names, sides and kinds, and whether a request has them.
//!
//! Requests outlive generations, so scoring ignores (and counts) values that the live model does not use: a swap to a
//! model without an input must not fail the requests that still carry it. A server checks once, at start, with a
//! request of its own: [`crate::Engine::check`].

mod check;

pub(crate) use check::check;
pub use check::{Check, Problem, ProblemKind};

use crate::named::{Named, displayed_by_name};
use std::fmt;

use crate::model::ScoringModel;
use crate::schema::{Feature, Kind};

pub use crate::schema::{Side, Source};

/// What a value of an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ValueKind {
    /// One number: `number`.
    Number = 0,
    /// One category: `id`.
    Category = 1,
    /// Any number of categories: `id`, and its weight in `number`.
    Categories = 2,
    /// The positions of a vector: `id` is the position, `number` its number.
    Vector = 3,
}

impl ValueKind {
    fn of(feature: &Feature) -> (Self, u32) {
        match &feature.kind {
            Kind::Number { .. } => (Self::Number, 1),
            // Buckets are made from a number.
            Kind::Category { boundaries, .. } if !boundaries.is_empty() => (Self::Number, 1),
            Kind::Category { .. } => (Self::Category, 1),
            Kind::MultiCategory { .. } => (Self::Categories, 1),
            Kind::Vector { dim } => (Self::Vector, *dim),
        }
    }
}

impl Named for ValueKind {
    fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Category => "category",
            Self::Categories => "categories",
            Self::Vector => "vector",
        }
    }
}

displayed_by_name!(ValueKind);

/// How a model gets an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum InputReading {
    /// Passed, or its default.
    Passed = 0,
    /// Passed, or read from tables.
    Table = 1,
    /// Derived from the request's time; what is passed is ignored.
    Time = 2,
    /// Fixed by the schema, as positions are; what is passed is ignored.
    Fixed = 3,
}

impl Named for InputReading {
    fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Table => "table",
            Self::Time => "time",
            Self::Fixed => "fixed",
        }
    }
}

displayed_by_name!(InputReading);

/// The replacement for a missing value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// No default: the embedding's row for missing values, or zeros.
    None,
    /// A number.
    Number(f32),
    /// An id.
    Id(u64),
}

/// An input of a model. Features that read one input in the same way are listed as one.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// The name that [`crate::Engine::feature`] takes.
    pub name: String,
    /// The handle of the name.
    pub handle: u32,
    /// Whether its values come with the request or with each candidate.
    pub side: Side,
    /// The kind of its values.
    pub kind: ValueKind,
    /// The number of positions of a vector; else 1.
    pub dim: u32,
    /// The source in the schema.
    pub source: Source,
    /// How the model gets its value.
    pub reading: InputReading,
    /// For [`InputReading::Table`] the column, such as `users.age`, or `dot` or `cosine` of two; otherwise empty.
    pub from: String,
    /// The replacement for a missing value; for [`InputReading::Fixed`], the fixed value.
    pub default: Default,
    /// The names of the features that read it.
    pub features: Vec<String>,
}

impl fmt::Display for ModelInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind.name())?;
        if self.kind == ValueKind::Vector {
            write!(f, " of {}", self.dim)?;
        }
        let side = side_name(self.side);
        match (self.reading, self.default) {
            (InputReading::Passed, _) => write!(f, ", passed with the {side}")?,
            (InputReading::Table, _) => write!(f, ", from {} unless passed with the {side}", self.from)?,
            (InputReading::Time, _) => return write!(f, ", from the request's time, never passed"),
            (InputReading::Fixed, Default::Number(number)) => return write!(f, ", fixed to {number}, never passed"),
            (InputReading::Fixed, Default::Id(id)) => return write!(f, ", fixed to id {id}, never passed"),
            (InputReading::Fixed, Default::None) => return write!(f, ", fixed, never passed"),
        }
        match self.default {
            Default::None => Ok(()),
            Default::Number(number) => write!(f, ", {number} when missing"),
            Default::Id(id) => write!(f, ", id {id} when missing"),
        }
    }
}

/// The name of a side in text output.
pub(crate) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Candidate => "candidate",
    }
}

/// The inputs of a model, in the schema's order.
#[must_use]
pub(crate) fn inputs(scoring: &ScoringModel) -> Vec<ModelInput> {
    let model = scoring.file();
    let enrichment = model.enrichment();
    let mut all: Vec<ModelInput> = Vec::new();
    for (i, feature) in model.schema().features.iter().enumerate() {
        let (kind, dim) = ValueKind::of(feature);
        let binding = enrichment.bindings.iter().find(|binding| binding.feature as usize == i);
        let reading = match (feature.position, feature.source, binding) {
            (Some(_), ..) => InputReading::Fixed,
            (None, Source::Time, _) => InputReading::Time,
            (None, _, Some(_)) => InputReading::Table,
            (None, _, None) => InputReading::Passed,
        };
        let default = match (feature.position, &feature.kind) {
            // The request always has a time.
            _ if reading == InputReading::Time => Default::None,
            (Some(position), _) if kind == ValueKind::Number => Default::Number(position),
            (Some(position), _) => Default::Id(position as u64),
            (None, Kind::Number { default, .. }) => Default::Number(*default),
            (None, Kind::Category { default: Some(id), .. }) => Default::Id(*id),
            _ => Default::None,
        };
        let input = ModelInput {
            name: feature.input.clone(),
            handle: scoring.assembler().handle(i),
            side: feature.side(),
            kind,
            dim,
            source: feature.source,
            reading,
            from: binding.map_or(String::new(), |binding| enrichment.lookup_text(&binding.lookup)),
            default,
            features: vec![feature.name.clone()],
        };
        let same = |other: &&mut ModelInput| {
            let way = |i: &ModelInput| (i.side, i.kind, i.dim, i.reading);
            way(other) == way(&input) && other.name == input.name && other.from == input.from
        };
        match all.iter_mut().find(same) {
            Some(other) => other.features.push(feature.name.clone()),
            None => all.push(input),
        }
    }
    all
}
