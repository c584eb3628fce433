//! Finds columns that leak the click: no value known before the click separates clicked rows from the others by itself.

use std::collections::HashMap;

use adclick_measure::Labelled;
use adclick_measure::rank::auc;

use super::sample::{FileSample, Kept};
use crate::cells::Scalar;

/// A single column does not reach this AUC before the click.
const SUSPECT: f64 = 0.98;
/// With fewer rows of either kind, nothing is suspected.
const ROWS: usize = 20;

/// The reason why a column is suspected, if it is.
pub(super) fn suspect(sample: &FileSample, at: usize, clicks: &[bool]) -> Option<String> {
    let kinds = |rows: &[bool]| (rows.iter().filter(|c| **c).count(), rows.iter().filter(|c| !**c).count());
    let (positive, negative) = kinds(clicks);
    if positive.min(negative) < ROWS {
        return None;
    }
    let there: Vec<f64> = sample.column(at).map(|kept| f64::from(u8::from(value(kept).is_some()))).collect();
    if let Some(share) = apart(&there, clicks) {
        return Some(format!("whether it has a value tells clicked rows from the others (AUC {share:.3})"));
    }
    let rows: Vec<(&[u8], bool)> =
        sample.column(at).zip(clicks).filter_map(|(kept, &click)| Some((value(kept)?, click))).collect();
    let numbers: Option<Vec<f64>> = rows.iter().map(|(text, _)| Scalar::from(*text).number().map(f64::from)).collect();
    let labels: Vec<bool> = rows.iter().map(|(_, click)| *click).collect();
    if let Some(share) = numbers.and_then(|numbers| apart(&numbers, &labels)) {
        return Some(format!("its value tells clicked rows from the others (AUC {share:.3})"));
    }
    // For categories, the click rate of each value in every second row scores the rows between them.
    let mut rates: HashMap<&[u8], (f64, f64)> = HashMap::new();
    for (text, click) in rows.iter().step_by(2) {
        let rate = rates.entry(text).or_default();
        rate.0 += f64::from(u8::from(*click));
        rate.1 += 1.0;
    }
    let mean = positive as f64 / clicks.len() as f64;
    let others: Vec<&(&[u8], bool)> = rows.iter().skip(1).step_by(2).collect();
    let scores: Vec<f64> =
        others.iter().map(|(text, _)| rates.get(text).map_or(mean, |(clicks, rows)| clicks / rows)).collect();
    let labels: Vec<bool> = others.iter().map(|row| row.1).collect();
    apart(&scores, &labels).map(|share| format!("its values tell clicked rows from the others (AUC {share:.3})"))
}

/// A value that is not missing.
fn value(kept: &Kept) -> Option<&[u8]> {
    match kept {
        Kept::Text(text) if !Scalar::from(&text[..]).is_absent() => Some(text),
        _ => None,
    }
}

/// The AUC of scores that separate the labels, in either direction, better than any column should.
fn apart(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let positive = labels.iter().filter(|label| **label).count();
    if positive.min(labels.len() - positive) < ROWS / 2 {
        return None;
    }
    let auc = auc(&Labelled::ranked(scores, labels, None).ok()?);
    let auc = auc.max(1.0 - auc);
    (auc > SUSPECT).then_some(auc)
}
