//! Decides the use of each column.

use super::profile::{Looks, Profile};
use super::sample::FileSample;
use super::{ColumnRoles, KnownColumns, leaks, names};

/// The role that a column is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Guess {
    /// A label, the weight or the time.
    Label,
    Feature(Feature),
    LeftOut {
        why: String,
        /// The feature it would otherwise be, if possible.
        otherwise: Option<Feature>,
    },
}

/// A feature of one column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Feature {
    pub(super) kind: &'static str,
    /// The keys behind name, source and kind, as the schema file has them.
    pub(super) keys: String,
    /// Doubts about the guess.
    pub(super) remark: Option<String>,
}

/// At most this many distinct integers are taken for categories.
const FEW: usize = 20;

/// Decides the use of the column at this index.
pub(super) fn guess(
    sample: &FileSample,
    profiles: &[Profile],
    roles: &ColumnRoles,
    known: &KnownColumns,
    at: usize,
    clicks: &[bool],
) -> Guess {
    let (name, profile) = (&sample.names[at], &profiles[at]);
    if at == roles.click || [roles.conversion, roles.weight, roles.time].contains(&Some(at)) {
        return Guess::Label;
    }
    let nothing = match profile.looks {
        _ if known.leave_out.contains(name) => Some("as requested"),
        _ if name.is_empty() => Some("it has no name"),
        _ if name.len() > 255 || name.chars().any(char::is_control) => {
            Some("models take names of 255 bytes at most, without line breaks and other control characters")
        }
        Looks::Empty => Some("no row of the sample has a value"),
        Looks::Strange => Some("no feature reads a struct or map: export its fields as columns"),
        Looks::Time(_) if names::outcome(name) => Some("by its name it is known only after the click"),
        Looks::Time(_) => Some("a time beside the one in [labels]"),
        _ if profile.distinct == 1 && profile.missing == 0 => Some("one value in all rows"),
        _ => None,
    };
    if let Some(why) = nothing {
        return Guess::LeftOut { why: why.to_owned(), otherwise: None };
    }
    let large =
        profile.looks == Looks::Number && names::id(name) && profile.numbers.is_some_and(|[.., most]| most > 9e15);
    if large && sample.types[at].as_deref().is_some_and(|kind| kind.starts_with("Float")) {
        let why = "ids in a column of floats, which has lost their last digits".to_owned();
        return Guess::LeftOut { why, otherwise: None };
    }
    let feature = if large {
        let remark = "ids that are no integers of 64 bits: their text is hashed".to_owned();
        Feature { kind: "category", keys: embedding(profile), remark: Some(remark) }
    } else {
        feature(name, profile, position(sample, at, profile, clicks))
    };
    match doubt(sample, at, profile, clicks) {
        Some(why) => Guess::LeftOut { why, otherwise: Some(feature) },
        None => Guess::Feature(feature),
    }
}

/// The reason why a column that could be a feature should not be one.
fn doubt(sample: &FileSample, at: usize, profile: &Profile, clicks: &[bool]) -> Option<String> {
    let name = &sample.names[at];
    if names::outcome(name) {
        return Some("by its name it is known only after the click; take it in only if requests have it".to_owned());
    }
    if names::words(name).iter().any(|w| ["impression", "impressions"].contains(&w.as_str())) {
        let why = "it seems to count impressions: if each row stands for that many, name it as `weight` in [labels]";
        return Some(why.to_owned());
    }
    if let Some(why) = leaks::suspect(sample, at, clicks) {
        return Some(format!("{why}: it is probably known only after the click"));
    }
    let (text, integer) = (profile.looks == Looks::Text, profile.looks == Looks::Integer);
    let own = profile.present >= 100 && profile.distinct * 100 > profile.present * 95;
    let amount = integer && !names::id(name) && counts(profile);
    let why = if names::is_time(name) && integer && own {
        "named like a time, in a form that is not known"
    } else if own && (text || integer) && !names::keeps_rows(name) && !amount {
        "almost every row has a value of its own: nothing could be learnt of one"
    } else if text && profile.length > 60.0 && profile.distinct * 5 > profile.present {
        "free text"
    } else {
        return None;
    };
    Some(why.to_owned())
}

fn embedding(profile: &Profile) -> String {
    let dim = if profile.distinct <= 10 { 4 } else { 8 };
    format!("embedding = {{ dim = {dim}, wide = true }}")
}

/// Whether integers begin near 0, as counts do.
fn counts(profile: &Profile) -> bool {
    profile.numbers.is_some_and(|[least, ..]| least < 100.0)
}

/// The first value of a position, if the click rate falls from position to position; an error if the column only has
/// the name of one.
fn position(sample: &FileSample, at: usize, profile: &Profile, clicks: &[bool]) -> Option<Result<f64, ()>> {
    let [least, _, _, most] = profile.numbers?;
    let small = least >= 0.0 && most <= 1000.0 && matches!(profile.looks, Looks::Integer | Looks::Binary);
    if !small || profile.distinct < 2 || !names::position(&sample.names[at]) {
        return None;
    }
    // The correlation of position and click must be lower than chance explains.
    let pairs: Vec<(f64, f64)> = sample
        .column(at)
        .zip(clicks)
        .filter_map(|(kept, &click)| match kept {
            super::Kept::Text(text) => {
                Some((crate::cells::Scalar::from(&text[..]).number()?.into(), f64::from(u8::from(click))))
            }
            _ => None,
        })
        .collect();
    let n = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let xy: f64 = pairs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let (xx, yy): (f64, f64) =
        (pairs.iter().map(|p| (p.0 - x).powi(2)).sum(), pairs.iter().map(|p| (p.1 - y).powi(2)).sum());
    Some(if xy / (xx * yy).sqrt() * n.sqrt() < -3.0 { Ok(least) } else { Err(()) })
}

fn feature(name: &str, profile: &Profile, position: Option<Result<f64, ()>>) -> Feature {
    let (kind, keys, mut remark) = match profile.looks {
        Looks::Many { integer, separator } => {
            let raw = if integer { "raw = \"integer\"\n" } else { "" };
            ("multi", format!("{raw}{}{}", separated(separator), embedding(profile)), None)
        }
        Looks::Vector { dim, separator } => ("vector", format!("{}dim = {dim}", separated(separator)), None),
        Looks::Text => ("category", embedding(profile), None),
        Looks::Binary | Looks::Integer
            if profile.looks == Looks::Binary || is_category(name, profile, position.is_some()) =>
        {
            ("category", format!("raw = \"integer\"\n{}", embedding(profile)), amount_or_name(name, profile))
        }
        _ => {
            let (keys, remark) = number(profile);
            ("number", keys, remark)
        }
    };
    let keys = match position {
        Some(Ok(first)) => {
            remark = Some(format!(
                "a position: clicks fall along it. It is trained as logged and served as {first}; take `position` out if \
                 requests know it"
            ));
            format!("{keys}\nposition = {first:?}")
        }
        Some(Err(())) => {
            remark =
                Some("named like a position, but clicks do not fall along it: taken for a kind of place".to_owned());
            keys
        }
        None => keys,
    };
    Feature { kind, keys, remark }
}

/// Whether whole numbers are identifiers rather than amounts.
fn is_category(name: &str, profile: &Profile, place: bool) -> bool {
    let many = profile.distinct * 2 > profile.present;
    place || names::id(name) || profile.distinct <= FEW || (!counts(profile) && !many)
}

fn amount_or_name(name: &str, profile: &Profile) -> Option<String> {
    let doubtful = profile.looks == Looks::Integer && !names::id(name);
    doubtful.then(|| "whole numbers, taken for categories; `kind = \"number\"` if they are amounts".to_owned())
}

fn separated(separator: Option<u8>) -> String {
    separator.map_or_else(String::new, |byte| format!("separator = {:?}\n", char::from(byte).to_string()))
}

/// The transform of a number: a logarithm for a heavy tail, and a limit where the greatest values are outliers.
fn number(profile: &Profile) -> (String, Option<String>) {
    let Some([least, median, high, most]) = profile.numbers else { return (String::new(), None) };
    let mut parts = Vec::new();
    let heavy = least > -10.0 && most > 20.0 * (median.abs() + 1.0);
    // A limit is on the scale that the model sees.
    let scale = |x: f64| if heavy { x.signum() * x.abs().ln_1p() } else { x };
    if scale(most) - scale(median) > 4.0 * (scale(high) - scale(median)) && high > median {
        parts.push(format!("clip = [{:?}, {:?}]", least.min(0.0) as f32, round_up(high)));
    }
    if heavy {
        parts.push("log1p = true".to_owned());
    }
    let mut keys = Vec::new();
    if !parts.is_empty() {
        keys.push(format!("transform = {{ {} }}", parts.join(", ")));
    }
    if profile.missing > 0 {
        keys.push(format!("default = {:?}", median as f32));
    }
    let remark = (profile.missing > 0).then(|| "the median stands in for missing values".to_owned());
    (keys.join("\n"), remark)
}

/// Rounds to two digits, so that the number is one that a person would write.
fn round_up(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let step = 10f64.powf(x.abs().log10().floor() - 1.0);
    let rounded = (x / step).ceil() * step;
    // Drops what powers of ten leave behind the last digit.
    format!("{rounded:.6e}").parse().unwrap_or(rounded)
}
