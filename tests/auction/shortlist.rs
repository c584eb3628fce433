//! What `auction-exact` may leave approximate, under tiers, limits, slot masks, reserves of slots and every pricing.

use adclick::auction::{Page, Policy, Reason, Scratch, run_candidates};
use adclick::builder::auction::{Bounds, Shortlist};
use adclick::builder::hash::mix;
use adclick::{Candidate, Winner, category_id};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % n
    }

    fn number(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1u64 << 24) as f32
    }
}

const POLICIES: [&str; 8] = [
    "[[tier]]\nname = \"deals\"\n[[tier]]\nname = \"standard\"\n",
    "[page]\nper_advertiser = 1\n",
    "[page]\nper_advertiser = 2\nper_campaign = 1\nper_label = 1\n",
    "pricing = \"vcg\"\nslot_factors = [1.0, 0.6, 0.3]\n[page]\nper_advertiser = 1\nper_creative = 1\n",
    "squash = 0.7\nunit_micros = 1000\n[[reserve]]\nslot = 0\ncpc = 600000\nocpm = 900000\n[[reserve]]\nslot = 2\ncpm = 400000\n",
    "ties = \"hash\"\n[page]\nmin_ecpm_micros = 100000000\nmax_ads = 3\n",
    "[[tier]]\nname = \"a\"\n[[tier]]\nname = \"standard\"\n[page]\nper_category = 1\nper_advertiser = 1\n\
     [[modifier]]\nadvertiser = 1\nadjust = 0.5\n[[modifier]]\ncampaign = 3\nboost = 2.0\n",
    "pricing = \"first\"\n[page]\nper_creative = 1\n[cold_start]\nbonus = 1.0\n",
];

fn candidate(random: &mut Random, case: u64) -> Candidate {
    // In every fifth auction the best ones share an advertiser.
    let crowd = case.is_multiple_of(5) && random.below(3) > 0;
    let creative = random.below(40);
    Candidate {
        ad_key: random.below(50),
        bid_micros: if crowd {
            2_900_000 + random.below(100_000) as i64
        } else {
            random.below(3_000_000) as i64 - 1000
        },
        reserve_micros: if random.below(3) == 0 { random.below(1_500_000) as i64 } else { 0 },
        bid_kind: random.below(4) as u32,
        advertiser_key: if crowd { 1 } else { creative / 4 },
        campaign_key: if crowd { 1 } else { creative / 2 },
        creative_key: creative,
        category_key: random.below(6),
        label_key: random.below(6),
        tier_key: [0, 0, category_id(b"deals"), category_id(b"a")][random.below(4) as usize],
        slot_mask: if random.below(6) == 0 { random.below(16) as u32 } else { 0 },
        impressions: random.below(3000) as u32,
        ..Candidate::default()
    }
}

#[test]
fn candidates_that_are_not_listed_do_not_matter() {
    let mut random = Random(18);
    let (mut listed, mut all) = (0, 0);
    for case in 0..4000u64 {
        let policy = Policy::parse(POLICIES[(case % 8) as usize]).unwrap();
        let n = 1 + random.below(if case.is_multiple_of(20) { 500 } else { 120 }) as usize;
        let n_slots = 1 + random.below(5) as usize;
        let width = if case.is_multiple_of(2) { 0.04 } else { 0.5 };
        let candidates: Vec<Candidate> = (0..n).map(|_| candidate(&mut random, case)).collect();
        let (mut exact, mut fast, mut ends) = ([vec![], vec![]], [vec![], vec![]], [vec![], vec![]]);
        for head in 0..2 {
            for _ in 0..n {
                let p = random.number().max(1e-4);
                let low = p / (1.0 + random.number() * width);
                let high = (p * (1.0 + random.number() * width)).min(1.0);
                exact[head].push(p);
                ends[head].push([low, high]);
                fast[head].push(if random.below(2) == 0 { low } else { high });
            }
        }
        let page = Page::new(&policy, n_slots);
        let mut shortlist = Shortlist::new(n).unwrap();
        listed += shortlist.choose(&page, &candidates, |first, some: &mut [Bounds]| {
            for (i, bounds) in (first..).zip(some) {
                *bounds = Bounds { pctr: ends[0][i], pcvr: ends[1][i] };
            }
        });
        all += n;
        for i in (0..n).filter(|&i| shortlist.contains(i)) {
            fast[0][i] = exact[0][i];
            fast[1][i] = exact[1][i];
        }
        let decide = |probabilities: &[Vec<f32>; 2]| {
            let (mut winners, mut reasons) = (vec![Winner::default(); n], vec![Reason::Won; n]);
            let [pctr, pcvr] = probabilities;
            let scratch = &mut Scratch::new(n);
            let decision =
                run_candidates(&page, &candidates, pctr, pcvr, scratch, &mut winners, Some(&mut reasons)).unwrap();
            winners.truncate(decision.n_winners);
            (winners, reasons)
        };
        let (got, right) = (decide(&fast), decide(&exact));
        let bits = |winners: &[Winner]| winners.iter().map(|w| bytemuck::bytes_of(w).to_vec()).collect::<Vec<_>>();
        assert_eq!((bits(&got.0), &got.1), (bits(&right.0), &right.1), "case {case}");
    }
    assert!(listed > 4000 && listed * 10 < all * 9, "{listed} of {all}: a list of everything is none");
}
