use super::*;
use crate::Labelled;
use crate::bins::ece;

const BINS: usize = 20;

/// Scores around a click rate of 2.3 %, or a given one.
fn scores(rows: usize, rate: f64, random: &mut ChaCha8Rng) -> Vec<f64> {
    let normal = |r: &mut ChaCha8Rng| (0..12).map(|_| r.random::<f64>()).sum::<f64>() - 6.0;
    (0..rows).map(|_| (rate * (0.9 * normal(random) - 0.405).exp()).min(0.9)).collect()
}

fn clicks(truth: &[f64], random: &mut ChaCha8Rng) -> Vec<bool> {
    truth.iter().map(|&p| random.random_bool(p)).collect()
}

/// The true root mean square of the gaps of the bins.
fn truth_of(scores: &[f64], truth: &[f64]) -> f64 {
    // Two weighted rows for each score, one clicked and one not, make the mean label of a bin its true rate.
    let twice: Vec<f64> = scores.iter().flat_map(|&p| [p, p]).collect();
    let labels: Vec<bool> = scores.iter().flat_map(|_| [true, false]).collect();
    let weights: Vec<f64> = truth.iter().flat_map(|&q| [q, 1.0 - q]).collect();
    let data = Labelled::new(&twice, &labels, Some(&weights)).unwrap();
    let spread = Spread::new(&data, BINS);
    let gaps = spread.bins().iter().map(|b| b.weight * (b.mean_score - b.mean_label).powi(2)).sum::<f64>();
    (gaps / data.total()).sqrt()
}

/// Returns how many of `runs` intervals contain the truth, and prints it. Each run has rows of its own.
fn covered(rows: usize, name: &str, off: impl Fn(f64) -> f64, runs: usize, seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut held, mut width, mut errors) = (0, 0.0, 0.0);
    for run in 0..runs {
        let scores = scores(rows, 0.023, &mut random);
        let truth: Vec<f64> = scores.iter().map(|&p| off(p).clamp(0.0, 0.95)).collect();
        let error = truth_of(&scores, &truth);
        errors += error;
        let labels = clicks(&truth, &mut random);
        let data = Labelled::new(&scores, &labels, None).unwrap();
        let interval = Chance::new(&Spread::new(&data, BINS), run as u64).interval();
        held += usize::from((interval.low..=interval.high).contains(&(error * (1.0 - 1e-9))));
        width += interval.high - interval.low;
    }
    let [share, error, width] = [100.0 * held as f64, errors, width].map(|sum| sum / runs as f64);
    println!("{rows} rows, {name}: error {error:.5}, covered {share:.1} %, mean width {width:.5}");
    held
}

/// A name, and the true probability as a function of the score.
type Miscalibration = (&'static str, fn(f64) -> f64);

/// Ways in which scores may be wrong.
fn errors() -> [Miscalibration; 8] {
    [
        ("perfect", |p| p),
        ("5 % over", |p| 0.95 * p),
        ("10 % under", |p| 1.1 * p),
        ("20 % over", |p| 0.8 * p),
        ("30 % over", |p| 0.7 * p),
        ("half the slope", |p| 0.15 * p.sqrt()),
        ("the top only", |p| if p > 0.09 { 2.0 * p } else { p }),
        ("up and down", |p| if ((p * 400.0) as usize).is_multiple_of(2) { 1.2 * p } else { 0.8 * p }),
    ]
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let mut all = 0;
    for (seed, (name, off)) in (0..).zip(errors()) {
        // 95 % of 50, minus three standard errors.
        let held = covered(3_000, name, off, 50, seed);
        assert!(held >= 42, "{name}: {held} of 50");
        all += held;
    }
    // All truths together: 93 to 97 %, plus or minus two standard errors.
    assert!((364..=395).contains(&all), "{all} of 400");
}

/// Whether a true error is in the interval. Runs the tests at this error, which is quicker than searching for the
/// ends.
fn holds(chance: &Chance, error: f64) -> bool {
    let tests = Tests::of(chance);
    let of_error = |gaps: &dyn Fn(f64) -> Vec<f64>| {
        let (mut low, mut high) = (0.0, 1.0);
        while chance.drawn(&chance.possible(&gaps(high))) < error && high < 1e9 {
            high *= 2.0;
        }
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            *(if chance.drawn(&chance.possible(&gaps(middle))) < error { &mut low } else { &mut high }) = middle;
        }
        chance.squares(&chance.possible(&gaps(if error > 0.0 { high } else { 0.0 })))
    };
    let like = of_error(&|size| tests.like(size));
    // The upper end is where the last of both kinds of errors would have shown more than was observed.
    let below = |squares: &[f64]| quantile(squares, tests.tails(squares)[1]) <= tests.observed;
    tests.is_low_enough(&like) && (below(&like) || below(&of_error(&|size| tests.hidden(size))))
}

fn check_coverage(rows: usize) {
    let runs = 500;
    let held = |(seed, (name, off)): (u64, Miscalibration)| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let held = (0..runs)
            .filter(|&run| {
                let scores = scores(rows, 0.023, &mut random);
                let truth: Vec<f64> = scores.iter().map(|&p| off(p).clamp(0.0, 0.95)).collect();
                let error = if name == "perfect" { 0.0 } else { truth_of(&scores, &truth) };
                let labels = clicks(&truth, &mut random);
                let data = Labelled::new(&scores, &labels, None).unwrap();
                holds(&Chance::new(&Spread::new(&data, BINS), run), error)
            })
            .count();
        println!("{rows} rows, {name}: covered {:.1} %", 100.0 * held as f64 / runs as f64);
        (name, held)
    };
    // Other seeds than those on which the tails were chosen.
    let all = (5_000..).zip(errors()).map(held);
    // 93 to 97 %, plus or minus two standard errors (docs/calibrate.md has the figures).
    let off: Vec<_> = all.filter(|(_, held)| !(455..=495).contains(held)).collect();
    assert!(off.is_empty(), "{rows} rows: {off:?} of {runs}");
}

#[test]
#[ignore = "long: some minutes; `make coverage`"]
fn coverage_of_3_000_rows_over_many_runs() {
    check_coverage(3_000);
}

#[test]
#[ignore = "long: some minutes; `make coverage`"]
fn coverage_of_10_000_rows_over_many_runs() {
    check_coverage(10_000);
}

#[test]
fn what_a_perfect_model_shows_is_simulated_right() {
    // At a click rate of 0.1 % the normal distribution would give 39 % too much.
    for (rows, rate) in [(1_000, 0.001), (4_000, 0.001), (1_000, 0.023), (4_000, 0.3)] {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let scores = scores(rows, rate, &mut random);
        let runs = 2000;
        let mut seen: Vec<f64> = (0..runs)
            .map(|_| {
                let labels = clicks(&scores, &mut random);
                ece(Spread::new(&Labelled::new(&scores, &labels, None).unwrap(), BINS).bins())
            })
            .collect();
        seen.sort_by(f64::total_cmp);
        let labels = clicks(&scores, &mut random);
        let data = Labelled::new(&scores, &labels, None).unwrap();
        let [mean, most] = Chance::new(&Spread::new(&data, BINS), 1).of_perfect();
        let expected = seen.iter().sum::<f64>() / f64::from(runs);
        println!("{rows} rows at {rate}: mean {mean:.6}, seen {expected:.6}; 95 %: {most:.6}, {:.6}", seen[1900]);
        assert!((mean / expected - 1.0).abs() < 0.03, "{rows} {rate}: {mean} {expected}");
        assert!((most / seen[1900] - 1.0).abs() < 0.06, "{rows} {rate}: {most} {}", seen[1900]);
    }
}

#[test]
fn ties_over_all_bins_are_one_draw() {
    // With one score the error is that of the mean, not that of 20 bins.
    let labels: Vec<bool> = (0..10_000).map(|i| i % 2 == 0).collect();
    let data = Labelled::new(&[0.5; 10_000], &labels, None).unwrap();
    let [mean, _] = Chance::new(&Spread::new(&data, BINS), 1).of_perfect();
    let expected = 0.5 * (std::f64::consts::FRAC_2_PI / 10_000.0).sqrt();
    assert!((mean / expected - 1.0).abs() < 0.08, "{mean} {expected}");
}

#[test]
fn the_error_without_noise_has_no_bias() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let scores = scores(5_000, 0.023, &mut random);
    let truth: Vec<f64> = scores.iter().map(|p| 0.6 * p).collect();
    let expected = truth_of(&scores, &truth);
    let runs = 200;
    let mean: f64 = (0..runs)
        .map(|_| {
            let labels = clicks(&truth, &mut random);
            let data = Labelled::new(&scores, &labels, None).unwrap();
            Chance::new(&Spread::new(&data, BINS), 1).root_mean_square() / f64::from(runs)
        })
        .sum();
    assert!((mean / expected - 1.0).abs() < 0.05, "{mean} {expected}");
}
