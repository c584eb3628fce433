//! Records as the schemas have them, field by field in their order.

use std::sync::Arc;

use super::avro::Encode;
use super::event::EventKind;
use super::record::{Decided, EventRecord, Scored, Slate, SlateCandidate};
use crate::types::{Candidate, NO_CANDIDATE, Value, WINNER_EXPLORED, Winner};

/// Which record it is: the run, the ring, the number there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) run: u64,
    pub(super) ring: u32,
    pub(super) seq: u64,
}

impl Place {
    fn put(self, out: &mut Vec<u8>) {
        out.id(self.run);
        out.count(self.ring);
        out.id(self.seq);
    }
}

fn request(out: &mut Vec<u8>, d: &Decided) {
    let known = |id: u64| if d.keep_no_user { 0 } else { id };
    out.long(d.time_us);
    out.id(d.request_id);
    out.id(d.generation);
    out.id_or_null(d.policy);
    // There are no experiments yet: room for one and its arm.
    out.null();
    out.null();
    out.id_or_null(known(d.user));
    out.id_or_null(known(d.session));
    out.id_or_null(d.device);
    out.count(d.placement);
}

fn counts(out: &mut Vec<u8>, d: &Decided) {
    out.count(d.n_candidates);
    out.null(); // retrieved: candidates are passed
    out.count(d.n_scored);
    out.count(d.n_cut);
}

fn flags(d: &Decided) -> i32 {
    i32::from(d.keep_no_user)
}

/// What a candidate brought, and what was thought of it.
struct Thought {
    pctr: f32,
    pcvr: f32,
    score: f64,
    ecpm_micros: Option<i64>,
    tier: Option<u32>,
}

fn bid(out: &mut Vec<u8>, scored: &Scored, thought: &Thought) {
    let c: &Candidate = &scored.candidate;
    out.id_or_null(c.ad_key);
    out.id_or_null(c.creative_key);
    out.id_or_null(c.campaign_key);
    out.id_or_null(c.advertiser_key);
    out.some_count(c.bid_kind);
    out.some_long(c.bid_micros);
    out.some_long(c.reserve_micros);
    let or_one = |factor: f32| if factor == 0.0 { 1.0 } else { factor };
    out.float_or_null(or_one(c.modifier));
    out.float_or_null(or_one(c.quality));
    out.double_or_null(scored.multiplier);
    match thought.tier {
        Some(tier) => out.some_count(tier),
        None => out.null(),
    }
    out.float_or_null(scored.logits[0]);
    out.float_or_null(scored.logits[1]);
    out.float_or_null(thought.pctr);
    out.float_or_null(thought.pcvr);
    out.double_or_null(thought.score);
    match thought.ecpm_micros {
        Some(micros) => out.some_long(micros),
        None => out.null(),
    }
}

/// The fields of a bid and of a win.
const NO_BID: usize = 17;
const NO_WIN: usize = 9;

fn won(out: &mut Vec<u8>, winner: &Winner, joint: f64) {
    out.some_count(winner.slot);
    out.long(1);
    out.id(winner.impression_id);
    out.long(1);
    out.id(winner.impression_id_high);
    out.some_long(winner.price_micros);
    out.some_count(winner.price_bound);
    out.some_count(u32::from(winner.flags & WINNER_EXPLORED != 0));
    out.double_or_null(winner.propensity);
    out.double_or_null(joint);
    out.double_or_null(winner.marginal_propensity);
}

pub(super) fn decision(out: &mut Vec<u8>, place: Place, d: &Decided, scored: &Scored, winner: &Winner) {
    place.put(out);
    request(out, d);
    counts(out, d);
    out.count(d.n_winners);
    out.count(d.precision);
    if winner.candidate == NO_CANDIDATE {
        (0..1 + NO_BID + NO_WIN + 1).for_each(|_| out.null());
    } else {
        out.some_count(winner.candidate);
        let Winner { pctr, pcvr, score, ecpm_micros, tier, .. } = *winner;
        bid(out, scored, &Thought { pctr, pcvr, score, ecpm_micros: Some(ecpm_micros), tier: Some(tier) });
        won(out, winner, d.propensity);
        match winner.runner_up {
            NO_CANDIDATE => out.null(),
            index => out.some_count(index),
        }
    }
    out.double(1.0);
    out.double_or_null(if d.slate_share > 0.0 { d.slate_share } else { f64::NAN });
    out.int(flags(d));
}

pub(super) fn slate(out: &mut Vec<u8>, place: Place, slate: &Slate, names: &[Arc<str>]) {
    let d = &slate.decided;
    place.put(out);
    request(out, d);
    counts(out, d);
    out.double(d.slate_share);
    let (of_request, mut rest) = slate.values.split_at(slate.request_values as usize);
    let mut at = of_request.len();
    values(out, of_request, names);
    if !slate.candidates.is_empty() {
        out.long(slate.candidates.len() as i64);
    }
    for c in &slate.candidates {
        let (own, others) = rest.split_at(c.values_end as usize - at);
        (at, rest) = (c.values_end as usize, others);
        candidate(out, c, slate.winners.get(c.winner as usize), d.propensity);
        values(out, own, names);
    }
    out.long(0);
    out.int(flags(d));
}

fn candidate(out: &mut Vec<u8>, c: &SlateCandidate, winner: Option<&Winner>, joint: f64) {
    out.count(c.index);
    let ecpm_micros = (!c.ecpm.is_nan()).then(|| winner.map_or(c.ecpm.round() as i64, |w| w.ecpm_micros));
    let tier = winner.map(|winner| winner.tier);
    bid(out, &c.scored, &Thought { pctr: c.pctr, pcvr: c.pcvr, score: c.score, ecpm_micros, tier });
    match winner {
        Some(winner) => won(out, winner, joint),
        None => (0..NO_WIN).for_each(|_| out.null()),
    }
    out.some_count(c.reason);
    out.double(c.weight);
}

fn values(out: &mut Vec<u8>, values: &[Value], names: &[Arc<str>]) {
    if !values.is_empty() {
        out.long(values.len() as i64);
    }
    for value in values {
        let name = names.get((value.feature as usize).wrapping_sub(1)).map_or("", |name| name);
        out.bytes(name.as_bytes());
        out.float(value.number);
        out.id(value.id);
    }
    out.long(0);
}

pub(super) fn event(out: &mut Vec<u8>, place: Place, record: &EventRecord) {
    let e = &record.event;
    place.put(out);
    out.long(record.received_us);
    out.long(e.time_us);
    out.count(e.kind as u32);
    for half in [e.impression_id as u64, (e.impression_id >> 64) as u64] {
        match e.impression_id {
            0 => out.null(),
            _ => {
                out.long(1);
                out.id(half);
            }
        }
    }
    out.id_or_null(e.event_id);
    out.id_or_null(e.click_id);
    out.id_or_null(if e.keep_no_user { 0 } else { e.user_key });
    out.id_or_null(e.advertiser_key);
    out.id_or_null(e.order_id);
    let or_null = |out: &mut Vec<u8>, has: bool, n: i64| if has { out.some_long(n) } else { out.null() };
    let conversion = e.kind == EventKind::Conversion;
    or_null(out, conversion, e.conversion_kind.into());
    or_null(out, conversion, e.conversion_type.into());
    or_null(out, conversion, e.value_micros);
    or_null(out, matches!(e.kind, EventKind::Dwell | EventKind::Viewable), e.duration_us);
    or_null(out, e.kind == EventKind::Feedback, e.feedback.into());
    or_null(out, e.kind == EventKind::Feedback, e.answer.into());
    out.id_or_null(e.ip_class);
    out.count(e.agent_class);
    out.count(record.flags);
}
