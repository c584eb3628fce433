//! One auction: eligibility, order, places and prices.

#[cfg(feature = "builder")]
use super::Policy;
use super::explore::{Account, Drawn, draw};
use super::order::{Entry, Order, State};
use super::price::{Against, Price, price};
use super::seats::{Candidates, NOBODY, Seat, externality, fill};
use super::terms::Terms;
use super::{Amount, Bid, Groups, MAX_PAGE_SLOTS, Page, Placement, Pricing, Reason};
use crate::error::{Error, Result, Status};
use crate::memory::reserved;
use crate::types::{Exploration, NO_CANDIDATE};

/// The memory of one auction at a time. Sized once, so that auctions allocate nothing.
#[derive(Debug)]
pub struct Scratch {
    entries: Vec<Entry>,
    capacity: usize,
    tally: Tally,
    seats: [Seat; MAX_PAGE_SLOTS],
    drawn: [Drawn; MAX_PAGE_SLOTS],
    account: Account,
    seated: Seated,
    /// Of `entries`, as many as are in order.
    looked_at: usize,
}

/// How the last auction gave its places.
#[derive(Debug, Clone, Copy)]
enum Seated {
    /// To the first of the order.
    InOrder,
    /// To so many of `seats`.
    Seats(usize),
    /// To so many of `drawn`.
    Drawn(usize),
}

/// How many candidates had each [`Reason`], by its number.
pub(crate) type Tally = [u32; Reason::ALL.len()];

impl Scratch {
    /// Room for auctions of up to `max_candidates` (24 bytes each).
    #[must_use]
    pub fn new(max_candidates: usize) -> Self {
        Self::with(Vec::with_capacity(max_candidates), max_candidates)
    }

    /// The same.
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses so much memory.
    pub(crate) fn try_new(max_candidates: usize) -> Result<Self> {
        Ok(Self::with(reserved(max_candidates)?, max_candidates))
    }

    fn with(entries: Vec<Entry>, capacity: usize) -> Self {
        Self {
            entries,
            capacity,
            tally: Tally::default(),
            seats: [Seat { slot: 0, at: 0, next: NOBODY }; MAX_PAGE_SLOTS],
            drawn: [Drawn { slot: 0, at: 0, propensity: 1.0 }; MAX_PAGE_SLOTS],
            account: Account::default(),
            seated: Seated::InOrder,
            looked_at: 0,
        }
    }

    /// The eligible candidates of the last auction. They are in order as far as anybody looked, and all that have a place or are
    /// kept out by a limit are there.
    pub(super) fn ranked(&self) -> &[Entry] {
        &self.entries
    }

    /// What the last auction found of an eligible candidate.
    pub(crate) fn found(&self, index: u32) -> Reason {
        let entry = self.entries[..self.looked_at].iter().find(|entry| entry.index == index);
        entry.map_or(Reason::Outranked, |entry| entry.state.reason())
    }

    /// The slot of the candidate at a position of the order, which has a place.
    pub(super) fn slot_of(&self, at: u32) -> u32 {
        match self.seated {
            Seated::InOrder => at,
            Seated::Seats(n) => self.seats[..n].iter().find(|seat| seat.at == at).map_or(at, |seat| seat.slot),
            Seated::Drawn(n) => self.drawn[..n].iter().find(|place| place.at == at).map_or(at, |place| place.slot),
        }
    }

    pub(super) fn entries(&mut self) -> &mut Vec<Entry> {
        &mut self.entries
    }

    /// The first so many of the order won, the others were outranked, and some were switched off.
    pub(super) fn tally_of(&mut self, won: usize, outranked: usize, off: usize) {
        (self.seated, self.looked_at) = (Seated::InOrder, won);
        self.entries[..won].iter_mut().for_each(|entry| entry.state = State::Placed);
        self.tally = Tally::default();
        self.tally[Reason::Won as usize] = won as u32;
        self.tally[Reason::Outranked as usize] = outranked as u32;
        self.tally[Reason::SwitchedOff as usize] = off as u32;
    }

    /// The counts of the last auction's candidates by reason.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.capacity * size_of::<Entry>()
    }

    /// The most candidates that an auction may have.
    pub(crate) fn max_candidates(&self) -> usize {
        self.capacity
    }
}

/// What an auction did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Places filled.
    pub n_winners: usize,
    /// Whether it might explore.
    pub exploration: Exploration,
    /// The probability of the whole slate; 1 when nothing is random.
    pub propensity: f64,
    /// What exploration gave up, in micros of expected revenue of 1000 such requests; negative where it gained.
    pub given_up: f64,
}

/// Runs one auction for `n_slots` places (0 places: no winners) of a request of which nothing is known, and returns how many
/// were filled.
///
/// Fills `placements[..filled]`, best place first, and `reasons[i]` for bid `i` when reasons are asked for.
///
/// # Errors
/// [`Status::CapacityExceeded`] for more bids than `scratch` was made for; [`Status::BufferTooSmall`] when
/// `placements` holds fewer than `min(n_slots, bids)` or `reasons` fewer than there are bids; [`Status::Unsupported`] for
/// the pricing `document`, which ranks no bids of kinds. A bid is never an error: it gets a [`Reason`].
#[cfg(feature = "builder")]
pub fn run<A: Amount>(
    policy: &Policy,
    bids: &[Bid<A>],
    n_slots: usize,
    scratch: &mut Scratch,
    placements: &mut [Placement<A>],
    reasons: Option<&mut [Reason]>,
) -> Result<usize> {
    // The index is always below `bids.len()`.
    let get = |index: usize| Ok(bids[index]);
    let page = Page::new(policy, n_slots);
    run_page(&page, bids.len(), get, scratch, placements, reasons).map(|decision| decision.n_winners)
}

/// As [`run`], for a request of which more is known, and bids that `get` gives for the indices from 0: a reason in place of a
/// candidate that makes none.
///
/// # Errors
/// As [`run`].
#[cfg(feature = "builder")]
pub fn run_page<A: Amount>(
    page: &Page<'_>,
    n: usize,
    get: impl Fn(usize) -> std::result::Result<Bid<A>, Reason>,
    scratch: &mut Scratch,
    placements: &mut [Placement<A>],
    reasons: Option<&mut [Reason]>,
) -> Result<Decision> {
    let mut ranking = Ranking::new(page, n, get, scratch, placements.len(), reasons)?;
    for (place, to) in placements.iter_mut().take(ranking.decision.n_winners).enumerate() {
        *to = ranking.placement(place)?;
    }
    Ok(ranking.decision)
}

/// The eligible candidates in order, and who has which place.
pub(super) struct Ranking<'a, G> {
    page: &'a Page<'a>,
    get: G,
    order: Order<'a>,
    /// The places without chance, where they are not simply the first of the order.
    seats: Option<&'a [Seat]>,
    /// The places as they were drawn.
    drawn: Option<&'a [Drawn]>,
    pub(super) decision: Decision,
}

impl<'a, A: Amount, G: Fn(usize) -> std::result::Result<Bid<A>, Reason>> Ranking<'a, G> {
    /// Ranks the `n` bids that `get` gives for the indices from 0. `room` is how many places the caller can take.
    pub(super) fn new(
        page: &'a Page<'a>,
        n: usize,
        get: G,
        scratch: &'a mut Scratch,
        room: usize,
        mut reasons: Option<&mut [Reason]>,
    ) -> Result<Self> {
        let Scratch { entries, tally, seats, drawn, account, capacity, seated, looked_at } = scratch;
        check(page, n, *capacity, room, reasons.as_deref())?;
        entries.clear();
        *tally = Tally::default();
        let mut masked = false;
        for index in 0..n {
            let entry = get(index).and_then(|bid| {
                let Terms { score, .. } = Terms::new(page, &bid)?;
                masked |= bid.slots != 0;
                Ok(Entry { score, key: bid.key, index: index as u32, tier: bid.tier, state: State::Open })
            });
            let reason = match entry {
                Ok(entry) => {
                    entries.push(entry);
                    Reason::Outranked
                }
                Err(reason) => {
                    tally[reason as usize] += 1;
                    reason
                }
            };
            if let Some(reasons) = &mut reasons {
                reasons[index] = reason;
            }
        }

        let order = Order::new(entries);
        let decision = Decision { n_winners: 0, exploration: Exploration::Off, propensity: 1.0, given_up: 0.0 };
        let mut ranking = Self { page, get, order, seats: None, drawn: None, decision };
        if masked || page.policy.has_page_rules() {
            ranking.seat(seats, drawn, account)?;
        } else {
            let n_placed = page.n_slots.min(ranking.order.entries.len());
            // The one behind the last keeps its price up.
            ranking.order.sort_to(n_placed + 1);
            ranking.order.entries[..n_placed].iter_mut().for_each(|entry| entry.state = State::Placed);
            ranking.decision.n_winners = n_placed;
        }
        *seated = match (ranking.drawn, ranking.seats) {
            (Some(drawn), _) => Seated::Drawn(drawn.len()),
            (None, Some(seats)) => Seated::Seats(seats.len()),
            (None, None) => Seated::InOrder,
        };
        // Who was looked at is among the sorted ones.
        let (sorted, rest) = ranking.order.split();
        *looked_at = sorted.len();
        tally[Reason::Outranked as usize] = rest as u32;
        for entry in sorted {
            let reason = entry.state.reason();
            tally[reason as usize] += 1;
            if let Some(reasons) = &mut reasons {
                reasons[entry.index as usize] = reason;
            }
        }
        Ok(ranking)
    }

    /// Fills places that depend on each other, and draws them where the policy explores.
    fn seat(
        &mut self,
        seats: &'a mut [Seat; MAX_PAGE_SLOTS],
        drawn: &'a mut [Drawn; MAX_PAGE_SLOTS],
        account: &mut Account,
    ) -> Result<()> {
        let (policy, n_slots) = (self.page.policy, self.page.slots_in_order());
        let limits = policy.page.limits;
        let at_hand = AtHand { page: self.page, get: &self.get };
        let n = fill(&mut self.order, &at_hand, limits, n_slots, seats);
        self.seats = Some(&seats[..n]);
        self.decision.n_winners = n;
        let Some(explore) = &policy.explore else { return Ok(()) };

        let mut at_stake = 0.0;
        for seat in 0..n {
            let (placement, terms) = self.by_rank(seat)?;
            at_stake += policy.slot_factor(placement.slot as usize) * terms.revenue(placement.price.to_f64());
        }
        let allowed = match self.page.exploration {
            Exploration::Off => account.admits(explore, at_stake / 1000.0),
            verdict => verdict == Exploration::Allowed,
        };
        self.decision.exploration = if allowed { Exploration::Allowed } else { Exploration::Capped };
        if !allowed {
            return Ok(());
        }
        let last = self.seats.unwrap_or_default().iter().map(|seat| seat.at as usize + 1).max().unwrap_or(0);
        let pool = (explore.pool as usize).max(last).min(self.order.entries.len());
        // And who comes behind the last of them, for its price.
        self.order.sort_to(pool + 1);
        let at_hand = AtHand { page: self.page, get: &self.get };
        let n = draw(&self.order, pool, &at_hand, explore, limits, n_slots, self.page.request_id, drawn);
        let drawn = &drawn[..n];
        self.decision.n_winners = n;
        self.decision.propensity = drawn.iter().map(|place| place.propensity).product();
        self.drawn = Some(drawn);
        let mut brought = 0.0;
        for place in 0..n {
            let (placement, terms) = self.by_chance(place)?;
            brought += policy.slot_factor(placement.slot as usize) * terms.revenue(placement.price.to_f64());
        }
        self.decision.given_up = at_stake - brought;
        if self.page.exploration == Exploration::Off {
            account.spend(self.decision.given_up / 1000.0);
        }
        for entry in self.order.entries.iter_mut().filter(|entry| entry.state == State::Placed) {
            entry.state = State::Open;
        }
        for place in drawn {
            self.order.entries[place.at as usize].state = State::Placed;
        }
        Ok(())
    }

    /// The candidate in place number `place`, which is below `n_winners`, and its price.
    pub(super) fn placement(&mut self, place: usize) -> Result<Placement<A>> {
        let placed = if self.drawn.is_some() { self.by_chance(place) } else { self.by_rank(place) };
        placed.map(|(placement, _)| placement)
    }

    fn by_rank(&mut self, place: usize) -> Result<(Placement<A>, Terms<A>)> {
        let seat = match self.seats {
            Some(seats) => seats[place],
            None => {
                let next = if place + 1 < self.order.entries.len() { place as u32 + 1 } else { NOBODY };
                Seat { slot: place as u32, at: place as u32, next }
            }
        };
        let (entry, bid, terms) = self.winner(seat.at, seat.slot)?;
        let next = (seat.next != NOBODY).then(|| self.order.entries[seat.next as usize]);
        let against = match (self.page.policy.pricing, self.seats) {
            (Pricing::Vcg, Some(seats)) => {
                let (policy, page) = (self.page.policy, self.page);
                let at_hand = AtHand { page, get: &self.get };
                let (limits, floor) = (policy.page.limits, policy.score_floor());
                let factor = |slot| policy.slot_factor(slot);
                let n_slots = page.slots_in_order();
                let lost = externality(&mut self.order, &at_hand, limits, seats, place, n_slots, factor, floor);
                Against::Lost(lost / policy.slot_factor(seat.slot as usize))
            }
            _ => Against::Next(next),
        };
        let price = price(self.page, &entry, &terms, bid.floor_exempt, against);
        let runner_up = next.map_or(NO_CANDIDATE, |next| next.index);
        Ok((placed(seat.slot, seat.at, &entry, &terms, price, runner_up), terms))
    }

    /// A drawn place. One that won by rank, too, pays what it pays there; any other pays what keeps its rank against the next
    /// that may stand beside it. Either is at least the reserve of the slot where it stands.
    fn by_chance(&mut self, place: usize) -> Result<(Placement<A>, Terms<A>)> {
        let Some(&Drawn { slot, at, propensity }) = self.drawn.and_then(|drawn| drawn.get(place)) else {
            return Err(Error::new(Status::Internal, "a place that was not drawn"));
        };
        let seat = self.seats.and_then(|seats| seats.iter().find(|seat| seat.at == at)).copied();
        let next = match seat {
            Some(seat) => (seat.next != NOBODY).then_some(seat.next as usize),
            None => self.beside(at as usize),
        };
        let next = next.map(|next| self.order.entries[next]);
        let (entry, bid, terms) = self.winner(at, slot)?;
        let price = price(self.page, &entry, &terms, bid.floor_exempt, Against::Next(next));
        let runner_up = next.map_or(NO_CANDIDATE, |next| next.index);
        let mut placement = placed(slot, at, &entry, &terms, price, runner_up);
        placement.propensity = propensity;
        placement.marginal_propensity = if place == 0 { propensity } else { f64::NAN };
        placement.explored = seat.is_none_or(|seat| seat.slot != slot);
        Ok((placement, terms))
    }

    /// The next behind a position that may stand beside it.
    fn beside(&mut self, at: usize) -> Option<usize> {
        let at_hand = AtHand { page: self.page, get: &self.get };
        let mut standing = super::seats::Standing::new(self.page.policy.page.limits);
        standing.add(at_hand.groups(self.order.entries[at].index));
        let mut next = at + 1;
        while self.order.reach(next) {
            if standing.admits(&at_hand.groups(self.order.entries[next].index)) {
                return Some(next);
            }
            next += 1;
        }
        None
    }

    fn winner(&self, at: u32, slot: u32) -> Result<(Entry, Bid<A>, Terms<A>)> {
        let entry = self.order.entries[at as usize];
        // The bid passed when it was ranked, so it passes here too.
        let (bid, mut terms) = (self.get)(entry.index as usize)
            .and_then(|bid| Ok((bid, Terms::new(self.page, &bid)?)))
            .map_err(|reason| Error::new(Status::Internal, format!("winner {} is now {reason}", entry.index)))?;
        if !bid.floor_exempt {
            terms.raise_reserve(self.page, slot as usize);
        }
        Ok((entry, bid, terms))
    }
}

fn placed<A: Amount>(
    slot: u32,
    rank: u32,
    entry: &Entry,
    terms: &Terms<A>,
    price: Price<A>,
    runner_up: u32,
) -> Placement<A> {
    Placement {
        candidate: entry.index,
        slot,
        runner_up,
        price: price.amount,
        unrounded_price: price.unrounded,
        bound: price.bound,
        ecpm: terms.ecpm,
        score: entry.score,
        bid: terms.bid,
        reserve: terms.reserve,
        rank,
        tier: entry.tier,
        explored: false,
        propensity: 1.0,
        marginal_propensity: 1.0,
    }
}

fn check(page: &Page<'_>, n: usize, capacity: usize, room: usize, reasons: Option<&[Reason]>) -> Result<()> {
    if n > capacity || n >= NO_CANDIDATE as usize {
        let text = format!("{n} candidates, but the auction was sized for {capacity}");
        return Err(Error::new(Status::CapacityExceeded, text));
    }
    let (slots, most) = (page.n_slots, page.n_slots.min(n));
    if room < most {
        let text = format!("room for {room} winners, but {n} candidates may fill {most} of {slots} slots");
        return Err(Error::new(Status::BufferTooSmall, text));
    }
    if let Some(reasons) = reasons
        && reasons.len() < n
    {
        let text = format!("room for {} reasons, but there are {n} candidates", reasons.len());
        return Err(Error::new(Status::BufferTooSmall, text));
    }
    if page.policy.pricing == Pricing::Document {
        return Err(Error::unsupported("the document's ranker takes candidates, not typed bids"));
    }
    Ok(())
}

/// The bids as the allocation sees them.
struct AtHand<'a, G> {
    page: &'a Page<'a>,
    get: &'a G,
}

impl<A: Amount, G: Fn(usize) -> std::result::Result<Bid<A>, Reason>> Candidates for AtHand<'_, G> {
    fn groups(&self, index: u32) -> Groups {
        (self.get)(index as usize).map(|bid| bid.groups).unwrap_or_default()
    }

    fn fits(&self, index: u32, slot: usize) -> bool {
        let Ok(bid) = (self.get)(index as usize) else { return false };
        if !super::page::fits(bid.slots, slot) {
            return false;
        }
        if bid.floor_exempt || !self.page.policy.has_slot_reserves() {
            return true;
        }
        Terms::new(self.page, &bid).is_ok_and(|mut terms| {
            terms.raise_reserve(self.page, slot);
            terms.reserve <= terms.most
        })
    }
}
