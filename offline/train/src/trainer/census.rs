//! Pass one: counts the training rows, their labels and their values.

use adclick::builder::artifact::model::spec::HeadKind;
use adclick_data::logs::TableHits;
use adclick_data::progress::Progress;
use anyhow::{Result, ensure};

use super::blueprint::Blueprint;
use super::build::TrainingCounts;
use super::known::{Clicks, KnownShare};
use super::split::{Data, SplitRole};
use super::store::Picker;

/// The result of pass one.
pub(super) struct Census {
    pub(super) counts: TrainingCounts,
    /// Clicked training rows.
    pub(super) clicks: u64,
    /// Clicked training rows whose conversion is known.
    pub(super) known_clicks: u64,
    /// Clicked training rows known to have converted.
    pub(super) conversions: u64,
    /// Rows with a conversion and without a click.
    pub(super) unclicked_conversions: u64,
    /// Rows of weight 0.
    pub(super) weightless: u64,
    /// The weights of the training rows, of the clicked ones, of those whose conversion is known, of those that
    /// converted.
    weights: [f64; 4],
    /// The share of clicks whose conversion is known.
    pub(super) known: KnownShare,
    /// The first and last time of the training rows.
    pub(super) window: Option<(i64, i64)>,
    /// Malformed rows, and the error of the first.
    pub(super) bad: (u64, Vec<String>),
    /// How many rows of all files found their key, for each table.
    pub(super) found: Vec<TableHits>,
}

/// Counts ids, numbers and labels.
pub(super) fn count(
    data: &Data,
    blueprint: &Blueprint,
    picker: &Picker,
    seed: u64,
    progress: &Progress,
) -> Result<Census> {
    let mut census = Census {
        counts: TrainingCounts::new(blueprint, &data.source, seed)?,
        clicks: 0,
        known_clicks: 0,
        conversions: 0,
        unclicked_conversions: 0,
        weightless: 0,
        weights: [0.0; 4],
        known: KnownShare::default(),
        window: None,
        bad: (0, Vec::new()),
        found: Vec::new(),
    };
    let mut clicks = Clicks::default();
    let stage = progress.bytes("Counting values", data.source.bytes()?);
    let read = data.source.for_each(&stage, |batch| {
        for row in batch.rows() {
            let click = row.click == Some(true);
            census.weightless += u64::from(row.weight == 0.0);
            census.unclicked_conversions += u64::from(!click && row.conversion == Some(true));
            if picker.role(row) != Some(SplitRole::Train) {
                continue;
            }
            census.counts.add(batch, row);
            let known = click && row.conversion.is_some();
            let converted = click && row.conversion == Some(true);
            census.clicks += u64::from(click);
            census.known_clicks += u64::from(known);
            census.conversions += u64::from(converted);
            for (sum, counts) in census.weights.iter_mut().zip([true, click, known, converted]) {
                *sum += if counts { row.weight } else { 0.0 };
            }
            if click {
                clicks.add(row.number, row.time_us, known, row.weight);
            }
            if let Some(t) = row.time_us {
                census.window = Some(census.window.map_or((t, t), |(a, b)| (a.min(t), b.max(t))));
            }
        }
        Ok(())
    })?;
    drop(stage);
    census.known = clicks.shares();
    census.bad = (read.bad.count, read.bad.first);
    census.found = read.found;
    census.found.iter().for_each(|found| progress.note(&found.to_string()));
    census.check()?;
    Ok(census)
}

impl Census {
    fn check(&self) -> Result<()> {
        let (rows, clicks) = (self.counts.rows, self.clicks);
        ensure!(
            rows > 0,
            "no row is left to train on: the split gave them all to validation and test, or they weigh 0"
        );
        ensure!(clicks > 0, "0 of {rows} training rows are clicked: a model needs clicked and unclicked ones");
        let (conversions, known) = (self.conversions, self.known_clicks);
        ensure!(
            clicks < rows || (conversions > 0 && conversions < known),
            "{clicks} of {rows} training rows are clicked: a model of clicks needs unclicked ones too, and a model of \
             conversions alone clicks that converted and clicks that did not ({conversions} of {known} known ones did; \
             `conversion` under [labels] names the column)"
        );
        Ok(())
    }

    /// The heads of the model. Rows that are all clicked teach nothing about clicks.
    pub(super) fn heads(&self) -> Vec<(HeadKind, Vec<usize>)> {
        let clicks = self.clicks < self.counts.rows;
        let kinds = [(HeadKind::Ctr, clicks), (HeadKind::Cvr, self.conversions > 0)];
        kinds.into_iter().filter(|(_, there)| *there).map(|(kind, _)| (kind, Vec::new())).collect()
    }

    /// The mean weight of the training rows: weights are divided by it, so that their scale changes nothing.
    pub(super) fn mean_weight(&self) -> f64 {
        self.weights[0] / self.counts.rows as f64
    }

    /// The weighted share of clicked training rows.
    pub(super) fn click_rate(&self) -> f64 {
        self.weights[1] / self.weights[0]
    }

    /// The logit of a head's label rate over the training rows that have the label.
    pub(super) fn starting_logit(&self, head: HeadKind) -> f32 {
        let [all, clicked, known, converted] = self.weights.map(|w| w / self.mean_weight());
        let (positive, all) = match head {
            HeadKind::Ctr => (clicked, all),
            HeadKind::Cvr => (converted, known),
        };
        ((positive + 0.5) / ((all - positive).max(0.0) + 0.5)).ln() as f32
    }

    /// Warns of anything odd in the rows.
    pub(super) fn warn(&self, progress: &Progress) {
        if self.unclicked_conversions > 0 {
            progress.note(&format!(
                "warning: {} rows have a conversion but no click: pCVR is learnt from conversions of clicks, so these \
                 count as unclicked rows",
                self.unclicked_conversions
            ));
        }
        if self.clicks == self.counts.rows {
            progress.note(
                "warning: all training rows are clicked: the model predicts conversions of clicks (pCVR) and nothing of \
                 clicks, so it cannot rank bids per click or impression by itself",
            );
        }
    }
}
