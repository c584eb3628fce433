//! Metrics in Prometheus' text exposition format 0.0.4.

use std::fmt::{self, Display, Write};

use super::block::{Counter, KEY_RESULTS, TABLES, Times};
use super::buckets::{BOUNDS, BUCKETS};
use super::events::EventCounts;
use super::snapshot::{Metrics, TableState};
use super::{Call, STATUSES, Stage, place};
use crate::auction::Reason;
use crate::decision_log::{EventKind, LogNumbers, Stream, StreamCounts};
use crate::error::Status;
use crate::named::Named;
use crate::overlay::{SwitchKind, TableInfo};
use crate::schema::Side;
use crate::types::Precision;

const CALLS: [Call; 4] = [Call::Score, Call::ScoreDense, Call::Decide, Call::Auction];
const SIDES: [(Side, &str); 2] = [(Side::Request, "request"), (Side::Candidate, "candidate")];
/// The possible results of a call on a scorer.
const REFUSED: [Status; 8] = [
    Status::InvalidArgument,
    Status::BadStructSize,
    Status::CapacityExceeded,
    Status::InvalidValue,
    Status::Closed,
    Status::Busy,
    Status::BufferTooSmall,
    Status::Internal,
];
/// The possible results of staging a bundle or looking for one.
const UNSTAGED: [Status; 8] = [
    Status::InvalidArgument,
    Status::CapacityExceeded,
    Status::Closed,
    Status::Io,
    Status::Corrupt,
    Status::Unsupported,
    Status::GoldenMismatch,
    Status::Internal,
];
/// The label of the place that counts tables without counters of their own.
const OTHER_TABLES: &str = "(other)";

pub(super) fn write(metrics: &Metrics, to: &mut impl Write) -> fmt::Result {
    let mut text = Text(to);
    requests(metrics, &mut text)?;
    candidates(metrics, &mut text)?;
    tables(metrics, &mut text)?;
    generations(metrics, &mut text)?;
    log(metrics, &mut text)?;
    memory(metrics, &mut text)
}

fn requests(metrics: &Metrics, text: &mut Text<'_, impl Write>) -> fmt::Result {
    let sums = &metrics.sums;
    let name = "adclick_requests_total";
    text.family(name, "counter", "Calls on scorers by what they ended with.")?;
    for call in CALLS {
        for status in statuses(&REFUSED) {
            let labels: Labels = &[("call", Call::NAMES[call as usize]), ("status", STATUSES[status])];
            text.sample(name, labels, sums.get(Counter::requests(call, status)))?;
        }
    }
    let name = "adclick_request_duration_seconds";
    text.family(name, "histogram", "Time of the calls that went well.")?;
    for call in CALLS {
        histogram(metrics, text, name, ("call", Call::NAMES[call as usize]), Times::call(call))?;
    }
    let name = "adclick_stage_duration_seconds";
    text.family(name, "histogram", "Time of each stage, of one call in eight of those that went well.")?;
    for stage in Stage::ALL {
        histogram(metrics, text, name, ("stage", Stage::NAMES[stage as usize]), Times::stage(stage))?;
    }
    Ok(())
}

fn histogram(
    metrics: &Metrics,
    text: &mut Text<'_, impl Write>,
    name: &str,
    label: (&str, &str),
    times: Times,
) -> fmt::Result {
    let mut count = 0;
    for bucket in 0..BUCKETS {
        count += metrics.sums.get(times.bucket(bucket));
        let end = BOUNDS.get(bucket).map_or("+Inf", |bound| bound.1);
        text.sample_of(name, "_bucket", &[label, ("le", end)], count)?;
    }
    text.sample_of(name, "_sum", &[label], Decimal::<9>(metrics.sums.get(times.sum()).into()))?;
    text.sample_of(name, "_count", &[label], count)
}

fn candidates(metrics: &Metrics, text: &mut Text<'_, impl Write>) -> fmt::Result {
    let sums = &metrics.sums;
    let name = "adclick_candidates_scored_total";
    text.family(name, "counter", "Candidates whose probabilities were computed, by the arithmetic that did it.")?;
    for precision in Precision::ALL {
        text.sample(name, &[("precision", precision.name())], sums.get(Counter::scored(precision as usize)))?;
    }
    let name = "adclick_candidates_cut_total";
    text.single(name, "counter", "Candidates that a deadline cut off.", sums.get(Counter::CUT))?;
    let name = "adclick_candidates_kept_total";
    text.single(name, "counter", "Candidates whose first sums came from the ad cache.", sums.get(Counter::KEPT))?;
    let name = "adclick_auction_candidates_total";
    text.family(name, "counter", "Candidates of auctions by why they won or lost.")?;
    for reason in Reason::ALL {
        text.sample(name, &[("reason", reason.name())], sums.get(Counter::reason(reason as usize)))?;
    }
    let name = "adclick_switched_off";
    text.family(name, "gauge", "Ads, campaigns and advertisers that are switched off.")?;
    for ((_, kind), n) in SwitchKind::ALL.into_iter().zip(metrics.live.switched_off) {
        text.sample(name, &[("kind", kind)], n)?;
    }
    let name = "adclick_values_missing_total";
    text.family(name, "counter", "Feature values that were missing or unknown and took their default.")?;
    for (side, label) in SIDES {
        text.sample(name, &[("side", label)], sums.get(Counter::missing(side)))?;
    }
    let name = "adclick_values_ignored_total";
    text.family(name, "counter", "Values passed that the model has no use for.")?;
    for (side, label) in SIDES {
        text.sample(name, &[("side", label)], sums.get(Counter::ignored(side)))?;
    }
    let name = "adclick_values_wrong_side_total";
    text.family(name, "counter", "Values that the model reads from the other side, by the side that they came with.")?;
    for (side, label) in SIDES {
        text.sample(name, &[("side", label)], sums.get(Counter::wrong_side(side)))?;
    }
    let name = "adclick_input_wrong_side_values";
    text.family(name, "gauge", "The same by input, since the live generation was opened, and where it is read.")?;
    for (feature, count) in metrics.wrong_sides.iter() {
        let feature = &metrics.generation.model().schema().features[feature];
        let side = SIDES[feature.side() as usize].1;
        text.sample(name, &[("input", feature.input.as_str()), ("read_with", side)], count)?;
    }
    Ok(())
}

/// A metric with one value for each table of the live generation: name, type, help, and the value if there is one.
type OfTable = (&'static str, &'static str, &'static str, fn(&TableInfo, i64) -> Option<Decimal<6>>);

const OF_TABLES: [OfTable; 9] = [
    ("adclick_table_rows", "gauge", "Rows of the table's files.", |t, _| Some(Decimal::whole(t.rows))),
    ("adclick_table_shards", "gauge", "Files of the table.", |t, _| Some(Decimal::whole(t.shards.into()))),
    ("adclick_table_built_timestamp_seconds", "gauge", "When the oldest of the table's files was built.", |t, _| {
        Some(Decimal(t.built_us.into()))
    }),
    ("adclick_table_age_seconds", "gauge", "Time since the oldest of the table's files was built.", |t, now_us| {
        Some(Decimal(i128::from(now_us) - i128::from(t.built_us)))
    }),
    ("adclick_table_fresh_for_seconds", "gauge", "Age from which the table is stale, where one is set.", |t, _| {
        (t.fresh_for_s > 0).then(|| Decimal::whole(t.fresh_for_s))
    }),
    ("adclick_table_overlay_rows", "gauge", "Rows written on top of the table.", |t, _| {
        Some(Decimal::whole(t.overlay_rows))
    }),
    ("adclick_table_overlay_capacity_rows", "gauge", "Rows that can be written on top of the table.", |t, _| {
        Some(Decimal::whole(t.overlay_capacity))
    }),
    ("adclick_table_overlay_bytes", "gauge", "Memory reserved for rows on top of the table.", |t, _| {
        Some(Decimal::whole(t.overlay_bytes))
    }),
    (
        "adclick_table_overlay_evictions_total",
        "counter",
        "Rows on top of the table that made room for others.",
        |t, _| Some(Decimal::whole(t.overlay_evictions)),
    ),
];

fn tables(metrics: &Metrics, text: &mut Text<'_, impl Write>) -> fmt::Result {
    let name = "adclick_table_keys_total";
    text.family(name, "counter", "Keys looked up: with a row, without one, and 0 (an id that is not known).")?;
    let known = |table: usize| metrics.tables.get(table).and_then(Option::as_ref);
    for table in 0..TABLES {
        let counts: [u64; 3] = std::array::from_fn(|result| metrics.sums.get(Counter::keys(table, result)));
        let live = known(table).is_some_and(|t| t.info.is_some());
        if live || counts != [0; 3] {
            let label = known(table).map_or(OTHER_TABLES, |t| &t.name);
            for (result, n) in KEY_RESULTS.into_iter().zip(counts) {
                text.sample(name, &[("table", label), ("result", result)], n)?;
            }
        }
    }
    let live = || {
        let all = metrics.tables.iter().flatten();
        all.filter_map(|TableState { name, info }| Some((&**name, info.as_ref()?)))
    };
    for (name, kind, help, get) in OF_TABLES {
        text.family(name, kind, help)?;
        for (table, info) in live() {
            if let Some(number) = get(info, metrics.live.now_us) {
                text.sample(name, &[("table", table)], number)?;
            }
        }
    }
    let name = "adclick_upserted_rows_total";
    text.family(name, "counter", "Rows written on top of tables, too old to be, and gone for others to have room.")?;
    for (result, n) in EventCounts::UPSERTED.into_iter().zip(metrics.events.upserted) {
        text.sample(name, &[("result", result)], n)?;
    }
    Ok(())
}

fn generations(metrics: &Metrics, text: &mut Text<'_, impl Write>) -> fmt::Result {
    let (live, events) = (metrics.live, &metrics.events);
    let name = "adclick_build_info";
    text.family(name, "gauge", "1; the library and the kernel that it chose.")?;
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION")), ("kernel", live.kernel)], 1)?;
    let name = "adclick_generation_info";
    text.family(name, "gauge", "1; the id of the live generation.")?;
    text.sample(name, &[("generation", Hex(live.generation))], 1)?;
    let name = "adclick_generation_activated_timestamp_seconds";
    text.single(name, "gauge", "When the live generation became live here.", Decimal::<6>(live.activated_us.into()))?;
    let name = "adclick_generation_age_seconds";
    let age = i128::from(live.now_us) - i128::from(live.activated_us);
    text.single(name, "gauge", "Time since the live generation became live here.", Decimal::<6>(age))?;
    let name = "adclick_rollback_available";
    text.single(name, "gauge", "Whether there is a generation to roll back to.", u8::from(live.has_previous))?;
    let name = "adclick_stagings_total";
    text.family(name, "counter", "Bundles staged after the first, by what that ended with.")?;
    for status in statuses(&UNSTAGED) {
        text.sample(name, &[("status", STATUSES[status])], events.stagings[status])?;
    }
    let name = "adclick_activations_total";
    text.single(name, "counter", "Staged generations that became live.", events.activations)?;
    let name = "adclick_rollbacks_total";
    text.single(name, "counter", "Returns to the generation before.", events.rollbacks)?;
    let name = "adclick_follow_looks_total";
    text.family(name, "counter", "Looks at CURRENT by what they ended with.")?;
    for status in statuses(&UNSTAGED) {
        text.sample(name, &[("status", STATUSES[status])], events.looks[status])?;
    }
    let name = "adclick_follow_failing";
    text.single(name, "gauge", "Whether the last look at CURRENT failed.", u8::from(live.follow_failing))
}

fn memory(metrics: &Metrics, text: &mut Text<'_, impl Write>) -> fmt::Result {
    text.single("adclick_scorers", "gauge", "Scorers that there are.", metrics.scorers)?;
    text.single("adclick_scorer_bytes", "gauge", "Memory of all scorers.", metrics.scorer_bytes)?;
    let name = "adclick_file_bytes";
    let help = "Model and table files that are open, of the live generation and the one before, shared ones once.";
    text.single(name, "gauge", help, metrics.live.file_bytes)?;
    let help = "Memory of the ad caches of the live generation and the one before, a shared one once.";
    text.single("adclick_ad_cache_bytes", "gauge", help, metrics.live.ad_cache_bytes)
}

fn log(metrics: &Metrics, text: &mut Text<'_, impl Write>) -> fmt::Result {
    let LogNumbers { log, events } = &metrics.log;
    let name = "adclick_events_total";
    text.family(name, "counter", "Events by kind and by what was wrong with them at once.")?;
    for (kind, verdicts) in EventKind::NAMES.into_iter().zip(events) {
        for (verdict, n) in LogNumbers::VERDICTS.into_iter().zip(verdicts) {
            text.sample(name, &[("kind", kind), ("verdict", verdict)], n)?;
        }
    }
    let name = "adclick_log_open";
    text.single(name, "gauge", "Whether there is a log of decisions and events.", u8::from(log.is_some()))?;
    let Some(log) = log else { return Ok(()) };
    let name = "adclick_log_records_total";
    text.family(name, "counter", "Records by stream: safe on disk, or lost because a ring was full.")?;
    for stream in Stream::ALL {
        let at = stream as usize;
        for (result, n) in [("written", log.streams[at].written), ("lost", log.lost[at])] {
            text.sample(name, &[("stream", stream.name()), ("result", result)], n)?;
        }
    }
    let name = "adclick_log_slates_too_large_total";
    text.single(
        name,
        "counter",
        "Slates, among the lost, that had more values than there is room for.",
        log.too_large,
    )?;
    type Get = fn(&StreamCounts) -> u64;
    let of_streams: [(&str, &str, Get); 3] = [
        ("adclick_log_bytes_total", "Bytes of records that are safe on disk.", |counts| counts.bytes),
        ("adclick_log_segments_total", "Segments closed.", |counts| counts.segments),
        ("adclick_log_failures_total", "Writes, syncs and renames that failed.", |counts| counts.failures),
    ];
    for (name, help, get) in of_streams {
        text.family(name, "counter", help)?;
        for stream in Stream::ALL {
            text.sample(name, &[("stream", stream.name())], get(&log.streams[stream as usize]))?;
        }
    }
    let name = "adclick_log_waiting_records";
    text.single(name, "gauge", "Records that wait in rings.", log.waiting)?;
    let lag = Decimal::<6>(i128::try_from(log.lag.as_micros()).unwrap_or(i128::MAX));
    text.single("adclick_log_lag_seconds", "gauge", "How long the oldest record has waited to be safe.", lag)?;
    let name = "adclick_log_failing";
    text.single(name, "gauge", "Whether the last write or sync failed.", u8::from(log.failing))?;
    let name = "adclick_log_recovered_segments_total";
    text.single(name, "counter", "Segments that had been left open and were closed.", log.recovered)?;
    let name = "adclick_log_cut_bytes_total";
    text.single(name, "counter", "Bytes after the last whole block of those segments.", log.cut)
}

fn statuses(failures: &[Status]) -> impl Iterator<Item = usize> {
    std::iter::once(super::OK).chain(failures.iter().map(|status| place(*status)))
}

type Labels<'a, V = &'a str> = &'a [(&'a str, V)];

/// Lines of the format.
struct Text<'a, W>(&'a mut W);

impl<W: Write> Text<'_, W> {
    /// The lines before the samples of a metric. The help texts need no escapes.
    fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) -> fmt::Result {
        self.family(name, kind, help)?;
        writeln!(self.0, "{name} {value}")
    }

    fn sample<V: Display>(&mut self, name: &str, labels: Labels<'_, V>, value: impl Display) -> fmt::Result {
        self.sample_of(name, "", labels, value)
    }

    fn sample_of<V: Display>(
        &mut self,
        name: &str,
        suffix: &str,
        labels: Labels<'_, V>,
        value: impl Display,
    ) -> fmt::Result {
        write!(self.0, "{name}{suffix}")?;
        for (at, (label, text)) in labels.iter().enumerate() {
            write!(self.0, "{}{label}=\"", if at == 0 { '{' } else { ',' })?;
            write!(Escaped(&mut *self.0), "{text}")?;
            self.0.write_char('"')?;
        }
        writeln!(self.0, "}} {value}")
    }
}

/// Writes a label's value.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(['\\', '"', '\n']) {
            let mark = part.chars().next_back().unwrap_or_default();
            let Some(escape) = [('\\', "\\\\"), ('"', "\\\""), ('\n', "\\n")].into_iter().find(|e| e.0 == mark) else {
                self.0.write_str(part)?;
                continue;
            };
            self.0.write_str(&part[..part.len() - 1])?;
            self.0.write_str(escape.1)?;
        }
        Ok(())
    }
}

/// A generation's id as in bundles and logs.
struct Hex(u64);

impl Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A whole number of the `DIGITS`-th decimal place, exact.
struct Decimal<const DIGITS: u32>(i128);

impl<const DIGITS: u32> Decimal<DIGITS> {
    fn whole(n: u64) -> Self {
        Self(i128::from(n) * 10_i128.pow(DIGITS))
    }
}

impl<const DIGITS: u32> Display for Decimal<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u128.pow(DIGITS);
        let (whole, part) = (self.0.unsigned_abs() / unit, self.0.unsigned_abs() % unit);
        f.write_str(if self.0 < 0 { "-" } else { "" })?;
        match part {
            0 => write!(f, "{whole}"),
            _ => write!(f, "{whole}.{part:0digits$}", digits = DIGITS as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = String::new();
        Text(&mut text).sample("m", &[("a", "x\"y\\z\nü"), ("b", "")], 1).unwrap();
        assert_eq!(text, "m{a=\"x\\\"y\\\\z\\nü\",b=\"\"} 1\n");
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(Decimal::<9>(1_000_000_005).to_string(), "1.000000005");
        assert_eq!(Decimal::<6>(-1).to_string(), "-0.000001");
        assert_eq!(Decimal::<6>(i64::MAX.into()).to_string(), "9223372036854.775807");
        assert_eq!(Decimal::<6>::whole(u64::MAX).to_string(), u64::MAX.to_string());
    }
}
