//! The report of `adclick evaluate`.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::bins::{self, BINS, Bin};
use super::fields::{Field, FieldReport, by_field};
use super::{Chance, Interval, Labelled, Spread, loss, rank};

/// The number of bins of the equal-mass calibration error.
pub const MASS_BINS: usize = 20;
/// The interval of the calibration error is given from this many predicted clicks on, and as many rows without one: with 23
/// it holds the truth in up to 97.7 % of cases instead of 93 to 97 %. Clicks that were seen do not decide, as they would favour
/// some truths.
const LEAST_PREDICTED: f64 = 50.0;

/// All metrics of one set of scores. As JSON it is one object, in which undefined values are null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Rows measured.
    pub rows: usize,
    /// The positive rows among them.
    pub clicks: usize,
    /// The (weighted) mean label.
    pub ctr: f64,
    /// The (weighted) mean score.
    pub mean_score: f64,
    /// Ties count one half.
    pub auc: f64,
    /// Impression-weighted AUC per group; only where groups were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gauc: Option<f64>,
    /// Mean log loss, scores clipped to [2⁻⁵², 1−2⁻⁵²].
    pub logloss: f64,
    /// Log loss ÷ entropy of the CTR.
    pub ne: f64,
    /// ECE of 10 bins of equal width, the last closed.
    pub ece: f64,
    /// ECE of 20 equal-mass bins; the rows of one score are spread over the bins that it lies in.
    pub ece_equal_mass: f64,
    /// The mean of this error for a perfectly calibrated model, by chance alone.
    pub ece_equal_mass_noise: f64,
    /// The value of this error that a perfectly calibrated model exceeds in 5 % of cases.
    pub ece_equal_mass_noise_95: f64,
    /// The root mean square of the gaps of these bins, without the part due to chance; 0 when nothing remains.
    pub rms_error: f64,
    /// The 95 % interval for the true one. It begins at 0 when the gaps may be chance alone. Null where fewer than 50 clicks,
    /// or rows without one, are predicted.
    pub rms_error_interval: Option<Interval>,
    /// The largest gap of the bins of `ece`.
    pub mce: f64,
    /// Mean squared error.
    pub brier: f64,
    /// Step-wise area under the precision-recall curve.
    pub average_precision: f64,
    /// Σp / Σy.
    pub calibration_ratio: f64,
    /// The equal-mass bins, for a reliability diagram.
    pub bins: Vec<Bin>,
    /// One entry for each field asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldReport>,
}

/// Options of a report beyond the pooled metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportOptions<'a> {
    /// Each row's group (user), for GAUC.
    pub groups: Option<&'a [u64]>,
    /// Columns to break the metrics down by.
    pub fields: &'a [Field],
    /// The number of values listed for each field.
    pub top: usize,
    /// Seed of the simulated clicks.
    pub seed: u64,
}

impl Report {
    /// Measures everything.
    ///
    /// # Errors
    /// A field or the groups have another number of rows than the data.
    pub fn compute(data: &Labelled, options: &ReportOptions) -> Result<Self> {
        if let Some(groups) = options.groups {
            anyhow::ensure!(groups.len() == data.len(), "{} groups for {} rows", groups.len(), data.len());
        }
        let order = rank::ranking(data);
        let uniform = bins::uniform(data, BINS);
        let spread = Spread::new(data, MASS_BINS);
        let chance = Chance::new(&spread, options.seed);
        let [noise, noise_95] = chance.of_perfect();
        let predicted: f64 = data.scores().iter().sum();
        let enough = predicted.min(data.len() as f64 - predicted) >= LEAST_PREDICTED;
        Ok(Self {
            rows: data.len(),
            clicks: data.clicks(),
            ctr: data.mean_label(),
            mean_score: data.sum(|row| data.scores()[row]) / data.total(),
            auc: order.auc,
            gauc: options.groups.map(|groups| rank::gauc(data, groups)),
            logloss: loss::log_loss(data),
            ne: loss::normalised_entropy(data),
            ece: bins::ece(&uniform),
            ece_equal_mass: bins::ece(spread.bins()),
            ece_equal_mass_noise: noise,
            ece_equal_mass_noise_95: noise_95,
            rms_error: chance.root_mean_square(),
            rms_error_interval: enough.then(|| chance.interval()),
            mce: bins::mce(&uniform),
            brier: loss::brier(data),
            average_precision: order.average_precision,
            calibration_ratio: loss::calibration_ratio(data),
            bins: spread.bins().to_vec(),
            fields: options.fields.iter().map(|f| by_field(data, f, options.top)).collect::<Result<_>>()?,
        })
    }

    /// The report as a table for a person.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<26} {value}");
        };
        line("rows", self.rows.to_string());
        line("clicks", format!("{}  (CTR {:.4} %)", self.clicks, 100.0 * self.ctr));
        line("AUC", format!("{:.5}", self.auc));
        if let Some(gauc) = self.gauc {
            line("GAUC", format!("{gauc:.5}"));
        }
        line("log loss", format!("{:.5}", self.logloss));
        line("normalised entropy", format!("{:.5}", self.ne));
        line("calibration ratio Σp/Σy", format!("{:.4}", self.calibration_ratio));
        line("ECE, 10 equal widths", format!("{:.5}  (largest gap {:.4})", self.ece, self.mce));
        line(
            "ECE, 20 equal masses",
            format!(
                "{:.5}  (a perfect model shows {:.5} by chance, and more than {:.5} in one case of 20)",
                self.ece_equal_mass, self.ece_equal_mass_noise, self.ece_equal_mass_noise_95
            ),
        );
        let interval = match &self.rms_error_interval {
            Some(Interval { low, high }) => format!("95 %: {low:.5} to {high:.5}"),
            None => format!("too few clicks for an interval: {LEAST_PREDICTED} of each label must be predicted"),
        };
        line("RMS error of these bins", format!("{:.5}  (without chance; {interval})", self.rms_error));
        line("Brier score", format!("{:.5}", self.brier));
        line("average precision", format!("{:.5}", self.average_precision));
        for field in &self.fields {
            field_table(&mut out, field);
        }
        out
    }
}

fn field_table(out: &mut String, field: &FieldReport) {
    let _ = writeln!(
        out,
        "\n{}: {} values, calibration error over them {:.5}\n{:<24} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        field.field,
        field.values,
        field.calibration_error,
        "value",
        "rows",
        "CTR %",
        "AUC",
        "log loss",
        "NE",
        "ECE",
        "ratio"
    );
    for v in &field.top {
        let _ = writeln!(
            out,
            "{:<24} {:>9} {:>8.3} {:>8.4} {:>8.4} {:>8.4} {:>8.4} {:>8.3}",
            v.value,
            v.rows,
            100.0 * v.ctr,
            v.auc,
            v.logloss,
            v.ne,
            v.ece,
            v.calibration_ratio
        );
    }
    if field.values > field.top.len() {
        let _ = writeln!(out, "(and {} more values)", field.values - field.top.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_names_that_scripts_rely_on() {
        let (scores, labels) = ([0.1, 0.2, 0.8, 0.4], [false, true, true, false]);
        let data = Labelled::new(&scores, &labels, None).unwrap();
        let field = Field::from_values("device", ["a", "b", "a", "a"]);
        let options = ReportOptions { groups: Some(&[1, 1, 2, 2]), fields: &[field], top: 1, seed: 1 };
        let report = Report::compute(&data, &options).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"], 4);
        for name in
            ["ctr", "auc", "logloss", "ne", "ece", "calibration_ratio", "ece_equal_mass", "rms_error", "gauc", "brier"]
        {
            assert!(json[name].is_number(), "{name}: {json}");
        }
        let table = report.table();
        for text in ["AUC", "log loss", "GAUC", "device: 2 values", "(and 1 more values)"] {
            assert!(table.contains(text), "{table}");
        }
    }

    #[test]
    fn an_interval_is_given_where_it_holds_what_it_says() {
        for (rows, given) in [(490, false), (510, true)] {
            let (scores, labels) = (vec![0.1; rows], (0..rows).map(|i| i % 10 == 0).collect::<Vec<_>>());
            let report =
                Report::compute(&Labelled::new(&scores, &labels, None).unwrap(), &ReportOptions::default()).unwrap();
            assert_eq!(report.rms_error_interval.is_some(), given, "{rows}");
            assert_eq!(report.table().contains("too few clicks"), !given);
        }
    }

    #[test]
    fn what_is_not_defined_is_null() {
        let data = Labelled::new(&[0.1, 0.2], &[false, false], None).unwrap();
        let json = serde_json::to_value(Report::compute(&data, &ReportOptions::default()).unwrap()).unwrap();
        for name in ["auc", "ne", "calibration_ratio", "average_precision", "rms_error_interval"] {
            assert!(json[name].is_null(), "{name}: {json}");
        }
        assert_eq!(json["clicks"], 0);
    }
}
