//! Reads one auction from one line.

use adclick::auction::{Page, Policy, Reason};
use adclick::builder::auction::{Bid, PolicyDetails, PolicyParts, Pricing, tie_key};
use adclick::{BidKind, Candidate, Exploration, Request, category_id};
use serde_json::{Map, Value};

use super::candidate::{self, Exact};
use super::json::{Result, array, fault, key, names, number, object, show};

const MICROS: f64 = 1e6;

const COLUMNS: [&str; 8] = ["bid", "pctr", "pcvr", "modifier", "quality", "ad_reserve", "ad", "kind"];
const OF_REQUEST: [&str; 7] = ["id", "slots", "squash", "placement", "device", "floor_cpm", "exploration"];
const CANDIDATE: [&str; 10] =
    ["ad", "kind", "bid", "bid_micros", "reserve", "reserve_micros", "pctr", "pcvr", "modifier", "quality"];

/// A parsed auction.
#[derive(Debug, PartialEq)]
pub struct Auction {
    /// The line's id for it; null without one.
    pub id: Value,
    /// The places.
    pub slots: usize,
    /// The squash that replaces the policy's.
    pub squash: Option<f64>,
    /// The candidates.
    pub bids: Bids,
    /// Why a candidate makes no bid; none where it makes one.
    pub refused: Vec<Option<Reason>>,
    /// What else the line says of the request.
    pub request: Request,
    /// The slots as the line has them, which the design document's ranker takes as Python does.
    pub slots_asked: i64,
    /// The reserve in currency units and the bid modification of the design document's ranker, where its policy runs.
    pub document: Option<(f64, f64)>,
    /// The bids as the line has them, in currency units: of the columns alone.
    pub units: Vec<f64>,
    /// Each candidate's id for its ad; null without one.
    pub ads: Vec<Value>,
    /// Fields that have no meaning here.
    pub unused: Vec<String>,
}

/// Bids in whole micros, or with fractions where a decimal in the columns has more than six places.
#[derive(Debug, PartialEq)]
pub enum Bids {
    /// Every amount is a whole number of micros.
    Whole(Vec<Bid>),
    /// Some amount is not; it is still in micros.
    Fractional(Vec<Bid<f64>>),
}

/// Reads an auction in either form. `policy` holds the reserve for candidates without one; `kind` is the bid kind of
/// those that give none.
///
/// # Errors
/// The first [`super::Fault`] of the line.
pub fn read(line: &str, policy: &Policy, kind: BidKind) -> Result<Auction> {
    let value: Value = serde_json::from_str(line.trim_end()).map_err(|error| {
        let (column, text) = (error.column(), error.to_string());
        // The reader sees a single line, so "at line 1 column ..." is reduced to the column.
        let text = text.split(" at line ").next().unwrap_or_default();
        fault("", "a JSON object", &format!("{text} at column {column}"))
    })?;
    let outer = object("", &value)?;
    let (auction, place) = match outer.get("input") {
        Some(input) => (object("input", input)?, "input."),
        None => (outer, ""),
    };
    let id = outer.get("id").or(auction.get("id")).cloned().unwrap_or_default();
    let request = request(auction, place, &id)?;
    let page = Page::of_request(policy, &request);
    let defaults = Defaults { policy, kind, page };
    let mut unused = Vec::new();
    let is_list = auction.contains_key("candidates");
    let candidates = if is_list {
        list(auction, place, &defaults, &mut unused)?
    } else if auction.contains_key("bid") {
        columns(auction, place, &defaults)?
    } else {
        let found = if auction.is_empty() { "no field".to_owned() } else { names(auction.keys()) };
        return Err(fault(place.trim_end_matches('.'), "the field candidates (a list) or bid (a column)", &found));
    };
    let is_document = policy.pricing() == Pricing::Document;
    let known = |key: &str| match key {
        "candidates" => is_list,
        "bid_modification" => is_document && !is_list,
        "reserve" => !is_list,
        _ => OF_REQUEST.contains(&key) || !is_list && COLUMNS.contains(&key),
    };
    unused.extend(auction.keys().filter(|key| !known(key)).cloned());
    let document = is_document.then(|| {
        let of = |name: &str, default: f64| match auction.get(name).filter(|value| !is_list && !value.is_null()) {
            Some(value) => number(&format!("{place}{name}"), value),
            None => Ok(default),
        };
        let (reserve, bid_modification) = policy.document();
        Ok((of("reserve", reserve)?, of("bid_modification", bid_modification)?))
    });

    let squash = match auction.get("squash") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let field = format!("{place}squash");
            let squash = number(&field, value)?;
            if policy.clone().with_squash(squash).is_err() {
                return Err(fault(&field, "a number above 0 and at most 1", &show(value)));
            }
            Some(squash)
        }
    };
    let (mut ads, mut bids, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (ad, bid, reason) in candidates {
        ads.push(ad);
        bids.push(bid);
        refused.push(reason);
    }
    let slots_asked = slots(&format!("{place}slots"), auction.get("slots"))?;
    Ok(Auction {
        id,
        slots: usize::try_from(slots_asked).unwrap_or(0),
        slots_asked,
        squash,
        bids: settle(bids),
        refused,
        request,
        units: auction
            .get("bid")
            .filter(|_| !is_list)
            .map_or(Ok(Vec::new()), |bids| in_units(&format!("{place}bid"), bids))?,
        document: document.transpose()?,
        ads,
        unused,
    })
}

/// What a line says of its request besides the candidates.
fn request(auction: &Map<String, Value>, place: &str, id: &Value) -> Result<Request> {
    let get = |name: &str| auction.get(name).filter(|value| !value.is_null());
    let field = |name: &str| format!("{place}{name}");
    let count = |name: &str| match get(name) {
        None => Ok(0),
        Some(value) => value
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| fault(&field(name), "an unsigned 32-bit integer", &show(value))),
    };
    let exploration = match get("exploration").map(|value| (value, value.as_str())) {
        None => Exploration::Off,
        Some((_, Some("allowed"))) => Exploration::Allowed,
        Some((_, Some("capped"))) => Exploration::Capped,
        Some((value, _)) => return Err(fault(&field("exploration"), "\"allowed\" or \"capped\"", &show(value))),
    };
    let floor = get("floor_cpm").map_or(Ok(0.0), |value| number(&field("floor_cpm"), value))?;
    Ok(Request {
        request_id: id.as_u64().unwrap_or_else(|| match id {
            Value::Null => 0,
            other => category_id(other.as_str().map_or_else(|| other.to_string(), str::to_owned).as_bytes()),
        }),
        placement: count("placement")?,
        device: count("device")?,
        floor_cpm_micros: (floor * MICROS).round() as i64,
        exploration: exploration as u32,
        ..Request::default()
    })
}

fn in_units(field: &str, bids: &Value) -> Result<Vec<f64>> {
    array(field, bids)?.iter().map(|bid| number(field, bid)).collect()
}

/// A candidate: its ad, its bid, and why it makes none.
type Read = (Value, Bid<Money>, Option<Reason>);

/// The defaults of a candidate.
struct Defaults<'a> {
    policy: &'a Policy,
    kind: BidKind,
    page: Page<'a>,
}

/// An amount in whole micros if it is a whole number, and in micros with a fraction.
#[derive(Debug, Clone, Copy, Default)]
struct Money {
    whole: Option<i64>,
    micros: f64,
}

impl Money {
    fn micros(micros: i64) -> Self {
        Self { whole: Some(micros), micros: micros as f64 }
    }

    /// A decimal of currency units is a whole number of micros when the quotient gives back the decimal: both are the
    /// f64 nearest to the same number.
    fn decimal(units: f64) -> Self {
        let whole = (units * MICROS).round();
        let exact = whole.abs() <= (1i64 << 53) as f64 && whole / MICROS == units;
        Self { whole: exact.then_some(whole as i64), micros: units * MICROS }
    }
}

/// Whole micros if every amount is whole, otherwise fractions for all.
fn settle(bids: Vec<Bid<Money>>) -> Bids {
    fn with<A>(bid: &Bid<Money>, amount: A, reserve: A) -> Bid<A> {
        let Bid { kind, pctr, pcvr, modifier, quality, key, .. } = *bid;
        let Bid { adjust, floor_exempt, tier, slots, groups, .. } = *bid;
        Bid { kind, amount, reserve, pctr, pcvr, modifier, quality, key, adjust, floor_exempt, tier, slots, groups }
    }
    let whole = bids.iter().map(|bid| Some(with(bid, bid.amount.whole?, bid.reserve.whole?))).collect();
    match whole {
        Some(whole) => Bids::Whole(whole),
        None => Bids::Fractional(bids.iter().map(|bid| with(bid, bid.amount.micros, bid.reserve.micros)).collect()),
    }
}

fn columns(auction: &Map<String, Value>, place: &str, defaults: &Defaults<'_>) -> Result<Vec<Read>> {
    let bid_field = format!("{place}bid");
    let amounts = array(&bid_field, &auction["bid"])?;
    let mut arrays: [Option<&Vec<Value>>; COLUMNS.len()] = [None; COLUMNS.len()];
    for (column, name) in arrays.iter_mut().zip(COLUMNS) {
        let field = format!("{place}{name}");
        *column = match auction.get(name) {
            None | Some(Value::Null) => None,
            // All bids have one kind.
            Some(Value::String(_)) if name == "kind" => None,
            Some(value) => Some(array(&field, value)?),
        };
        if let Some(values) = column
            && values.len() != amounts.len()
        {
            let expected = format!("{} values, as many as there are in bid", amounts.len());
            return Err(fault(&field, &expected, &values.len().to_string()));
        }
    }
    let [_, pctr, pcvr, modifier, quality, ad_reserve, ads, kinds] = arrays;
    let kind_of_all = match auction.get("kind") {
        Some(name @ Value::String(_)) => bid_kind(&format!("{place}kind"), name)?,
        _ => defaults.kind,
    };
    let reserve_of_all = match auction.get("reserve") {
        None | Some(Value::Null) => None,
        Some(value) => Some(Money::decimal(number(&format!("{place}reserve"), value)?)),
    };

    let optional = |name: &str, column: Option<&Vec<Value>>, i: usize| match column.map(|values| &values[i]) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => number(&format!("{place}{name}[{i}]"), value).map(Some),
    };
    (0..amounts.len())
        .map(|i| {
            let kind = match kinds.map(|kinds| &kinds[i]) {
                None | Some(Value::Null) => kind_of_all,
                Some(name) => bid_kind(&format!("{place}kind[{i}]"), name)?,
            };
            let ad = ads.map(|ads| ads[i].clone()).unwrap_or_default();
            let own = optional("ad_reserve", ad_reserve, i)?.map(Money::decimal);
            let default = || Money::micros(defaults.policy.reserve_micros(kind));
            let bid = Bid {
                kind,
                amount: Money::decimal(number(&format!("{bid_field}[{i}]"), &amounts[i])?),
                reserve: own.or(reserve_of_all).unwrap_or_else(default),
                pctr: optional("pctr", pctr, i)?.unwrap_or(f64::NAN),
                pcvr: optional("pcvr", pcvr, i)?.unwrap_or(f64::NAN),
                modifier: optional("modifier", modifier, i)?.unwrap_or(1.0),
                quality: optional("quality", quality, i)?.unwrap_or(1.0),
                key: tie_key(&defaults.page, key(&format!("{place}ad[{i}]"), &ad)?),
                ..Bid::new(kind, Money::default())
            };
            Ok((ad, bid, None))
        })
        .collect()
}

fn list(
    auction: &Map<String, Value>,
    place: &str,
    defaults: &Defaults<'_>,
    unused: &mut Vec<String>,
) -> Result<Vec<Read>> {
    let candidates = array(&format!("{place}candidates"), &auction["candidates"])?;
    let mut bids = Vec::with_capacity(candidates.len());
    for (i, candidate) in candidates.iter().enumerate() {
        let place = format!("{place}candidates[{i}]");
        let candidate = object(&place, candidate)?;
        for name in candidate
            .keys()
            .filter(|key| !CANDIDATE.contains(&key.as_str()) && !candidate::FIELDS.contains(&key.as_str()))
        {
            let name = format!("candidates[].{name}");
            if !unused.contains(&name) {
                unused.push(name);
            }
        }
        let get = |name: &str| candidate.get(name).filter(|value| !value.is_null());
        let field = |name: &str| format!("{place}.{name}");
        let optional = |name: &str| get(name).map(|value| number(&field(name), value)).transpose();
        let kind = get("kind").map_or(Ok(defaults.kind), |name| bid_kind(&field("kind"), name))?;
        let ad = candidate.get("ad").cloned().unwrap_or_default();
        let by_value = get("value").is_some();
        let amount = match money(candidate, &place, "bid")? {
            None if by_value => 0,
            amount => amount.ok_or_else(|| fault(&place, "the field bid_micros or bid", &names(candidate.keys())))?,
        };
        let reserve = money(candidate, &place, "reserve")?;
        let exact = Exact {
            pctr: optional("pctr")?.unwrap_or(f64::NAN),
            pcvr: optional("pcvr")?.unwrap_or(f64::NAN),
            modifier: optional("modifier")?.unwrap_or(1.0),
            quality: optional("quality")?.unwrap_or(1.0),
            no_reserve: reserve == Some(0),
        };
        let typed = Candidate {
            ad_key: key(&field("ad"), &ad)?,
            bid_kind: kind as u32,
            bid_micros: amount,
            reserve_micros: reserve.unwrap_or(0),
            ..candidate::candidate(candidate, &place)?
        };
        let (bid, reason) = match candidate::bid(&defaults.page, &typed, &exact) {
            Ok(bid) => (bid, None),
            Err(reason) => (Bid::new(kind, amount), Some(reason)),
        };
        let Bid {
            amount, reserve, pctr, pcvr, modifier, quality, key, adjust, floor_exempt, tier, slots, groups, ..
        } = bid;
        let (amount, reserve) = (Money::micros(amount), Money::micros(reserve));
        let bid = Bid {
            kind,
            amount,
            reserve,
            pctr,
            pcvr,
            modifier,
            quality,
            key,
            adjust,
            floor_exempt,
            tier,
            slots,
            groups,
        };
        bids.push((ad, bid, reason));
    }
    Ok(bids)
}

/// `<name>_micros`, an integer, or `<name>`, a decimal of currency units rounded to the nearest micro.
fn money(candidate: &Map<String, Value>, place: &str, name: &str) -> Result<Option<i64>> {
    let in_micros = format!("{name}_micros");
    let get = |name: &str| candidate.get(name).filter(|value| !value.is_null());
    match (get(&in_micros), get(name)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(fault(place, &format!("one of {in_micros} and {name}"), "both")),
        (Some(value), None) => {
            let field = format!("{place}.{in_micros}");
            value.as_i64().map(Some).ok_or_else(|| fault(&field, "a 64-bit integer of micros", &show(value)))
        }
        (None, Some(value)) => {
            let field = format!("{place}.{name}");
            let units = number(&field, value)?;
            if !units.is_finite() {
                return Err(fault(&field, "a finite number", &show(value)));
            }
            // An amount out of range becomes the nearest one in range, and is refused as a bid.
            Ok(Some((units * MICROS).round() as i64))
        }
    }
}

fn slots(field: &str, value: Option<&Value>) -> Result<i64> {
    match value {
        None | Some(Value::Null) => Ok(1),
        Some(value) => match value.as_i64() {
            Some(slots) => Ok(slots),
            None => Err(fault(field, "an integer", &show(value))),
        },
    }
}

fn bid_kind(field: &str, value: &Value) -> Result<BidKind> {
    match value.as_str() {
        Some("cpm") => Ok(BidKind::Cpm),
        Some("cpc") => Ok(BidKind::Cpc),
        Some("cpa") => Ok(BidKind::Cpa),
        Some("ocpm") => Ok(BidKind::Ocpm),
        _ => Err(fault(field, "\"cpm\", \"cpc\", \"cpa\" or \"ocpm\"", &show(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_plain(line: &str) -> Result<Auction> {
        let policy = Policy::default().with_reserve_micros(BidKind::Cpa, 70_000).unwrap();
        read(line, &policy, BidKind::Cpc)
    }

    #[test]
    fn decimals_of_six_places_are_whole_micros() {
        for (units, micros) in
            [(0.45, Some(450_000)), (1.1, Some(1_100_000)), (4_855_000.000_001, Some(4_855_000_000_001))]
        {
            assert_eq!(Money::decimal(units).whole, micros, "{units}");
        }
        for units in [7.46e-5, 0.000_794_000_000_000_000_1, 1e12, f64::NAN, f64::INFINITY, 0.1 + 0.2] {
            assert_eq!(Money::decimal(units).whole, None, "{units}");
        }
        for micros in (0..1000).map(|i| i * 7_919_797 + i) {
            assert_eq!(Money::decimal(format!("{}e-6", micros).parse().unwrap()).whole, Some(micros));
        }
    }

    #[test]
    fn both_forms_read_the_same() {
        let columns = r#"{"id":"a","slots":2,"bid":[0.45,2],"kind":["cpc","cpa"],"pctr":[0.1,0.2],"pcvr":[null,0.5],
            "modifier":[1.5,1],"quality":[1,0.5],"ad_reserve":[0.01,null],"squash":0.8,"ad":[7,"x"]}"#;
        let list = r#"{"id":"a","slots":2,"squash":0.8,"candidates":[
            {"ad":7,"kind":"cpc","bid_micros":450000,"reserve":0.01,"pctr":0.1,"modifier":1.5},
            {"ad":"x","kind":"cpa","bid":2.0,"pctr":0.2,"pcvr":0.5,"quality":0.5}]}"#;
        let (mut columns, list) = (read_plain(columns).unwrap(), read_plain(list).unwrap());
        assert_eq!(columns.units, [0.45, 2.0]);
        columns.units = Vec::new();
        // NaN is not equal to itself.
        assert_eq!(format!("{columns:?}"), format!("{list:?}"));
        let Bids::Whole(bids) = &list.bids else { panic!("{list:?}") };
        assert_eq!(
            (bids[0].amount, bids[0].reserve, bids[1].amount, bids[1].reserve),
            (450_000, 10_000, 2_000_000, 70_000)
        );
        assert_eq!((bids[0].key, bids[1].key), (7, category_id(b"x")));
        assert!(bids[0].pcvr.is_nan());
    }

    #[test]
    fn decimals_of_a_list_are_rounded_to_the_nearest_micro_and_those_of_columns_are_kept() {
        let list = read_plain(r#"{"candidates":[{"bid":0.0000026},{"bid":1e300},{"bid":-1e300}]}"#).unwrap();
        let Bids::Whole(bids) = list.bids else { panic!() };
        assert_eq!(bids.iter().map(|bid| bid.amount).collect::<Vec<_>>(), [3, i64::MAX, i64::MIN]);
        let columns = read_plain(r#"{"bid":[0.0000026,1],"reserve":0.5}"#).unwrap();
        let Bids::Fractional(bids) = columns.bids else { panic!() };
        assert_eq!((bids[0].amount, bids[1].amount, bids[0].reserve), (2.6, 1e6, 5e5));
        assert_eq!(columns.slots, 1);
    }

    #[test]
    fn a_wrapped_auction_is_found_and_unused_fields_are_told() {
        let auction = read_plain(r#"{"id":3,"kind":"x","input":{"bid":[],"slots":-1,"bid_modification":1}}"#).unwrap();
        assert_eq!((auction.id, auction.slots), (Value::from(3), 0));
        assert_eq!(auction.unused, ["bid_modification"]);
        let auction =
            read_plain(r#"{"candidates":[{"bid":1,"pctrr":1},{"bid":1,"pctrr":1}],"floor":1,"bid":[]}"#).unwrap();
        assert_eq!(auction.unused, ["candidates[].pctrr", "bid", "floor"]);
    }

    #[test]
    fn faults_name_field_expected_and_found() {
        for (line, message) in [
            ("{\"bid\":[1,", "expected a JSON object, found EOF while parsing a value at column 10"),
            ("[1]", "expected a JSON object, found [1]"),
            ("{}", "expected the field candidates (a list) or bid (a column), found no field"),
            (
                r#"{"input":{"bids":[1]}}"#,
                "field input: expected the field candidates (a list) or bid (a column), found bids",
            ),
            (r#"{"bid":[1,2],"pctr":[0.5]}"#, "field pctr: expected 2 values, as many as there are in bid, found 1"),
            (r#"{"input":{"bid":[1,"2"]}}"#, r#"field input.bid[1]: expected a number, found "2""#),
            (r#"{"bid":1}"#, "field bid: expected an array, found 1"),
            (r#"{"bid":[1],"kind":"cpx"}"#, r#"field kind: expected "cpm", "cpc", "cpa" or "ocpm", found "cpx""#),
            (r#"{"bid":[1],"slots":1.5}"#, "field slots: expected an integer, found 1.5"),
            (r#"{"bid":[1],"squash":2}"#, "field squash: expected a number above 0 and at most 1, found 2"),
            (r#"{"candidates":[{"bid":1},3]}"#, "field candidates[1]: expected a JSON object, found 3"),
            (r#"{"candidates":[{"ad":1}]}"#, "field candidates[0]: expected the field bid_micros or bid, found ad"),
            (
                r#"{"candidates":[{"bid":1,"bid_micros":1}]}"#,
                "field candidates[0]: expected one of bid_micros and bid, found both",
            ),
            (
                r#"{"candidates":[{"bid_micros":1.5}]}"#,
                "field candidates[0].bid_micros: expected a 64-bit integer of micros, found 1.5",
            ),
            (r#"{"candidates":[{"bid":"NaN"}]}"#, r#"field candidates[0].bid: expected a finite number, found "NaN""#),
            (
                r#"{"candidates":[{"bid":1,"ad":-1}]}"#,
                "field candidates[0].ad: expected an unsigned 64-bit integer or a string, found -1",
            ),
            (r#"{"candidates":[{"bid":1,"pctr":[]}]}"#, "field candidates[0].pctr: expected a number, found []"),
        ] {
            assert_eq!(read_plain(line).unwrap_err().to_string(), message, "{line}");
        }
    }
}
