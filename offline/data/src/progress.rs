//! Progress of long work on stderr: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A bar that is redrawn.
    Bar,
    /// A line for each stage.
    Lines,
    /// Nothing.
    Silent,
}

impl Progress {
    /// A bar if stderr is a terminal, else lines.
    #[must_use]
    pub fn detect() -> Self {
        if stderr().is_terminal() { Self::Bar } else { Self::Lines }
    }

    /// Starts a stage of `length` bytes.
    #[must_use]
    pub fn bytes(self, what: &str, length: u64) -> ProgressBar {
        self.start(what, length, "{msg:28} {wide_bar} {bytes}/{total_bytes} {eta}")
    }

    /// Starts a stage of `length` rows.
    #[must_use]
    pub fn rows(self, what: &str, length: u64) -> ProgressBar {
        self.start(what, length, "{msg:28} {wide_bar} {pos}/{len} rows {per_sec} {eta}")
    }

    fn start(self, what: &str, length: u64, template: &str) -> ProgressBar {
        match self {
            Self::Bar => {
                let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = ProgressBar::new(length).with_style(style).with_message(what.to_owned());
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }
            Self::Lines => {
                eprintln!("{what}");
                ProgressBar::hidden()
            }
            Self::Silent => ProgressBar::hidden(),
        }
    }

    /// A line that stays.
    pub fn note(self, line: &str) {
        if self != Self::Silent {
            eprintln!("{line}");
        }
    }
}
