//! Bundles with tables: what is refused and how it is named, what is shared between generations, and what a table that
//! was opened without a look at its rows may hold.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adclick::builder::artifact::OpenMode;
use adclick::builder::artifact::model::spec::{EmbeddingSpec, HeadKind, HeadSpec, ModelSpec, NetworkSpec, Structure};
use adclick::builder::bundle::{self, Content, MODEL_FILE, Manifest, Role};
use adclick::builder::enrich::TableReader;
use adclick::builder::model::pack_model;
use adclick::builder::schema::{
    Binding, ColumnUse, Embedding, Enrichment, Feature, Index, KeyPart, Kind, Lookup, Measure, Pooling, Schema, Source,
    TableUse, Transform,
};
use adclick::builder::table::{Column, ColumnKind, Table, TableSet, TableSource};
use adclick::{Engine, Options, Status, TableChecks};
use testkit::common::{Bundles, Random, Wants, case, model, options, score, scorer};
use testkit::plain_tables::{self, Plain, PlainTable, ask, enrich, files, write};

/// Some of these tests count the maps of the process, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Mappings of files under a directory, by file name.
fn mappings(under: &Path) -> Vec<String> {
    let under = under.to_str().unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut names: Vec<String> =
        maps.lines().filter_map(|l| l.split_once(under)).map(|(_, name)| name.to_owned()).collect();
    names.sort();
    names
}

/// A model with one feature of each kind of column.
fn spec() -> ModelSpec {
    let number = || Kind::Number { transform: Transform::default(), default: 0.5 };
    let category =
        |boundaries: &[f32], embedding| Kind::Category { embedding, boundaries: boundaries.to_vec(), default: None };
    let feature = |name: &str, source, kind| Feature {
        name: name.to_owned(),
        input: name.to_owned(),
        source,
        kind,
        position: None,
    };
    let embedding = |name: &str, count| Embedding {
        name: name.to_owned(),
        index: Index::Identity { count },
        dim: 1,
        unknown_row: false,
        missing_row: false,
        wide: false,
    };
    let features = vec![
        feature("ctr", Source::Ad, number()),
        feature("level", Source::Ad, category(&[0.0, 1.0], 0)),
        feature("format", Source::Ad, category(&[], 1)),
        feature("topics", Source::Ad, Kind::MultiCategory { embedding: 1, pooling: Pooling::Mean }),
        feature("looks", Source::Ad, Kind::Vector { dim: 3 }),
        feature("second", Source::Ad, number()),
        feature("near", Source::Dot, number()),
        feature("affinity", Source::Cross, number()),
    ];
    let of = |table, column: &str| ColumnUse { table, column: column.to_owned(), position: None };
    let lookups = [
        Lookup::Column(of(0, "ctr_7d")),
        Lookup::Column(of(0, "level")),
        Lookup::Column(of(0, "format")),
        Lookup::Column(of(0, "topics")),
        Lookup::Column(of(0, "looks")),
        Lookup::Column(ColumnUse { position: Some(1), ..of(0, "pair") }),
        Lookup::Similarity { left: of(1, "likes"), right: of(0, "looks"), measure: Measure::Dot },
        Lookup::Column(of(2, "rate")),
    ];
    let bindings = (0..).zip(lookups).map(|(feature, lookup)| Binding { feature, lookup }).collect();
    let table = |name: &str, key| TableUse { name: name.to_owned(), key };
    let width = 10;
    let head = HeadSpec { kind: HeadKind::Ctr, tower: Vec::new(), weight: vec![0.25; width], bias: 0.0 };
    ModelSpec {
        schema: Schema { features, embeddings: vec![embedding("level", 3), embedding("id", 2)] },
        enrichment: Enrichment {
            tables: vec![
                table("ads", vec![KeyPart::Ad]),
                table("users", vec![KeyPart::User]),
                table("affinities", vec![KeyPart::User, KeyPart::Column(of(0, "category"))]),
            ],
            bindings,
        },
        network: NetworkSpec { structure: Structure::Parallel, cross: vec![], deep: vec![], heads: vec![head] },
        embeddings: [3, 2].map(|n| EmbeddingSpec { rows: vec![0.5; n], ..EmbeddingSpec::default() }).into(),
        provenance: String::new(),
        histograms: vec![],
        ranges: Vec::new(),
        goldens: vec![],
    }
}

fn table(name: &str, columns: &[(&str, ColumnKind)]) -> PlainTable {
    let columns: Vec<_> = columns.iter().map(|&(name, kind)| Column { name: name.to_owned(), kind }).collect();
    let missing = vec![Plain::Missing; columns.len()];
    let rows = (1..50).map(|key| (key, missing.clone())).collect();
    PlainTable {
        name: name.to_owned(),
        columns,
        rows,
        default: missing,
        shards: 1,
        there: vec![0],
        ..PlainTable::default()
    }
}

/// Tables that fit it.
fn fitting() -> Vec<PlainTable> {
    use ColumnKind::{F16, F32, U32, U64, Vector};
    let ads = [
        ("ctr_7d", F32),
        ("level", F16),
        ("format", U32 { cap: 1 }),
        ("topics", U64 { cap: 4 }),
        ("looks", Vector { dim: 3 }),
        ("pair", Vector { dim: 2 }),
        ("category", U64 { cap: 1 }),
    ];
    vec![table("ads", &ads), table("users", &[("likes", Vector { dim: 3 })]), table("affinities", &[("rate", F32)])]
}

#[test]
fn a_table_that_does_not_fit_is_refused_with_both_named() {
    let _alone = alone();
    let bundles = Bundles::new();
    let spec = spec();
    write(&bundles, "good", &spec, &fitting());
    let engine = Engine::open(&bundles.path("good"), &Options::default()).unwrap();
    let id = engine.generation().unwrap().id();
    let refused = |change: &dyn Fn(&mut Vec<PlainTable>), expected: &[&str]| {
        let mut tables = fitting();
        change(&mut tables);
        for t in &mut tables {
            t.default.resize(t.columns.len(), Plain::Missing);
            let width = t.columns.len();
            t.rows.values_mut().for_each(|row| row.resize(width, Plain::Missing));
        }
        write(&bundles, "bad", &spec, &tables);
        let errors = [
            engine.stage(&bundles.path("bad")).err().unwrap(),
            Engine::open(&bundles.path("bad"), &Options::default()).err().unwrap(),
        ];
        for e in errors {
            assert_eq!(e.status, Status::Unsupported, "{e}");
            assert!(expected.iter().all(|part| e.message.contains(part)), "{e}, expected {expected:?}");
        }
        assert_eq!(engine.generation().unwrap().id(), id);
    };
    let kind = |table: usize, column: &'static str, kind: ColumnKind| {
        move |tables: &mut Vec<PlainTable>| {
            tables[table].columns.iter_mut().find(|c| c.name == column).unwrap().kind = kind;
        }
    };
    use ColumnKind::{F16, F32, U32, U64, Vector};
    let ads = "table.ads.0.adc";
    for other in [U64 { cap: 4 }, Vector { dim: 1 }, U32 { cap: 1 }] {
        let found = format!("{ads} has it as {other}");
        refused(&kind(0, "ctr_7d", other), &["feature `ctr` reads column `ctr_7d` of table `ads` as a number", &found]);
        refused(&kind(0, "level", other), &["feature `level` reads column `level` of table `ads` as a number", &found]);
    }
    for other in [U64 { cap: 2 }, F32, Vector { dim: 1 }] {
        let found = format!("{ads} has it as {other}");
        refused(
            &kind(0, "format", other),
            &["feature `format` reads column `format` of table `ads` as one id", &found],
        );
        let key = "the key of table `affinities` reads column `category` of table `ads` as one id";
        refused(&kind(0, "category", other), &[key, &found]);
    }
    for other in [F16, Vector { dim: 2 }] {
        let found = format!("{ads} has it as {other}");
        refused(&kind(0, "topics", other), &["feature `topics` reads column `topics` of table `ads` as ids", &found]);
    }
    for other in [F16, Vector { dim: 4 }, U64 { cap: 3 }] {
        let found = format!("{ads} has it as {other}");
        refused(
            &kind(0, "looks", other),
            &["feature `looks` reads column `looks` of table `ads` as a vector of 3", &found],
        );
    }
    for other in [F32, Vector { dim: 1 }] {
        let found = format!("{ads} has it as {other}");
        refused(
            &kind(0, "pair", other),
            &["feature `second` reads column `pair` of table `ads` as a vector with position 1", &found],
        );
    }
    refused(
        &kind(1, "likes", F32),
        &["feature `near` reads column `likes` of table `users` as a vector", "users.0.adc has it as f32"],
    );
    let compared = "feature `near` compares column `likes` of table `users` (table.users.0.adc: 5 values) with column \
                    `looks` of table `ads` (table.ads.0.adc: 3 values)";
    refused(&kind(1, "likes", Vector { dim: 5 }), &[compared]);
    refused(
        &|t| t[2].columns[0].name = "other".to_owned(),
        &[
            "feature `affinity` reads column `rate` of table `affinities`, which table.affinities.0.adc does not have",
            "`other`",
        ],
    );
    refused(&|t| drop(t.remove(1)), &["the model reads table `users`, which is not there", "`ads`, `affinities`"]);
    refused(&|t| t.clear(), &["the model reads table `ads`, which is not there (none is)"]);
    // Trainers get the same message.
    let directory = tempfile::tempdir().unwrap();
    let (file, path) = files(&table("ads", &[("ctr_7d", F32)]), directory.path()).remove(0);
    let open = Table::open(adclick::builder::artifact::Bytes::open(&path, OpenMode::Map).unwrap()).unwrap();
    let set = Arc::new(TableSet::new(vec![Arc::new(open)]).unwrap());
    let mut short = spec.enrichment.clone();
    short.tables.truncate(1);
    short.bindings.truncate(2);
    let source = TableSource { set, file, overrides: None };
    let e = TableReader::new(&spec.schema, &short, &[source]).err().unwrap();
    assert!(e.message.contains("feature `level` reads column `level` of table `ads`, which"), "{e}");
}

#[test]
fn a_table_republished_alone_shares_everything_else() {
    let _alone = alone();
    let bundles = Bundles::new();
    let mut random = Random(5);
    let mut spec = model(&mut random, Wants { similarities: true, ..Wants::default() });
    let mut tables = enrich(&mut random, &mut spec);
    assert!(tables.len() > 3);
    tables.iter_mut().for_each(|t| (t.shards, t.there) = (1, vec![0]));
    write(&bundles, "a", &spec, &tables);
    let most = plain_tables::most_read(&spec);
    let before = tables[most].clone();
    tables[most].rows.clear();
    write(&bundles, "b", &spec, &tables);
    let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
    let first = engine.generation().unwrap();
    let maps = mappings(bundles.root());
    assert_eq!(maps.len(), 1 + tables.len(), "{maps:?}");
    let mut scorer = scorer(&engine, 32);
    let case = ask(&mut random, &case(&mut Random(7), &spec.schema, 20, &engine));
    let scores = score(&mut scorer, &case).unwrap();

    let staged = engine.stage(&bundles.path("b")).unwrap();
    let new: Vec<String> = mappings(bundles.root()).into_iter().filter(|m| !maps.contains(m)).collect();
    assert_eq!(new, [format!("/b/table.{}.0.adc", before.name)], "one file is mapped beside those that were");
    staged.activate().unwrap();
    let second = engine.generation().unwrap();
    assert_ne!(first.id(), second.id());
    assert!(Arc::ptr_eq(first.model(), second.model()));
    for (a, b) in first.tables().iter().zip(second.tables()) {
        let same = a.set.shards().zip(b.set.shards()).all(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(same, a.set.name() != before.name, "table `{}`", a.set.name());
    }
    let changed = score(&mut scorer, &case).unwrap().outcome;
    assert!(changed.n_missing > scores.outcome.n_missing, "the table that changed counts");

    // Back by staging: what only the previous generation has is shared too.
    engine.stage(&bundles.path("a")).unwrap().activate().unwrap();
    let third = engine.generation().unwrap();
    assert_eq!(third.id(), first.id());
    for (a, b) in first.tables().iter().zip(third.tables()) {
        assert!(a.set.shards().zip(b.set.shards()).all(|(a, b)| Arc::ptr_eq(a, b)), "table `{}`", a.set.name());
    }
    assert_eq!(score(&mut scorer, &case).unwrap().bits(), scores.bits());

    // A bundle must be whole even where its files are not read.
    let gone = bundles.path("b").join(format!("table.{}.0.adc", tables[(most + 1) % tables.len()].name));
    fs::write(&gone, b"cut").unwrap();
    let e = engine.stage(&bundles.path("b")).err().unwrap();
    assert!(e.status == Status::Corrupt && e.message.contains("3 bytes, the manifest says"), "{e}");
    fs::remove_file(&gone).unwrap();
    let e = engine.stage(&bundles.path("b")).err().unwrap();
    assert_eq!(e.status, Status::Io, "{e}");

    drop((first, second, third));
    // Two generations of one table's difference are mapped; closing leaves nothing.
    assert_eq!(mappings(bundles.root()).len(), 2 + tables.len());
    engine.close();
    assert_eq!(mappings(bundles.root()).len(), 0);
}

#[test]
fn tables_that_the_model_does_not_read_are_checked_and_left_alone() {
    let _alone = alone();
    let bundles = Bundles::new();
    let mut random = Random(6);
    let spec = model(&mut random, Wants::default());
    bundles.write("without", &spec);
    let others = fitting();
    write(&bundles, "with", &spec, &others);
    let engine = Engine::open(&bundles.path("without"), &options("portable")).unwrap();
    let mut scorer = scorer(&engine, 32);
    let case = case(&mut random, &spec.schema, 9, &engine);
    let scores = score(&mut scorer, &case).unwrap();
    engine.stage(&bundles.path("with")).unwrap().activate().unwrap();
    assert_eq!(score(&mut scorer, &case).unwrap().bits(), scores.bits());
    let generation = engine.generation().unwrap();
    assert_eq!(generation.tables().iter().map(|t| t.set.name()).collect::<Vec<_>>(), ["ads", "users", "affinities"]);
    assert!(generation.needs().tables == 0 && generation.needs().row_bytes == 0);
    let path = bundles.path("with").join("table.users.0.adc");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let e = Engine::open(&bundles.path("with"), &options("portable")).err().unwrap();
    assert!(e.status == Status::Corrupt && e.message.contains("table.users.0.adc: checksum"), "{e}");
}

#[test]
fn two_files_of_one_table_must_be_its_shards() {
    let _alone = alone();
    let bundles = Bundles::new();
    let model = pack_model(&spec()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let all: Vec<_> = fitting().iter().flat_map(|t| files(t, directory.path())).collect();
    let mut contents = vec![(Role::Model, MODEL_FILE, Content::Bytes(&model))];
    contents.extend(all.iter().map(|(name, path)| (Role::Table, name.as_str(), Content::Copy(path))));
    contents.push((Role::Table, "again.adc", Content::Copy(&all[0].1)));
    bundle::write_files(&bundles.path("b"), &contents, true).unwrap();
    let e = Engine::open(&bundles.path("b"), &Options::default()).err().unwrap();
    assert!(e.status == Status::Corrupt && e.message.contains("table `ads`"), "{e}");
}

/// Scorers have room for 8 tables and 16 KiB of rows, or for the first model's needs with headroom.
#[test]
fn more_tables_than_scorers_have_room_for_are_refused() {
    let _alone = alone();
    let bundles = Bundles::new();
    let reading = |n: u32, kind: ColumnKind| {
        let mut spec = spec();
        let mut feature = spec.schema.features[0].clone();
        spec.schema.features.clear();
        spec.enrichment = Enrichment::default();
        let mut all = Vec::new();
        for i in 0..n {
            feature.name = format!("f{i}");
            feature.input.clone_from(&feature.name);
            spec.schema.features.push(feature.clone());
            let name = format!("t{i}");
            all.push(table(&name, &[("x", ColumnKind::F32), ("y", kind)]));
            spec.enrichment.tables.push(TableUse { name, key: vec![KeyPart::Ad] });
            let column = ColumnUse { table: i, column: "x".to_owned(), position: None };
            spec.enrichment.bindings.push(Binding { feature: i, lookup: Lookup::Column(column) });
        }
        spec.network.heads[0].weight = vec![0.5; n as usize];
        (spec, all)
    };
    let write = |name: &str, n, kind| {
        let (spec, all) = reading(n, kind);
        write(&bundles, name, &spec, &all);
    };
    write("one", 1, ColumnKind::F16);
    write("eight", 8, ColumnKind::F16);
    write("nine", 9, ColumnKind::F16);
    write("long rows", 3, ColumnKind::U64 { cap: 700 });
    let mut options = options("portable");
    options.headroom = 1.0;
    for (first, fits) in [("one", false), ("nine", true)] {
        let engine = Engine::open(&bundles.path(first), &options).unwrap();
        // Scratch is no matter here: the networks are of one layer.
        engine.stage(&bundles.path("one")).unwrap();
        let e = engine.stage(&bundles.path("nine")).err();
        assert_eq!(e.is_none(), fits, "{e:?}");
        let e = engine.stage(&bundles.path("long rows")).err().unwrap();
        assert!(e.status == Status::Unsupported && e.message.contains("headroom"), "{e}");
    }
    options.headroom = 20.0;
    let engine = Engine::open(&bundles.path("one"), &options).unwrap();
    for name in ["eight", "nine"] {
        engine.stage(&bundles.path(name)).unwrap();
    }
    let e = engine.stage(&bundles.path("long rows")).err().unwrap();
    assert!(
        e.message.contains("needs 16824 bytes of rows of tables and this engine's scorers have room for 16384"),
        "{e}"
    );
}

/// Rows of any content, under a right manifest: whoever opens lazily gets numbers that mean nothing, and no harm.
#[test]
fn a_lazily_opened_table_may_hold_anything() {
    let _alone = alone();
    let bundles = Bundles::new();
    let (mut all, mut changed, mut missing) = (0, 0, 0);
    let mut lazy = options("portable");
    lazy.tables = TableChecks::Lazy;
    for seed in 0..40 {
        let mut random = Random(900 + seed);
        let mut spec = model(&mut random, Wants { similarities: true, ..Wants::default() });
        let tables = enrich(&mut random, &mut spec);
        write(&bundles, "b", &spec, &tables);
        let manifest = Manifest::read(&bundles.path("b")).unwrap();
        let whole = Engine::open(&bundles.path("b"), &lazy).unwrap();
        let full = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
        let case = ask(&mut random, &case(&mut Random(7), &spec.schema, 30, &whole));
        let [a, b] = [&whole, &full].map(|e| score(&mut scorer(e, 32), &case).unwrap());
        assert_eq!((a.bits(), a.outcome), (b.bits(), b.outcome));
        drop((whole, full));
        for entry in manifest.tables() {
            let path = bundles.path("b").join(&entry.name);
            let mut bytes = fs::read(&path).unwrap();
            let table = Table::open(adclick::builder::artifact::Bytes::open(&path, OpenMode::Copy).unwrap()).unwrap();
            for section in table.sections().iter().filter(|s| ["rows", "pilots"].contains(&s.name.as_str())) {
                // Some keys stay, so that their rows are found.
                for _ in 0..section.len / 8 {
                    bytes[section.offset + random.between(0, section.len - 1)] = random.next_u64() as u8;
                }
            }
            fs::write(&path, bytes).unwrap();
        }
        if tables.is_empty() {
            continue;
        }
        assert_eq!(Engine::open(&bundles.path("b"), &options("portable")).err().unwrap().status, Status::Corrupt);
        let engine = Engine::open(&bundles.path("b"), &lazy).unwrap();
        let scores = score(&mut scorer(&engine, 32), &case).unwrap();
        all += scores.pctr.len();
        changed += scores.pctr.iter().zip(&a.pctr).filter(|(new, old)| new.to_bits() != old.to_bits()).count();
        missing += scores.outcome.n_missing.saturating_sub(a.outcome.n_missing);
    }
    println!("{all} scored, {changed} of them changed, {missing} more values missing");
    assert!(changed > all / 4 && missing > 100, "{changed} of {all} changed, {missing} missing");
}
