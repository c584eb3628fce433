//! A market: users who see, click and buy, servers that repeat themselves, and programs that click.

use adclick::builder::hash::mix;

use super::{DecisionRow, EventRow};

/// A deterministic stream of numbers.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> i64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as i64
    }

    fn chance(&mut self, p: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= p
    }
}

/// What a market is like.
#[derive(Debug, Clone, Copy)]
pub struct Market {
    /// Where its numbers begin.
    pub seed: u64,
    /// When the first request comes.
    pub begin_us: i64,
    /// Over how long the requests are spread evenly.
    pub length_us: i64,
    /// How many there are.
    pub requests: u64,
    /// How many people.
    pub users: u64,
    /// The share of requests that programs make.
    pub bots: f64,
}

/// What is true of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truth {
    /// The impression.
    pub id: u128,
    /// Whether a program made it.
    pub bot: bool,
    /// Whether it clicked.
    pub click: bool,
}

/// The advertisers of a market, and the ads of each.
const ADVERTISERS: u64 = 50;
const ADS: u64 = 20;
const SECOND: i64 = 1_000_000;

impl Market {
    /// Makes requests one by one, in the order of their times. Events come with their request; their times are later.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn run(
        &self,
        mut each: impl FnMut(DecisionRow, &[EventRow], Truth) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut events = Vec::new();
        for n in 0..self.requests {
            let mut dice = Dice(mix(self.seed ^ mix(n)));
            let time_us =
                self.begin_us + (i128::from(n) * i128::from(self.length_us) / i128::from(self.requests.max(1))) as i64;
            let bot = dice.chance(self.bots);
            events.clear();
            let decision = self.decide(&mut dice, n, time_us, bot);
            let click = if bot {
                program(&mut dice, &decision, &mut events)
            } else {
                person(&mut dice, &decision, &mut events)
            };
            each(decision, &events, Truth { id: decision.id, bot, click })?;
        }
        Ok(())
    }

    fn decide(&self, dice: &mut Dice, n: u64, time_us: i64, bot: bool) -> DecisionRow {
        let advertiser = 1 + dice.below(ADVERTISERS);
        let ad = advertiser * 1000 + dice.below(ADS);
        // Few programs make many requests; each kind of them has its own.
        let user = if bot {
            -1 - (mix(n) % 8) as i64 - 8 * dice.below(self.users / 20_000 + 1)
        } else {
            1 + dice.below(self.users)
        };
        DecisionRow {
            time_us,
            request_id: n as i64,
            user: (bot || !dice.chance(0.05)).then_some(user),
            ad: (!dice.chance(0.02)).then_some(ad),
            campaign: Some(advertiser * 10),
            advertiser: Some(advertiser),
            slot: dice.below(4) as i32,
            placement: 1 + dice.below(3) as i32,
            id: (u128::from(mix(n ^ self.seed)) << 64) | u128::from(dice.next()),
            pctr: 0.03,
            price: 100_000 + dice.below(900_000),
            propensity: 1.0,
            slate_share: None,
        }
    }
}

fn event(kind: i32, id: u128, time_us: i64) -> EventRow {
    EventRow { kind, id: Some(id), time_us, received_us: time_us + SECOND / 5, agent_class: 1, ..EventRow::default() }
}

/// Puts an event into the log, sometimes twice.
fn log(dice: &mut Dice, out: &mut Vec<EventRow>, event: EventRow) {
    out.push(event);
    if dice.chance(0.004) {
        out.push(EventRow { received_us: event.received_us + 2 * SECOND, ..event });
    }
}

fn person(dice: &mut Dice, decision: &DecisionRow, out: &mut Vec<EventRow>) -> bool {
    let DecisionRow { id, time_us, user, advertiser, .. } = *decision;
    if decision.ad.is_none() || dice.chance(0.1) {
        return false;
    }
    // Homes share an address, and a phone network many of them.
    let ip = Some(if dice.chance(0.05) { 1_000_000 + dice.below(50) } else { user.unwrap_or(7) / 2 });
    let seen = time_us + SECOND / 10 + dice.below(2_000_000);
    let with = |event: EventRow| EventRow { ip_class: ip, ..event };
    log(dice, out, with(event(1, id, seen)));
    let seen_for = dice.below(20_000_000);
    if seen_for > SECOND {
        out.push(with(EventRow { duration_us: Some(seen_for), ..event(2, id, seen + SECOND) }));
    }
    let rate = 0.01 * (1 + decision.ad.unwrap_or(0) % 6) as f64 / (1.0 + 0.4 * f64::from(decision.slot));
    if !dice.chance(rate) {
        // Some buy what they saw, without a click.
        if dice.chance(0.0005) {
            buy(dice, out, user, advertiser, None, seen);
        }
        return false;
    }
    let clicked = seen + 600_000 + dice.below(30_000_000);
    log(dice, out, with(event(3, id, clicked)));
    let stayed = 400_000 + dice.below(200_000_000);
    out.push(with(EventRow { duration_us: Some(stayed), ..event(4, id, clicked + stayed) }));
    if dice.chance(0.1) {
        let named = dice.chance(0.6).then_some(id);
        buy(dice, out, user, advertiser, named, clicked);
    }
    true
}

fn buy(
    dice: &mut Dice,
    out: &mut Vec<EventRow>,
    user: Option<i64>,
    advertiser: Option<i64>,
    id: Option<u128>,
    after: i64,
) {
    // Most soon, some days later, a few past every window.
    let delay = match dice.below(10) {
        0 => dice.below(9 * 86_400_000_000),
        1..3 => dice.below(86_400_000_000),
        _ => dice.below(3_600_000_000),
    };
    let order = EventRow {
        id,
        user,
        advertiser,
        order_id: Some(1 + (dice.next() >> 2) as i64),
        conversion_kind: Some(0),
        value_micros: Some(SECOND * (1 + dice.below(100))),
        ..event(5, 0, after + delay)
    };
    log(dice, out, order);
    let changed = |kind, value, later| EventRow {
        conversion_kind: Some(kind),
        value_micros: value,
        id: None,
        time_us: order.time_us + later,
        received_us: order.received_us + later,
        ..order
    };
    let later = 3_600_000_000 + dice.below(86_400_000_000);
    if dice.chance(0.03) {
        out.push(changed(2, None, later));
    } else if dice.chance(0.03) {
        out.push(changed(1, Some(SECOND), later));
    }
}

/// Programs of several kinds. Each clicks; each gives itself away by something.
fn program(dice: &mut Dice, decision: &DecisionRow, out: &mut Vec<EventRow>) -> bool {
    let DecisionRow { id, time_us, .. } = *decision;
    if decision.ad.is_none() {
        return false;
    }
    let kind = -1 - decision.user.unwrap_or(-1);
    let seen = time_us + SECOND / 10;
    let ip = Some(2_000_000 + kind % 8);
    let with = |event: EventRow| EventRow { ip_class: ip, ..event };
    let (class, delay, times) = match kind % 8 {
        // Says that it is one.
        0 => (2, SECOND, 1),
        // Runs in a data centre.
        1 => (4, SECOND, 1),
        // Clicks at once.
        2 | 3 => (1, 20_000 + dice.below(80_000), 1),
        // Clicks again and again.
        4 => (1, SECOND, 6),
        // Clicks on everything, all the time: as a user, or from one address.
        _ => (1, SECOND + dice.below(5_000_000), 1),
    };
    out.push(with(EventRow { agent_class: class, ..event(1, id, seen) }));
    for n in 0..times {
        out.push(with(EventRow {
            agent_class: class,
            event_id: Some(n + 1),
            ..event(3, id, seen + delay + n * SECOND)
        }));
    }
    true
}
