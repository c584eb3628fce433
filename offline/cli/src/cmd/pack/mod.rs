//! `adclick pack`.

mod report;
mod tables;

use std::path::PathBuf;

use adclick::Precision;
use adclick_train::jobs::BundleTarget;
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
/// Tables are built as the schema's [[tables]] say (docs/tables.md). Building one takes twice --memory, a 256th of its rows,
/// half a byte for each row, and one record batch of the file that is read (4096 rows of Parquet; in Arrow IPC, what its writer
/// made). Further rows wait in temporary files beside --out.
///
/// With --goldens INPUTS --expect OUTPUTS the packed model must give the outputs of the model that the weights are from. Bring
/// models in this way: activations and much else leave no trace in a state dict. Logits beside the inputs of --goldens are
/// compared, too. Without outputs the summary says "not compared" and lists what was assumed: above all ReLU where the numbers
/// of a Sequential show that something without parameters stands between two layers, and the schema does not say what. A network
/// of GELUs looks the same and would be packed wrong; --no-assumptions refuses it, and `activation` in the schema settles it.
///
/// With --from everything that is not given is carried over from that bundle, so that a table can be renewed alone. A bundle
/// gets its name only after it has been opened as an engine opens it.
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
    /// Logits of all heads in that file are compared with the packed model.
    #[arg(long, value_name = "FILE", requires = "weights")]
    goldens: Option<PathBuf>,
    /// The outputs of the model that the weights are from, for the rows of --goldens: a safetensors file with `logit` or `pctr`
    /// (and `logit_cvr`, `pcvr` or `pctcvr`) as `adclick score` writes them, or one float tensor of another name. All rows are
    /// compared, up to 100,000. If they differ, the model is refused and the difference located.
    #[arg(long, value_name = "FILE", requires_all = ["weights", "goldens"])]
    expect: Option<PathBuf>,
    /// What the tensor of --expect holds when its name does not tell: logits or probabilities.
    #[arg(long, value_name = "WHAT", requires = "expect", value_parser = quantity)]
    expect_as: Option<Quantity>,
    /// Refuse what nothing says (activations, BatchNorm's eps, the order of the output layer) instead of assuming what is usual.
    /// The schema says it, under [model].
    #[arg(long, requires = "weights", conflicts_with = "expect")]
    no_assumptions: bool,
    /// How far a logit may be from that of --expect, as a share of its size, or of 1 when it is smaller. Before weights are
    /// rounded to fp16, a twentieth of that is allowed.
    #[arg(long, value_name = "SHARE", requires = "expect", default_value_t = TOLERANCE, value_parser = tolerance)]
    tolerance: f64,
    /// Rows from which to find the ranges that int8 needs: inputs as for `adclick score`, up to 20,000 real ones. Without it
    /// the rows of --goldens are used.
    #[arg(long, value_name = "FILE", requires = "weights")]
    rows: Option<PathBuf>,
    /// The precision that the bundle is to be served in [default: exact, or that of --from]: exact, bf16, int8 or
    /// auction-exact.
    #[arg(long, value_name = "NAME", conflicts_with = "tables_only", value_parser = super::precision)]
    precision: Option<Precision>,
    /// The share of negatives that training kept, if it dropped some: logits are corrected by its logarithm.
    #[arg(long, value_name = "RATE", requires = "weights", value_parser = super::kept_share)]
    downsampling: Option<f64>,
    /// A TOML document that says where the model comes from; kept in the bundle.
    #[arg(long, value_name = "FILE", requires = "weights")]
    provenance: Option<PathBuf>,
    /// Leave out tensors that belong to nothing instead of refusing them. Parts of a network that the format cannot express
    /// (experts, gates, attention, …) may be left out only where --expect proves that they change nothing.
    #[arg(long, requires = "weights")]
    allow_unused: bool,
    /// Replace an existing bundle, or with --tables-only existing table files. Nothing else is ever replaced.
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
        no_assumptions: args.no_assumptions,
        target: BundleTarget { path: args.out, replace: args.replace, publish: args.publish },
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
