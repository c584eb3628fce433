//! Features that read a column of a table, or compare two.

use adclick::builder::schema::{Lookup, Measure, Side, Source};
use adclick::builder::table::ColumnKind;
use anyhow::{Context, Result, bail, ensure};

use super::raw;
use super::tables::{FeatureTables, FoundColumn};

/// A feature's read from tables, if any. Fills in what follows from the column: the form of ids and a vector's
/// dimension.
pub(super) fn lookup(feature: &mut raw::Feature, source: Source, tables: &FeatureTables) -> Result<Option<Lookup>> {
    if source == Source::Dot {
        ensure!(
            feature.column.is_none(),
            "key `column` does not belong to source `dot`; allowed: left, right, measure"
        );
        return similarity(feature, tables);
    }
    let Some(text) = feature.column.clone() else { return Ok(None) };
    ensure!(
        source != Source::Time,
        "key `column` does not belong to source `time`, which is derived and not looked up"
    );
    ensure!(
        feature.position.is_none(),
        "keys `column` and `position`: a position feature is served with a fixed value and reads no table"
    );
    let found = tables.find(&text).context("key `column`")?;
    let table = &tables.files[found.at.table as usize].name;
    ensure!(
        found.side == Side::from(source),
        "key `column`: the key of table `{table}` gives one row for each {}, but source `{}` gives one value for each \
         {}; allowed: {}",
        side(found.side),
        source_name(source),
        side(Side::from(source)),
        if found.side == Side::Request { "user, context" } else { "ad, cross, candidate" }
    );
    fits(feature, &text, &found)?;
    Ok(Some(Lookup::Column(found.at)))
}

/// Whether the column suits the feature's kind.
fn fits(feature: &mut raw::Feature, text: &str, found: &FoundColumn<'_>) -> Result<()> {
    let kind = found.kind;
    let number = matches!(kind, ColumnKind::F32 | ColumnKind::F16) || found.at.position.is_some();
    let refuse = |needs: &str| bail!("key `column`: `{text}` is {kind}, but {needs}");
    match feature.kind {
        raw::Kind::Number if !number => refuse("a number needs an f32 or f16 column, or a position of a vector"),
        raw::Kind::Category if !feature.boundaries.is_empty() && !number => {
            refuse("a category with boundaries needs an f32 or f16 column, or a position of a vector")
        }
        raw::Kind::Category if feature.boundaries.is_empty() => match kind {
            ColumnKind::U32 { cap: 1 } | ColumnKind::U64 { cap: 1 } => same_form(feature, text, found),
            _ => refuse("a category needs a column of one u32 or u64 id"),
        },
        raw::Kind::Multi => {
            if !kind.is_ids() {
                return refuse("a multi needs a column of u32 or u64 ids");
            }
            same_form(feature, text, found)
        }
        raw::Kind::Vector => {
            let (ColumnKind::Vector { dim }, None) = (kind, found.at.position) else {
                return refuse("a vector needs a whole vector column");
            };
            let stated = *feature.dim.get_or_insert(dim.into());
            ensure!(stated == u32::from(dim), "key `dim` = {stated}, but `{text}` is {kind}");
            Ok(())
        }
        raw::Kind::Number | raw::Kind::Category => Ok(()),
    }
}

/// Ids that a table hashed do not match the integers of a vocabulary, and integers do not match a vocabulary of hashes.
fn same_form(feature: &mut raw::Feature, text: &str, found: &FoundColumn<'_>) -> Result<()> {
    let form = if found.source.integer { raw::IdKind::Integer } else { raw::IdKind::String };
    let stated = *feature.raw.get_or_insert(form);
    ensure!(
        stated == form,
        "key `raw`: the ids of `{text}` are {}, so the feature's cannot be otherwise; leave the key out",
        if found.source.integer { "integers" } else { "hashed strings" }
    );
    Ok(())
}

fn similarity(feature: &raw::Feature, tables: &FeatureTables) -> Result<Option<Lookup>> {
    let (left, right) = match (&feature.left, &feature.right) {
        (None, None) => {
            ensure!(feature.measure.is_none(), "key `measure` needs `left` and `right`: the vectors that are compared");
            return Ok(None);
        }
        (Some(left), Some(right)) => (left, right),
        (Some(_), None) => bail!("key `left` needs `right`, the vector that it is compared with"),
        (None, Some(_)) => bail!("key `right` needs `left`, the vector that it is compared with"),
    };
    let vector = |key: &'static str, text: &str| {
        let found = tables.find(text).with_context(|| format!("key `{key}`"))?;
        match (found.kind, found.at.position) {
            (ColumnKind::Vector { dim }, None) => Ok((found.at, dim)),
            (kind, None) => bail!("key `{key}`: `{text}` is {kind}; allowed: a vector column"),
            (_, Some(_)) => bail!("key `{key}`: `{text}` is one number; allowed: a whole vector column"),
        }
    };
    let ((left_at, a), (right_at, b)) = (vector("left", left)?, vector("right", right)?);
    ensure!(a == b, "keys `left` and `right`: `{left}` has {a} values and `{right}` has {b}; they must have as many");
    let measure = match feature.measure.unwrap_or_default() {
        raw::Measure::Dot => Measure::Dot,
        raw::Measure::Cosine => Measure::Cosine,
    };
    Ok(Some(Lookup::Similarity { left: left_at, right: right_at, measure }))
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Candidate => "candidate",
    }
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Context => "context",
        Source::User => "user",
        Source::Time => "time",
        Source::Ad => "ad",
        Source::Cross => "cross",
        Source::Candidate => "candidate",
        Source::Dot => "dot",
    }
}
