//! The golden models through the public surface: `adclick pack`, then `adclick score` on every kernel of this CPU.

use std::path::Path;
use std::process::Command;

use adclick::builder::infer::Kernel;

use crate::support::{FP16, SAME_ROUNDING, Variant, farthest, file_of, tensor, variants};

fn adclick(args: &[&str]) -> serde_json::Value {
    let out = Command::new(env!("CARGO_BIN_EXE_adclick")).args(args).arg("--json").output().unwrap();
    assert!(out.status.success(), "adclick {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn pack(variant: &Variant, weights: &str, folder: &Path) -> String {
    std::fs::create_dir_all(folder).unwrap();
    let bundle = folder.join(weights).with_extension("bundle").display().to_string();
    let weights = variant.path.join(weights).display().to_string();
    let mut args = vec!["pack", "--weights", &weights, "--out", &bundle];
    let schema = folder.join("schema.toml").display().to_string();
    if let Some(text) = variant.schema() {
        std::fs::write(&schema, text).unwrap();
        args.extend(["--schema", &schema]);
    }
    assert_eq!(adclick(&args)["goldens"], 16);
    bundle
}

fn score(bundle: &str, input: &Path, kernel: &str, folder: &Path) -> (Vec<u8>, serde_json::Value) {
    let output = folder.join("out.safetensors");
    let (input, path) = (input.display().to_string(), output.display().to_string());
    let summary = adclick(&["score", "--bundle", bundle, "--input", &input, "--output", &path, "--kernel", kernel]);
    assert_eq!(summary["kernel"], kernel);
    (std::fs::read(&output).unwrap(), summary)
}

/// Compares logits and probabilities with the outputs of one rounding (`f64`, `w16mat_f64`, `folded_w16_f64`).
fn compare(what: &str, got: &[u8], io: &[u8], rounding: &str, (logit, probability): (f64, f64)) {
    let pairs: &[(&str, &str, f64)] = if tensor(io, "pctr_f64").is_some() {
        &[
            ("logit", "logits_ctr", logit),
            ("logit_cvr", "logits_cvr", logit),
            ("pctr", "pctr", probability),
            ("pcvr", "pcvr", probability),
            ("pctcvr", "pctcvr", probability),
        ]
    } else {
        &[("logit", "logits", logit), ("pctr", "prob", probability)]
    };
    for (mine, theirs, tolerance) in pairs {
        let (_, got) = tensor(got, mine).unwrap_or_else(|| panic!("{what}: no output {mine}"));
        let (_, expected) = tensor(io, &format!("{theirs}_{rounding}")).unwrap();
        let off = farthest(&got, &expected);
        println!("{what}: {mine} against {theirs}_{rounding}: {off:e} (allowed {tolerance:e})");
        assert!(off <= *tolerance, "{what}: {mine} is {off:e} from {theirs}_{rounding}");
    }
}

#[test]
fn golden_models_score_the_same_on_every_kernel() {
    for variant in variants() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let io = variant.read("io.safetensors");
        let input = variant.path.join("io.safetensors");
        let rows = tensor(&io, "x").unwrap().0[0];
        let bundle = pack(&variant, variant.weights()[0].0, folder);
        adclick(&["verify", &bundle]);
        // Without BatchNorm nothing is folded: the fp16 file's matrices are the stored ones.
        let plain = (!variant.has_batch_norm() && variant.path.join("model_fp16.safetensors").exists())
            .then(|| pack(&variant, "model_fp16.safetensors", &folder.join("plain")));
        for kernel in Kernel::available() {
            let what = format!("{} on {}", variant.name, kernel.name());
            let (got, summary) = score(&bundle, &input, kernel.name(), folder);
            assert_eq!((&summary["rows"], &summary["bad_rows"]), (&rows.into(), &0.into()));
            compare(&what, &got, &io, "f64", FP16);
            if tensor(&io, "logits_folded_w16_f64").is_some() {
                compare(&what, &got, &io, "folded_w16_f64", SAME_ROUNDING);
            }
            if let Some(plain) = &plain {
                let (got, _) = score(plain, &input, kernel.name(), folder);
                compare(&what, &got, &io, "w16mat_f64", SAME_ROUNDING);
            }
        }
    }
}

/// Rows of zeros, subnormals, ±1000, 1e12, a NaN, an infinity: probabilities, because logits grow past any tolerance.
#[test]
fn golden_edge_rows_keep_their_probabilities() {
    for variant in variants() {
        let io = variant.read("io.safetensors");
        let Some((shape, x)) = tensor(&io, "x_edge") else { continue };
        let names = variant.meta["edge_rows"].as_array().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let bundle = pack(&variant, variant.weights()[0].0, folder);
        let x: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let input = folder.join("edge.safetensors");
        std::fs::write(&input, file_of(&[("x", &shape, &x)])).unwrap();
        let (_, expected) = tensor(&io, "prob_f64_edge").unwrap();
        for kernel in Kernel::available() {
            let (got, summary) = score(&bundle, &input, kernel.name(), folder);
            assert_eq!(summary["bad_rows"], 2, "one NaN, one infinity");
            let (_, got) = tensor(&got, "pctr").unwrap();
            for (row, name) in names.iter().enumerate() {
                let what = format!("{} on {}, {name}: {} for {}", variant.name, kernel.name(), got[row], expected[row]);
                if name == "one_nan" || name == "one_inf" {
                    assert!(got[row].is_nan(), "{what}");
                } else if name == "huge_1e12" && got[row].is_nan() {
                    // f32 overflows there, as torch's own does.
                } else {
                    assert!((got[row] - expected[row]).abs() <= FP16.1, "{what}");
                }
            }
        }
    }
}
