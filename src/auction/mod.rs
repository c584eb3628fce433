//! The auction: typed bids and calibrated probabilities in, winners with prices out.
//!
//! # Rank
//! Bids of all kinds compete on one score, the expected (and squashed) value of 1000 impressions, in micros
//! (millionths of the currency unit), with `m` the bid modifier, `b` the bid and `α` the policy's squash:
//!
//! | kind | `q`, P(event of the bid \| impression) | eCPM | score per 1000 impressions | billed event | unit of reserve and price |
//! | --- | --- | --- | --- | --- | --- |
//! | CPM | 1 | `b` | `m·b·quality` | 1000 impressions | per 1000 impressions |
//! | CPC | pCTR | `1000·b·q` | `1000·m·b·q^α·quality` | click | per click |
//! | CPA | pCTR·pCVR | `1000·b·q` | `1000·m·b·q^α·quality` | conversion | per conversion |
//! | oCPM | pCTR·pCVR | `1000·b·q` | `1000·m·b·q^α·quality` | 1000 impressions | per 1000 impressions |
//!
//! An oCPM bid is per conversion, but its reserve and its price are per 1000 impressions: there the bid counts as its
//! eCPM. Squashing (`α` < 1) raises events of low probability; a CPM bid has `q = 1` and is unaffected. Among equal
//! scores the smaller key wins, then the earlier candidate.
//!
//! # Who may win
//! Every candidate is checked before ranking, and a [`Reason`] tells what is wrong with it. A bid under its own
//! reserve, in the unit above, does not take part: it neither wins nor sets a price. Tiers stand before price; limits and
//! slot masks say who may stand together and where. `docs/auction.md` has every rule with its formula and an example.
//!
//! # Price
//! Generalised second price, unless the policy says otherwise. Per billed event, a winner pays the smallest bid that keeps
//! its place against the next in line for it, placed or not: `min(bid, max(reserve, s_next / (m·q^α·quality)))` (for
//! oCPM times `1000·q`). If there is no next one, `s_next` is the policy's score floor.
//!
//! Prices are whole billable units, a micro each by default: the smallest whole amount that keeps the place. That is
//! `s_next / …` rounded up, or the next whole amount above it where the winner's key would lose the tie. A difference from
//! a whole amount of less than 16 units of f64 rounding (3.6e-15 of the price) counts as arithmetic noise. The price is
//! never under the reserve and never over the bid. An oCPM bid in billed units is its eCPM rounded down.
//!
//! Given a [`Scratch`], nothing here allocates. The work is bounded by O(n + k log k) for k places, and by O(n log n + n·k)
//! for at most 64 places where limits, slot masks or draws make places depend on each other.
//!
//! # Example
//! ```
//! use adclick::auction::{Page, Policy, Reason, Scratch, run_candidates};
//! use adclick::{BidKind, Candidate, PriceBound, Winner};
//!
//! # fn main() -> adclick::Result<()> {
//! let policy = Policy::parse("[reserve_micros]\ncpc = 100_000")?;
//! let click = |ad_key, bid_micros| Candidate { ad_key, bid_kind: BidKind::Cpc as u32, bid_micros, ..Candidate::default() };
//! let candidates = [click(1, 500_000), click(2, 300_000), click(3, 900_000)]; // 0.50 for a click, …
//! let pctr = [0.02, 0.03, f32::NAN];
//! let mut scratch = Scratch::new(candidates.len());
//! let (mut winners, mut reasons) = ([Winner::default(); 1], [Reason::Won; 3]);
//! let page = Page::new(&policy, winners.len());
//! let decision = run_candidates(&page, &candidates, &pctr, &[], &mut scratch, &mut winners, Some(&mut reasons))?;
//!
//! assert_eq!((decision.n_winners, winners[0].candidate, winners[0].runner_up), (1, 0, 1));
//! // 0.30 · 0.03 / 0.02: the pCTRs are the f32 nearest to these numbers, and a price is a whole micro.
//! assert!((449_999..=450_001).contains(&winners[0].price_micros));
//! assert_eq!(winners[0].price_bound, PriceBound::NextScore as u32);
//! assert_eq!(reasons.map(|reason| reason.to_string()), ["won", "outranked", "invalid_pctr"]);
//! # Ok(())
//! # }
//! ```

mod amount;
mod bid;
mod candidates;
mod carry;
mod document;
mod explain;
mod explore;
mod order;
mod page;
mod policy;
mod price;
mod rank;
mod reason;
mod seats;
pub(crate) mod shortlist;
mod terms;

use amount::Amount;
use bid::{Bid, Groups, Placement};
pub use candidates::run_candidates;
pub(crate) use candidates::{CANDIDATE_CUT, CANDIDATE_SWITCHED_OFF, assess, bid_multiplier, guess};
pub use carry::Carry;
pub(crate) use explain::explain;
pub use page::Page;
pub use policy::Policy;
use policy::{Limits, MAX_PAGE_SLOTS};
pub(crate) use policy::{PolicyParts, Pricing};
pub(crate) use rank::Tally;
pub use rank::{Decision, Scratch};
pub use reason::Reason;
pub(crate) use shortlist::{Bounds, Shortlist};

/// What only golden vectors, the auction verb, and tests need.
#[cfg(feature = "builder")]
pub(crate) mod parts {
    pub use super::amount::{Amount, MAX_BID_MICROS};
    pub use super::bid::{Bid, Groups, Placement};
    pub use super::candidates::{bid, tie_key};
    pub use super::document::{DocumentBid, run_document};
    pub use super::policy::{Limits, MAX_PAGE_SLOTS, PolicyDetails, PolicyParts, Pricing};
    pub use super::rank::{run, run_page};
    pub use super::shortlist::{Bounds, Shortlist};
}
