//! The rules of a schema, for one made by a packer and one from a file alike.

use std::collections::HashSet;

use super::{Feature, Index, Kind, Schema, Source, TIME_INPUTS};
use crate::error::{Error, Result};

/// The most features a schema may have.
pub const MAX_FEATURES: usize = 4096;
/// The most input columns all features may have together.
pub const MAX_WIDTH: usize = 1 << 16;
/// The longest name in bytes.
pub const MAX_NAME: usize = 255;

impl Schema {
    /// Checks everything that the rest of the library relies on.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the feature or embedding, what was found and what is allowed.
    pub fn validate(&self) -> Result<()> {
        self.validate_embeddings()?;
        if self.features.is_empty() || self.features.len() > MAX_FEATURES {
            return refuse(format!("{} features, expected 1 to {MAX_FEATURES}", self.features.len()));
        }
        let mut names = HashSet::new();
        let mut width = 0usize;
        for f in &self.features {
            check_name("feature", &f.name)?;
            check_name("input of feature", &f.input)?;
            if !names.insert(f.name.as_str()) {
                return refuse(format!("feature `{}` is named twice", f.name));
            }
            self.validate_feature(f).map_err(|e| e.within(format_args!("feature `{}`", f.name)))?;
            width += f.width(&self.embeddings);
            if width > MAX_WIDTH {
                return refuse(format!("the features up to `{}` have more than {MAX_WIDTH} columns", f.name));
            }
        }
        self.validate_inputs()
    }

    fn validate_embeddings(&self) -> Result<()> {
        let mut names = HashSet::new();
        let mut rows = 0u64;
        for e in &self.embeddings {
            check_name("embedding", &e.name)?;
            if !names.insert(e.name.as_str()) {
                return refuse(format!("embedding `{}` is named twice", e.name));
            }
            if e.dim as usize > MAX_WIDTH {
                return refuse(format!("embedding `{}` has {} columns, at most {MAX_WIDTH}", e.name, e.dim));
            }
            if e.dim == 0 && !e.wide {
                return refuse(format!("embedding `{}` has no columns and no wide weights", e.name));
            }
            if e.rows() == 0 || e.rows() >= 1 << 31 {
                return refuse(format!("embedding `{}` has {} rows, expected 1 to 2^31 - 1", e.name, e.rows()));
            }
            if matches!(e.index, Index::Hashed { buckets: 0 }) {
                return refuse(format!("embedding `{}` is hashed into 0 buckets", e.name));
            }
            rows += e.rows();
        }
        if rows >= 1 << 40 {
            return refuse("the embeddings have too many rows together".to_owned());
        }
        Ok(())
    }

    fn validate_feature(&self, f: &Feature) -> Result<()> {
        if f.source == Source::Time && !TIME_INPUTS.contains(&f.input.as_str()) {
            return refuse(format!("time input `{}` is not one of {}", f.input, TIME_INPUTS.join(", ")));
        }
        if f.source == Source::Time && !matches!(f.kind, Kind::Number { .. } | Kind::Category { .. }) {
            return refuse("a time feature is a number or a category".to_owned());
        }
        if let Some(p) = f.position {
            let id = matches!(&f.kind, Kind::Category { boundaries, .. } if boundaries.is_empty());
            if !p.is_finite() || (id && (p < 0.0 || p.fract() != 0.0)) {
                return refuse(format!("the position served is {p}, expected a number (of a category: its id)"));
            }
            if !matches!(f.kind, Kind::Number { .. } | Kind::Category { .. }) {
                return refuse("a position feature is a number or a category".to_owned());
            }
        }
        match &f.kind {
            Kind::Number { transform: t, default } => {
                let (low, high) = t.clip;
                // Two infinities of one sign would make every value infinite.
                if low.is_nan() || high.is_nan() || low > high || low == f32::INFINITY || high == f32::NEG_INFINITY {
                    return refuse(format!("clip [{}, {}] is not a range", t.clip.0, t.clip.1));
                }
                if !t.mean.is_finite() || !t.scale.is_finite() || t.scale == 0.0 {
                    return refuse(format!("mean {} and scale {} must be finite, scale not 0", t.mean, t.scale));
                }
                if !default.is_finite() {
                    return refuse(format!("default {default} is not a finite number"));
                }
            }
            Kind::Category { embedding, boundaries, default } => {
                let e = self.embedding(*embedding)?;
                if boundaries.iter().any(|b| !b.is_finite()) || boundaries.windows(2).any(|w| w[0] >= w[1]) {
                    return refuse("the boundaries are not ascending finite numbers".to_owned());
                }
                let buckets = boundaries.len() as u64 + 1;
                if !boundaries.is_empty()
                    && !matches!(e.index, Index::Identity { count } if u64::from(count) == buckets)
                {
                    return refuse(format!("{buckets} buckets need an embedding with an identity index of that count"));
                }
                if let (Some(id), true) = (default, !boundaries.is_empty()) {
                    return refuse(format!("default id {id}: a bucketised category has none, use a missing row"));
                }
            }
            Kind::MultiCategory { embedding, .. } => {
                self.embedding(*embedding)?;
            }
            Kind::Vector { dim } => {
                if *dim == 0 || *dim as usize > MAX_WIDTH {
                    return refuse(format!("a vector of {dim} columns, expected 1 to {MAX_WIDTH}"));
                }
            }
        }
        Ok(())
    }

    fn embedding(&self, index: u32) -> Result<&super::Embedding> {
        self.embeddings.get(index as usize).ok_or_else(|| {
            Error::argument(format!("embedding number {index} does not exist, there are {}", self.embeddings.len()))
        })
    }

    /// A raw value goes to all features that read it, so they must agree on its side.
    fn validate_inputs(&self) -> Result<()> {
        let mut sources = std::collections::HashMap::new();
        for f in &self.features {
            let first = sources.entry(f.input.as_str()).or_insert(f);
            if first.source != f.source {
                return refuse(format!(
                    "features `{}` and `{}` read input `{}` from different sources ({:?}, {:?})",
                    first.name, f.name, f.input, first.source, f.source
                ));
            }
        }
        Ok(())
    }
}

/// Names travel into logs and messages: no control characters.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return refuse(format!("{what} name {name:?}: expected 1 to {MAX_NAME} bytes without control characters"));
    }
    Ok(())
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::argument(message))
}
