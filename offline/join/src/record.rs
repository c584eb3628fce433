//! The records that the join reads, without what it only passes on.

use std::io::{Read, Write};

use adclick::builder::hash::mix;
use anyhow::{Context, Result};

/// Microseconds of an hour: the join works hour by hour of the decision's time, in UTC.
pub const HOUR_US: i64 = 3_600_000_000;

/// The hour of a time, counted from 1970-01-01 UTC.
#[must_use]
pub fn hour(time_us: i64) -> i64 {
    time_us.div_euclid(HOUR_US)
}

/// The order of rows within an hour: that of this hash of their impression ids. So rows are shuffled alike whatever order
/// they came in, and a part of an hour is a range of it.
#[must_use]
pub fn place(id: u128) -> u64 {
    mix((id >> 64) as u64 ^ mix(id as u64))
}

/// The winner of a slot, as far as the join looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The impression id.
    pub id: u128,
    /// When it was decided.
    pub time_us: i64,
    /// The user's key; 0 = not kept or not known.
    pub user: i64,
    /// The ad's advertiser; 0 = not known.
    pub advertiser: i64,
    /// The ad.
    pub ad: i64,
    /// The slot.
    pub slot: i32,
    /// Where the whole record is: the number of its batch.
    pub batch: u32,
    /// And its row there.
    pub row: u32,
}

impl Decision {
    /// What decides which of two records of one impression id stays: the earlier one, then the smaller one.
    pub(crate) fn key(&self) -> (u64, u128, i64, i64, i64, i64, i32) {
        (place(self.id), self.id, self.time_us, self.user, self.advertiser, self.ad, self.slot)
    }
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// The ad was rendered.
    Impression = 1,
    /// It was in view.
    Viewable = 2,
    /// It was clicked.
    Click = 3,
    /// How long the user stayed after a click.
    Dwell = 4,
    /// It was hidden or reported, or a question about it was answered.
    Feedback = 6,
}

impl EventKind {
    /// The kind of a number in an event record. 5 is a conversion, which is an [`OrderRecord`].
    pub(crate) fn of(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Impression,
            2 => Self::Viewable,
            3 => Self::Click,
            4 => Self::Dwell,
            6 => Self::Feedback,
            _ => return None,
        })
    }

    /// The name of the kind in counts and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Impression => "impression",
            Self::Viewable => "viewable",
            Self::Click => "click",
            Self::Dwell => "dwell",
            Self::Feedback => "feedback",
        }
    }
}

/// An event of an impression.
///
/// The order of the fields is that in which records of one impression id and kind are taken: the earliest stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// The impression id.
    pub id: u128,
    /// What happened.
    pub kind: EventKind,
    /// When it happened.
    pub time_us: i64,
    /// The click's own id; 0 when clicks have none: then an impression has one click.
    pub click: i64,
    /// Dwell and viewable: microseconds. Feedback: what was said.
    pub value: i64,
    /// The class of the IP address; 0 = not known.
    pub ip: i64,
    /// The class of the user agent: one of [`agent`].
    pub agent: u8,
    /// What the server saw at once: bits of [`flag`].
    pub flags: u8,
}

/// Bits of [`Event::flags`], as docs/logs.md numbers them.
pub mod flag {
    /// The impression id was made by nobody who has the key.
    pub const FORGED: u8 = 2;
    /// It is older than ids live.
    pub const EXPIRED: u8 = 4;
}

/// Classes of user agents, as docs/logs.md numbers them.
pub mod agent {
    /// It says that it is a program.
    pub const ROBOT: u8 = 2;
    /// The browser fetched ahead; nobody looked.
    pub const PREFETCH: u8 = 3;
    /// A data centre or a proxy.
    pub const DATA_CENTRE: u8 = 4;
    /// Other traffic that is nobody's.
    pub const INVALID: u8 = 5;
}

/// Bytes of an encoded event.
pub(crate) const EVENT_BYTES: usize = 51;

impl Event {
    /// Whether two records of one event say the same, whatever servers thought of them.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Self { flags: 0, ..*self } == Self { flags: 0, ..*other }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        for word in [self.time_us, self.click, self.value, self.ip] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&[self.kind as u8, self.agent, self.flags]);
    }

    pub(crate) fn decode(bytes: &[u8; EVENT_BYTES]) -> Result<Self> {
        let word = |at: usize| i64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Ok(Self {
            id: u128::from_le_bytes(std::array::from_fn(|i| bytes[i])),
            time_us: word(16),
            click: word(24),
            value: word(32),
            ip: word(40),
            kind: EventKind::of(bytes[48].into()).with_context(|| format!("an event of kind {}", bytes[48]))?,
            agent: bytes[49],
            flags: bytes[50],
        })
    }
}

/// What a record says of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OrderKind {
    /// It was placed.
    New = 0,
    /// Its value changed.
    Restated = 1,
    /// It was taken back.
    Retracted = 2,
}

impl OrderKind {
    /// The kind of a number in an event record.
    pub(crate) fn of(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::New,
            1 => Self::Restated,
            2 => Self::Retracted,
            _ => return None,
        })
    }
}

/// A conversion as it was reported. The order of the fields is that in which records of one order are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderRecord {
    /// Whose order; 0 = not known. With [`OrderRecord::order`] it says which one.
    pub advertiser: i64,
    /// The order's id, which one advertiser gives once.
    pub order: i64,
    /// What this record says of it.
    pub kind: OrderKind,
    /// When it was said.
    pub time_us: i64,
    /// The impression that the buyer came from; 0 = not known.
    pub impression: u128,
    /// The click that the buyer came from, by its own id; 0 = not known.
    pub click: i64,
    /// The user's key; 0 = not known.
    pub user: i64,
    /// The value in micros.
    pub value: i64,
    /// The type of conversion.
    pub type_: i32,
}

const ORDER_BYTES: usize = 69;

/// Writes order records.
pub(crate) fn write_orders(out: &mut dyn Write, orders: &[OrderRecord]) -> Result<()> {
    for o in orders {
        out.write_all(&o.order.to_le_bytes())?;
        out.write_all(&o.impression.to_le_bytes())?;
        for word in [o.time_us, o.user, o.advertiser, o.value, o.click] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&o.type_.to_le_bytes())?;
        out.write_all(&[o.kind as u8])?;
    }
    Ok(())
}

/// Reads what [`write_orders`] wrote.
pub(crate) fn read_orders(input: &mut dyn Read) -> Result<Vec<OrderRecord>> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let (records, rest) = bytes.as_chunks::<ORDER_BYTES>();
    anyhow::ensure!(rest.is_empty(), "{} bytes too many at the end", rest.len());
    let read = |b: &[u8; ORDER_BYTES]| {
        let word = |at: usize| i64::from_le_bytes(std::array::from_fn(|i| b[at + i]));
        Ok(OrderRecord {
            order: word(0),
            impression: u128::from_le_bytes(std::array::from_fn(|i| b[8 + i])),
            time_us: word(24),
            user: word(32),
            advertiser: word(40),
            value: word(48),
            click: word(56),
            type_: i32::from_le_bytes(std::array::from_fn(|i| b[64 + i])),
            kind: OrderKind::of(b[68].into()).with_context(|| format!("an order record of kind {}", b[68]))?,
        })
    };
    records.iter().map(read).collect()
}
