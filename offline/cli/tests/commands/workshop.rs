//! A directory in which commands are run as a user runs them.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) struct Workshop {
    pub(crate) dir: tempfile::TempDir,
}

impl Workshop {
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With generated impressions: log.csv and schema.toml.
    pub(crate) fn new(rows: u64) -> Self {
        let shop = Self::empty();
        adclick_cli::synthetic::generate(&shop.path("log.csv"), rows, 5).unwrap();
        shop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A command that is still to be run.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adclick"));
        command.args(arguments.split_whitespace()).current_dir(self.dir.path()).env_remove("ADCLICK_KERNEL");
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed prints: on stdout, on stderr.
    pub(crate) fn texts(&self, arguments: &str) -> [String; 2] {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    }

    /// Runs a command that must succeed and print one JSON object.
    pub(crate) fn json(&self, arguments: &str) -> Value {
        let [out, _] = self.texts(arguments);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments}: not one JSON object: {e}"))
    }

    /// Runs a command that must fail with exit code 1, and returns its message.
    pub(crate) fn failure(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

pub(crate) fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {json}"))
}
