//! Random auctions under random policies against plain slow ones: limits, tiers, slot masks, reserves of slots, VCG.

use adclick::auction::{Page, Policy, Reason, Scratch};
use adclick::builder::auction::{Bid, Groups, Limits, Placement, run_page};
use adclick::builder::hash::mix;
use adclick::{BidKind, NO_CANDIDATE, PriceBound};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug, Clone)]
struct Setting {
    policy: Policy,
    limits: Limits,
    n_slots: usize,
    tiers: bool,
    slot_reserves: Vec<i64>,
    unit: i64,
    vcg: bool,
    factors: Vec<f64>,
}

fn setting(random: &mut Random, vcg: bool) -> Setting {
    let mut limits = Limits::default();
    // Under VCG only nested kinds: advertiser, campaign, creative.
    for limit in &mut limits[..if vcg { 3 } else { 5 }] {
        *limit = if random.chance(40) { 1 + random.below(2) as u32 } else { 0 };
    }
    let tiers = random.chance(30);
    let unit = if random.chance(30) { 1000 } else { 1 };
    let n_slots = 1 + random.below(if vcg { 3 } else { 5 }) as usize;
    let names = ["advertiser", "campaign", "creative", "category", "label"];
    let mut text = format!("unit_micros = {unit}\n");
    let mut factors = vec![1.0];
    if vcg {
        for _ in 1..n_slots {
            factors.push(factors.last().unwrap() * (1 + random.below(4)) as f64 / 4.0);
        }
        text += &format!("pricing = \"vcg\"\nslot_factors = {factors:?}\n");
    }
    text += "[page]\n";
    names.iter().zip(limits).for_each(|(name, limit)| text += &format!("per_{name} = {limit}\n"));
    if tiers {
        text += "[[tier]]\nname = \"deals\"\n[[tier]]\nname = \"standard\"\n";
    }
    let mut slot_reserves = vec![0; n_slots];
    if !vcg && random.chance(30) {
        for (slot, reserve) in slot_reserves.iter_mut().enumerate() {
            *reserve = random.below(40) as i64 * 10_000;
            text += &format!("[[reserve]]\nslot = {slot}\ncpc = {reserve}\n");
        }
    }
    let policy = Policy::parse(&text).unwrap();
    Setting { policy, limits, n_slots, tiers, slot_reserves, unit, vcg, factors }
}

/// CPC bids whose scores are exact in f64: pCTR in 64ths.
fn bids(random: &mut Random, setting: &Setting, most: u64) -> Vec<Bid> {
    (0..random.below(most + 1))
        .map(|_| {
            let creative = random.below(8);
            // A campaign has two creatives, an advertiser two campaigns.
            let mut groups: Groups =
                [1 + creative / 4, 1 + creative / 2, 1 + creative, random.below(3), random.below(3)];
            if random.chance(20) {
                groups = Groups::default();
            }
            let most = if random.chance(50) { 40 } else { 400_000 };
            let amount = 1 + random.below(most) as i64;
            Bid {
                reserve: if random.chance(20) && !setting.vcg { random.below(30) as i64 * 10_000 } else { 0 },
                pctr: [0.25, 0.5, 1.0][random.below(3) as usize],
                key: random.below(4),
                adjust: [1.0, 1.0, 0.5, 1.5][random.below(4) as usize],
                tier: if setting.tiers { random.below(2) as u16 } else { 0 },
                slots: if !setting.vcg && random.chance(20) { random.below(32) as u32 } else { 0 },
                groups,
                ..Bid::new(BidKind::Cpc, amount)
            }
        })
        .collect()
}

fn run(setting: &Setting, bids: &[Bid]) -> (Vec<Placement>, Vec<Reason>) {
    let page = Page::new(&setting.policy, setting.n_slots);
    let mut places = vec![Placement::default(); setting.n_slots.min(bids.len())];
    let mut reasons = vec![Reason::Won; bids.len()];
    let mut scratch = Scratch::new(bids.len());
    let get = |i: usize| Ok(bids[i]);
    let decision = run_page(&page, bids.len(), get, &mut scratch, &mut places, Some(&mut reasons)).unwrap();
    places.truncate(decision.n_winners);
    (places, reasons)
}

/// The bid as it takes part; 0 when it does not.
fn moved(setting: &Setting, bid: &Bid) -> i64 {
    let moved = (bid.amount as f64 * bid.adjust).floor() as i64 / setting.unit * setting.unit;
    let reserve = (bid.reserve + setting.unit - 1) / setting.unit * setting.unit;
    let in_reach = bid.slots == 0 || bid.slots & ((1 << setting.n_slots) - 1) != 0;
    if moved < reserve || !in_reach { 0 } else { moved }
}

fn admits(setting: &Setting, bids: &[Bid], placed: &[usize], i: usize) -> bool {
    (0..5).all(|of| {
        let (limit, group) = (setting.limits[of], bids[i].groups[of]);
        let same = placed.iter().filter(|&&p| bids[p].groups[of] == group).count();
        limit == 0 || group == 0 || same < limit as usize
    })
}

fn ahead(setting: &Setting, bids: &[Bid], i: usize, j: usize) -> bool {
    let score = |i: usize| moved(setting, &bids[i]) as f64 * bids[i].pctr;
    let key = |i: usize| (bids[i].tier, std::cmp::Reverse((score(i) * 4.0) as i64), bids[i].key, i);
    key(i) < key(j)
}

fn best(setting: &Setting, bids: &[Bid], slot: usize, placed: &[usize]) -> Option<usize> {
    let fits = |i: usize| {
        let bid = &bids[i];
        let amount = moved(setting, bid);
        let in_slot = bid.slots == 0 || bid.slots >> slot & 1 == 1;
        amount > 0 && in_slot && amount >= setting.slot_reserves[slot] && !placed.contains(&i)
    };
    let mut best: Option<usize> = None;
    for i in (0..bids.len()).filter(|&i| fits(i) && admits(setting, bids, placed, i)) {
        if best.is_none_or(|b| ahead(setting, bids, i, b)) {
            best = Some(i);
        }
    }
    best
}

/// (slot, winner, next in line) by the definition.
fn slow(setting: &Setting, bids: &[Bid]) -> Vec<(usize, usize, Option<usize>)> {
    let (mut placed, mut seats) = (Vec::new(), Vec::new());
    for slot in 0..setting.n_slots {
        let Some(winner) = best(setting, bids, slot, &placed) else { continue };
        placed.push(winner);
        seats.push((slot, winner, best(setting, bids, slot, &placed)));
    }
    seats
}

fn check_gsp(random: &mut Random, case: u64) -> usize {
    let setting = setting(random, false);
    let bids = bids(random, &setting, if case.is_multiple_of(50) { 60 } else { 10 });
    let (places, reasons) = run(&setting, &bids);
    let seats = slow(&setting, &bids);
    let got: Vec<_> = places
        .iter()
        .map(|p| (p.slot as usize, p.candidate as usize, (p.runner_up != NO_CANDIDATE).then_some(p.runner_up as usize)))
        .collect();
    assert_eq!(got, seats, "case {case}: {setting:?} {bids:?}");
    let placed: Vec<usize> = places.iter().map(|place| place.candidate as usize).collect();
    for (i, reason) in reasons.iter().enumerate() {
        assert_eq!(*reason == Reason::Won, placed.contains(&i), "case {case}");
        if *reason == Reason::Excluded {
            assert!(!admits(&setting, &bids, &placed, i), "case {case}: {i} was not excluded");
        }
    }
    for (at, (place, &(slot, winner, next))) in places.iter().zip(&seats).enumerate() {
        let bid = &bids[winner];
        assert!(admits(&setting, &bids, &placed[..at], winner));
        let amount = moved(&setting, bid);
        let unit = setting.unit;
        let reserve = bid.reserve.max(setting.slot_reserves[slot]);
        let reserve = (reserve + unit - 1) / unit * unit;
        assert!(reserve <= place.price && place.price <= amount, "case {case}: {place:?}");
        assert_eq!((place.bid, place.price % unit, place.reserve), (amount, 0, reserve), "case {case}");
        // The least whole number of units that is ahead of the next in line of the same tier.
        let rival = next.filter(|&next| bids[next].tier == bid.tier);
        let keeps = |price: i64| {
            rival.is_none_or(|next| {
                let mine = (price as f64 * bid.pctr, std::cmp::Reverse((bid.key, winner)));
                let other = moved(&setting, &bids[next]) as f64 * bids[next].pctr;
                mine > (other, std::cmp::Reverse((bids[next].key, next)))
            })
        };
        assert!(keeps(place.price) || place.price == amount, "case {case}: {place:?}");
        assert!(place.price == reserve || !keeps(place.price - unit), "case {case}: {place:?} {bids:?}");
        assert!(place.bound != PriceBound::NextScore || rival.is_some(), "case {case}: {place:?}");

        // Raising the bid never lowers the place, nor the price of the place while it holds.
        let mut raised = bids.clone();
        raised[winner].amount += 1 + random.below(100_000) as i64;
        let (now, _) = run(&setting, &raised);
        let place_now = now.iter().find(|p| p.candidate as usize == winner).unwrap();
        assert!(place_now.slot <= place.slot, "case {case}");
        if place_now.slot == place.slot {
            assert_eq!(place_now.price.min(amount), place.price.min(place_now.price.max(place.price)), "case {case}");
        }

        // Bidding the price keeps the place, and one unit less loses it, among all but its excluded siblings.
        if bid.adjust == 1.0 && place.bound == PriceBound::NextScore {
            let alone: Vec<usize> = seats[..=at].iter().map(|seat| seat.1).collect();
            let rerun = |amount: i64| {
                let mut others = bids.clone();
                others[winner].amount = amount;
                for (i, bid) in others.iter_mut().enumerate() {
                    if i != winner && !alone.contains(&i) && !admits(&setting, &bids, &alone, i) {
                        bid.amount = 0;
                    }
                }
                run(&setting, &others).0.iter().find(|p| p.candidate as usize == winner).map(|p| p.slot)
            };
            assert_eq!(rerun(place.price), Some(place.slot), "case {case}");
            if place.price - unit >= reserve.max(unit) {
                assert_ne!(rerun(place.price - unit), Some(place.slot), "case {case}: {place:?}");
            }
        }
    }
    places.len()
}

/// The greatest `Σ α_k·s_k` over all ordered slates within the limits, in the score of a first slot's impression.
fn optimum(setting: &Setting, bids: &[Bid], out: Option<usize>, slot: usize, placed: &mut Vec<usize>) -> f64 {
    if slot == setting.n_slots {
        return 0.0;
    }
    let mut most: f64 = 0.0;
    for i in 0..bids.len() {
        let amount = moved(setting, &bids[i]);
        if Some(i) == out || amount == 0 || placed.contains(&i) || !admits(setting, bids, placed, i) {
            continue;
        }
        placed.push(i);
        let here = setting.factors[slot] * amount as f64 * bids[i].pctr;
        most = most.max(here + optimum(setting, bids, out, slot + 1, placed));
        placed.pop();
    }
    most
}

fn check_vcg(random: &mut Random, case: u64) -> usize {
    let mut setting = setting(random, true);
    while setting.tiers {
        setting = self::setting(random, true);
    }
    let bids = bids(random, &setting, 7);
    let (places, _) = run(&setting, &bids);
    let value = |place: &Placement| {
        let i = place.candidate as usize;
        setting.factors[place.slot as usize] * moved(&setting, &bids[i]) as f64 * bids[i].pctr
    };
    let all: f64 = places.iter().map(value).sum();
    let best = optimum(&setting, &bids, None, 0, &mut Vec::new());
    assert!((all - best).abs() <= 1e-9 * best, "case {case}: {all} of {best}: {setting:?} {bids:?}");
    for place in &places {
        let i = place.candidate as usize;
        let lost = optimum(&setting, &bids, Some(i), 0, &mut Vec::new()) - (all - value(place));
        let price = lost / setting.factors[place.slot as usize] / bids[i].pctr;
        let above = place.price as f64 - price;
        assert!((-1e-6..setting.unit as f64 + 1e-6).contains(&above), "case {case}: {price} and {place:?}");

        // What it gains by another bid is worth at most a unit of each click.
        let worth = moved(&setting, &bids[i]) as f64;
        let gain = |places: &[Placement]| {
            let of = places.iter().find(|p| p.candidate as usize == i);
            of.map_or(0.0, |p| setting.factors[p.slot as usize] * (worth - p.price as f64))
        };
        let mut other = bids.clone();
        (other[i].amount, other[i].adjust) = (1 + random.below(600_000) as i64, 1.0);
        let (honest, dishonest) = (gain(&places), gain(&run(&setting, &other).0));
        assert!(dishonest <= honest + setting.unit as f64 + 1e-6, "case {case}: {honest} and {dishonest}");
    }
    places.len()
}

fn all(cases: u64) {
    let mut random = Random(18);
    let (gsp, vcg): (usize, usize) = (0..cases).fold((0, 0), |(gsp, vcg), case| {
        (gsp + check_gsp(&mut random, case), vcg + if case % 4 == 0 { check_vcg(&mut random, case) } else { 0 })
    });
    assert!(gsp as u64 > cases && vcg as u64 > cases / 8, "{gsp} and {vcg} winners in {cases} auctions");
}

#[test]
fn pages_are_filled_and_priced_as_by_brute_force() {
    all(3000);
}

#[test]
#[ignore = "long: `make test-long`"]
fn a_hundred_thousand_pages_are_filled_and_priced_as_by_brute_force() {
    all(100_000);
}
