//! Touches: the clicks and views that a conversion may come from, and which of them gets it.

use crate::options::Options;
use crate::orders::Order;

/// How an ad reached a user. Clicks come before views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TouchKind {
    /// It was clicked.
    Click = 0,
    /// It was seen.
    View = 1,
}

/// A click or a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touch {
    /// The user's key; 0 = not known.
    pub user: i64,
    /// How.
    pub kind: TouchKind,
    /// When.
    pub time_us: i64,
    /// The impression.
    pub id: u128,
    /// The ad's advertiser; 0 = not known.
    pub advertiser: i64,
    /// The click's own id; 0 = none.
    pub click: i64,
}

/// Whether a touch is within the window of its kind before a conversion, in exact microseconds. Both ends count.
#[must_use]
pub fn within(options: &Options, kind: TouchKind, touch_us: i64, conversion_us: i64) -> bool {
    let window = match kind {
        TouchKind::Click => options.click_window_us,
        TouchKind::View => options.view_window_us,
    };
    let age = conversion_us.saturating_sub(touch_us);
    (0..=window).contains(&age)
}

/// The touch that gets an order: the last click within its window, else the last view. Of touches at one time, the one
/// with the greater impression id.
pub fn last<'a>(options: &Options, order: &Order, touches: impl Iterator<Item = &'a Touch>) -> Option<&'a Touch> {
    touches
        .filter(|t| within(options, t.kind, t.time_us, order.time_us))
        .filter(|t| order.advertiser == 0 || t.advertiser == 0 || t.advertiser == order.advertiser)
        .filter(|t| t.kind == TouchKind::View || order.click == 0 || t.click == order.click)
        .max_by_key(|t| (std::cmp::Reverse(t.kind), t.time_us, t.id, t.click))
}

/// A conversion credited to an impression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credit {
    /// The impression.
    pub id: u128,
    /// By what.
    pub kind: TouchKind,
    /// When it was touched.
    pub touch_us: i64,
    /// The order.
    pub order: Order,
}
