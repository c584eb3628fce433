//! What is kept of every ad: when there is a cache, what it costs, which candidates use it, and that answers are the same.

use std::collections::HashMap;

use crate::exposition::Exposition;
use adclick::builder::artifact::model::spec::{
    Activation, DenseSpec, HeadKind, HeadSpec, Matrix, ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::overlay::{Operation, Upsert};
use adclick::builder::schema::{
    Binding, ColumnUse, Enrichment, Feature, KeyPart, Kind, Lookup, Schema, Source, TableUse, Transform,
};
use adclick::builder::table::{Column, ColumnKind};
use adclick::{AdCacheInfo, AdCacheState, BidKind, Candidate, Engine, Precision, Request, Row, Value};
use testkit::allocator;
use testkit::common::{Bundles, Case, Random, Wants, case, decide, model, options, score, scorer};
use testkit::plain_tables::{Plain, PlainTable, ask, enrich, write, write_on_top};

/// Numbers of an ad, and outputs of the deep layer that reads them.
const NUMBERS: usize = 20;
const OUTPUTS: usize = 24;
const ADS: u64 = 50;
/// More than any cache of these tests takes.
const ENOUGH: u64 = 1 << 20;

fn open(bundles: &Bundles, name: &str, bytes: u64, precision: Option<Precision>) -> Engine {
    let mut options = options("portable");
    if precision.is_some() {
        options.kernel = None;
    }
    options.ad_cache_bytes = bytes;
    options.precision = precision;
    Engine::open(&bundles.path(name), &options).unwrap()
}

/// Candidates whose sums came from the cache so far, and the bytes of caches.
fn kept(engine: &Engine) -> (u64, u64) {
    let all = Exposition::parse(&engine.metrics().unwrap().to_string()).unwrap();
    let of = |name: &str| all.of(name, &[]) as u64;
    (of("adclick_candidates_kept_total"), of("adclick_ad_cache_bytes"))
}

/// A number of a user, twenty of an ad, one passed with the candidate; a deep layer over all.
fn world(ad_of: impl Fn(u64, usize) -> f32) -> (ModelSpec, Vec<PlainTable>) {
    let number = |name: String, source| Feature {
        input: name.clone(),
        name,
        source,
        kind: Kind::Number { transform: Transform::default(), default: 0.0 },
        position: None,
    };
    let mut features = vec![number("user".into(), Source::User)];
    features.extend((0..NUMBERS).map(|i| number(format!("n{i}"), Source::Ad)));
    features.push(number("passed".into(), Source::Candidate));
    let of = |feature: usize, table, column: String| Binding {
        feature: feature as u32,
        lookup: Lookup::Column(ColumnUse { table, column, position: None }),
    };
    let mut bindings = vec![of(0, 0, "user".into())];
    bindings.extend((0..NUMBERS).map(|i| of(1 + i, 1, format!("n{i}"))));
    let table = |name: &str, part| TableUse { name: name.into(), key: vec![part] };
    let mut random = Random(5);
    let mut numbers = |n: usize| (0..n).map(|_| random.number() / 4.0).collect::<Vec<f64>>();
    let width = NUMBERS + 2;
    let deep = DenseSpec {
        weight: Matrix { rows: OUTPUTS, cols: width, data: numbers(OUTPUTS * width) },
        bias: numbers(OUTPUTS),
        activation: Activation::Relu,
    };
    let head = HeadSpec { kind: HeadKind::Ctr, tower: vec![], weight: numbers(OUTPUTS), bias: -2.0 };
    let spec = ModelSpec {
        schema: Schema { features, embeddings: vec![] },
        enrichment: Enrichment { tables: vec![table("users", KeyPart::User), table("ads", KeyPart::Ad)], bindings },
        network: NetworkSpec { structure: Structure::Parallel, cross: vec![], deep: vec![deep], heads: vec![head] },
        embeddings: vec![],
        provenance: String::new(),
        histograms: vec![],
        ranges: vec![],
        goldens: vec![],
    };
    let plain = |name: &str, columns: Vec<String>, rows: HashMap<u64, Vec<Plain>>| PlainTable {
        name: name.into(),
        default: vec![Plain::Missing; columns.len()],
        columns: columns.into_iter().map(|name| Column { name, kind: ColumnKind::F32 }).collect(),
        keys: rows.keys().copied().collect(),
        rows,
        shards: 1,
        there: vec![0],
        written: HashMap::new(),
    };
    let users = (1..4).map(|key| (key, vec![Plain::Number(key as f32 / 4.0)])).collect();
    let row = |key| (0..NUMBERS).map(|i| Plain::Number(ad_of(key, i))).collect();
    let ads = (1..=ADS).map(|key| (key, row(key))).collect();
    let columns = (0..NUMBERS).map(|i| format!("n{i}")).collect();
    (spec, vec![plain("users", vec!["user".into()], users), plain("ads", columns, ads)])
}

fn number_of_ad(key: u64, i: usize) -> f32 {
    ((key * 31 + i as u64 * 17) % 29) as f32 / 29.0 - 0.5
}

fn ask_for(ads: impl IntoIterator<Item = u64>) -> Case {
    let request = Request { struct_size: size_of::<Request>() as u32, user_key: 2, n_slots: 2, ..Request::default() };
    let mut case = Case { request, ..Case::default() };
    for ad_key in ads {
        let bid = Candidate { ad_key, bid_kind: BidKind::Cpc as u32, bid_micros: 1_000_000, ..Candidate::default() };
        case.push(bid, &[]);
    }
    case
}

#[test]
fn its_cost_is_stated_before_it_is_spent() {
    let bundles = Bundles::new();
    let (spec, tables) = world(number_of_ad);
    write(&bundles, "a", &spec, &tables);
    let off = open(&bundles, "a", 0, None).ad_cache().unwrap();
    assert_eq!((off.state, off.ads, off.bytes), (AdCacheState::Off, 0, 0));
    // The deep layer's outputs, padded, for each slot of the table.
    let slot = 4 * OUTPUTS.next_multiple_of(16) as u64;
    assert_eq!(off.bytes_needed % slot, 0);
    let slots = off.bytes_needed / slot;
    assert!((ADS..ADS + ADS / 8).contains(&slots), "{slots} slots");
    let needed = off.bytes_needed;
    let small = open(&bundles, "a", needed - 1, None);
    assert_eq!(small.ad_cache().unwrap(), AdCacheInfo { state: AdCacheState::TooLarge, ..off });
    assert_eq!(kept(&small), (0, 0));
    let engine = open(&bundles, "a", needed, None);
    let on = AdCacheInfo {
        state: AdCacheState::On,
        ads: ADS,
        bytes: needed,
        bytes_needed: needed,
        ..AdCacheInfo::default()
    };
    assert_eq!(engine.ad_cache().unwrap(), on);
    assert_eq!(kept(&engine), (0, needed));
    // A staged generation reports it before it is live.
    write(&bundles, "b", &spec, &world(|key, i| -number_of_ad(key, i)).1);
    let staged = engine.stage(&bundles.path("b")).unwrap();
    assert_eq!(staged.ad_cache(), on);
}

#[test]
fn sums_that_come_from_memory_must_save_more() {
    let bundles = Bundles::new();
    let (spec, mut tables) = world(number_of_ad);
    // 128 bytes of sums for 20 columns: more than a mebibyte of them is not worth fetching.
    for (key, state) in [(7_000, AdCacheState::On), (9_000, AdCacheState::Useless)] {
        for key in 1..=key {
            tables[1].rows.entry(key).or_insert_with(|| (0..NUMBERS).map(|i| Plain::Number(i as f32)).collect());
        }
        tables[1].keys = tables[1].rows.keys().copied().collect();
        write(&bundles, "a", &spec, &tables);
        let info = open(&bundles, "a", 2 * ENOUGH, None).ad_cache().unwrap();
        assert_eq!((info.state, info.bytes_needed > 0), (state, state == AdCacheState::On), "{key} ads: {info:?}");
    }
}

#[test]
fn ads_whose_row_says_all_use_it_and_others_do_not() {
    let bundles = Bundles::new();
    let (spec, tables) = world(number_of_ad);
    write(&bundles, "a", &spec, &tables);
    let (engine, plain) = (open(&bundles, "a", ENOUGH, None), open(&bundles, "a", 0, None));
    let (mut with, mut without) = (scorer(&engine, 100), scorer(&plain, 100));
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * b);
    let mut before = 0;
    let mut used = |engine: &Engine| {
        let now = kept(engine).0;
        now - std::mem::replace(&mut before, now)
    };

    let case = ask_for(1..=ADS);
    let mut pctr = vec![0.0; case.n()];
    let allocations = allocator::calls();
    with.score(case.input(), &mut pctr, &mut []).unwrap();
    assert_eq!(allocator::calls() - allocations, 0);
    let first = score(&mut with, &case).unwrap();
    assert_eq!(first.pctr, pctr);
    assert!(close(&first.pctr, &score(&mut without, &case).unwrap().pctr));
    assert_eq!(used(&engine), 2 * ADS);
    assert_eq!(kept(&plain), (0, 0));

    // Ads that the table does not have.
    let unknown = ask_for((0..10).flat_map(|i| [i + 1, 1000 + i]));
    let scores = score(&mut with, &unknown).unwrap();
    assert!(close(&scores.pctr, &score(&mut without, &unknown).unwrap().pctr));
    assert_eq!(used(&engine), 10);

    // A value that an ad's feature reads; one that another feature reads.
    let handle = |name: &str| engine.feature(name).unwrap();
    let value = |name: &str, number| Value { feature: handle(name), number, id: 0 };
    let mut passed = ask_for([]);
    let bid = ask_for([7]).candidates[0];
    // The row's own value passed: the same input, computed with the request, to the same bits.
    for values in [&[][..], &[value("n3", number_of_ad(7, 3))], &[value("n3", 9.0)], &[value("passed", 1.0)]] {
        passed.push(bid, values);
    }
    (0..30).for_each(|_| passed.push(bid, &[]));
    let scores = score(&mut with, &passed).unwrap();
    assert_eq!(scores.pctr[0].to_bits(), scores.pctr[1].to_bits());
    assert_ne!(scores.pctr[0], scores.pctr[2]);
    assert_ne!(scores.pctr[0], scores.pctr[3]);
    assert_eq!(used(&engine), 32);
    for (name, value) in ["n3", "passed"].iter().zip([9.0, 1.0]) {
        assert_eq!(plain.feature(name).unwrap(), handle(name), "both engines count {name}: {value}");
    }
    assert!(close(&scores.pctr, &score(&mut without, &passed).unwrap().pctr));

    // Rows written on top: what is written counts at once, and the same number written again changes no bit.
    let table = engine.table("ads").unwrap();
    let column = engine.column(table, "n0").unwrap();
    let write_number = |key: u64, number: f32| {
        let row = Row { key, first_value: 0, n_values: 1 };
        let upsert = Upsert { table, operation: Operation::Columns, time_us: 0 };
        engine.upsert(&upsert, &[row], &[Value { feature: column, number, id: 0 }]).unwrap();
    };
    (1..=20).for_each(|key| write_number(key, number_of_ad(key, 0)));
    let again = score(&mut with, &case).unwrap();
    assert_eq!(again.bits(), first.bits());
    assert_eq!(used(&engine), ADS - 20);
    write_number(20, 3.0);
    write_number(21, 3.0);
    let other = score(&mut with, &case).unwrap();
    let differ: Vec<usize> = (0..ADS as usize).filter(|&i| other.pctr[i] != first.pctr[i]).collect();
    assert_eq!(differ, [19, 20]);
}

#[test]
fn a_swap_brings_its_own_or_shares_it() {
    let bundles = Bundles::new();
    let (spec, tables) = world(number_of_ad);
    write(&bundles, "a", &spec, &tables);
    let (engine, plain) = (open(&bundles, "a", ENOUGH, None), open(&bundles, "a", 0, None));
    let bytes = engine.ad_cache().unwrap().bytes;
    let case = ask_for(1..=ADS);
    let same = |name: &str| {
        let [a, b] = [&engine, &plain].map(|engine| {
            engine.stage(&bundles.path(name)).unwrap().activate().unwrap();
            score(&mut scorer(engine, 100), &case).unwrap().pctr
        });
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-6 * b), "{name}");
        a
    };
    // Other users, same model and ads: one cache for both generations.
    let (_, mut users) = world(number_of_ad);
    users[0].rows.insert(2, vec![Plain::Number(-1.0)]);
    write(&bundles, "users", &spec, &users);
    let first = same("users");
    assert_eq!(kept(&engine).1, bytes);
    // Other ads.
    write(&bundles, "ads", &spec, &world(|key, i| -number_of_ad(key, i)).1);
    let second = same("ads");
    assert_ne!(first, second);
    assert_eq!(kept(&engine).1, 2 * bytes);
    engine.rollback().unwrap();
    assert_eq!(score(&mut scorer(&engine, 100), &case).unwrap().pctr, first);
}

#[test]
fn decisions_in_two_passes_are_exact_ones_and_packed_numbers_keep_nothing() {
    let bundles = Bundles::new();
    let (spec, tables) = world(number_of_ad);
    write(&bundles, "a", &spec, &tables);
    let [exact, auction, bf16] = [Precision::Exact, Precision::AuctionExact, Precision::Bf16]
        .map(|precision| open(&bundles, "a", ENOUGH, Some(precision)));
    for ads in [1..=ADS, 1..=1, 5..=30] {
        let case = ask_for(ads);
        let [a, b] = [&exact, &auction].map(|engine| decide(&mut scorer(engine, 100), &case).unwrap());
        assert_eq!((a.winners, a.reasons), (b.winners, b.reasons));
    }
    let served = bf16.model().unwrap().precision;
    let expected = if served == Precision::Bf16 { AdCacheState::NotExact } else { AdCacheState::On };
    assert_eq!(bf16.ad_cache().unwrap().state, expected);
    assert!(bf16.ad_cache().unwrap().bytes_needed > 0);
}

#[test]
fn random_models_answer_the_same_with_it() {
    let bundles = Bundles::new();
    let (mut on, mut used, mut of) = (0, 0, 0);
    for seed in 0..80 {
        let mut random = Random(9000 + seed);
        let wants = Wants { wide: seed % 2 == 0, heads: 1 + seed as usize / 2 % 2, ..Wants::default() };
        let mut spec = model(&mut random, wants);
        let mut tables = enrich(&mut random, &mut spec);
        write(&bundles, "b", &spec, &tables);
        let (engine, plain) = (open(&bundles, "b", ENOUGH, None), open(&bundles, "b", 0, None));
        if engine.ad_cache().unwrap().state != AdCacheState::On {
            continue;
        }
        on += 1;
        for _ in 0..3 {
            let case = case(&mut random, &spec.schema, 200, &engine);
            let case = ask(&mut random, &case);
            let [a, b] = [&engine, &plain].map(|engine| score(&mut scorer(engine, 200), &case).unwrap());
            let close = |a: f32, b: f32| (a - b).abs() <= 2e-5 * b || (a.is_nan() && b.is_nan());
            let pairs = || a.pctr.iter().zip(&b.pctr).chain(a.pcvr.iter().zip(&b.pcvr));
            assert!(pairs().all(|(a, b)| close(*a, *b)), "seed {seed}");
            assert_eq!(a.outcome.n_missing, b.outcome.n_missing, "seed {seed}");
            of += case.n() as u64;
            // The same rows on top of both.
            let again = random.0;
            let mut others = tables.clone();
            write_on_top(&mut random, &engine, &mut tables);
            write_on_top(&mut Random(again), &plain, &mut others);
        }
        used += kept(&engine).0;
    }
    println!("{on} caches, {used} of {of} candidates kept");
    assert!(on >= 10 && used >= of / 50, "{on} caches, {used} of {of} candidates");
}
