//! Which weight held-out rows have when models are chosen by them.

/// The most that a row counts where models are chosen, given the weights of all: √n times their mean.
///
/// One row that weighs as much as all others together says next to nothing of models, yet would choose between them.
/// Cut off there, weights come to mean what they say as rows grow in number, and the error of the mean loss is about the
/// least (Ionides, Truncated Importance Sampling, 2008). Equal weights are never cut off.
pub(super) fn heaviest(weights: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = weights.fold((0.0f64, 0.0), |(n, sum), weight| (n + 1.0, sum + weight));
    sum / n.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_decides_alone_and_equal_ones_count_in_full() {
        for n in [1, 2, 100, 10_000] {
            assert!(heaviest((0..n).map(|_| 3.0)) >= 3.0, "{n} rows");
        }
        let all = || (0..10_000).map(|i| if i == 7 { 10_000.0 } else { 1.0 });
        let most = heaviest(all());
        let share = most / all().map(|weight: f64| weight.min(most)).sum::<f64>();
        assert!(share < 0.03, "one row is {share} of all");
    }
}
