//! Orders: what was reported of each, told apart by advertiser and order id.

use crate::counts::{Aside, Counts};
use crate::record::{OrderKind, OrderRecord};

/// An order as it stands after all that was reported of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// Whose; 0 = not known.
    pub advertiser: i64,
    /// Its id; 0 = none.
    pub order: i64,
    /// When it was placed: what windows are measured to.
    pub time_us: i64,
    /// The impression it names; 0 = none.
    pub impression: u128,
    /// The click it names; 0 = none.
    pub click: i64,
    /// The user's key; 0 = not known.
    pub user: i64,
    /// Its value in micros, as last restated.
    pub value: i64,
    /// Its type.
    pub type_: i32,
    /// Whether it was taken back: then it is no conversion.
    pub retracted: bool,
}

impl Order {
    /// The record that is set aside when the order is credited to nothing.
    pub(crate) fn aside(&self, reason: &'static str) -> Aside {
        let Self { impression: id, time_us, order: own_id, user, value, .. } = *self;
        Aside { id, kind: "conversion", reason, time_us, own_id, user, value }
    }
}

/// Orders from their records, in the order of their keys.
///
/// The first record that says "new" says when, whose and how the order came. A second one is a duplicate if it says the
/// same, else a repeated order. The last restatement says the value; a retraction that is not followed by a restatement
/// takes the order back. Without a record that says "new", the others wait for it.
pub fn resolve(records: &mut [OrderRecord], counts: &mut Counts, aside: &mut Vec<Aside>) -> Vec<Order> {
    records.sort_unstable();
    let mut orders = Vec::with_capacity(records.len());
    for group in records.chunk_by(|a, b| (a.advertiser, a.order) == (b.advertiser, b.order)) {
        let news = group.partition_point(|r| r.kind == OrderKind::New);
        let (news, changes) = group.split_at(news);
        let first = orders.len();
        for (at, record) in news.iter().enumerate() {
            let again = at > 0 && news[at - 1] == *record;
            // Conversions without an order id are one only if they say the same.
            if at == 0 || (record.order == 0 && !again) {
                orders.push(order(record));
                continue;
            }
            let reason = if *record == news[0] || again { "duplicate" } else { "repeated_order" };
            set_aside(record, reason, counts, aside);
        }
        let known = orders.len() > first && group[0].order != 0;
        for (at, record) in changes.iter().enumerate() {
            if at > 0 && changes[at - 1] == *record {
                set_aside(record, "duplicate", counts, aside);
            } else if !known {
                set_aside(record, "no_order", counts, aside);
            } else {
                counts.add(
                    if record.kind == OrderKind::Restated { "conversion.restatement" } else { "conversion.retraction" },
                    1,
                );
            }
        }
        if known {
            let last = changes.iter().max_by_key(|r| (r.time_us, r.kind, r.value));
            let restated = changes.iter().filter(|r| r.kind == OrderKind::Restated);
            let order = &mut orders[first];
            order.value = restated.max_by_key(|r| (r.time_us, r.value)).map_or(order.value, |r| r.value);
            order.retracted = last.is_some_and(|r| r.kind == OrderKind::Retracted);
        }
    }
    orders
}

fn order(r: &OrderRecord) -> Order {
    let OrderRecord { advertiser, order, time_us, impression, click, user, value, type_, .. } = *r;
    Order { advertiser, order, time_us, impression, click, user, value, type_, retracted: false }
}

fn set_aside(record: &OrderRecord, reason: &'static str, counts: &mut Counts, aside: &mut Vec<Aside>) {
    counts.add(&format!("conversion.{reason}"), 1);
    aside.push(order(record).aside(reason));
}
