//! What can be set of a join.

use serde::{Deserialize, Serialize};

use crate::traffic::Rules;

/// The rules of a join. They are kept with its output: a later run must use the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// How long a click counts as the touch of a conversion, in microseconds.
    pub click_window_us: i64,
    /// How long a view does.
    pub view_window_us: i64,
    /// How long after its decision an impression, and after its impression a click, is believed.
    pub age_limit_us: i64,
    /// How much earlier than its parent an event may be, because clocks differ.
    pub tolerance_us: i64,
    /// How long after the end of its window a conversion may still be reported before a row counts as mature.
    pub lateness_us: i64,
    /// What invalid traffic is, and what becomes of it.
    pub traffic: Rules,
    /// Values of slates that become columns of rows.
    pub features: Vec<Feature>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            click_window_us: 7 * 86_400_000_000,
            view_window_us: 86_400_000_000,
            age_limit_us: 86_400_000_000,
            tolerance_us: 60_000_000,
            lateness_us: 0,
            traffic: Rules::default(),
            features: Vec::new(),
        }
    }
}

/// A raw value of slates that becomes a column of rows, as it was served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The name of the input.
    pub name: String,
    /// What it holds.
    pub kind: FeatureKind,
}

/// What a feature's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// A number.
    Number,
    /// A category's id.
    Category,
    /// Ids of several categories.
    Multi,
    /// A vector.
    Vector,
}
