//! The examples that serve by ids: packed as the manual says, compiled without a warning, and held against what the
//! Rust API gives for the same requests with the tables' values passed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adclick::category_id;
use adclick::{Candidate, Request, Value, Winner};
use adclick::{Engine, Input, Options, ScorerLimits};
use tempfile::TempDir;

use crate::support::file_of;

/// The example's weights by feature: a logistic regression, chosen by hand so that each table has a say.
const WEIGHTS: [(&str, f32); 13] = [
    ("user_ctr_7d", 12.0),
    ("user_impressions_7d", -0.0005),
    ("user_clicks_7d", 0.05),
    ("user_ad_frequency_cap_remaining", 0.25),
    ("ad_ctr_7d", 25.0),
    ("ad_ctr_30d", 10.0),
    ("advertiser_quality_score", 0.5),
    ("hour_of_day", 0.125),
    ("device_type", 0.25),
    ("user_advertiser_click_rate", 5.0),
    ("user_advertiser_impressions", -0.03125),
    ("user_category_affinity", 1.0),
    ("embedding_similarity", 1.0),
];
/// And one cross layer: the ad's click rate counts for more, the more the user likes its category.
const CROSS: (&str, &str, f32) = ("ad_ctr_7d", "user_category_affinity", 0.5);
const BIAS: f32 = -5.0;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The features of the example's schema, each of which is one model input.
fn features() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("examples/schemas/document_tables.toml")).unwrap();
    let schema: toml::Table = text.parse().unwrap();
    schema["features"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect()
}

/// `ADCLICK_UPDATE=1` writes the file anew.
#[test]
fn the_weights_are_those_chosen_here() {
    let features = features();
    let at = |name: &str| features.iter().position(|f| f == name).unwrap_or_else(|| panic!("no feature {name}"));
    let n = features.len();
    let (mut v, mut u, mut out) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    (u[at(CROSS.0)], v[at(CROSS.1)]) = (CROSS.2, 1.0);
    WEIGHTS.iter().for_each(|&(name, weight)| out[at(name)] = weight);
    let bytes = file_of(&[
        ("cross_v.0.weight", &[1, n], &v),
        ("cross_u.0.weight", &[n, 1], &u),
        ("cross_u.0.bias", &[n], &vec![0.0; n]),
        ("output_layer.weight", &[1, n], &out),
        ("output_layer.bias", &[1], &[BIAS]),
    ]);
    let path = root().join("examples/tables/weights.safetensors");
    if std::env::var_os("ADCLICK_UPDATE").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let there = std::fs::read(&path).unwrap();
    assert!(there == bytes, "{}: not these weights; ADCLICK_UPDATE=1 writes them", path.display());
}

fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (told, problem) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr).into_owned());
    assert!(status.success(), "{command:?}: {status}\n{told}{problem}");
    told
}

/// Packs the bundle as `make ids` and docs/tables.md do.
fn pack(out: &Path) {
    pack_with(&[], out);
}

fn pack_with(more: &[&str], out: &Path) {
    let tables = ["users", "ads", "user_advertiser", "user_category"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_adclick"));
    command.current_dir(root()).args(["pack", "--weights", "examples/tables/weights.safetensors"]);
    command.args(["--schema", "examples/schemas/document_tables.toml"]);
    command.args(tables.map(|t| format!("--table={t}=examples/tables/{t}.csv")));
    succeed(command.args(more).arg("--out").arg(out));
}

/// What the documentation of the Rust library and its examples open: so small that a download holds them.
/// `ADCLICK_UPDATE=1` packs them anew.
#[test]
fn the_bundles_of_the_examples_are_what_pack_makes() {
    let directory = TempDir::new().unwrap();
    let as_of = ["--as-of", "2026-11-01T00:00:00Z"];
    let policy = ["--policy", "examples/bundles/second/auction.toml"];
    for (name, more) in [("first", &as_of[..]), ("second", &[as_of, policy].concat())] {
        let (here, there) = (directory.path().join(name), root().join("examples/bundles").join(name));
        pack_with(more, &here);
        if std::env::var_os("ADCLICK_UPDATE").is_some() {
            pack_with(&[more, &["--replace"]].concat(), &there);
        }
        let manifest = |bundle: &Path| std::fs::read_to_string(bundle.join("manifest.toml")).unwrap();
        assert_eq!(manifest(&there), manifest(&here), "{}: ADCLICK_UPDATE=1 packs it anew", there.display());
    }
}

/// Compiles an example against the library of this build. `None`, told, without a compiler, which CI has.
fn compile(source: &str, compiler: (&str, &str), standard: &str, directory: &Path) -> Option<PathBuf> {
    let name = std::env::var(compiler.0).unwrap_or_else(|_| compiler.1.to_owned());
    if Command::new(&name).arg("--version").output().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no compiler {name}");
        println!("skipped: no compiler `{name}`: install gcc and g++, or set CC and CXX");
        return None;
    }
    let libraries = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    assert!(libraries.join("libadclick.so").exists(), "libadclick.so is missing in {}", libraries.display());
    let program = directory.join(source.replace('/', "-"));
    let mut command = Command::new(&name);
    command.args([standard, "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]);
    command.arg("-I").arg(root().join("include")).arg(root().join(source)).arg("-o").arg(&program);
    command.arg("-L").arg(&libraries).args(["-ladclick", "-pthread"]);
    succeed(command.arg(format!("-Wl,-rpath,{}", libraries.display())));
    Some(program)
}

/// What a request brings by ids, and what the tables' rows give it: by input name; for ads by their id.
struct Case {
    utc_offset_s: i32,
    context: Vec<(&'static str, Value)>,
    /// Ad, advertiser, bid.
    ads: Vec<(&'static str, &'static str, i64)>,
    /// Passed for the user, and for each ad: what the program streams in.
    user: Vec<(&'static str, f32)>,
    ad: Vec<(&'static str, &'static str, f32)>,
}

impl Case {
    /// The lines that an example prints for a decision. Passed values win over the tables'.
    fn lines(&self, engine: &Engine, time_us: i64, streamed: bool) -> Vec<String> {
        let passed = |name: &str, number| Value { feature: engine.feature(name).unwrap(), number, id: 0 };
        let mut values: Vec<Value> = self
            .context
            .iter()
            .map(|(name, value)| Value { feature: engine.feature(name).unwrap(), ..*value })
            .collect();
        values.extend(self.user.iter().filter(|_| streamed).map(|&(name, number)| passed(name, number)));
        let (mut candidates, mut own) = (Vec::new(), Vec::new());
        for (ad, advertiser, bid_micros) in &self.ads {
            let first_value = own.len() as u32;
            let mine = self.ad.iter().filter(|(of, ..)| streamed && of == ad);
            own.extend(mine.map(|&(_, name, number)| passed(name, number)));
            candidates.push(Candidate {
                ad_key: key(ad),
                advertiser_key: key(advertiser),
                bid_micros: *bid_micros,
                reserve_micros: 50_000,
                bid_kind: 1,
                first_value,
                n_values: own.len() as u32 - first_value,
                ..Candidate::default()
            });
        }
        let n = self.ads.len() as u32;
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            request_id: 42,
            user_key: key("u1001"),
            time_us,
            utc_offset_s: self.utc_offset_s,
            n_values: values.len() as u32,
            n_candidates: n,
            n_candidate_values: own.len() as u32,
            n_slots: n,
            ..Request::default()
        };
        let input = Input {
            request: &request,
            values: &values,
            candidates: &candidates,
            candidate_values: &own,
            columns: Default::default(),
        };
        let mut winners = vec![Winner::default(); n as usize];
        let mut scorer = engine.scorer(ScorerLimits { max_candidates: self.ads.len() }).unwrap();
        let outcome = scorer.decide(input, &mut winners, &mut []).unwrap();
        winners[..outcome.n_winners as usize]
            .iter()
            .map(|w| {
                let (ad, price) = (self.ads[w.candidate as usize].0, w.price_micros as f64 / 1e6);
                format!("slot {}: ad {ad}, pCTR {:.6}, pays {price:.6} for a click", w.slot, w.pctr)
            })
            .collect()
    }

    /// Whether a program's two decisions are those of the Rust API, before and after.
    fn check(&self, bundle: &Path, told: &str) {
        let engine = Engine::open(bundle, &Options::default()).unwrap();
        let (_, rest) = told.split_once("user u1001 at ").unwrap();
        let time_us = rest.split_once(':').unwrap().0.parse().unwrap();
        let (before, after) = told.split_once("streamed in: ").unwrap();
        let slots = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("slot ")).map(str::to_owned).collect()
        };
        assert_eq!(slots(before), self.lines(&engine, time_us, false), "{told}");
        assert_eq!(slots(after), self.lines(&engine, time_us, true), "{told}");
        let all = self.ads.len();
        assert_eq!((slots(before).len(), slots(after).len()), (all, all), "{told}");
        for line in slots(before) {
            assert!(!after.contains(&line), "this probability did not move: {line}\n{told}");
        }
    }
}

fn key(id: &str) -> u64 {
    category_id(id.as_bytes())
}

fn category(name: &'static str, id: &str) -> (&'static str, Value) {
    (name, Value { id: key(id), ..Value::default() })
}

#[test]
fn the_examples_decide_by_ids_and_see_what_is_streamed_in() {
    let directory = TempDir::new().unwrap();
    let bundle = directory.path().join("bundle");
    pack(&bundle);

    if let Some(program) = compile("examples/cpp/ids.cpp", ("CXX", "c++"), "-std=c++17", directory.path()) {
        let told = succeed(Command::new(&program).arg(&bundle));
        let depth = ("session_depth", Value { number: 4.0, ..Value::default() });
        let case = Case {
            utc_offset_s: 3600,
            context: vec![category("device_type", "mobile"), category("placement", "story"), depth],
            ads: vec![
                ("a1", "acme", 500_000),
                ("a2", "globex", 450_000),
                ("a3", "initech", 480_000),
                ("a4", "acme", 520_000),
                ("a9", "globex", 500_000),
            ],
            // The tables' rows of u1001, and u1001 with acme, and what is added to them.
            user: vec![("user_impressions_7d", 415.0), ("user_clicks_7d", 11.0)],
            ad: vec![
                ("a1", "user_advertiser_impressions", 42.0),
                ("a4", "user_advertiser_impressions", 42.0),
                ("a2", "ad_ctr_7d", 0.055),
                ("a4", "ad_ctr_7d", 0.035),
            ],
        };
        case.check(&bundle, &told);
        let tables: Vec<&str> = told.lines().filter(|line| line.starts_with("table ")).collect();
        assert_eq!(tables.len(), 8, "{told}");
        for (table, rows) in [("users", 5), ("ads", 4), ("user_advertiser", 4), ("user_category", 5)] {
            let line = format!("table {table:<15} {rows} rows, ");
            assert_eq!(tables.iter().filter(|t| t.starts_with(&line)).count(), 2, "{told}");
        }
        let on_top = |at: usize, n: u32| tables[at].contains(&format!(" {n} written on top (room for 65536)"));
        assert!((0..4).all(|at| on_top(at, 0)), "{told}");
        assert!(on_top(4, 1) && on_top(5, 2) && on_top(6, 1) && on_top(7, 0), "{told}");
    }

    if let Some(program) = compile("examples/c/ids.c", ("CC", "cc"), "-std=c11", directory.path()) {
        let told = succeed(Command::new(&program).arg(&bundle));
        let case = Case {
            utc_offset_s: 0,
            context: vec![category("device_type", "mobile")],
            ads: vec![("a1", "acme", 500_000), ("a2", "globex", 500_000), ("a3", "initech", 500_000)],
            user: vec![("user_clicks_7d", 11.0)],
            ad: vec![],
        };
        case.check(&bundle, &told);
        assert!(told.contains("table users: 5 rows, ") && told.contains(" 1 written on top"), "{told}");
    }
}
