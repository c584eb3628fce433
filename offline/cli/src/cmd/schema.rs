//! `adclick schema`.

use std::io::Write;
use std::path::PathBuf;

use adclick_data::schema_infer::{KnownColumns, train_command};
use adclick_train::jobs::schema::{Job, schema};
use anyhow::Result;

use crate::progress::on_stderr;

/// Write a schema file for data.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Infer(Infer),
}

/// Write a first, commented schema file from a data file.
///
/// The file is CSV or other text with a header (delimited by commas, tabs, semicolons or bars), Parquet or Arrow IPC; text
/// may be compressed with gzip or zstd. From the column names and up to 20,000 rows, evenly spread (fewer of very wide
/// files), the command guesses which column is the click label, the conversion, the weight and the time with its unit; which
/// columns are numbers (with a logarithm or a limit where values are extreme), categories, lists or vectors; and by which ids
/// tables could be looked up. A comment beside each feature gives the evidence. Columns with one value, or with a new value
/// in almost every row, are left out, and so are those that seem to be known only after the click: by their names, or because
/// they alone separate clicked rows from the others. A comment gives the reason.
///
/// `adclick train --format examples --schema` accepts the schema as it stands, but it is a guess: read it before you rely on
/// it. Check `source` above all, which no file can show.
#[derive(clap::Args)]
struct Infer {
    /// The data file.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The schema file to write; without it, it is printed.
    #[arg(long, value_name = "TOML")]
    out: Option<PathBuf>,
    /// Replace the file at --out if there is one.
    #[arg(long, requires = "out")]
    replace: bool,
    /// The column of the click label, 0 or 1.
    #[arg(long, value_name = "COLUMN")]
    click: Option<String>,
    /// The column of the conversion label, 0 or 1.
    #[arg(long, value_name = "COLUMN")]
    conversion: Option<String>,
    /// The column with the weight of each row.
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,
    /// The column with the time of the impression.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// A column that is not a feature; may be given several times.
    #[arg(long, value_name = "COLUMN")]
    leave_out: Vec<String>,
}

pub(super) fn run(args: Args) -> Result<()> {
    let What::Infer(args) = args.what;
    let known = KnownColumns {
        click: args.click,
        conversion: args.conversion,
        weight: args.weight,
        time: args.time,
        leave_out: args.leave_out,
    };
    let job = Job { data: args.data, known, out: args.out, replace: args.replace };
    let found = schema(&job, &on_stderr())?;
    match &job.out {
        None => crate::stdout::lock().write_all(found.text.as_bytes())?,
        Some(out) => {
            let mut say = crate::stdout::lock();
            writeln!(
                say,
                "looked at {} of {} rows; click is \"{}\"; features: {}; columns left out: {}",
                found.sampled,
                found.rows,
                found.click,
                found.features,
                found.left_out.len()
            )?;
            for (column, why) in &found.left_out {
                writeln!(say, "  \"{column}\": {why}")?;
            }
            writeln!(say, "wrote {}; look at it, then\n  {}", out.display(), train_command(&job.data, Some(out)))?;
        }
    }
    if found.malformed > 0 {
        eprintln!("warning: {} of {} rows are malformed by this schema, the first:", found.malformed, found.rows);
        found.first.iter().for_each(|message| eprintln!("  {message}"));
    }
    Ok(())
}
