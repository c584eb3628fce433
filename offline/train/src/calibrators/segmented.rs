//! Calibrators of segments, shrunk towards those of the segments that they are a part of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use adclick::builder::calibrate::{Calibrator, MAX_SEGMENT_KEYS, MAX_SEGMENTS, Segment, SegmentKey, Segments};
use anyhow::{Result, ensure};
use serde::Serialize;

use super::cells::{LogitCell, LogitCells, LogitChange, Prior, softplus};
use super::compose::{followed_by, logit_of, on_logits};
use super::evidence::{FOLDS, folds};
use super::{Method, Sample, fit};

/// The values of a row, one of each key.
pub type SegmentValues = [Option<u64>; MAX_SEGMENT_KEYS];

/// Standard deviations that shifts of a level's segments may have; 0: they do not differ.
const SHIFTS: [f64; 14] = [0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5];
/// The same for slopes.
const SLOPES: [f64; 7] = [0.0, 0.02, 0.04, 0.07, 0.12, 0.2, 0.35];
/// A slope of logits is never below this: the order of candidates stays.
const LEAST_SLOPE: f64 = 0.2;
/// A segment with fewer rows of a class (Kish's effective number) gets no curve of its own, only a shift and a slope.
const ENOUGH: f64 = 2000.0;
/// How much more probable the labels must be under segments that differ than under equal ones, as the difference of ln P. Equal
/// segments show that much in 5 % of cases at most: twice the difference is a mixture of 0 and χ² with one or two degrees.
const EVIDENT: f64 = 2.0;
/// A curve of its own must be better by so many standard errors.
const PLAINLY: f64 = 2.0;
/// Segments whose logits change by less keep the calibrator of the segment that they are a part of.
const LEAST_CHANGE: f64 = 1e-5;

/// How segments are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shrinkage {
    /// As far as the segments of a level differ.
    ByEvidence,
    /// Each segment by its own rows alone (to compare with).
    None,
}

/// What was found of one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentLevel {
    /// The key's name.
    pub key: String,
    /// How many segments the rows have there.
    pub segments: usize,
    /// The standard deviation of the segments' shifts, in logits.
    pub shift: f64,
    /// The standard deviation of their slopes.
    pub slope: f64,
    /// ln of how much more probable the labels are with these than with equal segments.
    pub evidence: f64,
    /// How much lower the log loss of unseen rows is than with the calibrators of the level above, per row.
    pub gain: f64,
    /// Its 95 % interval.
    pub gain_interval: [f64; 2],
    /// Segments with a curve of their own kind.
    pub curves: usize,
    /// Whether the level is used.
    pub used: bool,
}

/// Calibrators of one head's segments.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmented {
    /// The calibrator of all rows.
    pub root: Calibrator,
    /// The levels, the first key's first.
    pub levels: Vec<SegmentLevel>,
    /// The calibrators of segments, by the values on the way to them.
    own: BTreeMap<Vec<u64>, Calibrator>,
}

/// The rows of one segment.
#[derive(Debug, Default)]
struct SegmentRows {
    path: Vec<u64>,
    parent: Option<usize>,
    rows: Vec<u32>,
    /// Their cells in each fold.
    cells: Vec<LogitCells>,
}

impl SegmentRows {
    /// The cells of all folds but one.
    fn without(&self, fold: Option<usize>) -> Vec<LogitCell> {
        let mut all = LogitCells::default();
        self.cells.iter().enumerate().filter(|(at, _)| Some(*at) != fold).for_each(|(_, cells)| all.add_all(cells));
        all.done()
    }
}

/// Fits the segments of `keys` on top of the calibrator `root`, level by level.
///
/// A segment's logits are those of the segment above it, t, changed to t + δ + κ (t − c). δ and κ are taken to be normal
/// around 0, with the standard deviations that make the labels of the level's segments most probable (empirical Bayes), and
/// then the most probable ones are taken: a segment with few rows stays with its parent, one with many goes its own way. A
/// level is used when the labels are e² times as probable as under equal segments and its calibrators lower the log loss of
/// rows that they were not fitted on. A segment with enough rows gets a beta or isotonic curve of its own where that is better still, plainly.
///
/// # Errors
/// Columns of different lengths, or a root that ties scores.
pub fn segmented(
    sample: &Sample,
    values: &[SegmentValues],
    keys: &[SegmentKey],
    root: &Calibrator,
    shrinkage: Shrinkage,
) -> Result<Segmented> {
    ensure!(values.len() == sample.len(), "{} rows came with the keys of {}", sample.len(), values.len());
    ensure!(u32::try_from(sample.len()).is_ok(), "{} rows are too many to fit segments on", sample.len());
    let root = on_logits(root)?;
    let counts = sample.counts();
    let count = |row: usize| counts.as_ref().map_or(1.0, |counts| counts[row]);
    let fold = folds(sample);
    let mut t: Vec<f64> = sample.x.iter().map(|&z| logit_of(&root, z)).collect();
    let mut out = Segmented { root, levels: Vec::new(), own: BTreeMap::new() };
    let mut above = vec![SegmentRows { rows: (0..sample.len() as u32).collect(), ..SegmentRows::default() }];
    let mut calibrators = vec![out.root.clone()];
    for (level, key) in keys.iter().enumerate() {
        let mut groups = divide(&above, values, level);
        for group in &mut groups {
            group.cells = vec![LogitCells::default(); FOLDS as usize];
            for &row in &group.rows {
                let row = row as usize;
                group.cells[fold[row] as usize].add(t[row], sample.labels[row], count(row));
            }
        }
        let whole: Vec<Vec<LogitCell>> = groups.iter().map(|group| group.without(None)).collect();
        let centre = centre(&whole);
        let (evidence, prior) = match shrinkage {
            Shrinkage::ByEvidence => most_evident(&whole, centre),
            // Just enough for a segment without a click.
            Shrinkage::None => (0.0, Spreads { shift: 30.0, slope: 0.0 }),
        };
        let mut found = SegmentLevel::new(key, groups.len(), prior, evidence);
        let gained = gain(&groups, prior, centre);
        if gained.rows > 0.0 {
            let (gain, error) = (gained.sum / gained.rows, gained.variance.sqrt() / gained.rows);
            (found.gain, found.gain_interval) = (gain, [gain - 1.96 * error, gain + 1.96 * error]);
            found.used = (evidence >= EVIDENT && gain > 0.0) || shrinkage == Shrinkage::None;
        }
        let mut own = Vec::with_capacity(groups.len());
        for (group, cells) in groups.iter().zip(&whole) {
            let parent = &calibrators[group.parent.unwrap_or(0)];
            if !found.used {
                own.push(parent.clone());
                continue;
            }
            let change = prior.prior().posterior(cells, centre).change.kept_in_order();
            let mut calibrator = followed_by(parent, 1.0 + change.slope, change.shift - change.slope * centre)?;
            if shrinkage == Shrinkage::ByEvidence
                && let Some(curve) = own_curve(sample, group, (&t, &fold), prior, centre)
            {
                calibrator = curve;
                found.curves += 1;
            }
            let moved = change.shift.abs() + change.slope.abs();
            if calibrator != *parent && moved >= LEAST_CHANGE {
                for &row in &group.rows {
                    t[row as usize] = logit_of(&calibrator, sample.x[row as usize]);
                }
                out.own.insert(group.path.clone(), calibrator.clone());
            }
            own.push(calibrator);
        }
        out.levels.push(found);
        (above, calibrators) = (groups, own);
    }
    Ok(out)
}

impl Segmented {
    /// A head whose segments do not differ.
    #[must_use]
    pub fn whole(root: Calibrator) -> Self {
        Self { root, levels: Vec::new(), own: BTreeMap::new() }
    }

    /// The segments of a head that a bundle has: 0 is pCTR, 1 pCVR, 2 their product.
    #[must_use]
    pub fn carried(segments: &Segments, head: usize) -> Self {
        let mut paths: Vec<Vec<u64>> = vec![vec![]];
        let mut carried = Self::whole(Calibrator::Identity);
        for segment in segments.list() {
            let path: Vec<u64> = paths[segment.parent as usize].iter().copied().chain([segment.value]).collect();
            if let Some(own) = &segment.own[head] {
                carried.own.insert(path.clone(), own.clone());
            }
            paths.push(path);
        }
        carried
    }

    /// The calibrator of rows with these values, one of each key.
    #[must_use]
    pub fn calibrator(&self, values: &[Option<u64>]) -> &Calibrator {
        let path: Vec<u64> = values.iter().map_while(|value| *value).collect();
        (1..=path.len()).rev().find_map(|n| self.own.get(&path[..n])).unwrap_or(&self.root)
    }

    /// The number of segments with a calibrator of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }
}

/// The tree of the heads' segments (pCTR, pCVR, product). Without any there are no keys either.
///
/// # Errors
/// More segments than a bundle can have.
pub fn tree(keys: &[SegmentKey], heads: [&Segmented; 3]) -> Result<Segments> {
    let mut paths = BTreeSet::new();
    for path in heads.iter().flat_map(|head| head.own.keys()) {
        (1..=path.len()).for_each(|n| _ = paths.insert((n, path[..n].to_vec())));
    }
    if paths.is_empty() {
        return Ok(Segments::default());
    }
    ensure!(
        paths.len() <= MAX_SEGMENTS,
        "{} segments differ, and a bundle can have {MAX_SEGMENTS}: take keys with fewer values",
        paths.len()
    );
    let numbers: HashMap<&[u64], u32> = paths.iter().zip(1..).map(|((_, path), n)| (path.as_slice(), n)).collect();
    let list = paths
        .iter()
        .map(|(n, path)| Segment {
            parent: numbers.get(&path[..n - 1]).copied().unwrap_or(0),
            value: path[n - 1],
            own: heads.map(|head| head.own.get(path).cloned()),
        })
        .collect();
    Ok(Segments::new(keys.to_vec(), list)?)
}

/// The segments that a level's values make of those above.
fn divide(above: &[SegmentRows], values: &[SegmentValues], level: usize) -> Vec<SegmentRows> {
    let mut groups: BTreeMap<(usize, u64), SegmentRows> = BTreeMap::new();
    for (parent, group) in above.iter().enumerate() {
        for &row in &group.rows {
            let Some(value) = values[row as usize][level] else { continue };
            let part = groups.entry((parent, value)).or_insert_with(|| SegmentRows {
                path: group.path.iter().copied().chain([value]).collect(),
                parent: Some(parent),
                ..SegmentRows::default()
            });
            part.rows.push(row);
        }
    }
    groups.into_values().collect()
}

/// Where logits are held by a slope: in the middle of the clicks.
fn centre(groups: &[Vec<LogitCell>]) -> f64 {
    let cells = || groups.iter().flatten();
    let clicks: f64 = cells().map(|cell| cell.clicks).sum();
    if clicks > 0.0 { cells().map(|cell| cell.clicks * cell.t).sum::<f64>() / clicks } else { 0.0 }
}

/// Standard deviations of shifts and slopes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Spreads {
    shift: f64,
    slope: f64,
}

impl Spreads {
    fn prior(self) -> Prior {
        Prior { shift: self.shift.powi(-2), slope: self.slope.powi(-2) }
    }
}

/// The spreads under which the labels are most probable, and ln of how much more probable than without any.
fn most_evident(groups: &[Vec<LogitCell>], centre: f64) -> (f64, Spreads) {
    let evidence = |spreads: Spreads| -> f64 {
        groups.iter().map(|cells| spreads.prior().posterior(cells, centre).evidence).sum()
    };
    let best = |all: Vec<Spreads>| {
        let all = all.into_iter().map(|spreads| (evidence(spreads), spreads));
        all.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
    };
    let first = best(SHIFTS.map(|shift| Spreads { shift, slope: 0.0 }).to_vec());
    let second = best(SLOPES.map(|slope| Spreads { slope, ..first.1 }).to_vec());
    if second.1.slope == 0.0 {
        return second;
    }
    best(SHIFTS.map(|shift| Spreads { shift, ..second.1 }).to_vec())
}

impl SegmentLevel {
    fn new(key: &SegmentKey, segments: usize, spreads: Spreads, evidence: f64) -> Self {
        Self {
            key: key.name().to_owned(),
            segments,
            shift: spreads.shift,
            slope: spreads.slope,
            evidence,
            gain: 0.0,
            gain_interval: [0.0; 2],
            curves: 0,
            used: false,
        }
    }
}

impl LogitChange {
    /// Without a slope that would come near to turning the order around.
    fn kept_in_order(self) -> Self {
        Self { slope: self.slope.max(LEAST_SLOPE - 1.0), ..self }
    }
}

/// What is gained on unseen rows.
#[derive(Debug, Default)]
struct UnseenGain {
    rows: f64,
    sum: f64,
    variance: f64,
}

/// The gain of fits on all folds but one, on that one.
fn gain(groups: &[SegmentRows], spreads: Spreads, centre: f64) -> UnseenGain {
    let mut gain = UnseenGain::default();
    let mut between = 0.0;
    for group in groups {
        for fold in 0..FOLDS as usize {
            let held_out = group.cells[fold].done();
            if held_out.is_empty() {
                continue;
            }
            let change = spreads.prior().posterior(&group.without(Some(fold)), centre).change.kept_in_order();
            let mut own = 0.0;
            for cell in held_out {
                let by = change.shift + change.slope * (cell.t - centre);
                let f = cell.t + by;
                own += cell.clicks * by - cell.rows * (softplus(f) - softplus(cell.t));
                let p = adclick::builder::calibrate::sigmoid(f);
                gain.variance += cell.rows * p * (1.0 - p) * by * by;
                gain.rows += cell.rows;
            }
            gain.sum += own;
            between += own * own;
        }
    }
    gain.variance = gain.variance.max(between);
    gain
}

/// A beta or isotonic curve of a segment's own, if it has enough rows and that is plainly better than shift and slope.
fn own_curve(
    sample: &Sample,
    group: &SegmentRows,
    (t, fold): (&[f64], &[u64]),
    spreads: Spreads,
    centre: f64,
) -> Option<Calibrator> {
    let part = |keep: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = group.rows.iter().map(|&row| row as usize).filter(|&row| keep(row)).collect();
        let x: Vec<f64> = rows.iter().map(|&row| sample.x[row]).collect();
        let labels: Vec<bool> = rows.iter().map(|&row| sample.labels[row]).collect();
        let weights: Vec<f64> = rows.iter().map(|&row| sample.weight(row)).collect();
        (rows, x, labels, weights)
    };
    let fitted = |method: Method, keep: &dyn Fn(usize) -> bool| {
        let (_, x, labels, weights) = part(keep);
        let weights = sample.weights.is_some().then_some(weights.as_slice());
        let calibrator = fit(method, &Sample::new(&x, &labels, weights).ok()?).ok()?;
        calibrator.is_strictly_increasing().then(|| on_logits(&calibrator).ok()).flatten()
    };
    let (_, x, labels, weights) = part(&|_| true);
    let all = Sample { x: &x, labels: &labels, weights: sample.weights.is_some().then_some(weights.as_slice()) };
    if all.effective(true).min(all.effective(false)) < ENOUGH {
        return None;
    }
    let loss = |f: f64, y: bool| softplus(f) - if y { f } else { 0.0 };
    let better = |method: Method| {
        let (mut sum, mut squares) = (0.0, 0.0);
        for left_out in 0..FOLDS {
            let curve = fitted(method, &|row| fold[row] != left_out)?;
            let change =
                spreads.prior().posterior(&group.without(Some(left_out as usize)), centre).change.kept_in_order();
            for &row in &group.rows {
                let row = row as usize;
                if fold[row] == left_out {
                    let line = t[row] + change.shift + change.slope * (t[row] - centre);
                    let gain = sample.weight(row)
                        * (loss(line, sample.labels[row]) - loss(logit_of(&curve, sample.x[row]), sample.labels[row]));
                    sum += gain;
                    squares += gain * gain;
                }
            }
        }
        (sum > PLAINLY * squares.sqrt()).then_some((sum, method))
    };
    let best = [Method::Beta, Method::Isotonic].into_iter().filter_map(better).max_by(|a, b| a.0.total_cmp(&b.0))?;
    fitted(best.1, &|_| true)
}
