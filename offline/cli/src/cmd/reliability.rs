//! What a calibration did, for a person: as text and as a page of plots.

use std::io::Write as _;
use std::path::Path;

use adclick_data::files::write_whole;
use adclick_measure::{Interval, Reliability};
use adclick_train::calibrators::{Measured, SegmentLevel};
use adclick_train::jobs::calibrate::Done;
use anyhow::{Context, Result};

use crate::plot::{Panel, Table, page};

/// The output, for a script or a person.
pub(super) fn show(done: &Done, out_path: Option<&Path>, page: Option<&Path>, json: bool) -> Result<()> {
    let mut out = crate::stdout::lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(done)?)?;
        return Ok(());
    }
    writeln!(out, "fitted on {} rows, {}", done.rows, done.precision)?;
    if let Some(positions) = &done.positions {
        writeln!(out, "scored: {positions}")?;
    }
    if done.elsewhere > 0 {
        writeln!(out, "{} rows were logged elsewhere and are left out", done.elsewhere)?;
    }
    if let Some(rate) = done.keep_rate.filter(|&rate| rate < 1.0) {
        writeln!(out, "corrected for a keep rate of {rate}")?;
    }
    if let Some(rows) = done.range_rows {
        writeln!(out, "ranges for int8 from {rows} of them")?;
    }
    for found in &done.tables {
        writeln!(out, "{found}")?;
    }
    let none = Vec::new();
    let levels = |of: fn(&adclick_train::jobs::calibrate::SegmentsFound) -> &Vec<SegmentLevel>| {
        done.segments.as_ref().map_or(&none, of).as_slice()
    };
    let measured = &done.measured;
    for (name, choice, levels, measured) in [
        ("pCTR", &done.ctr, levels(|s| &s.ctr), &measured.ctr),
        ("pCVR", &done.cvr, levels(|s| &s.cvr), &measured.cvr),
        ("product", &done.product, levels(|s| &s.product), &measured.product),
    ] {
        if let Some(choice) = choice {
            write!(out, "{name} {}", choice.table())?;
        }
        for level in levels {
            writeln!(out, "{}", told(level))?;
        }
        if let Some(measured) = measured {
            writeln!(out, "{name} before:  {}", line(&measured.before))?;
            writeln!(out, "{name} now:     {} (on rows that the fit had not seen)", line(&measured.after))?;
            write!(out, "{}", deciles(measured))?;
        }
    }
    if let Some(kept) = &done.cvr_kept {
        writeln!(out, "pCVR as before: {kept}")?;
    }
    if let Some(page) = page {
        writeln!(out, "wrote {}", page.display())?;
    }
    match (out_path, &done.generation) {
        (Some(to), Some(generation)) => writeln!(out, "wrote {} (generation {generation})", to.display())?,
        _ => writeln!(out, "no bundle was written: give --out or --publish")?,
    }
    Ok(())
}

fn told(level: &SegmentLevel) -> String {
    let SegmentLevel { key, segments, shift, slope, evidence, gain, gain_interval: [low, high], curves, used } = level;
    let verdict = if *used { "calibrated" } else { "not used" };
    let curves = if *curves > 0 { format!(", {curves} with a curve of their own") } else { String::new() };
    format!(
        "  by {key}: {segments} segments, {verdict}{curves}; shifts differ by {shift:.2}, slopes by {slope:.2} (evidence {evidence:.1}); log loss of unseen \
         rows lower by {gain:.6} ({low:.6} to {high:.6})"
    )
}

fn line(of: &Reliability) -> String {
    format!(
        "Σp/Σy {:.4} {}, log loss {:.6} {}, ECE {:.5} {}, smooth {:.5} {}",
        of.ratio,
        within(of.ratio_interval, 3),
        of.logloss,
        within(of.logloss_interval, 6),
        of.ece,
        within(of.ece_interval, 5),
        of.smooth_ece,
        within(of.smooth_ece_interval, 5)
    )
}

fn within(Interval { low, high }: Interval, digits: usize) -> String {
    format!("({low:.digits$} to {high:.digits$})")
}

/// The ratio of predicted to observed shares, by tenths of the rows in the order of their probabilities.
fn deciles(measured: &Measured) -> String {
    let ratios = |of: &Reliability| -> String {
        of.bins.iter().map(|bin| format!(" {:>7.3}", bin.predicted / bin.observed)).collect()
    };
    format!(
        "  p/y by tenths, before:{}\n  p/y by tenths, now:   {}\n",
        ratios(&measured.before),
        ratios(&measured.after)
    )
}

/// Writes the page of plots.
pub(super) fn write_page(path: &Path, bundle: &Path, done: &Done) -> Result<()> {
    let heads = [("pCTR", &done.measured.ctr), ("pCVR", &done.measured.cvr), ("pCTR · pCVR", &done.measured.product)];
    let (mut panels, mut rows, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for (name, measured) in heads {
        let Some(measured) = measured else { continue };
        let ratio = |of: &Reliability| format!("{:.3} {}", of.ratio, within(of.ratio_interval, 3));
        panels.push(Panel {
            title: format!("{name}, all rows"),
            note: format!("Σp/Σy {} → {}", ratio(&measured.before), ratio(&measured.after)),
            before: &measured.before.bins,
            after: &measured.after.bins,
        });
        for (when, of) in [("before", &measured.before), ("now", &measured.after)] {
            rows.push(vec![
                format!("{name}, {when}"),
                of.rows.to_string(),
                of.clicks.to_string(),
                ratio(of),
                format!("{:.5} {}", of.logloss, within(of.logloss_interval, 5)),
                format!("{:.5} {}", of.ece, within(of.ece_interval, 5)),
                format!("{:.5} {}", of.smooth_ece, within(of.smooth_ece_interval, 5)),
            ]);
        }
        for segment in &measured.segments {
            let ratio = |ratio: f64, interval| format!("{ratio:.3} {}", within(interval, 3));
            let (before, after) =
                (ratio(segment.before, segment.before_interval), ratio(segment.after, segment.after_interval));
            panels.push(Panel {
                title: format!("{name}, {}", segment.name),
                note: format!("{} clicks, Σp/Σy {before} → {after}", segment.clicks),
                before: &segment.bins[0],
                after: &segment.bins[1],
            });
            let name = format!("{name}, {}", segment.name);
            parts.push(vec![name, segment.rows.to_string(), segment.clicks.to_string(), before, after]);
        }
    }
    let head = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut tables = vec![Table {
        title: "All rows".to_owned(),
        head: head(&["", "rows", "clicks", "Σp/Σy", "log loss", "ECE", "smooth ECE"]),
        rows,
    }];
    if !parts.is_empty() {
        tables.push(Table {
            title: "Segments with the most clicks".to_owned(),
            head: head(&["", "rows", "clicks", "Σp/Σy before", "Σp/Σy now"]),
            rows: parts,
        });
    }
    let name = bundle.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lead = [format!("Bundle {name}, {} impressions. Intervals are those of 95 %.", done.rows)];
    let html = page(&format!("Reliability of {name}"), &lead, &panels, &tables);
    write_whole(path, |out| Ok(out.write_all(html.as_bytes())?))
        .with_context(|| format!("cannot write {}", path.display()))
}
