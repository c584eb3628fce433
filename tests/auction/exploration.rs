//! Drawn slates against their stated propensities, what estimates make of them, the cap, and replays.

use std::collections::HashMap;

use adclick::auction::{Decision, Page, Policy, Scratch, run_candidates};
use adclick::{BidKind, Candidate, Exploration, Request, WINNER_EXPLORED, Winner};

const ADS: usize = 6;
const SLOTS: usize = 3;

fn policy(method: &str, cap: u64) -> Policy {
    Policy::parse(&format!("[exploration]\n{method}\npool = 6\nmax_given_up_micros = {cap}\n")).unwrap()
}

const LUCE: &str = "method = \"plackett-luce\"\ntemperature = 0.5";
const GREEDY: &str = "method = \"epsilon-greedy\"\nepsilon = 0.3";

fn candidates() -> Vec<Candidate> {
    (0..ADS as u64)
        .map(|i| Candidate {
            ad_key: i,
            bid_micros: 1_000_000 - 120_000 * i as i64,
            bid_kind: BidKind::Cpc as u32,
            ..Candidate::default()
        })
        .collect()
}

fn decide(policy: &Policy, request: &Request, scratch: &mut Scratch) -> (Decision, [Winner; SLOTS]) {
    let mut winners = [Winner::default(); SLOTS];
    let page = Page::of_request(policy, request);
    let decision = run_candidates(&page, &candidates(), &[0.25; ADS], &[], scratch, &mut winners, None).unwrap();
    (decision, winners)
}

fn request(request_id: u64) -> Request {
    Request { request_id, n_slots: SLOTS as u32, ..Request::default() }
}

/// χ² of the drawn slates against the joint propensities that came with them.
fn fits(method: &str, draws: u64) {
    let (policy, mut scratch) = (policy(method, u64::MAX >> 2), Scratch::new(ADS));
    let mut slates: HashMap<[u32; SLOTS], (f64, f64)> = HashMap::new();
    let mut first = [0.0; ADS];
    for id in 0..draws {
        let (decision, winners) = decide(&policy, &request(id), &mut scratch);
        assert_eq!((decision.n_winners, decision.exploration), (SLOTS, Exploration::Allowed));
        let product: f64 = winners.iter().map(|winner| winner.propensity).product();
        assert!((product - decision.propensity).abs() <= 1e-12);
        assert!(winners[0].marginal_propensity == winners[0].propensity && winners[1].marginal_propensity.is_nan());
        let slate = winners.map(|winner| winner.candidate);
        let entry = slates.entry(slate).or_insert((0.0, decision.propensity));
        assert_eq!(entry.1, decision.propensity, "the same slate with two propensities");
        entry.0 += 1.0;
        first[slate[0] as usize] += 1.0;
    }
    // All 120 slates are possible, and their probabilities are all there is.
    let total: f64 = slates.values().map(|slate| slate.1).sum();
    assert!(slates.len() == 120 && (total - 1.0).abs() < 1e-9, "{} slates of {total}", slates.len());
    let chi: f64 = slates.values().map(|(n, p)| (n - p * draws as f64).powi(2) / (p * draws as f64)).sum();
    // 119 degrees of freedom: 99.9% are under 172.
    assert!(chi < 172.0, "{method}: χ² = {chi}");
}

#[test]
fn drawn_slates_have_the_stated_propensities() {
    fits(LUCE, 60_000);
    fits(GREEDY, 60_000);
}

#[test]
#[ignore = "long: `make test-long`"]
fn a_million_drawn_slates_have_the_stated_propensities() {
    fits(LUCE, 1_000_000);
    fits(GREEDY, 1_000_000);
}

/// How often an interval of 95% by SNIPS covers what another policy truly earns in the first place.
fn covered(runs: u64) -> u64 {
    let (policy, mut scratch) = (policy(LUCE, u64::MAX >> 2), Scratch::new(ADS));
    // The policy to judge shows the last three ads alike; the truth is what each is clicked.
    let clicked = |ad: u32| 0.1 + 0.1 * f64::from(ad);
    let truth: f64 = (3..6).map(|ad| clicked(ad) / 3.0).sum();
    (0..runs)
        .filter(|run| {
            let mut rows = Vec::new();
            for i in 0..2000 {
                let id = run * 1_000_000 + i;
                let (_, winners) = decide(&policy, &request(id), &mut scratch);
                let ad = winners[0].candidate;
                let uniform = (adclick::builder::hash::mix(id ^ 0xc11c) >> 11) as f64 / (1u64 << 53) as f64;
                let weight = if ad >= 3 { 1.0 / 3.0 / winners[0].marginal_propensity } else { 0.0 };
                rows.push((weight, f64::from(u8::from(uniform < clicked(ad)))));
            }
            let sum: f64 = rows.iter().map(|row| row.0).sum();
            let estimate = rows.iter().map(|(w, r)| w * r).sum::<f64>() / sum;
            let error = rows.iter().map(|(w, r)| (w * (r - estimate)).powi(2)).sum::<f64>().sqrt() / sum;
            (estimate - truth).abs() <= 1.96 * error
        })
        .count() as u64
}

#[test]
fn snips_with_the_propensities_covers_the_truth() {
    let covered = covered(100);
    assert!((88..=100).contains(&covered), "{covered} of 100");
}

#[test]
#[ignore = "long: `make test-long`"]
fn snips_covers_the_truth_in_95_percent_of_a_thousand_runs() {
    let covered = covered(1000);
    assert!((930..=970).contains(&covered), "{covered} of 1000");
}

#[test]
fn what_exploration_gives_up_stays_under_the_cap_and_each_verdict_replays() {
    let cap = 30_000_000;
    let (policy, mut scratch) = (policy(LUCE, cap), Scratch::new(ADS));
    let (mut given_up, mut allowed) = (0.0, 0u32);
    for id in 0..100_000 {
        let (decision, winners) = decide(&policy, &request(id), &mut scratch);
        given_up += (decision.given_up / 1000.0).max(0.0);
        allowed += u32::from(decision.exploration == Exploration::Allowed);
        if decision.exploration == Exploration::Capped {
            assert_eq!((decision.propensity, decision.given_up), (1.0, 0.0));
            assert_eq!(winners.map(|winner| winner.candidate), [0, 1, 2]);
        }
        let replayed = Request { exploration: decision.exploration as u32, ..request(id) };
        let (again, same) = decide(&policy, &replayed, &mut Scratch::new(ADS));
        assert_eq!((bytemuck::bytes_of(&winners), decision), (bytemuck::bytes_of(&same), again));
    }
    assert!(given_up > 0.8 * cap as f64 && given_up <= cap as f64, "{given_up}");
    assert!((100..99_000).contains(&allowed), "{allowed}");
}

#[test]
fn explored_winners_pay_the_price_of_their_rank() {
    let explores = policy(GREEDY, u64::MAX >> 2);
    let plain = Policy::default();
    let mut scratch = Scratch::new(ADS);
    // The price of each rank, of an auction with a slot for all.
    let all = Page::new(&plain, ADS);
    let mut ranked = [Winner::default(); ADS];
    run_candidates(&all, &candidates(), &[0.25; ADS], &[], &mut scratch, &mut ranked, None).unwrap();
    let mut explored = 0;
    for id in 0..2000 {
        for winner in decide(&explores, &request(id), &mut scratch).1 {
            let rank = &ranked[winner.candidate as usize];
            assert_eq!((winner.rank, winner.price_micros), (rank.slot, rank.price_micros), "{winner:?}");
            assert_eq!(winner.flags & WINNER_EXPLORED != 0, winner.slot != rank.slot);
            explored += u32::from(winner.flags & WINNER_EXPLORED != 0);
        }
    }
    assert!(explored > 500, "{explored}");
}
