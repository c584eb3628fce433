//! Two-sided tail probabilities of test statistics.

/// P(|Z| ≥ |z|) of a standard normal Z.
pub(super) fn normal(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// P(|T| ≥ |t|) of Student's T with `n` degrees of freedom, n ≥ 1, by the finite sums of Abramowitz and Stegun 26.7.3
/// and 26.7.4. Below 1e-15 it is 0.
pub(super) fn student(t: f64, n: u32) -> f64 {
    let angle = (t.abs() / f64::from(n).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let (mut term, mut sum) = (1.0, 0.0);
    // The sum's terms are products of j/(j+1), from 2/3 on for odd n and from 1/2 on for even n.
    let mut j = if n % 2 == 1 { 2.0 } else { 1.0 };
    for _ in 0..n / 2 {
        sum += term;
        term *= cos * cos * j / (j + 1.0);
        j += 2.0;
    }
    let inside = if n % 2 == 1 { (angle + sin * cos * sum) * std::f64::consts::FRAC_2_PI } else { sin * sum };
    (1.0 - inside).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        for (z, p) in [(0.0, 1.0), (1.959_963_984_540_054, 0.05), (-2.575_829_303_548_901, 0.01), (6.0, 1.973e-9)] {
            assert!((normal(z) / p - 1.0).abs() < 1e-3, "{z}: {}", normal(z));
        }
        for (t, n, p) in [
            (12.706_204_736, 1, 0.05),
            (4.302_652_730, 2, 0.05),
            (3.182_446_305, 3, 0.05),
            (2.093_024_054, 19, 0.05),
            (2.860_934_606, 19, 0.01),
            (2.845_339_710, 20, 0.01),
        ] {
            assert!((student(t, n) - p).abs() < 1e-9, "{t} {n}: {}", student(t, n));
        }
        assert_eq!((student(0.0, 19), student(f64::INFINITY, 19)), (1.0, 0.0));
    }
}
