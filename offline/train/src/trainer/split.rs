//! Splits rows into those that train, those that decide when to stop, and those kept for a final measurement.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::str::FromStr;

use adclick::builder::hash::mix;
use adclick_data::logs::{BadLimit, Format, InputColumn, InputKind, LogFiles, LogRow};
use adclick_data::progress::Progress;
use adclick_data::setting::{refuse, require};
use anyhow::{Context, Result, ensure};

/// The fewest groups for a split by group.
const LEAST_GROUPS: usize = 20;
/// A prefix of the hash of a group.
const GROUPS: u64 = 0x0067_726f_7570;

/// How rows are split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// A tenth of the rows, chosen by the hash of the row number, validates.
    Hash,
    /// The last calendar day (UTC) validates.
    Day,
    /// A tenth of the groups validates, each with all of its rows. The values of this column are the groups, for
    /// example users or queries.
    Group(String),
    /// All rows of these files validate.
    Files(Vec<PathBuf>),
    /// An experiment: fold = crc32 of `0:<row number>` modulo 10; folds 2r and 2r+1 test, the next two (modulo 10)
    /// validate, the other six train.
    HashRotation(u32),
    /// An experiment: the last calendar day tests, the one before it validates, the rest train.
    DayTest,
}

/// The role of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitRole {
    /// The model is fitted to it.
    Train,
    /// Early stopping and calibration look at it.
    Validation,
    /// Only the final measurement looks at it.
    Test,
}

impl Split {
    /// The rule that a text names, with test rows: `hash:R` or `day`.
    ///
    /// # Errors
    /// Any other text.
    pub fn experiment(text: &str) -> Result<Self> {
        if text == "day" {
            return Ok(Self::DayTest);
        }
        match text.strip_prefix("hash:").map(u32::from_str) {
            Some(Ok(r)) if r < 5 => Ok(Self::HashRotation(r)),
            _ => refuse!([Split], "`{text}` is no split: expected hash:0 to hash:4, or day"),
        }
    }

    fn needs_days(&self) -> bool {
        matches!(self, Self::Day | Self::DayTest)
    }
}

/// The fold of a row: crc32 of `0:<row number>` modulo 10.
fn fold(row: u64) -> u32 {
    crc32fast::hash(format!("0:{row}").as_bytes()) % 10
}

/// The calendar day of a time, UTC.
fn day(time_us: i64) -> i64 {
    time_us.div_euclid(86_400_000_000)
}

/// The rows to train on.
#[derive(Debug, Clone)]
pub struct Data {
    /// The files.
    pub source: LogFiles,
    /// How rows are split into training, validation and test rows.
    pub split: Split,
}

impl Data {
    /// Resolves the split's rule for these files; a split by day or by group reads them once to learn the days or
    /// groups.
    ///
    /// # Errors
    /// Files that cannot be read, too few days, a column that the rows do not have.
    pub fn roles(&self, progress: &Progress) -> Result<SplitRoles> {
        SplitRoles::read(self, progress)
    }

    /// The same rows, with the files that validate behind those that train. Both were read before, so malformed rows
    /// have no limit.
    pub(super) fn joined(&self) -> Self {
        let Split::Files(files) = &self.split else { return self.clone() };
        let paths = self.source.paths.iter().chain(files).cloned().collect();
        let source = LogFiles { paths, limit: BadLimit::Rows(u64::MAX), ..self.source.clone() };
        Self { source, split: Split::Files(Vec::new()) }
    }
}

/// A split rule that knows the days and groups of the files.
#[derive(Debug, Clone)]
pub struct SplitRoles {
    split: Split,
    last: i64,
    before: i64,
    /// For a split by group, one bit per row number: set where the row validates.
    validating: Vec<u64>,
}

impl SplitRoles {
    /// Reads what the rule needs to know.
    pub(super) fn read(data: &Data, progress: &Progress) -> Result<Self> {
        let mut days = BTreeSet::new();
        if data.split.needs_days() {
            let stage = progress.bytes("Reading the days", data.source.bytes()?);
            data.source.bare().for_each(&stage, |batch| {
                days.extend(batch.rows().iter().filter_map(|row| row.time_us.map(day)));
                Ok(())
            })?;
            drop(stage);
            let needed = if data.split == Split::Day { 2 } else { 3 };
            ensure!(
                days.len() >= needed,
                "a split by day needs rows of at least {needed} days, found {}: use a split by hash",
                days.len()
            );
        }
        let mut from_last = days.iter().rev().copied();
        let (last, before) = (from_last.next().unwrap_or(i64::MAX), from_last.next().unwrap_or(i64::MAX));
        let validating = match &data.split {
            Split::Group(column) => groups(&data.source.bare(), column, progress)?,
            _ => Vec::new(),
        };
        Ok(Self { split: data.split.clone(), last, before, validating })
    }

    /// The role of the row with this number, by a rule that uses only the number. Under any other rule the row trains.
    #[must_use]
    pub fn of_number(&self, number: u64) -> SplitRole {
        match &self.split {
            Split::Hash if fold(number) == 0 => SplitRole::Validation,
            Split::HashRotation(r) => match (fold(number) + 10 - 2 * r) % 10 {
                0 | 1 => SplitRole::Test,
                2 | 3 => SplitRole::Validation,
                _ => SplitRole::Train,
            },
            Split::Group(_) => {
                let word = usize::try_from(number / 64).ok().and_then(|at| self.validating.get(at));
                if word.is_some_and(|bits| bits >> (number % 64) & 1 == 1) {
                    SplitRole::Validation
                } else {
                    SplitRole::Train
                }
            }
            Split::Hash | Split::Files(_) | Split::Day | Split::DayTest => SplitRole::Train,
        }
    }

    /// The role of a row.
    #[must_use]
    pub fn of(&self, row: &LogRow) -> SplitRole {
        match &self.split {
            Split::Hash | Split::Files(_) | Split::HashRotation(_) | Split::Group(_) => self.of_number(row.number),
            Split::Day => {
                if row.time_us.map(day) == Some(self.last) {
                    SplitRole::Validation
                } else {
                    SplitRole::Train
                }
            }
            Split::DayTest => match row.time_us.map(day) {
                Some(d) if d == self.last => SplitRole::Test,
                Some(d) if d == self.before => SplitRole::Validation,
                _ => SplitRole::Train,
            },
        }
    }
}

/// Finds the rows whose group validates. A row without the value is a group of its own.
fn groups(source: &LogFiles, column: &str, progress: &Progress) -> Result<Vec<u64>> {
    let mut source = source.clone();
    let mut columns = source.format.columns();
    let input = match columns.inputs.iter().position(|i| i.column == column || i.name == column) {
        Some(input) => input,
        None => {
            let Format::Examples(_) = source.format else {
                let known: Vec<&str> = columns.inputs.iter().map(|i| i.name.as_str()).collect();
                refuse!(
                    [Validation],
                    "the rows have no column `{column}` to group them by; they have {}",
                    known.join(", ")
                );
            };
            let (name, kind) = (column.to_owned(), InputKind::Text);
            columns.inputs.push(InputColumn { column: name.clone(), name, kind, optional: false });
            columns.inputs.len() - 1
        }
    };
    // The other columns are not needed.
    if let Format::Examples(_) = source.format {
        let group = columns.inputs.swap_remove(input);
        columns.inputs = vec![group];
        columns.keys.clear();
        source.format = Format::Examples(columns);
    }
    let at = if matches!(source.format, Format::Examples(_)) { 0 } else { input };
    let (mut bits, mut found, mut rows) = (Vec::new(), HashSet::new(), 0u64);
    let stage = progress.bytes("Reading the groups", source.bytes()?);
    source
        .for_each(&stage, |batch| {
            for row in batch.rows() {
                let values = batch.values(row).iter().filter(|v| v.input as usize == at);
                let group = values
                    .map(|v| v.id ^ u64::from(v.number.to_bits()))
                    .fold(None, |so_far: Option<u64>, id| Some(mix(so_far.unwrap_or(GROUPS) ^ id)));
                let group = group.unwrap_or_else(|| mix(row.number));
                rows += 1;
                if group % 10 == 0 {
                    let word = usize::try_from(row.number / 64)?;
                    bits.resize(bits.len().max(word + 1), 0);
                    bits[word] |= 1u64 << (row.number % 64);
                }
                if found.len() < LEAST_GROUPS {
                    found.insert(group);
                }
            }
            Ok(())
        })
        .with_context(|| format!("groups of column `{column}`"))?;
    drop(stage);
    require!(
        found.len() >= LEAST_GROUPS,
        [Validation],
        "column `{column}` cuts {rows} rows into {} groups, a tenth of which would validate; at least {LEAST_GROUPS} are needed: use \
         another column, or a split by hash",
        found.len()
    );
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_of_a_group_are_on_one_side() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("rows.csv");
        let mut text = "user,x,click\n".to_owned();
        for row in 0..5000 {
            text += &format!(
                "{},{row},{}\n",
                if row % 50 == 0 { String::new() } else { format!("u{}", row % 97) },
                row % 2
            );
        }
        std::fs::write(&path, text).unwrap();
        let schema = "[labels]\nclick = \"click\"\n[[features]]\nname = \"x\"\nkind = \"number\"\n";
        let columns = adclick_data::schema_file::SchemaFile::parse(schema).unwrap().data_columns().unwrap();
        let source = LogFiles::new(vec![path], Format::Examples(columns));
        let roles = |column: &str| {
            let data = Data { source: source.clone(), split: Split::Group(column.to_owned()) };
            data.roles(&Progress::silent())
        };
        let split = roles("user").unwrap();
        let of = |row: u64| split.of_number(row);
        for row in (0..5000).filter(|row| row % 50 != 0) {
            let first = (0..).map(|n| row % 97 + 97 * n).find(|row| row % 50 != 0).unwrap();
            assert_eq!(of(row), of(first), "row {row}");
        }
        let validating = (0..5000).filter(|&row| of(row) == SplitRole::Validation).count();
        assert!((200..1000).contains(&validating), "{validating} of 5000 rows validate");
        // A row without the value is a group of its own.
        let alone = (0..5000).step_by(50).filter(|&row| of(row) == SplitRole::Validation).count();
        assert!((1..40).contains(&alone), "{alone} of 100");
        assert!(roles("x").is_ok(), "an input is a column too");
        let error = format!("{:#}", roles("nobody").unwrap_err());
        assert!(error.contains("column `nobody`"), "{error}");
        let error = format!("{:#}", roles("click").unwrap_err());
        assert!(error.contains("2 groups"), "{error}");
    }
}
