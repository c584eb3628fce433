//! Reads a policy's text form. Every error names the line and the key, what was expected and what was found.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue};

use super::PolicyParts;
use super::rules::{Condition, Key, MAX_PAGE_RULES, MAX_RULES, Modifier, Rules};
use super::{
    ColdStart, Document, Draw, Explore, KINDS, LIMITS, MAX_PAGE_SLOTS, MAX_POOL, Policy, Pricing, Tier, Ties,
    out_of_range,
};
use crate::error::{Error, Result, Status};
use crate::hash::category_id;
use crate::named::Named;

const KEYS: [&str; 16] = [
    "pricing",
    "ties",
    "squash",
    "score_floor_micros",
    "unit_micros",
    "bid_rounding",
    "slot_factors",
    "mean_probability",
    "reserve_micros",
    "page",
    "tier",
    "modifier",
    "reserve",
    "cold_start",
    "exploration",
    "document",
];
const CONDITION: [&str; 5] = ["placement", "device", "hours", "advertiser", "campaign"];
const MAX_TIERS: usize = 64;
/// An adjusted bid stays far inside what f64 holds.
const MAX_FACTOR: f64 = 1e6;

impl Policy {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Status::Unsupported`] for a key, a name or a combination that this library does not know;
    /// [`Status::InvalidArgument`] for text that is not TOML and for a value of the wrong type or out of its range.
    pub fn parse(text: &str) -> Result<Self> {
        let table = DeTable::parse(text).map_err(|error| Error::argument(format!("not TOML: {error}")))?;
        let text = Text(text);
        let mut policy = Self::default();
        let mut squash = 1.0;
        text.each("", table.get_ref(), &KEYS, |key, value| {
            match key {
                "pricing" => {
                    policy.pricing = one_of(key, value, &Pricing::ALL.map(|pricing| (pricing.name(), pricing)))?
                }
                "ties" => policy.ties = one_of(key, value, &[("key", Ties::Key), ("hash", Ties::Hash)])?,
                "squash" => squash = within(key, value, "a number above 0 and at most 1", |x| x > 0.0 && x <= 1.0)?,
                "score_floor_micros" => policy.score_floor_micros = micros(key, value, 0)?,
                "unit_micros" => policy.unit_micros = micros(key, value, 1)?,
                "bid_rounding" => policy.refuses_parts = one_of(key, value, &[("down", false), ("refuse", true)])?,
                "slot_factors" => policy.slot_factors = slot_factors(key, value)?,
                "mean_probability" => {
                    text.each(key, subtable(key, value)?, &KINDS[1..], |name, value| {
                        let full = format!("{key}.{name}");
                        let mean = within(&full, value, "a number above 0 and at most 1", |x| x > 0.0 && x <= 1.0)?;
                        policy.mean_probability[at(&KINDS, name)] = mean;
                        Ok(())
                    })?;
                }
                "reserve_micros" => {
                    text.each(key, subtable(key, value)?, &KINDS, |name, value| {
                        policy.reserve_micros[at(&KINDS, name)] = micros(&format!("{key}.{name}"), value, 0)?;
                        Ok(())
                    })?;
                }
                "page" => page(&text, &mut policy, subtable(key, value)?)?,
                "tier" => tiers(&text, &mut policy, key, value)?,
                "modifier" => policy.modifiers = modifiers(&text, key, value)?,
                "reserve" => policy.reserves = reserves(&text, key, value)?,
                "cold_start" => policy.cold_start = Some(cold_start(&text, subtable(key, value)?)?),
                "exploration" => policy.explore = Some(exploration(&text, subtable(key, value)?)?),
                _ => policy.document = document(&text, subtable(key, value)?)?,
            }
            Ok(())
        })?;
        // Its scale needs the means, which may stand behind it.
        let policy = policy.with_squash(squash)?;
        policy.check_together().map(|()| policy)
    }

    /// What does not go together, though each is right alone.
    fn check_together(&self) -> Result<()> {
        if self.pricing == Pricing::Vcg {
            let [.., category, label] = self.page.limits;
            let nested = self.page.limits[..3].iter().any(|&limit| limit > 0);
            let crossing = if category > 0 && (nested || label > 0) {
                Some("category")
            } else if label > 0 && nested {
                Some("label")
            } else {
                None
            };
            if let Some(of) = crossing {
                return Err(Error::unsupported(format!(
                    "page.per_{of}: under pricing \"vcg\" limits must be nested, as creative, campaign and advertiser are, \
                     and per_{of} crosses another: its prices would not be exact; leave one out or use \"gsp\""
                )));
            }
            for (set, what) in
                [(self.reserves.has_slots(), "a [[reserve]] for a slot"), (self.explore.is_some(), "[exploration]")]
            {
                if set {
                    let text = format!("pricing \"vcg\" has no exact price under {what}: leave it out or use \"gsp\"");
                    return Err(Error::unsupported(text));
                }
            }
            if self.slot_factors.windows(2).any(|pair| pair[0] < pair[1]) {
                return Err(Error::argument(
                    "slot_factors: under pricing \"vcg\" none may be larger than the one before",
                ));
            }
        }
        if self.pricing == Pricing::Document && self.has_page_rules() {
            return Err(Error::unsupported(
                "pricing \"document\" knows no limits, no rules of slots and no exploration",
            ));
        }
        Ok(())
    }
}

/// The policy's text, by whose lines errors say where.
struct Text<'a>(&'a str);

impl Text<'_> {
    /// Hands out the entries of a table, whose keys must be among `known`. An error gets the line of its entry, unless it
    /// has one from deeper inside.
    fn each(
        &self,
        name: &str,
        table: &DeTable<'_>,
        known: &[&str],
        mut take: impl FnMut(&str, &DeValue<'_>) -> Result<()>,
    ) -> Result<()> {
        for (key, value) in table {
            let said: &str = key.get_ref();
            let done = match known.contains(&said) {
                true => take(said, value.get_ref()),
                false => {
                    let dot = if name.is_empty() { "" } else { "." };
                    Err(Error::unsupported(format!(
                        "unknown key {name}{dot}{said}, the known ones are {}",
                        known.join(", ")
                    )))
                }
            };
            done.map_err(|error| self.located(error, key.span().start))?;
        }
        Ok(())
    }

    fn located(&self, error: Error, at: usize) -> Error {
        match error.message.starts_with("line ") {
            true => error,
            false => error.within(format_args!("line {}", 1 + self.0[..at].matches('\n').count())),
        }
    }

    /// Hands out the tables of an array of tables.
    fn tables(
        &self,
        key: &str,
        value: &DeValue<'_>,
        most: usize,
        mut take: impl FnMut(&DeTable<'_>) -> Result<()>,
    ) -> Result<()> {
        let DeValue::Array(tables) = value else {
            return Err(wrong_type(key, &format!("tables, each with the heading [[{key}]]"), value));
        };
        if tables.len() > most {
            return Err(Error::argument(format!("{key}: {} of them, expected at most {most}", tables.len())));
        }
        for table in tables.iter() {
            let DeValue::Table(inner) = table.get_ref() else {
                return Err(wrong_type(key, "a table", table.get_ref()));
            };
            take(inner).map_err(|error| self.located(error, table.span().start))?;
        }
        Ok(())
    }
}

fn page(text: &Text<'_>, policy: &mut Policy, table: &DeTable<'_>) -> Result<()> {
    let limits = LIMITS.map(|of| format!("per_{of}"));
    let mut known = vec!["max_ads", "min_ecpm_micros", "min_quality"];
    known.extend(limits.iter().map(String::as_str));
    text.each("page", table, &known, |name, value| {
        let key = format!("page.{name}");
        match name {
            "max_ads" => policy.page.max_ads = count(&key, value, 0, MAX_PAGE_SLOTS as u32)?,
            "min_ecpm_micros" => policy.page.min_ecpm_micros = micros(&key, value, 0)?,
            "min_quality" => policy.page.min_quality = within(&key, value, "0 or more", |x| x >= 0.0)?,
            _ => {
                policy.page.limits[limits.iter().position(|limit| limit == name).unwrap_or(0)] =
                    count(&key, value, 0, u32::MAX)?
            }
        }
        Ok(())
    })
}

fn tiers(text: &Text<'_>, policy: &mut Policy, key: &str, value: &DeValue<'_>) -> Result<()> {
    let mut default = None;
    text.tables(key, value, MAX_TIERS, |table| {
        let (mut name, mut floor_exempt, mut is_default) = (None, false, false);
        text.each(key, table, &["name", "floor_exempt", "default"], |field, value| {
            let key = format!("tier.{field}");
            match field {
                "name" => name = Some(string(&key, value)?.to_string()),
                "floor_exempt" => floor_exempt = truth(&key, value)?,
                _ => is_default = truth(&key, value)?,
            }
            Ok(())
        })?;
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| Error::argument("tier: expected a name"))?;
        if policy.tiers.iter().any(|tier| tier.name == name) {
            return Err(Error::argument(format!("tier.name: \"{name}\" is there twice")));
        }
        if is_default && default.replace(policy.tiers.len()).is_some() {
            return Err(Error::argument("tier.default: another tier is the default, too"));
        }
        policy.tiers.push(Tier { key: category_id(name.as_bytes()), name, floor_exempt });
        Ok(())
    })?;
    let default = default.or_else(|| policy.tiers.iter().position(|tier| tier.name == "standard")).ok_or_else(|| {
        let text = "tier: none is the default for candidates that name none: expected default = true in one, or one \
                    with the name \"standard\"";
        Error::argument(text)
    })?;
    policy.default_tier = default as u16;
    Ok(())
}

/// Takes a key of a condition; any other is for the caller.
fn condition(when: &mut Condition, rule: &str, name: &str, value: &DeValue<'_>) -> Result<bool> {
    let key = format!("{rule}.{name}");
    match name {
        "placement" => when.placement = Some(count(&key, value, 0, u32::MAX)?),
        "device" => when.device = Some(count(&key, value, 0, u32::MAX)?),
        "hours" => when.hours = hours(&key, value)?,
        "advertiser" => when.advertiser = Some(id(&key, value)?),
        "campaign" => when.campaign = Some(id(&key, value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn modifiers(text: &Text<'_>, key: &str, value: &DeValue<'_>) -> Result<Rules<Modifier>> {
    let known: Vec<&str> = CONDITION.into_iter().chain(["adjust", "boost"]).collect();
    let mut all = Vec::new();
    text.tables(key, value, MAX_RULES, |table| {
        let (mut when, mut does) = (Condition::default(), Modifier { adjust: 0.0, boost: 1.0 });
        text.each(key, table, &known, |name, value| {
            let full = format!("{key}.{name}");
            if !condition(&mut when, key, name, value)? {
                match name {
                    "adjust" => {
                        does.adjust = within(&full, value, "-1.0 (out) to 1e6", |x| (-1.0..=MAX_FACTOR).contains(&x))?
                    }
                    _ => does.boost = within(&full, value, "above 0, up to 1e6", |x| x > 0.0 && x <= MAX_FACTOR)?,
                }
            }
            Ok(())
        })?;
        all.push((when, does));
        Ok(())
    })?;
    indexed(key, all)
}

fn reserves(text: &Text<'_>, key: &str, value: &DeValue<'_>) -> Result<Rules<[i64; KINDS.len()]>> {
    let known: Vec<&str> = CONDITION.into_iter().chain(["slot"]).chain(KINDS).collect();
    let mut all = Vec::new();
    text.tables(key, value, MAX_RULES, |table| {
        let (mut when, mut amounts) = (Condition::default(), [0; KINDS.len()]);
        text.each(key, table, &known, |name, value| {
            let full = format!("{key}.{name}");
            if !condition(&mut when, key, name, value)? {
                match name {
                    "slot" => when.slot = Some(count(&full, value, 0, MAX_PAGE_SLOTS as u32 - 1)?),
                    _ => amounts[at(&KINDS, name)] = micros(&full, value, 0)?,
                }
            }
            Ok(())
        })?;
        if when.slot.is_some() && (when.advertiser.is_some() || when.campaign.is_some()) {
            return Err(Error::unsupported("reserve.slot: a rule of a slot holds for all advertisers and campaigns"));
        }
        all.push((when, amounts));
        Ok(())
    })?;
    indexed(key, all)
}

fn indexed<T>(key: &str, all: Vec<(Condition, T)>) -> Result<Rules<T>> {
    Rules::new(all).map_err(|n| {
        Error::argument(format!(
            "{key}: {n} of them name neither advertiser nor campaign, so that each request tries them: expected at most \
             {MAX_PAGE_RULES}"
        ))
    })
}

fn cold_start(text: &Text<'_>, table: &DeTable<'_>) -> Result<ColdStart> {
    let mut cold = ColdStart { bonus: 0.0, impressions: 1000.0 };
    text.each("cold_start", table, &["bonus", "impressions"], |name, value| {
        let key = format!("cold_start.{name}");
        match name {
            "bonus" => cold.bonus = within(&key, value, "0 to 1e6", |x| (0.0..=MAX_FACTOR).contains(&x))?,
            _ => cold.impressions = within(&key, value, "above 0", |x| x > 0.0 && x.is_finite())?,
        }
        Ok(())
    })?;
    Ok(cold)
}

fn exploration(text: &Text<'_>, table: &DeTable<'_>) -> Result<Explore> {
    let (mut greedy, mut epsilon, mut temperature, mut pool, mut most) = (None, None, None, 20, None);
    let known = ["method", "epsilon", "temperature", "pool", "max_given_up_micros"];
    text.each("exploration", table, &known, |name, value| {
        let key = format!("exploration.{name}");
        match name {
            "method" => greedy = Some(one_of(&key, value, &[("epsilon-greedy", true), ("plackett-luce", false)])?),
            "epsilon" => epsilon = Some(within(&key, value, "0 to 1", |x| (0.0..=1.0).contains(&x))?),
            "temperature" => {
                temperature = Some(within(&key, value, "0.001 to 1000", |x| (0.001..=1000.0).contains(&x))?);
            }
            "pool" => pool = count(&key, value, 1, MAX_POOL as u32)?,
            _ => most = Some(micros(&key, value, 0)?),
        }
        Ok(())
    })?;
    let missing = |what: &str| Error::argument(format!("exploration: expected {what}"));
    let draw = match (greedy, epsilon, temperature) {
        (Some(true), Some(epsilon), None) => Draw::EpsilonGreedy(epsilon),
        (Some(false), None, Some(temperature)) => Draw::PlackettLuce(temperature),
        (Some(true), ..) => return Err(missing("epsilon, and no temperature, with the method \"epsilon-greedy\"")),
        (Some(false), ..) => return Err(missing("temperature, and no epsilon, with the method \"plackett-luce\"")),
        (None, ..) => return Err(missing("a method")),
    };
    let max_given_up_micros =
        most.ok_or_else(|| missing("max_given_up_micros, the most revenue that 100,000 requests may give up"))?;
    Ok(Explore { draw, pool, max_given_up_micros })
}

fn document(text: &Text<'_>, table: &DeTable<'_>) -> Result<Document> {
    let mut document = Policy::default().document;
    text.each("document", table, &["objective", "reserve", "bid_modification"], |name, value| {
        let key = format!("document.{name}");
        match name {
            "objective" => document.conversion = one_of(&key, value, &[("click", false), ("conversion", true)])?,
            "reserve" => document.reserve = number(&key, value)?,
            _ => document.bid_modification = number(&key, value)?,
        }
        Ok(())
    })?;
    Ok(document)
}

fn slot_factors(key: &str, value: &DeValue<'_>) -> Result<Vec<f64>> {
    let expected = "up to 64 numbers above 0 and at most 1";
    let DeValue::Array(factors) = value else { return Err(wrong_type(key, expected, value)) };
    if factors.len() > MAX_PAGE_SLOTS {
        return Err(Error::argument(format!("{key}: expected {expected}, found {}", factors.len())));
    }
    factors.iter().map(|factor| within(key, factor.get_ref(), expected, |x| x > 0.0 && x <= 1.0)).collect()
}

/// The hours from the beginning of the first to the beginning of the second, over midnight if that is smaller.
fn hours(key: &str, value: &DeValue<'_>) -> Result<u32> {
    let expected = "two hours of the day, such as [18, 23], from 0 to 24 and not the same";
    let ends: Option<Vec<u32>> = match value {
        DeValue::Array(ends) => {
            ends.iter().map(|end| integer(end.get_ref()).and_then(|n| u32::try_from(n).ok())).collect()
        }
        _ => None,
    };
    match ends.as_deref() {
        Some(&[first, end]) if first < 24 && end <= 24 && first != end => {
            let hours = if first < end { end - first } else { 24 + end - first };
            Ok((first..first + hours).fold(0, |set, hour| set | 1 << (hour % 24)))
        }
        _ => Err(wrong_type(key, expected, value)),
    }
}

fn at(names: &[&str], name: &str) -> usize {
    names.iter().position(|known| *known == name).unwrap_or(0)
}

fn subtable<'a, 't>(key: &str, value: &'a DeValue<'t>) -> Result<&'a DeTable<'t>> {
    match value {
        DeValue::Table(table) => Ok(table),
        _ => Err(wrong_type(key, "a table", value)),
    }
}

fn string<'a>(key: &str, value: &'a DeValue<'_>) -> Result<&'a Cow<'a, str>> {
    match value {
        DeValue::String(text) => Ok(text),
        _ => Err(wrong_type(key, "a string", value)),
    }
}

fn truth(key: &str, value: &DeValue<'_>) -> Result<bool> {
    match value {
        DeValue::Boolean(truth) => Ok(*truth),
        _ => Err(wrong_type(key, "true or false", value)),
    }
}

fn one_of<T: Copy>(key: &str, value: &DeValue<'_>, known: &[(&str, T)]) -> Result<T> {
    let name = string(key, value)?;
    known.iter().find(|(known, _)| known == name).map(|(_, meant)| *meant).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        Error::unsupported(format!("{key}: expected one of {}, found \"{name}\"", names.join(", ")))
    })
}

fn id(key: &str, value: &DeValue<'_>) -> Result<Key> {
    let expected = "a key (an integer above 0, or a text that is hashed to one)";
    match value {
        DeValue::String(text) => Ok(Key::Text(text.to_string())),
        _ => integer(value)
            .and_then(|number| u64::try_from(number).ok())
            .filter(|&number| number > 0)
            .map(Key::Number)
            .ok_or_else(|| wrong_type(key, expected, value)),
    }
}

fn within(key: &str, value: &DeValue<'_>, expected: &str, ok: impl Fn(f64) -> bool) -> Result<f64> {
    let number = number(key, value)?;
    if ok(number) { Ok(number) } else { Err(out_of_range(key, expected, number)) }
}

fn number(key: &str, value: &DeValue<'_>) -> Result<f64> {
    let number = match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(_) => integer(value).map(|number| number as f64),
        _ => None,
    };
    number.ok_or_else(|| wrong_type(key, "a number", value))
}

fn micros(key: &str, value: &DeValue<'_>, least: i64) -> Result<i64> {
    let micros = integer(value).ok_or_else(|| wrong_type(key, "a 64-bit integer of micros", value))?;
    if micros < least {
        return Err(out_of_range(key, &format!("{least} or more"), micros));
    }
    Ok(micros)
}

fn count(key: &str, value: &DeValue<'_>, least: u32, most: u32) -> Result<u32> {
    let expected = format!("an integer from {least} to {most}");
    let count = integer(value).ok_or_else(|| wrong_type(key, &expected, value))?;
    u32::try_from(count)
        .ok()
        .filter(|count| (least..=most).contains(count))
        .ok_or_else(|| out_of_range(key, &expected, count))
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

fn wrong_type(key: &str, expected: &str, found: &DeValue<'_>) -> Error {
    let shown = match found {
        DeValue::String(text) => format!(" \"{text}\""),
        DeValue::Integer(number) => format!(" {number}"),
        DeValue::Float(number) => format!(" {number}"),
        DeValue::Boolean(truth) => format!(" {truth}"),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => String::new(),
    };
    Error::new(Status::InvalidArgument, format!("{key}: expected {expected}, found {}{shown}", found.type_str()))
}
