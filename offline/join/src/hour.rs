//! One hour of decisions: which were seen, and what came of them. A function of the set of records alone.

use crate::counts::{Aside, Counts};
use crate::options::Options;
use crate::record::{Decision, Event, EventKind, flag, place};
use crate::touch::{Touch, TouchKind};
use crate::traffic::{Seen, Verdicts, bit, of_agent};

/// Bits of a row's `flags` beside those of [`crate::traffic::Rules`].
pub mod row_flag {
    /// The impression is earlier than its decision, within the tolerance.
    pub const EARLY_IMPRESSION: u32 = 1;
    /// A click is earlier than its impression, within the tolerance.
    pub const EARLY_CLICK: u32 = 2;
    /// A record of the impression, or of a click, came twice and said the same.
    pub const DUPLICATE: u32 = 4;
    /// A record came twice and said something else.
    pub const CONFLICTING: u32 = 8;
}

/// A click of an impression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Click {
    /// Its own id; 0 = none.
    pub click: i64,
    /// When.
    pub time_us: i64,
    /// The rules that it broke.
    pub bits: u32,
    ip: i64,
    agent: u8,
}

/// A decision that was seen: a row to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The decision.
    pub decision: Decision,
    /// When it was rendered.
    pub rendered_us: i64,
    /// Whether it was in view.
    pub viewable: bool,
    /// How long in view, in microseconds; negative = not said.
    pub view_us: i64,
    /// The longest stay after a click; negative = not said.
    pub dwell_us: i64,
    /// Bits 1 hidden, 2 reported, 4 answered.
    pub feedback: u32,
    /// Bits of [`row_flag`] and of the rules.
    pub flags: u32,
    /// The clicks, by time.
    pub clicks: Vec<Click>,
    times: u32,
}

/// An hour, or a part of one, in the order of [`place`].
#[derive(Debug, Default)]
pub struct Hour {
    /// What was seen.
    pub shown: Vec<Shown>,
    /// What is in no row.
    pub aside: Vec<Aside>,
    /// What became of all records.
    pub counts: Counts,
}

fn set_aside(event: &Event, reason: &'static str, hour: &mut Hour) {
    let Event { id, kind, time_us, click: own_id, value, .. } = *event;
    hour.counts.add(&format!("{}.{reason}", kind.name()), 1);
    hour.aside.push(Aside { id, kind: kind.name(), reason, time_us, own_id, user: 0, value });
}

/// Whether an id is worth a look: forged and expired ones never are.
fn refused(event: &Event) -> Option<&'static str> {
    if event.flags & flag::FORGED != 0 {
        Some("forged")
    } else if event.flags & flag::EXPIRED != 0 {
        Some("expired")
    } else {
        None
    }
}

/// Joins decisions and events of one hour.
#[must_use]
pub fn resolve(options: &Options, mut decisions: Vec<Decision>, mut events: Vec<Event>) -> Hour {
    decisions.sort_unstable_by_key(Decision::key);
    events.sort_unstable_by_key(|e| (place(e.id), *e));
    let mut hour = Hour::default();
    let mut rest = &events[..];
    for same in decisions.chunk_by(|a, b| a.id == b.id) {
        let decision = same[0];
        for other in &same[1..] {
            let reason = if (other.key()) == decision.key() { "duplicate" } else { "conflicting" };
            hour.counts.add(&format!("decision.{reason}"), 1);
            let Decision { id, time_us, user, .. } = *other;
            hour.aside.push(Aside { id, kind: "decision", reason, time_us, own_id: 0, user, value: 0 });
        }
        let at = (place(decision.id), decision.id);
        let before = rest.partition_point(|e| (place(e.id), e.id) < at);
        let mine = rest[before..].partition_point(|e| e.id == decision.id);
        orphans(&rest[..before], &mut hour);
        one(options, decision, &rest[before..before + mine], &mut hour);
        rest = &rest[before + mine..];
    }
    orphans(rest, &mut hour);
    hour
}

fn orphans(events: &[Event], hour: &mut Hour) {
    events.iter().for_each(|event| set_aside(event, refused(event).unwrap_or("no_decision"), hour));
}

/// Events between a parent and its age limit, minus the tolerance; the others are set aside.
fn in_time<'a>(options: &Options, parent_us: i64, events: &'a [Event], hour: &mut Hour) -> Vec<&'a Event> {
    let mut kept = Vec::new();
    for event in events {
        let age = event.time_us.saturating_sub(parent_us);
        match refused(event) {
            Some(reason) => set_aside(event, reason, hour),
            None if age < -options.tolerance_us => set_aside(event, "before_parent", hour),
            None if age > options.age_limit_us => set_aside(event, "too_late", hour),
            None => kept.push(event),
        }
    }
    kept
}

fn one(options: &Options, decision: Decision, events: &[Event], hour: &mut Hour) {
    let impressions = events.partition_point(|e| e.kind == EventKind::Impression);
    let (impressions, others) = events.split_at(impressions);
    let kept = in_time(options, decision.time_us, impressions, hour);
    let Some(&impression) = kept.first() else {
        hour.counts.add("decision.not_rendered", 1);
        for event in others {
            set_aside(event, refused(event).unwrap_or("no_impression"), hour);
        }
        return;
    };
    hour.counts.add("decision.rendered", 1);
    hour.counts.add("impression.row", 1);
    let early = if impression.time_us < decision.time_us { row_flag::EARLY_IMPRESSION } else { 0 };
    let mut shown = Shown {
        decision,
        rendered_us: impression.time_us,
        viewable: false,
        view_us: -1,
        dwell_us: -1,
        feedback: 0,
        flags: early | of_agent(&options.traffic, impression.agent),
        clicks: Vec::new(),
        times: 0,
    };
    for again in &kept[1..] {
        shown.flags |= second(impression, again, hour);
    }
    for event in in_time(options, impression.time_us, others, hour) {
        match event.kind {
            EventKind::Click => {
                shown.times += 1;
                match shown.clicks.iter().position(|c| c.click == event.click) {
                    Some(at) => {
                        let first = shown.clicks[at];
                        let first = Event { time_us: first.time_us, ip: first.ip, agent: first.agent, ..*event };
                        shown.flags |= second(&first, event, hour);
                    }
                    None => {
                        let Event { click, time_us, ip, agent, .. } = *event;
                        shown.clicks.push(Click { click, time_us, bits: 0, ip, agent });
                        if time_us < impression.time_us {
                            shown.flags |= row_flag::EARLY_CLICK;
                        }
                    }
                }
                continue;
            }
            EventKind::Viewable => {
                shown.viewable = true;
                shown.view_us = shown.view_us.max(event.value);
            }
            EventKind::Dwell => shown.dwell_us = shown.dwell_us.max(event.value),
            EventKind::Feedback => shown.feedback |= 1 << (event.value.clamp(1, 3) - 1),
            EventKind::Impression => {}
        }
        hour.counts.add(&format!("{}.joined", event.kind.name()), 1);
    }
    hour.shown.push(shown);
}

/// A second record of the same event.
fn second(first: &Event, again: &Event, hour: &mut Hour) -> u32 {
    let (reason, bit) =
        if again.same(first) { ("duplicate", row_flag::DUPLICATE) } else { ("conflicting", row_flag::CONFLICTING) };
    set_aside(again, reason, hour);
    bit
}

impl Hour {
    /// What the rules of invalid traffic look at.
    pub fn seen(&self) -> impl Iterator<Item = Seen> + '_ {
        self.shown.iter().flat_map(|shown| {
            shown.clicks.iter().map(|click| Seen {
                id: shown.decision.id,
                click: click.click,
                time_us: click.time_us,
                rendered_us: shown.rendered_us,
                user: shown.decision.user,
                ip: click.ip,
                agent: click.agent,
                times: shown.times,
                dwell_us: shown.dwell_us,
            })
        })
    }

    /// Marks what the rules found, and takes out the clicks that they drop.
    pub fn apply(&mut self, options: &Options, verdicts: &Verdicts) {
        let dropped = options.traffic.dropped();
        let (mut aside, mut counts) = (Vec::new(), Counts::default());
        for shown in &mut self.shown {
            let id = shown.decision.id;
            shown.flags |= verdicts.user(shown.decision.user);
            let mut kept = 0;
            shown.clicks.retain_mut(|click| {
                click.bits = verdicts.click(id, click.click);
                shown.flags |= click.bits;
                if click.bits & dropped != 0 {
                    let Click { time_us, click: own_id, .. } = *click;
                    aside.push(Aside {
                        id,
                        kind: "click",
                        reason: "invalid",
                        time_us,
                        own_id,
                        user: shown.decision.user,
                        value: 0,
                    });
                    counts.add("click.invalid", 1);
                    return false;
                }
                counts.add(if kept == 0 { "click.first" } else { "click.repeated" }, 1);
                kept += 1;
                true
            });
            for (name, mask, _) in crate::traffic::Rules::ALL {
                counts.add(&format!("rule.{name}"), u64::from(shown.flags & mask != 0));
            }
            let early = shown.flags & (row_flag::EARLY_IMPRESSION | row_flag::EARLY_CLICK);
            counts.add("note.early", u64::from(early.count_ones()));
        }
        self.aside.append(&mut aside);
        self.counts.merge(&counts);
    }
}

impl Shown {
    /// Whether the row counts as traffic of customers.
    #[must_use]
    pub fn valid(&self, options: &Options) -> bool {
        self.flags & options.traffic.zero() == 0
    }

    /// The clicks that count: those that no rule makes weigh nothing.
    pub fn valid_clicks<'a>(&'a self, options: &Options) -> impl Iterator<Item = &'a Click> + 'a {
        let zero = options.traffic.zero();
        let user = self.flags & bit("user_velocity") & zero;
        self.clicks.iter().filter(move |click| click.bits & zero == 0 && user == 0)
    }

    /// The touches that a conversion may come from.
    pub fn touches<'a>(&'a self, options: &Options) -> impl Iterator<Item = Touch> + 'a {
        let Decision { id, user, advertiser, .. } = self.decision;
        let touch = move |kind, time_us, click| Touch { user, kind, time_us, id, advertiser, click };
        let clicks = self.valid_clicks(options).map(move |click| touch(TouchKind::Click, click.time_us, click.click));
        // A row that weighs 0 because of its impression is no view; one with a bad click is.
        let robot =
            self.flags & options.traffic.zero() & (bit("robot") | bit("data_centre") | bit("user_velocity")) != 0;
        clicks.chain((!robot).then(|| touch(TouchKind::View, self.rendered_us, 0)))
    }
}
