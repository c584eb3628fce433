//! Reliability plots as one HTML page that needs nothing else.

use std::fmt::Write as _;

use adclick_measure::ReliabilityBin;

/// The plot's width and height, and the room for its axes.
const SIZE: f64 = 270.0;
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 10.0;
const RIGHT: f64 = 12.0;
/// The least probability that an axis shows.
const LEAST: f64 = 1e-5;

/// One plot: predicted against observed shares, on logarithmic axes.
pub struct Panel<'a> {
    /// What is plotted.
    pub title: String,
    /// One line below the title.
    pub note: String,
    /// As served before.
    pub before: &'a [ReliabilityBin],
    /// By the new calibrators.
    pub after: &'a [ReliabilityBin],
}

/// A table: its head, and its rows.
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of the columns.
    pub head: Vec<String>,
    /// The cells, the first of each row on the left.
    pub rows: Vec<Vec<String>>,
}

/// The whole page.
#[must_use]
pub fn page(title: &str, lead: &[String], panels: &[Panel], tables: &[Table]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{0}</h1>\n",
        escaped(title)
    );
    for line in lead {
        _ = writeln!(out, "<p>{}</p>", escaped(line));
    }
    out += "<p class=\"key\"><span class=\"before\">●</span> as served before &nbsp; <span class=\"after\">●</span> by the new \
            calibrators, on rows that their fit had not seen. Bars are 95 % intervals of the observed share; on the \
            diagonal, what was predicted happened.</p>\n<div class=\"plots\">\n";
    for panel in panels {
        panel.draw(&mut out);
    }
    out += "</div>\n";
    for table in tables {
        _ = writeln!(out, "<h2>{}</h2>\n<table>\n<tr>", escaped(&table.title));
        table.head.iter().for_each(|name| _ = writeln!(out, "<th>{}</th>", escaped(name)));
        out += "</tr>\n";
        for row in &table.rows {
            out += "<tr>";
            row.iter().for_each(|cell| _ = write!(out, "<td>{}</td>", escaped(cell)));
            out += "</tr>\n";
        }
        out += "</table>\n";
    }
    out + "</body>\n</html>\n"
}

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2433; --page: #ffffff; --faint: #d9dee7; --dim: #5b6577; --before: #9a6b00; --after: #1f5fd6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --page: #14171d; --faint: #333a46; --dim: #9aa4b5; --before: #e0a83a; --after: #7aa7ff } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1080px; margin: 24px auto; padding: 0 16px }
h1 { font-size: 22px; margin: 0 0 8px } h2 { font-size: 17px; margin: 28px 0 8px }
p { margin: 4px 0 } .key { color: var(--dim) } .before { color: var(--before) } .after { color: var(--after) }
.plots { display: flex; flex-wrap: wrap; gap: 20px; margin-top: 16px }
figure { margin: 0 } figcaption { font-weight: 600 } figcaption span { display: block; font-weight: 400; color: var(--dim); font-size: 13px }
svg text { fill: var(--dim); font: 11px system-ui, sans-serif }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { text-align: right; padding: 3px 10px; border-bottom: 1px solid var(--faint) } th:first-child, td:first-child { text-align: left }
th { color: var(--dim); font-weight: 500 }
";

impl Panel<'_> {
    fn draw(&self, out: &mut String) {
        let (width, height) = (LEFT + SIZE + RIGHT, TOP + SIZE + BOTTOM);
        _ = writeln!(
            out,
            "<figure><figcaption>{}<span>{}</span></figcaption>\n<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{}\">",
            escaped(&self.title),
            escaped(&self.note),
            escaped(&format!("Reliability of {}: {}", self.title, self.note))
        );
        let axis = Axis::of([self.before, self.after].concat().as_slice());
        for tick in axis.ticks() {
            let (x, y) = (axis.x(tick), axis.y(tick));
            let (end, base) = (LEFT + SIZE, TOP + SIZE);
            _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"var(--faint)\"/>\
                 <line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{base}\" stroke=\"var(--faint)\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                percent(tick),
                base + 16.0,
                percent(tick)
            );
        }
        let (low, high) = (axis.low, axis.high);
        _ = writeln!(
            out,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--dim)\" stroke-dasharray=\"4 4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">predicted</text>\
             <text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">observed</text>",
            axis.x(low),
            axis.y(low),
            axis.x(high),
            axis.y(high),
            LEFT + 0.5 * SIZE,
            TOP + SIZE + 34.0,
            TOP + 0.5 * SIZE
        );
        for (name, points) in [("before", self.before), ("after", self.after)] {
            for point in points {
                axis.draw(point, name, out);
            }
        }
        *out += "</svg></figure>\n";
    }
}

/// Both axes: logarithmic, over the same range.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn of(points: &[ReliabilityBin]) -> Self {
        let shares =
            points.iter().flat_map(|p| [p.predicted, p.observed, p.interval.high]).filter(|share| *share > LEAST);
        let (low, high) = shares.fold((f64::INFINITY, LEAST), |(low, high), share| (low.min(share), high.max(share)));
        let low = if low.is_finite() { low } else { LEAST };
        Self { low: (0.7 * low).max(LEAST), high: (1.3 * high).clamp(10.0 * LEAST, 1.0) }
    }

    fn place(&self, share: f64) -> f64 {
        let share = share.clamp(self.low, self.high);
        (share / self.low).ln() / (self.high / self.low).ln()
    }

    fn x(&self, share: f64) -> f64 {
        LEFT + SIZE * self.place(share)
    }

    fn y(&self, share: f64) -> f64 {
        TOP + SIZE * (1.0 - self.place(share))
    }

    /// 1, 2 and 5 times powers of ten, or only the powers where that would be many.
    fn ticks(&self) -> Vec<f64> {
        let wide = self.high / self.low > 200.0;
        let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = (-5..=0).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        powers.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }

    fn draw(&self, point: &ReliabilityBin, name: &str, out: &mut String) {
        let (x, y) = (self.x(point.predicted), self.y(point.observed));
        _ = writeln!(
            out,
            "<g><title>{}: predicted {}, observed {} ({} to {}) of {} rows</title>\
             <line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--{name})\" stroke-width=\"1.5\" opacity=\".6\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"var(--{name})\"/></g>",
            if name == "before" { "before" } else { "new" },
            percent(point.predicted),
            percent(point.observed),
            percent(point.interval.low),
            percent(point.interval.high),
            point.rows,
            self.y(point.interval.low),
            self.y(point.interval.high)
        );
    }
}

/// A share in per cent, in as few digits as say it.
fn percent(share: f64) -> String {
    let value = 100.0 * share;
    let digits = if value >= 9.95 {
        0
    } else if value >= 0.995 {
        1
    } else if value >= 0.0995 {
        2
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use adclick_measure::{Labelled, reliability_bins};

    use super::*;

    #[test]
    fn a_page_is_whole_and_escapes_names() {
        let p: Vec<f64> = (0..500).map(|i| f64::from(i) / 2500.0 + 0.001).collect();
        let y: Vec<bool> = (0..500).map(|i| i % 9 == 0).collect();
        let bins = reliability_bins(&Labelled::new(&p, &y, None).unwrap(), 5);
        let panel = Panel { title: "a <b> & c".to_owned(), note: String::new(), before: &bins, after: &bins[..2] };
        let table = Table { title: "t".to_owned(), head: vec!["x".to_owned()], rows: vec![vec!["<1".to_owned()]] };
        let html = page("t", &["lead".to_owned()], &[panel], &[table]);
        assert_eq!(html.matches("<circle").count(), 7);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(html.contains("a &lt;b&gt; &amp; c") && html.contains("&lt;1") && !html.contains("NaN"), "{html}");
        // Nothing is fetched.
        assert!(!html.contains("http") && !html.contains("src="), "{html}");
    }

    #[test]
    fn shares_are_written_short() {
        for (share, text) in [(0.5, "50 %"), (0.02, "2 %"), (0.0123, "1.2 %"), (0.00123, "0.12 %"), (0.0001, "0.01 %")]
        {
            assert_eq!(percent(share), text);
        }
    }
}
