//! The rules of the auctions, and their text form.

use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result, Status};
use crate::types::BidKind;

/// How prices are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pricing {
    /// Generalised second price.
    Gsp,
}

/// The rules of the auctions.
///
/// Its text form is TOML; a key that is left out keeps its default, which is shown here:
///
/// ```toml
/// pricing = "gsp"
/// squash = 1.0             # α in q^α, above 0 and at most 1
/// score_floor_micros = 0   # the least rank score per 1000 impressions; the last winner is priced against it
///
/// [reserve_micros]         # for candidates without a reserve of their own, per billed event
/// cpm = 0                  # per 1000 impressions
/// cpc = 0                  # per click
/// cpa = 0                  # per conversion
/// ocpm = 0                 # per 1000 impressions
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pricing: Pricing,
    squash: f64,
    score_floor_micros: i64,
    reserve_micros: [i64; KINDS.len()],
}

const KEYS: [&str; 4] = ["pricing", "squash", "score_floor_micros", "reserve_micros"];
/// In the order of [`BidKind`]'s numbers.
const KINDS: [&str; 4] = ["cpm", "cpc", "cpa", "ocpm"];

impl Default for Policy {
    fn default() -> Self {
        Self { pricing: Pricing::Gsp, squash: 1.0, score_floor_micros: 0, reserve_micros: [0; KINDS.len()] }
    }
}

impl Policy {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Status::Unsupported`] for a key or a pricing that this library does not know; [`Status::InvalidArgument`] for
    /// text that is not TOML and for a value of the wrong type or out of its range.
    pub fn parse(text: &str) -> Result<Self> {
        let table = DeTable::parse(text).map_err(|error| Error::argument(format!("not TOML: {error}")))?;
        let line = |at: usize| 1 + text[..at].matches('\n').count();
        let mut policy = Self::default();
        for (key, value) in table.get_ref() {
            let at = key.span().start;
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("reserve_micros", DeValue::Table(reserves)) => {
                    for (kind, value) in reserves {
                        let at = kind.span().start;
                        policy = policy
                            .with_reserve_entry(kind.get_ref(), value.get_ref())
                            .map_err(|error| error.within(format_args!("line {}", line(at))))?;
                    }
                }
                (key, value) => {
                    policy = policy
                        .with_entry(key, value)
                        .map_err(|error| error.within(format_args!("line {}", line(at))))?;
                }
            }
        }
        Ok(policy)
    }

    /// The text form with every key in a fixed order. [`Policy::parse`] gives the same policy back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Pricing::Gsp = self.pricing;
        let mut text = format!(
            "pricing = \"gsp\"\nsquash = {:?}\nscore_floor_micros = {}\n\n[reserve_micros]\n",
            self.squash, self.score_floor_micros
        );
        for (kind, reserve) in KINDS.iter().zip(self.reserve_micros) {
            text.push_str(&format!("{kind} = {reserve}\n"));
        }
        text
    }

    /// The same policy with another squash, in (0, 1].
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] when it is out of range.
    pub fn with_squash(self, squash: f64) -> Result<Self> {
        if !(squash > 0.0 && squash <= 1.0) {
            return Err(out_of_range("squash", "a number above 0 and at most 1", squash));
        }
        Ok(Self { squash, ..self })
    }

    /// The same policy with another least rank score: micros per 1000 impressions, 0 or more.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] when it is out of range.
    pub fn with_score_floor_micros(self, score_floor_micros: i64) -> Result<Self> {
        if score_floor_micros < 0 {
            return Err(out_of_range("score_floor_micros", "0 or more", score_floor_micros));
        }
        Ok(Self { score_floor_micros, ..self })
    }

    /// The same policy with another default reserve for one kind: micros per billed event, 0 or more.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`] when it is out of range.
    pub fn with_reserve_micros(mut self, kind: BidKind, reserve_micros: i64) -> Result<Self> {
        let name = KINDS[kind as usize];
        if reserve_micros < 0 {
            return Err(out_of_range(&format!("reserve_micros.{name}"), "0 or more", reserve_micros));
        }
        self.reserve_micros[kind as usize] = reserve_micros;
        Ok(self)
    }

    /// How prices are found.
    #[must_use]
    pub fn pricing(&self) -> Pricing {
        self.pricing
    }

    /// α in `q^α`.
    #[must_use]
    pub fn squash(&self) -> f64 {
        self.squash
    }

    /// The least rank score, in micros per 1000 impressions.
    #[must_use]
    pub fn score_floor_micros(&self) -> i64 {
        self.score_floor_micros
    }

    /// The reserve of candidates that have none of their own: micros per billed event.
    #[must_use]
    pub fn reserve_micros(&self, kind: BidKind) -> i64 {
        self.reserve_micros[kind as usize]
    }

    pub(super) fn score_floor(&self) -> f64 {
        self.score_floor_micros as f64
    }

    /// `q^α`. It does not use the platform's `pow`, so that every machine ranks alike.
    #[inline]
    pub(super) fn squashed(&self, q: f64) -> f64 {
        if self.squash == 1.0 { q } else { libm::pow(q, self.squash) }
    }

    fn with_entry(mut self, key: &str, value: &DeValue<'_>) -> Result<Self> {
        match key {
            "pricing" => {
                self.pricing = pricing(value)?;
                Ok(self)
            }
            "squash" => self.with_squash(number(key, value)?),
            "score_floor_micros" => self.with_score_floor_micros(micros(key, value)?),
            "reserve_micros" => Err(wrong_type(key, "a table", value)),
            _ => Err(unknown_key(key, &KEYS)),
        }
    }

    fn with_reserve_entry(self, name: &str, value: &DeValue<'_>) -> Result<Self> {
        let key = format!("reserve_micros.{name}");
        let kind = KINDS.iter().position(|known| *known == name).and_then(|i| BidKind::from_u32(i as u32));
        let kind = kind.ok_or_else(|| unknown_key(&key, &KINDS))?;
        self.with_reserve_micros(kind, micros(&key, value)?)
    }
}

fn pricing(value: &DeValue<'_>) -> Result<Pricing> {
    match value {
        DeValue::String(name) if name == "gsp" => Ok(Pricing::Gsp),
        DeValue::String(name) => {
            Err(Error::unsupported(format!("pricing: expected \"gsp\", the one this library knows, found \"{name}\"")))
        }
        _ => Err(wrong_type("pricing", "a string", value)),
    }
}

fn number(key: &str, value: &DeValue<'_>) -> Result<f64> {
    let number = match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(_) => integer(value).map(|number| number as f64),
        _ => None,
    };
    number.ok_or_else(|| wrong_type(key, "a number", value))
}

fn micros(key: &str, value: &DeValue<'_>) -> Result<i64> {
    integer(value).ok_or_else(|| wrong_type(key, "a 64-bit integer of micros", value))
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

fn unknown_key(key: &str, known: &[&str]) -> Error {
    Error::unsupported(format!("unknown key {key}, the known ones are {}", known.join(", ")))
}

fn wrong_type(key: &str, expected: &str, found: &DeValue<'_>) -> Error {
    let shown = match found {
        DeValue::String(text) => format!(" \"{text}\""),
        DeValue::Integer(number) => format!(" {number}"),
        DeValue::Float(number) => format!(" {number}"),
        DeValue::Boolean(truth) => format!(" {truth}"),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => String::new(),
    };
    Error::argument(format!("{key}: expected {expected}, found {}{shown}", found.type_str()))
}

fn out_of_range(key: &str, expected: &str, found: impl std::fmt::Display) -> Error {
    Error::new(Status::InvalidArgument, format!("{key}: expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_is_the_default() {
        assert_eq!(Policy::parse("").unwrap(), Policy::default());
        let policy = Policy::default();
        assert_eq!((policy.pricing(), policy.squash(), policy.score_floor_micros()), (Pricing::Gsp, 1.0, 0));
    }

    #[test]
    fn the_text_form_comes_back() {
        let text = "squash = 0.123456789012345678\nscore_floor_micros = 250000\n\
                    [reserve_micros]\nocpm = 9223372036854775807\ncpc = 10000\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!(policy.reserve_micros(BidKind::Ocpm), i64::MAX);
        assert_eq!(policy.reserve_micros(BidKind::Cpc), 10_000);
        assert_eq!(policy.reserve_micros(BidKind::Cpm), 0);
        for policy in [policy, Policy::default(), Policy::default().with_squash(1e-7).unwrap()] {
            assert_eq!(Policy::parse(&policy.to_toml()).unwrap(), policy);
        }
        assert_eq!(Policy::parse("squash = 1").unwrap(), Policy::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, status, message) in [
            (
                "sqaush = 0.5",
                Status::Unsupported,
                "line 1: unknown key sqaush, the known ones are pricing, squash, score_floor_micros, \
                 reserve_micros",
            ),
            (
                "\n[reserve_micros]\ncpx = 1",
                Status::Unsupported,
                "line 3: unknown key reserve_micros.cpx, the known ones are cpm, cpc, cpa, ocpm",
            ),
            (
                "pricing = \"first\"",
                Status::Unsupported,
                "line 1: pricing: expected \"gsp\", the one this library knows, found \"first\"",
            ),
            ("pricing = 2", Status::InvalidArgument, "line 1: pricing: expected a string, found integer 2"),
            ("squash = \"0.5\"", Status::InvalidArgument, "line 1: squash: expected a number, found string \"0.5\""),
            (
                "squash = 0.0",
                Status::InvalidArgument,
                "line 1: squash: expected a number above 0 and at most 1, found 0",
            ),
            (
                "squash = nan",
                Status::InvalidArgument,
                "line 1: squash: expected a number above 0 and at most 1, found NaN",
            ),
            (
                "squash = 1.5",
                Status::InvalidArgument,
                "line 1: squash: expected a number above 0 and at most 1, found 1.5",
            ),
            (
                "score_floor_micros = 0.5",
                Status::InvalidArgument,
                "line 1: score_floor_micros: expected a 64-bit integer of micros, found float 0.5",
            ),
            (
                "score_floor_micros = 9223372036854775808",
                Status::InvalidArgument,
                "line 1: score_floor_micros: expected a 64-bit integer of micros, found integer 9223372036854775808",
            ),
            (
                "score_floor_micros = -1",
                Status::InvalidArgument,
                "line 1: score_floor_micros: expected 0 or more, found -1",
            ),
            (
                "reserve_micros = 3",
                Status::InvalidArgument,
                "line 1: reserve_micros: expected a table, found integer 3",
            ),
            (
                "reserve_micros.cpa = -3",
                Status::InvalidArgument,
                "line 1: reserve_micros.cpa: expected 0 or more, found -3",
            ),
        ] {
            let error = Policy::parse(text).unwrap_err();
            assert_eq!((error.status, error.message.as_str()), (status, message), "{text}");
        }
        let error = Policy::parse("squash = ").unwrap_err();
        assert!(error.message.starts_with("not TOML: "), "{error}");
    }
}
