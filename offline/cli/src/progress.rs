//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adclick_data::progress::{Progress, Unit, Watch};
use indicatif::{ProgressBar, ProgressStyle};

/// Reports to stderr: a bar if it is a terminal, else a line for each stage.
#[must_use]
pub fn on_stderr() -> Progress {
    if stderr().is_terminal() { Progress::to(Arc::new(Bar::default())) } else { Progress::to(Arc::new(Lines)) }
}

/// A bar that is redrawn.
#[derive(Default)]
struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    fn current(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Bar {
    fn begin(&self, stage: &str, length: u64, unit: Unit) {
        let template = match unit {
            Unit::Bytes => "{msg:28} {wide_bar} {bytes}/{total_bytes} {eta}",
            Unit::Rows => "{msg:28} {wide_bar} {pos}/{len} rows {per_sec} {eta}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(length).with_style(style).with_message(stage.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.current() = Some(bar);
    }

    fn tick(&self, position: u64) {
        if let Some(bar) = &*self.current() {
            bar.set_position(position);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.current().take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, line: &str) {
        match &*self.current() {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

/// A line for each stage.
struct Lines;

impl Watch for Lines {
    fn begin(&self, stage: &str, _: u64, _: Unit) {
        eprintln!("{stage}");
    }

    fn tick(&self, _: u64) {}

    fn end(&self) {}

    fn note(&self, line: &str) {
        eprintln!("{line}");
    }
}
