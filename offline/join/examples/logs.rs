//! Writes the log of a simulated market: `cargo run -p adclick-join --example logs -- DIR [REQUESTS] [HOURS]`.
//!
//! Decisions and events are cut into segments of a hundred thousand requests. The market opens where the clocks of Berlin and
//! of Los Angeles change within the attribution windows.

use std::path::PathBuf;

use adclick_join::simulate::{Market, SegmentWriter};
use anyhow::{Context, Result};

const SEGMENT: u64 = 100_000;
/// 2026-10-24T00:00:00Z.
const BEGIN_US: i64 = 1_792_800_000_000_000;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let directory = PathBuf::from(args.next().context("expected: DIR [REQUESTS] [HOURS]")?);
    let requests = args.next().map_or(Ok(20_000), |n| n.parse())?;
    let hours: i64 = args.next().map_or(Ok(48), |n| n.parse())?;
    let market = Market {
        seed: 7,
        begin_us: BEGIN_US,
        length_us: hours * 3_600_000_000,
        requests,
        users: 1 + requests / 20,
        bots: 0.05,
    };
    std::fs::create_dir_all(&directory)?;
    let begin = |n: u64| -> Result<_> {
        let path = |stream: &str| directory.join(format!("{stream}-{n:05}.avro"));
        Ok((SegmentWriter::create(&path("decisions"))?, SegmentWriter::create(&path("events"))?))
    };
    let (mut decisions, mut events) = begin(0)?;
    let (mut n, mut records) = (0, 0);
    market.run(|decision, happened, _| {
        if n > 0 && n % SEGMENT == 0 {
            let (a, b) = begin(n / SEGMENT)?;
            std::mem::replace(&mut decisions, a).finish()?;
            std::mem::replace(&mut events, b).finish()?;
        }
        n += 1;
        records += 1 + happened.len();
        decisions.push(decision)?;
        happened.iter().try_for_each(|event| events.push(*event))
    })?;
    decisions.finish()?;
    events.finish()?;
    eprintln!("{n} requests, {records} records in {}", directory.display());
    Ok(())
}
