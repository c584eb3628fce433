//! Second prices against the independent reference implementation of the golden vectors.

use std::collections::BTreeSet;
use std::path::PathBuf;

use adclick::BidKind;
use adclick::auction::{Policy, Reason, Scratch};
use adclick::builder::auction::{Amount, Bid, Placement, PolicyParts, run};
use serde_json::Value;

const TOLERANCE: f64 = 1e-12;
const MICROS: f64 = 1e6;

fn read(name: &str) -> String {
    let root = std::env::var_os("ADCLICK_GOLDEN")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")), PathBuf::from);
    let path = root.join("auction").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One way to read an auction's columns, and the key of the answer to it.
struct Reading {
    answer: &'static str,
    kind: BidKind,
    /// With modifier, quality, each ad's own reserve, and squash; otherwise without, and one reserve for all.
    full: bool,
}

const READINGS: [Reading; 4] = [
    Reading { answer: "gsp_cpc", kind: BidKind::Cpc, full: false },
    Reading { answer: "gsp_cpa", kind: BidKind::Cpa, full: false },
    Reading { answer: "gsp_cpc_full", kind: BidKind::Cpc, full: true },
    Reading { answer: "gsp_cpa_full", kind: BidKind::Cpa, full: true },
];

impl Reading {
    fn policy(&self, input: &Value) -> Policy {
        let squash = if self.full { input["squash"].as_f64().unwrap() } else { 1.0 };
        Policy::default().with_squash(squash).unwrap()
    }

    /// Bids in micros with fractions.
    fn bids(&self, input: &Value) -> Vec<Bid<f64>> {
        let column = |name: &str, i: usize| input[name][i].as_f64().unwrap();
        (0..input["bid"].as_array().unwrap().len())
            .map(|i| {
                let reserve = if self.full { column("ad_reserve", i) } else { input["reserve"].as_f64().unwrap() };
                Bid {
                    reserve: reserve * MICROS,
                    pctr: column("pctr", i),
                    pcvr: input["pcvr"][i].as_f64().unwrap_or(f64::NAN),
                    modifier: if self.full { column("modifier", i) } else { 1.0 },
                    quality: if self.full { column("quality", i) } else { 1.0 },
                    ..Bid::new(self.kind, column("bid", i) * MICROS)
                }
            })
            .collect()
    }
}

/// The same bids in whole micros, where every amount is one.
fn whole(bids: &[Bid<f64>]) -> Option<Vec<Bid>> {
    let micros = |amount: f64| {
        let whole = amount.round();
        ((amount - whole).abs() <= 1e-14 * whole.abs()).then_some(whole as i64)
    };
    bids.iter()
        .map(|bid| {
            let Bid { kind, pctr, pcvr, modifier, quality, key, .. } = *bid;
            let (amount, reserve) = (micros(bid.amount)?, micros(bid.reserve)?);
            Some(Bid { kind, amount, reserve, pctr, pcvr, modifier, quality, key, ..Bid::new(kind, amount) })
        })
        .collect()
}

fn outcome<A: Amount>(policy: &Policy, bids: &[Bid<A>], slots: usize) -> (Vec<Placement<A>>, Vec<Reason>) {
    let mut places = vec![Placement::default(); slots.min(bids.len())];
    let mut reasons = vec![Reason::Won; bids.len()];
    let mut scratch = Scratch::new(bids.len());
    let n = run(policy, bids, slots, &mut scratch, &mut places, Some(&mut reasons)).unwrap();
    places.truncate(n);
    (places, reasons)
}

fn close(got: f64, expected: f64) -> bool {
    (got - expected).abs() <= TOLERANCE * expected.abs()
}

/// Returns how many winners were compared, and in how many of them prices in whole micros too.
fn check(name: &str, input: &Value, textbook: &Value) -> (usize, usize) {
    let slots = usize::try_from(input["slots"].as_i64().unwrap()).unwrap_or(0);
    let mut compared = (0, 0);
    for reading in &READINGS {
        let Some(expected) = textbook.get(reading.answer) else { continue };
        let expected = expected.as_array().unwrap();
        let name = format!("{name}, {}", reading.answer);
        let (policy, bids) = (reading.policy(input), reading.bids(input));
        let indices: Vec<_> = expected.iter().map(|winner| winner["i"].as_u64().unwrap() as u32).collect();

        let (places, reasons) = outcome(&policy, &bids, slots);
        assert_eq!(places.iter().map(|place| place.candidate).collect::<Vec<_>>(), indices, "{name}");
        for (i, reason) in reasons.iter().enumerate() {
            assert_eq!(*reason == Reason::Won, indices.contains(&(i as u32)), "{name}, candidate {i}: {reason}");
        }
        for (place, winner) in places.iter().zip(expected) {
            let bid = bids[place.candidate as usize];
            let q = if reading.kind == BidKind::Cpc { bid.pctr } else { bid.pctr * bid.pcvr };
            for (what, got) in [
                ("score", place.score / 1000.0 / MICROS),
                ("price_per_event", place.price / MICROS),
                ("expected_price_per_1000_impressions", 1000.0 * place.price * q / MICROS),
            ] {
                let expected = winner[what].as_f64().unwrap();
                assert!(close(got, expected), "{name}, {what}: expected {expected}, got {got}");
            }
            assert_eq!(place.unrounded_price, place.price);
        }
        compared.0 += expected.len();

        let Some(bids) = whole(&bids) else { continue };
        let (places, _) = outcome(&policy, &bids, slots);
        assert_eq!(places.iter().map(|place| place.candidate).collect::<Vec<_>>(), indices, "{name}, micros");
        for (place, winner) in places.iter().zip(expected) {
            let expected = winner["price_per_event"].as_f64().unwrap() * MICROS;
            assert!(close(place.unrounded_price, expected), "{name}: expected {expected}, got {place:?}");
            let up = place.price as f64 - expected;
            assert!((-1e-8..1.0).contains(&up), "{name}: {expected} micros rounded to {}", place.price);
        }
        compared.1 += expected.len();
    }
    compared
}

#[test]
fn golden_auctions_have_the_textbook_winners_scores_and_prices() {
    let mut kinds = BTreeSet::new();
    let mut compared = (0, 0);
    for line in read("auctions.jsonl").lines() {
        let auction: Value = serde_json::from_str(line).unwrap();
        let kind = auction["kind"].as_str().unwrap();
        let (winners, in_micros) =
            check(&format!("auction {} ({kind})", auction["id"]), &auction["input"], &auction["textbook"]);
        kinds.insert(kind.to_owned());
        compared = (compared.0 + winners, compared.1 + in_micros);
    }
    assert!(compared.0 > 100 && compared.1 > 100, "only {compared:?} winners compared");
    if std::env::var_os("ADCLICK_GOLDEN").is_none() {
        let expected = "all_equal_scores empty extreme_scales fewer_than_slots high_reserve random \
                        slots_zero_or_negative ties zero_modification zero_or_negative_bid zero_pctr zero_pcvr";
        assert_eq!(kinds.into_iter().collect::<Vec<_>>().join(" "), expected);
    }
}

#[test]
fn golden_hand_checked_auctions_have_the_textbook_answers() {
    let auctions: Value = serde_json::from_str(&read("hand_checked.json")).unwrap();
    let auctions = auctions.as_array().unwrap();
    let mut compared = (0, 0);
    for auction in auctions {
        let (winners, in_micros) = check(auction["name"].as_str().unwrap(), &auction["input"], &auction["textbook"]);
        compared = (compared.0 + winners, compared.1 + in_micros);
    }
    assert!(compared.0 > 10 && compared.1 > 10, "only {compared:?} winners compared");
}

/// The three ways in which the vectors have VCG: what a candidate reserves, and the score floor of the seller in currency units.
fn vcg_readings(input: &Value) -> [(&'static str, f64, f64); 3] {
    let number = |name: &str| input[name].as_f64().unwrap();
    [
        ("vcg_no_reserve", 0.0, 0.0),
        ("vcg_filter_floor", number("reserve"), 0.0),
        ("vcg_score_reserve", 0.0, number("reserve_score")),
    ]
}

/// Returns how many winners were compared.
fn check_vcg(name: &str, input: &Value, textbook: &Value) -> usize {
    let slots = usize::try_from(input["slots"].as_i64().unwrap()).unwrap_or(0);
    let mut compared = 0;
    for (answer, reserve, floor) in vcg_readings(input) {
        let Some(expected) = textbook.get(answer).map(|answer| answer["result"].as_array().unwrap()) else { continue };
        // Per 1000 impressions.
        let floor = (floor * 1000.0 * MICROS).round() as i64;
        let policy =
            format!("pricing = \"vcg\"\nslot_factors = {}\nscore_floor_micros = {floor}\n", input["position_factors"]);
        let policy = Policy::parse(&policy).unwrap();
        let column = |name: &str, i: usize| input[name][i].as_f64().unwrap();
        let n = input["bid"].as_array().unwrap().len();
        let bids: Vec<Bid<f64>> = (0..n)
            .map(|i| Bid {
                reserve: reserve * MICROS,
                pctr: column("pctr", i),
                ..Bid::new(BidKind::Cpc, column("bid", i) * MICROS)
            })
            .collect();
        let (places, _) = outcome(&policy, &bids, slots);
        let of = |place: &Placement<f64>| (u64::from(place.candidate), u64::from(place.slot));
        let told = |winner: &Value| (winner["i"].as_u64().unwrap(), winner["slot"].as_u64().unwrap());
        assert_eq!(
            places.iter().map(of).collect::<Vec<_>>(),
            expected.iter().map(told).collect::<Vec<_>>(),
            "{name}, {answer}"
        );
        let largest = bids.iter().map(|bid| bid.amount).fold(0.0, f64::max) / MICROS;
        for (place, winner) in places.iter().zip(expected) {
            let (got, price) = (place.price / MICROS, winner["price_per_click"].as_f64().unwrap());
            assert!(
                close(got, price) || (got - price).abs() <= TOLERANCE * 1e-9 * largest,
                "{name}, {answer}: expected {price}, got {got}"
            );
        }
        compared += expected.len();
    }
    compared
}

#[test]
fn golden_vcg_auctions_have_the_winners_and_payments_of_all_placements_tried() {
    let mut compared = 0;
    for line in read("auctions.jsonl").lines() {
        let auction: Value = serde_json::from_str(line).unwrap();
        let name = format!("auction {} ({})", auction["id"], auction["kind"]);
        compared += check_vcg(&name, &auction["input"], &auction["textbook"]);
    }
    assert!(compared > 100, "only {compared} winners compared");
    let auctions: Value = serde_json::from_str(&read("hand_checked.json")).unwrap();
    let by_hand: usize = (auctions.as_array().unwrap().iter())
        .map(|auction| check_vcg(auction["name"].as_str().unwrap(), &auction["input"], &auction["textbook"]))
        .sum();
    assert!(by_hand > 10, "only {by_hand} winners compared");
}
