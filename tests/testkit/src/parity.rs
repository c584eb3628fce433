//! A bundle and requests that every language answers, and the answers of the Rust API. README.md gives the formats.

use std::path::Path;

use adclick::auction::Reason;
use adclick::builder::bundle::{self, CALIBRATORS_FILE, Content, MODEL_FILE, POLICY_FILE, Role};
use adclick::builder::calibrate::encode_calibrators;
use adclick::builder::calibrate::{Calibrator, Calibrators, HeadCalibrator, Isotonic, Platt};
use adclick::builder::model::pack_model;
use adclick::builder::schema::Source;
use adclick::{Candidate, Engine, Input, Options, Request, ScorerLimits, Value, Winner, category_id};
use bytemuck::Pod;

use crate::blocks::Block;
use crate::common::{Case, Random, Wants, case, chance, model, without_ids};
use crate::plain_tables::{PlainTable, ask, enrich, files};
use crate::segments;

/// The requests of the full set.
pub const COUNT: usize = 10_000;
/// What every language's scorer is made for.
pub const MAX_CANDIDATES: usize = 200;
/// A name that no model reads.
const STRANGER: &str = "nobody_reads_this";

const POLICY: &str = r#"
ties = "hash"
squash = 0.9
score_floor_micros = 500
unit_micros = 10
slot_factors = [1.0, 0.5]
[mean_probability]
cpc = 0.1
[reserve_micros]
cpm = 20000
cpc = 20000
[page]
per_advertiser = 2
per_label = 1
min_ecpm_micros = 1000
[[tier]]
name = "deals"
[[tier]]
name = "standard"
[[tier]]
name = "house"
floor_exempt = true
[[modifier]]
campaign = 1
hours = [6, 20]
adjust = 0.25
[[modifier]]
device = 2
boost = 1.5
[[reserve]]
placement = 1
cpc = 30000
[[reserve]]
slot = 0
ocpm = 25000
[cold_start]
bonus = 0.5
[exploration]
method = "plackett-luce"
temperature = 0.5
pool = 8
max_given_up_micros = 100000000
"#;

/// Writes `bundle` and `requests.bin` into `directory`, the same each time.
pub fn make(directory: &Path, count: usize) {
    let (mut random, spec, tables) = richest();
    let (packed, heads) = (pack_model(&spec).unwrap(), calibrators());
    let encoded = encode_calibrators(&heads);
    let scratch = tempfile::tempdir().unwrap();
    let files: Vec<_> = tables.iter().flat_map(|t| files(t, scratch.path())).collect();
    let mut contents = vec![
        (Role::Model, MODEL_FILE, Content::Bytes(&packed)),
        (Role::Calibrators, CALIBRATORS_FILE, Content::Bytes(&encoded)),
        (Role::Policy, POLICY_FILE, Content::Bytes(POLICY.as_bytes())),
    ];
    contents.extend(files.iter().map(|(name, path)| (Role::Table, name.as_str(), Content::Copy(path))));
    let path = directory.join("bundle");
    bundle::write_files(&path, &contents, true).unwrap();
    segments::add(&path, &spec, &mut random, heads);

    let engine = Engine::open(&path, &Options::default()).unwrap();
    let mut names: Vec<String> = spec.schema.features.iter().map(|f| f.input.clone()).collect();
    names.push(STRANGER.to_owned());
    names.sort();
    names.dedup();
    let handles: Vec<u32> = names.iter().map(|name| engine.feature(name).unwrap()).collect();
    let mut bytes = b"ADCLKRQ2".to_vec();
    put(&mut bytes, &[count as u32, 0, names.len() as u32]);
    for name in &names {
        put(&mut bytes, &[name.len() as u32]);
        bytes.extend_from_slice(name.as_bytes());
    }
    for i in 0..count {
        let n = match random.between(0, 99) {
            0 => MAX_CANDIDATES,
            1..=4 => 0,
            5..=14 => 1,
            15..=24 => random.between(30, 70),
            _ => random.between(2, 16),
        };
        let mut case = case(&mut random, &spec.schema, n, &engine);
        // Half of them leave most to the tables.
        if chance(&mut random, 50) {
            case = ask(&mut random, &case);
        }
        by_index(&mut case, &handles);
        vary(&mut random, &mut case);
        if i % 20 == 7 {
            spoil(&mut random, &mut case, i / 20);
        }
        // Each language states the sizes of its own entries.
        put(&mut bytes, &[Request { candidate_size: 0, winner_size: 0, ..case.request }]);
        put(&mut bytes, &case.values);
        put(&mut bytes, &case.candidates);
        put(&mut bytes, &case.candidate_values);
        let mut block = Block::default();
        if chance(&mut random, 40) {
            block = Block::new(&mut random, &case);
            // What no name has stands for the last one.
            let last = names.len() as u32 - 1;
            block.id_features.iter_mut().chain(&mut block.number_features).for_each(|f| *f = (*f).min(last));
        }
        put_block(&mut bytes, &block);
    }
    std::fs::write(directory.join("requests.bin"), bytes).unwrap();
}

/// The first random model that has everything: all kinds of features, cross and deep layers, tables of all keys.
fn richest() -> (Random, adclick::builder::artifact::model::spec::ModelSpec, Vec<PlainTable>) {
    for seed in 0.. {
        let mut random = Random(0x00ad_c11c + seed);
        let mut spec = model(&mut random, Wants { similarities: true, ..Wants::default() });
        let tables = enrich(&mut random, &mut spec);
        let has = |source| spec.schema.features.iter().any(|f| f.source == source);
        let sources = [Source::Context, Source::Candidate, Source::Time, Source::Dot].into_iter().all(has);
        let network = &spec.network;
        let layers = network.cross.len() == 2 && network.deep.len() == 2;
        if sources && layers && spec.schema.features.len() >= 20 && tables.len() >= 6 {
            return (random, spec, tables);
        }
    }
    unreachable!("one of 2^64 models has everything")
}

fn calibrators() -> Calibrators {
    let platt = Calibrator::Platt(Platt::new(0.7, -0.4).unwrap());
    let isotonic = Isotonic::new(vec![0.05, 0.3, 0.9], vec![0.01, 0.2, 0.6]).unwrap();
    Calibrators {
        ctr: HeadCalibrator::new(0.5, platt).unwrap(),
        cvr: HeadCalibrator::new(1.0, Calibrator::Isotonic(isotonic)).unwrap(),
        ..Calibrators::default()
    }
}

fn put_block(bytes: &mut Vec<u8>, block: &Block) {
    let Block { id_features, ids, number_features, numbers, missing_id } = block;
    let counts = [24, u32::from(missing_id.is_some()), id_features.len() as u32, number_features.len() as u32];
    put(bytes, &counts);
    put(bytes, &[missing_id.unwrap_or_default()]);
    put(bytes, id_features);
    put(bytes, ids);
    put(bytes, number_features);
    put(bytes, numbers);
}

/// Indices into the names in the place of handles; values of handles that no name has go.
fn by_index(case: &mut Case, handles: &[u32]) {
    let indexed = |values: &[Value]| -> Vec<Value> {
        let index = |v: &Value| handles.iter().position(|&h| h == v.feature);
        values.iter().filter_map(|v| Some(Value { feature: index(v)? as u32, ..*v })).collect()
    };
    let mut renumbered = Case { request: case.request, values: indexed(&case.values), ..Case::default() };
    renumbered.request.n_values = renumbered.values.len() as u32;
    for c in 0..case.n() {
        let values = indexed(case.values_of(c));
        renumbered.push(case.candidates[c], &values);
    }
    *case = renumbered;
}

/// Bids of every kind, sound and not.
fn vary(random: &mut Random, case: &mut Case) {
    if chance(random, 3) {
        case.request.n_slots = 1000;
    }
    case.request.placement = random.between(0, 2) as u32;
    case.request.device = random.between(0, 2) as u32;
    case.request.floor_cpm_micros = if chance(random, 20) { 5000 } else { 0 };
    case.request.exploration = if chance(random, 20) { random.between(1, 2) as u32 } else { 0 };
    for candidate in &mut case.candidates {
        candidate.campaign_key = random.between(0, 9) as u64;
        candidate.creative_key = random.between(0, 99) as u64;
        candidate.category_key = random.between(0, 9) as u64;
        candidate.label_key = random.between(0, 29) as u64;
        let tier = ["deals", "standard", "house", "unknown"][random.between(0, 30).min(3)];
        candidate.tier_key = if chance(random, 60) { 0 } else { category_id(tier.as_bytes()) };
        candidate.adjust_ppm = if chance(random, 20) { random.between(0, 1_000_000) as i32 - 500_000 } else { 0 };
        candidate.withheld_ppm = if chance(random, 20) { random.between(0, 1_000_000) as u32 } else { 0 };
        candidate.throttle_ppm = if chance(random, 20) { random.between(0, 1_000_000) as u32 } else { 0 };
        candidate.slot_mask = if chance(random, 5) { random.between(1, 15) as u32 } else { 0 };
        candidate.impressions = random.between(0, 2000) as u32;
        if chance(random, 10) {
            (candidate.value_micros, candidate.target_return_ppm) = (3 * candidate.bid_micros, 2_500_000);
        }
        candidate.flags = if chance(random, 5) { random.between(0, 3) as u32 } else { 0 };
        let mut sometimes = |percent| chance(random, percent);
        candidate.reserve_micros = if sometimes(30) { candidate.bid_micros / 2 } else { 0 };
        candidate.modifier = if sometimes(30) { 1.25 } else { 0.0 };
        candidate.quality = if sometimes(30) { 0.75 } else { 0.0 };
        match (sometimes(4), sometimes(50), sometimes(50)) {
            (true, true, true) => candidate.bid_micros = -1,
            (true, true, false) => candidate.bid_kind = 9,
            (true, false, true) => candidate.reserve_micros = candidate.bid_micros + 1,
            (true, false, false) => candidate.quality = f32::NAN,
            (false, ..) => {}
        }
    }
}

/// Makes a request one that is refused, in the way with this number.
fn spoil(random: &mut Random, case: &mut Case, way: usize) {
    let value = |number| Value { feature: 0, number, id: 0 };
    let candidate = Candidate { ad_key: 1, bid_micros: 1, ..Candidate::default() };
    match way % 6 {
        0 => case.request.utc_offset_s = 86_401,
        1 => case.push(candidate, &[value(f32::NAN)]),
        2 => case.push(candidate, &[value(f32::INFINITY)]),
        3 => {
            case.push(candidate, &[]);
            case.candidates.last_mut().unwrap().first_value = u32::MAX;
        }
        4 => {
            case.push(candidate, &[value(1.0)]);
            case.candidates.last_mut().unwrap().n_values = 2 + random.between(0, 9) as u32;
        }
        _ => {
            while case.n() <= MAX_CANDIDATES {
                case.push(candidate, &[]);
            }
        }
    }
}

fn put<T: Pod>(bytes: &mut Vec<u8>, values: &[T]) {
    bytes.extend_from_slice(bytemuck::cast_slice(values));
}

/// What the answers were made of, to see that they say something.
#[derive(Debug, Default)]
pub struct Summary {
    pub answered: usize,
    pub refused: Vec<i32>,
    pub winners: usize,
    pub reasons: Vec<u32>,
}

/// Answers the requests of a file through the Rust API.
pub fn answer(bundle: &Path, requests: &Path, outputs: &Path) -> Summary {
    let engine = Engine::open(bundle, &Options::default()).unwrap();
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: MAX_CANDIDATES }).unwrap();
    let bytes = std::fs::read(requests).unwrap();
    let mut rest = Rest(&bytes);
    assert_eq!(rest.take(8), b"ADCLKRQ2", "{} is no file of requests", requests.display());
    let header = rest.array::<u32>(3);
    let handles: Vec<u32> = (0..header[2])
        .map(|_| {
            let len = rest.array::<u32>(1)[0] as usize;
            engine.feature(std::str::from_utf8(rest.take(len)).unwrap()).unwrap()
        })
        .collect();
    let mut out = b"ADCLKOU1".to_vec();
    put(&mut out, &header[..2]);
    let mut summary = Summary::default();
    for _ in 0..header[0] {
        let mut request = Request::default();
        bytemuck::bytes_of_mut(&mut request).copy_from_slice(rest.take(size_of::<Request>()));
        request.struct_size = size_of::<Request>() as u32;
        let mut values = rest.array::<Value>(request.n_values as usize);
        let candidates = rest.array::<Candidate>(request.n_candidates as usize);
        let mut candidate_values = rest.array::<Value>(request.n_candidate_values as usize);
        for value in values.iter_mut().chain(&mut candidate_values) {
            value.feature = handles[value.feature as usize];
        }
        let n = candidates.len();
        let block = take_block(&mut rest, n, &handles);
        let columns = block.columns();
        let input = Input {
            request: &request,
            values: &values,
            candidates: &candidates,
            candidate_values: &candidate_values,
            columns,
        };
        let mut winners = vec![Winner::default(); n.min(request.n_slots.max(1) as usize)];
        let mut reasons = vec![Reason::Won; n];
        let outcome = match scorer.decide(input, &mut winners, &mut reasons) {
            Ok(outcome) => outcome,
            Err(refusal) => {
                let status = refusal.status() as i32;
                put(&mut out, &[status, 0]);
                if !summary.refused.contains(&status) {
                    summary.refused.push(status);
                }
                continue;
            }
        };
        winners.truncate(outcome.n_winners as usize);
        assert!(winners.iter().all(|winner| (winner.impression_id, winner.impression_id_high) != (0, 0)));
        let winners = without_ids(winners);
        let (mut pctr, mut pcvr) = (vec![0.0f32; n], vec![0.0f32; n]);
        scorer.score(input, &mut pctr, &mut pcvr).unwrap();
        let reasons: Vec<u32> = reasons.iter().map(|&r| r as u32).collect();
        put(&mut out, &[0u32, 0]);
        put(&mut out, &[outcome]);
        put(&mut out, &winners);
        put(&mut out, &reasons);
        put(&mut out, &pctr);
        put(&mut out, &pcvr);
        summary.answered += 1;
        summary.winners += winners.len();
        for reason in reasons {
            if !summary.reasons.contains(&reason) {
                summary.reasons.push(reason);
            }
        }
    }
    assert!(rest.0.is_empty(), "{} bytes after the last request", rest.0.len());
    std::fs::write(outputs, out).unwrap();
    summary
}

fn take_block(rest: &mut Rest<'_>, candidates: usize, handles: &[u32]) -> Block {
    let counts = rest.array::<u32>(4);
    let missing_id = Some(rest.array::<u64>(1)[0]).filter(|_| counts[1] != 0);
    let (n_ids, n_numbers) = (counts[2] as usize, counts[3] as usize);
    let features = |of: Vec<u32>| of.into_iter().map(|index| handles[index as usize]).collect::<Vec<_>>();
    let id_features = features(rest.array(n_ids));
    let ids = rest.array(candidates * n_ids);
    let number_features = features(rest.array(n_numbers));
    let numbers = rest.array(candidates * n_numbers);
    Block { id_features, ids, number_features, numbers, missing_id }
}

/// What is left of a file.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn array<T: Pod>(&mut self, len: usize) -> Vec<T> {
        bytemuck::pod_collect_to_vec(self.take(len * size_of::<T>()))
    }
}
