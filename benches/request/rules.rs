//! What the rules of a full policy cost beside the network, and what a deadline cuts.

use std::collections::HashSet;

use adclick::auction::{self, Page, Policy, Reason};
use adclick::{Candidate, Engine, ScorerLimits, Winner, category_id};

use super::world::{Requests, Size};
use super::{Error, Pace, TURN, microseconds, timed};

const SLOTS: usize = 5;

/// Tiers, limits of all kinds, modifiers, reserves of all sources, a floor, a unit.
fn policy() -> Result<Policy, Error> {
    let mut text = String::from(
        "unit_micros = 10_000\nsquash = 0.8\nscore_floor_micros = 1000\nties = \"hash\"\n[mean_probability]\ncpc = 0.05\n\
         [reserve_micros]\ncpc = 120_000\n[page]\nper_advertiser = 1\nper_campaign = 1\nper_creative = 1\nper_category = 2\n\
         per_label = 2\nmin_ecpm_micros = 2_000\nmin_quality = 0.1\n\
         [[tier]]\nname = \"deals\"\n[[tier]]\nname = \"sponsorship\"\n[[tier]]\nname = \"standard\"\n[[tier]]\nname = \"house\"\n\
         floor_exempt = true\n[cold_start]\nbonus = 0.5\n",
    );
    for slot in 0..SLOTS {
        text += &format!("[[reserve]]\nslot = {slot}\ncpc = {}\n", 200_000 - 20_000 * slot);
    }
    for advertiser in 0..1000 {
        text += &format!("[[reserve]]\nadvertiser = {advertiser}\ncpc = {}\n", 150_000 + advertiser);
        text += &format!("[[modifier]]\nadvertiser = {advertiser}\nadjust = 0.1\nboost = 1.1\n");
    }
    Ok(Policy::parse(&text)?)
}

fn with_rules(candidates: &[Candidate]) -> Vec<Candidate> {
    let tiers = ["deals", "sponsorship", "standard", "house"].map(|name| category_id(name.as_bytes()));
    let as_told = |(i, candidate): (usize, &Candidate)| Candidate {
        campaign_key: 1 + candidate.ad_key % 2000,
        creative_key: candidate.ad_key,
        category_key: 1 + candidate.ad_key % 30,
        label_key: 1 + candidate.ad_key % 50,
        // A page has a few deals and house ads.
        tier_key: if i % 200 == 0 { tiers[i / 200 % 4] } else { 0 },
        adjust_ppm: 50_000,
        withheld_ppm: 100_000,
        slot_mask: if i % 10 == 0 { 0b11110 } else { 0 },
        impressions: 1 + (candidate.ad_key % 10_000) as u32,
        quality: 0.5,
        ..*candidate
    };
    candidates.iter().enumerate().map(as_told).collect()
}

/// The auction under the full policy and under the default one beside the scores of the same candidates, by turns.
pub(crate) fn full_policy(engine: &Engine, pace: &Pace, count: usize) -> Result<(), Error> {
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: count })?;
    let mut requests = Requests::new(engine, pace.size, count, 1)?;
    let policies = [policy()?, Policy::default()];
    let (mut pctr, mut reasons) = (vec![0.0; count], vec![Reason::Won; count]);
    let mut memory = auction::Scratch::new(count);
    let mut winners = [Winner::default(); SLOTS];
    let (mut scores, mut auctions) = (Vec::new(), [const { Vec::new() }; 2]);
    for round in 0..pace.requests {
        let input = requests.next();
        let score = timed(|| {
            scorer.score(input, &mut pctr, &mut [])?;
            Ok(())
        })?;
        let request = adclick::Request { n_slots: SLOTS as u32, ..*input.request };
        let candidates = with_rules(input.candidates);
        for (policy, times) in policies.iter().zip(&mut auctions) {
            let time = timed(|| {
                let page = Page::of_request(policy, &request);
                let reasons = Some(&mut reasons[..]);
                let run = auction::run_candidates(&page, &candidates, &pctr, &[], &mut memory, &mut winners, reasons)?;
                assert_eq!(run.n_winners, SLOTS);
                Ok(())
            })?;
            // The first ones bring everything in.
            if round >= pace.requests / 10 {
                times.push(time);
            }
        }
        if round >= pace.requests / 10 {
            scores.push(score);
        }
    }
    let score = microseconds(&mut scores, 0.5);
    let [full, plain] = auctions.each_mut().map(|times| microseconds(times, 0.5));
    let [of_full, of_plain] = [full, plain].map(|auction| auction / score * 100.0);
    println!("| {count} | {score:.0} | {full:.0} | {of_full:.1} % | {plain:.0} | {of_plain:.1} % |");
    Ok(())
}

/// Decisions under deadlines beside the same ones without: the share of candidates that was scored, and of winners that were
/// kept. Candidates come in an order that says nothing, so in their own order both shares would be the same.
pub(crate) fn deadlines(engine: &Engine, pace: &Pace, count: usize) -> Result<(), Error> {
    const ADS: u64 = 3000;
    let limits = ScorerLimits { max_candidates: count };
    let (mut scorer, mut hurried) = (engine.scorer(limits)?, engine.scorer(limits)?);
    let mut requests = Requests::new(engine, Size { ads: ADS, ..pace.size }, count, 1)?;
    let mut winners = [Winner::default(); super::SLOTS];
    let mut times = Vec::new();
    for _ in 0..3 * TURN {
        times.push(timed(|| {
            scorer.decide(requests.next(), &mut winners, &mut [])?;
            Ok(())
        })?);
    }
    let whole = microseconds(&mut times, 0.5);
    for part in [0.75, 0.5, 0.25, 0.1] {
        let (mut scored, mut kept, mut all) = (0, 0, 0);
        let rounds = pace.requests / 4;
        for round in 0..rounds {
            let input = requests.next();
            scorer.decide(input, &mut winners, &mut [])?;
            let right: HashSet<u32> = winners.iter().map(|winner| winner.candidate).collect();
            let request = adclick::Request { deadline_us: (whole * part) as u32, ..*input.request };
            let outcome = hurried.decide(adclick::Input { request: &request, ..input }, &mut winners, &mut [])?;
            // The first ones teach the scorer what its ads are like.
            if round >= rounds / 4 {
                scored += outcome.n_scored as usize;
                all += count;
                kept += winners[..outcome.n_winners as usize].iter().filter(|w| right.contains(&w.candidate)).count();
            }
        }
        let share = |n: usize, of: usize| n as f64 / of as f64 * 100.0;
        let of_winners = share(kept, all / count * super::SLOTS);
        println!("| {count} | {:.0} % | {:.0} % | {of_winners:.0} % |", part * 100.0, share(scored, all));
    }
    Ok(())
}
