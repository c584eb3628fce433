//! The text of the schema file, with the evidence beside each guess.

use std::fmt::Write as _;
use std::path::Path;

use super::features::{Feature, Guess};
use super::profile::{Looks, Profile};
use super::sample::FileSample;
use super::{ColumnRoles, names, train_command};

/// A TOML string on one line, for any contents.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text that is safe in a comment.
fn remark(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn text(
    path: &Path,
    sample: &FileSample,
    profiles: &[Profile],
    roles: &ColumnRoles,
    guesses: &[Guess],
    clicks: &[bool],
) -> String {
    let mut out = String::new();
    head(&mut out, path, sample);
    labels(&mut out, sample, profiles, roles, clicks);
    keys(&mut out, sample, profiles, guesses);
    for (at, guess) in guesses.iter().enumerate() {
        let name = &sample.names[at];
        match guess {
            Guess::Label => {}
            Guess::LeftOut { why, otherwise } => {
                let seen = remark(&profiles[at].seen());
                let _ = writeln!(out, "\n# left out: {} ({seen}): {}", remark(&quoted(name)), remark(why));
                for line in otherwise.iter().flat_map(|feature| block(name, feature)) {
                    let _ = writeln!(out, "# {line}");
                }
            }
            Guess::Feature(feature) => {
                let _ = writeln!(out, "\n# {}", remark(&seen(sample, at, &profiles[at])));
                if let Some(doubt) = &feature.remark {
                    let _ = writeln!(out, "# {}", remark(doubt));
                }
                for line in block(name, feature) {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }
    times(&mut out, sample, profiles, roles, guesses);
    out
}

/// The lines of a feature.
fn block(name: &str, feature: &Feature) -> Vec<String> {
    let mut lines = vec![
        "[[features]]".to_owned(),
        format!("name = {}", quoted(name)),
        format!("source = \"{}\"", names::source(name)),
        format!("kind = \"{}\"", feature.kind),
    ];
    lines.extend(feature.keys.lines().map(str::to_owned));
    lines
}

fn seen(sample: &FileSample, at: usize, profile: &Profile) -> String {
    match &sample.types[at] {
        Some(kind) => format!("{kind}, {}", profile.seen()),
        None => profile.seen(),
    }
}

fn head(out: &mut String, path: &Path, sample: &FileSample) {
    let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let what = match sample.delimiter {
        None => "record batches".to_owned(),
        Some(b',') => "CSV".to_owned(),
        Some(delimiter) => format!("text parted by {:?}", char::from(delimiter)),
    };
    let _ = writeln!(
        out,
        "# A first schema of {} ({what}, {} columns), by `adclick schema infer`.\n\
         # It is a guess from names and from {} of the {} rows, evenly spread: what was seen stands beside each feature.\n\
         # Look at every line; docs/schema.md says what else there is. Then:\n\
         #   {}\n\
         #\n\
         # `source` cannot be seen in a file. It says who knows the value: context, user, time are one value for each\n\
         # request; ad, cross and candidate are one for each ad that competes in it.",
        remark(&file),
        sample.names.len(),
        sample.len(),
        sample.rows,
        remark(&train_command(path, None))
    );
    if sample.ragged > 0 {
        let _ = writeln!(
            out,
            "# {} rows have another number of fields than the header: they are malformed.",
            sample.ragged
        );
    }
}

fn labels(out: &mut String, sample: &FileSample, profiles: &[Profile], roles: &ColumnRoles, clicks: &[bool]) {
    let clicked = clicks.iter().filter(|click| **click).count();
    let rate = 100.0 * clicked as f64 / clicks.len().max(1) as f64;
    let _ = writeln!(out, "\n[labels]\n# {}; {rate:.3}% of the rows are 1", roles.why);
    let _ = writeln!(out, "click = {}", quoted(&sample.names[roles.click]));
    let mut line = |key: &str, at: Option<usize>| {
        if let Some(at) = at {
            let _ =
                writeln!(out, "# {}\n{key} = {}", remark(&seen(sample, at, &profiles[at])), quoted(&sample.names[at]));
        }
    };
    line("conversion", roles.conversion);
    line("weight", roles.weight);
    line("time", roles.time);
    let Some(at) = roles.time else { return };
    if let Looks::Time(Some(unit)) = profiles[at].looks {
        let _ = writeln!(out, "time_unit = \"{unit}\"");
    }
    if profiles[at].offsets {
        let _ = writeln!(
            out,
            "# The times carry offsets. If these are the users' own, hour and weekday follow them with this line; requests\n\
             # then pass the user's utc_offset_s.\n# utc_offset = {}",
            quoted(&sample.names[at])
        );
    } else {
        let _ = writeln!(
            out,
            "# Times are UTC, and requests pass utc_offset_s = 0. Say `zone`, `zone_column`, `utc_offset` or `local_time` if\n\
             # hour and weekday are to be those of the user's clock (docs/schema.md)."
        );
    }
}

/// The ids that feature tables could be looked up by.
fn keys(out: &mut String, sample: &FileSample, profiles: &[Profile], guesses: &[Guess]) {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for (at, name) in sample.names.iter().enumerate() {
        let ids = matches!(profiles[at].looks, Looks::Integer | Looks::Binary | Looks::Text);
        let Some(key) = names::key(name).filter(|_| ids && guesses[at] != Guess::Label) else { continue };
        // Placements are numbers in requests.
        let fits =
            key != "placement" || profiles[at].numbers.is_some_and(|[least, .., most]| least >= 0.0 && most < 4e9);
        if fits && found.iter().all(|(k, _)| *k != key) {
            found.push((key, at));
        }
    }
    if found.is_empty() {
        return;
    }
    let order = ["user", "ad", "advertiser", "placement"];
    found.sort_by_key(|(key, _)| order.iter().position(|o| o == key));
    let _ = writeln!(
        out,
        "\n# For feature tables (docs/tables.md): which columns hold a request's ids. Nothing reads it without them.\n[keys]"
    );
    for (key, at) in found {
        let column = quoted(&sample.names[at]);
        let integer = profiles[at].looks != Looks::Text;
        let _ = match (key, integer) {
            ("placement", _) | (_, false) => writeln!(out, "{key} = {column}"),
            (_, true) => writeln!(out, "{key} = {{ column = {column}, raw = \"integer\" }}"),
        };
    }
}

/// Features of the time, as far as it varies.
fn times(out: &mut String, sample: &FileSample, profiles: &[Profile], roles: &ColumnRoles, guesses: &[Guess]) {
    let Some(at) = roles.time else { return };
    let free = |name: &str| {
        let taken = |(n, guess): (&String, &Guess)| n == name && matches!(guess, Guess::Feature(_));
        let taken = sample.names.iter().zip(guesses).any(taken);
        if taken { format!("{name} of {}", sample.names[at]) } else { name.to_owned() }
    };
    let Profile { hours, days, .. } = profiles[at];
    if hours > 1 {
        let _ = writeln!(
            out,
            "\n# {hours} different hours of the day\n[[features]]\nname = {}\nsource = \"time\"\ninput = \"hour\"\n\
             kind = \"category\"\nembedding = {{ dim = 4, count = 24, wide = true }}",
            quoted(&free("hour"))
        );
    }
    if days >= 7 {
        let _ = writeln!(
            out,
            "\n# {days} days\n[[features]]\nname = {}\nsource = \"time\"\ninput = \"weekday\"\n\
             kind = \"category\"\nembedding = {{ dim = 2, count = 7, wide = true }}",
            quoted(&free("weekday"))
        );
    }
}
