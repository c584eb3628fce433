//! Converts each head's logits to probabilities for serving.

#[cfg(feature = "builder")]
use super::correct_downsampling;
use super::{Calibrator, Segments};
use crate::error::{Error, Result};

/// The number of logits processed together.
pub(super) const TOGETHER: usize = 64;

/// The steps of one head from logit to probability: the correction for negative downsampling, then the calibrator.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadCalibrator {
    keep_rate: f64,
    ln_keep_rate: f64,
    calibrator: Calibrator,
}

impl Default for HeadCalibrator {
    fn default() -> Self {
        Self { keep_rate: 1.0, ln_keep_rate: 0.0, calibrator: Calibrator::Identity }
    }
}

impl HeadCalibrator {
    /// A calibrator after the correction for `keep_rate`, the share of negatives that training kept. It is 1 if all
    /// were kept, or if the correction is already folded into the model's output bias.
    ///
    /// # Errors
    /// `keep_rate` is not in (0, 1].
    pub fn new(keep_rate: f64, calibrator: Calibrator) -> Result<Self> {
        if !(keep_rate > 0.0 && keep_rate <= 1.0) {
            return Err(Error::argument(format!(
                "the share of negatives kept must be above 0 and at most 1, found {keep_rate}"
            )));
        }
        Ok(Self { keep_rate, ln_keep_rate: libm::log(keep_rate), calibrator })
    }

    /// The share of negatives that training kept.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn keep_rate(&self) -> f64 {
        self.keep_rate
    }

    /// What the correction adds to a logit.
    pub(super) fn ln_keep_rate(&self) -> f64 {
        self.ln_keep_rate
    }

    /// The calibrator after the correction.
    #[must_use]
    pub fn calibrator(&self) -> &Calibrator {
        &self.calibrator
    }

    /// The calibrated probability of a logit.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn apply_logit(&self, z: f64) -> f64 {
        self.calibrator.apply_logit(z + self.ln_keep_rate)
    }

    /// The calibrated probability of an uncalibrated probability.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn apply_probability(&self, p: f64) -> f64 {
        self.calibrator.apply_probability(correct_downsampling(p, self.keep_rate))
    }

    /// Calibrated probabilities of many logits: [`Self::apply_logit`] rounded to f32. If the slices differ in length,
    /// the shorter one counts.
    pub fn apply_slice(&self, logits: &[f32], out: &mut [f32]) {
        for (out, logits) in out.chunks_mut(TOGETHER).zip(logits.chunks(TOGETHER)) {
            let mut z = [0.0; TOGETHER];
            let z = &mut z[..out.len().min(logits.len())];
            for (z, &logit) in z.iter_mut().zip(logits) {
                *z = f64::from(logit) + self.ln_keep_rate;
            }
            self.calibrator.apply_logits(z);
            for (p, &z) in out.iter_mut().zip(&*z) {
                *p = z as f32;
            }
        }
    }
}

impl HeadCalibrator {
    /// Computes for every logit the least and the greatest probability of any logit within `off` of it, also for a
    /// calibrator that is not monotonic. For NaN, or where both are infinite, the result is the whole range.
    pub fn bounds(&self, logits: &[f32], off: impl Fn(f32) -> f32, tell: impl FnMut(usize, [f32; 2])) {
        let is_monotone = self.calibrator.is_monotone();
        bounds(
            (logits, self.ln_keep_rate),
            off,
            |_, z| self.calibrator.apply_logits(z),
            |_, reach| (!is_monotone).then(|| self.calibrator.between(reach)),
            tell,
        );
    }
}

/// The bounds of [`HeadCalibrator::bounds`], for any curves: `apply` replaces corrected logits by probabilities, from the
/// row of that number on; `between` gives what a row's curve reaches inside a range of logits, if it is not monotonic.
pub(super) fn bounds(
    (logits, ln_keep_rate): (&[f32], f64),
    off: impl Fn(f32) -> f32,
    apply: impl Fn(usize, &mut [f64]),
    between: impl Fn(usize, [f64; 2]) -> Option<[f64; 2]>,
    mut tell: impl FnMut(usize, [f32; 2]),
) {
    let reach = |logit: f32| {
        let off = f64::from(off(logit));
        [-off, off].map(|off| f64::from(logit) + off + ln_keep_rate)
    };
    for (chunk, logits) in logits.chunks(TOGETHER).enumerate() {
        let first = chunk * TOGETHER;
        let [mut a, mut b] = [[0.0; TOGETHER]; 2];
        let (a, b) = (&mut a[..logits.len()], &mut b[..logits.len()]);
        for ((&logit, a), b) in logits.iter().zip(&mut *a).zip(&mut *b) {
            [*a, *b] = reach(logit);
        }
        apply(first, a);
        apply(first, b);
        for (i, (&a, &b)) in a.iter().zip(&*b).enumerate() {
            let (mut low, mut high) = if a <= b { (a, b) } else { (b, a) };
            if let Some([least, most]) = between(first + i, reach(logits[i])) {
                (low, high) = (low.min(least), high.max(most));
            }
            // One more unit in the last place, for the rounding to f32.
            let ends = [(low as f32).next_down().max(0.0), (high as f32).next_up()];
            tell(first + i, if a.is_nan() || b.is_nan() { [0.0, 1.0] } else { ends });
        }
    }
}

/// The calibration of a model's heads. A model without a pCVR head does not use the second one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibrators {
    /// P(click | impression).
    pub ctr: HeadCalibrator,
    /// P(conversion | click).
    pub cvr: HeadCalibrator,
    /// P(click and conversion | impression): applied to the product of both. pCVR becomes the calibrated product ÷ pCTR.
    pub product: Calibrator,
    /// Calibrators that take the place of these in parts of the traffic.
    pub segments: Segments,
}

#[cfg(test)]
mod tests {
    use super::super::{Beta, Histogram, Isotonic, Platt, Temperature};
    use super::*;

    #[test]
    fn slices_are_logits_one_by_one() {
        let head = HeadCalibrator::new(0.1, Calibrator::Platt(Platt::new(0.8, 0.3).unwrap())).unwrap();
        let mut logits = vec![-4.0_f32, -0.5, 0.0, 3.25, f32::NAN, f32::INFINITY];
        logits.extend((0..200).map(|i| i as f32 * 0.37 - 40.0));
        let n = logits.len();
        let mut out = vec![7.0_f32; n + 2];
        head.apply_slice(&logits, &mut out);
        for (&z, &p) in logits.iter().zip(&out) {
            assert_eq!(p.to_bits(), (head.apply_logit(f64::from(z)) as f32).to_bits(), "{z}");
        }
        assert_eq!(&out[n..], &[7.0, 7.0]);
        let mut short = [7.0_f32; 1];
        head.apply_slice(&logits, &mut short);
        assert_eq!(short[0], out[0]);
    }

    #[test]
    fn bounds_are_around_what_is_within_reach() {
        let head = HeadCalibrator::new(0.1, Calibrator::Platt(Platt::new(0.8, 0.3).unwrap())).unwrap();
        let logits: Vec<f32> = (0..150).map(|i| i as f32 * 0.7 - 50.0).collect();
        let mut told = Vec::new();
        head.bounds(&logits, |logit| 0.01 * logit.abs(), |i, ends| told.push((i, ends)));
        assert!(told.iter().map(|&(i, _)| i).eq(0..150));
        for (&logit, (_, [low, high])) in logits.iter().zip(told) {
            for near in [-0.0099, 0.0, 0.0099].map(|share| logit + share * logit.abs()) {
                let p = head.apply_logit(f64::from(near)) as f32;
                assert!((low..=high).contains(&p) && high - low < 0.25, "{logit}: {p} in {low} to {high}");
            }
        }
        let mut told = Vec::new();
        let nothing = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        head.bounds(&nothing, |_| f32::INFINITY, |_, ends| told.push(ends));
        assert_eq!(told, [[0.0, 1.0]; 3]);
    }

    /// A random calibrator of each kind in turn, of all that `pack --calibrators` accepts.
    fn any(case: usize, number: &mut impl FnMut() -> f64) -> Calibrator {
        let coefficient = |n: f64| n * 6.0 - 3.0;
        let mut shares = |n: usize, ends: bool| {
            let mut all: Vec<f64> = (0..n).map(|_| number().powi(3)).collect();
            if ends {
                all.extend([0.0, 1.0]);
            }
            all.sort_by(f64::total_cmp);
            all.dedup();
            all
        };
        match case % 6 {
            0 => Calibrator::Identity,
            1 => Calibrator::Platt(Platt::new(coefficient(number()), coefficient(number())).unwrap()),
            2 => Calibrator::Temperature(Temperature::new(0.1 + 4.0 * number()).unwrap()),
            3 => {
                let [a, b, c] = [(); 3].map(|()| coefficient(number()));
                Calibrator::Beta(Beta::new(a, b, c).unwrap())
            }
            4 => {
                let x = shares(1 + case / 6 % 9, false);
                let mut y = shares(40, false);
                y.truncate(x.len());
                Calibrator::Isotonic(Isotonic::new(x, y).unwrap())
            }
            _ => {
                let edges = shares(case / 6 % 9, true);
                let values = edges[1..].iter().map(|_| number()).collect();
                Calibrator::Histogram(Histogram::new(edges, values).unwrap())
            }
        }
    }

    #[test]
    fn bounds_hold_between_their_ends_for_every_calibrator() {
        let mut state = 17;
        let mut number = || {
            state += 1;
            (crate::hash::mix(state) >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut wider_than_ends = 0;
        for case in 0..6000_usize {
            let rate = if case.is_multiple_of(2) { 1.0 } else { 0.001 + 0.999 * number() };
            let head = HeadCalibrator::new(rate, any(case, &mut number)).unwrap();
            let (logit, off) = ((number() * 16.0 - 8.0) as f32, (number().powi(2) * 6.0) as f32);
            let mut told = [0.0; 2];
            head.bounds(&[logit], |_| off, |_, ends| told = ends);
            let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
            for step in 0..=400 {
                let z = f64::from(logit) + f64::from(off) * (f64::from(step) / 200.0 - 1.0);
                let p = head.apply_logit(z) as f32;
                (least, most) = (least.min(p), most.max(p));
            }
            assert!(told[0] <= least && most <= told[1], "case {case}, {head:?}: {told:?} has not {least} to {most}");
            // The bounds go no further than a sample of the curve finds, except between two of its points.
            let room = 0.02 * (most - least) + 1e-5;
            let smooth = !matches!(head.calibrator(), Calibrator::Histogram(_) | Calibrator::Isotonic(_));
            assert!(!smooth || (told[0] >= least - room && told[1] <= most + room), "case {case}, {head:?}: {told:?}");
            let ends = [-off, off].map(|off| head.apply_logit(f64::from(logit) + f64::from(off)) as f32);
            wider_than_ends += usize::from(told[1] > ends[0].max(ends[1]).next_up().next_up());
            // An infinite reach covers every probability that the calibrator gives.
            head.bounds(&[logit], |_| f32::INFINITY, |_, ends| told = ends);
            assert!(told[0] <= least && most <= told[1], "case {case}, {head:?}: {told:?}, infinite");
        }
        assert!(wider_than_ends > 100, "{wider_than_ends}: the ends alone would have done");
    }

    #[test]
    fn the_correction_comes_before_the_calibrator() {
        let platt = Platt::new(0.5, 0.0).unwrap();
        let head = HeadCalibrator::new(0.25, Calibrator::Platt(platt)).unwrap();
        // logit 2 → 2 + ln ¼ → half of it.
        let expected = 1.0 / (1.0 + (-(2.0 + 0.25_f64.ln()) / 2.0).exp());
        assert!((head.apply_logit(2.0) - expected).abs() < 1e-15);
        let p = 1.0 / (1.0 + (-2.0_f64).exp());
        assert!((head.apply_probability(p) - expected).abs() < 1e-14);
    }

    #[test]
    fn keep_rates_outside_their_range_are_refused() {
        for w in [0.0, -0.1, 1.0 + 1e-15, f64::NAN, f64::INFINITY] {
            let error = HeadCalibrator::new(w, Calibrator::Identity).unwrap_err();
            assert!(error.message.contains("at most 1"), "{}", error.message);
        }
    }
}
