//! The cost of a faster arithmetic: its scores against exact ones on the same rows.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::bins::BINS;
use super::{Labelled, bins, loss, rank};

/// One set of scores.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// Before correction and calibration.
    pub logits: &'a [f64],
    /// With labels.
    pub data: Labelled<'a>,
}

/// A precision compared with exact. Differences are its value minus the exact one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Its name.
    pub precision: &'static str,
    /// Mean log loss.
    pub logloss: f64,
    /// The difference as a share of the exact one.
    pub logloss_relative: f64,
    /// Ties count one half.
    pub auc: f64,
    /// The difference.
    pub auc_difference: f64,
    /// Σp / Σy.
    pub calibration_ratio: f64,
    /// The difference.
    pub calibration_ratio_difference: f64,
    /// ECE of 10 bins of equal width.
    pub ece: f64,
    /// The difference.
    pub ece_difference: f64,
    /// The largest |difference| of a row's logits.
    pub logit_largest: f64,
    /// The median one.
    pub logit_median: f64,
}

impl Cost {
    /// Measures both.
    ///
    /// The two sets are not of the same rows.
    /// When they are not of the same rows.
    pub fn of(precision: &'static str, exact: Scores<'_>, fast: Scores<'_>) -> Result<Self> {
        let rows = exact.logits.len();
        ensure!(fast.logits.len() == rows && rows > 0, "{} rows beside {rows} exact ones", fast.logits.len());
        let mut off: Vec<f64> = exact.logits.iter().zip(fast.logits).map(|(a, b)| (a - b).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        let measure = |data: &Labelled| {
            let ece = bins::ece(&bins::uniform(data, BINS));
            [loss::log_loss(data), rank::ranking(data).auc, loss::calibration_ratio(data), ece]
        };
        let [logloss, auc, calibration_ratio, ece] = measure(&fast.data);
        let before = measure(&exact.data);
        Ok(Self {
            precision,
            logloss,
            logloss_relative: logloss / before[0] - 1.0,
            auc,
            auc_difference: auc - before[1],
            calibration_ratio,
            calibration_ratio_difference: calibration_ratio - before[2],
            ece,
            ece_difference: ece - before[3],
            logit_largest: off[rows - 1],
            logit_median: off[rows / 2],
        })
    }
}

/// Costs as a table for a person.
#[must_use]
pub fn table(costs: &[Cost]) -> String {
    let mut out = format!(
        "{:<14} {:>9} {:>10} {:>9} {:>10} {:>8} {:>10} {:>9} {:>10} {:>15} {:>14}\n",
        "precision",
        "log loss",
        "to exact",
        "AUC",
        "to exact",
        "Σp/Σy",
        "to exact",
        "ECE",
        "to exact",
        "|Δlogit| median",
        "largest"
    );
    for c in costs {
        let _ = writeln!(
            out,
            "{:<14} {:>9.5} {:>+9.4}% {:>9.5} {:>+10.6} {:>8.4} {:>+10.6} {:>9.5} {:>+10.6} {:>15.2e} {:>14.2e}",
            c.precision,
            c.logloss,
            100.0 * c.logloss_relative,
            c.auc,
            c.auc_difference,
            c.calibration_ratio,
            c.calibration_ratio_difference,
            c.ece,
            c.ece_difference,
            c.logit_median,
            c.logit_largest
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_the_sign_of_what_became_more() {
        const EXACT: ([f64; 4], [f64; 4]) = ([1.0, -1.0, 2.0, -2.0], [0.7, 0.3, 0.8, 0.2]);
        const FAST: ([f64; 4], [f64; 4]) = ([1.0, -0.5, 2.0, -2.25], [0.7, 0.4, 0.8, 0.18]);
        const LABELS: [bool; 4] = [true, false, true, false];
        let data = |p| Labelled::new(p, &LABELS, None).unwrap();
        let scores = |(logits, p): &'static ([f64; 4], [f64; 4])| Scores { logits, data: data(p) };
        let cost = Cost::of("int8", scores(&EXACT), scores(&FAST)).unwrap();
        let loss = |p| loss::log_loss(&data(p));
        assert_eq!(cost.logloss_relative, loss(&FAST.1) / loss(&EXACT.1) - 1.0);
        assert!(cost.logloss_relative > 0.0 && cost.auc_difference == 0.0 && cost.calibration_ratio_difference > 0.0);
        assert_eq!((cost.logit_largest, cost.logit_median), (0.5, 0.25));
        assert!(table(&[cost]).contains("int8"));
        let short = Scores { logits: &EXACT.0[..3], ..scores(&EXACT) };
        assert!(Cost::of("int8", scores(&EXACT), short).is_err());
    }
}
