//! Statistics of one column in the sample.

use std::collections::HashMap;

use super::sample::{FileSample, Kept};
use crate::cells::Scalar;
use crate::logs::{guess_unit, hour};

/// The form of a column's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Looks {
    /// No row has a value.
    Empty,
    /// 0 and 1, or true and false.
    Binary,
    /// Whole numbers of 64 bits.
    Integer,
    Number,
    Text,
    /// Times, with the schema's name of their unit if they are numbers.
    Time(Option<&'static str>),
    /// Strings or integers, separated by a byte or in a list.
    Many {
        integer: bool,
        separator: Option<u8>,
    },
    /// A list of this many numbers.
    Vector {
        dim: usize,
        separator: Option<u8>,
    },
    /// A type that no feature reads.
    Strange,
}

/// Statistics of a column's values.
pub(super) struct Profile {
    pub(super) looks: Looks,
    /// Rows with a value, and without.
    pub(super) present: usize,
    pub(super) missing: usize,
    pub(super) distinct: usize,
    /// Least, median, 99th percentile, greatest, if the values are numbers.
    pub(super) numbers: Option<[f64; 4]>,
    /// The first value, for the forms empty and text.
    pub(super) example: String,
    /// Mean length of texts.
    pub(super) length: f64,
    /// Whether times carry offsets other than 0, or fall in different hours.
    pub(super) offsets: bool,
    pub(super) hours: usize,
    pub(super) days: usize,
}

/// Possible separators of values within one text.
const SEPARATORS: [u8; 5] = [b'|', b';', b',', b' ', b'/'];

impl Profile {
    pub(super) fn of(sample: &FileSample, at: usize) -> Self {
        let mut counts: HashMap<&[u8], usize> = HashMap::new();
        let (mut lists, mut missing): (Vec<&[Box<[u8]>]>, usize) = (Vec::new(), 0);
        let (mut texts, mut absent): (Vec<&[u8]>, usize) = (Vec::new(), 0);
        for kept in sample.column(at) {
            match kept {
                Kept::Missing => missing += 1,
                Kept::Text(text) if Scalar::from(&text[..]).is_absent() => absent += 1,
                Kept::Text(text) => {
                    *counts.entry(&text[..]).or_default() += 1;
                    texts.push(text);
                }
                Kept::List(items) => lists.push(items),
            }
        }
        let mut profile = Self {
            looks: Looks::Text,
            present: texts.len() + lists.len(),
            missing: missing + absent,
            distinct: counts.len(),
            numbers: None,
            example: texts.first().map_or_else(String::new, |text| shown(text)),
            length: texts.iter().map(|t| t.len() as f64).sum::<f64>() / texts.len().max(1) as f64,
            offsets: false,
            hours: 0,
            days: 0,
        };
        profile.looks = if !lists.is_empty() {
            listed(&lists)
        } else if texts.is_empty() {
            let strange = sample.types[at]
                .as_deref()
                .is_some_and(|t| ["Struct", "Map", "Union"].iter().any(|s| t.starts_with(s)));
            if strange { Looks::Strange } else { Looks::Empty }
        } else {
            profile.text(&sample.names[at], &texts, &counts, absent)
        };
        profile
    }

    fn text(&mut self, name: &str, texts: &[&[u8]], counts: &HashMap<&[u8], usize>, absent: usize) -> Looks {
        let cells = || counts.keys().map(|text| Scalar::from(*text));
        let all = |holds: fn(&Scalar<'_>) -> bool| cells().all(|cell| holds(&cell));
        if all(|cell| cell.number().is_some()) {
            let mut numbers: Vec<f64> =
                texts.iter().filter_map(|text| Some(f64::from(Scalar::from(*text).number()?))).collect();
            numbers.sort_unstable_by(f64::total_cmp);
            let n = numbers.len();
            self.numbers = Some([numbers[0], numbers[n / 2], numbers[(n - 1) * 99 / 100], numbers[n - 1]]);
            if all(|cell| matches!(cell.integer(), Some(0 | 1))) {
                return Looks::Binary;
            }
            if all(|cell| cell.integer_id().is_some()) {
                return self.numeric_time(name, texts, counts).unwrap_or(Looks::Integer);
            }
            return Looks::Number;
        }
        let times: Option<Vec<(i64, Option<i32>)>> =
            texts.iter().map(|text| crate::time::iso(std::str::from_utf8(text).ok()?.trim())).collect();
        if let Some(times) = times {
            self.offsets = times.iter().any(|(_, offset)| offset.is_some_and(|o| o != 0));
            self.spread(times.iter().map(|(us, _)| *us));
            return Looks::Time(None);
        }
        // In a column of text such words are values.
        self.missing -= absent;
        self.present += absent;
        many(texts, counts).unwrap_or(Looks::Text)
    }

    /// Whole numbers that are times of this century in one unit, in a column whose name suggests a time.
    fn numeric_time(&mut self, name: &str, texts: &[&[u8]], counts: &HashMap<&[u8], usize>) -> Option<Looks> {
        if !super::names::is_time(name) {
            return None;
        }
        let hours: Option<Vec<i64>> = texts.iter().map(|text| hour(text)).collect();
        if let Some(hours) = hours {
            self.spread(hours.into_iter());
            return Some(Looks::Time(Some("yymmddhh")));
        }
        let read = |text: &&[u8]| guess_unit(Scalar::from(*text).integer()?);
        let unit = read(counts.keys().next()?)?.0;
        let times: Option<Vec<i64>> = texts.iter().map(|t| Some(read(t).filter(|r| r.0 == unit)?.1)).collect();
        self.spread(times?.into_iter());
        Some(Looks::Time(Some(crate::logs::unit_name(unit))))
    }

    fn spread(&mut self, times: impl Iterator<Item = i64>) {
        let hours: std::collections::HashSet<i64> = times.map(|us| us.div_euclid(3_600_000_000)).collect();
        let days: std::collections::HashSet<i64> = hours.iter().map(|hour| hour.div_euclid(24)).collect();
        self.hours = hours.iter().map(|hour| hour.rem_euclid(24)).collect::<std::collections::HashSet<_>>().len();
        self.days = days.len();
    }

    /// A summary for a comment.
    pub(super) fn seen(&self) -> String {
        let mut parts = Vec::new();
        if self.distinct > 0 {
            parts.push(format!("{} distinct", self.distinct));
        }
        let rows = (self.present + self.missing).max(1);
        parts.push(if self.missing == 0 {
            "none missing".to_owned()
        } else {
            format!("{:.1}% missing", 100.0 * self.missing as f64 / rows as f64)
        });
        if let Some([least, median, _, most]) = self.numbers {
            // The numbers as read, without the digits that f64 adds.
            let [least, median, most] = [least, median, most].map(|x| x as f32);
            parts.push(format!("{least} to {most}, median {median}"));
        } else if !self.example.is_empty() {
            parts.push(format!("such as {:?}", self.example));
        }
        parts.join(", ")
    }
}

/// A text as a comment shows it: short and on one line.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let short: String = text.chars().take(30).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}

fn integer(text: &[u8]) -> bool {
    Scalar::from(text).integer_id().is_some()
}

fn number(text: &[u8]) -> bool {
    Scalar::from(text).number().is_some()
}

/// The form of lists.
fn listed(lists: &[&[Box<[u8]>]]) -> Looks {
    let items = || lists.iter().flat_map(|list| list.iter());
    let dim = lists[0].len();
    let integers = items().all(|item| integer(item));
    if dim > 1 && lists.iter().all(|list| list.len() == dim) && !integers && items().all(|item| number(item)) {
        return Looks::Vector { dim, separator: None };
    }
    Looks::Many { integer: integers && items().next().is_some(), separator: None }
}

/// Texts that hold several values: the parts repeat while the whole texts do not.
fn many(texts: &[&[u8]], counts: &HashMap<&[u8], usize>) -> Option<Looks> {
    for separator in SEPARATORS {
        let lengths: Vec<usize> = texts.iter().map(|t| t.split(|&b| b == separator).count()).collect();
        let several = lengths.iter().filter(|&&n| n > 1).count();
        if several * 5 < texts.len() {
            continue;
        }
        let parts = || texts.iter().flat_map(|t| t.split(move |&b| b == separator)).filter(|part| !part.is_empty());
        if lengths.iter().all(|&n| n == lengths[0]) && texts.iter().all(|t| t.split(|&b| b == separator).all(number)) {
            return Some(Looks::Vector { dim: lengths[0], separator: Some(separator) });
        }
        let known: std::collections::HashSet<&[u8]> = parts().collect();
        // Requires five rows for each part; the words of a sentence occur once.
        let often = parts().count() >= 5 * known.len();
        let varied = lengths.iter().any(|&n| n != lengths[0]);
        if often && varied && known.len() < counts.len() {
            return Some(Looks::Many { integer: known.iter().all(|part| integer(part)), separator: Some(separator) });
        }
    }
    None
}
