//! A schema file as the columns to read and the features to train.

use std::collections::HashMap;

use adclick::schema::{Feature, Index, Kind, Source};
use anyhow::{Context, Result, ensure};

use super::blueprint::{Blueprint, FeaturePlan, IndexRule, Plan, TablePlan};
use crate::data::{Columns, Input, InputKind, TimeFormat};
use crate::schema_file::{RawColumn, SchemaFile, Table, TimeUnit};

/// The columns and the features of a schema file. A column has the name of the feature's `input`. Numbers whose
/// transform names no mean and scale are standardised by the training rows.
///
/// # Errors
/// No `[labels]`, features that training cannot make, two features that read one column differently.
pub fn plan(file: &SchemaFile) -> Result<(Columns, Blueprint)> {
    let labels = file.labels.as_ref().context("the schema has no [labels]: training needs at least `click`")?;
    let unit = match labels.time_unit {
        TimeUnit::Seconds => TimeFormat::Seconds,
        TimeUnit::Milliseconds => TimeFormat::Milliseconds,
        TimeUnit::Microseconds => TimeFormat::Microseconds,
    };
    let mut columns = Columns {
        click: labels.click.clone(),
        conversion: labels.conversion.clone(),
        weight: labels.weight.clone(),
        time: labels.time.clone().map(|column| (column, unit)),
        inputs: Vec::new(),
    };
    let mut readers: HashMap<&str, (&str, InputKind)> = HashMap::new();
    let mut blueprint = Blueprint { features: Vec::new(), tables: tables(file) };
    for (feature, column) in file.schema.features.iter().zip(&file.columns) {
        let within = || format!("feature `{}`", feature.name);
        if feature.source != Source::Time {
            let kind = input_kind(feature, column).with_context(within)?;
            let (first, found) = *readers.entry(&feature.input).or_insert_with(|| {
                columns.inputs.push(Input { name: feature.input.clone(), column: feature.input.clone(), kind });
                (&feature.name, kind)
            });
            ensure!(
                found == kind,
                "features `{first}` and `{}` read column `{}` differently: {found:?} and {kind:?}",
                feature.name,
                feature.input
            );
        }
        blueprint.features.push(FeaturePlan {
            name: feature.name.clone(),
            input: feature.input.clone(),
            source: feature.source,
            plan: feature_plan(feature),
            position: feature.position,
        });
    }
    Ok((columns, blueprint))
}

fn input_kind(feature: &Feature, column: &RawColumn) -> Result<InputKind> {
    let separator = || match column.separator.as_bytes() {
        &[byte] => Ok(byte),
        _ => anyhow::bail!("separator \"{}\": expected one byte", column.separator),
    };
    Ok(match &feature.kind {
        Kind::Number { .. } => InputKind::Number,
        Kind::Category { boundaries, .. } if !boundaries.is_empty() => InputKind::Number,
        Kind::Category { .. } if column.integer => InputKind::Integer,
        Kind::Category { .. } => InputKind::Text,
        Kind::MultiCategory { .. } if column.integer => InputKind::Integers(separator()?),
        Kind::MultiCategory { .. } => InputKind::Texts(separator()?),
        Kind::Vector { dim } => InputKind::Vector(*dim, separator()?),
    })
}

fn feature_plan(feature: &Feature) -> Plan {
    match &feature.kind {
        Kind::Number { transform, default } => Plan::Number { transform: *transform, default: Some(*default) },
        Kind::Category { embedding, boundaries, .. } if !boundaries.is_empty() => {
            Plan::Buckets { table: *embedding as usize, boundaries: boundaries.clone() }
        }
        Kind::Category { embedding, default, .. } => Plan::Category { table: *embedding as usize, default: *default },
        Kind::MultiCategory { embedding, pooling } => Plan::Multi { table: *embedding as usize, pooling: *pooling },
        Kind::Vector { dim } => Plan::Vector { dim: *dim },
    }
}

fn tables(file: &SchemaFile) -> Vec<TablePlan> {
    let plan = |(embedding, table): (&adclick::schema::Embedding, &Table)| {
        let (index, fixed) = match (table, embedding.index) {
            (Table::Given(ids), _) => (IndexRule::Given(ids.clone()), Vec::new()),
            (Table::Fixed { ids, rows }, _) => (IndexRule::Given(ids.clone()), rows.clone()),
            (Table::Built { min_count, max_size }, _) => {
                let min_count = u32::try_from(*min_count).unwrap_or(u32::MAX);
                (IndexRule::Vocabulary { min_count, max_size: *max_size }, Vec::new())
            }
            (Table::Indexed, Index::Hashed { buckets }) => (IndexRule::Hashed { buckets }, Vec::new()),
            (Table::Indexed, Index::Identity { count } | Index::Vocabulary { count }) => {
                (IndexRule::Identity { count }, Vec::new())
            }
        };
        TablePlan {
            name: embedding.name.clone(),
            index,
            dim: Some(embedding.dim),
            unknown_row: embedding.unknown_row,
            missing_row: embedding.missing_row,
            wide: Some(embedding.wide),
            fixed,
        }
    };
    file.schema.embeddings.iter().zip(&file.tables).map(plan).collect()
}
