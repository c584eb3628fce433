//! Training and serving make the same inputs of the same ids, to the bit; and the commands that train and measure with
//! tables, from ids alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::hash::mix;
use adclick::{Candidate, Engine, Input, Options, Request, Scorer, ScorerLimits, category_id};
use adclick_data::logs::{Format, LogFiles, LogRow, TableLookups};
use adclick_data::progress::{JobStage, Progress};
use adclick_data::schema_file::SchemaFile;
use adclick_train::trainer::{Blueprint, Config, Data, Split, TrainingInputs, fit};
use adclick_train::unpack::unpack;
use serde_json::Value;
use tempfile::TempDir;

/// Draws that depend on a seed alone.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// In [-8, 8), with all bits of an f32.
    fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 20) as f32 - 8.0
    }
}

/// A folder in which commands run.
struct Shop(TempDir);

impl Shop {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_adclick"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn json(&self, arguments: &str) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments}: not one JSON object: {e}"))
    }

    fn failure(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

const USERS: u64 = 40;
const ADS: u64 = 30;
const PLACES: u64 = 4;
const BRANDS: u64 = 6;
const DIM: usize = 11;

/// The four tables: by user, by ad, by the pair of user and the ad's brand, and by placement.
const TABLES: &str = "
[labels]
click = 'click'
time = 'time'
utc_offset = 'off'
[keys]
user = 'uid'
ad = 'aid'
placement = 'slot'
[[tables]]
name = 'users'
key = 'user'
columns = [
    { name = 'a', type = 'f32' }, { name = 'b', type = 'f16', default = 0.25 },
    { name = 'taste', type = 'vector', dim = 11, default = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] },
    { name = 'city', type = 'u64' }, { name = 'tags', type = 'u64', cap = 5 },
    { name = 'codes', type = 'u32', cap = 3, default = [3, 3] },
]
[[tables]]
name = 'ads'
key = 'ad'
raw = 'integer'
columns = [
    { name = 'price', type = 'f32', default = 2.5 }, { name = 'form', type = 'u32' },
    { name = 'text', type = 'vector', dim = 11 }, { name = 'brand', type = 'u64' },
]
[[tables]]
name = 'pairs'
key = ['user', 'ads.brand']
key_columns = ['uid', 'brand']
raw = ['string', 'string']
columns = [{ name = 'rate', type = 'f32' }, { name = 'seen', type = 'f16' }]
[[tables]]
name = 'slots'
key = 'placement'
key_columns = 'slot'
columns = [{ name = 'height', type = 'f32', default = 3 }, { name = 'kind', type = 'u64' }]
";

/// Every kind of feature that a table can feed, with drawn transforms, and some that none feeds.
fn schema(draw: &mut Draw) -> String {
    let mut text = TABLES.to_owned();
    let mut n = 0;
    let mut feature = |body: &str| {
        let _ = write!(text, "[[features]]\nname = 'f{n}'\n{body}\n");
        n += 1;
    };
    let numbers = [
        ("user", "users.a"),
        ("user", "users.b"),
        ("user", "users.taste[4]"),
        ("ad", "ads.price"),
        ("ad", "ads.text[10]"),
        ("cross", "pairs.rate"),
        ("cross", "pairs.seen"),
        ("context", "slots.height"),
    ];
    for (source, column) in numbers {
        let bound = format!("source = '{source}'\ncolumn = '{column}'");
        let transform = match draw.below(5) {
            0 => String::new(),
            1 => "transform = { log1p = true }\n".to_owned(),
            2 => "transform = { clip = [-1.5, 4.25] }\n".to_owned(),
            3 => format!("transform = {{ mean = {:?}, scale = {:?} }}\n", draw.number(), draw.number().abs() + 0.1),
            _ => {
                format!("transform = {{ clip = [0.0, 6.0], log1p = true, mean = {:?}, scale = 0.7 }}\n", draw.number())
            }
        };
        feature(&format!("kind = 'number'\n{bound}\n{transform}default = {:?}", draw.number()));
        if draw.one_in(2) {
            feature(&format!(
                "kind = 'category'\n{bound}\nboundaries = [-2.0, 0.5, 3.0]\n\
                 embedding = {{ dim = 3, count = 4, missing_row = {}, wide = true }}",
                draw.one_in(2)
            ));
        }
    }
    let table = |draw: &mut Draw| {
        let index = ["count = 9, unknown_row = true", "buckets = 5", "min_count = 2", "min_count = 1, max_size = 4"];
        let wide = if draw.one_in(2) { ", wide = true" } else { "" };
        format!("embedding = {{ dim = {}, {}{wide} }}", 1 + draw.below(9), index[draw.below(4) as usize])
    };
    for (source, column) in [("user", "users.city"), ("ad", "ads.form"), ("ad", "ads.brand"), ("context", "slots.kind")]
    {
        feature(&format!("kind = 'category'\nsource = '{source}'\ncolumn = '{column}'\n{}", table(draw)));
    }
    for column in ["users.tags", "users.codes", "users.tags"] {
        let pooling = if draw.one_in(3) { "sum" } else { "mean" };
        let table = table(draw);
        feature(&format!("kind = 'multi'\nsource = 'user'\ncolumn = '{column}'\npooling = '{pooling}'\n{table}"));
    }
    feature("kind = 'vector'\nsource = 'user'\ncolumn = 'users.taste'");
    for measure in ["dot", "cosine"] {
        feature(&format!(
            "kind = 'number'\nsource = 'dot'\nleft = 'users.taste'\nright = 'ads.text'\nmeasure = '{measure}'"
        ));
    }
    feature("kind = 'category'\nsource = 'time'\ninput = 'hour'\nembedding = { dim = 2, count = 24 }");
    feature("kind = 'number'\nsource = 'time'\ninput = 'weekday_sin'");
    feature("kind = 'number'\nsource = 'candidate'\ninput = 'rank'\ntransform = { log1p = true }");
    feature("kind = 'multi'\nsource = 'candidate'\ninput = 'labels'\nembedding = { dim = 4, min_count = 1 }");
    text
}

fn cell(draw: &mut Draw, text: impl FnOnce(&mut Draw) -> String) -> String {
    if draw.one_in(6) { String::new() } else { text(draw) }
}

fn vector(draw: &mut Draw) -> String {
    (0..DIM).map(|_| draw.number().to_string()).collect::<Vec<_>>().join(" ")
}

fn some(draw: &mut Draw, most: u64, one: impl Fn(&mut Draw) -> String) -> String {
    (0..draw.below(most + 1)).map(|_| one(draw)).collect::<Vec<_>>().join(" ")
}

/// Writes the data files of the tables. Some ids have no row.
fn tables(shop: &Shop, draw: &mut Draw) {
    let mut text = "uid,a,b,taste,city,tags,codes\n".to_owned();
    for user in (0..USERS).filter(|u| u % 7 != 0) {
        let a = cell(draw, |d| d.number().to_string());
        let b = cell(draw, |d| d.number().to_string());
        let taste = cell(draw, vector);
        let city = cell(draw, |d| format!("c{}", d.below(9)));
        let tags = some(draw, 5, |d| format!("t{}", d.below(12)));
        let codes = some(draw, 3, |d| d.below(12).to_string());
        let _ = writeln!(text, "u{user},{a},{b},{taste},{city},{tags},{codes}");
    }
    shop.write("users.csv", &text.replacen("uid", "user_id", 1));
    let mut text = "ad_id,price,form,text,brand\n".to_owned();
    for ad in (1..ADS).filter(|a| a % 5 != 0) {
        let price = cell(draw, |d| d.number().to_string());
        let form = cell(draw, |d| d.below(12).to_string());
        let vector = if ad == 3 { ["0"; DIM].join(" ") } else { cell(draw, vector) };
        let brand = cell(draw, |d| format!("b{}", d.below(BRANDS)));
        let _ = writeln!(text, "{ad},{price},{form},{vector},{brand}");
    }
    shop.write("ads.csv", &text);
    let mut text = "uid,brand,rate,seen\n".to_owned();
    for (user, brand) in (0..USERS).flat_map(|u| (0..BRANDS).map(move |b| (u, b))) {
        if draw.one_in(3) {
            continue;
        }
        let (rate, seen) = (cell(draw, |d| d.number().to_string()), cell(draw, |d| d.number().to_string()));
        let _ = writeln!(text, "u{user},b{brand},{rate},{seen}");
    }
    shop.write("pairs.csv", &text);
    let mut text = "slot,height,kind\n".to_owned();
    for slot in 1..PLACES {
        let (height, kind) = (draw.number(), cell(draw, |d| format!("k{}", d.below(3))));
        let _ = writeln!(text, "{slot},{height},{kind}");
    }
    shop.write("slots.csv", &text);
}

/// Rows of ids; with `logged` some carry values of features, which then count.
fn rows(shop: &Shop, draw: &mut Draw, n: usize, logged: bool) {
    let mut text = "click,time,uid,aid,slot,rank,labels,off".to_owned();
    let mut offsets = Draw(!draw.0);
    let carried = if logged { ",f0,f1\n" } else { "\n" };
    text += carried;
    for row in 0..n {
        let click = u64::from(row % 3 == 0 || draw.one_in(4));
        let time = 1_790_000_000 + draw.below(2_000_000);
        // Ids past the tables, and empty ones.
        let uid = cell(draw, |d| format!("u{}", d.below(USERS + 5)));
        let aid = cell(draw, |d| d.below(ADS + 5).to_string());
        let slot = cell(draw, |d| d.below(PLACES + 2).to_string());
        let rank = cell(draw, |d| d.number().to_string());
        let labels = some(draw, 3, |d| format!("l{}", d.below(8)));
        // Whole quarters of an hour from -12:00 to +14:00, some of them not known.
        let off = cell(&mut offsets, |d| (d.below(105) as i64 * 900 - 43_200).to_string());
        let _ = write!(text, "{click},{time},{uid},{aid},{slot},{rank},{labels},{off}");
        if logged {
            let _ = write!(text, ",{},", cell(draw, |d| d.number().to_string()));
        }
        text.push('\n');
    }
    shop.write("rows.csv", &text);
}

const GIVEN: &str = "--table users=users.csv --table ads=ads.csv --table pairs=pairs.csv --table slots=slots.csv";
const ROWS: &str = "--data rows.csv --format examples --schema schema.toml";

fn bundle_model(path: &Path) -> Model {
    Model::open(Bytes::open(&path.join("model.adc"), OpenMode::Map).unwrap()).unwrap()
}

/// The rows of a bundle's schema with its tables, as training reads them.
fn source(shop: &Shop, engine: &Engine, model: &Model) -> LogFiles {
    let schema = SchemaFile::read(&shop.path("schema.toml")).unwrap();
    let mut source = LogFiles::new(vec![shop.path("rows.csv")], Format::Examples(schema.data_columns().unwrap()));
    let tables = engine.generation().unwrap().tables().to_vec();
    source.tables = Some(Arc::new(TableLookups::new(model.schema(), model.enrichment(), tables).unwrap()));
    source
}

/// A server's view of a row: the file's text, its ids hashed here.
struct Served {
    request: Request,
    candidate: Candidate,
    values: [Vec<adclick::Value>; 2],
}

fn served(engine: &Engine, header: &[&str], line: &str) -> Served {
    let fields: Vec<&str> = line.split(',').collect();
    let get = |name: &str| header.iter().position(|h| *h == name).map_or("", |at| fields[at]);
    let id = |text: &str| if text.is_empty() { 0 } else { text.parse().unwrap() };
    let value =
        |name: &str, number: f32, id: u64| adclick::Value { feature: engine.feature(name).unwrap(), number, id };
    let mut values = [Vec::new(), Vec::new()];
    for (name, side) in [("f0", 0), ("rank", 1)] {
        if !get(name).is_empty() {
            values[side].push(value(name, get(name).parse().unwrap(), 0));
        }
    }
    for label in get("labels").split(' ').filter(|l| !l.is_empty()) {
        values[1].push(value("labels", 0.0, category_id(label.as_bytes())));
    }
    let user = get("uid");
    let request = Request {
        struct_size: size_of::<Request>() as u32,
        user_key: if user.is_empty() { 0 } else { category_id(user.as_bytes()) },
        placement: id(get("slot")) as u32,
        time_us: get("time").parse::<i64>().unwrap() * 1_000_000,
        utc_offset_s: get("off").parse().unwrap_or(0),
        n_values: values[0].len() as u32,
        n_candidates: 1,
        n_candidate_values: values[1].len() as u32,
        ..Request::default()
    };
    let candidate = Candidate { ad_key: id(get("aid")), n_values: values[1].len() as u32, ..Candidate::default() };
    Served { request, candidate, values }
}

impl Served {
    fn input(&self) -> Input<'_> {
        Input {
            request: &self.request,
            values: &self.values[0],
            candidates: std::slice::from_ref(&self.candidate),
            candidate_values: &self.values[1],
            columns: Default::default(),
        }
    }
}

/// Trains on drawn rows and compares every input of every row. Returns how many values differed from the row before.
fn compare(seed: u64, logged: bool) -> usize {
    let (shop, mut draw) = (Shop::new(), Draw(seed));
    shop.write("schema.toml", &schema(&mut draw));
    tables(&shop, &mut draw);
    rows(&shop, &mut draw, 400, logged);
    let trained = shop.json(&format!("train {ROWS} {GIVEN} --epochs 1 --seed {seed} --out b --no-calibrate --json"));
    assert_eq!(trained["tables"].as_array().map(Vec::len), Some(4), "{trained}");

    let engine = Engine::open(&shop.path("b"), &Options::default()).unwrap();
    let mut scorer: Scorer = engine.scorer(ScorerLimits { max_candidates: 1 }).unwrap();
    let model = bundle_model(&shop.path("b"));
    let (spec, width) = (unpack(&model), model.layout().width);
    let source = source(&shop, &engine, &model);
    let mut inputs = TrainingInputs::new(&spec, &source).unwrap();
    let text = std::fs::read_to_string(shop.path("rows.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let header: Vec<&str> = lines[0].split(',').collect();
    let names: Vec<String> = model
        .schema()
        .features
        .iter()
        .flat_map(|f| {
            (0..f.width(&model.schema().embeddings)).map(|k| format!("{} ({} {:?}) [{k}]", f.name, f.input, f.kind))
        })
        .collect();
    let (mut varied, mut before, mut seen) = (0, vec![0.0f32; width], 0);
    source
        .for_each(&JobStage::silent(), |batch| {
            for row in batch.rows() {
                let row: &LogRow = row;
                let served = served(&engine, &header, lines[row.number as usize + 1]);
                let mut x = vec![f32::NAN; width];
                scorer.model_input(served.input(), 0, &mut x).unwrap();
                let ours = inputs.of(batch, row);
                for ((ours, theirs), name) in ours.iter().zip(&x).zip(&names) {
                    assert_eq!(
                        ours.to_bits(),
                        theirs.to_bits(),
                        "seed {seed}, row {}, {name}: trained on {ours}, served with {theirs}",
                        row.number
                    );
                }
                varied += x.iter().zip(&before).filter(|(a, b)| a != b).count();
                (before, seen) = (x, seen + 1);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, 400);
    varied
}

#[test]
fn rows_enriched_by_the_trainer_and_by_the_engine_are_identical_to_the_bit() {
    for seed in 0..12 {
        let varied = compare(seed, seed % 3 == 0);
        assert!(varied > 400 * 10, "inputs hardly change from row to row ({varied}): the test would say nothing");
    }
}

#[test]
fn commands_train_and_measure_from_ids_alone() {
    let (shop, mut draw) = (Shop::new(), Draw(77));
    shop.write("schema.toml", &schema(&mut draw));
    tables(&shop, &mut draw);
    rows(&shop, &mut draw, 600, false);
    let train = format!("train {ROWS} {GIVEN} --as-of 2026-09-01T00:00:00Z --epochs 2 --refit no");
    let trained = shop.json(&format!("{train} --out a --json"));
    let users = &trained["tables"][0];
    assert_eq!((users["table"].as_str(), users["rows"].as_u64()), (Some("users"), Some(600)));
    let text = std::fs::read_to_string(shop.path("rows.csv")).unwrap();
    let known = text.lines().skip(1).filter(|line| {
        let uid = line.split(',').nth(2).unwrap();
        uid.strip_prefix('u').and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n < USERS && n % 7 != 0)
    });
    assert_eq!(users["found"].as_u64(), Some(known.count() as u64));

    // Packed tables in the place of their sources give the same bundle.
    let packed = ["users", "ads", "pairs", "slots"].map(|t| format!("--table {t}=a/table.{t}.adc")).join(" ");
    let again = shop.json(&format!("train {ROWS} {packed} --epochs 2 --refit no --out b --json"));
    assert_eq!(trained["generation"], again["generation"]);

    let output = shop.run(&format!("train {ROWS} {packed} --epochs 1 --warm-start a --out w --json"));
    let (warm, notes): (Value, _) =
        (serde_json::from_slice(&output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let loss = |json: &Value| json["validation_loss"].as_f64().unwrap();
    let (_, earlier) = notes.split_once("the earlier model: validation log loss ").unwrap_or_else(|| panic!("{notes}"));
    let earlier: f64 = earlier.lines().next().unwrap().parse().unwrap();
    // Never worse than the earlier model as it was packed, whose loss is printed with five places …
    assert!(loss(&warm) <= earlier + 5e-6, "{warm}\n{earlier}");
    // … and packing rounded its weights to fp16, each by up to 5e-4 of itself.
    assert!((earlier - loss(&trained)).abs() < 5e-5, "{earlier} packed\n{trained}");

    // What training says of rows that it held out is what the bundle says of them, the numbers that the wide part reads from
    // tables included.
    let held = shop.json(&format!("train {ROWS} {packed} --epochs 2 --split hash:0 --no-calibrate --out h --json"));
    let model = bundle_model(&shop.path("h"));
    let bound = model.enrichment().bindings.iter().map(|b| &model.schema().features[b.feature as usize]);
    assert!(bound.filter(|feature| feature.name.ends_with("_bucket")).count() > 0);
    let measured = shop.json(&format!("evaluate --bundle h {ROWS} --split hash:0 --json"));
    let [said, measured] = [&held["test_logloss"], &measured["logloss"]].map(|loss| loss.as_f64().unwrap());
    assert!((said - measured).abs() < 1e-4, "log loss {said} by training, {measured} served");

    let calibrated = shop.json(&format!("calibrate --bundle a {ROWS} --method platt --out c --json"));
    assert_eq!(calibrated["tables"][0], *users);
    let evaluated = shop.json(&format!("evaluate --bundle c {ROWS} --json --field f0"));
    assert_eq!(evaluated["tables"][0], *users);
    let scored = shop.json(&format!("score --bundle c {ROWS} --output y.safetensors --json"));
    assert_eq!(scored["tables"][0], *users);
    let bytes = std::fs::read(shop.path("y.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let column = |name: &str| -> Vec<f32> {
        tensors.tensor(name).unwrap().data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let (logits, pctr) = (column("logit"), column("pctr"));
    let engine = Engine::open(&shop.path("c"), &Options::default()).unwrap();
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: 1 }).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut loss = 0.0;
    for (row, line) in lines.enumerate() {
        let served = served(&engine, &header, line);
        let (mut p, mut none) = ([0.0], []);
        scorer.score(served.input(), &mut p, &mut none).unwrap();
        assert_eq!(scorer.logits()[0][0].to_bits(), logits[row].to_bits(), "row {row}");
        assert_eq!(p[0].to_bits(), pctr[row].to_bits(), "row {row}");
        loss -= f64::from(if line.starts_with('1') { p[0] } else { 1.0 - p[0] }).ln() / 600.0;
    }
    let reported = evaluated["logloss"].as_f64().unwrap();
    assert!((loss - reported).abs() < 1e-6, "log loss {loss} by ids, {reported} by evaluate");
}

#[test]
fn streamed_rows_find_the_same_values() {
    let (shop, mut draw) = (Shop::new(), Draw(5));
    shop.write("schema.toml", &schema(&mut draw));
    tables(&shop, &mut draw);
    rows(&shop, &mut draw, 500, true);
    shop.json(&format!("train {ROWS} {GIVEN} --epochs 1 --out b --json"));
    let engine = Engine::open(&shop.path("b"), &Options::default()).unwrap();
    let source = source(&shop, &engine, &bundle_model(&shop.path("b")));
    let blueprint = Blueprint::given(&SchemaFile::read(&shop.path("schema.toml")).unwrap());
    let train = |source: LogFiles, memory_rows| {
        let config = Config { epochs: Some(2), memory_rows, ..Config::default() };
        fit(&config, &Data { source, split: Split::Hash }, &blueprint, None, &Progress::silent()).unwrap()
    };
    let (held, streamed) = (train(source.clone(), None), train(source.clone(), Some(10)));
    assert!(streamed.metrics.streamed && !held.metrics.streamed);
    assert_eq!(streamed.spec.network, held.spec.network);
    assert_eq!(streamed.spec.embeddings, held.spec.embeddings);
    assert_eq!(streamed.metrics.tables, held.metrics.tables);
    assert_ne!(train(source.bare(), None).spec.schema, held.spec.schema, "vocabularies come from the tables");
}

/// A schema of one table, for errors.
const SMALL: &str = "
[labels]
click = 'click'
[keys]
user = { column = 'uid', raw = 'integer' }
[[tables]]
name = 'users'
key = 'user'
raw = 'integer'
columns = [{ name = 'a', type = 'f32' }]
[[features]]
name = 'a'
source = 'user'
kind = 'number'
column = 'users.a'
[[features]]
name = 'rank'
kind = 'number'
";

#[test]
fn what_is_wrong_with_keys_and_tables_is_named() {
    let shop = Shop::new();
    shop.write("schema.toml", SMALL);
    shop.write("users.csv", "user_id,a\n1,0.5\n2,1.5\n");
    let row = |i: u64| format!("{},{},{}\n", i % 3 / 2, i % 4, i % 5);
    let body: String = (0..200).map(row).collect();
    shop.write("rows.csv", &format!("click,uid,rank\n{body}"));
    shop.write("nokey.csv", &format!("click,user,rank\n{body}"));
    shop.write("bad.csv", &format!("click,uid,rank\n{body}1,someone,0\n"));
    let train = |rows: &str, more: &str| {
        shop.failure(&format!("train --data {rows} --format examples --schema schema.toml --epochs 1 --out b {more}"))
    };
    let given = "--table users=users.csv";
    let cases = [
        (train("nokey.csv", given), &["nokey.csv", "\"uid\"", "[keys]", "user", "table `users`"][..]),
        (train("rows.csv", ""), &["feature `a`", "table `users`", "--table NAME=FILE"]),
        (train("rows.csv", "--table ads=users.csv"), &["table `ads`", "users"]),
        (
            train("bad.csv", &format!("{given} --max-bad-rows 0")),
            &["bad.csv, line 202", "uid", "integer id", "someone"],
        ),
    ];
    for (message, needles) in cases {
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is missing in: {message}");
        }
        assert!(!shop.path("b").exists(), "a failed training left a bundle");
    }
    let left = std::fs::read_dir(shop.0.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "temporary files are left");

    shop.json(&format!(
        "train --data rows.csv --format examples --schema schema.toml --epochs 1 --out b {given} --json"
    ));
    // Measuring with a schema that knows no tables would look everybody up as unknown.
    let plain = "[labels]\nclick = 'click'\n[[features]]\nname = 'rank'\nkind = 'number'\n";
    shop.write("plain.toml", plain);
    let message = shop.failure("evaluate --bundle b --data rows.csv --format examples --schema plain.toml");
    assert!(message.contains("table `users`") && message.contains("[keys]"), "{message}");
    // A table of another type than the feature reads.
    shop.write(
        "other.toml",
        &SMALL
            .replace("type = 'f32'", "type = 'u64'")
            .replace("kind = 'number'\ncolumn", "kind = 'category'\nembedding = { dim = 2 }\ncolumn"),
    );
    let output = shop.run("pack --schema other.toml --tables-only --table users=users.csv --out t");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let message = train("rows.csv --replace", "--table users=t/table.users.adc");
    assert!(
        message.contains("columns") && message.contains("a (f32)") && message.contains("table.users.adc"),
        "{message}"
    );
}

#[test]
fn a_value_that_the_row_carries_wins_over_the_table() {
    let shop = Shop::new();
    shop.write("schema.toml", SMALL);
    shop.write("users.csv", "user_id,a\n1,0.5\n2,1.5\n");
    let clicks: String = (0..200).map(|i| format!("{},{},{}\n", i % 3 / 2, i % 4, i % 5)).collect();
    shop.write("rows.csv", &format!("click,uid,rank\n{clicks}"));
    let rows = "--format examples --schema schema.toml";
    shop.json(&format!(
        "train --data rows.csv {rows} --epochs 1 --out b --no-calibrate --table users=users.csv --json"
    ));
    // User 1 has 0.5 in the table, an empty cell leaves it at that, and 2.5 in the row is what counts.
    shop.write("few.csv", "uid,rank,a\n1,1,\n1,1,0.5\n1,1,2.5\n0,1,2.5\n");
    shop.json(&format!("score --bundle b --data few.csv {rows} --output y.safetensors --json"));
    let bytes = std::fs::read(shop.path("y.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let logits: Vec<&[u8]> = tensors.tensor("logit").unwrap().data().chunks(4).collect();
    assert_eq!(logits[0], logits[1]);
    assert_ne!(logits[1], logits[2]);
    assert_eq!(logits[2], logits[3], "an unknown user with the same value");
}
