//! Calibrators given by points: isotonic knots and histogram bins.

use crate::error::{Error, Result};

/// A non-decreasing function of the probability: linear between knots, flat outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Isotonic {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Isotonic {
    /// Knots `(x, y)`, at least one: x strictly ascending, y not descending, both within [0, 1].
    ///
    /// # Errors
    /// Any of these conditions does not hold.
    pub fn new(x: Vec<f64>, y: Vec<f64>) -> Result<Self> {
        if x.is_empty() || x.len() != y.len() {
            return Err(Error::argument(format!(
                "isotonic knots: expected as many x as y and at least one, found {} x and {} y",
                x.len(),
                y.len()
            )));
        }
        shares("isotonic knot x", &x)?;
        shares("isotonic knot y", &y)?;
        ascending("isotonic knot x", &x, true)?;
        ascending("isotonic knot y", &y, false)?;
        Ok(Self { x, y })
    }

    /// The knots' probabilities before calibration.
    #[must_use]
    pub fn x(&self) -> &[f64] {
        &self.x
    }

    /// The knots' probabilities after calibration.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn y(&self) -> &[f64] {
        &self.y
    }

    pub(super) fn is_strictly_increasing(&self) -> bool {
        self.x.first() == Some(&0.0) && self.x.last() == Some(&1.0) && self.y.windows(2).all(|y| y[0] < y[1])
    }

    pub(super) fn apply(&self, p: f64) -> f64 {
        if p.is_nan() {
            return p;
        }
        // Knots 0..above are at or below p.
        let above = self.x.partition_point(|&x| x <= p);
        let below = above.saturating_sub(1);
        let (Some(&x0), Some(&y0)) = (self.x.get(below), self.y.get(below)) else { return f64::NAN };
        match (self.x.get(above), self.y.get(above)) {
            (Some(&x1), Some(&y1)) if above > 0 => {
                let share = (p - x0) / (x1 - x0);
                (y0 + share * (y1 - y0)).clamp(y0, y1)
            }
            _ => y0,
        }
    }
}

/// One value for each bin `[e_i, e_{i+1})` of the probability, the last bin closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    edges: Vec<f64>,
    values: Vec<f64>,
    is_monotone: bool,
}

impl Histogram {
    /// Edges from 0 to 1, not descending (a bin between equal edges is never used), and one value fewer; all within
    /// [0, 1].
    ///
    /// # Errors
    /// Any of these conditions does not hold.
    pub fn new(edges: Vec<f64>, values: Vec<f64>) -> Result<Self> {
        if values.is_empty() || edges.len() != values.len() + 1 {
            return Err(Error::argument(format!(
                "histogram: expected at least one value and one edge more than values, found {} edges and {} values",
                edges.len(),
                values.len()
            )));
        }
        shares("histogram edge", &edges)?;
        shares("histogram value", &values)?;
        ascending("histogram edge", &edges, false)?;
        if edges.first() != Some(&0.0) || edges.last() != Some(&1.0) {
            return Err(Error::argument(format!(
                "histogram edges must go from 0 to 1, found {:?} to {:?}",
                edges.first(),
                edges.last()
            )));
        }
        let is_monotone = values.is_sorted() || values.is_sorted_by(|a, b| a >= b);
        Ok(Self { edges, values, is_monotone })
    }

    /// The bins' edges.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The bins' calibrated probabilities.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub(super) fn apply(&self, p: f64) -> f64 {
        if p.is_nan() {
            return p;
        }
        self.values.get(self.bin(p)).copied().unwrap_or(f64::NAN)
    }

    fn bin(&self, p: f64) -> usize {
        self.edges.partition_point(|&e| e <= p).saturating_sub(1).min(self.values.len().saturating_sub(1))
    }

    /// Whether the values are monotonic, so that the values at two points bound those between them.
    pub(super) fn is_monotone(&self) -> bool {
        self.is_monotone
    }

    /// The least and the greatest value of the bins from `p`'s to `q`'s.
    pub(super) fn between(&self, p: f64, q: f64) -> [f64; 2] {
        let bins = self.values.get(self.bin(p)..=self.bin(q)).unwrap_or_default();
        bins.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &v| [low.min(v), high.max(v)])
    }
}

fn shares(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|v| !(0.0..=1.0).contains(v)) {
        None => Ok(()),
        Some(i) => Err(Error::argument(format!("{what} {i}: expected a number in [0, 1], found {}", values[i]))),
    }
}

fn ascending(what: &str, values: &[f64], strictly: bool) -> Result<()> {
    let bad = values.windows(2).position(|v| if strictly { v[1] <= v[0] } else { v[1] < v[0] });
    match bad {
        None => Ok(()),
        Some(i) => Err(Error::argument(format!(
            "{what} {}: expected {} than its predecessor {}, found {}",
            i + 1,
            if strictly { "more" } else { "no less" },
            values[i],
            values[i + 1]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotonic_is_linear_between_knots_and_flat_outside() {
        let curve = Isotonic::new(vec![0.2, 0.4, 0.8], vec![0.1, 0.1, 0.5]).unwrap();
        for (p, expected) in [(0.0, 0.1), (0.2, 0.1), (0.3, 0.1), (0.4, 0.1), (0.6, 0.3), (0.8, 0.5), (1.0, 0.5)] {
            assert!((curve.apply(p) - expected).abs() < 1e-15, "{p}");
        }
        assert_eq!(Isotonic::new(vec![0.2], vec![0.7]).unwrap().apply(0.9), 0.7);
        // Knots as close as f64 goes.
        let tiny = Isotonic::new(vec![0.0, f64::from_bits(1)], vec![0.0, 1.0]).unwrap();
        assert_eq!((tiny.apply(0.0), tiny.apply(f64::from_bits(1)), tiny.apply(1e-300)), (0.0, 1.0, 1.0));
    }

    #[test]
    fn histogram_bins_are_half_open_but_the_last() {
        let bins = Histogram::new(vec![0.0, 0.5, 0.5, 1.0], vec![0.1, 0.2, 0.3]).unwrap();
        for (p, expected) in [(-1.0, 0.1), (0.0, 0.1), (0.49, 0.1), (0.5, 0.3), (1.0, 0.3), (2.0, 0.3)] {
            assert_eq!(bins.apply(p), expected, "{p}");
        }
    }

    #[test]
    fn what_is_not_a_curve_is_refused_by_place() {
        let message = |r: Result<Isotonic>| r.unwrap_err().message;
        assert!(message(Isotonic::new(vec![], vec![])).contains("at least one"));
        assert!(message(Isotonic::new(vec![0.1], vec![0.1, 0.2])).contains("1 x and 2 y"));
        assert!(message(Isotonic::new(vec![0.1, 0.1], vec![0.1, 0.2])).contains("x 1"));
        assert!(message(Isotonic::new(vec![0.1, 0.2], vec![0.2, 0.1])).contains("y 1"));
        assert!(message(Isotonic::new(vec![0.1, f64::NAN], vec![0.2, 0.3])).contains("NaN"));
        assert!(message(Isotonic::new(vec![0.1, 0.2], vec![0.2, 1.1])).contains("1.1"));
        let message = |r: Result<Histogram>| r.unwrap_err().message;
        assert!(message(Histogram::new(vec![0.0], vec![])).contains("1 edges and 0 values"));
        assert!(message(Histogram::new(vec![0.1, 1.0], vec![0.5])).contains("from 0 to 1"));
        assert!(message(Histogram::new(vec![0.0, 0.6, 0.5, 1.0], vec![0.5; 3])).contains("edge 2"));
        assert!(message(Histogram::new(vec![0.0, 1.0], vec![f64::INFINITY])).contains("inf"));
    }
}
