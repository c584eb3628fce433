//! Metrics, fitted calibrators and their application against scikit-learn, betacal and exact optima.

use std::path::PathBuf;

use adclick::builder::calibrate::{
    Beta, Calibrator, HeadCalibrator, Histogram, Isotonic, Platt, Temperature, correct_downsampling, logit, sigmoid,
};
use adclick_measure::{Labelled, bins, loss, rank};
use adclick_train::calibrators::logistic::{Observation, minimise};
use adclick_train::calibrators::{
    Sample, Targets, beta, histogram_quantile, histogram_uniform, isotonic, platt, temperature,
};
use serde_json::Value;

fn directory() -> PathBuf {
    let root = std::env::var_os("ADCLICK_GOLDEN")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")), PathBuf::from);
    root.join("calibration")
}

fn read_json(name: &str) -> Value {
    let path = directory().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A number, also one that JSON cannot hold; null is NaN.
fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            other => panic!("not a number: {other}"),
        },
        Value::Null => f64::NAN,
        value => value.as_f64().unwrap_or_else(|| panic!("not a number: {value}")),
    }
}

/// A list of numbers, flat; `null` is no list.
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}")).iter().map(number).collect()
}

/// A list of lists, one after the other.
fn rows(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().flat_map(numbers).collect()
}

#[track_caller]
fn assert_close(got: f64, expected: f64, tolerance: f64, what: &str) {
    // Absolute below 1, relative above.
    let close = got == expected
        || (got.is_nan() && expected.is_nan())
        || (got - expected).abs() <= tolerance * expected.abs().max(1.0);
    assert!(close, "{what}: expected {expected:e}, got {got:e}");
}

#[track_caller]
fn assert_all_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        assert_close(g, e, tolerance, &format!("{what} [{i}]"));
    }
}

fn apply(calibrator: &Calibrator, scores: &[f64]) -> Vec<f64> {
    scores.iter().map(|&p| calibrator.apply_probability(p)).collect()
}

struct Case {
    name: String,
    scores: Vec<f64>,
    labels: Vec<bool>,
    weights: Option<Vec<f64>>,
    grid: Vec<f64>,
    tolerance: f64,
    json: Value,
}

impl Case {
    fn all() -> Vec<Self> {
        let file = read_json("cases.json");
        assert_eq!(number(&file["logit_clip"]), adclick::builder::calibrate::LOGIT_CLIP);
        let cases: Vec<Self> = file["cases"].as_array().unwrap().iter().map(Self::read).collect();
        assert!(!cases.is_empty());
        cases
    }

    fn read(json: &Value) -> Self {
        Self {
            name: json["name"].as_str().unwrap().to_owned(),
            scores: numbers(&json["y_pred"]),
            labels: numbers(&json["y_true"]).iter().map(|&y| y > 0.5).collect(),
            weights: (!json["weight"].is_null()).then(|| numbers(&json["weight"])),
            grid: numbers(&json["grid"]),
            tolerance: if json["dtype"] == "float32" { 1e-6 } else { 1e-12 },
            json: json.clone(),
        }
    }

    fn logits(&self) -> Vec<f64> {
        self.scores.iter().map(|&p| logit(p)).collect()
    }

    fn sample<'a>(&'a self, x: &'a [f64]) -> Sample<'a> {
        Sample::new(x, &self.labels, self.weights.as_deref()).unwrap()
    }

    fn unweighted(&self) -> Labelled<'_> {
        Labelled::new(&self.scores, &self.labels, None).unwrap()
    }

    /// What the reference says of a calibrator: none where it is left out or failed.
    fn calibrator(&self, name: &str) -> Option<&Value> {
        self.json["calibrators"].get(name).filter(|c| c.get("error").is_none())
    }

    /// One value for each score, or the same for all.
    fn at_scores(&self, value: &Value) -> Vec<f64> {
        if value.is_array() { numbers(value) } else { vec![number(value); self.scores.len()] }
    }
}

fn check_metrics(metrics: &Value, data: &Labelled, tolerance: f64, name: &str) {
    let order = rank::ranking(data);
    for (metric, got) in [
        ("log_loss", loss::log_loss(data)),
        ("ne", loss::normalised_entropy(data)),
        ("brier", loss::brier(data)),
        ("calibration_ratio", loss::calibration_ratio(data)),
        ("auc", order.auc),
        ("average_precision", order.average_precision),
        ("pr_auc_trapezoid", order.pr_auc_trapezoid),
    ] {
        assert_close(got, number(&metrics[metric]), tolerance, &format!("{name}: {metric}"));
    }
    type Binning = fn(&Labelled, usize) -> Vec<bins::Bin>;
    type Error = fn(&[bins::Bin]) -> f64;
    let errors: [(&str, Binning, Error); 5] = [
        ("ece_uniform_last_bin_closed", bins::uniform, bins::ece),
        ("mce_uniform_last_bin_closed", bins::uniform, bins::mce),
        ("ece_equal_mass_rank", bins::equal_mass_by_rank, bins::ece),
        ("mce_equal_mass_rank", bins::equal_mass_by_rank, bins::mce),
        ("ece_equal_mass_quantile_edges", bins::equal_mass_by_quantile, bins::ece),
    ];
    for (metric, binning, error) in errors {
        for (n, expected) in metrics[metric].as_object().unwrap() {
            let got = error(&binning(data, n.parse().unwrap()));
            assert_close(got, number(expected), tolerance, &format!("{name}: {metric} {n}"));
        }
    }
}

#[test]
fn golden_metrics() {
    for case in Case::all() {
        // The reference's plain metrics do not regard weights.
        let metrics = &case.json["metrics"];
        check_metrics(metrics, &case.unweighted(), case.tolerance, &case.name);
        if let Some(expected) = metrics.get("weighted") {
            let data = Labelled::new(&case.scores, &case.labels, case.weights.as_deref()).unwrap();
            let order = rank::ranking(&data);
            for (metric, got) in [
                ("log_loss", loss::log_loss(&data)),
                ("ne", loss::normalised_entropy(&data)),
                ("brier", loss::brier(&data)),
                ("auc", order.auc),
                ("average_precision", order.average_precision),
            ] {
                assert_close(got, number(&expected[metric]), 1e-12, &format!("{}: weighted {metric}", case.name));
            }
        }
    }
}

#[test]
fn golden_bins() {
    for case in Case::all() {
        let (data, metrics) = (case.unweighted(), &case.json["metrics"]);
        let uniform = bins::uniform(&data, 10);
        let got: Vec<f64> =
            uniform.iter().flat_map(|b| [b.lo, b.hi, b.rows as f64, b.mean_score, b.mean_label]).collect();
        let expected = rows(&metrics["bins_uniform_10_last_closed"]);
        assert_all_close(&got, &expected, case.tolerance, &format!("{}: uniform", case.name));
        let mass = bins::equal_mass_by_rank(&data, 10);
        let got: Vec<f64> = mass.iter().flat_map(|b| [b.rows as f64, b.mean_score, b.mean_label]).collect();
        let expected = rows(&metrics["bins_equal_mass_rank_10"]);
        assert_all_close(&got, &expected, case.tolerance, &format!("{}: by rank", case.name));
        let quantile = bins::equal_mass_by_quantile(&data, 10);
        let filled = || quantile.iter().filter(|b| b.rows > 0);
        let got: Vec<f64> = filled().map(|b| b.mean_label).chain(filled().map(|b| b.mean_score)).collect();
        let expected = rows(&metrics["sklearn_calibration_curve"]["quantile"]);
        assert_all_close(&got, &expected, case.tolerance, &format!("{}: quantiles", case.name));
    }
}

#[test]
fn golden_auc_with_ties() {
    for (i, case) in read_json("auc_ties.json").as_array().unwrap().iter().enumerate() {
        let labels: Vec<bool> = numbers(&case["label"]).iter().map(|&y| y > 0.5).collect();
        let scores = numbers(&case["score"]);
        let order = rank::ranking(&Labelled::ranked(&scores, &labels, None).unwrap());
        assert_close(order.auc, number(&case["auc"]), 1e-12, &format!("AUC {i}"));
        assert_close(order.average_precision, number(&case["average_precision"]), 1e-12, &format!("AP {i}"));
    }
}

#[test]
fn golden_downsampling() {
    for row in read_json("downsampling.json")["rows"].as_array().unwrap() {
        let (p, w, expected) = (number(&row["p_raw"]), number(&row["keep_rate"]), number(&row["corrected"]));
        let head = HeadCalibrator::new(w, Calibrator::Identity).unwrap();
        for got in [correct_downsampling(p, w), head.apply_probability(p)] {
            assert!((got - expected).abs() <= 1e-15 * expected, "{p} {w}: expected {expected:e}, got {got:e}");
        }
        // The same on logits, where they exist.
        if p > 1e-9 && p < 1.0 - 1e-9 {
            let got = head.apply_logit(logit(p));
            assert!((got - expected).abs() <= 1e-12, "{p} {w}: expected {expected:e}, got {got:e}");
        }
    }
}

/// Platt's parameters and curve against the exact optimum.
fn check_platt(case: &Case, expected: &Value, targets: Targets, what: &str) {
    let logits = case.logits();
    let fitted = platt(&case.sample(&logits), targets).unwrap_or_else(|e| panic!("{what}: {e:#}"));
    let calibrator = Calibrator::Platt(fitted);
    if expected.get("exact_unique").is_some_and(|unique| unique == false) {
        let exact = case.at_scores(&expected["exact_at_y_pred"]);
        assert_all_close(&apply(&calibrator, &case.scores), &exact, 1e-8, what);
    } else {
        for (name, got) in [("exact_A", fitted.a()), ("exact_B", fitted.b())] {
            let exact = number(&expected[name]);
            assert!((got - exact).abs() <= 1e-6 * exact.abs() + 1e-9, "{what} {name}: expected {exact}, got {got}");
        }
        assert_all_close(&apply(&calibrator, &case.grid), &numbers(&expected["exact_grid"]), 1e-8, what);
    }
}

#[test]
fn golden_platt() {
    let mut checked = 0;
    for case in Case::all() {
        if let Some(expected) = case.calibrator("platt_logits_smoothed_targets") {
            check_platt(&case, expected, Targets::Smoothed, &format!("{}: smoothed", case.name));
            checked += 1;
        }
        if let Some(expected) = case.calibrator("platt_logits_hard_targets") {
            check_platt(&case, expected, Targets::Hard, &format!("{}: hard", case.name));
            checked += 1;
        }
    }
    assert!(checked > 0);
}

/// The design document's form: on probabilities, the slope penalised by C = 1, weights not used. It is not offered for
/// calibration; it checks the optimiser.
#[test]
fn golden_platt_of_the_design_document() {
    let mut checked = 0;
    for case in Case::all() {
        let Some(expected) = case.calibrator("platt_design_document") else { continue };
        let row = |i: usize| Observation {
            x: [1.0, case.scores[i]],
            target: f64::from(u8::from(case.labels[i])),
            weight: 1.0,
        };
        let [b, a] = minimise(case.scores.len(), row, [0.0, 1.0], [0.0; 2]).unwrap();
        let got: Vec<f64> = case.grid.iter().map(|&p| sigmoid(a * p + b)).collect();
        assert_all_close(&got, &numbers(&expected["exact_grid"]), 1e-8, &case.name);
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn golden_one_class_is_refused_where_the_reference_refuses() {
    let mut refused = 0;
    for case in Case::all() {
        if case.json["calibrators"]["platt_design_document"].get("error").is_some() {
            let logits = case.logits();
            let error = platt(&case.sample(&logits), Targets::Hard).unwrap_err();
            assert!(error.to_string().contains("one class"), "{}: {error}", case.name);
            assert!(temperature(&case.sample(&logits)).is_err(), "{}", case.name);
            assert!(beta(&case.sample(&case.scores)).is_err(), "{}", case.name);
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[test]
fn golden_temperature() {
    let mut checked = 0;
    for case in Case::all() {
        let Some(expected) = case.calibrator("temperature") else { continue };
        let logits = case.logits();
        let fitted = temperature(&case.sample(&logits));
        if expected["valid"] == false {
            assert!(fitted.unwrap_err().to_string().contains("reversed"), "{}", case.name);
            continue;
        }
        let fitted = fitted.unwrap();
        assert_close(fitted.t(), number(&expected["exact_T"]), 1e-6, &case.name);
        let got = apply(&Calibrator::Temperature(fitted), &case.grid);
        assert_all_close(&got, &numbers(&expected["exact_grid"]), 1e-8, &case.name);
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn golden_beta() {
    let mut checked = 0;
    for case in Case::all() {
        let Some(expected) = case.calibrator("beta") else { continue };
        let fitted = beta(&case.sample(&case.scores)).unwrap_or_else(|e| panic!("{}: {e:#}", case.name));
        let calibrator = Calibrator::Beta(fitted);
        if expected["exact_unique"] == true {
            let exact = [&expected["exact_a"], &expected["exact_b"], &expected["exact_c"]].map(number);
            assert_all_close(&[fitted.a(), fitted.b(), fitted.c()], &exact, 1e-6, &case.name);
            let grid = numbers(&expected["exact_grid"]);
            assert_all_close(&apply(&calibrator, &case.grid), &grid, 1e-7, &case.name);
        } else {
            let exact = case.at_scores(&expected["exact_at_y_pred"]);
            assert_all_close(&apply(&calibrator, &case.scores), &exact, 1e-7, &case.name);
            // Two scores do not determine three coefficients: of all that fit, those that the reference takes, which stops
            // a little early.
            let taken = [&expected["betacal_a"], &expected["betacal_b"], &expected["betacal_c"]].map(number);
            for (got, taken) in [fitted.a(), fitted.b(), fitted.c()].into_iter().zip(taken) {
                assert!((got / taken - 1.0).abs() < 2e-4, "{}: {fitted:?}, betacal {taken}", case.name);
            }
        }
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn golden_isotonic() {
    for case in Case::all() {
        let expected = case.calibrator("isotonic").unwrap();
        let fitted = isotonic(&case.sample(&case.scores)).unwrap();
        assert_all_close(fitted.x(), &numbers(&expected["x_knots"]), case.tolerance, &format!("{}: x", case.name));
        assert_all_close(fitted.y(), &numbers(&expected["y_knots"]), case.tolerance, &format!("{}: y", case.name));
        let calibrator = Calibrator::Isotonic(fitted);
        let predicted = numbers(&expected["predict_y_pred"]);
        assert_all_close(&apply(&calibrator, &case.scores), &predicted, case.tolerance, &case.name);
        assert_all_close(&apply(&calibrator, &case.grid), &numbers(&expected["grid"]), case.tolerance, &case.name);
    }
}

#[test]
fn golden_histogram_binning() {
    type Fit = fn(&Sample, usize) -> anyhow::Result<Histogram>;
    let fits: [(&str, Fit); 2] =
        [("histogram_binning_uniform_10", histogram_uniform), ("histogram_binning_quantile_10", histogram_quantile)];
    for case in Case::all() {
        for (name, fit) in fits {
            let what = format!("{}: {name}", case.name);
            let expected = case.calibrator(name).unwrap_or_else(|| panic!("{what} is not there"));
            let fitted = fit(&case.sample(&case.scores), 10).unwrap();
            assert_all_close(fitted.edges(), &numbers(&expected["edges"]), case.tolerance, &what);
            assert_all_close(fitted.values(), &numbers(&expected["values"]), case.tolerance, &what);
            let got = apply(&Calibrator::Histogram(fitted), &case.grid);
            assert_all_close(&got, &numbers(&expected["grid"]), case.tolerance, &what);
        }
    }
}

/// The application alone, with the reference's own parameters.
#[test]
fn golden_application_of_given_parameters() {
    let at = |v: &Value, name: &str| number(&v[name]);
    let build = |name: &str, v: &Value| match name {
        "platt_logits_smoothed_targets" | "platt_logits_hard_targets" => {
            Calibrator::Platt(Platt::new(at(v, "exact_A"), at(v, "exact_B")).unwrap())
        }
        "temperature" => Calibrator::Temperature(Temperature::new(at(v, "exact_T")).unwrap()),
        "beta" => Calibrator::Beta(Beta::new(at(v, "exact_a"), at(v, "exact_b"), at(v, "exact_c")).unwrap()),
        "isotonic" => Calibrator::Isotonic(Isotonic::new(numbers(&v["x_knots"]), numbers(&v["y_knots"])).unwrap()),
        "histogram_binning_uniform_10" | "histogram_binning_quantile_10" => {
            Calibrator::Histogram(Histogram::new(numbers(&v["edges"]), numbers(&v["values"])).unwrap())
        }
        other => panic!("unknown calibrator {other}"),
    };
    let mut checked = 0;
    for case in Case::all() {
        for (name, expected) in case.json["calibrators"].as_object().unwrap() {
            let parametric = !name.starts_with("isotonic") && !name.starts_with("histogram");
            let grid = expected.get(if parametric { "exact_grid" } else { "grid" });
            let (Some(grid), false) = (grid, name == "platt_design_document" || expected["valid"] == false) else {
                continue;
            };
            let calibrator = build(name, expected);
            let what = format!("{}: {name}", case.name);
            // The parameters of the reference are rounded to f64: 1e-12 leaves room for that and no more.
            assert_all_close(&apply(&calibrator, &case.grid), &numbers(grid), case.tolerance, &what);
            // The request path takes f32 logits and gives f32.
            let head = HeadCalibrator::new(1.0, calibrator).unwrap();
            let logits: Vec<f32> = case.grid.iter().map(|&p| logit(p) as f32).collect();
            let mut out = vec![0.0_f32; logits.len()];
            head.apply_slice(&logits, &mut out);
            for (&z, &p) in logits.iter().zip(&out) {
                assert_eq!(p, head.apply_logit(f64::from(z)) as f32, "{what} at {z}");
            }
            checked += 1;
        }
    }
    assert!(checked > 0);
}

/// 50,000 rows of low CTR: every fit and every metric, before and after.
#[test]
fn golden_large() {
    let path = directory().join("large.safetensors");
    if !path.exists() {
        eprintln!("skipped: {} is not there (set ADCLICK_GOLDEN to the full set)", path.display());
        return;
    }
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let f64s = |name: &str| -> Vec<f64> {
        let tensor = file.tensor(name).unwrap();
        tensor.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let json = read_json("large.json");
    let case = Case {
        name: "large".into(),
        scores: f64s("y_pred"),
        labels: file.tensor("y_true").unwrap().data().iter().map(|&y| y != 0).collect(),
        weights: None,
        grid: numbers(&json["grid"]),
        tolerance: 1e-12,
        json,
    };
    let logits = case.logits();
    let on = |name: &str| case.calibrator(name).unwrap();
    check_metrics(&case.json["metrics"], &case.unweighted(), 1e-12, "large");
    check_platt(&case, on("platt_logits_smoothed_targets"), Targets::Smoothed, "large: smoothed");
    check_platt(&case, on("platt_logits_hard_targets"), Targets::Hard, "large: hard");
    let fitted = Calibrator::Temperature(temperature(&case.sample(&logits)).unwrap());
    assert_all_close(&apply(&fitted, &case.grid), &numbers(&on("temperature")["exact_grid"]), 1e-8, "temperature");
    let fitted = Calibrator::Beta(beta(&case.sample(&case.scores)).unwrap());
    assert_all_close(&apply(&fitted, &case.grid), &numbers(&on("beta")["exact_grid"]), 1e-7, "beta");
    let fitted = Calibrator::Histogram(histogram_quantile(&case.sample(&case.scores), 10).unwrap());
    let expected = numbers(&on("histogram_binning_quantile_10")["grid"]);
    assert_all_close(&apply(&fitted, &case.grid), &expected, 1e-12, "histogram");

    let fitted = isotonic(&case.sample(&case.scores)).unwrap();
    assert_all_close(fitted.x(), &f64s("isotonic_x_knots"), 1e-12, "isotonic x");
    assert_all_close(fitted.y(), &f64s("isotonic_y_knots"), 1e-12, "isotonic y");
    let predicted = f64s("isotonic_predict");
    assert_all_close(&apply(&Calibrator::Isotonic(fitted), &case.scores), &predicted, 1e-12, "isotonic");
    // Values on one plateau tie to the last bit, so the metrics of ranks are taken on the reference's own values.
    let after = Labelled::new(&predicted, &case.labels, None).unwrap();
    check_metrics(&case.json["metrics_after_isotonic"], &after, 1e-12, "large after isotonic");

    let fitted = Calibrator::Platt(platt(&case.sample(&logits), Targets::Smoothed).unwrap());
    let after = apply(&fitted, &case.scores);
    let after = Labelled::new(&after, &case.labels, None).unwrap();
    // The reference's parameters agree with the exact ones to 7e-8.
    check_metrics(&case.json["metrics_after_platt_logits"], &after, 1e-7, "large after Platt");
}
