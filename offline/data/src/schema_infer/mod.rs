//! Writes a first schema file for a data file: a guess at each column, with the evidence beside it.
//!
//! The guesses come from names and from a bounded sample of the rows; someone who knows the data corrects them. The
//! file is valid as written.

mod features;
mod leaks;
mod names;
mod profile;
mod sample;
mod write;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::setting::{BadSetting, Setting, refuse, require};

use crate::logs::{BadLimit, Format, LogFiles};
use crate::progress::Progress;
use crate::schema_file::SchemaFile;
use features::Guess;
use profile::{Looks, Profile};
use sample::{FileSample, Kept};

/// Known facts about the file.
#[derive(Debug, Clone, Default)]
pub struct KnownColumns {
    /// The column of the click label.
    pub click: Option<String>,
    /// The column of the conversion label.
    pub conversion: Option<String>,
    /// The column of the weight.
    pub weight: Option<String>,
    /// The column of the time.
    pub time: Option<String>,
    /// Columns that are not features.
    pub leave_out: Vec<String>,
}

/// A schema file, and the data it is based on.
#[derive(Debug, Clone)]
pub struct Inferred {
    /// The text of the schema file.
    pub text: String,
    /// Rows of the file.
    pub rows: u64,
    /// Rows that were examined.
    pub sampled: usize,
    /// The column of the click label.
    pub click: String,
    /// The number of features.
    pub features: usize,
    /// Columns that are left out, with reasons.
    pub left_out: Vec<(String, String)>,
    /// Rows that are malformed under this schema, with the error of the first.
    pub malformed: u64,
    /// The error of the first of them.
    pub first: Vec<String>,
}

/// The columns with a role, by index.
struct ColumnRoles {
    click: usize,
    /// The reason for the choice.
    why: String,
    conversion: Option<usize>,
    weight: Option<usize>,
    time: Option<usize>,
}

/// Infers a schema from a CSV or other text with a header, a Parquet or an Arrow file.
///
/// # Errors
/// Files that cannot be read, columns that do not exist or are given two roles, and no column that could be the click
/// label.
pub fn infer(path: &Path, known: &KnownColumns, progress: &Progress) -> Result<Inferred> {
    let named: Vec<(&'static [Setting], &str, &String)> = [
        (&[Setting::Click][..], "the click label", &known.click),
        (&[Setting::Conversion], "the conversion label", &known.conversion),
        (&[Setting::Weight], "the weight", &known.weight),
        (&[Setting::Time], "the time", &known.time),
    ]
    .into_iter()
    .filter_map(|(setting, what, column)| Some((setting, what, column.as_ref()?)))
    .chain(known.leave_out.iter().map(|column| (&[Setting::LeaveOut][..], "no feature", column)))
    .collect();
    for (i, (setting, what, column)) in named.iter().enumerate() {
        if let Some((_, other, _)) = named[..i].iter().find(|(.., c)| c == column) {
            let text = match *setting {
                [Setting::LeaveOut] if what == other => {
                    format!("column \"{column}\" is left out twice: once is enough")
                }
                _ => format!("column \"{column}\" is said to be {other} and {what}: say one of the two"),
            };
            return Err(BadSetting::new(setting, text).into());
        }
    }
    let wanted: Vec<&str> = named.iter().map(|(.., column)| column.as_str()).collect();
    let stage = progress.bytes("Looking at columns", std::fs::metadata(path).map_or(0, |m| m.len()));
    let sample = FileSample::read(path, &wanted, &stage)?;
    drop(stage);
    for (setting, _, column) in named {
        if !sample.names.contains(column) {
            let names: Vec<&str> = sample.names.iter().take(60).map(String::as_str).collect();
            let text = format!("{} has no column \"{column}\"; it has {}", path.display(), names.join(", "));
            return Err(BadSetting::new(setting, text).into());
        }
    }
    let profiles: Vec<Profile> = (0..sample.names.len()).map(|at| Profile::of(&sample, at)).collect();
    let roles = roles(&sample, &profiles, known).with_context(|| path.display().to_string())?;
    let clicks = clicks(&sample, roles.click);
    let guesses: Vec<Guess> =
        (0..sample.names.len()).map(|at| features::guess(&sample, &profiles, &roles, known, at, &clicks)).collect();
    ensure!(
        guesses.iter().any(|guess| matches!(guess, Guess::Feature(_))),
        "{}: no column is left that could be a feature",
        path.display()
    );
    let text = write::text(path, &sample, &profiles, &roles, &guesses, &clicks);
    let schema = SchemaFile::parse(&text).context("the schema that was inferred")?;
    let mut source = LogFiles::new(vec![path.to_owned()], Format::Examples(schema.data_columns()?));
    source.limit = BadLimit::Rows(u64::MAX);
    let stage = progress.bytes("Reading rows by it", source.bytes()?);
    let read = source.for_each(&stage, |_| Ok(()))?;
    drop(stage);
    let left_out = sample.names.iter().zip(&guesses).filter_map(|(name, guess)| match guess {
        Guess::LeftOut { why, .. } => Some((name.clone(), why.clone())),
        Guess::Label | Guess::Feature(_) => None,
    });
    Ok(Inferred {
        rows: sample.rows,
        sampled: sample.len(),
        click: sample.names[roles.click].clone(),
        features: schema.schema.features.len(),
        left_out: left_out.collect(),
        malformed: read.bad.count,
        first: read.bad.first,
        text,
    })
}

/// Finds the columns of the labels, the weight and the time.
fn roles(sample: &FileSample, profiles: &[Profile], known: &KnownColumns) -> Result<ColumnRoles> {
    let names = &sample.names;
    let place = |column: &Option<String>| column.as_ref().and_then(|c| names.iter().position(|n| n == c));
    let free = |at: usize| {
        let name = &names[at];
        let stated = [&known.click, &known.conversion, &known.weight, &known.time];
        !known.leave_out.contains(name) && !stated.iter().any(|s| s.as_ref() == Some(name))
    };
    let binary = |at: usize| profiles[at].looks == Looks::Binary;
    let whole = |at: usize| profiles[at].missing == 0;
    let (click, why) = match place(&known.click) {
        Some(at) => {
            require!(binary(at), [Click], "column \"{}\" holds more than 0 and 1 ({})", names[at], profiles[at].seen());
            (at, "as requested".to_owned())
        }
        None => {
            let both = |at: usize| profiles[at].numbers.is_some_and(|[least, .., most]| least < most);
            let fits = |at: &usize| free(*at) && binary(*at) && both(*at) && whole(*at);
            let candidates: Vec<usize> = (0..names.len()).filter(fits).collect();
            let best = candidates.iter().map(|&at| names::click(&names[at])).max().unwrap_or(0);
            let first: Vec<usize> = candidates.iter().copied().filter(|&at| names::click(&names[at]) == best).collect();
            match (&first[..], best) {
                ([at], 1..) => (*at, "by its name, and it holds 0 and 1".to_owned()),
                ([at], 0) => (*at, "a guess: the only column of 0 and 1".to_owned()),
                ([], _) => bail!(
                    "no column of 0 and 1 without gaps could be the click label: a row must say whether its impression was \
                     clicked (of counts of impressions and clicks make two rows, clicked and not, weighted by the counts)"
                ),
                (several, _) => {
                    let several: Vec<&str> = several.iter().map(|&at| names[at].as_str()).collect();
                    refuse!(
                        [Click],
                        "several columns could be the click label ({}): say which it is",
                        several.join(", ")
                    )
                }
            }
        }
    };
    if known.click.is_some() {
        require!(whole(click), [Click], "column \"{}\" has gaps ({})", names[click], profiles[click].seen());
    }
    let one = |stated: &Option<String>, holds: &dyn Fn(usize) -> bool| {
        place(stated).or_else(|| (0..names.len()).find(|&at| at != click && free(at) && holds(at)))
    };
    let conversion = one(&known.conversion, &|at| binary(at) && names::conversion(&names[at]));
    if let Some(at) = conversion {
        require!(
            binary(at),
            [Conversion],
            "column \"{}\" holds more than 0 and 1 ({})",
            names[at],
            profiles[at].seen()
        );
    }
    let weighs = |at: usize| whole(at) && profiles[at].numbers.is_some_and(|[least, ..]| least >= 0.0);
    let weight = one(&known.weight, &|at| weighs(at) && names::weight(&names[at]) && Some(at) != conversion);
    if let Some(at) = weight {
        require!(
            weighs(at),
            [Weight],
            "column \"{}\" holds other than numbers from 0 ({})",
            names[at],
            profiles[at].seen()
        );
    }
    let timed = |at: usize| matches!(profiles[at].looks, Looks::Time(_)) && whole(at);
    let time = one(&known.time, &|at| timed(at) && !names::conversion(&names[at]));
    if let Some(at) = time {
        require!(
            timed(at),
            [Time],
            "column \"{}\" holds other than times in a form that is known, or has gaps ({})",
            names[at],
            profiles[at].seen()
        );
    }
    Ok(ColumnRoles { click, why, conversion, weight, time })
}

/// The click labels of the sample.
fn clicks(sample: &FileSample, click: usize) -> Vec<bool> {
    let clicked =
        |kept: &Kept| matches!(kept, Kept::Text(text) if crate::cells::Scalar::from(&text[..]).number() == Some(1.0));
    sample.column(click).map(clicked).collect()
}

/// The command that trains with a schema.
#[must_use]
pub fn train_command(data: &Path, schema: Option<&PathBuf>) -> String {
    let schema = schema.map_or_else(|| "SCHEMA".to_owned(), |s| s.display().to_string());
    format!("adclick train --data {} --format examples --schema {schema} --out BUNDLE", data.display())
}
