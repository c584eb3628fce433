//! What a candidate of a list says besides its bid: whom it belongs to, where it may stand, what moves its bid.

use adclick::auction::{Page, Reason};
use adclick::builder::auction::Bid;
use adclick::{CANDIDATE_FLOOR_EXEMPT, CANDIDATE_STOPPED, Candidate, builder};
use serde_json::{Map, Value};

use super::json::{Result, array, fault, key, number, show};

pub(super) const FIELDS: [&str; 15] = [
    "advertiser",
    "campaign",
    "creative",
    "category",
    "label",
    "tier",
    "fits",
    "adjust",
    "withheld",
    "throttle",
    "value",
    "target_return",
    "impressions",
    "stopped",
    "floor_exempt",
];

/// The candidate with these fields, apart from its ad, bid and reserve.
pub(super) fn candidate(fields: &Map<String, Value>, place: &str) -> Result<Candidate> {
    let get = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let field = |name: &str| format!("{place}.{name}");
    let key_of = |name: &str| get(name).map_or(Ok(0), |value| key(&field(name), value));
    let flag = |name: &str, flag: u32| match get(name) {
        None => Ok(0),
        Some(value) => match value.as_bool() {
            Some(set) => Ok(if set { flag } else { 0 }),
            None => Err(fault(&field(name), "true or false", &show(value))),
        },
    };
    // A share or a factor in millionths, to the nearest.
    let millionths = |name: &str| match get(name) {
        None => Ok(0),
        Some(value) => Ok((number(&field(name), value)? * 1e6).round() as i64),
    };
    let unsigned = |name: &str| {
        let millionths = millionths(name)?;
        u32::try_from(millionths).map_err(|_| fault(&field(name), "0 to 4294", &millionths.to_string()))
    };
    let adjust = millionths("adjust")?;
    Ok(Candidate {
        flags: flag("stopped", CANDIDATE_STOPPED)? | flag("floor_exempt", CANDIDATE_FLOOR_EXEMPT)?,
        advertiser_key: key_of("advertiser")?,
        campaign_key: key_of("campaign")?,
        creative_key: key_of("creative")?,
        category_key: key_of("category")?,
        label_key: key_of("label")?,
        tier_key: key_of("tier")?,
        slot_mask: get("fits").map_or(Ok(0), |value| mask(&field("fits"), value))?,
        adjust_ppm: i32::try_from(adjust).map_err(|_| fault(&field("adjust"), "-1 to 2147", &adjust.to_string()))?,
        withheld_ppm: unsigned("withheld")?,
        throttle_ppm: unsigned("throttle")?,
        value_micros: millionths("value")?,
        target_return_ppm: unsigned("target_return")?,
        impressions: match get("impressions") {
            None => 0,
            Some(value) => value
                .as_u64()
                .and_then(|n| u32::try_from(n + 1).ok())
                .ok_or_else(|| fault(&field("impressions"), "an integer from 0", &show(value)))?,
        },
        ..Candidate::default()
    })
}

fn mask(field: &str, value: &Value) -> Result<u32> {
    let mut mask = 0;
    for slot in array(field, value)? {
        match slot.as_u64() {
            Some(slot) if slot < 32 => mask |= 1 << slot,
            _ => return Err(fault(field, "slots from 0 to 31", &show(slot))),
        }
    }
    if mask == 0 { Err(fault(field, "at least one slot", "none")) } else { Ok(mask) }
}

/// The probabilities and factors of a candidate as the line has them: more exact than a request's.
pub(super) struct Exact {
    pub(super) pctr: f64,
    pub(super) pcvr: f64,
    pub(super) modifier: f64,
    pub(super) quality: f64,
    /// A reserve of 0 that is meant.
    pub(super) no_reserve: bool,
}

/// The bid, or why there is none.
pub(super) fn bid(page: &Page<'_>, candidate: &Candidate, exact: &Exact) -> std::result::Result<Bid, Reason> {
    let mut bid = builder::auction::bid(page, candidate, exact.pctr, exact.pcvr)?;
    bid.modifier *= exact.modifier;
    bid.quality = exact.quality;
    if exact.no_reserve {
        bid.reserve = 0;
    }
    Ok(bid)
}
