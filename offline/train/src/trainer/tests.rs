//! Training on rows whose click probabilities are known.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use adclick::builder::artifact::model::spec::{HeadKind, ModelSpec};
use adclick::builder::hash::mix;
use adclick_data::logs::{BadLimit, Format, InputColumn, InputKind, Labels, LogColumns, LogFiles};
use adclick_data::progress::Progress;
use tempfile::TempDir;

use super::loss::sigmoid;
use super::*;

fn columns(conversion: bool) -> LogColumns {
    let input =
        |name: &str, kind| InputColumn { name: name.to_owned(), column: name.to_owned(), kind, optional: false };
    LogColumns {
        click: "click".to_owned(),
        conversion: conversion.then(|| "sale".to_owned()),
        weight: None,
        time: None,
        inputs: vec![
            input("user", InputKind::Integer),
            input("ad", InputKind::Integer),
            input("price", InputKind::Number),
            input("tags", InputKind::Integers(b' ')),
        ],
        keys: Vec::new(),
    }
}

fn blueprint() -> Blueprint {
    let schema = r#"
        [labels]
        click = "click"
        [[features]]
        name = "user"
        source = "context"
        kind = "category"
        raw = "integer"
        embedding = { dim = 4, wide = true }
        [[features]]
        name = "ad"
        kind = "category"
        raw = "integer"
        embedding = { dim = 4, wide = true }
        [[features]]
        name = "price"
        kind = "number"
        [[features]]
        name = "tags"
        kind = "multi"
        raw = "integer"
        embedding = { dim = 4 }
    "#;
    Blueprint::given(&adclick_data::schema_file::SchemaFile::parse(schema).unwrap())
}

/// A uniform number in [0, 1), given a row and a purpose.
fn uniform(row: u64, purpose: u64) -> f64 {
    mix(mix(row) ^ purpose) as f64 / 2f64.powi(64)
}

/// The probability of a click. Users and ads of equal parity go together (an interaction that no sum of single effects
/// can express), and low prices and tag 3 help.
fn click_probability(user: u64, ad: u64, price: f64, tag: u64) -> f64 {
    let pair = if user % 2 == ad % 2 { 1.0 } else { -1.0 };
    sigmoid(-1.0 + 1.5 * pair - 0.8 * price + if tag == 3 { 0.7 } else { 0.0 })
}

struct Made {
    path: PathBuf,
    /// The mean log loss of the true probabilities.
    entropy: f64,
}

fn make(dir: &TempDir, name: &str, rows: u64, first: u64, users: u64) -> Made {
    let mut text = "user,ad,price,tags,click,sale\n".to_owned();
    let mut entropy = 0.0;
    for row in first..first + rows {
        let (user, ad, tag) = (mix(row) % users, mix(row + 1_000_000_007) % 10, mix(row + 77) % 5);
        let price = 2.0 * uniform(row, 1) - 1.0;
        let p = click_probability(user, ad, price, tag);
        let click = uniform(row, 2) < p;
        let sale = click && uniform(row, 3) < if ad < 5 { 0.6 } else { 0.2 };
        entropy -= p * p.ln() + (1.0 - p) * (1.0 - p).ln();
        let (click, sale) = (u8::from(click), u8::from(sale));
        writeln!(text, "{user},{ad},{price},{tag} 9,{click},{sale}").unwrap();
    }
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    Made { path, entropy: entropy / rows as f64 }
}

fn data(path: &Path, conversion: bool) -> Data {
    let source = LogFiles {
        paths: vec![path.to_owned()],
        format: Format::Examples(columns(conversion)),
        labels: Labels::Required,
        limit: BadLimit::Rows(0),
        tables: None,
    };
    Data { source, split: Split::HashRotation(0) }
}

fn train(config: &Config, data: &Data) -> Trained {
    fit(config, data, &blueprint(), None, &Progress::silent()).unwrap()
}

#[test]
fn a_planted_interaction_is_found() {
    let dir = TempDir::new().unwrap();
    let made = make(&dir, "rows.csv", 20_000, 0, 40);
    let trained = train(&Config::default(), &data(&made.path, false));
    let test = trained.test.unwrap();
    assert_eq!(trained.metrics.rows + trained.metrics.validation_rows + test.clicks.len() as u64, 20_000);
    assert!(
        test.loss < made.entropy + 0.015,
        "log loss {} is far from the entropy {} of the true probabilities",
        test.loss,
        made.entropy
    );
    let rate = test.clicks.iter().filter(|c| **c).count() as f64 / test.clicks.len() as f64;
    let base = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
    assert!(test.loss < base - 0.1, "log loss {} hardly beats the click rate's {base}", test.loss);
    // Without the network the interaction is invisible: only the cross layers can find the planted signal.
    let wide_only = Config { lr: Some(1e-9), lr_embedding: Some(1e-9), ..Config::default() };
    let wide = train(&wide_only, &data(&made.path, false)).test.unwrap();
    assert!(wide.loss > test.loss + 0.08, "the wide part alone reaches {}, everything {}", wide.loss, test.loss);
}

#[test]
fn the_same_seed_gives_the_same_model_streamed_or_not() {
    let dir = TempDir::new().unwrap();
    let made = make(&dir, "rows.csv", 3000, 0, 40);
    let data = data(&made.path, true);
    let config = Config { epochs: Some(2), ..Config::default() };
    let (a, b) = (train(&config, &data), train(&config, &data));
    assert_eq!(a.spec, b.spec);
    assert_eq!((&a.validation, &a.test), (&b.validation, &b.test));
    let bytes = |t: &Trained| adclick::builder::model::pack_model(&t.spec).unwrap();
    assert_eq!(bytes(&a), bytes(&b));
    let other = train(&Config { seed: 1, ..config.clone() }, &data);
    assert_ne!(a.spec.network, other.spec.network);
    // There are fewer rows than the shuffle buffer holds, so streaming sees the same piece.
    let streamed = train(&Config { memory_rows: Some(10), ..config }, &data);
    assert!(streamed.metrics.streamed && !a.metrics.streamed);
    assert_eq!(streamed.spec.network, a.spec.network);
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    let made = make(&dir, "rows.csv", 4000, 0, 40);
    let data = data(&made.path, true);
    let bytes = |threads, batch| {
        let config = Config { epochs: Some(2), batch, threads: Some(threads), ..Config::default() };
        adclick::builder::model::pack_model(&train(&config, &data).spec).unwrap()
    };
    for batch in [None, Some(900), Some(77)] {
        let one = bytes(1, batch);
        assert_eq!(one, bytes(2, batch), "two threads, batches of {batch:?}");
        assert_eq!(one, bytes(7, batch), "seven threads, batches of {batch:?}");
    }
}

#[test]
fn the_packed_model_says_what_the_trainer_said() {
    let dir = TempDir::new().unwrap();
    let made = make(&dir, "rows.csv", 3000, 0, 40);
    let config = Config { epochs: Some(3), refit: Some(false), ..Config::default() };
    let trained = train(&config, &data(&made.path, true));
    let bytes = adclick::builder::model::pack_model(&trained.spec).unwrap();
    let bytes = adclick::builder::artifact::Bytes::copy_of(&bytes).unwrap();
    let model = adclick::builder::artifact::model::Model::open(bytes).unwrap();
    assert_eq!(model.goldens().len(), 16);
    // The golden requests are the first validation rows; their logits were computed by serving's code from fp16.
    for (i, golden) in model.goldens().iter().enumerate() {
        let said = [trained.validation.click_logits[i], trained.validation.conversion_logits[i]];
        for (said, served) in said.iter().zip(&golden.expected) {
            assert!((said - served).abs() < 5e-3, "row {i}: trained {said}, served {served}");
        }
    }
    let names: Vec<&str> = model.histograms().iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["pctr", "pcvr", "price"]);
    let rows: u64 = model.histograms()[0].counts.iter().sum();
    assert_eq!(rows, trained.metrics.validation_rows);
    assert!(model.provenance().contains("validation_log_loss"), "{}", model.provenance());
}

#[test]
fn conversions_train_a_second_head() {
    let dir = TempDir::new().unwrap();
    let made = make(&dir, "rows.csv", 20_000, 0, 40);
    let trained = train(&Config::default(), &data(&made.path, true));
    let kinds: Vec<HeadKind> = trained.spec.network.heads.iter().map(|h| h.kind).collect();
    assert_eq!(kinds, [HeadKind::Ctr, HeadKind::Cvr]);
    let test = trained.test.unwrap();
    // Clicks on ads below 5 convert at 0.6, on others at 0.2. The head's mean over clicks matches the rate, and it
    // separates converted from unconverted clicks.
    let clicked = || (0..test.clicks.len()).filter(|&i| test.clicks[i]);
    let mean = |wanted: Option<bool>| {
        let of: Vec<f64> = clicked()
            .filter(|&i| wanted.is_none() || test.conversions[i] == wanted)
            .map(|i| sigmoid(test.conversion_logits[i]))
            .collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let rate = clicked().filter(|&i| test.conversions[i] == Some(true)).count() as f64 / clicked().count() as f64;
    assert!((mean(None) - rate).abs() < 0.04, "mean pCVR {} for a rate of {rate}", mean(None));
    assert!(mean(Some(true)) - mean(Some(false)) > 0.1, "{} and {}", mean(Some(true)), mean(Some(false)));
}

#[test]
fn downsampling_keeps_the_probabilities() {
    let dir = TempDir::new().unwrap();
    let made = make(&dir, "rows.csv", 20_000, 0, 40);
    let trained = train(&Config { downsample: Some(0.4), ..Config::default() }, &data(&made.path, true));
    assert!(trained.metrics.rows < 9500, "{} rows were kept", trained.metrics.rows);
    let test = trained.test.unwrap();
    let predicted: f64 = test.click_logits.iter().map(|&z| sigmoid(z)).sum();
    let clicks = test.clicks.iter().filter(|c| **c).count() as f64;
    assert!((predicted / clicks - 1.0).abs() < 0.06, "{predicted} clicks predicted, {clicks} happened");
}

#[test]
fn a_warm_start_grows_vocabularies_and_never_gets_worse() {
    let dir = TempDir::new().unwrap();
    let before = make(&dir, "before.csv", 10_000, 0, 40);
    let after = make(&dir, "after.csv", 10_000, 500_000, 60);
    let config = Config { epochs: Some(4), refit: Some(false), ..Config::default() };
    let first = train(&config, &data(&before.path, true));
    let warm_data = data(&after.path, true);
    let none = Config { epochs: Some(1), lr: Some(0.0), lr_embedding: Some(0.0), lr_wide: Some(0.0), ..config.clone() };
    let kept = fit(&none, &warm_data, &blueprint(), Some(&first.spec), &Progress::silent()).unwrap();
    let warm = fit(&config, &warm_data, &blueprint(), Some(&first.spec), &Progress::silent()).unwrap();
    assert!(warm.validation.loss <= kept.validation.loss, "{} from {}", warm.validation.loss, kept.validation.loss);
    let (old, new) = (&first.spec.embeddings[0].vocabulary, &warm.spec.embeddings[0].vocabulary);
    assert_eq!((old.len(), new.len()), (40, 60));
    assert_eq!(new[..40], old[..], "known ids keep their rows");
    let (old, new) = (&first.spec, &kept.spec);
    assert_eq!(old.embeddings[0].rows, new.embeddings[0].rows[..old.embeddings[0].rows.len()]);
    assert_eq!((&old.network.cross, &old.network.deep), (&new.network.cross, &new.network.deep), "a rate of 0");
    let weights = |spec: &ModelSpec| spec.network.heads.iter().map(|h| h.weight.clone()).collect::<Vec<_>>();
    assert_eq!(weights(old), weights(new), "the wide part and the biases alone move");
    assert_ne!(old.embeddings[1].wide, new.embeddings[1].wide, "the wide part is fitted to the new rows first");

    // One pass from the earlier model is worth no less than one from nothing, be the rows few or as many as before.
    let once = Config { epochs: Some(1), ..config.clone() };
    let [one, cold] = [Some(&first.spec), None]
        .map(|parent| fit(&once, &warm_data, &blueprint(), parent, &Progress::silent()).unwrap().validation.loss);
    assert!(one < cold, "one pass: {one} warm, {cold} cold");
    assert!(warm.validation.loss < cold, "{} warm, {cold} cold", warm.validation.loss);
    // What the first rows taught is worth most where new ones are few.
    let few = data(&make(&dir, "few.csv", 1_000, 700_000, 60).path, true);
    let [warm, cold] = [Some(&first.spec), None]
        .map(|parent| fit(&config, &few, &blueprint(), parent, &Progress::silent()).unwrap().validation.loss);
    assert!(warm < cold, "{warm} warm, {cold} cold");
    let mut other = blueprint();
    other.features.remove(3);
    let error = fit(&Config::default(), &warm_data, &other, Some(&first.spec), &Progress::silent()).unwrap_err();
    assert!(error.to_string().contains("tags"), "{error}");
}

/// Users with rates of their own and few rows each: every row more tells something.
fn few_rows_of_many_users(dir: &TempDir, name: &str, rows: std::ops::Range<u64>) -> PathBuf {
    let mut text = "user,ad,price,tags,click\n".to_owned();
    for row in rows {
        let (user, ad) = (row % 500, mix(row) % 10);
        let p = sigmoid(-1.5 + 4.0 * (uniform(user, 5) - 0.5) + 2.0 * (uniform(ad, 6) - 0.5));
        writeln!(text, "{user},{ad},0.5,1,{}", u8::from(uniform(row, 1) < p)).unwrap();
    }
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn validation_rows_train_once_they_have_chosen() {
    let dir = TempDir::new().unwrap();
    let path = few_rows_of_many_users(&dir, "rows.csv", 0..6000);
    let config = |refit| Config { refit: Some(refit), epochs: Some(6), ..Config::default() };
    let held = data(&path, false);
    let (apart, whole) = (train(&config(false), &held), train(&config(true), &held));
    let default = train(&Config { refit: None, ..config(true) }, &held);
    assert_eq!((&default.spec, &default.test), (&whole.spec, &whole.test), "so few rows all train by default");
    // What calibrators are fitted to is what the model says that has not seen these rows.
    assert_eq!(whole.validation, apart.validation);
    assert_eq!((whole.unseen.as_ref(), apart.unseen.as_ref()), (Some(&apart.spec), None));
    assert_eq!((&whole.spec.goldens, &whole.spec.histograms), (&apart.spec.goldens, &apart.spec.histograms));
    let (of, from) = (&whole.metrics, &apart.metrics);
    assert_eq!((of.refit_rows, from.refit_rows), (from.rows + from.validation_rows, 0));
    assert_eq!((of.rows, of.best_epoch, &of.network_shares), (from.rows, from.best_epoch, &from.network_shares));
    let losses = [&whole, &apart].map(|trained| trained.test.as_ref().unwrap().loss);
    assert!(losses[0] < losses[1] - 0.0005, "{} with a third more rows, {}", losses[0], losses[1]);
    // So it does with rows that validate in files of their own, whose malformed rows are known by then.
    let more = few_rows_of_many_users(&dir, "more.csv", 6000..9000);
    let mut text = std::fs::read_to_string(&more).unwrap();
    text.insert_str(text.find('\n').unwrap() + 1, "1,1,0.5,1,maybe\n");
    std::fs::write(&more, text).unwrap();
    let files = Data { source: LogFiles { limit: BadLimit::Rows(1), ..held.source }, split: Split::Files(vec![more]) };
    let of = train(&config(true), &files).metrics;
    assert_eq!((of.rows, of.validation_rows, of.refit_rows), (6000, 3000, 9000));
    // A warm start goes on from the earlier model both times.
    let Trained { spec, metrics, unseen, .. } =
        fit(&config(true), &files, &blueprint(), Some(&apart.spec), &Progress::silent()).unwrap();
    assert_eq!(metrics.refit_rows, if unseen.is_some() { 9000 } else { 0 });
    assert_eq!(spec.embeddings[0].vocabulary[..100], apart.spec.embeddings[0].vocabulary[..100]);
}

#[test]
fn rows_that_cannot_train_are_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("unclicked.csv");
    std::fs::write(&path, "user,ad,price,tags,click\n".to_owned() + &"1,2,0.5,3,0\n".repeat(50)).unwrap();
    let error = fit(&Config::default(), &data(&path, false), &blueprint(), None, &Progress::silent()).unwrap_err();
    assert!(error.to_string().contains("clicked"), "{error}");
    let by_day = Data { split: Split::DayTest, ..data(&path, false) };
    let error = fit(&Config::default(), &by_day, &blueprint(), None, &Progress::silent()).unwrap_err();
    assert!(error.to_string().contains("3 days"), "{error}");
}

/// Trains with each seed and split, and bounds the log loss of all test rows together. The bounds are what logistic
/// regression (Avazu) and a plain DCN-v2 (Criteo) reach on the same rows.
fn loss_on_real_rows(file: &str, format: &Format, fits: &[(u64, &str)], bound: f64) {
    let Ok(dir) = std::env::var("ADCLICK_DATA") else {
        println!("skipped: set ADCLICK_DATA to the folder of real logs");
        return;
    };
    let blueprint = Blueprint::of(format).unwrap();
    let (mut sum, mut rows) = (0.0, 0.0);
    for &(seed, split) in fits {
        let source = LogFiles::new(vec![Path::new(&dir).join(file)], format.clone());
        let data = Data { source, split: Split::experiment(split).unwrap() };
        let config = Config { seed, ..Config::default() };
        let test = fit(&config, &data, &blueprint, None, &Progress::silent()).unwrap().test.unwrap();
        sum += test.loss * test.clicks.len() as f64;
        rows += test.clicks.len() as f64;
    }
    let loss = sum / rows;
    println!("{file} by {}: log loss {loss:.4}, at most {bound}", fits[0].1);
    assert!(loss <= bound, "{file} by {}: log loss {loss:.4}, expected at most {bound}", fits[0].1);
}

/// Models trained of each split: two in `make test`, five in `make test-long`.
fn seeds() -> u64 {
    std::env::var("ADCLICK_SEEDS").map_or(2, |n| n.parse().unwrap())
}

/// Each fifth of the rows as test rows, with each seed.
fn rotations() -> Vec<(u64, &'static str)> {
    let fifths = ["hash:0", "hash:1", "hash:2", "hash:3", "hash:4"];
    (0..seeds()).flat_map(|seed| fifths.map(|fifth| (seed, fifth))).collect()
}

#[test]
fn accuracy_on_criteo_rows() {
    loss_on_real_rows("criteo-display-10k/train.tsv.gz", &Format::Criteo, &rotations(), 0.4589);
}

#[test]
fn accuracy_on_avazu_rows() {
    let file = "avazu-20k-10days/train.csv.gz";
    let last_day: Vec<_> = (0..seeds()).map(|seed| (seed, "day")).collect();
    loss_on_real_rows(file, &Format::Avazu, &last_day, 0.3937);
    loss_on_real_rows(file, &Format::Avazu, &rotations(), 0.4154);
}
