//! The weight of held-out rows when models are compared.

/// The greatest weight of a row when models are compared, given all weights: √n times their mean.
///
/// A row that outweighs all others together is little evidence about models, yet it would decide between them. With
/// this cap the weights approach their full effect as the number of rows grows, and the error of the mean loss is near
/// its minimum (Ionides, Truncated Importance Sampling, 2008). Equal weights are never capped.
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
