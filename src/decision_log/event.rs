//! Events: what came of a decision, as callers tell it, and what is wrong with one.

use std::sync::atomic::{AtomicU64, Ordering};

use super::impression::{ImpressionKey, NO_IMPRESSION, Verdict};
use crate::error::{Error, Result};
use crate::hash::mix;

/// What happened, as its number in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum EventKind {
    /// The ad was rendered.
    Impression = 1,
    /// It was in view for as long as the standard asks.
    Viewable = 2,
    /// It was clicked.
    Click = 3,
    /// How long the user stayed after a click.
    Dwell = 4,
    /// The advertiser got what it pays for.
    Conversion = 5,
    /// The user hid or reported it, or answered a survey.
    Feedback = 6,
}

impl EventKind {
    pub(crate) const NAMES: [&str; 6] = ["impression", "viewable", "click", "dwell", "conversion", "feedback"];
}

/// What came of a decision. What is 0 is not known, or not a matter of this kind of event.
///
/// ```
/// use adclick::{Event, EventKind};
///
/// # let winner = adclick::Winner::default();
/// let mut click = Event::of(&winner, 1_793_000_000_000_000);
/// click.kind = EventKind::Click;
/// click.event_id = 71; // the click's own id, where there is one
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The impression's id: [`crate::Winner::impression_id_high`], then [`crate::Winner::impression_id`]. Only a conversion may
    /// be without.
    pub impression_id: u128,
    /// When it happened: microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    /// The caller's id of the event, such as a click's; 0: an impression has one event of the kind.
    pub event_id: u64,
    /// A conversion's click, by its `event_id`.
    pub click_id: u64,
    /// The user's key.
    pub user_key: u64,
    /// Whether the user must not be kept: the event is logged without.
    pub keep_no_user: bool,
    /// A conversion's advertiser.
    pub advertiser_key: u64,
    /// A conversion's order: one of the advertiser's.
    pub order_id: u64,
    /// A conversion: 0 new, 1 restated, 2 retracted.
    pub conversion_kind: u32,
    /// The caller's number of a conversion's type.
    pub conversion_type: u32,
    /// A conversion's value, in millionths of the currency unit.
    pub value_micros: i64,
    /// How long a dwell or a view took, in microseconds.
    pub duration_us: i64,
    /// A feedback: 1 hidden, 2 reported, 3 answered a survey.
    pub feedback: u32,
    /// A survey's answer.
    pub answer: i32,
    /// The caller's class of the client's address, such as a hash of its /24.
    pub ip_class: u64,
    /// What sent it: 0 not known, 1 browser or app, 2 known robot, 3 prefetch or preview, 4 data centre or proxy, 5 other
    /// invalid traffic.
    pub agent_class: u32,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            kind: EventKind::Impression,
            impression_id: 0,
            time_us: 0,
            event_id: 0,
            click_id: 0,
            user_key: 0,
            keep_no_user: false,
            advertiser_key: 0,
            order_id: 0,
            conversion_kind: 0,
            conversion_type: 0,
            value_micros: 0,
            duration_us: 0,
            feedback: 0,
            answer: 0,
            ip_class: 0,
            agent_class: 0,
        }
    }
}

impl Event {
    /// An impression of a winner at a time.
    #[must_use]
    pub fn of(winner: &crate::Winner, time_us: i64) -> Self {
        let impression_id = u128::from(winner.impression_id_high) << 64 | u128::from(winner.impression_id);
        Self { impression_id, time_us, ..Self::default() }
    }

    /// Whether the kind has all that it needs, and nothing that belongs to another.
    pub(super) fn check(&self) -> Result<()> {
        let is = |kind| self.kind == kind;
        let conversion = is(EventKind::Conversion);
        if self.impression_id == NO_IMPRESSION && !conversion {
            return Err(Error::argument("event.impression_id is 0: only a conversion may be without one"));
        }
        let known = self.impression_id != NO_IMPRESSION || self.user_key != 0 || self.click_id != 0;
        if conversion && (self.order_id == 0 || !known) {
            let text = "a conversion needs event.order_id, and one of impression_id, click_id and user_key";
            return Err(Error::argument(text));
        }
        for (what, given, belongs) in [
            ("click_id", self.click_id != 0, conversion),
            ("advertiser_key", self.advertiser_key != 0, conversion),
            ("order_id", self.order_id != 0, conversion),
            ("conversion_kind", self.conversion_kind != 0, conversion),
            ("conversion_type", self.conversion_type != 0, conversion),
            ("value_micros", self.value_micros != 0, conversion),
            ("duration_us", self.duration_us != 0, is(EventKind::Dwell) || is(EventKind::Viewable)),
            ("feedback", self.feedback != 0, is(EventKind::Feedback)),
            ("answer", self.answer != 0, is(EventKind::Feedback)),
        ] {
            if given && !belongs {
                let name = EventKind::NAMES[self.kind as usize - 1];
                return Err(Error::argument(format!("event.{what} is not 0, but a {name} has none")));
            }
        }
        let range = |what: &str, found: i64, least: i64, most: i64| {
            if (least..=most).contains(&found) {
                return Ok(());
            }
            Err(Error::argument(format!("event.{what} is {found}, expected {least} to {most}")))
        };
        range("conversion_kind", self.conversion_kind.into(), 0, 2)?;
        range("conversion_type", self.conversion_type.into(), 0, i32::MAX.into())?;
        range("agent_class", self.agent_class.into(), 0, 5)?;
        range("feedback", self.feedback.into(), i64::from(is(EventKind::Feedback)), 3)?;
        range("duration_us", self.duration_us, 0, i64::MAX)?;
        range("time_us", self.time_us, 1, i64::MAX)
    }

    /// What this event and its repetitions have in common, and no other event.
    fn same(&self) -> u64 {
        let mut key = self.kind as u64;
        let parts = [
            self.impression_id as u64,
            (self.impression_id >> 64) as u64,
            self.event_id,
            self.advertiser_key,
            self.order_id,
            self.conversion_kind.into(),
            if self.conversion_kind == 1 { self.value_micros as u64 } else { 0 },
            self.feedback.into(),
        ];
        // An order is one order, whatever led to it.
        let first = if self.kind == EventKind::Conversion { 3 } else { 0 };
        for part in &parts[first..] {
            key = mix(key ^ part);
        }
        key.max(1)
    }
}

/// What is wrong with an event, as far as one engine can see at once. The event is logged all the same, with what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventCheck {
    /// The impression id was not made with this engine's key.
    pub forged: bool,
    /// The impression id is older than [`crate::Options::impression_max_age`].
    pub expired: bool,
    /// The event's time is earlier than its decision's, by more than a minute.
    pub early: bool,
    /// This engine saw the same event before. What other servers saw is found by the join.
    pub repeated: bool,
}

impl EventCheck {
    pub(super) fn of(flags: u32) -> Self {
        let is = |bit| flags & bit != 0;
        let (forged, expired) = (is(flag::FORGED), is(flag::EXPIRED));
        Self { forged, expired, early: is(flag::EARLY), repeated: is(flag::REPEATED) }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn ok(&self) -> bool {
        *self == Self::default()
    }
}

/// The same as bits: what the events' records say in `flags`.
pub(crate) mod flag {
    pub(crate) const NO_USER: u32 = 1;
    pub(crate) const FORGED: u32 = 2;
    pub(crate) const EXPIRED: u32 = 4;
    pub(crate) const REPEATED: u32 = 8;
    pub(crate) const EARLY: u32 = 16;
}

/// The flags of an event.
pub(super) fn flags(event: &Event, key: &ImpressionKey, recent: &Recent) -> u32 {
    let mut flags = if event.keep_no_user { flag::NO_USER } else { 0 };
    if event.impression_id != NO_IMPRESSION {
        flags |= match key.check(event.impression_id, event.time_us) {
            Verdict::Good => 0,
            Verdict::Forged => return flags | flag::FORGED,
            Verdict::Expired => flag::EXPIRED,
            Verdict::Early => flag::EARLY,
        };
    }
    if recent.saw(event.same()) {
        flags |= flag::REPEATED;
    }
    flags
}

/// The last events that this server saw, in bounded memory: what has gone from here is found by the join.
pub(super) struct Recent(Box<[AtomicU64]>);

/// Events that share a place push each other out.
const WAYS: usize = 4;
const PLACES: usize = 1 << 16;

impl Recent {
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }

    /// Whether it was seen before; it is from now on. Two threads that bring the same event at the same moment may both be
    /// the first.
    fn saw(&self, key: u64) -> bool {
        let first = mix(key) as usize % (PLACES / WAYS) * WAYS;
        let places = &self.0[first..first + WAYS];
        if places.iter().any(|place| place.load(Ordering::Relaxed) == key) {
            return true;
        }
        // The newest stands first.
        let mut moving = key;
        for place in places {
            moving = place.swap(moving, Ordering::Relaxed);
            if moving == 0 {
                break;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::impression::Impressions;
    use super::*;

    const NOW: i64 = 1_793_000_000_000_000;

    fn click(id: u128) -> Event {
        Event { kind: EventKind::Click, impression_id: id, time_us: NOW, ..Event::default() }
    }

    #[test]
    fn what_is_wrong_with_an_id_is_seen_at_once() {
        let (key, recent) = (ImpressionKey::new(Some(1), Duration::from_secs(3600)), Recent::new());
        let id = Impressions::new(&key).next(NOW);
        let seen = |event: Event| flags(&event, &key, &recent);
        assert_eq!(seen(click(id)), 0);
        assert_eq!(seen(click(id)), flag::REPEATED);
        assert_eq!(seen(Event { kind: EventKind::Impression, ..click(id) }), 0);
        assert_eq!(seen(Event { event_id: 5, ..click(id) }), 0);
        assert_eq!(seen(Event { time_us: NOW + 4_000_000_000, ..click(id) }), flag::EXPIRED | flag::REPEATED);
        assert_eq!(seen(Event { event_id: 6, time_us: NOW - 100_000_000, ..click(id) }), flag::EARLY);
        assert_eq!(seen(Event { keep_no_user: true, ..click(id ^ 1) }), flag::FORGED | flag::NO_USER);
        let order = Event { order_id: 9, advertiser_key: 2, kind: EventKind::Conversion, ..click(id) };
        assert_eq!(seen(order), 0);
        // The same order by another way; another advertiser's; taken back; taken back twice.
        assert_eq!(seen(Event { impression_id: 0, user_key: 3, ..order }), flag::REPEATED);
        assert_eq!(seen(Event { advertiser_key: 3, ..order }), 0);
        assert_eq!(seen(Event { conversion_kind: 2, ..order }), 0);
        assert_eq!(seen(Event { conversion_kind: 2, ..order }), flag::REPEATED);
    }

    #[test]
    fn as_many_events_are_remembered_as_there_is_room() {
        let recent = Recent::new();
        let keys = |n: u64| (1..=n).map(mix);
        assert!(keys(PLACES as u64 / 8).all(|key| !recent.saw(key)));
        let known = keys(PLACES as u64 / 8).filter(|&key| recent.saw(key)).count();
        assert!(known > PLACES / 8 * 99 / 100, "{known}");
    }

    #[test]
    fn an_event_has_what_its_kind_has() {
        let good = click(5);
        assert!(good.check().is_ok());
        let order = Event { kind: EventKind::Conversion, impression_id: 0, order_id: 4, user_key: 1, ..good };
        assert!(order.check().is_ok());
        for (bad, named) in [
            (Event { impression_id: 0, ..good }, "impression_id"),
            (Event { order_id: 4, ..good }, "order_id"),
            (Event { duration_us: 4, ..good }, "duration_us"),
            (Event { feedback: 1, ..good }, "feedback"),
            (Event { kind: EventKind::Feedback, ..good }, "feedback"),
            (Event { time_us: 0, ..good }, "time_us"),
            (Event { agent_class: 6, ..good }, "agent_class"),
            (Event { order_id: 0, ..order }, "order_id"),
            (Event { user_key: 0, ..order }, "user_key"),
            (Event { conversion_kind: 3, ..order }, "conversion_kind"),
            (Event { kind: EventKind::Dwell, duration_us: -1, ..good }, "duration_us"),
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.message.contains(named), "{named}: {error}");
        }
    }
}
