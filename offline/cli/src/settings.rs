//! The options by which users set what an error of the library is about.

use adclick_data::setting::{BadSetting, Setting};

/// An error as the command prints it: the whole chain on one line, and the options that it is about.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match error.downcast_ref::<BadSetting>() {
        Some(bad) => format!("{text} ({})", bad.settings().iter().map(|s| option(*s)).collect::<Vec<_>>().join(", ")),
        None => text,
    }
}

fn option(setting: Setting) -> &'static str {
    match setting {
        Setting::AllowUnused => "--allow-unused",
        Setting::AsOf => "--as-of",
        Setting::Checkpoint => "--checkpoint",
        Setting::Click => "--click",
        Setting::Conversion => "--conversion",
        Setting::Dim => "--dim",
        Setting::Downsampling => "--downsampling",
        Setting::Duplicates => "--duplicates last",
        Setting::EmbeddingLearningRate => "--lr-embedding",
        Setting::Expect => "--expect OUTPUTS",
        Setting::Field => "--field",
        Setting::Format => "--format",
        Setting::Goldens => "--goldens INPUTS",
        Setting::HashBuckets => "--hash-buckets",
        Setting::Key => "--key",
        Setting::LearningRate => "--lr",
        Setting::LeaveOut => "--leave-out",
        Setting::MaxBadRows => "--max-bad-rows",
        Setting::MinCount => "--min-count",
        Setting::Out => "--out",
        Setting::Position => "--position",
        Setting::Precision => "--precision",
        Setting::Replace => "--replace",
        Setting::Resume => "--resume",
        Setting::Schema => "--schema FILE",
        Setting::Shard => "--shard",
        Setting::Split => "--split",
        Setting::Table => "--table NAME=FILE",
        Setting::TablesOnly => "--tables-only",
        Setting::Time => "--time",
        Setting::Tolerance => "--tolerance",
        Setting::Validation => "--validation",
        Setting::Weight => "--weight",
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_names_its_options_behind_all_that_was_said_of_it() {
        let bad = BadSetting::new(&[Setting::Goldens, Setting::Expect], "nothing says what follows".to_owned());
        let error = Err::<(), _>(bad).context("weights w.safetensors").unwrap_err();
        let text = "weights w.safetensors: nothing says what follows (--goldens INPUTS, --expect OUTPUTS)";
        assert_eq!(told(&error), text);
        assert_eq!(told(&anyhow::anyhow!("plain").context("outer")), "outer: plain");
    }
}
