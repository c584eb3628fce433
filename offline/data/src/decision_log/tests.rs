//! An engine decides and is told events; what its log says is read by Arrow's Avro reader, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use adclick::{
    BidKind, Candidate, Engine, Event, EventKind, Input, KEEP_NO_USER, LogOptions, Options, Request, ScorerLimits,
    Value, Winner, category_id,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch, StructArray};

use super::segments::{list, read};
use super::{compact, erase, expire, inspect, recover};

const START: i64 = 1_793_000_000_000_000;
const REQUESTS: u64 = 300;
const ADS: [&str; 5] = ["a1", "a2", "a3", "a4", "a5"];

/// What was decided of one request.
struct Made {
    request: Request,
    candidates: Vec<Candidate>,
    winners: Vec<Winner>,
}

fn user(request: u64) -> u64 {
    category_id(format!("u{}", 1001 + request % 7).as_bytes())
}

/// A log of decisions, slates and events, and what it should say.
fn write(root: &Path) -> Vec<Made> {
    let mut log = LogOptions::new(root);
    (log.slate_share, log.slate_candidates, log.segment_bytes) = (0.25, 2, 20_000);
    let mut options = Options::default();
    options.impression_key = Some(5);
    options.log = Some(log);
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bundles/first");
    let engine = Engine::open(&bundle, &options).unwrap();
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: 16 }).unwrap();
    let device = engine.feature("device_type").unwrap();
    let mut all = Vec::new();
    for n in 0..REQUESTS {
        let values = [Value { feature: device, id: category_id(b"mobile"), number: 0.0 }];
        // One request in ten has a bid that nobody could win with.
        let candidates: Vec<_> = ADS
            .iter()
            .enumerate()
            .map(|(at, ad)| Candidate {
                ad_key: category_id(ad.as_bytes()),
                advertiser_key: category_id(b"acme"),
                bid_kind: BidKind::Cpc as u32,
                bid_micros: if n % 10 == 9 { -1 } else { 400_000 + 10_000 * at as i64 },
                reserve_micros: 1000,
                ..Candidate::default()
            })
            .collect();
        let request = Request {
            request_id: u64::MAX - n,
            user_key: user(n),
            session_id: 77 + n,
            // Across the end of an hour.
            time_us: START + n as i64 * 10_000_000,
            n_slots: 2,
            placement: 3,
            flags: if n % 5 == 4 { KEEP_NO_USER } else { 0 },
            ..Request::default()
        }
        .counting(&values, &candidates, &[]);
        let input = Input {
            request: &request,
            values: &values,
            candidates: &candidates,
            candidate_values: &[],
            columns: Default::default(),
        };
        let mut winners = vec![Winner::default(); 2];
        let outcome = scorer.decide(input, &mut winners, &mut []).unwrap();
        winners.truncate(outcome.n_winners as usize);
        for winner in &winners {
            let mut event = Event::of(winner, request.time_us + 500_000);
            event.user_key = request.user_key;
            assert!(engine.record(&event).unwrap().ok());
            assert!(engine.record(&event).unwrap().repeated);
            event.kind = EventKind::Click;
            event.impression_id ^= 1;
            assert!(engine.record(&event).unwrap().forged);
        }
        all.push(Made { request, candidates, winners });
        // Eight slates of a scorer can wait.
        if n % 4 == 0 {
            engine.drain_log().unwrap();
        }
    }
    let mut order = Event::default();
    (order.kind, order.time_us, order.user_key) = (EventKind::Conversion, START, user(0));
    (order.order_id, order.value_micros, order.conversion_kind) = (9, 20_000_000, 1);
    assert!(engine.record(&order).unwrap().ok());
    engine.drain_log().unwrap();
    let state = engine.log_state().unwrap();
    assert_eq!((state.lost, state.error), ([0; 3], None));
    engine.close();
    all
}

/// All records of a stream.
fn batches(root: &Path, stream: &str) -> Vec<RecordBatch> {
    let (segments, open) = list(root, stream).unwrap();
    assert_eq!(open, 0);
    segments.iter().flat_map(|segment| read(&segment.path, stream).unwrap().map(Result::unwrap)).collect()
}

/// A column of 64 bits; None: null.
fn longs(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect()
}

fn ints(batch: &RecordBatch, name: &str) -> Vec<Option<i32>> {
    batch.column_by_name(name).unwrap().as_primitive::<Int32Type>().iter().collect()
}

#[test]
fn another_reader_finds_every_field_of_decisions_and_events() {
    let root = tempfile::tempdir().unwrap();
    let made = write(root.path());
    let by_id: BTreeMap<i64, &Made> = made.iter().map(|m| (m.request.request_id as i64, m)).collect();
    let (mut winners, mut nobody, mut sampled) = (0, 0, BTreeSet::new());
    for batch in batches(root.path(), "decisions") {
        let (ids, users, sessions) = (longs(&batch, "request_id"), longs(&batch, "user"), longs(&batch, "session"));
        let (slots, ads, advertisers) = (ints(&batch, "slot"), longs(&batch, "ad"), longs(&batch, "advertiser"));
        let (low, high) = (longs(&batch, "impression_id"), longs(&batch, "impression_id_high"));
        let (times, prices, ecpms) =
            (longs(&batch, "time_us"), longs(&batch, "price_micros"), longs(&batch, "ecpm_micros"));
        let (bids, reserves, devices) =
            (longs(&batch, "bid_micros"), longs(&batch, "reserve_micros"), longs(&batch, "device"));
        let (flags, places, counts) = (ints(&batch, "flags"), ints(&batch, "placement"), ints(&batch, "n_candidates"));
        let pctr: Vec<_> = batch.column_by_name("pctr").unwrap().as_primitive::<Float32Type>().iter().collect();
        let weight = batch.column_by_name("weight").unwrap().as_primitive::<Float64Type>();
        let share: Vec<_> = batch.column_by_name("slate_share").unwrap().as_primitive::<Float64Type>().iter().collect();
        for row in 0..batch.num_rows() {
            let made = by_id[&ids[row].unwrap()];
            let request = &made.request;
            let kept = |id: u64| (request.flags == 0).then_some(id as i64);
            assert_eq!((users[row], sessions[row]), (kept(request.user_key), kept(request.session_id)));
            assert_eq!((times[row], places[row], counts[row]), (Some(request.time_us), Some(3), Some(5)));
            assert_eq!(devices[row], Some(category_id(b"mobile") as i64));
            assert_eq!((flags[row], weight.value(row)), (Some(request.flags as i32), 1.0));
            if share[row].is_some() {
                assert_eq!(share[row], Some(0.25));
                sampled.insert(ids[row].unwrap());
            }
            let Some(slot) = slots[row] else {
                assert!(made.winners.is_empty() && ads[row].is_none() && low[row].is_none() && pctr[row].is_none());
                nobody += 1;
                continue;
            };
            let winner = &made.winners[slot as usize];
            let candidate = &made.candidates[winner.candidate as usize];
            assert_eq!(
                (ads[row], advertisers[row]),
                (Some(candidate.ad_key as i64), Some(candidate.advertiser_key as i64))
            );
            assert_eq!(
                (low[row], high[row]),
                (Some(winner.impression_id as i64), Some(winner.impression_id_high as i64))
            );
            assert_eq!((prices[row], ecpms[row]), (Some(winner.price_micros), Some(winner.ecpm_micros)));
            assert_eq!((bids[row], reserves[row]), (Some(candidate.bid_micros), Some(1000)));
            assert_eq!(pctr[row], Some(winner.pctr));
            winners += 1;
        }
    }
    let expected: usize = made.iter().map(|m| m.winners.len()).sum();
    assert_eq!((winners, nobody), (expected, REQUESTS as usize / 10));
    let (mut flags, mut orders) = (BTreeMap::<(i32, i32), usize>::new(), 0);
    for batch in batches(root.path(), "events") {
        for (row, kind) in ints(&batch, "kind").into_iter().enumerate() {
            *flags.entry((kind.unwrap(), ints(&batch, "flags")[row].unwrap())).or_default() += 1;
            if kind == Some(5) {
                orders += 1;
                let told = ["order_id", "value_micros", "impression_id"].map(|name| longs(&batch, name)[row]);
                assert_eq!(told, [Some(9), Some(20_000_000), None]);
                assert_eq!(ints(&batch, "conversion_kind")[row], Some(1));
            }
        }
    }
    assert_eq!(flags, BTreeMap::from([((1, 0), winners), ((1, 8), winners), ((3, 2), winners), ((5, 0), 1)]));
    assert_eq!(orders, 1);
    slates(root.path(), &by_id, &sampled);
}

/// The slates of the requests that decisions say were sampled, with the raw values that serving used.
fn slates(root: &Path, by_id: &BTreeMap<i64, &Made>, sampled: &BTreeSet<i64>) {
    let (mut seen, mut weights) = (BTreeSet::new(), 0.0);
    for batch in batches(root, "slates") {
        let candidates = batch.column_by_name("candidates").unwrap().as_list::<i32>();
        let values = batch.column_by_name("values").unwrap().as_list::<i32>();
        for (row, id) in longs(&batch, "request_id").into_iter().enumerate() {
            let made = by_id[&id.unwrap()];
            assert!(seen.insert(id.unwrap()));
            let of_request = names(values.value(row).as_struct());
            assert!(of_request.contains("device_type"), "{of_request:?}");
            let list = candidates.value(row);
            let list: &StructArray = list.as_struct();
            let index = list.column_by_name("candidate").unwrap().as_primitive::<Int32Type>();
            let slot = list.column_by_name("slot").unwrap().as_primitive::<Int32Type>();
            let weight = list.column_by_name("weight").unwrap().as_primitive::<Float64Type>();
            let ad = list.column_by_name("ad").unwrap().as_primitive::<Int64Type>();
            let own = list.column_by_name("values").unwrap().as_list::<i32>();
            for at in 0..list.len() {
                let candidate = &made.candidates[index.value(at) as usize];
                assert_eq!(ad.value(at), candidate.ad_key as i64);
                let won = made.winners.iter().find(|w| w.candidate as i32 == index.value(at));
                assert_eq!((!slot.is_null(at)).then(|| slot.value(at)), won.map(|w| w.slot as i32));
                assert_eq!(weight.value(at), if won.is_some() { 4.0 } else { 4.0 * 5.0 / 2.0 });
                weights += weight.value(at);
                // No table has the last ad.
                let in_table = candidate.ad_key != category_id(ADS[4].as_bytes());
                assert!(!in_table || !names(own.value(at).as_struct()).is_empty());
            }
            assert!(made.winners.len() <= list.len());
        }
    }
    assert_eq!(&seen, sampled);
    // The weights stand for all candidates of all requests, more or less: a quarter of 300 requests is sampled.
    assert!((weights / (5.0 * REQUESTS as f64) - 1.0).abs() < 0.3, "{weights}");
}

fn names(values: &StructArray) -> BTreeSet<String> {
    let names = values.column_by_name("feature").unwrap().as_string::<i32>();
    names.iter().map(|name| name.unwrap().to_owned()).collect()
}

#[test]
fn a_log_is_inspected_compacted_expired_and_forgets_a_user() {
    let (root, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = write(root.path());
    let told = inspect(root.path()).unwrap();
    let records: Vec<_> = told.streams.iter().map(|s| (s.records, s.missing, s.repeated, s.open)).collect();
    assert!(records.iter().all(|r| r.0 > 0 && (r.1, r.2, r.3) == (0, 0, 0)), "{records:?}");
    let first = list(root.path(), "decisions").unwrap().0;
    assert!(first.len() >= 2, "{} segments", first.len());
    // A segment that is gone shows as a gap; one that was left open is closed.
    let aside = out.path().join("aside");
    std::fs::rename(&first[0].path, &aside).unwrap();
    let lacking = inspect(root.path()).unwrap();
    let missing = told.streams[0].records - lacking.streams[0].records;
    assert_eq!((lacking.streams[0].missing, lacking.streams[0].gaps[0].from), (missing, 0));
    std::fs::rename(&aside, first[0].path.with_file_name(format!("_{}.open", first[0].name))).unwrap();
    let closed = recover(root.path()).unwrap();
    assert_eq!((closed.len(), closed[0].cut), (1, 0));

    let all: u64 = told.streams.iter().map(|s| s.records).sum();
    let done = compact(root.path(), out.path(), false).unwrap();
    assert_eq!((done.records, done.removed), (all, 0));
    let again = compact(root.path(), out.path(), true).unwrap();
    assert_eq!((again.segments, again.records, again.removed), (0, 0, done.segments));
    assert!(out.path().join("decisions/day=2026-10-26/hour=07").is_dir());
    assert!(out.path().join("decisions/day=2026-10-26/hour=08").is_dir());

    let whose = |user: u64| {
        let kept = made.iter().filter(|m| m.request.user_key == user && m.request.flags == 0);
        kept.map(|m| m.winners.len().max(1) as u64).sum::<u64>()
    };
    let erased = erase(root.path(), out.path(), user(0)).unwrap();
    assert!(erased.forgotten > whose(user(0)) && erased.removed > 0 && erased.files > 0, "{erased:?}");
    let nothing = erase(root.path(), out.path(), user(0)).unwrap();
    assert_eq!((nothing.forgotten, nothing.removed, nothing.files), (0, 0, 0));
    assert!(expire(out.path(), "yesterday").is_err());
    assert_eq!(expire(out.path(), "2026-10-26").unwrap(), Vec::<std::path::PathBuf>::new());
    assert_eq!(expire(out.path(), "2026-10-27").unwrap().len(), 3);
    assert!(inspect(&root.path().join("none")).unwrap_err().to_string().contains("no log is there"));
}
