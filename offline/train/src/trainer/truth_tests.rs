//! Training on rows whose truth is known, for cases that once went wrong in silence.

use std::fmt::Write;
use std::path::Path;

use adclick::builder::artifact::model::spec::HeadKind;
use adclick::builder::calibrate::Calibrators;
use adclick::builder::hash::mix;
use adclick::builder::schema::{Kind, Source as From};
use adclick_data::logs::{Format, LogFiles};
use adclick_data::progress::{JobStage, Progress};
use adclick_data::schema_file::SchemaFile;
use tempfile::TempDir;

use super::backprop::{Staged, Workspace};
use super::loss::sigmoid;
use super::*;
use crate::bundle::BundleParts;
use crate::kernel::Cpu;
use crate::rows::{RowScorer, open_engine};

/// A uniform number in [0, 1), given a row and a purpose.
fn uniform(row: u64, purpose: u64) -> f64 {
    mix(mix(row) ^ purpose) as f64 / 2f64.powi(64)
}

/// Rows written to a file, and the schema for reading them.
struct Case {
    dir: TempDir,
    schema: SchemaFile,
}

impl Case {
    fn new(schema: &str, rows: &str) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("rows.csv"), rows).unwrap();
        Self { dir, schema: SchemaFile::parse(schema).unwrap() }
    }

    fn data(&self, split: Split) -> Data {
        self.data_of(&self.dir.path().join("rows.csv"), split)
    }

    fn data_of(&self, path: &Path, split: Split) -> Data {
        let format = Format::Examples(self.schema.data_columns().unwrap());
        Data { source: LogFiles::new(vec![path.to_owned()], format), split }
    }

    fn blueprint(&self) -> Blueprint {
        Blueprint::given(&self.schema)
    }

    fn try_train(&self, config: &Config) -> anyhow::Result<Trained> {
        fit(config, &self.data(Split::HashRotation(0)), &self.blueprint(), None, &Progress::silent())
    }

    fn train(&self, config: &Config) -> Trained {
        self.try_train(config).unwrap()
    }
}

const AD: &str = "[[features]]\nname = \"ad\"\nkind = \"category\"\nraw = \"integer\"\nembedding = { dim = 4 }\n";

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let all: Vec<f64> = values.collect();
    all.iter().sum::<f64>() / all.len() as f64
}

fn auc(scores: &[f64], labels: &[bool], weights: &[f64]) -> f64 {
    let (mut right, mut all) = (0.0, 0.0);
    for (i, _) in labels.iter().enumerate().filter(|(_, y)| **y) {
        for (j, _) in labels.iter().enumerate().filter(|(_, y)| !**y) {
            let pair = weights[i] * weights[j];
            all += pair;
            right += pair * if scores[i] > scores[j] { 1.0 } else { 0.5 * f64::from(u8::from(scores[i] == scores[j])) };
        }
    }
    right / all
}

/// Clicks at 0.4 (even ads) or 0.2, conversions of clicks at 0.5 (ads below 5) or 0.25. A conversion is known with the
/// probability that `known` gives for the row's position among all.
fn conversions(rows: u64, timed: bool, known: impl Fn(f64) -> f64) -> Case {
    let mut text = "time,ad,click,sale\n".to_owned();
    for row in 0..rows {
        let ad = mix(row) % 10;
        let click = uniform(row, 2) < if ad.is_multiple_of(2) { 0.4 } else { 0.2 };
        let sale = click && uniform(row, 3) < if ad < 5 { 0.5 } else { 0.25 };
        let told = uniform(row, 4) < known(row as f64 / rows as f64);
        let sale = if click && !told { String::new() } else { u8::from(sale).to_string() };
        writeln!(text, "{},{ad},{},{sale}", 1_700_000_000 + row, u8::from(click)).unwrap();
    }
    let time = if timed { "time = \"time\"\n" } else { "" };
    Case::new(&format!("[labels]\nclick = \"click\"\nconversion = \"sale\"\n{time}{AD}"), &text)
}

/// The mean pCVR over all rows ÷ its truth, which is what bids depend on, for ads below 5 and for the others.
fn conversion_ratios(trained: &Trained) -> [f64; 2] {
    let test = trained.test.as_ref().unwrap();
    let ads: Vec<u64> = (0..u64::MAX)
        .filter(|row| matches!(crc32fast::hash(format!("0:{row}").as_bytes()) % 10, 0 | 1))
        .take(test.clicks.len())
        .map(|row| mix(row) % 10)
        .collect();
    [(true, 0.5), (false, 0.25)].map(|(low, truth)| {
        let of = ads.iter().zip(&test.conversion_logits).filter(|(ad, _)| (**ad < 5) == low);
        mean(of.map(|(_, z)| sigmoid(*z))) / truth
    })
}

/// Which labels are missing.
#[derive(Debug, Clone, Copy)]
enum Missing {
    AtRandom,
    /// The recent ones.
    ByAge,
    /// Random ones, with half of the unclicked rows left out.
    Downsampled,
}

fn check_pcvr(cases: &[(f64, Missing)]) {
    for &(share, what) in cases {
        let by_age = |place: f64| if place < 0.9 * share { 1.0 } else { 0.1 * share / (1.0 - 0.9 * share) };
        let (case, keep) = match what {
            Missing::AtRandom => (conversions(40_000, false, |_| share), None),
            Missing::ByAge => (conversions(40_000, true, by_age), None),
            Missing::Downsampled => (conversions(40_000, true, |_| share), Some(0.5)),
        };
        let trained = case.train(&Config { downsample: keep, epochs: Some(6), ..Config::default() });
        let ratios = conversion_ratios(&trained);
        // With few known clicks the two kinds of ads are shrunk together, but the overall mean must be right.
        let mean = (0.5 * ratios[0] + 0.25 * ratios[1]) / 0.75;
        assert!((mean - 1.0).abs() < 0.1, "{share} known {what:?}: predicted / true = {mean}, {ratios:?}");
        let all_near = ratios.iter().all(|ratio| (ratio - 1.0).abs() < 0.12);
        assert!(all_near || share < 0.2, "{share} known {what:?}: predicted / true = {ratios:?}");
        let known = trained.metrics.unknown_conversions as f64 / (0.3 * 24_000.0);
        assert!((known - (1.0 - share)).abs() < 0.05 || keep.is_some(), "{known} of the clicks are unknown");
    }
}

#[test]
fn pcvr_is_right_whatever_share_of_labels_is_known() {
    check_pcvr(&[(0.1, Missing::ByAge), (0.5, Missing::Downsampled), (0.9, Missing::AtRandom)]);
}

#[test]
#[ignore = "all nine cases take a minute; the command is in docs/train.md"]
fn pcvr_is_right_in_all_cases() {
    for share in [0.1, 0.5, 0.9] {
        check_pcvr(&[Missing::AtRandom, Missing::ByAge, Missing::Downsampled].map(|missing| (share, missing)));
    }
}

#[test]
fn clicks_alone_train_pcvr_alone() {
    let all = conversions(20_000, false, |_| 0.8);
    let path = all.dir.path().join("rows.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let clicked = |line: &&str| !line.contains(",0,") || line.starts_with("time");
    let kept: Vec<&str> = text.lines().filter(clicked).filter(|l| l.split(',').nth(2) != Some("0")).collect();
    std::fs::write(&path, kept.join("\n") + "\n").unwrap();
    let trained = all.train(&Config::default());
    assert_eq!(trained.metrics.heads, ["pCVR"]);
    assert_eq!(trained.spec.network.heads.iter().map(|h| h.kind).collect::<Vec<_>>(), [HeadKind::Cvr]);
    let test = trained.test.unwrap();
    assert!(test.click_logits.is_empty());
    let of = |wanted: bool| {
        let rows = (0..test.conversions.len()).filter(|&i| test.conversions[i] == Some(wanted));
        mean(rows.map(|i| sigmoid(test.conversion_logits[i])))
    };
    assert!(of(true) > of(false) + 0.03, "{} and {}", of(true), of(false));
    let rate = mean(test.conversions.iter().flatten().map(|&y| f64::from(u8::from(y))));
    let said = mean(test.conversion_logits.iter().map(|&z| sigmoid(z)));
    assert!((said - rate).abs() < 0.04, "{said} for {rate}");
    // Serving returns pCVR and no pCTR.
    let bundle = all.dir.path().join("bundle");
    let model = adclick::builder::model::pack_model(&trained.spec).unwrap();
    let (calibrators, tables) = (Calibrators::default(), Vec::new());
    BundleParts { model, model_file: None, calibrators, policy: None, precision: None, tables }
        .write(&bundle, false, false)
        .unwrap();
    let engine = open_engine(&bundle, None, None).unwrap();
    let source = all.data(Split::Hash).source;
    let mut scorer = RowScorer::new(&engine, &source.format.columns()).unwrap();
    let (mut served, mut rate) = (0.0, 0.0);
    source
        .for_each(&JobStage::silent(), |batch| {
            for row in batch.rows().iter().filter(|row| row.conversion.is_some()) {
                let score = scorer.score(batch, row)?;
                assert!(score.pctr.is_nan() && score.logit.is_nan(), "{score:?}");
                served += f64::from(score.cvr.unwrap().1);
                rate += f64::from(u8::from(row.conversion == Some(true)));
            }
            Ok(())
        })
        .unwrap();
    assert!((served / rate - 1.0).abs() < 0.1, "{served} conversions said, {rate} happened");
    // Without a conversion column there is nothing to learn.
    let schema = format!("[labels]\nclick = \"click\"\n{AD}");
    let error = Case::new(&schema, &std::fs::read_to_string(&path).unwrap()).try_train(&Config::default()).unwrap_err();
    assert!(format!("{error:#}").contains("`conversion` under [labels]"), "{error:#}");
}

/// Aggregated rows: for each ad and slot one row of clicks and one of the rest, 1 in 70 clicked; `scale` multiplies
/// all weights.
fn aggregated(scale: f64) -> Case {
    let mut text = "ad,x,click,w\n".to_owned();
    for row in 0..1500u64 {
        let ad = mix(row) % 8;
        let clicks = (1.0 + 4.0 * uniform(row, 1) + 4.0 * ad as f64).round();
        let x = uniform(row, 2);
        writeln!(text, "{ad},{x:.3},1,{}\n{ad},{x:.3},0,{}", clicks * scale, (1500.0 - clicks) * scale).unwrap();
    }
    let number = "[[features]]\nname = \"x\"\nkind = \"number\"\n";
    Case::new(&format!("[labels]\nclick = \"click\"\nweight = \"w\"\n{AD}{number}"), &text)
}

#[test]
fn weights_count_and_their_scale_does_not() {
    let config = Config { epochs: Some(5), ..Config::default() };
    let trained = aggregated(1.0).train(&config);
    let test = trained.test.as_ref().unwrap();
    let weights: Vec<f64> = test.weights.iter().map(|&w| w.into()).collect();
    let sum = |of: &dyn Fn(usize) -> f64| (0..weights.len()).map(|i| weights[i] * of(i)).sum::<f64>();
    let clicks = sum(&|i| f64::from(u8::from(test.clicks[i])));
    let said = sum(&|i| sigmoid(test.click_logits[i]));
    assert!((said / clicks - 1.0).abs() < 0.1, "{said} clicks predicted, {clicks} happened");
    assert!((trained.metrics.click_rate - 0.0113).abs() < 0.002, "{}", trained.metrics.click_rate);
    let area = auc(&test.click_logits, &test.clicks, &weights);
    assert!(area > 0.6, "AUC {area}");

    for scale in [1.0 / 64.0, 1.0 / 3.0, 1e-3, 12_345.678] {
        let scaled = aggregated(scale).train(&config);
        assert_eq!(scaled.spec.network, trained.spec.network, "weights × {scale}");
        assert_eq!(scaled.spec.embeddings, trained.spec.embeddings, "weights × {scale}");
    }
}

#[test]
fn rows_that_weigh_nothing_count_nothing() {
    let case = aggregated(1.0);
    let data = case.data(Split::Hash);
    let picker = store::Picker::new(&data, 1.0, 0, &Progress::silent()).unwrap();
    let stage = JobStage::silent();
    let mut seen = 0;
    let check = |batch: &adclick_data::logs::RowBatch| {
        for row in batch.rows() {
            assert!(picker.role(row).is_some());
            let mut weightless = row.clone();
            weightless.weight = 0.0;
            assert_eq!(picker.role(&weightless), None);
            seen += 1;
        }
        Ok(())
    };
    data.source.for_each(&stage, check).unwrap();
    assert_eq!(seen, 3000);
}

#[test]
fn times_are_standardised_and_counted() {
    let mut text = "time,click\n".to_owned();
    for row in 0..6000u64 {
        let hour = mix(row) % 24;
        let click = uniform(row, 1) < if hour < 6 { 0.5 } else { 0.1 };
        writeln!(text, "{},{}", 1_700_006_400 + 86_400 * (row % 9) + 3600 * hour, u8::from(click)).unwrap();
    }
    let feature = |name: &str, rest: &str| format!("[[features]]\nname = \"{name}\"\nsource = \"time\"\n{rest}\n");
    let schema = "[labels]\nclick = \"click\"\ntime = \"time\"\n".to_owned()
        + &feature("hour", "kind = \"number\"")
        + &feature("hours", "kind = \"category\"\ninput = \"hour\"\nembedding = { dim = 4 }")
        + &feature("given", "kind = \"number\"\ninput = \"hour\"\ntransform = { mean = 12.0, scale = 7.0 }");
    let trained = Case::new(&schema, &text).train(&Config::default());
    let features = &trained.spec.schema.features;
    assert!(features.iter().all(|f| f.source == From::Time));
    let Kind::Number { transform, .. } = &features[0].kind else { panic!("{:?}", features[0]) };
    assert!((transform.mean - 11.5).abs() < 0.3 && (transform.scale - 6.92).abs() < 0.2, "{transform:?}");
    let Kind::Number { transform, .. } = &features[2].kind else { panic!("{:?}", features[2]) };
    assert_eq!((transform.mean, transform.scale), (12.0, 7.0));
    let mut hours = trained.spec.embeddings[0].vocabulary.clone();
    hours.sort_unstable();
    assert_eq!(hours, (0..24).collect::<Vec<u64>>());
    assert!(trained.test.unwrap().loss < 0.46);
}

#[test]
fn one_wild_number_is_cut_off_or_named() {
    let rows = |wild: &str| {
        let mut text = "x,click\n".to_owned();
        for row in 0..4000u64 {
            let x = uniform(row, 1);
            let shown = if row == 1234 { wild.to_owned() } else { format!("{x:.4}") };
            writeln!(text, "{shown},{}", u8::from(uniform(row, 2) < x)).unwrap();
        }
        text
    };
    let schema = "[labels]\nclick = \"click\"\n[[features]]\nname = \"x\"\nkind = \"number\"\n";
    let [tame, wild] =
        ["0.5", "1e30"].map(|x| Case::new(schema, &rows(x)).train(&Config::default()).test.unwrap().loss);
    assert!((tame - wild).abs() < 0.005, "log loss {tame} without and {wild} with one value of 1e30");
    // A transform given by the schema is used as it is.
    let given = format!("{schema}transform = {{ mean = 0.5, scale = 0.3 }}\n");
    let error = Case::new(&given, &rows("1e30")).try_train(&Config::default()).unwrap_err().to_string();
    assert!(error.contains("diverged") && error.contains("feature `x`") && error.contains("row 1234"), "{error}");
}

/// Users whose ids all occur ten times, or all but some once; half of the test ids are new.
fn users(rare: bool) -> Case {
    let mut text = "user,click\n".to_owned();
    for row in 0..10_000u64 {
        let user = if rare && row.is_multiple_of(5) { 100_000 + row } else { row % 500 };
        let click = uniform(row, 1) < if user >= 100_000 { 0.05 } else { 0.1 + 0.4 * uniform(user, 7) };
        writeln!(text, "{user},{}", u8::from(click)).unwrap();
    }
    let schema = "[labels]\nclick = \"click\"\n[[features]]\nname = \"user\"\nkind = \"category\"\nraw = \"integer\"\n\
                  embedding = { dim = 4 }\n";
    Case::new(schema, &text)
}

#[test]
fn new_ids_are_served_by_a_row_that_was_trained() {
    for (rare, rate) in [(true, 0.05), (false, 0.3)] {
        let case = users(rare);
        let path = case.dir.path().join("new.csv");
        let new: String = (0..2000).map(|i| format!("{},{}\n", 900_000 + i, i % 2)).collect();
        std::fs::write(&path, "user,click\n".to_owned() + &new).unwrap();
        let trained = case.train(&Config::default());
        assert!(trained.spec.schema.embeddings[0].wide, "ids are in the wide part unless the schema says otherwise");
        assert_eq!(trained.spec.embeddings[0].vocabulary.len(), if rare { 400 } else { 500 });
        let mut inputs = TrainingInputs::new(&trained.spec, &case.data(Split::Hash).source).unwrap();
        let source = case.data_of(&path, Split::Hash).source;
        let mut rows = Vec::new();
        source
            .for_each(&JobStage::silent(), |batch| {
                rows.push(inputs.of(batch, &batch.rows()[0]));
                Ok(())
            })
            .unwrap();
        let wide = f64::from(trained.spec.embeddings[0].wide[0]);
        let (shape, params) = network::Shape::from_spec(&trained.spec.network, rows[0].len()).unwrap();
        let staged = Staged::new(&shape, &params, Cpu::best());
        let mut workspace = Workspace::new(&staged);
        workspace.x[0][..rows[0].len()].copy_from_slice(&rows[0]);
        workspace.forward(&staged, 1, None);
        let z = f64::from(workspace.logits[0]) + wide;
        let ratio = sigmoid(z) / rate;
        assert!((ratio - 1.0).abs() < 0.3, "rare ids: {rare}; calibration ratio of new ids {ratio}");
    }
}

#[test]
fn options_win_over_the_schema_or_are_refused() {
    let case = users(true);
    let config = |config: Config| Config { epochs: Some(1), ..config };
    let table = |c: Config| case.train(&config(c)).spec.schema.embeddings[0].clone();
    assert_eq!(table(Config::default()).index.count(), 400);
    assert!(table(Config { min_count: Some(1), ..Config::default() }).index.count() > 1500);
    assert_eq!(table(Config { dim: Some(6), ..Config::default() }).dim, 6);
    let hashed = table(Config { hash_buckets: Some(64), ..Config::default() });
    assert_eq!(hashed.index, adclick::builder::schema::Index::Hashed { buckets: 64 });
    let numbers = "[labels]\nclick = \"click\"\n[[features]]\nname = \"user\"\nkind = \"number\"\n";
    let text = std::fs::read_to_string(case.dir.path().join("rows.csv")).unwrap();
    let numbers = Case::new(numbers, &text);
    for (what, c) in [
        ("least count", Config { min_count: Some(3), ..Config::default() }),
        ("buckets", Config { hash_buckets: Some(3), ..Config::default() }),
        ("width", Config { dim: Some(3), ..Config::default() }),
    ] {
        let error = numbers.try_train(&config(c)).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_warm_start_leaves_alone_what_it_does_not_see() {
    let case = users(false);
    let config = Config { epochs: Some(3), ..Config::default() };
    let first = case.train(&config);
    // Only the rows of the first hundred users.
    let path = case.dir.path().join("later.csv");
    let text = std::fs::read_to_string(case.dir.path().join("rows.csv")).unwrap();
    let few = |line: &&str| line.split(',').next().and_then(|id| id.parse().ok()).is_none_or(|id: u64| id < 100);
    std::fs::write(&path, text.lines().filter(few).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let data = case.data_of(&path, Split::HashRotation(0));
    let mut spec = first.spec.clone();
    for seed in 0..3 {
        let config = Config { seed, lr_embedding: Some(0.1), ..config.clone() };
        spec = fit(&config, &data, &case.blueprint(), Some(&spec), &Progress::silent()).unwrap().spec;
    }
    let (before, after) = (&first.spec.embeddings[0], &spec.embeddings[0]);
    assert_eq!(before.vocabulary, after.vocabulary);
    let skip = first.spec.schema.embeddings[0].first_row() as usize;
    let mut moved = 0;
    for (row, &id) in before.vocabulary.iter().enumerate().map(|(i, id)| (i + skip, id)) {
        let of =
            |e: &adclick::builder::artifact::model::spec::EmbeddingSpec| (e.rows[row * 4..][..4].to_vec(), e.wide[row]);
        if id >= 100 {
            assert_eq!(of(before), of(after), "user {id} was in no row");
        } else {
            moved += usize::from(of(before) != of(after));
        }
    }
    assert!(
        moved > 0 || spec.embeddings == first.spec.embeddings,
        "either the earlier model stays or its ids are learnt"
    );
}

#[test]
fn held_out_rows_are_a_sample_of_all() {
    let case = users(true);
    let data = case.data(Split::Hash);
    let spec = case.train(&Config { epochs: Some(1), ..Config::default() }).spec;
    let vocabularies: Vec<Vec<u64>> = spec.embeddings.iter().map(|e| e.vocabulary.clone()).collect();
    let mut encoder = encode::Encoder::new(&spec.schema, &vocabularies, &data.source).unwrap();
    let (mut all, mut some) = (store::HeldOut::new(usize::MAX), store::HeldOut::new(1000));
    data.source
        .for_each(&JobStage::silent(), |batch| {
            for row in batch.rows() {
                all.add(&mut encoder, batch, row);
                some.add(&mut encoder, batch, row);
            }
            Ok(())
        })
        .unwrap();
    let numbers: Vec<u64> = some.numbers().collect();
    let half = numbers.iter().filter(|&&n| n < 5000).count() as f64 / numbers.len() as f64;
    assert!((500..=1000).contains(&numbers.len()) && (half - 0.5).abs() < 0.06, "{} rows, {half}", numbers.len());
    let (all, some) = (all.finish(), some.finish());
    assert_eq!((all.len(), some.len()), (10_000, numbers.len()));
    for (at, &number) in numbers.iter().enumerate() {
        assert_eq!(some.singles[at], all.singles[number as usize]);
        assert_eq!(some.labels[at].click, all.labels[number as usize].click);
    }
}

/// 600 users with rates of their own, eight to ten rows each: enough only for shrunken sums of single effects. The row
/// `heavy` weighs half as much as all others together. Also returns the entropy of the labels given the truth.
fn users_and_ads(heavy: Option<u64>) -> (Case, f64) {
    let mut text = "user,ad,click,w\n".to_owned();
    let (mut entropy, mut rows) = (0.0, 0.0);
    for row in 0..6000u64 {
        let (user, ad) = (row % 600, mix(row) % 10);
        let p = sigmoid(-2.0 + 3.0 * (uniform(user, 5) - 0.5) + 3.0 * (uniform(ad, 6) - 0.5));
        entropy -= p * p.ln() + (1.0 - p) * (1.0 - p).ln();
        rows += 1.0;
        let weight = if heavy == Some(row) { 3000 } else { 1 };
        writeln!(text, "{user},{ad},{},{weight}", u8::from(uniform(row, 1) < p)).unwrap();
    }
    let user = AD.replace("\"ad\"", "\"user\"");
    let schema = format!("[labels]\nclick = \"click\"\nweight = \"w\"\n{AD}{user}");
    (Case::new(&schema, &text), entropy / rows)
}

/// How much a model knows beyond the click rate, as a share of all there is to know.
fn known(test: &HeldOutScores, entropy: f64) -> f64 {
    let rate = test.clicks.iter().filter(|c| **c).count() as f64 / test.clicks.len() as f64;
    let constant = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
    (constant - test.loss) / (constant - entropy)
}

#[test]
fn the_wide_part_carries_what_ids_alone_say() {
    let (case, entropy) = users_and_ads(None);
    let trained = case.train(&Config::default());
    let known = known(trained.test.as_ref().unwrap(), entropy);
    assert!(known > 0.3, "{known} of what there is to know beyond the click rate");
    assert!(trained.metrics.network_shares[0] < 1.0, "{:?}", trained.metrics.network_shares);
}

/// Clicks that fall in the middle of a number's range: no weight on the number itself can express that.
#[test]
fn the_wide_part_reads_numbers() {
    let mut text = "x,click\n".to_owned();
    let p = |x: f64| -> f64 { if (0.3..0.5).contains(&x) { 0.5 } else { 0.1 } };
    let (rows, mut entropy) = (4000u64, 0.0);
    for row in 0..rows {
        let x = uniform(row, 1);
        let p = p(x);
        entropy -= (p * p.ln() + (1.0 - p) * (1.0 - p).ln()) / rows as f64;
        writeln!(text, "{x:.5},{}", u8::from(uniform(row, 2) < p)).unwrap();
    }
    let schema = "[labels]\nclick = \"click\"\n[[features]]\nname = \"x\"\nkind = \"number\"\n";
    let case = Case::new(schema, &text);
    // A network that cannot learn leaves everything to the wide part.
    let still = Config { lr: Some(1e-9), lr_embedding: Some(1e-9), epochs: Some(2), ..Config::default() };
    let trained = case.train(&still);
    let features = &trained.spec.schema.features;
    let Kind::Category { embedding, boundaries, .. } = &features[1].kind else { panic!("{features:?}") };
    assert_eq!((features[1].name.as_str(), features[1].input.as_str()), ("x_bucket", "x"));
    assert!(boundaries.len() > 5, "{boundaries:?}");
    assert_eq!(trained.spec.schema.embeddings[*embedding as usize].dim, 0, "for the wide part alone");
    let known = known(trained.test.as_ref().unwrap(), entropy);
    assert!(known > 0.5, "{known} of what there is to know");
    // A model from before continues without.
    let uncut = fit(
        &Config { wide: Some(false), epochs: Some(1), ..Config::default() },
        &case.data(Split::HashRotation(0)),
        &case.blueprint(),
        None,
        &Progress::silent(),
    )
    .unwrap();
    assert_eq!(uncut.spec.schema.features.len(), 1);
    let (data, config) = (case.data(Split::HashRotation(0)), Config { epochs: Some(1), ..Config::default() });
    for parent in [&uncut, &trained] {
        let warm = fit(&config, &data, &case.blueprint(), Some(&parent.spec), &Progress::silent()).unwrap();
        assert_eq!(warm.spec.schema, parent.spec.schema);
    }
}

#[test]
fn one_heavy_row_neither_chooses_nor_spoils_the_model() {
    // Unclicked and clicked validation rows, and some training rows.
    for (folds, click) in [(2..4, false), (2..4, true), (4..10, false), (4..10, true)] {
        let in_folds = |row: u64| folds.contains(&(crc32fast::hash(format!("0:{row}").as_bytes()) % 10));
        let (plain, entropy) = users_and_ads(None);
        let clicked: Vec<bool> = std::fs::read_to_string(plain.dir.path().join("rows.csv"))
            .unwrap()
            .lines()
            .skip(1)
            .map(|line| line.ends_with(",1,1"))
            .collect();
        let heavy = (0..6000).find(|&row| in_folds(row) && clicked[row as usize] == click).unwrap();
        let trained = users_and_ads(Some(heavy)).0.train(&Config::default());
        let known = known(trained.test.as_ref().unwrap(), entropy);
        println!("row {heavy} in folds {folds:?}, clicked {click}: {known}, {:?}", trained.metrics.network_shares);
        assert!(known > 0.2, "row {heavy} in folds {folds:?}, clicked {click}: {known} of what there is to know");
    }
}
