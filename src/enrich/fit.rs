//! Checks that a model can read its tables' columns. Every error names the column and its reader.

use super::planned::{FeatureCell, TableColumn};
use crate::error::{Error, Result};
use crate::schema::{ColumnUse, Enrichment, Feature, Kind, Lookup};
use crate::table::{ColumnKind, TableSource};

/// The reader of a column, for messages.
pub(super) enum ReadBy<'a> {
    Feature(&'a Feature),
    Key(&'a str),
}

impl std::fmt::Display for ReadBy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Feature(feature) => write!(f, "feature `{}`", feature.name),
            Self::Key(table) => write!(f, "the key of table `{table}`"),
        }
    }
}

/// The tables that a model reads, in the model's order.
pub(super) struct Fit<'a> {
    pub(super) enrichment: &'a Enrichment,
    pub(super) sources: Vec<&'a TableSource>,
}

impl<'a> Fit<'a> {
    /// Finds each table of the model among the available ones.
    pub(super) fn new(enrichment: &'a Enrichment, all: &'a [TableSource]) -> Result<Self> {
        let find = |name: &str| {
            all.iter().find(|t| t.set.name() == name).ok_or_else(|| {
                let names: Vec<_> = all.iter().map(|t| format!("`{}`", t.set.name())).collect();
                let there =
                    if names.is_empty() { "none is".to_owned() } else { format!("there: {}", names.join(", ")) };
                Error::unsupported(format!("the model reads table `{name}`, which is not there ({there})"))
            })
        };
        let sources = enrichment.tables.iter().map(|table| find(&table.name)).collect::<Result<_>>()?;
        Ok(Self { enrichment, sources })
    }

    /// The id column of a key.
    pub(super) fn key(&self, table: &str, column: &ColumnUse) -> Result<TableColumn> {
        let reader = ReadBy::Key(table);
        let (place, kind) = self.column(&reader, column)?;
        match kind {
            ColumnKind::U32 { cap: 1 } | ColumnKind::U64 { cap: 1 } => Ok(place),
            _ => Err(self.other(&reader, column, "as one id", kind)),
        }
    }

    /// The cell that gives a feature its values.
    pub(super) fn cell(&self, feature: &Feature, lookup: &Lookup) -> Result<FeatureCell> {
        let reader = ReadBy::Feature(feature);
        let column = match lookup {
            Lookup::Column(column) => column,
            Lookup::Similarity { left, right, measure } => {
                let (a, dim_a) = self.vector(&reader, left)?;
                let (b, dim_b) = self.vector(&reader, right)?;
                if dim_a != dim_b {
                    return Err(Error::unsupported(format!(
                        "{reader} compares {} ({}: {dim_a} values) with {} ({}: {dim_b} values), expected two vectors \
                         of one dimension",
                        self.named(left),
                        self.file(left),
                        self.named(right),
                        self.file(right)
                    )));
                }
                return Ok(FeatureCell::Similarity { left: a, right: b, measure: *measure });
            }
        };
        let (place, kind) = self.column(&reader, column)?;
        let other = |what: &str| Err(self.other(&reader, column, what, kind));
        let number = match &feature.kind {
            Kind::Number { .. } => true,
            Kind::Category { boundaries, .. } => !boundaries.is_empty(),
            Kind::MultiCategory { .. } | Kind::Vector { .. } => false,
        };
        match (&feature.kind, column.position, kind) {
            (_, None, ColumnKind::F32 | ColumnKind::F16) if number => Ok(FeatureCell::Number { place, position: 0 }),
            (_, Some(p), ColumnKind::Vector { dim }) if number && p < dim => {
                Ok(FeatureCell::Number { place, position: p.into() })
            }
            (_, None, _) if number => other("as a number"),
            (_, Some(p), _) if number => other(&format!("as a vector with position {p}")),
            (Kind::Category { .. }, _, ColumnKind::U32 { cap: 1 } | ColumnKind::U64 { cap: 1 }) => {
                Ok(FeatureCell::Ids(place))
            }
            (Kind::MultiCategory { .. }, _, ColumnKind::U32 { .. } | ColumnKind::U64 { .. }) => {
                Ok(FeatureCell::Ids(place))
            }
            (Kind::Vector { dim: n }, _, ColumnKind::Vector { dim }) if *n == dim.into() => {
                Ok(FeatureCell::Vector(place))
            }
            (Kind::Vector { dim }, ..) => other(&format!("as a vector of {dim}")),
            (Kind::MultiCategory { .. }, ..) => other("as ids"),
            _ => other("as one id"),
        }
    }

    fn vector(&self, reader: &ReadBy<'_>, column: &ColumnUse) -> Result<(TableColumn, u16)> {
        match self.column(reader, column)? {
            (place, ColumnKind::Vector { dim }) => Ok((place, dim)),
            (_, kind) => Err(self.other(reader, column, "as a vector", kind)),
        }
    }

    fn column(&self, reader: &ReadBy<'_>, column: &ColumnUse) -> Result<(TableColumn, ColumnKind)> {
        let layout = self.sources[column.table as usize].set.layout();
        let Some(at) = layout.find(&column.column) else {
            let names: Vec<_> = layout.columns().iter().take(20).map(|c| format!("`{}`", c.name)).collect();
            let more = if layout.columns().len() > names.len() { ", ..." } else { "" };
            return Err(Error::unsupported(format!(
                "{reader} reads {}, which {} does not have; it has {}{more}",
                self.named(column),
                self.file(column),
                names.join(", ")
            )));
        };
        Ok((TableColumn { table: column.table as usize, column: at }, layout.columns()[at].kind))
    }

    fn other(&self, reader: &ReadBy<'_>, column: &ColumnUse, what: &str, kind: ColumnKind) -> Error {
        let (named, file) = (self.named(column), self.file(column));
        Error::unsupported(format!("{reader} reads {named} {what}, and {file} has it as {kind}"))
    }

    fn named(&self, column: &ColumnUse) -> String {
        let table = &self.enrichment.tables[column.table as usize].name;
        format!("column `{}` of table `{table}`", column.column)
    }

    fn file(&self, column: &ColumnUse) -> &str {
        &self.sources[column.table as usize].file
    }
}
