//! The effect of chance on the calibration error of equal-mass bins: its size for a perfect model, and a confidence
//! interval for the true error.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::Sum;
use super::spread::{Part, Spread};

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The number of draws of all clicks that a quantile is taken from.
const DRAWS: usize = 1000;

/// The number of bisection steps in the search for an end of the interval.
const HALVINGS: usize = 20;

/// The rejection rate of the lower end's test where errors can hardly be told from none.
const UNSEEN_TAIL: f64 = 0.05;

/// The rejection rates of the tests of the lower and of the upper end where errors are plain to see. The upper end's
/// test considers two kinds of errors and rejects less than this rate.
const PLAIN_TAILS: [f64; 2] = [0.045, 0.015];

/// The prior precision of shift and slope of the logits: each is taken to be right to 0.5, hence 1/0.5².
const RIDGE: f64 = 4.0;

/// An error is told from none when it exceeds what all but this share of perfect models show.
const FALSE_ALARMS: f64 = 0.05;

/// Errors are plain to see when they are told from none in this share of cases.
const PLAIN: f64 = 0.5;

/// Above this mean the number of clicks is drawn from the normal distribution, corrected for its skewness.
const LARGE: f64 = 30.0;

/// The effect of chance on the bins of some scores.
pub struct Chance {
    parts: Vec<Part>,
    /// For each bin its weight, Σ w p and Σ w y.
    bins: Vec<[f64; 3]>,
    total: f64,
    seed: u64,
}

impl Chance {
    /// Makes equal-mass bins.
    #[must_use]
    pub fn new(spread: &Spread, seed: u64) -> Self {
        let bins: Vec<[f64; 3]> =
            spread.bins().iter().map(|b| [b.weight, b.weight * b.mean_score, b.weight * b.mean_label]).collect();
        let total = bins.iter().map(|b| b[0]).sum();
        Self { parts: spread.parts().to_vec(), bins, total, seed }
    }

    /// The ECE of a perfectly calibrated model on these scores: its mean, and the value that it exceeds in 5 % of
    /// cases.
    #[must_use]
    pub fn of_perfect(&self) -> [f64; 2] {
        let none = vec![0.0; self.bins.len()];
        let mut all: Vec<f64> = self.draws(&none).map(|gaps| gaps.iter().map(|g| g.abs()).sum::<f64>()).collect();
        all.sort_by(f64::total_cmp);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        [mean / self.total, all[all.len() * 95 / 100] / self.total]
    }

    /// The root mean square of the bins' gaps, √Σ (weight of the bin / all)·(mean score − mean label)², without the
    /// part due to chance: Σ m s² is subtracted from Σ m d², where s is the gap's standard error at the rate observed
    /// in the bin. 0 when nothing remains.
    #[must_use]
    pub fn root_mean_square(&self) -> f64 {
        let mut noise = Sum::default();
        for part in &self.parts {
            for &(bin, share) in &part.shares {
                let [weight, scores, labels] = self.bins[bin];
                let raised = if scores > 0.0 { labels / scores } else { 0.0 };
                let variance = (raised * part.squares[0] - raised * raised * part.squares[1]).max(0.0);
                noise.add(share * share * variance / weight);
            }
        }
        ((self.mean_square(&self.gaps()) - noise.value() / self.total).max(0.0)).sqrt()
    }

    /// The 95 % interval for the true root mean square: all values that neither of two tests rejects. The tests compare
    /// the observed mean square with those of clicks drawn from the scores plus gaps of that root mean square. Where
    /// the true gaps lie is not known. For the lower end, small ones follow the part of the observed gaps that a shift
    /// and a slope of all logits explain, and larger ones follow the observed gaps too: single bins say little about
    /// their rates, and so about their noise. For the upper end they may also all lie in the bin of the largest noise,
    /// where they show least.
    ///
    /// How much each test rejects depends on how plain an error is to see. Only the lower end's test rejects an error
    /// that can hardly be told from none; otherwise a tail would be reserved for an impossible case (after Feldman and
    /// Cousins, 1998).
    #[must_use]
    pub fn interval(&self) -> Interval {
        let tests = Tests::of(self);
        let low = self.end(|size| tests.like(size), |squares| tests.is_low_enough(squares));
        let above = |squares: &[f64]| tests.is_high_enough(squares);
        let high = self.end(|size| tests.like(size), above).max(self.end(|size| tests.hidden(size), above));
        Interval { low, high }
    }

    /// Finds the smallest size from 0 on whose gaps draw mean squares that satisfy `reached`. Returns the root mean
    /// square of these gaps.
    fn end(&self, gaps: impl Fn(f64) -> Vec<f64>, reached: impl Fn(&[f64]) -> bool) -> f64 {
        let reaches = |size: f64| reached(&self.squares(&self.possible(&gaps(size))));
        let (mut low, mut high) = (0.0, 1.0);
        if reaches(0.0) || gaps(2.0).iter().all(|&gap| gap == 0.0) {
            return 0.0;
        }
        while !reaches(high) && high < 1e9 {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            *(if reaches(middle) { &mut high } else { &mut low }) = middle;
        }
        self.drawn(&self.possible(&gaps(0.5 * (low + high))))
    }

    /// The root mean square of the drawn gaps on average: parts that lie in several bins have one gap in all of them.
    fn drawn(&self, off: &[f64]) -> f64 {
        let mut drawn = vec![0.0; off.len()];
        for part in &self.parts {
            let gap = Law::of(part, &self.bins, off).mean() - part.mean;
            part.shares.iter().for_each(|&(bin, share)| drawn[bin] += share * gap);
        }
        self.mean_square(&drawn).sqrt()
    }

    /// A gap in the bin where a perfect model's clicks add most to the mean square.
    fn hidden(&self) -> Vec<f64> {
        let noise = self.noise();
        let added: Vec<f64> = noise.iter().zip(&self.bins).map(|(noise, bin)| noise / bin[0]).collect();
        let most = (0..added.len()).max_by(|&a, &b| added[a].total_cmp(&added[b])).unwrap_or(0);
        (0..noise.len()).map(|bin| if bin == most { noise[bin].sqrt() } else { 0.0 }).collect()
    }

    /// The part of the gaps that a shift and a slope of all logits explain, to first order: least squares, weighted by
    /// noise.
    fn shape(&self) -> Vec<f64> {
        let all: f64 = self.bins.iter().map(|bin| bin[1]).sum();
        let log_rate = |[weight, scores, _]: &[f64; 3]| if *scores > 0.0 { (scores / weight).ln() } else { 0.0 };
        let centre = self.bins.iter().map(|bin| bin[1] * log_rate(bin)).sum::<f64>() / all.max(f64::MIN_POSITIVE);
        let moved = |bin: &[f64; 3]| [bin[1], bin[1] * (log_rate(bin) - centre)];
        let (mut square, mut product) = ([RIDGE, 0.0, RIDGE], [0.0; 2]);
        for ((bin, gap), noise) in self.bins.iter().zip(self.gaps()).zip(self.noise()).filter(|(_, noise)| *noise > 0.0)
        {
            let [shift, slope] = moved(bin);
            for (sum, term) in square.iter_mut().zip([shift * shift, shift * slope, slope * slope]) {
                *sum += term / noise;
            }
            product[0] += shift * gap / noise;
            product[1] += slope * gap / noise;
        }
        let [a, b, c] = square;
        let determinant = a * c - b * b;
        let by = [(product[0] * c - product[1] * b) / determinant, (product[1] * a - product[0] * b) / determinant];
        self.bins.iter().map(|bin| moved(bin).iter().zip(by).map(|(moved, by)| moved * by).sum()).collect()
    }

    /// The variance of each bin's gap for a perfect model.
    fn noise(&self) -> Vec<f64> {
        let mut noise = vec![0.0; self.bins.len()];
        for part in &self.parts {
            for &(bin, share) in &part.shares {
                noise[bin] += share * share * (part.squares[0] - part.squares[1]);
            }
        }
        noise
    }

    /// Σ w (y − p) of each bin.
    fn gaps(&self) -> Vec<f64> {
        self.bins.iter().map(|[_, scores, labels]| labels - scores).collect()
    }

    /// Gaps limited to rates between no clicks and all.
    fn possible(&self, gaps: &[f64]) -> Vec<f64> {
        let limited = |([weight, scores, _], gap): (&[f64; 3], &f64)| gap.clamp(-scores, weight - scores);
        self.bins.iter().zip(gaps).map(limited).collect()
    }

    /// The mean over all rows of the squared gap of their bin.
    fn mean_square(&self, gaps: &[f64]) -> f64 {
        self.bins.iter().zip(gaps).map(|([weight, ..], gap)| gap * gap / weight).sum::<f64>() / self.total
    }

    /// The mean squares of drawn clicks, in ascending order.
    fn squares(&self, off: &[f64]) -> Vec<f64> {
        let mut all: Vec<f64> = self.draws(off).map(|gaps| self.mean_square(&gaps)).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    /// Gaps of drawn clicks whose means differ from the scores by the given gaps. Each call draws the same numbers.
    fn draws<'a>(&'a self, off: &[f64]) -> impl Iterator<Item = Vec<f64>> + use<'a> {
        let laws: Vec<Law> = self.parts.iter().map(|part| Law::of(part, &self.bins, off)).collect();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        (0..DRAWS).map(move |_| {
            let mut gaps = vec![0.0; self.bins.len()];
            for (part, law) in self.parts.iter().zip(&laws) {
                let gap = law.draw(random.random(), random.random()) - part.mean;
                part.shares.iter().for_each(|&(bin, share)| gaps[bin] += share * gap);
            }
            gaps
        })
    }
}

/// The tests of [`Chance::interval`].
struct Tests {
    gaps: Vec<f64>,
    shape: Vec<f64>,
    hidden: Vec<f64>,
    observed: f64,
    alarm: f64,
}

impl Tests {
    fn of(chance: &Chance) -> Self {
        let gaps = chance.gaps();
        Self {
            shape: chance.shape(),
            hidden: chance.hidden(),
            observed: chance.mean_square(&gaps),
            alarm: quantile(&chance.squares(&vec![0.0; gaps.len()]), 1.0 - FALSE_ALARMS),
            gaps,
        }
    }

    /// Gaps like the observed ones: their explained part up to a size of 1, and from there on the remainder too.
    fn like(&self, size: f64) -> Vec<f64> {
        let beside = |(shape, gap): (&f64, &f64)| size.min(1.0) * shape + (size - 1.0).max(0.0) * (gap - shape);
        self.shape.iter().zip(&self.gaps).map(beside).collect()
    }

    fn hidden(&self, size: f64) -> Vec<f64> {
        self.hidden.iter().map(|gap| size * gap).collect()
    }

    /// The rejection rates of the tests for an error that gives these mean squares.
    fn tails(&self, squares: &[f64]) -> [f64; 2] {
        let power = (squares.len() - squares.partition_point(|&s| s <= self.alarm)) as f64 / squares.len() as f64;
        let plain = ((power - FALSE_ALARMS) / (PLAIN - FALSE_ALARMS)).clamp(0.0, 1.0);
        [UNSEEN_TAIL + plain * (PLAIN_TAILS[0] - UNSEEN_TAIL), plain * PLAIN_TAILS[1]]
    }

    fn is_low_enough(&self, squares: &[f64]) -> bool {
        quantile(squares, 1.0 - self.tails(squares)[0]) >= self.observed
    }

    fn is_high_enough(&self, squares: &[f64]) -> bool {
        quantile(squares, self.tails(squares)[1]) >= self.observed
    }
}

fn quantile(ascending: &[f64], level: f64) -> f64 {
    ascending[(level * (ascending.len() - 1) as f64).round() as usize]
}

/// The distribution of Σ w y: `each` times a binomial number, with the mean and the variance of the sum. (A binomial
/// with fewer trials matches both for rows with different probabilities.)
struct Law {
    each: f64,
    trials: f64,
    p: f64,
}

impl Law {
    fn of(part: &Part, bins: &[[f64; 3]], off: &[f64]) -> Self {
        // The clicks of a part change in line with those of its bins.
        let mut added = 0.0;
        for &(bin, share) in &part.shares {
            added += share * part.weight / bins[bin][0] * off[bin];
        }
        let mean = (part.mean + added).clamp(0.0, part.weight);
        if part.mean <= 0.0 {
            // Scores of 0 say nothing about the weights, so all are taken to be 1.
            return Self { each: 1.0, trials: part.weight, p: mean / part.weight };
        }
        let scale = mean / part.mean;
        let each = part.squares[0] / part.mean;
        // Σ w² p² of probabilities that are raised together; all are equal once they would pass 1.
        let p = if mean > 0.0 { scale * part.squares[1] / part.squares[0] } else { 0.0 };
        let p = p.clamp(0.0, 1.0);
        let trials = if p > 0.0 { mean / (each * p) } else { 0.0 };
        Self { each, trials, p }
    }

    fn mean(&self) -> f64 {
        self.each * self.trials * self.p
    }

    /// Draws a number of the distribution from two uniform ones.
    fn draw(&self, u: f64, v: f64) -> f64 {
        let mean = self.trials * self.p;
        let variance = mean * (1.0 - self.p);
        if variance <= 0.0 {
            return self.each * mean;
        }
        if mean.min(self.trials - mean) > LARGE {
            let z = (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            let skewed = z + (1.0 - 2.0 * self.p) / variance.sqrt() * (z * z - 1.0) / 6.0;
            return self.each * (mean + variance.sqrt() * skewed).clamp(0.0, self.trials);
        }
        // Counts the rarer of clicks and non-clicks.
        if self.p > 0.5 {
            self.each * (self.trials - self.count(1.0 - self.p, u))
        } else {
            self.each * self.count(self.p, u)
        }
    }

    /// A binomial number by its distribution function, term by term. The number of trials need not be whole.
    fn count(&self, p: f64, u: f64) -> f64 {
        let ratio = p / (1.0 - p);
        let mut term = (self.trials * (-p).ln_1p()).exp();
        let (mut below, mut k) = (term, 0.0);
        while u > below && k < self.trials && term > 0.0 {
            term *= ratio * (self.trials - k) / (k + 1.0);
            k += 1.0;
            below += term;
        }
        k.min(self.trials)
    }
}

#[cfg(test)]
mod tests;
