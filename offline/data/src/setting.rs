//! The settings of jobs that errors are about.
//!
//! A library does not know what its front end calls a setting: an option of a command, a parameter of a function. So an error
//! says in words what is wrong, and names its settings beside the text as [`Setting`]s; the front end adds their names.

use std::fmt;

/// A setting of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of a job that has its name")]
pub enum Setting {
    AllowUnused,
    AsOf,
    Checkpoint,
    Click,
    Conversion,
    Dim,
    Downsampling,
    Duplicates,
    EmbeddingLearningRate,
    Expect,
    Field,
    Format,
    Goldens,
    HashBuckets,
    Key,
    LearningRate,
    LeaveOut,
    MaxBadRows,
    MinCount,
    Out,
    Position,
    Precision,
    Replace,
    Resume,
    Schema,
    Shard,
    Split,
    Table,
    TablesOnly,
    Time,
    Tolerance,
    Validation,
    Weight,
}

/// An error about settings. [`refuse!`] and [`require!`] return it.
#[derive(Debug)]
pub struct BadSetting {
    message: String,
    settings: &'static [Setting],
}

impl BadSetting {
    /// What is wrong, in a sentence, and the settings that can mend it.
    #[must_use]
    pub fn new(settings: &'static [Setting], message: String) -> Self {
        Self { message, settings }
    }

    /// The settings that the error is about.
    #[must_use]
    pub fn settings(&self) -> &'static [Setting] {
        self.settings
    }
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadSetting {}

/// Returns an error about settings: `refuse!([Shard], "there is no shard {index}")`.
#[macro_export]
macro_rules! refuse {
    ([$($setting:ident),+], $($text:tt)+) => {
        return Err($crate::setting::BadSetting::new(&[$($crate::setting::Setting::$setting),+], format!($($text)+)).into())
    };
}

/// Returns an error about settings unless a condition holds.
#[macro_export]
macro_rules! require {
    ($holds:expr, [$($setting:ident),+], $($text:tt)+) => {
        if !$holds {
            $crate::setting::refuse!([$($setting),+], $($text)+);
        }
    };
}

pub use {refuse, require};
