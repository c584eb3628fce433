//! Where features get values that the request does not carry: the tables that a model reads, their keys, and the
//! columns that feed features.

mod codec;
mod validate;

pub use validate::{MAX_KEY_PARTS, MAX_TABLES};

use super::Side;

/// A model's reads from tables. The model file carries them; a bundle that lacks the tables is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enrichment {
    /// The tables; names are unique.
    pub tables: Vec<TableUse>,
    /// The features that read tables; at most one entry for each feature, in the features' order.
    pub bindings: Vec<Binding>,
}

/// A table that a model reads, and the key of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUse {
    /// The table's name.
    pub name: String,
    /// The ids that make up the key: see [`crate::hash::composite_key`]. 1 to 4 of them.
    pub key: Vec<KeyPart>,
}

/// One id of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// The request's `user_key`.
    User,
    /// The candidate's `ad_key`.
    Ad,
    /// The candidate's `advertiser_key`.
    Advertiser,
    /// The request's `placement`; number 0 is no key.
    Placement,
    /// A single-valued id column of another table, such as an ad's category; that table's own key must not have such a
    /// part. A missing cell takes the default row's value, as for a feature; if that is missing too, the id is 0: no
    /// key.
    Column(ColumnUse),
}

/// A column of a table that a model reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnUse {
    /// The number of the table in [`Enrichment::tables`].
    pub table: u32,
    /// The column's name.
    pub column: String,
    /// The position in a vector column, when one of its values is read.
    pub position: Option<u16>,
}

/// The source of a feature's value when neither request nor candidate carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The number of the feature in the schema.
    pub feature: u32,
    /// The source.
    pub lookup: Lookup,
}

/// A source of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// A cell of a table.
    Column(ColumnUse),
    /// The similarity of two vector cells of one dimension.
    Similarity {
        /// The first vector.
        left: ColumnUse,
        /// The second vector.
        right: ColumnUse,
        /// Dot product or cosine.
        measure: Measure,
    },
}

/// The similarity measure of two vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Measure {
    /// Their dot product.
    Dot = 0,
    /// Their dot product divided by the product of their lengths; missing when one of them is 0.
    Cosine = 1,
}

impl Enrichment {
    /// Whether the model reads no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.bindings.is_empty()
    }

    /// Whether a table has one row for the request or one for each candidate: it belongs to the request's side if all
    /// ids of its key do. The enrichment must be valid.
    #[must_use]
    pub fn side(&self, table: usize) -> Side {
        let of_request = self.tables[table].key.iter().all(|part| match part {
            KeyPart::User | KeyPart::Placement => true,
            KeyPart::Ad | KeyPart::Advertiser => false,
            // That table's key has no such part, so the recursion has one level.
            KeyPart::Column(column) => self.side(column.table as usize) == Side::Request,
        });
        if of_request { Side::Request } else { Side::Candidate }
    }

    /// A column as schema files write it: `users.ctr_7d` or `users.interests[3]`.
    #[must_use]
    pub fn column_text(&self, at: &ColumnUse) -> String {
        let position = at.position.map_or(String::new(), |p| format!("[{p}]"));
        format!("{}.{}{position}", self.tables[at.table as usize].name, at.column)
    }

    /// A source as text: a column, or `dot` or `cosine` of two.
    #[must_use]
    pub fn lookup_text(&self, lookup: &Lookup) -> String {
        match lookup {
            Lookup::Column(at) => self.column_text(at),
            Lookup::Similarity { left, right, measure } => {
                let measure = match measure {
                    Measure::Dot => "dot",
                    Measure::Cosine => "cosine",
                };
                format!("{measure}({}, {})", self.column_text(left), self.column_text(right))
            }
        }
    }
}

impl Lookup {
    /// The columns that it reads.
    pub fn columns(&self) -> impl Iterator<Item = &ColumnUse> {
        let (first, second) = match self {
            Self::Column(column) => (column, None),
            Self::Similarity { left, right, .. } => (left, Some(right)),
        };
        std::iter::once(first).chain(second)
    }
}
