//! Metrics for each value of a field (device, placement, hour), and the error that pooling values hides.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::rank::{RowsCopied, auc};
use super::{Labelled, Sum, bins, loss};

/// A field's value in every row, as indices into a list of names.
#[derive(Debug, Clone, Default)]
pub struct Field {
    name: String,
    values: Vec<String>,
    rows: Vec<u32>,
}

impl Field {
    /// An empty column.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A column of the given values, one for each row.
    #[must_use]
    pub fn from_values<'v>(name: impl Into<String>, values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut field = Self::new(name);
        let mut known: HashMap<&str, u32> = HashMap::new();
        for value in values {
            let next = known.len() as u32;
            let code = *known.entry(value).or_insert_with(|| {
                field.values.push(value.to_owned());
                next
            });
            field.rows.push(code);
        }
        field
    }
}

/// One value of a field and how the model does on its rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueReport {
    /// The value.
    pub value: String,
    /// Its rows.
    pub rows: usize,
    /// Mean label.
    pub ctr: f64,
    /// Mean score.
    pub mean_score: f64,
    /// Null with one class only.
    pub auc: f64,
    /// Mean log loss.
    pub logloss: f64,
    /// Normalised entropy, against this value's own CTR.
    pub ne: f64,
    /// ECE of 10 bins of equal width, the last closed.
    pub ece: f64,
    /// Σp / Σy.
    pub calibration_ratio: f64,
}

/// A field and the model's calibration over its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldReport {
    /// The field's name.
    pub field: String,
    /// The number of different values.
    pub values: usize,
    /// Field-level calibration error (Pan et al. 2020): Σ over values |Σ (y − p)| / rows.
    pub calibration_error: f64,
    /// The values with most rows, in descending order.
    pub top: Vec<ValueReport>,
}

/// Measures each value of a field. The error covers all values; `top` of them are listed.
///
/// # Errors
/// The field has another number of rows than the data.
pub fn by_field(data: &Labelled, field: &Field, top: usize) -> Result<FieldReport> {
    ensure!(
        field.rows.len() == data.len(),
        "field {} has {} rows, the scores have {}",
        field.name,
        field.rows.len(),
        data.len()
    );
    let mut rows_of = vec![Vec::new(); field.values.len()];
    field.rows.iter().enumerate().for_each(|(row, &value)| rows_of[value as usize].push(row));
    let mut error = Sum::default();
    for rows in &rows_of {
        let mut gap = Sum::default();
        rows.iter().for_each(|&r| gap.add(data.weight(r) * (data.scores()[r] - data.label(r))));
        error.add(gap.value().abs());
    }
    let mut order: Vec<usize> = (0..rows_of.len()).collect();
    // Most rows first; equally frequent values by name, so that the order of the rows does not matter.
    order.sort_by(|&a, &b| rows_of[b].len().cmp(&rows_of[a].len()).then_with(|| field.values[a].cmp(&field.values[b])));
    let top = order.iter().take(top).map(|&value| measure(&field.values[value], data, &rows_of[value])).collect();
    Ok(FieldReport {
        field: field.name.clone(),
        values: field.values.len(),
        calibration_error: error.value() / data.total(),
        top,
    })
}

fn measure(value: &str, data: &Labelled, rows: &[usize]) -> ValueReport {
    let part = RowsCopied::gather(data, rows);
    let part = part.labelled();
    ValueReport {
        value: value.to_owned(),
        rows: rows.len(),
        ctr: part.mean_label(),
        mean_score: part.sum(|row| part.scores()[row]) / part.total(),
        auc: auc(&part),
        logloss: loss::log_loss(&part),
        ne: loss::normalised_entropy(&part),
        ece: bins::ece(&bins::uniform(&part, super::bins::BINS)),
        calibration_ratio: loss::calibration_ratio(&part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_errors_of_two_values_do_not_cancel() {
        // Scores of 0.5 everywhere: right on the whole, wrong by 0.5 on each device.
        let labels: Vec<bool> = (0..10).map(|i| i % 2 == 0).collect();
        let data = Labelled::new(&[0.5; 10], &labels, None).unwrap();
        let device = Field::from_values("device", (0..10).map(|i| if i % 2 == 0 { "phone" } else { "desktop" }));
        let report = by_field(&data, &device, 1).unwrap();
        assert_eq!((report.values, report.calibration_error), (2, 0.5));
        assert_eq!(loss::calibration_ratio(&data), 1.0);
        assert_eq!(report.top.len(), 1);
        let top = &report.top[0];
        assert_eq!((top.value.as_str(), top.rows, top.ctr, top.mean_score), ("desktop", 5, 0.0, 0.5));
        assert!(top.auc.is_nan());
        let short = Field::from_values("device", ["phone"]);
        assert!(by_field(&data, &short, 1).unwrap_err().to_string().contains("device has 1 rows"));
    }
}
