//! A file of inputs (safetensors) as the rows of a schema: ready columns, or raw values by feature.

use adclick::builder::artifact::model::spec::{GoldenRequest, GoldenValue};
use adclick::builder::schema::{Kind, Schema, Source};
use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::tensors::floats;

/// The largest offset of a request's clock from UTC, in seconds.
const MOST_OFFSET: u32 = 86_400;

/// The rows of an input file.
#[derive(Debug, Clone, PartialEq)]
pub enum InputRows {
    /// Model inputs, `[rows, width]`, columns in declared order.
    Ready {
        /// Row by row.
        x: Vec<f32>,
        /// All columns of the schema.
        width: usize,
    },
    /// Raw values.
    Raw {
        /// How many.
        rows: usize,
        /// One for each feature.
        columns: Vec<RawValues>,
        /// The request time of each row; empty = 0.
        time_us: Vec<u64>,
        /// The offset of each row's user from UTC; empty = 0.
        utc_offset_s: Vec<i32>,
    },
}

/// The raw values of one feature.
#[derive(Debug, Clone, PartialEq)]
pub enum RawValues {
    /// Nothing is passed: a time or position feature, or one whose input an earlier feature brings.
    Absent,
    /// `[rows, width]`: a number (or bucketised category), or a vector.
    Numbers {
        /// Row by row.
        values: Vec<f32>,
        /// Values in a row.
        width: usize,
    },
    /// One id in each row.
    Ids(Vec<u64>),
    /// Row k has the entries `offsets[k]..offsets[k + 1]`.
    Bags {
        /// Ids of all rows.
        ids: Vec<u64>,
        /// `[rows + 1]`.
        offsets: Vec<usize>,
        /// One for each id; empty = 1.
        weights: Vec<f32>,
    },
}

impl InputRows {
    /// Reads the tensors that the schema needs; others are left alone.
    ///
    /// - `x` `[n, width]`: ready model inputs in declared order; or `[n, k]`, raw values of the k number and vector
    ///   columns in declared order, beside ids.
    /// - `single_ids` `[n, fields]`: the ids of the single-valued categories in declared order.
    /// - `NAME`: a feature's raw numbers `[n]` (`[n, dim]` of a vector) or ids `[n]`.
    /// - `NAME_ids` and `NAME_offsets` (also `bag_NAME_ids`, …), with `NAME_values` as weights: a multi-valued category.
    /// - `time_us` `[n]`: the request's time, when the schema has time features; with it `utc_offset_s` `[n]`, the user's
    ///   offset from UTC, 0 without that tensor.
    ///
    /// # Errors
    /// A tensor that is missing, or whose shape or type is not the expected one.
    pub fn parse(bytes: &[u8], schema: &Schema) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| anyhow!("not a safetensors file: {e}"))?;
        let find = |name: &str| file.tensor(name).ok();
        let layout_width = schema.layout().width;
        let x = find("x").map(|view| numbers("x", &view)).transpose()?;
        let wide = schema.embeddings.iter().any(|e| e.wide);
        if let Some((values, width)) = &x
            && *width == layout_width
            && !wide
        {
            return Ok(Self::Ready { x: values.clone(), width: *width });
        }
        let passed: Vec<bool> = (0..schema.features.len()).map(|i| is_passed(schema, i)).collect();
        let numeric = |kind: &Kind| matches!(kind, Kind::Number { .. } | Kind::Vector { .. });
        let numeric_width: usize = (schema.features.iter().zip(&passed))
            .filter(|(f, p)| **p && numeric(&f.kind))
            .map(|(f, _)| f.width(&schema.embeddings))
            .sum();
        if let Some((_, width)) = &x {
            ensure!(
                *width == numeric_width,
                "tensor `x` has {width} columns; expected {layout_width} (ready inputs) or {numeric_width} (raw values \
                 of the number and vector features)"
            );
        }
        let single = find("single_ids").map(|view| ids("single_ids", &view)).transpose()?;
        let mut rows = None;
        let mut same = |name: &str, n: usize| match *rows.get_or_insert(n) {
            first if first == n => Ok(()),
            first => Err(anyhow!("tensor `{name}` has {n} rows, others have {first}")),
        };
        let (mut x_column, mut id_column) = (0, 0);
        let mut columns = Vec::with_capacity(schema.features.len());
        for (feature, passed) in schema.features.iter().zip(passed) {
            if !passed {
                columns.push(RawValues::Absent);
                continue;
            }
            let names = [feature.name.as_str(), feature.input.as_str()];
            let named = || names.into_iter().find_map(|n| Some((n, find(n)?)));
            let missing = |what: &str| anyhow!("feature `{}`: no tensor {what} in the input file", feature.name);
            let column = match &feature.kind {
                kind @ (Kind::Number { .. } | Kind::Vector { .. }) => {
                    let width = feature.width(&schema.embeddings);
                    if let Some((values, columns)) = &x {
                        same("x", values.len() / columns.max(&1))?;
                        let part = values.chunks_exact(*columns).flat_map(|r| &r[x_column..x_column + width]);
                        let values = part.copied().collect();
                        x_column += width;
                        RawValues::Numbers { values, width }
                    } else {
                        let Some((name, view)) = named() else {
                            return Err(missing(&format!("`{}` (or `x`)", feature.name)));
                        };
                        let (values, found) = numbers(name, &view)?;
                        ensure!(
                            found == width,
                            "tensor `{name}`: expected {width} values in a row, found {found} (a {})",
                            if matches!(kind, Kind::Number { .. }) { "number" } else { "vector" }
                        );
                        same(name, values.len() / width)?;
                        RawValues::Numbers { values, width }
                    }
                }
                Kind::Category { boundaries, .. } if !boundaries.is_empty() => {
                    let (name, view) = named().ok_or_else(|| missing(&format!("`{}`", feature.name)))?;
                    let (values, width) = numbers(name, &view)?;
                    ensure!(width == 1, "tensor `{name}`: expected one number in a row, found {width}");
                    same(name, values.len())?;
                    RawValues::Numbers { values, width }
                }
                Kind::Category { .. } => {
                    if let Some((name, view)) = named() {
                        let (values, width) = ids(name, &view)?;
                        ensure!(width == 1, "tensor `{name}`: expected one id in a row, found {width}");
                        same(name, values.len())?;
                        RawValues::Ids(values)
                    } else {
                        let (all, width) =
                            single.as_ref().ok_or_else(|| missing(&format!("`{}` (or `single_ids`)", feature.name)))?;
                        ensure!(
                            id_column < *width,
                            "tensor `single_ids` has {width} columns, but feature `{}` is category {}",
                            feature.name,
                            id_column + 1
                        );
                        same("single_ids", all.len() / width)?;
                        let part = all.chunks_exact(*width).map(|r| r[id_column]).collect();
                        id_column += 1;
                        RawValues::Ids(part)
                    }
                }
                Kind::MultiCategory { .. } => {
                    let prefixes = names.into_iter().flat_map(|n| [n.to_owned(), format!("bag_{n}")]);
                    let prefix = prefixes
                        .into_iter()
                        .find(|p| find(&format!("{p}_ids")).is_some())
                        .ok_or_else(|| missing(&format!("`{}_ids`", feature.name)))?;
                    let bags = bags(&file, &prefix)?;
                    if let RawValues::Bags { offsets, .. } = &bags {
                        same(&format!("{prefix}_offsets"), offsets.len() - 1)?;
                    }
                    bags
                }
            };
            columns.push(column);
        }
        let (mut time_us, mut utc_offset_s) = (Vec::new(), Vec::new());
        if schema.features.iter().any(|f| f.source == Source::Time) {
            let view = find("time_us").ok_or_else(|| {
                anyhow!("the schema has time features, but the input file has no tensor `time_us` (microseconds since 1970, UTC)")
            })?;
            time_us = ids("time_us", &view)?.0;
            same("time_us", time_us.len())?;
            if let Some(view) = find("utc_offset_s") {
                utc_offset_s = offsets_from_utc(&view)?;
                same("utc_offset_s", utc_offset_s.len())?;
            }
        }
        let rows = rows.ok_or_else(|| anyhow!("the input file has no tensor that the schema reads"))?;
        Ok(Self::Raw { rows, columns, time_us, utc_offset_s })
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Ready { x, width } => x.len() / (*width).max(1),
            Self::Raw { rows, .. } => *rows,
        }
    }

    /// Whether every number of a row is finite.
    #[must_use]
    pub fn is_finite(&self, row: usize) -> bool {
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        match self {
            Self::Ready { x, width } => finite(&x[row * width..][..*width]),
            Self::Raw { columns, .. } => columns.iter().all(|c| match c {
                RawValues::Absent | RawValues::Ids(_) => true,
                RawValues::Numbers { values, width } => finite(&values[row * width..][..*width]),
                RawValues::Bags { offsets, weights, .. } => {
                    weights.is_empty() || finite(&weights[offsets[row]..offsets[row + 1]])
                }
            }),
        }
    }

    /// The request time of a row.
    #[must_use]
    pub fn time_us(&self, row: usize) -> i64 {
        match self {
            Self::Ready { .. } => 0,
            Self::Raw { time_us, .. } => time_us.get(row).map_or(0, |t| *t as i64),
        }
    }

    /// The offset of a row's user from UTC, in seconds.
    #[must_use]
    pub fn utc_offset_s(&self, row: usize) -> i32 {
        match self {
            Self::Ready { .. } => 0,
            Self::Raw { utc_offset_s, .. } => utc_offset_s.get(row).copied().unwrap_or(0),
        }
    }

    /// Adds the raw values of a row, by feature number. Ready inputs have none.
    pub fn values(&self, row: usize, to: &mut Vec<GoldenValue>) {
        let Self::Raw { columns, .. } = self else { return };
        for (feature, column) in (0u32..).zip(columns) {
            match column {
                RawValues::Absent => {}
                RawValues::Numbers { values, width } => {
                    let values = values[row * width..][..*width].iter().enumerate();
                    // A position of a vector that is not passed is 0.
                    to.extend(values.filter(|(_, v)| *width == 1 || **v != 0.0).map(|(i, v)| GoldenValue {
                        feature,
                        number: *v,
                        id: i as u64,
                    }));
                }
                RawValues::Ids(ids) => to.push(GoldenValue { feature, number: 1.0, id: ids[row] }),
                RawValues::Bags { ids, offsets, weights } => {
                    let bag = offsets[row]..offsets[row + 1];
                    for (i, &id) in bag.clone().zip(&ids[bag]) {
                        let number = weights.get(i).copied().unwrap_or(1.0);
                        // To the core a weight of 0 means "not given", that is 1.
                        if number != 0.0 {
                            to.push(GoldenValue { feature, number, id });
                        }
                    }
                }
            }
        }
    }

    /// The first `n` rows of finite numbers as golden requests.
    ///
    /// # Errors
    /// When ready inputs cannot be turned back into raw values.
    pub fn goldens(&self, n: usize, schema: &Schema) -> Result<Vec<GoldenRequest>> {
        let raw;
        let inputs = match self {
            Self::Raw { .. } => self,
            Self::Ready { x, width } => {
                raw = unready(x, *width, schema)?;
                &raw
            }
        };
        let rows = (0..inputs.rows()).filter(|&row| inputs.is_finite(row)).take(n);
        let goldens: Vec<GoldenRequest> = rows
            .map(|row| {
                let mut values = Vec::new();
                inputs.values(row, &mut values);
                share(schema, &mut values);
                let (time_us, utc_offset_s) = (inputs.time_us(row), inputs.utc_offset_s(row));
                GoldenRequest { time_us, utc_offset_s, values }
            })
            .collect();
        ensure!(!goldens.is_empty(), "no row of the file is all finite numbers");
        Ok(goldens)
    }
}

/// Whether a raw value is passed for feature `i` itself: not derived, not fixed, not brought by an earlier one.
pub(super) fn is_passed(schema: &Schema, i: usize) -> bool {
    let feature = &schema.features[i];
    feature.source != Source::Time
        && feature.position.is_none()
        && !schema.features[..i].iter().any(|f| f.position.is_none() && f.input == feature.input)
}

/// Copies the values of an input from its first feature to the other features that read it: for code that looks values
/// up by the numbers of features, not by inputs.
pub(super) fn share(schema: &Schema, values: &mut Vec<GoldenValue>) {
    for (i, feature) in schema.features.iter().enumerate() {
        if feature.source == Source::Time || feature.position.is_some() || is_passed(schema, i) {
            continue;
        }
        let first = schema.features.iter().position(|f| f.position.is_none() && f.input == feature.input);
        let its = |v: &&GoldenValue| first == Some(v.feature as usize);
        let copies: Vec<GoldenValue> =
            values.iter().filter(its).map(|v| GoldenValue { feature: i as u32, ..*v }).collect();
        values.extend(copies);
    }
}

/// Ready columns of a schema without transforms are raw values.
fn unready(x: &[f32], width: usize, schema: &Schema) -> Result<InputRows> {
    let rows = x.len() / width.max(1);
    let mut first = 0;
    let mut columns = Vec::new();
    for (i, feature) in schema.features.iter().enumerate() {
        let plain = match &feature.kind {
            Kind::Number { transform, .. } => *transform == adclick::builder::schema::Transform::default(),
            Kind::Vector { .. } => true,
            Kind::Category { .. } | Kind::MultiCategory { .. } => false,
        };
        ensure!(
            plain && is_passed(schema, i),
            "feature `{}`: ready inputs cannot be turned back into its raw value; give one tensor for each feature",
            feature.name
        );
        let w = feature.width(&schema.embeddings);
        let values = x.chunks_exact(width).flat_map(|r| &r[first..first + w]).copied().collect();
        columns.push(RawValues::Numbers { values, width: w });
        first += w;
    }
    Ok(InputRows::Raw { rows, columns, time_us: Vec::new(), utc_offset_s: Vec::new() })
}

/// The values of a float tensor and how many there are in a row (the first axis counts rows).
fn numbers(name: &str, view: &TensorView<'_>) -> Result<(Vec<f32>, usize)> {
    let values = floats(view).with_context(|| format!("tensor `{name}`"))?;
    Ok((values.into_iter().map(|v| v as f32).collect(), row_width(name, view)?))
}

/// The values of an integer tensor and how many there are in a row.
fn ids(name: &str, view: &TensorView<'_>) -> Result<(Vec<u64>, usize)> {
    let unsigned = |v: i128| u64::try_from(v).map_err(|_| anyhow!("tensor `{name}` holds the negative id {v}"));
    let values = integers(name, view, "ids")?.into_iter().map(unsigned).collect::<Result<_>>()?;
    Ok((values, row_width(name, view)?))
}

/// The values of an integer tensor with this meaning.
fn integers(name: &str, view: &TensorView<'_>, what: &str) -> Result<Vec<i128>> {
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::I32 => data.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        Dtype::I64 => data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b).into()).collect(),
        Dtype::U32 => data.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect(),
        Dtype::U64 => data.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b).into()).collect(),
        other => bail!("tensor `{name}` has type {other:?}; allowed for {what}: I32, I64, U32, U64"),
    })
}

/// Users' offsets from UTC, in the range that a request takes.
fn offsets_from_utc(view: &TensorView<'_>) -> Result<Vec<i32>> {
    const NAME: &str = "utc_offset_s";
    ensure!(row_width(NAME, view)? == 1, "tensor `{NAME}`: expected one value in a row, found {:?}", view.shape());
    let in_range = |(row, offset): (usize, i128)| match i32::try_from(offset) {
        Ok(offset) if offset.unsigned_abs() <= MOST_OFFSET => Ok(offset),
        _ => bail!("tensor `{NAME}` holds {offset} in row {row}: expected -{MOST_OFFSET} to {MOST_OFFSET} seconds"),
    };
    integers(NAME, view, "offsets in seconds")?.into_iter().enumerate().map(in_range).collect()
}

fn row_width(name: &str, view: &TensorView<'_>) -> Result<usize> {
    match *view.shape() {
        [_] => Ok(1),
        [_, width] if width > 0 => Ok(width),
        _ => bail!("tensor `{name}`: expected shape [rows] or [rows, columns], found {:?}", view.shape()),
    }
}

fn bags(file: &SafeTensors<'_>, prefix: &str) -> Result<RawValues> {
    let get = |suffix: &str| {
        let name = format!("{prefix}_{suffix}");
        let view = file.tensor(&name).map_err(|_| anyhow!("tensor `{prefix}_ids` needs `{name}` beside it"))?;
        Ok::<_, anyhow::Error>((name, view))
    };
    let (name, view) = get("ids")?;
    let ids_found = ids(&name, &view)?.0;
    let (name, view) = get("offsets")?;
    let offsets: Vec<usize> = ids(&name, &view)?.0.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    ensure!(
        offsets.first() == Some(&0) && offsets.last() == Some(&ids_found.len()) && offsets.is_sorted(),
        "tensor `{name}`: expected ascending offsets from 0 to {}, the number of ids",
        ids_found.len()
    );
    let mut weights = Vec::new();
    if let Ok((name, view)) = get("values") {
        weights = numbers(&name, &view)?.0;
        ensure!(
            weights.len() == ids_found.len(),
            "tensor `{name}`: {} weights for {} ids",
            weights.len(),
            ids_found.len()
        );
    }
    Ok(RawValues::Bags { ids: ids_found, offsets, weights })
}
