//! Logits to calibrated probabilities: the correction for negative downsampling, then a calibrator, per head.
//!
//! Applying a calibrator never allocates, never panics, and gives NaN for NaN. All arithmetic is f64 with `libm`'s
//! functions, and batches take the same steps, so the same bits come out on every machine. Calibrators are fitted
//! offline; constructors check their arguments.
//!
//! A calibrator's order matters for ranking: [`Calibrator::is_strictly_increasing`] says whether two different scores
//! stay different. A plain isotonic fit has plateaus, on which the candidates' own order is lost and only bids decide.
//! Because the sum of a piecewise linear function and a straight line is piecewise linear on the same knots, the
//! offline fit removes plateaus by tilting the knots (and adding knots at 0 and 1); serving needs no code for it.

mod codec;
mod curves;
mod file;
mod head;
#[allow(unsafe_code, reason = "calls code for a CPU that it has looked at")]
mod lanes;
mod maths;
mod piecewise;
mod segments;
mod served;

pub use curves::{Histogram, Isotonic};
pub use file::decode_calibrators;
#[cfg(feature = "builder")]
pub use file::encode_calibrators;
pub use head::{Calibrators, HeadCalibrator};
#[cfg(feature = "builder")]
pub use maths::LOGIT_CLIP;
pub use maths::sigmoid;
#[cfg(feature = "builder")]
pub use maths::{correct_downsampling, logit};
pub use piecewise::PiecewiseLinear;
pub(crate) use segments::NO_VALUE;
pub use segments::{MAX_SEGMENT_KEYS, MAX_SEGMENTS, Segment, SegmentKey, Segments};
pub(crate) use served::{KeySource, ServedCalibrators};

use std::fmt;

use crate::error::{Error, Result};
use lanes::sigmoids;
#[cfg(feature = "builder")]
use maths::BETA_CLIP;
use maths::{BETA_LOGIT_LIMIT, softplus};

/// Platt scaling, `σ(a·z + b)` of a logit z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Platt {
    a: f64,
    b: f64,
}

impl Platt {
    /// A Platt calibrator.
    ///
    /// # Errors
    /// `a` or `b` is NaN or infinite.
    pub fn new(a: f64, b: f64) -> Result<Self> {
        finite("Platt slope a", a)?;
        finite("Platt intercept b", b)?;
        Ok(Self { a, b })
    }

    /// The slope.
    #[must_use]
    pub fn a(&self) -> f64 {
        self.a
    }

    /// The intercept.
    #[must_use]
    pub fn b(&self) -> f64 {
        self.b
    }

    fn logit(&self, z: f64) -> f64 {
        self.a * z.clamp(-f64::MAX, f64::MAX) + self.b
    }
}

/// Temperature scaling, `σ(z / T)` of a logit z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    t: f64,
}

impl Temperature {
    /// A temperature.
    ///
    /// # Errors
    /// `t` is not a finite number above 0.
    pub fn new(t: f64) -> Result<Self> {
        finite("temperature T", t)?;
        if t <= 0.0 {
            return Err(Error::argument(format!("temperature T must be above 0, found {t}")));
        }
        Ok(Self { t })
    }

    /// T.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn t(&self) -> f64 {
        self.t
    }

    fn logit(&self, z: f64) -> f64 {
        z / self.t
    }
}

/// Beta calibration (Kull, Silva Filho, Flach 2017), `σ(a·ln p − b·ln(1−p) + c)`, p clipped to [2⁻⁵², 1−2⁻⁵²].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    a: f64,
    b: f64,
    c: f64,
}

impl Beta {
    /// A beta calibrator.
    ///
    /// # Errors
    /// A coefficient is NaN or infinite.
    pub fn new(a: f64, b: f64, c: f64) -> Result<Self> {
        finite("beta coefficient a", a)?;
        finite("beta coefficient b", b)?;
        finite("beta intercept c", c)?;
        Ok(Self { a, b, c })
    }

    /// The coefficient of ln p.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn a(&self) -> f64 {
        self.a
    }

    /// The coefficient of −ln(1−p).
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn b(&self) -> f64 {
        self.b
    }

    /// The intercept.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn c(&self) -> f64 {
        self.c
    }

    fn logit(&self, z: f64) -> f64 {
        // −ln p = softplus(−z) and −ln(1−p) = softplus(z): exact where p itself would round to 0 or 1.
        let z = z.clamp(-BETA_LOGIT_LIMIT, BETA_LOGIT_LIMIT);
        self.b * softplus(z) - self.a * softplus(-z) + self.c
    }

    /// The logit at which the curve turns from rising to falling or back: with slope `b·p + a·(1−p)`, where p/(1−p) =
    /// −a/b.
    fn turn(&self) -> Option<f64> {
        let turns = (self.a > 0.0 && self.b < 0.0) || (self.a < 0.0 && self.b > 0.0);
        turns.then(|| libm::log(-self.a / self.b).clamp(-BETA_LOGIT_LIMIT, BETA_LOGIT_LIMIT))
    }

    #[cfg(feature = "builder")]
    fn apply_probability(&self, p: f64) -> f64 {
        let p = p.clamp(BETA_CLIP, 1.0 - BETA_CLIP);
        sigmoid(self.a * libm::log(p) - self.b * libm::log1p(-p) + self.c)
    }
}

/// Converts a head's score to a calibrated probability.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Calibrator {
    /// The model's own probability, `σ(z)`.
    #[default]
    Identity,
    /// `σ(a·z + b)`.
    Platt(Platt),
    /// `σ(z / T)`.
    Temperature(Temperature),
    /// `σ(a·ln p − b·ln(1−p) + c)`.
    Beta(Beta),
    /// Linear between knots, flat outside.
    Isotonic(Isotonic),
    /// One value for each bin.
    Histogram(Histogram),
    /// `σ(t(z))`, t linear between knots and beyond them.
    PiecewiseLinear(PiecewiseLinear),
}

impl Calibrator {
    /// The field's name for the method.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Platt(_) => "platt",
            Self::Temperature(_) => "temperature",
            Self::Beta(_) => "beta",
            Self::Isotonic(_) => "isotonic",
            Self::Histogram(_) => "histogram",
            Self::PiecewiseLinear(_) => "piecewise-linear",
        }
    }

    /// The calibrated probability of a logit. NaN gives NaN; infinities give the ends of the scale.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn apply_logit(&self, z: f64) -> f64 {
        let mut p = [z];
        self.apply_by(&mut p, |[z]| *z = sigmoid(*z));
        p[0]
    }

    /// Replaces every logit by its calibrated probability, as [`Self::apply_logit`] does.
    pub fn apply_logits(&self, z: &mut [f64]) {
        self.apply_by(z, sigmoids);
    }

    /// The calibrated probabilities of some logits; `sigmoids` computes σ of all.
    #[inline(always)]
    fn apply_by<Z: AsMut<[f64]> + ?Sized>(&self, z: &mut Z, sigmoids: impl FnOnce(&mut Z)) {
        fn each(all: &mut (impl AsMut<[f64]> + ?Sized), of: impl Fn(f64) -> f64) {
            all.as_mut().iter_mut().for_each(|z| *z = of(*z));
        }
        match self {
            Self::Identity | Self::Isotonic(_) | Self::Histogram(_) => {}
            Self::Platt(c) => each(z, |z| c.logit(z)),
            Self::Temperature(c) => each(z, |z| c.logit(z)),
            Self::Beta(c) => each(z, |z| c.logit(z)),
            Self::PiecewiseLinear(c) => each(z, |z| c.logit(z)),
        }
        sigmoids(z);
        match self {
            Self::Isotonic(_) | Self::Histogram(_) => each(z, |p| self.after_sigmoid(p)),
            _ => {}
        }
    }

    /// The part of [`Self::apply_logit`] before σ.
    fn before_sigmoid(&self, z: f64) -> f64 {
        match self {
            Self::Identity | Self::Isotonic(_) | Self::Histogram(_) => z,
            Self::Platt(c) => c.logit(z),
            Self::Temperature(c) => c.logit(z),
            Self::Beta(c) => c.logit(z),
            Self::PiecewiseLinear(c) => c.logit(z),
        }
    }

    /// The part of [`Self::apply_logit`] after σ.
    fn after_sigmoid(&self, p: f64) -> f64 {
        match self {
            Self::Isotonic(c) => c.apply(p),
            Self::Histogram(c) => c.apply(p),
            _ => p,
        }
    }

    /// The calibrated probability of a probability. Calibrators on logits clip it to [`LOGIT_CLIP`] from 0 and 1.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn apply_probability(&self, p: f64) -> f64 {
        match self {
            Self::Identity => p,
            Self::Platt(c) => sigmoid(c.logit(logit(p))),
            Self::Temperature(c) => sigmoid(c.logit(logit(p))),
            Self::Beta(c) => c.apply_probability(p),
            Self::Isotonic(c) => c.apply(p),
            Self::Histogram(c) => c.apply(p),
            Self::PiecewiseLinear(c) => sigmoid(c.logit(logit(p))),
        }
    }

    /// Whether a larger score always gives a larger probability (apart from rounding and beta's clipping), so that
    /// calibration neither reorders nor ties candidates.
    #[must_use]
    pub fn is_strictly_increasing(&self) -> bool {
        match self {
            Self::Identity | Self::Temperature(_) | Self::PiecewiseLinear(_) => true,
            Self::Platt(c) => c.a > 0.0,
            Self::Beta(c) => c.a >= 0.0 && c.b >= 0.0 && c.a + c.b > 0.0,
            Self::Isotonic(c) => c.is_strictly_increasing(),
            Self::Histogram(_) => false,
        }
    }
}

impl Calibrator {
    /// Whether the probability is monotonic in the logit.
    pub(crate) fn is_monotone(&self) -> bool {
        match self {
            Self::Identity | Self::Platt(_) | Self::Temperature(_) | Self::Isotonic(_) | Self::PiecewiseLinear(_) => {
                true
            }
            Self::Beta(c) => c.turn().is_none(),
            Self::Histogram(c) => c.is_monotone(),
        }
    }

    /// The least and the greatest probability of the logits strictly between these two. Infinity and its negative where
    /// the calibrator adds nothing to the ends themselves.
    fn between(&self, [from, to]: [f64; 2]) -> [f64; 2] {
        let nothing = [f64::INFINITY, f64::NEG_INFINITY];
        match self {
            Self::Identity | Self::Platt(_) | Self::Temperature(_) | Self::Isotonic(_) | Self::PiecewiseLinear(_) => {
                nothing
            }
            Self::Beta(c) => match c.turn() {
                Some(turn) if from < turn && turn < to => [sigmoid(c.logit(turn)); 2],
                _ => nothing,
            },
            Self::Histogram(c) => c.between(sigmoid(from), sigmoid(to)),
        }
    }
}

/// The name and the parameters, or the number of points.
impl fmt::Display for Calibrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Identity => Ok(()),
            Self::Platt(c) => write!(f, " (a = {:.6}, b = {:.6})", c.a, c.b),
            Self::Temperature(c) => write!(f, " (T = {:.6})", c.t),
            Self::Beta(c) => write!(f, " (a = {:.6}, b = {:.6}, c = {:.6})", c.a, c.b, c.c),
            Self::Isotonic(c) => write!(f, " ({} knots)", c.x().len()),
            Self::Histogram(c) => write!(f, " ({} bins)", c.values().len()),
            Self::PiecewiseLinear(c) => write!(f, " ({} knots)", c.z().len()),
        }
    }
}

fn finite(what: &str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::argument(format!("{what} must be finite, found {value}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Calibrator> {
        vec![
            Calibrator::Identity,
            Calibrator::Platt(Platt::new(0.9, -0.2).unwrap()),
            Calibrator::Temperature(Temperature::new(1.3).unwrap()),
            Calibrator::Beta(Beta::new(0.8, 1.1, -0.1).unwrap()),
            Calibrator::Isotonic(Isotonic::new(vec![0.0, 0.1, 0.4, 1.0], vec![0.01, 0.05, 0.05, 0.9]).unwrap()),
            Calibrator::Histogram(Histogram::new(vec![0.0, 0.1, 0.5, 1.0], vec![0.02, 0.2, 0.7]).unwrap()),
            Calibrator::PiecewiseLinear(PiecewiseLinear::new(vec![-5.0, -2.0, 1.0], vec![-6.0, -2.5, 0.75]).unwrap()),
        ]
    }

    #[test]
    fn nan_stays_nan_and_infinities_are_the_ends() {
        for calibrator in all() {
            assert!(calibrator.apply_logit(f64::NAN).is_nan(), "{calibrator:?}");
            assert!(calibrator.apply_probability(f64::NAN).is_nan(), "{calibrator:?}");
            for z in [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1e300, -0.0] {
                let p = calibrator.apply_logit(z);
                assert!((0.0..=1.0).contains(&p), "{calibrator:?} at {z} gave {p}");
            }
            assert!(calibrator.apply_logit(f64::NEG_INFINITY) < calibrator.apply_logit(f64::INFINITY));
        }
        assert_eq!(Calibrator::Platt(Platt::new(0.0, 0.0).unwrap()).apply_logit(f64::INFINITY), 0.5);
    }

    #[test]
    fn a_logit_and_its_probability_give_the_same() {
        for calibrator in all() {
            for i in -200..=200 {
                let z = f64::from(i) * 0.05 + 0.01;
                let (a, b) = (calibrator.apply_logit(z), calibrator.apply_probability(sigmoid(z)));
                assert!((a - b).abs() < 1e-12, "{calibrator:?} at {z}: {a} and {b}");
            }
        }
    }

    #[test]
    fn order_is_told_truly() {
        for calibrator in all() {
            let values: Vec<f64> = (-800..=800).map(|i| calibrator.apply_logit(f64::from(i) * 0.01)).collect();
            let strict = values.windows(2).all(|v| v[0] < v[1]);
            assert_eq!(calibrator.is_strictly_increasing(), strict, "{calibrator:?}");
        }
        assert!(!Calibrator::Platt(Platt::new(-1.0, 0.0).unwrap()).is_strictly_increasing());
        assert!(!Calibrator::Beta(Beta::new(0.0, 0.0, 1.0).unwrap()).is_strictly_increasing());
        let tilted = Isotonic::new(vec![0.0, 0.5, 1.0], vec![0.1, 0.2, 0.3]).unwrap();
        assert!(Calibrator::Isotonic(tilted).is_strictly_increasing());
        let clipped = Isotonic::new(vec![0.1, 0.5, 1.0], vec![0.1, 0.2, 0.3]).unwrap();
        assert!(!Calibrator::Isotonic(clipped).is_strictly_increasing());
    }

    #[test]
    fn a_calibrator_tells_its_name_and_parameters() {
        let told: Vec<String> = all().iter().map(ToString::to_string).collect();
        let expected = [
            "identity",
            "platt (a = 0.900000, b = -0.200000)",
            "temperature (T = 1.300000)",
            "beta (a = 0.800000, b = 1.100000, c = -0.100000)",
            "isotonic (4 knots)",
            "histogram (3 bins)",
            "piecewise-linear (3 knots)",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn parameters_that_are_not_numbers_are_refused() {
        assert!(Platt::new(f64::NAN, 0.0).is_err());
        assert!(Platt::new(1.0, f64::INFINITY).is_err());
        assert!(Beta::new(1.0, f64::NAN, 0.0).is_err());
        for t in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Temperature::new(t).is_err(), "{t}");
        }
        let message = Temperature::new(-2.0).unwrap_err().message;
        assert!(message.contains("above 0") && message.contains("-2"), "{message}");
    }
}
