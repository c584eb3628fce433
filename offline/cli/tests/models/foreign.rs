//! Models of other libraries (tests/foreign/README.md): each packs as what it is, proven by its outputs, or is refused by the
//! name of what the format cannot say. None is packed differently from its outputs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;

use crate::support::{SAME_ROUNDING, farthest, file_of, tensor};

/// What fp16 weights may move a logit of these models by.
const FP16: f64 = 2e-3;

fn case(name: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name).join(file)
}

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A schema of the case's features with another `[model]`.
    fn schema(&self, name: &str, model: &str) -> String {
        let text = std::fs::read_to_string(case(name, "schema.toml")).unwrap();
        let features = text.split("[model]").next().unwrap();
        let path = self.at("schema.toml");
        std::fs::write(&path, format!("{features}\n{model}")).unwrap();
        path
    }

    /// The inputs of a case without its outputs.
    fn inputs(&self, name: &str) -> String {
        let io = std::fs::read(case(name, "io.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&io).unwrap();
        let path = self.at("inputs.safetensors");
        let inputs = file.tensors().into_iter().filter(|(name, _)| !name.starts_with("logits"));
        std::fs::write(&path, safetensors::serialize(inputs, None).unwrap()).unwrap();
        path
    }

    /// `adclick pack` of a case; with `expect` compared with its outputs.
    fn pack(&self, name: &str, schema: Option<String>, expect: bool, more: &[&str]) -> Output {
        if !expect {
            return self.pack_with(name, schema, &self.inputs(name), more);
        }
        let io = case(name, "io.safetensors").display().to_string();
        self.pack_with(name, schema, &io, &[&["--expect", &io], more].concat())
    }

    /// The same with these golden requests.
    fn pack_with(&self, name: &str, schema: Option<String>, goldens: &str, more: &[&str]) -> Output {
        let file = |file: &str| case(name, file).display().to_string();
        let (weights, out) = (file("weights.safetensors"), self.at("bundle"));
        let schema = schema.unwrap_or_else(|| file("schema.toml"));
        let mut args = vec!["pack", "--weights", &weights, "--schema", &schema, "--out", &out, "--replace"];
        args.extend(["--goldens", goldens]);
        args.extend(more);
        let out = Command::new(env!("CARGO_BIN_EXE_adclick")).args(&args).output().unwrap();
        assert!(out.status.success() || !Path::new(&self.at("bundle")).exists(), "{name}: refused, but written");
        out
    }

    fn score(&self, name: &str) -> Vec<u8> {
        let (out, io) = (self.at("y.safetensors"), case(name, "io.safetensors").display().to_string());
        let args = ["score", "--bundle", &self.at("bundle"), "--input", &io, "--output", &out];
        let scored = Command::new(env!("CARGO_BIN_EXE_adclick")).args(args).output().unwrap();
        assert!(scored.status.success(), "{}", stderr(&scored));
        std::fs::read(out).unwrap()
    }
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn refused(name: &str, out: &Output, needles: &[&str]) {
    let message = stderr(out);
    assert_eq!(out.status.code(), Some(1), "{name}: must be refused; {}", String::from_utf8_lossy(&out.stdout));
    for needle in needles {
        assert!(message.contains(needle), "{name}: `{needle}` is not in: {message}");
    }
}

#[test]
fn what_the_format_has_packs_and_says_what_its_model_says() {
    for name in [
        "deepctr_dcn",
        "deepctr_dcn_matrix",
        "deepctr_dcn_mix",
        "deepctr_wdl",
        "fuxictr_dcn",
        "fuxictr_dcnv2",
        "fuxictr_dcnv2_stacked",
        "fuxictr_dcn_mix",
        "fuxictr_numbers",
        "plain_functional",
        "plain_last_linear",
        "plain_low_rank",
        "plain_eps",
        "plain_far_norm",
        "plain_very_far_norm",
    ] {
        let place = Folder::new();
        let io = std::fs::read(case(name, "io.safetensors")).unwrap();
        for expect in [true, false] {
            let out = place.pack(name, None, expect, &["--json"]);
            assert!(out.status.success(), "{name}: {}", stderr(&out));
            let summary: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
            assert_eq!(summary["compared"].is_object(), expect, "{name}: {summary}");
            let got = tensor(&place.score(name), "logit").unwrap().1;
            let off = farthest(&got, &tensor(&io, "logits_f32").unwrap().1);
            let stored = tensor(&io, "logits_stored").map(|(_, stored)| farthest(&got, &stored));
            println!("{name}: {off:e} from f32, {stored:?} from what is stored, {}", summary["compared"]);
            assert!(off <= FP16, "{name}: {off:e}");
            assert!(stored.is_none_or(|off| off <= SAME_ROUNDING.0), "{name}: {stored:?}");
        }
    }
}

#[test]
fn what_the_format_cannot_say_is_refused_by_its_name() {
    for (name, needles) in [
        ("deepctr_xdeepfm", &["cin.conv1ds.0", "compressed interaction network"][..]),
        ("deepctr_mmoe", &["expert_dnn.0", "experts", "MMoE"]),
        ("deepctr_prelu", &["dnn.activation_layers.0.weight", "PReLU"]),
        ("dlrm", &["bot_l.0", "DLRM", "dot products"]),
        ("fuxictr_stacked_parallel", &["stacked_parallel", "one deep part"]),
        ("plain_layer_norm", &["dnn.1.weight", "LayerNorm"]),
        ("deepctr_deepfm", &["factorisation machine"]),
    ] {
        let place = Folder::new();
        for expect in [true, false] {
            refused(name, &place.pack(name, None, expect, &[]), needles);
        }
    }
    // Left out, the parts that make the difference are refused again; proven by outputs they may be.
    let place = Folder::new();
    refused("cin", &place.pack("deepctr_xdeepfm", None, false, &["--allow-unused"]), &["factorisation machine"]);
    let schema = || Some(place.schema("deepctr_xdeepfm", "[model]\nactivation = 'relu'\ninteractions = 'none'"));
    let out = place.pack("deepctr_xdeepfm", schema(), false, &["--allow-unused"]);
    refused("cin", &out, &["cin.conv1ds.0", "compressed interaction network", "--expect"]);
    let out = place.pack("deepctr_xdeepfm", schema(), true, &["--allow-unused"]);
    refused("cin", &out, &["outputs of the packed model are not those expected"]);
    for (model, needles) in [
        ("[model]\nactivation = 'gelu'", &["gelu cannot be expressed", "relu, tanh and none"][..]),
        ("[model]\nactivation = ['relu', 'silu']", &["silu cannot be expressed"]),
        ("[model]\ninteractions = 'fm'", &["factorisation machine", "cannot be expressed"]),
    ] {
        refused("schema", &place.pack("plain_gelu", Some(place.schema("plain_gelu", model)), false, &[]), needles);
    }
}

#[test]
fn what_was_assumed_is_refused_where_outputs_say_otherwise_and_what_fits_is_named() {
    let place = Folder::new();
    let hint = |name: &str, model: &str, needles: &[&str]| {
        let out = place.pack(name, Some(place.schema(name, model)), true, &[]);
        refused(name, &out, needles);
        assert!(stderr(&out).contains("rows differ by more than 1e-4"), "{}", stderr(&out));
    };
    hint("plain_gelu", "", &["with the activation GELU", "cannot express", "64 of 64 rows", "expected", "found"]);
    hint("plain_silu", "", &["with the activation SiLU", "cannot express"]);
    hint("deepctr_deepfm", "[model]\nactivation = 'relu'", &["factorisation machine's term", "cannot express"]);
    hint("plain_functional", "[model]\nactivation = 'none'", &["taken with ReLU (activation = \"relu\")"]);
    hint("plain_functional", "[model]\nactivation = 'tanh'", &["taken with ReLU"]);
    hint("plain_last_linear", "[model]\nactivation = 'relu'", &["nothing behind the last"]);
    hint("plain_eps", "", &["batchnorm_eps = 1e-2"]);
    hint("plain_eps", "[model]\nactivation = 'tanh'", &["taken with ReLU", " and with batchnorm_eps = 1e-2"]);
    hint("fuxictr_dcn", "[model]\nbatchnorm = 'after_activation'", &["batchnorm = \"before_activation\""]);
    hint("deepctr_wdl", "[model]\nactivation = 'none'", &["taken with ReLU"]);
    let text = std::fs::read_to_string(case("plain_low_rank", "schema.toml")).unwrap();
    let schema = place.at("order.toml");
    std::fs::write(&schema, text.replace("output_order = \"deep_cross\"\n", "")).unwrap();
    let out = place.pack("plain_low_rank", Some(schema), true, &[]);
    refused("order", &out, &["output_order = \"deep_cross\""]);
}

#[test]
fn what_nothing_says_is_asked_for_unless_outputs_prove_it() {
    let place = Folder::new();
    for (name, model, needles) in [
        ("plain_functional", "", &["dnn.0.weight", "nothing says", "activation = \"relu\"", "--expect"][..]),
        ("deepctr_dcn", "", &["dnn.linears.0.weight", "activation = \"relu\"", "--expect"]),
        ("deepctr_wdl", "[model]\nactivation = 'relu'", &["factorisation machine", "interactions = \"none\"", "`C1`"]),
    ] {
        refused(name, &place.pack(name, Some(place.schema(name, model)), false, &[]), needles);
        let out = place.pack(name, Some(place.schema(name, model)), true, &[]);
        assert!(out.status.success(), "{name}: {}", stderr(&out));
        std::fs::remove_dir_all(place.at("bundle")).unwrap();
    }
}

#[test]
fn summary_and_provenance_say_what_was_taken_and_compared() {
    let place = Folder::new();
    let text = |expect| {
        let out = place.pack("plain_functional", None, expect, &[]);
        assert!(out.status.success(), "{}", stderr(&out));
        String::from_utf8(out.stdout).unwrap()
    };
    let proven = text(true);
    assert!(proven.contains("deep 0: dnn.0.weight [16, 10]: activation relu (schema)"), "{proven}");
    assert!(proven.contains("compared with the outputs of 64 rows: pCTR (`logits_f32`)"), "{proven}");
    let inspect = || {
        let out = Command::new(env!("CARGO_BIN_EXE_adclick")).args(["inspect", &place.at("bundle")]).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(inspect().contains("compared with the outputs of 64 rows") && inspect().contains("outputs_xxh3"));
    let unproven = text(false);
    assert!(unproven.contains("not compared") && unproven.contains("--expect"), "{unproven}");
    assert!(inspect().contains("compared = \"no\""), "{}", inspect());
    let out = place.pack("plain_gelu", None, false, &[]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("activation relu (assumed: something without parameters follows)"), "{text}");
    assert!(text.contains("not compared") && text.contains("assumed: activation relu (2 layers)"), "{text}");
    assert!(stderr(&out).contains("nothing proves the activation relu (2 layers)"), "{}", stderr(&out));
    // What nothing says can be refused, by name.
    std::fs::remove_dir_all(place.at("bundle")).unwrap();
    let strict = |name: &str, without: &str| {
        let text = std::fs::read_to_string(case(name, "schema.toml")).unwrap();
        let schema = place.at("strict.toml");
        std::fs::write(&schema, text.replace(without, "")).unwrap();
        place.pack(name, Some(schema), false, &["--no-assumptions"])
    };
    refused("gelu", &strict("plain_gelu", "\0"), &["nothing says activation relu (2 layers)", "[model]", "--expect"]);
    refused(
        "order",
        &strict("plain_low_rank", "output_order = \"deep_cross\""),
        &["order [cross; deep]", "output_order"],
    );
    let out = strict("plain_low_rank", "\0");
    assert!(out.status.success(), "{}", stderr(&out));
    // Units that are always above 0 do not tell a ReLU from nothing.
    let out = place.pack("plain_far_norm", None, true, &[]);
    assert!(stderr(&out).contains("fit as well taken without activations"), "{}", stderr(&out));
}

/// Logits in the file of --goldens are compared, though nobody asked for it.
#[test]
fn logits_beside_the_inputs_are_compared() {
    let place = Folder::new();
    let pack = |name: &str| place.pack_with(name, None, &case(name, "io.safetensors").display().to_string(), &[]);
    refused("plain_gelu", &pack("plain_gelu"), &["golden requests", "holds logits", "with the activation GELU"]);
    refused("plain_silu", &pack("plain_silu"), &["SiLU"]);
    let out = pack("plain_functional");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("compared with the outputs of 64 rows: pCTR (`logits_f32`)"), "{text}{}", stderr(&out));
}

/// Outputs of other names and types, probabilities, and what does not fit.
#[test]
fn outputs_are_taken_by_name_or_alone() {
    let place = Folder::new();
    let name = "plain_functional";
    let io = std::fs::read(case(name, "io.safetensors")).unwrap();
    let logits: Vec<f32> = tensor(&io, "logits_f32").unwrap().1.iter().map(|&l| l as f32).collect();
    let probabilities: Vec<f32> = logits.iter().map(|l| 1.0 / (1.0 + (-l).exp())).collect();
    let run = |tensors: &[(&str, &[usize], &[f32])], more: &[&str]| {
        let path = place.at("expected.safetensors");
        std::fs::write(&path, file_of(tensors)).unwrap();
        place.pack(name, None, false, &[&["--expect", &path], more].concat())
    };
    let good = |tensors: &[(&str, &[usize], &[f32])], more: &[&str], needle: &str| {
        let out = run(tensors, more);
        assert!(out.status.success(), "{tensors:?}: {}", stderr(&out));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains(needle), "{text}");
        std::fs::remove_dir_all(place.at("bundle")).unwrap();
    };
    good(&[("logit", &[64], &logits)], &[], "pCTR (`logit`)");
    good(&[("pctr", &[64], &probabilities)], &[], "pCTR (`pctr`)");
    good(&[("y_pred", &[64, 1], &probabilities)], &[], "`y_pred` was taken for probabilities");
    good(&[("anything", &[64], &logits)], &[], "`anything` was taken for logits");
    good(&[("anything", &[64], &logits)], &["--expect-as", "logits"], "`anything` was taken for logits");
    for (tensors, more, needles) in [
        (vec![("logit", &[63usize][..], &logits[1..])], vec![], &["`logit` has 63 rows", "64"][..]),
        (vec![("a", &[64][..], &logits[..]), ("b", &[64], &logits)], vec![], &["a [64]", "b [64]", "`logit`"]),
        (vec![("pctr", &[64][..], &logits[..])], vec![], &["`pctr` holds", "expected probabilities"]),
        (vec![("a", &[64][..], &probabilities[..])], vec!["--expect-as", "logits"], &["taken for probabilities"]),
    ] {
        refused("outputs", &run(&tensors, &more), needles);
    }
    let mut odd = logits.clone();
    odd[7] = f32::NAN;
    refused("NaN", &run(&[("logit", &[64], &odd)], &[]), &["row 7", "NaN"]);
    odd[7] = logits[7] + 0.01;
    refused("one row", &run(&[("logit", &[64], &odd)], &[]), &["1 of 64 rows", "the worst is row 7"]);
    let shifted: Vec<f32> = logits.iter().map(|l| l + 0.75).collect();
    refused("bias", &run(&[("logit", &[64], &shifted)], &[]), &["All rows differ by the same 0.75"]);
    // Logits as the model says them, whatever share of negatives it was trained on.
    good(&[("logit", &[64], &logits)], &["--downsampling", "0.1"], "pCTR (`logit`)");
}
