//! `adclick pack`.

mod report;
mod tables;

use std::path::PathBuf;

use adclick::Precision;
use adclick_train::jobs::Target;
use adclick_train::jobs::pack::{Job, pack, tables_only};
use adclick_train::pack::compare::TOLERANCE;
use adclick_train::pack::expect::Quantity;
use anyhow::Result;

use crate::progress::on_stderr;
pub(super) use tables::BuildArgs;

/// Turn weights, a schema and tables into a bundle, or renew the tables of one.
///
/// Weights are a safetensors state dict (F64, F32, F16, BF16). Tensors are recognised by name; docs/pack.md lists the
/// names, and the schema's [tensors] table maps others. BatchNorm is folded in f64. Without a schema the model is taken
/// to be over ready input columns.
///
/// Tables are built as the schema's [[tables]] say (docs/tables.md). Memory while one is built: twice --memory, a 256th
/// of its rows, half a byte for each row, and one record batch of the file that is read (of Parquet 4096 rows, of Arrow
/// IPC what its writer made). More rows wait in temporary files beside --out.
///
/// With --goldens INPUTS --expect OUTPUTS the packed model must say what the model that it came from says: this is the way to
/// bring one in, since activations and much else leave no trace in a state dict. Without --expect the summary says "not
/// compared", and what was assumed.
///
/// With --from everything that is not given is carried over from that bundle: a table can be renewed alone. The bundle is
/// opened as an engine opens it before it gets its name.
#[derive(clap::Args)]
pub struct Args {
    /// The state dict, as safetensors.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["from", "tables_only"])]
    weights: Option<PathBuf>,
    /// An earlier bundle, or the directory whose CURRENT names one: what is not given is carried over from it.
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["weights", "tables_only"])]
    from: Option<PathBuf>,
    /// The schema file (TOML).
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The bundle directory to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    tables: tables::TableArgs,
    /// Write only the table files, into the directory --out.
    #[arg(long, requires = "schema", conflicts_with_all = ["weights", "calibrators", "policy", "publish"])]
    tables_only: bool,
    /// Calibrators, as `adclick calibrate` writes them.
    #[arg(long, value_name = "FILE")]
    calibrators: Option<PathBuf>,
    /// The auction policy (TOML).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Inputs as for `adclick score`: the first 16 rows become the bundle's golden requests instead of made-up ones.
    #[arg(long, value_name = "FILE", requires = "weights")]
    goldens: Option<PathBuf>,
    /// What the model that the weights are from says of the rows of --goldens: a safetensors file with `logit` or `pctr` (and
    /// `logit_cvr`, `pcvr` or `pctcvr`) as `adclick score` writes them, or one float tensor of another name. All rows are
    /// compared, up to 100,000; where they differ the model is refused, with where.
    #[arg(long, value_name = "FILE", requires_all = ["weights", "goldens"])]
    expect: Option<PathBuf>,
    /// What the tensor of --expect holds, when its name does not tell: logits or probabilities.
    #[arg(long, value_name = "WHAT", requires = "expect", value_parser = quantity)]
    expect_as: Option<Quantity>,
    /// How far a logit may be from that of --expect, as a share of its size, or of 1 when it is smaller; before weights are
    /// rounded to fp16 a twentieth of it.
    #[arg(long, value_name = "SHARE", requires = "expect", default_value_t = TOLERANCE, value_parser = tolerance)]
    tolerance: f64,
    /// Rows to find the ranges from that int8 needs: inputs as for `adclick score`, up to 20,000 real ones. Without it
    /// those of --goldens are taken.
    #[arg(long, value_name = "FILE", requires = "weights")]
    rows: Option<PathBuf>,
    /// The precision that the bundle is to be served in [default: exact, or that of --from]: exact, bf16, int8 or
    /// auction-exact.
    #[arg(long, value_name = "NAME", conflicts_with = "tables_only", value_parser = super::precision)]
    precision: Option<Precision>,
    /// The share of negatives that training kept, when it was not all: logits are corrected by ln of it.
    #[arg(long, value_name = "RATE", requires = "weights", value_parser = super::kept_share)]
    downsampling: Option<f64>,
    /// A TOML document that says where the model comes from; kept in the bundle.
    #[arg(long, value_name = "FILE", requires = "weights")]
    provenance: Option<PathBuf>,
    /// Leave out tensors that belong to nothing instead of refusing them. Parts of a network that the format cannot express
    /// (experts, gates, attention, …) may be left out only where --expect proves that they change nothing.
    #[arg(long, requires = "weights")]
    allow_unused: bool,
    /// Replace the bundle that is there, or with --tables-only the table files. Nothing else is ever replaced.
    #[arg(long)]
    replace: bool,
    /// Make the bundle the live one: write CURRENT beside it.
    #[arg(long)]
    publish: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let (json, only_tables) = (args.json, args.tables_only);
    let job = Job {
        tables: args.tables.tables(),
        weights: args.weights,
        from: args.from,
        schema: args.schema,
        calibrators: args.calibrators,
        policy: args.policy,
        goldens: args.goldens,
        expect: args.expect,
        expect_as: args.expect_as,
        tolerance: args.tolerance,
        rows: args.rows,
        precision: args.precision,
        downsampling: args.downsampling,
        provenance: args.provenance,
        allow_unused: args.allow_unused,
        target: Target { path: args.out, replace: args.replace, publish: args.publish },
    };
    if only_tables {
        let tables = tables_only(&job, &on_stderr())?;
        return report::tables(&job.target.path, &tables, json);
    }
    let done = pack(&job, &on_stderr())?;
    report::bundle(&job.target, &done, json)
}

/// The value of `--expect-as`.
fn quantity(text: &str) -> std::result::Result<Quantity, String> {
    match text {
        "logits" => Ok(Quantity::Logit),
        "probabilities" => Ok(Quantity::Probability),
        _ => Err("expected logits or probabilities".into()),
    }
}

/// The value of `--tolerance`.
fn tolerance(text: &str) -> std::result::Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "expected a number above 0 and below 1".to_owned())
}
