//! L-BFGS: the minimum of a smooth function of many variables.

/// The number of pairs of steps and gradient changes that are kept.
const MEMORY: usize = 8;
/// How often a step that does not descend is halved.
const HALVINGS: usize = 20;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A step, the change of the gradient over it, and the reciprocal of their dot product.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    rho: f64,
}

/// The direction of descent by the two-loop recursion (Nocedal 1980).
fn direction(gradient: &[f64], pairs: &[Pair]) -> Vec<f64> {
    let mut d: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let alpha = pair.rho * dot(&pair.step, &d);
        d.iter_mut().zip(&pair.change).for_each(|(d, y)| *d -= alpha * y);
        alphas.push(alpha);
    }
    if let Some(last) = pairs.last() {
        let scale = 1.0 / (last.rho * dot(&last.change, &last.change));
        d.iter_mut().for_each(|d| *d *= scale);
    }
    for (pair, alpha) in pairs.iter().zip(alphas.iter().rev()) {
        let beta = pair.rho * dot(&pair.change, &d);
        d.iter_mut().zip(&pair.step).for_each(|(d, s)| *d += (alpha - beta) * s);
    }
    d
}

/// Minimises a function from `x` in at most `steps` steps, or until a step gains less than `tolerance` of the value.
/// `value` returns the function's value and gradient.
pub(super) fn minimise(
    x: &mut Vec<f64>,
    steps: usize,
    tolerance: f64,
    mut value: impl FnMut(&[f64]) -> (f64, Vec<f64>),
) {
    let (mut here, mut gradient) = value(x);
    let mut pairs: Vec<Pair> = Vec::new();
    for _ in 0..steps {
        let d = direction(&gradient, &pairs);
        let slope = dot(&gradient, &d);
        if slope >= 0.0 || slope.is_nan() {
            return;
        }
        // The variables are scaled, so an initial curvature of 1 is a good guess.
        let mut length = 1.0;
        let mut found = None;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = x.iter().zip(&d).map(|(x, d)| x + length * d).collect();
            let (there, gradient) = value(&next);
            if there <= here + 1e-4 * length * slope {
                found = Some((next, there, gradient));
                break;
            }
            length *= 0.5;
        }
        let Some((next, there, next_gradient)) = found else { return };
        let step: Vec<f64> = next.iter().zip(x.iter()).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let product = dot(&step, &change);
        if product > 0.0 {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push(Pair { step, change, rho: 1.0 / product });
        }
        let gain = here - there;
        (*x, here, gradient) = (next, there, next_gradient);
        if gain <= tolerance * here.abs() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_of_a_long_valley_is_found() {
        // Σ i·(x_i − i)², curvatures from 1 to 50.
        let mut x = vec![0.0; 50];
        minimise(&mut x, 500, 1e-15, |x| {
            let scale = |i: usize| (i + 1) as f64;
            let off = |i: usize| x[i] - scale(i);
            let value = (0..x.len()).map(|i| scale(i) * off(i) * off(i)).sum();
            (value, (0..x.len()).map(|i| 2.0 * scale(i) * off(i)).collect())
        });
        for (i, x) in x.iter().enumerate() {
            assert!((x - (i + 1) as f64).abs() < 1e-5, "{i}: {x}");
        }
    }
}
