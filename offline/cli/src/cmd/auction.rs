//! `adclick auction`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adclick::auction::Policy;
use adclick::{BidKind, Exploration};
use adclick_data::files::{read_text, write_over_own};
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::auctions::{self, Runner};
use crate::stdout;

const FORMAT: &str = r#"Each line of the input is one auction, in one of two forms. Amounts are in currency units, a micro
is a millionth of one. Missing and null are the same, and mean what stands in parentheses.

  columns  {"id":7,"slots":2,"bid":[0.45,1.2],"pctr":[0.016,0.02],"pcvr":[null,0.1]}
           One value per candidate: bid, pctr (invalid), pcvr (missing), modifier (1), quality (1),
           ad_reserve (the auction's reserve), ad (none), kind (--bid-kind). A kind may also be one
           for all; reserve (the policy's) always is one for all.
  list     {"id":"x","candidates":[{"ad":9,"kind":"cpc","bid_micros":450000,"pctr":0.016}]}
           Each candidate has: bid_micros, or bid, a decimal rounded to the nearest micro;
           reserve_micros or reserve (the policy's); kind (--bid-kind), pctr (invalid), pcvr
           (missing), modifier (1), quality (1), ad (none); advertiser, campaign, creative,
           category, label (none: a number, or a text that is hashed), tier (the default one), fits
           (a list of slots), adjust (0.2 = +20%, -1 = out), withheld and throttle (shares of 1),
           value with target_return (bids by value), impressions, stopped, floor_exempt.

Either form takes id (the number of the line), slots (1; none are filled if it is 0 or less),
squash (the policy's), placement, device, floor_cpm, and exploration ("allowed" or "capped", to
replay an outcome). The whole object may stand under "input", with the id beside it.

A bid is per 1000 impressions (cpm), click (cpc) or conversion (cpa, ocpm); a reserve and a price
are per 1000 impressions (cpm, ocpm), click or conversion. A reserve of 0 is no reserve. Equal
scores: the smaller ad wins (a string counts as its hash, none as 0), then the earlier candidate.
NaN, Infinity and -Infinity may be given as strings. Fields that mean nothing here are ignored,
and each is named once.

Each line of the output is one outcome:

  {"id":7,"winners":[{"candidate":1,"slot":0,"score":24.0,"ecpm_micros":24000000,
   "price_micros":360000,"price":0.36,"price_bound":"next_score","runner_up":0},
   {"candidate":0,"slot":1,...}],"reasons":["won","won"]}

candidate and runner_up are positions from 0; score is per 1000 impressions, in currency units;
price_micros is what one billed event costs; price is the same before rounding up to whole micros,
in currency units. When a decimal of the columns has a fraction of a micro, the auction runs on
amounts with fractions and price_micros is null."#;

/// Run auctions given as JSON lines.
#[derive(clap::Args)]
#[command(after_long_help = FORMAT)]
pub struct Args {
    /// The auctions, one JSON object per line; - is standard input.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the outcomes go, one JSON object per line; - is standard output. An existing file is
    /// replaced only if this command wrote it.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// The auction policy, a TOML file [default: GSP without squash, reserves or score floor].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The event that bids without a kind pay for.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kind::Cpc)]
    bid_kind: Kind,
    /// Tell each auction as a person reads it: who stands where, at which price, and why.
    #[arg(long, conflicts_with = "replay")]
    explain: bool,
    /// Outcomes of an earlier run on the same input: run each auction with its verdict on exploration, and
    /// fail at the first that does not come out again.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Bad lines to skip before giving up.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_errors: u64,
    /// Print a summary as one JSON object on standard output; the outcomes need an --output file then.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Per 1000 impressions
    Cpm,
    /// Per click
    Cpc,
    /// Per conversion
    Cpa,
    /// Per conversion, billed per 1000 impressions
    Ocpm,
}

impl From<Kind> for BidKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Cpm => Self::Cpm,
            Kind::Cpc => Self::Cpc,
            Kind::Cpa => Self::Cpa,
            Kind::Ocpm => Self::Ocpm,
        }
    }
}

#[derive(Default)]
struct Summary {
    auctions: u64,
    winners: u64,
    skipped: u64,
}

pub(super) fn run(args: Args) -> Result<()> {
    ensure!(
        !(args.json && is_std(&args.output)),
        "--json prints a summary where the outcomes would go: give --output FILE"
    );
    let policy = match &args.policy {
        None => Policy::default(),
        Some(path) => {
            let text = read_text(path)?;
            Policy::parse(&text).with_context(|| format!("{}: bad auction policy", path.display()))?
        }
    };
    let (input, size): (Box<dyn BufRead>, _) = if is_std(&args.input) {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(&args.input).with_context(|| format!("cannot open {}", args.input.display()))?;
        let size = file.metadata().ok().map(|metadata| metadata.len());
        (Box::new(BufReader::with_capacity(1 << 20, file)), size)
    };
    let progress = Progress::new(size);

    let summary = if is_std(&args.output) {
        let mut output = BufWriter::new(stdout::lock());
        let summary = run_lines(&args, policy, input, &mut output, &progress)?;
        output.flush().context("cannot write to standard output")?;
        summary
    } else {
        let is_ours = |head: &[u8]| head.starts_with(b"{\"id\":") && head.windows(10).any(|w| w == b"\"winners\":");
        write_over_own(&args.output, "what an earlier `adclick auction` wrote", is_ours, |output| {
            run_lines(&args, policy, input, output, &progress)
        })?
    };
    progress.bar.finish_and_clear();
    if args.json {
        let Summary { auctions, winners, skipped } = summary;
        writeln!(stdout::lock(), "{}", json!({ "auctions": auctions, "winners": winners, "skipped": skipped }))?;
    } else {
        eprintln!("{} auctions, {} winners, {} bad lines skipped", summary.auctions, summary.winners, summary.skipped);
    }
    Ok(())
}

fn run_lines(
    args: &Args,
    policy: Policy,
    mut input: Box<dyn BufRead>,
    output: &mut dyn Write,
    progress: &Progress,
) -> Result<Summary> {
    let name = if is_std(&args.input) { "standard input".to_owned() } else { args.input.display().to_string() };
    let kind = args.bid_kind.into();
    let mut runner = Runner::new(policy.clone(), args.explain);
    let mut replay = args.replay.as_deref().map(Replay::open).transpose()?;
    let mut summary = Summary::default();
    let mut told: Vec<String> = Vec::new();
    let mut reported = Instant::now();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = input.read_until(b'\n', &mut bytes).with_context(|| format!("{name}:{number}: cannot read"))?;
        if read == 0 {
            break;
        }
        progress.bar.inc(read as u64);
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let auction = match std::str::from_utf8(&bytes) {
            Ok(text) => auctions::read(text, &policy, kind).map_err(|fault| fault.to_string()),
            Err(error) => Err(format!("expected UTF-8, found another byte at column {}", error.valid_up_to() + 1)),
        };
        let mut auction = match auction {
            Ok(auction) => auction,
            Err(fault) if summary.skipped < args.max_errors => {
                summary.skipped += 1;
                progress.bar.suspend(|| eprintln!("{name}:{number}: skipped: {fault}"));
                continue;
            }
            Err(fault) => bail!(
                "{name}:{number}: {fault}: correct the line, or skip more bad lines than {} with --max-errors",
                args.max_errors
            ),
        };
        for field in auction.unused.iter().filter(|field| !told.contains(field)).cloned().collect::<Vec<_>>() {
            progress.bar.suspend(|| eprintln!("{name}:{number}: note: field {field} is not used"));
            told.push(field);
        }
        let recorded = replay.as_mut().map(|replay| replay.verdict(&mut auction)).transpose()?;
        let (line, winners) = runner.run(&auction, number).with_context(|| format!("{name}:{number}"))?;
        if let Some(recorded) = recorded {
            ensure!(recorded == line, "{name}:{number}: does not replay: expected {recorded}, found {line}");
        }
        writeln!(output, "{line}").context("cannot write the outcomes")?;
        summary.auctions += 1;
        summary.winners += winners as u64;
        if progress.plain && reported.elapsed() >= Duration::from_secs(10) {
            eprintln!("{} auctions", summary.auctions);
            reported = Instant::now();
        }
    }
    Ok(summary)
}

/// The outcomes of an earlier run, line by line.
struct Replay<'a> {
    path: &'a Path,
    lines: std::io::Lines<BufReader<File>>,
}

impl<'a> Replay<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, lines: BufReader::new(file).lines() })
    }

    /// Gives the auction the verdict of its outcome, and returns that outcome.
    fn verdict(&mut self, auction: &mut auctions::Auction) -> Result<String> {
        let path = self.path.display();
        let line = self.lines.next().with_context(|| format!("{path}: fewer outcomes than auctions"))??;
        let outcome: serde_json::Value =
            serde_json::from_str(&line).with_context(|| format!("{path}: expected an outcome, found {line}"))?;
        auction.request.exploration = match outcome["exploration"].as_str() {
            Some("allowed") => Exploration::Allowed,
            Some("capped") => Exploration::Capped,
            _ => Exploration::Off,
        } as u32;
        Ok(line)
    }
}

fn is_std(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A bar on a terminal; elsewhere an occasional plain line.
struct Progress {
    bar: ProgressBar,
    plain: bool,
}

impl Progress {
    fn new(size: Option<u64>) -> Self {
        let plain = !io::stderr().is_terminal();
        let bar = match size {
            Some(size) if !plain => {
                let style = ProgressStyle::with_template("{bar:40} {percent}% of {total_bytes}, {eta} left");
                ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            }
            _ => ProgressBar::hidden(),
        };
        Self { bar, plain }
    }
}
