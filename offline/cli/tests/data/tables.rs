//! `adclick pack` with tables: bundles, renewed tables, shards, and what is refused.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adclick::builder::bundle::{Manifest, Role};
use adclick::builder::table::Checks;
use adclick::{Candidate, Engine, Input, Options, Request, ScorerLimits, Value as Raw};
use adclick_train::bundle::open_table;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::file_of;

const NAMES: [&str; 4] = ["users", "ads", "user_advertiser", "user_category"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adclick")).args(args).output().unwrap()
}

fn good(args: &[&str]) -> String {
    let out = run(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn refusal(args: &[&str], code: i32) -> String {
    let out = run(args);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8(out.stderr).unwrap()
}

/// A folder with weights for the document's 29 columns.
struct Folder {
    dir: TempDir,
    schema: String,
}

impl Folder {
    fn new() -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
            schema: examples().join("schemas/document_tables.toml").to_str().unwrap().to_owned(),
        };
        let mut state = 1u32;
        let mut draw = |n: usize| -> Vec<f32> {
            (0..n)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 24) as f32 - 0.5
                })
                .collect()
        };
        let (cross, deep, out) = (draw(29 * 29), draw(4 * 29), draw(33));
        let weights = file_of(&[
            ("cross_layers.0.weight", &[29, 29], &cross),
            ("cross_layers.0.bias", &[29], &[0.1; 29]),
            ("dnn.0.weight", &[4, 29], &deep),
            ("dnn.0.bias", &[4], &[0.0; 4]),
            ("output_layer.weight", &[1, 33], &out),
            ("output_layer.bias", &[1], &[-1.0]),
        ]);
        std::fs::write(place.dir.path().join("w.safetensors"), weights).unwrap();
        place
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.at(name), text).unwrap();
        self.at(name)
    }

    /// Packs the example's model and tables.
    fn bundle(&self, name: &str, more: &[&str]) -> String {
        let (weights, out) = (self.at("w.safetensors"), self.at(name));
        let mut args = vec!["pack", "--weights", &weights, "--schema", &self.schema, "--out", &out];
        let tables = NAMES.map(|name| format!("{name}={}", examples().join(format!("tables/{name}.csv")).display()));
        tables.iter().for_each(|table| args.extend(["--table", table]));
        args.extend(more);
        good(&args)
    }

    /// What is in the folder.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn inode(bundle: &str, file: &str) -> u64 {
    std::fs::metadata(Path::new(bundle).join(file)).unwrap().ino()
}

#[test]
fn model_and_tables_become_one_bundle() {
    let place = Folder::new();
    let report: Value =
        serde_json::from_str(&place.bundle("b", &["--json", "--as-of", "2026-11-23T04:00:00Z"])).unwrap();
    let tables = report["tables"].as_array().unwrap();
    let rows: Vec<u64> = tables.iter().map(|t| t["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [5, 4, 4, 5]);
    assert_eq!(tables[0]["files"][0], "table.users.adc");
    assert_eq!(tables[0]["columns"][0]["missing"], 0.2);
    assert!(tables[0]["bytes_per_row"].as_f64().unwrap() > 0.0);
    let again: Value =
        serde_json::from_str(&place.bundle("c", &["--json", "--as-of", "1795406400", "--memory", "1"])).unwrap();
    assert_eq!(report["generation"], again["generation"], "the same content has the same generation");

    let manifest = Manifest::read(Path::new(&place.at("b"))).unwrap();
    let names: Vec<&str> = manifest.files.iter().map(|f| f.name.as_str()).collect();
    let tables = ["table.ads.adc", "table.user_advertiser.adc", "table.user_category.adc", "table.users.adc"];
    assert_eq!(names, [&["model.adc"], &tables[..]].concat());
    assert_eq!(place.names(), ["b", "c", "w.safetensors"], "nothing else is left");

    let verify = good(&["verify", &place.at("b")]);
    assert!(verify.contains("table users: 5 rows, each found by its key"), "{verify}");
    let text = good(&["inspect", &place.at("b")]);
    for needle in [
        "table users · 5 rows",
        "data of 2026-11-23T04:00:00Z",
        "fresh for 1 d",
        "key user_id (string), category (string)",
        "reads table user_category, keyed by user, ads.category",
        "from users.interests[1]",
        "from dot(users.interests, ads.text_embedding)",
        "frequency_cap_remaining",
        "ad cache: ",
    ] {
        assert!(text.contains(needle), "`{needle}` is not in: {text}");
    }
    let table: Value = serde_json::from_str(&good(&["inspect", &place.at("b/table.users.adc"), "--json"])).unwrap();
    assert_eq!(table["table"]["columns"][6]["type"], "f16 vector of 4");
    assert_eq!(table["table"]["columns"][8]["default"], 1.0);
}

#[test]
fn inspect_lists_inputs_and_checks_requests_by_name() {
    let place = Folder::new();
    place.bundle("b", &[]);
    let bundle = place.at("b");
    let text = good(&["inspect", &bundle, "--inputs"]);
    let line = |name: &str| text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
    let words = |name: &str| line(name).split_whitespace().take(4).collect::<Vec<_>>().join(" ");
    assert_eq!(words("device_type"), "device_type request category passed", "{text}");
    assert_eq!(words("hour"), "hour - number time", "{text}");
    assert!(words("user_ctr_7d").ends_with("table") && line("user_ctr_7d").contains("users.ctr_7d"), "{text}");
    let listed: Value = serde_json::from_str(&good(&["inspect", &bundle, "--inputs", "--json"])).unwrap();
    assert_eq!(listed["inputs"].as_array().unwrap().len() + 1, text.lines().count());
    assert!(listed["inputs"].as_array().unwrap().iter().any(|i| i["name"] == "device_type" && i["side"] == "request"));

    let file = place.at("request.json");
    let write = |request: Value| std::fs::write(&file, request.to_string()).unwrap();
    let candidate = serde_json::json!({ "ad_key": "a1", "advertiser_key": "v1" });
    write(serde_json::json!({
        "user_key": "u1001", "placement": 1,
        "values": { "device_type": "mobile", "session_depth": 4 }, "candidates": [candidate],
    }));
    let told = good(&["inspect", &bundle, "--check", &file]);
    assert!(!told.contains("error: "), "{told}");
    // The sides swapped, a text where a number is read, a name that nobody reads.
    write(serde_json::json!({
        "user_key": "u1001", "placement": 1, "values": { "session_depth": "deep", "weather": 1 },
        "candidates": [{ "ad_key": "a1", "advertiser_key": "v1", "values": { "device_type": "mobile" } }],
    }));
    let out = run(&["inspect", &bundle, "--check", &file]);
    let told = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(1), "{told}");
    for needle in [
        "error: `device_type` is passed with the candidate, the model reads it with the request",
        "error: `session_depth`: it has id 0x",
        "error: `weather`: the model has no such input (values[1])",
        "note: `device_type` is not passed with the request",
    ] {
        assert!(told.contains(needle), "`{needle}` is not in: {told}");
    }
    let report: Value = serde_json::from_slice(&run(&["inspect", &bundle, "--check", &file, "--json"]).stdout).unwrap();
    assert_eq!(report["errors"], 3, "{report}");
    for (request, says) in [
        (serde_json::json!({ "value": {} }), "unknown field `value`"),
        (serde_json::json!({ "candidates": [{ "ad": 1 }] }), "candidates[0]"),
        (serde_json::json!({ "values": [1] }), "expected an object of values by name"),
        (serde_json::json!({ "placement": 1.5 }), "placement: expected an integer or a text"),
    ] {
        write(request);
        let told = refusal(&["inspect", &bundle, "--check", &file], 1);
        assert!(told.contains(says) && told.contains("request.json"), "{told}");
    }
}

#[test]
fn a_row_is_shown_by_its_ids() {
    let place = Folder::new();
    place.bundle("b", &[]);
    let show = |args: &[&str]| -> Value {
        let b = place.at("b");
        serde_json::from_str(&good(&[&["inspect", &b, "--json"], args].concat())).unwrap()
    };
    let user = show(&["--table", "users", "--key", "u1003"]);
    assert_eq!((&user["found"], &user["row"]["clicks_7d"]), (&true.into(), &5.0.into()));
    assert_eq!(user["row"]["interests"].as_array().unwrap().len(), 4);
    assert_eq!(show(&["--table", "users", "--key", &format!("0x{}", user["key"].as_str().unwrap())])["found"], true);
    let pair = show(&["--table", "user_category", "--key", "u1002", "--key", "travel"]);
    assert!((pair["row"]["affinity"].as_f64().unwrap() - 0.4).abs() < 1e-3);
    let nobody = show(&["--table", "users", "--key", "nobody"]);
    assert_eq!((&nobody["found"], &nobody["row"]["frequency_cap_remaining"]), (&false.into(), &1.0.into()));
    assert_eq!(nobody["row"]["ctr_7d"], Value::Null);
    let one = show(&["--table", "users", "--key", "u1004"]);
    assert_eq!(one["row"]["ctr_7d"], Value::Null, "an empty cell is missing");

    let file = place.at("b/table.user_category.adc");
    let message = refusal(&["inspect", &file, "--key", "u1002"], 1);
    assert!(message.contains("its key has 2") && message.contains("user_id, category"), "{message}");
    let message = refusal(&["inspect", &place.at("b"), "--key", "u1002"], 1);
    assert!(message.contains("which table?"), "{message}");
    let message = refusal(&["inspect", &place.at("b"), "--table", "advertisers", "--key", "u1002"], 1);
    assert!(message.contains("no table `advertisers`"), "{message}");
}

#[test]
fn a_table_is_renewed_alone_and_the_rest_is_shared() {
    let place = Folder::new();
    place.bundle("1", &["--publish"]);
    let users = place.write(
        "new.csv",
        "user_id,ctr_7d,ctr_30d,impressions_7d,clicks_7d,age_bucket,gender,interests,\
        engagement_score,frequency_cap_remaining\nu7,0.5,,,,,,,,\n",
    );
    let (root, old, new) = (place.dir.path().to_str().unwrap(), place.at("1"), place.at("2"));
    // How the rows are made stands in the old table; the directory's CURRENT names the old bundle.
    let report = good(&["pack", "--from", root, "--table", &format!("users={users}"), "--out", &new, "--publish"]);
    assert!(report.contains("table users: 1 rows") && report.contains("published"), "{report}");
    assert_eq!(std::fs::read_to_string(place.at("CURRENT")).unwrap(), "2\n");
    for file in ["model.adc", "table.ads.adc", "table.user_advertiser.adc", "table.user_category.adc"] {
        assert_eq!(inode(&old, file), inode(&new, file), "{file} takes space twice");
    }
    assert_ne!(inode(&old, "table.users.adc"), inode(&new, "table.users.adc"));
    let generation = |bundle: &str| Manifest::read(Path::new(bundle)).unwrap().generation();
    assert_ne!(generation(&old), generation(&new));
    let table = open_table(&Path::new(&new).join("table.users.adc"), Checks::Full).unwrap();
    let before = open_table(&Path::new(&old).join("table.users.adc"), Checks::Full).unwrap();
    assert_eq!((table.len(), table.layout(), table.fresh_for_s()), (1, before.layout(), 86_400));

    // With the schema file, the same; a packed file is taken as it is.
    let (third, fourth) = (place.at("3"), place.at("4"));
    let given = format!("users={users}");
    good(&["pack", "--from", &old, "--schema", &place.schema, "--table", &given, "--out", &third]);
    assert_eq!(generation(&third), generation(&new));
    let packed = format!("users={}", place.at("2/table.users.adc"));
    good(&["pack", "--from", &old, "--table", &packed, "--out", &fourth]);
    assert_eq!(generation(&fourth), generation(&new));
    assert_eq!(inode(&fourth, "table.users.adc"), inode(&new, "table.users.adc"));

    // A policy alone is new; so is nothing at all.
    let policy = place.write("auction.toml", &adclick::auction::Policy::default().to_toml());
    good(&["pack", "--from", &old, "--policy", &policy, "--out", &place.at("5")]);
    let manifest = Manifest::read(Path::new(&place.at("5"))).unwrap();
    assert!(manifest.file(Role::Policy).is_some());
    assert_eq!(manifest.tables().count(), 4);
    assert_eq!(inode(&place.at("5"), "table.users.adc"), inode(&old, "table.users.adc"));
}

#[test]
fn shards_are_built_published_and_renewed_one_by_one() {
    let place = Folder::new();
    let sharded = std::fs::read_to_string(&place.schema).unwrap().replacen("fresh_for", "shards = 4\nfresh_for", 1);
    let schema = place.write("sharded.toml", &sharded);
    let users = format!("users={}", examples().join("tables/users.csv").display());
    let tables = place.at("tables");
    let args = ["pack", "--schema", &schema, "--table", &users, "--out", &tables, "--tables-only"];
    let report: Value = serde_json::from_str(&good(&[&args[..], &["--json"]].concat())).unwrap();
    assert_eq!((&report["tables"][0]["rows"], report["tables"][0]["files"].as_array().unwrap().len()), (&5.into(), 4));
    let message = refusal(&args, 1);
    assert!(message.contains("exists already") && message.contains("--replace"), "{message}");
    good(&[&args[..], &["--replace"]].concat());
    let names: Vec<String> = {
        let mut names: Vec<_> =
            std::fs::read_dir(&tables).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names, [0, 1, 2, 3].map(|k| format!("table.users.{k}-of-4.adc")));

    // The packed shards into a bundle, beside tables that are built.
    let (weights, out) = (place.at("w.safetensors"), place.at("b"));
    let shards = format!("users={}", names.iter().map(|n| format!("{tables}/{n}")).collect::<Vec<_>>().join(","));
    let others = NAMES[1..].iter().map(|n| format!("{n}={}", examples().join(format!("tables/{n}.csv")).display()));
    let others: Vec<String> = others.collect();
    let mut args = vec!["pack", "--weights", &weights, "--schema", &schema, "--out", &out, "--table", &shards];
    others.iter().for_each(|o| args.extend(["--table", o]));
    good(&args);
    assert_eq!(Manifest::read(Path::new(&out)).unwrap().tables().count(), 7);
    let row: Value =
        serde_json::from_str(&good(&["inspect", &out, "--table", "users", "--key", "u1002", "--json"])).unwrap();
    assert_eq!(row["found"], true);

    // One shard anew; the other three are carried over.
    let new = place.at("c");
    good(&["pack", "--from", &out, "--table", &users, "--shard", "2", "--as-of", "1795406400", "--out", &new]);
    for k in 0..4 {
        let file = format!("table.users.{k}-of-4.adc");
        assert_eq!(inode(&out, &file) == inode(&new, &file), k != 2, "{file}");
    }
    let one = ["pack", "--from", &out, "--schema", &place.schema, "--table", &users, "--shard", "0", "--out", &new];
    let message = refusal(&[&one[..], &["--replace"]].concat(), 1);
    assert!(
        message.contains("shard 0: none of the tables that are built has shards") && message.contains("(--shard)"),
        "{message}"
    );
    // Whole again: none of the shards stays.
    let whole = place.at("d");
    good(&["pack", "--from", &out, "--schema", &place.schema, "--table", &users, "--out", &whole]);
    assert_eq!(Manifest::read(Path::new(&whole)).unwrap().tables().count(), 4);
}

#[test]
fn what_does_not_fit_together_is_refused_and_leaves_nothing() {
    let place = Folder::new();
    place.bundle("b", &[]);
    let users = format!("users={}", examples().join("tables/users.csv").display());
    let plain = examples().join("schemas/document.toml").to_str().unwrap().to_owned();
    let (weights, old, out) = (place.at("w.safetensors"), place.at("b"), place.at("out"));
    good(&["pack", "--weights", &weights, "--schema", &plain, "--out", &place.at("plain")]);
    let bare = place.at("plain");
    let other = place.write(
        "other.toml",
        &std::fs::read_to_string(&place.schema)
            .unwrap()
            .replace("key = [\"user\", \"advertiser\"]", "key = [\"user\", \"ad\"]"),
    );
    let pairs = format!("user_advertiser={}", examples().join("tables/user_advertiser.csv").display());
    let garbage = format!("users={}", place.write("garbage.adc", "ADCLICK\0 and more"));
    let misnamed = format!("ads={}", place.at("b/table.users.adc"));
    let packed = format!("users={}", place.at("b/table.users.adc"));
    let same = place.at("b/table.users.adc");
    let same = format!("users={same},{same}");
    let mixed = format!("users={},{}", place.at("b/table.users.adc"), examples().join("tables/users.csv").display());
    let twice = format!("{users},{}", examples().join("tables/users.csv").display());
    let nowhere = format!("users={}", place.at("nowhere.csv"));
    let before = place.names();
    let with_weights = ["pack", "--weights", &weights, "--out", &out, "--schema"];
    let cases: Vec<(Vec<&str>, i32, &[&str])> = vec![
        ([&with_weights[..], &[&place.schema]].concat(), 1, &["reads table `users`", "--table NAME=FILE"]),
        ([&with_weights[..], &[&place.schema, "--table", &users]].concat(), 1, &["reads table `ads`"]),
        (
            [&with_weights[..], &[&plain, "--table", &users]].concat(),
            1,
            &["table `users`", "no [[tables]] of this name"],
        ),
        (vec!["pack", "--weights", &weights, "--out", &out, "--table", &users], 1, &["table `users`", "--schema FILE"]),
        (vec!["pack", "--from", &bare, "--out", &out, "--table", &users], 1, &["table `users`", "--schema FILE"]),
        (
            vec!["pack", "--from", &bare, "--out", &out, "--schema", &place.schema, "--table", &users],
            1,
            &["table `users`", "reads no such table", "none at all", "--table NAME=FILE"],
        ),
        (
            vec!["pack", "--from", &old, "--out", &out, "--schema", &other, "--table", &pairs],
            1,
            &["user_advertiser", "user, ad in the schema", "user, advertiser in the model"],
        ),
        (vec!["pack", "--from", &old, "--out", &out, "--table", &garbage], 1, &["garbage.adc"]),
        (vec!["pack", "--from", &old, "--out", &out, "--table", &misnamed], 1, &["is of table `users`"]),
        (vec!["pack", "--from", &old, "--out", &out, "--table", &mixed], 1, &["packed table files and data files"]),
        (vec!["pack", "--from", &old, "--out", &out, "--table", &nowhere], 1, &["nowhere.csv"]),
        (vec!["pack", "--from", &old, "--out", &out, "--table", &same], 1, &["two files", "table.users.adc"]),
        (
            vec!["pack", "--from", &old, "--out", &out, "--table", &twice],
            1,
            &["table `users`", "have the same key", "users.csv (rows 6 to 10)"],
        ),
        (vec!["pack", "--from", &old, "--out", &old, "--table", &users], 1, &["exists already", "--replace"]),
        (vec!["pack", "--out", &out], 2, &["--weights"]),
        (vec!["pack", "--from", &old, "--weights", &weights, "--out", &out], 2, &["--from"]),
        (vec!["pack", "--from", &old, "--out", &out, "--table", "users"], 2, &["NAME=FILE"]),
        (vec!["pack", "--from", &old, "--out", &out, "--table", "users=a.csv,"], 2, &["after `=` and each comma"]),
        (vec!["pack", "--from", &old, "--out", &out, "--table", &users, "--as-of", "today"], 2, &["RFC 3339"]),
        (
            vec!["pack", "--from", &old, "--out", &out, "--table", &users, "--as-of", "1795406400000"],
            2,
            &["1970 to 2106", "in seconds"],
        ),
        (vec!["pack", "--from", &old, "--out", &out, "--table", &users, "--memory", "0"], 2, &["--memory"]),
        (vec!["pack", "--tables-only", "--out", &out], 2, &["--schema"]),
        (
            vec!["pack", "--tables-only", "--out", &out, "--schema", &place.schema, "--table", &packed],
            1,
            &["table `users`", "packed already"],
        ),
        (vec!["pack", "--tables-only", "--out", &out, "--schema", &place.schema], 1, &["--table NAME=FILE"]),
    ];
    for (args, code, needles) in cases {
        let message = refusal(&args, code);
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is not in: {message}\nfor: {args:?}");
        }
    }
    assert_eq!(place.names(), before, "something was left behind");
    good(&["verify", &old]);
    good(&["pack", "--from", &old, "--out", &out, "--table", &twice, "--duplicates", "last"]);
    // A bundle in the place of the one that it comes from.
    good(&["pack", "--from", &out, "--out", &out, "--table", &users, "--replace"]);
    good(&["verify", &out]);
    assert!(good(&["pack", "--help"]).contains("a 256th"), "the memory that building takes is not said");
}

#[test]
fn calibrating_a_bundle_keeps_its_tables() {
    let place = Folder::new();
    place.bundle("b", &[]);
    let parts = adclick_train::bundle::BundleParts::read(Path::new(&place.at("b"))).unwrap();
    parts.write(Path::new(&place.at("c")), false, false).unwrap();
    assert_eq!(Manifest::read(Path::new(&place.at("c"))).unwrap().tables().count(), 4);
    assert_eq!(inode(&place.at("b"), "table.ads.adc"), inode(&place.at("c"), "table.ads.adc"));
    adclick_train::bundle::open(Path::new(&place.at("c"))).unwrap();
}

/// The cells of an example table by the ids of their row.
struct Cells {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Cells {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(examples().join(format!("tables/{name}.csv"))).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        Self { header: lines.next().unwrap(), rows: lines.collect() }
    }

    /// The text in a column of the row that begins with these ids; empty when there is no such row.
    fn get(&self, ids: &[&str], column: &str) -> &str {
        let at = self.header.iter().position(|h| h == column).unwrap();
        self.rows.iter().find(|row| row[..ids.len()] == *ids).map_or("", |row| &row[at])
    }

    fn number(&self, ids: &[&str], column: &str) -> Option<f32> {
        self.get(ids, column).parse().ok()
    }

    /// As fp16 holds it.
    fn half(&self, ids: &[&str], column: &str) -> Option<f32> {
        self.number(ids, column).map(|x| half::f16::from_f32(x).to_f32())
    }

    fn vector(&self, ids: &[&str], column: &str) -> Option<Vec<f32>> {
        let text = self.get(ids, column);
        (!text.is_empty()).then(|| text.split(' ').map(|x| half::f16::from_f32(x.parse().unwrap()).to_f32()).collect())
    }
}

#[test]
fn a_request_of_ids_alone_gets_what_the_tables_hold() {
    let place = Folder::new();
    place.bundle("ids", &[]);
    let plain_schema = examples().join("schemas/document.toml");
    let (weights, plain) = (place.at("w.safetensors"), place.at("plain"));
    good(&["pack", "--weights", &weights, "--schema", plain_schema.to_str().unwrap(), "--out", &plain]);
    let ids = Engine::open(Path::new(&place.at("ids")), &Options::default()).unwrap();
    let plain = Engine::open(Path::new(&plain), &Options::default()).unwrap();
    let limits = ScorerLimits { max_candidates: 8 };
    let (mut with_ids, mut with_values) = (ids.scorer(limits).unwrap(), plain.scorer(limits).unwrap());
    let tables = NAMES.map(Cells::read);
    let [users, ads, pairs, tastes] = &tables;
    let hash = |text: &str| adclick::category_id(text.as_bytes());

    let shown = [("a1", "acme"), ("a2", "globex"), ("a3", "initech"), ("a4", "acme"), ("gone", "acme")];
    let mut seen = std::collections::BTreeSet::new();
    for user in ["u1001", "u1002", "u1003", "u1004", "nobody"] {
        let context = |engine: &Engine| {
            let value = |name: &str, number, id| Raw { feature: engine.feature(name).unwrap(), number, id };
            vec![value("device_type", 1.0, hash("desktop")), value("session_depth", 7.0, 0)]
        };
        let request = |values: &[Raw], candidate_values: &[Raw]| Request {
            struct_size: size_of::<Request>() as u32,
            user_key: hash(user),
            time_us: 1_795_406_400_000_000,
            n_values: values.len() as u32,
            n_candidates: shown.len() as u32,
            n_candidate_values: candidate_values.len() as u32,
            ..Request::default()
        };
        // Ids alone.
        let candidates: Vec<Candidate> = shown
            .iter()
            .map(|(ad, by)| Candidate { ad_key: hash(ad), advertiser_key: hash(by), ..Candidate::default() })
            .collect();
        let values = context(&ids);
        let mut found = [0.0; 5];
        let mut found_inputs = [[f32::NAN; 29]; 5];
        let input = Input {
            request: &request(&values, &[]),
            values: &values,
            candidates: &candidates,
            candidate_values: &[],
            columns: Default::default(),
        };
        with_ids.score(input, &mut found, &mut [0.0; 5]).unwrap();
        for (i, x) in found_inputs.iter_mut().enumerate() {
            with_ids.model_input(input, i, x).unwrap();
        }

        // The same values by hand.
        let feature = |name: &str| plain.feature(name).unwrap();
        let put = |to: &mut Vec<Raw>, name: &str, number: Option<f32>| {
            to.extend(number.map(|number| Raw { feature: feature(name), number, id: 0 }));
        };
        let (mut values, of_user) = (context(&plain), [user]);
        for column in ["ctr_7d", "ctr_30d", "impressions_7d", "clicks_7d"] {
            put(&mut values, &format!("user_{column}"), users.number(&of_user, column));
        }
        for column in ["age_bucket", "gender", "engagement_score"] {
            put(&mut values, &format!("user_{column}"), users.half(&of_user, column));
        }
        let cap = users.half(&of_user, "frequency_cap_remaining").or(Some(1.0));
        put(&mut values, "user_ad_frequency_cap_remaining", cap);
        let interests = users.vector(&of_user, "interests");
        for at in [0, 1] {
            put(&mut values, &format!("user_interest_embedding_{at}"), interests.as_ref().map(|v| v[at]));
        }
        let (mut candidates, mut candidate_values) = (Vec::new(), Vec::new());
        for (ad, by) in shown {
            let (to, first_value) = (&mut candidate_values, candidate_values_len(&candidates));
            for column in ["ctr_7d", "ctr_30d", "impressions_7d"] {
                put(to, &format!("ad_{column}"), ads.number(&[ad], column));
            }
            for (name, column) in [
                ("advertiser_quality_score", "advertiser_quality_score"),
                ("ad_creative_type", "creative_type"),
                ("landing_page_quality", "landing_page_quality"),
                ("ad_engagement_rate", "engagement_rate"),
            ] {
                put(to, name, ads.half(&[ad], column));
            }
            let embedding = ads.vector(&[ad], "text_embedding");
            put(to, "ad_text_embedding_0", embedding.as_ref().map(|v| v[0]));
            let dot = interests.iter().zip(&embedding).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b).sum()).next();
            put(to, "embedding_similarity", dot);
            put(to, "user_advertiser_click_rate", pairs.number(&[user, by], "click_rate"));
            put(to, "user_advertiser_impressions", pairs.number(&[user, by], "impressions"));
            let category = ads.get(&[ad], "category");
            put(to, "user_category_affinity", tastes.half(&[user, category], "affinity"));
            let n_values = to.len() as u32 - first_value;
            candidates.push(Candidate { first_value, n_values, ..Candidate::default() });
        }
        let mut expected = [0.0; 5];
        let input = Input {
            request: &request(&values, &candidate_values),
            values: &values,
            candidates: &candidates,
            candidate_values: &candidate_values,
            columns: Default::default(),
        };
        with_values.score(input, &mut expected, &mut [0.0; 5]).unwrap();
        for (i, x) in found_inputs.iter().enumerate() {
            let mut expected = [f32::NAN; 29];
            with_values.model_input(input, i, &mut expected).unwrap();
            // The sums of the similarity may be taken in another order.
            let differs = |at: &usize| (x[*at] - expected[*at]).abs() > 1e-6 || x[*at].is_nan();
            let wrong: Vec<_> = (0..29).filter(differs).map(|at| (at, x[at], expected[at])).collect();
            assert!(wrong.is_empty(), "{user}, {}: column, found, expected: {wrong:?}", shown[i].0);
            seen.insert(x.map(f32::to_bits));
        }
        assert_eq!(found.map(|p| (p * 1e5).round()), expected.map(|p| (p * 1e5).round()), "{user}");
    }
    assert_eq!(seen.len(), 25, "the ids make no difference");
}

/// How many values the candidates so far have.
fn candidate_values_len(candidates: &[Candidate]) -> u32 {
    candidates.last().map_or(0, |c| c.first_value + c.n_values)
}

#[test]
fn what_an_engine_would_refuse_is_not_written() {
    let place = Folder::new();
    place.bundle("b", &[]);
    // A table of the right name with a column less, packed by another schema.
    let schema = "[[tables]]\nname='users'\nkey='user'\ncolumns=[{name='ctr_7d',type='f32'}]\n\
                  [[features]]\nname='f'\nsource='user'\nkind='number'\ncolumn='users.ctr_7d'\n";
    let schema = place.write("small.toml", schema);
    let users = format!("users={}", examples().join("tables/users.csv").display());
    let tables = place.at("t");
    good(&["pack", "--schema", &schema, "--table", &users, "--out", &tables, "--tables-only"]);
    let before = place.names();
    let packed = format!("users={tables}/table.users.adc");
    let message = refusal(&["pack", "--from", &place.at("b"), "--table", &packed, "--out", &place.at("c")], 1);
    for needle in ["nothing was written", "ctr_30d", "user_ctr_30d"] {
        assert!(message.contains(needle), "`{needle}` is not in: {message}");
    }
    let args =
        ["pack", "--from", &place.at("b"), "--schema", &place.schema, "--table", &packed, "--out", &place.at("c")];
    let message = refusal(&args, 1);
    assert!(message.contains("the columns of") && message.contains("interests (f16 vector of 4)"), "{message}");
    assert_eq!(place.names(), before, "something was left behind");
}

/// What a command that was killed left behind goes with the next one; what somebody works in stays.
#[test]
fn what_a_killed_command_left_is_removed() {
    let place = Folder::new();
    let leave = |name: &str, file: &str| {
        std::fs::create_dir(place.at(name)).unwrap();
        std::fs::File::create(Path::new(&place.at(name)).join(file)).unwrap()
    };
    drop(leave(".killed.0123456789abcdef.adclick", "lock"));
    // Killed while it was removed: the lock went last, or only the directory was left.
    std::fs::create_dir(place.at(".killed.0000000000000000.adclick")).unwrap();
    drop(leave(".no-lock.0123456789abcdef.adclick", "rows"));
    drop(leave(".not-ours.adclick", "lock"));
    let at_work = leave(".at-work.0123456789abcdef.adclick", "lock");
    at_work.lock().unwrap();
    place.bundle("b", &[]);
    let left: Vec<String> = place.names().into_iter().filter(|name| name.starts_with('.')).collect();
    let names = [".at-work.0123456789abcdef.adclick", ".no-lock.0123456789abcdef.adclick", ".not-ours.adclick"];
    assert_eq!(left, names);
}

/// `--replace` and `--publish` of every command that writes a bundle, and of the one that writes tables.
#[test]
fn nothing_but_what_is_ours_is_replaced() {
    let place = Folder::new();
    place.bundle("b", &[]);
    std::fs::create_dir(place.at("home")).unwrap();
    std::fs::write(Path::new(&place.at("home")).join("thesis.txt"), "dear").unwrap();
    let users = format!("users={}", examples().join("tables/users.csv").display());
    let (from, home) = (place.at("b"), place.at("home"));
    let tables = place.at("tables");
    std::fs::create_dir(&tables).unwrap();
    std::fs::write(Path::new(&tables).join("table.users.adc"), "somebody's").unwrap();
    let before = place.names();
    let pack = |out: &str| refusal(&["pack", "--from", &from, "--table", &users, "--out", out, "--replace"], 1);
    assert!(pack(&home).contains("it is no bundle"));
    assert!(pack(&place.at("CURRENT")).contains("cannot have the name CURRENT"));
    assert!(pack(&place.at("a\\b")).contains("not a plain name"));
    let only = |out: &str| {
        refusal(&["pack", "--schema", &place.schema, "--table", &users, "--out", out, "--tables-only", "--replace"], 1)
    };
    assert!(only(&tables).contains("it is not a table file"));
    assert!(only(&from).contains("files of a bundle are never written in place"));
    assert_eq!(std::fs::read(Path::new(&home).join("thesis.txt")).unwrap(), b"dear");
    assert_eq!(std::fs::read(Path::new(&tables).join("table.users.adc")).unwrap(), b"somebody's");
    assert_eq!(place.names(), before, "something was left behind");
}

#[test]
fn a_damaged_table_is_not_carried_over() {
    let place = Folder::new();
    place.bundle("b", &[]);
    let ads = place.at("b/table.ads.adc");
    let mut bytes = std::fs::read(&ads).unwrap();
    // A number in some row: the file stays one that can be opened.
    let table = open_table(Path::new(&ads), Checks::Full).unwrap();
    let (row, span) = (table.iter().next().unwrap().1, table.layout().span(0));
    let at = bytes.windows(row.len()).position(|w| w == row).unwrap() + span.offset;
    bytes[at] ^= 1;
    std::fs::remove_file(&ads).unwrap();
    std::fs::write(&ads, bytes).unwrap();
    let users = format!("users={}", examples().join("tables/users.csv").display());
    let before = place.names();
    let message = refusal(&["pack", "--from", &place.at("b"), "--table", &users, "--out", &place.at("c")], 1);
    assert!(message.contains("table.ads.adc was damaged") && message.contains("checksum"), "{message}");
    assert_eq!(place.names(), before, "something was left behind");
}
