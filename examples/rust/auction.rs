//! The auction alone, for those who have probabilities already.
//!
//!     cargo run --example auction

use adclick::auction::{Page, Policy, Reason, Scratch, run_candidates};
use adclick::{BidKind, Candidate, Winner};

fn main() -> adclick::Result<()> {
    // Once: the rules. A bundle would bring them as auction.toml.
    let policy = Policy::parse("[reserve_micros]\ncpc = 50_000")?;

    // Once for each thread: memory for auctions of so many candidates.
    let mut scratch = Scratch::new(1000);

    // Bids of all kinds compete. Money is in millionths of the currency unit.
    let bid = |ad_key, kind: BidKind, bid_micros| Candidate {
        ad_key,
        bid_kind: kind as u32,
        bid_micros,
        ..Candidate::default()
    };
    let candidates = [
        bid(101, BidKind::Cpm, 9_000_000),  // 9.00 for 1000 impressions
        bid(102, BidKind::Cpc, 500_000),    // 0.50 for a click
        bid(103, BidKind::Cpa, 12_000_000), // 12.00 for a conversion
        bid(104, BidKind::Cpc, 20_000),     // under the reserve
        bid(105, BidKind::Ocpm, 8_000_000), // 8.00 for a conversion, billed by impressions
    ];
    let pctr = [0.010, 0.021, 0.018, 0.030, f32::NAN];
    let pcvr = [f32::NAN, f32::NAN, 0.05, f32::NAN, 0.04]; // only bids for conversions need it

    let mut winners = [Winner::default(); 2];
    let mut reasons = [Reason::Won; 5];
    let page = Page::new(&policy, winners.len());
    let decision = run_candidates(&page, &candidates, &pctr, &pcvr, &mut scratch, &mut winners, Some(&mut reasons))?;
    for winner in &winners[..decision.n_winners] {
        let ad = candidates[winner.candidate as usize].ad_key;
        println!(
            "slot {}: ad {ad}, eCPM {:.2}, pays {:.6}",
            winner.slot,
            money(winner.ecpm_micros),
            money(winner.price_micros)
        );
    }
    for (candidate, reason) in candidates.iter().zip(reasons) {
        println!("ad {}: {reason}", candidate.ad_key);
    }
    Ok(())
}

fn money(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[test]
fn it_runs() {
    main().unwrap();
}
