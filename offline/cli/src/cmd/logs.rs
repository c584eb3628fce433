//! The arguments by which every verb names its logs.

use std::path::{Path, PathBuf};

use adclick_data::logs::{BadLimit, Format, LogFiles};
use adclick_train::jobs::RowSelection;
use adclick_train::trainer::{Split, SplitRole};
use anyhow::{Result, bail};
use clap::ValueEnum;

/// The layout of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatName {
    /// Criteo's: tab-separated, 40 fields (label, I1-I13, C1-C26), no header.
    Criteo,
    /// Avazu's: CSV with a header.
    Avazu,
    /// Text with a header (CSV, TSV), Parquet or Arrow IPC, described by --schema; `adclick schema infer` writes a first one.
    Examples,
}

impl FormatName {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Criteo => "criteo",
            Self::Avazu => "avazu",
            Self::Examples => "examples",
        }
    }
}

/// Which logs to read.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Logs {
    /// Log files: plain, .gz or .zst, recognised by content; several are read one after the other.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(super) data: Vec<PathBuf>,
    /// Their layout.
    #[arg(long, value_enum)]
    format: FormatName,
    /// The schema file of --format examples (docs/schema.md).
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
    /// Skip up to this many malformed rows, then fail [default: 10, or a thousandth of the rows].
    #[arg(long, value_name = "ROWS")]
    pub(super) max_bad_rows: Option<u64>,
}

impl Logs {
    pub(super) fn of(data: &[PathBuf], format: FormatName, schema: Option<&Path>) -> Self {
        Self { data: data.to_vec(), format, schema: schema.map(Path::to_owned), max_bad_rows: None }
    }

    /// The files as a source of labelled rows.
    pub(super) fn source(&self) -> Result<LogFiles> {
        let format = match (self.format, &self.schema) {
            (FormatName::Criteo, None) => Format::Criteo,
            (FormatName::Avazu, None) => Format::Avazu,
            (FormatName::Examples, Some(schema)) => {
                Format::Examples(adclick_data::schema_file::SchemaFile::read(schema)?.data_columns()?)
            }
            (FormatName::Examples, None) => {
                bail!("--format examples needs --schema: which columns are labels and features")
            }
            (_, Some(schema)) => {
                bail!("--schema {}: criteo and avazu have built-in schemas; use --format examples", schema.display())
            }
        };
        let mut source = LogFiles::new(self.data.clone(), format);
        if let Some(rows) = self.max_bad_rows {
            source.limit = BadLimit::Rows(rows);
        }
        Ok(source)
    }
}

/// Which of the rows are looked at.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct SplitPart {
    /// Look only at one part of a split of the rows: hash:0 to hash:4, or day (of UTC; see `train --split`).
    #[arg(long, value_name = "RULE")]
    split: Option<String>,
    /// Which part of the split.
    #[arg(long, value_enum, requires = "split")]
    part: Option<PartName>,
}

/// A part of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PartName {
    /// The rows that the model was fitted to.
    Train,
    /// The rows that early stopping and calibration look at.
    Validation,
    /// The rows that only the measurement looks at.
    Test,
}

impl SplitPart {
    /// The rows of the part; `default` is the part that the subcommand uses by default.
    pub(super) fn of(&self, source: LogFiles, default: PartName) -> Result<RowSelection> {
        let Some(split) = &self.split else { return Ok(RowSelection { source, part: None, times: None }) };
        let role = match self.part.unwrap_or(default) {
            PartName::Train => SplitRole::Train,
            PartName::Validation => SplitRole::Validation,
            PartName::Test => SplitRole::Test,
        };
        Ok(RowSelection { source, part: Some((Split::experiment(split)?, role)), times: None })
    }
}
