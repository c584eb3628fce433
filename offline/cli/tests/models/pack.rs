//! What `adclick pack`, `inspect`, `verify` and `score` refuse and show.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adclick_data::schema_file::SchemaFile;
use adclick_train::pack::{self, PackOptions, Packed};

use crate::support::{self, file_of};

type Tensors<'a> = Vec<(&'a str, &'a [usize], &'a [f32])>;

fn try_pack(tensors: &Tensors<'_>, schema: &str) -> anyhow::Result<Packed> {
    let schema = (!schema.is_empty()).then(|| SchemaFile::parse(schema).unwrap());
    pack::model(&file_of(tensors), schema.as_ref(), &PackOptions::default())
}

fn refusal(tensors: &Tensors<'_>, schema: &str) -> String {
    format!("{:#}", try_pack(tensors, schema).expect_err("must be refused"))
}

/// d = 2, one cross layer, one deep layer with BatchNorm after ReLU.
fn small() -> Tensors<'static> {
    vec![
        ("module.cross_layers.0.weight", &[2, 2], &[0.5, 0.25, -0.5, 1.0]),
        ("module.cross_layers.0.bias", &[2], &[0.1, 0.2]),
        ("module.dnn.0.weight", &[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        ("module.dnn.0.bias", &[3], &[0.0, 0.0, 0.0]),
        ("module.dnn.2.weight", &[3], &[1.0, 2.0, 3.0]),
        ("module.dnn.2.bias", &[3], &[0.0, 0.0, 1.0]),
        ("module.dnn.2.running_mean", &[3], &[0.0, 1.0, 0.0]),
        ("module.dnn.2.running_var", &[3], &[1.0, 1.0, 1.0]),
        ("module.output_layer.weight", &[1, 5], &[1.0, 1.0, 1.0, 1.0, 1.0]),
        ("module.output_layer.bias", &[1], &[0.0]),
    ]
}

fn with(name: &str, shape: &'static [usize], values: &'static [f32]) -> Tensors<'static> {
    let mut tensors = small();
    let name = format!("module.{name}");
    let at = tensors.iter().position(|t| t.0 == name).unwrap();
    tensors[at] = (tensors[at].0, shape, values);
    tensors
}

/// What a BatchNorm saw behind an activation can speak against the ReLU that is assumed there.
#[test]
fn a_mean_below_0_is_no_relus() {
    let below = || with("dnn.2.running_mean", &[3], &[0.0, 1.0, -0.25]);
    let refused = refusal(&below(), "");
    for needle in
        ["dnn.2.running_mean", "-0.25 at [2]", "dnn.0.weight", "GELU", "activation = \"tanh\"", "expected outputs"]
    {
        assert!(refused.contains(needle), "`{needle}` is not in: {refused}");
    }
    let told = "[[features]]\nname = 'x'\nkind = 'vector'\ndim = 2\n[model]\n";
    for model in ["activation = 'tanh'", "activation = 'none'", "activation = 'relu'"] {
        try_pack(&below(), &format!("{told}{model}")).unwrap_or_else(|e| panic!("{model}: {e:#}"));
    }
    // Compared with outputs, it is they that say it.
    let options = PackOptions { proven: true, ..PackOptions::default() };
    pack::model(&file_of(&below()), None, &options).unwrap();
}

#[test]
fn weights_are_refused_by_name() {
    let without: Tensors<'_> = small().into_iter().filter(|t| !t.0.contains("output_layer")).collect();
    let mut extra = small();
    extra.push(("attention.q", &[2, 2], &[0.0; 4]));
    let mut twice = small();
    twice.push(("output_layer.bias", &[1], &[0.0]));
    let mut layer_norm: Tensors<'_> = small().into_iter().filter(|t| !t.0.contains("running")).collect();
    layer_norm.retain(|t| t.0 != "module.dnn.2.bias");
    let cases: Vec<(Tensors<'_>, &[&str])> = vec![
        (
            with("dnn.0.weight", &[3, 2], &[1.0, 0.0, f32::NAN, 1.0, 1.0, 1.0]),
            &["module.dnn.0.weight", "NaN", "[1, 0]"],
        ),
        (with("dnn.0.bias", &[3], &[0.0, f32::INFINITY, 0.0]), &["module.dnn.0.bias", "inf", "[1]"]),
        (
            with("cross_layers.0.weight", &[2, 2], &[0.5, 0.25, -70000.0, 1.0]),
            &["module.cross_layers.0.weight", "-70000", "[1, 0]", "65504"],
        ),
        (with("dnn.0.weight", &[3, 1], &[1.0, 2.0, 3.0]), &["module.cross_layers.0.weight", "reads 2", "reads 1"]),
        (with("dnn.2.running_mean", &[2], &[0.0, 0.0]), &["module.dnn.2.running_mean", "[3]", "[2]"]),
        (with("dnn.2.running_var", &[3], &[1.0, -1.0, 1.0]), &["module.dnn.2.running_var", "-1", "[1]"]),
        (
            with("output_layer.weight", &[1, 4], &[1.0; 4]),
            &["module.output_layer.weight", "5 input columns", "3 (stacked)", "found 4"],
        ),
        (with("output_layer.weight", &[2, 5], &[1.0; 10]), &["module.output_layer.weight", "2 outputs", "heads"]),
        (without, &["output_layer.weight", "module.dnn.0.weight", "[tensors]"]),
        (extra, &["attention.q", "can be left out only where golden inputs"]),
        (twice, &["module.output_layer.bias", "`output_layer.bias`"]),
        (layer_norm, &["module.dnn.2.weight", "LayerNorm"]),
    ];
    for (tensors, needles) in cases {
        let message = refusal(&tensors, "");
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is not in: {message}");
        }
    }
    let message = refusal(&small(), "[[features]]\nname='a'\nkind='vector'\ndim=3");
    assert!(message.contains("describes 3") && message.contains("read 2"), "{message}");
    let category = "[[features]]\nname='a'\nkind='category'\nembedding={dim=2,count=4}";
    let message = refusal(&small(), category);
    assert!(message.contains("single.a.weight"), "{message}");
    let mut tensors = small();
    tensors.push(("embeddings.a.weight", &[5, 2], &[0.0; 10]));
    let message = refusal(&tensors, category);
    assert!(message.contains("embeddings.a.weight") && message.contains("[4, 2]"), "{message}");
}

#[test]
fn a_variance_of_0_folds_by_epsilon_and_may_leave_fp16() {
    let spec = try_pack(&with("dnn.2.running_var", &[3], &[0.0, 1.0, 1.0]), "").unwrap().spec;
    // The deep half of the output layer is multiplied by gain / sqrt(0 + 1e-5).
    assert!((spec.network.heads[0].weight[2] - 1e-5f64.sqrt().recip()).abs() < 1e-9);
    let eps = "[model]\nbatchnorm_eps = 1e-12\n[[features]]\nname='x'\nkind='vector'\ndim=2";
    let message = refusal(&with("dnn.2.running_var", &[3], &[0.0, 1.0, 1.0]), eps);
    assert!(
        message.contains("module.output_layer.weight with the BatchNorm") && message.contains("[0, 2]"),
        "{message}"
    );
}

#[test]
fn weights_that_vanish_are_told() {
    let packed = try_pack(&with("dnn.0.weight", &[3, 2], &[1e-9, 0.0, 0.0, 1.0, 1.0, 1.0]), "").unwrap();
    assert_eq!(packed.warnings.len(), 1);
    assert!(packed.warnings[0].contains("dnn.0.weight") && packed.warnings[0].contains("1 of 4"), "{packed:?}");
}

#[test]
fn other_names_are_mapped_and_transposed() {
    let mut tensors = small();
    tensors.retain(|t| !t.0.contains("dnn.0") && !t.0.contains("output"));
    tensors.extend::<Tensors<'_>>(vec![
        ("mlp_0/kernel", &[2, 3], &[1.0, 0.0, 1.0, 0.0, 1.0, 1.0]),
        ("mlp_0/bias", &[3], &[0.0; 3]),
        ("out.w", &[1, 5], &[1.0; 5]),
    ]);
    let schema = "[tensors]\n'dnn.{i}.weight' = { name = 'mlp_{i}/kernel', transpose = true }\n\
                  'dnn.{i}.bias' = 'mlp_{i}/bias'\n'output_layer.weight' = 'out.w'\n\
                  [[features]]\nname='x'\nkind='vector'\ndim=2";
    let mapped = try_pack(&tensors, schema).unwrap().spec;
    let plain = try_pack(&small(), "[[features]]\nname='x'\nkind='vector'\ndim=2").unwrap().spec;
    assert_eq!(mapped, plain);
    let message = refusal(&tensors, &schema.replace("out.w", "nowhere"));
    assert!(message.contains("nowhere"), "{message}");
}

#[test]
fn patterns_take_names_too() {
    let features = "[[features]]\nname='user'\nkind='category'\nraw='integer'\nembedding={dim=1,count=2}\n\
                    [[features]]\nname='ad'\nkind='category'\nraw='integer'\nembedding={dim=1,count=3}\n";
    let tensors: Tensors<'_> = vec![
        ("tables.user.emb", &[2, 1], &[0.5, 0.25]),
        ("tables.ad.emb", &[3, 1], &[1.0, 2.0, 3.0]),
        ("output_layer.weight", &[1, 2], &[1.0, -1.0]),
    ];
    let schema = format!("{features}[tensors]\n'single.{{name}}.weight' = 'tables.{{name}}.emb'");
    let spec = try_pack(&tensors, &schema).unwrap().spec;
    assert_eq!((&spec.embeddings[0].rows[..], &spec.embeddings[1].rows[..]), (&[0.5, 0.25][..], &[1.0, 2.0, 3.0][..]));
    let wrong = SchemaFile::parse(&schema.replace("tables.{name}", "tables.{i}")).unwrap_err();
    assert!(format!("{wrong:#}").contains("{i} must stand once in both"), "{wrong:#}");
}

/// The same tensors with and without a factorisation machine's term.
#[test]
fn interactions_without_tensors_are_asked_for() {
    let feature = |name: &str, dim: u32| {
        format!(
            "[[features]]\nname='{name}'\nkind='category'\nraw='integer'\nembedding={{dim={dim},count=2,wide=true}}\n"
        )
    };
    let tensors = |dim: usize| -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
        vec![
            ("embeddings.a.weight", vec![2, 2], vec![0.1; 4]),
            ("embeddings.b.weight", vec![2, dim], vec![0.1; 2 * dim]),
            ("wide.a.weight", vec![2, 1], vec![0.1; 2]),
            ("wide.b.weight", vec![2, 1], vec![0.1; 2]),
            ("dnn.0.weight", vec![3, 2 + dim], vec![0.1; 3 * (2 + dim)]),
            ("dnn.2.weight", vec![1, 3], vec![0.1; 3]),
        ]
    };
    let pack = |dim: u32, model: &str| {
        let owned = tensors(dim as usize);
        let tensors: Tensors<'_> = owned.iter().map(|(name, shape, values)| (*name, &shape[..], &values[..])).collect();
        try_pack(&tensors, &format!("{}{}{model}", feature("a", 2), feature("b", dim)))
    };
    let asked = format!("{:#}", pack(2, "").unwrap_err());
    assert!(asked.contains("`a` and `b`") && asked.contains("interactions = \"none\""), "{asked}");
    assert!(pack(2, "[model]\ninteractions='none'").is_ok());
    // Embeddings of different dimensions have no dot product.
    assert!(pack(3, "").is_ok());
}

#[test]
fn what_is_left_out_is_named_and_parts_of_networks_are_not_left_out_unproven() {
    let mut tensors = small();
    tensors.push(("loss.weights", &[2], &[0.0; 2]));
    let options = PackOptions { allow_unused: true, ..PackOptions::default() };
    let packed = pack::model(&file_of(&tensors), None, &options).unwrap();
    assert_eq!(packed.left_out, ["loss.weights"]);
    tensors.push(("experts.0.weight", &[2, 2], &[0.0; 4]));
    let message = format!("{:#}", pack::model(&file_of(&tensors), None, &options).unwrap_err());
    assert!(message.contains("experts.0.weight") && message.contains("MMoE"), "{message}");
    let proven = PackOptions { proven: true, ..options };
    let packed = pack::model(&file_of(&tensors), None, &proven).unwrap();
    assert_eq!(packed.left_out, ["experts.0.weight", "loss.weights"]);
}

#[test]
fn a_linear_term_that_cannot_be_carried_is_refused() {
    let mut tensors = small();
    tensors.push(("module.linear.weight", &[2, 1], &[0.5, -0.25]));
    let features = "[[features]]\nname='x'\nkind='vector'\ndim=2\n";
    let packed = try_pack(&tensors, features).unwrap();
    assert_eq!(packed.spec.network.deep[0].weight.rows, 5, "two units more");
    let message = refusal(&tensors, &format!("{features}[model]\nactivation='tanh'"));
    assert!(message.contains("module.linear.weight") && message.contains("tanh"), "{message}");
    tensors.retain(|t| !t.0.contains("output_layer.weight"));
    tensors.push(("output_layer.weight", &[1, 3], &[1.0; 3]));
    let message = refusal(&tensors, features);
    assert!(message.contains("stacked"), "{message}");
}

/// A BatchNorm of the inputs, and one before a tower, whose means lie far from 0: the packed file is as near to the model as
/// one whose means are 0.
#[test]
fn far_means_cost_no_precision_before_the_first_layer_and_before_towers() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let first: Vec<f32> = (0..12).map(|i| 0.9 * (f64::from(i) * 1.7).sin() as f32).collect();
    let tower: Vec<f32> = (0..8).map(|i| 0.7 * (f64::from(i) * 2.3).cos() as f32).collect();
    for (inputs, inputs_var, hidden, hidden_var) in
        [(0.0f32, 1.0f32, 0.0f32, 1.0f32), (8.0, 1.0, 9.0, 1.0), (1000.0, 1.0, 300.0, 1.0)]
    {
        let (means, variances) = ([inputs; 3], [inputs_var; 3]);
        let (hidden_means, hidden_variances) = ([hidden; 4], [hidden_var; 4]);
        let tensors: Tensors<'_> = vec![
            ("bottom.0.running_mean", &[3], &means),
            ("bottom.0.running_var", &[3], &variances),
            ("bottom.1.weight", &[4, 3], &first),
            // Far above 0, where ReLU does nothing.
            ("bottom.1.bias", &[4], &hidden_means),
            ("bottom.3.running_mean", &[4], &hidden_means),
            ("bottom.3.running_var", &[4], &hidden_variances),
            ("ctr_tower.0.weight", &[2, 4], &tower),
            ("ctr_tower.2.weight", &[1, 2], &[0.8, -0.6]),
        ];
        std::fs::write(path("w"), file_of(&tensors)).unwrap();
        let z: Vec<f32> = (0..60).map(|i| (f64::from(i) * 0.77).sin() as f32).collect();
        let x: Vec<f32> = z.iter().map(|z| inputs + z).collect();
        // By hand, in f64.
        let relu = |z: f64| z.max(0.0);
        let norm = (1.0f64 + 1e-5).sqrt();
        let logit = |x: &[f32]| -> f64 {
            let x: Vec<f64> = x.iter().map(|x| (f64::from(*x) - f64::from(inputs)) / norm).collect();
            let dot = |w: &[f32], x: &[f64]| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
            let h: Vec<f64> =
                first.chunks(3).map(|w| (relu(dot(w, &x) + f64::from(hidden)) - f64::from(hidden)) / norm).collect();
            let t: Vec<f64> = tower.chunks(4).map(|w| relu(dot(w, &h))).collect();
            dot(&[0.8, -0.6], &t)
        };
        let expected: Vec<f64> = x.chunks(3).map(logit).collect();
        let expected: Vec<f32> = expected.iter().map(|l| *l as f32).collect();
        std::fs::write(path("io"), file_of(&[("x", &[20, 3], &x), ("logit", &[20], &expected)])).unwrap();
        let (w, io, out) = (path("w"), path("io"), path("b"));
        let args = ["pack", "--weights", &w, "--goldens", &io, "--expect", &io, "--out", &out, "--replace", "--json"];
        let packed = run(&args);
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&packed.stdout).unwrap();
        let largest = summary["compared"]["served"][0]["largest"].as_f64().unwrap();
        println!("inputs at {inputs}, units at {hidden}: {largest:e}");
        assert!(largest < 1e-3, "inputs at {inputs}, units at {hidden}: {largest:e}");
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adclick")).args(args).output().unwrap()
}

fn packed_bundle(folder: &Path) -> PathBuf {
    let weights = folder.join("w.safetensors");
    std::fs::write(&weights, file_of(&small())).unwrap();
    let bundle = folder.join("b");
    let out = run(&["pack", "--weights", weights.to_str().unwrap(), "--out", bundle.to_str().unwrap(), "--publish"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("derived one vector feature `x` of 2 columns"));
    bundle
}

#[test]
fn inspect_and_verify_show_a_bundle_and_find_a_flipped_byte() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = packed_bundle(folder.path());
    let root = folder.path().to_str().unwrap();
    let out = run(&["inspect", root, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["model"]["width"], 2);
    // Cross 4, deep 6, output 5; and the biases 2, 3, 1.
    assert_eq!(report["model"]["macs_per_candidate"], 15);
    assert_eq!(report["model"]["parameters"], 21);
    assert!(report["model"]["provenance"].as_str().unwrap().contains("w.safetensors"));
    let text = String::from_utf8(run(&["inspect", root]).stdout).unwrap();
    assert!(text.contains("cross 0") && text.contains("vector of 2") && text.contains("21 parameters"), "{text}");
    let verify = run(&["verify", root]);
    assert!(verify.status.success());
    assert!(String::from_utf8_lossy(&verify.stdout).contains("16 golden requests on kernel portable"));

    let model = bundle.join("model.adc");
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    let verify = run(&["verify", root]);
    assert_eq!(verify.status.code(), Some(1));
    let message = String::from_utf8_lossy(&verify.stderr).into_owned();
    assert!(message.contains("model.adc") && message.contains("checksum"), "{message}");
}

/// Callers pass values under the input's name, which need not be the feature's.
#[test]
fn inspect_names_inputs_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    packed_bundle(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (schema, weights, out) = (path("s.toml"), path("w.safetensors"), path("named"));
    let features = "[[features]]\nname='price_log'\nkind='number'\ninput='price'\ntransform={log1p=true}\n\
                    [[features]]\nname='place'\nkind='number'\nposition=1.0";
    std::fs::write(&schema, features).unwrap();
    let packed = run(&["pack", "--weights", &weights, "--schema", &schema, "--out", &out]);
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let text = String::from_utf8(run(&["inspect", &out]).stdout).unwrap();
    let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    assert!(line("price_log").ends_with("number, log1p, default 0, of input price"), "{text}");
    assert!(line("place").ends_with("number, default 0, a position: served with 1"), "{text}");
    assert!(line("pCTR output").contains("1x5"), "{text}");
}

#[test]
fn packing_twice_gives_the_same_bytes_and_never_overwrites_unasked() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let read = |bundle: PathBuf| std::fs::read(bundle.join("model.adc")).unwrap();
    assert_eq!(read(packed_bundle(a.path())), read(packed_bundle(b.path())));
    let weights = a.path().join("w.safetensors");
    let again = ["pack", "--weights", weights.to_str().unwrap(), "--out", a.path().join("b").to_str().unwrap()]
        .map(String::from);
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    assert_eq!(run(&again).status.code(), Some(1));
    assert!(run(&[&again[..], &["--replace"]].concat()).status.success());
}

/// Texts may come through a pipe, which can be read once; everything else is a regular file, and a FIFO holds nobody up.
#[cfg(unix)]
#[test]
fn texts_may_be_pipes_and_files_are_regular() {
    let folder = tempfile::tempdir().unwrap();
    packed_bundle(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (weights, schema, fifo) = (path("w.safetensors"), path("s.toml"), path("fifo"));
    std::fs::write(&schema, "[[features]]\nname='a'\nkind='number'\n[[features]]\nname='b'\nkind='number'\n").unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let script = "cat \"$2\" > \"$3\" & exec \"$0\" pack --weights \"$1\" --schema \"$3\" --out \"$4\"";
    let mut piped = Command::new("sh");
    piped.args(["-c", script, env!("CARGO_BIN_EXE_adclick"), &weights, &schema, &fifo, &path("piped")]);
    let piped = piped.output().unwrap();
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    let read = run(&["pack", "--weights", &weights, "--schema", &schema, "--out", &path("read")]);
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    // The provenance has the checksum of the same text.
    let provenance = |name: &str| {
        let report: serde_json::Value =
            serde_json::from_slice(&run(&["inspect", &path(name), "--json"]).stdout).unwrap();
        let text = report["model"]["provenance"].as_str().unwrap().to_owned();
        text.lines().find(|line| line.starts_with("schema_xxh3")).unwrap().to_owned()
    };
    assert_eq!(provenance("piped"), provenance("read"));
    for arguments in [
        &["pack", "--weights", &fifo, "--out", &path("none")][..],
        &["pack", "--weights", "/dev/zero", "--out", &path("none")],
        &["score", "--bundle", &path("b"), "--input", &fifo, "--output", &path("none")],
    ] {
        let refused = run(arguments);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && told.contains("expected a regular file"), "{arguments:?}: {told}");
    }
}

#[test]
fn score_names_the_tensor_that_is_missing_or_misshapen() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = packed_bundle(folder.path());
    let input = folder.path().join("x.safetensors");
    let output = folder.path().join("y.safetensors");
    let score = |tensors: Tensors<'_>| {
        std::fs::write(&input, file_of(&tensors)).unwrap();
        run(&[
            "score",
            "--bundle",
            bundle.to_str().unwrap(),
            "--input",
            input.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ])
    };
    for (tensors, needle) in [
        (vec![("y", &[1usize, 2][..], &[0.0f32; 2][..])], "no tensor `x`"),
        (vec![("x", &[2, 3][..], &[0.0; 6][..])], "3 columns; expected 2"),
    ] {
        let out = score(tensors);
        let message = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && message.contains(needle), "{message}");
    }
    let out = score(vec![("x", &[2, 2], &[0.5, -1.0, f32::NAN, 0.0])]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("1 rows hold NaN"), "{out:?}");
    // By hand: cross [0.5·(0.5·0.5 − 0.25 + 0.1) + 0.5, −(−0.25 − 1 + 0.2) − 1]; deep relu [0.5, 0, 0], BatchNorm.
    let norm = (1.0f64 + 1e-5).sqrt();
    let expected = (0.55 + 0.05) + 0.5 / norm - 2.0 / norm + 1.0;
    let (_, logit) = support::tensor(&std::fs::read(&output).unwrap(), "logit").unwrap();
    assert!((logit[0] - expected).abs() < 2e-3 && logit[1].is_nan(), "{logit:?} for {expected}");
}
