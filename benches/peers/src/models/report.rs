//! Figures as they come, and markdown tables of them all.

use std::fmt::Write;

use crate::contender::{Absent, Contender, Task};
use crate::peak::Unit;
use crate::turns::{Figures, Outcome};

struct Entry {
    case: String,
    count: usize,
    flops: f64,
    /// How many of them are in integer layers, if there are any.
    of_integers: f64,
    far_lines: usize,
    figures: Figures,
}

/// All that was found out.
pub(crate) struct Report {
    names: Vec<String>,
    /// Which of them the others are compared with.
    base: Option<usize>,
    limits: Vec<Option<Unit>>,
    /// Those that did not start.
    absent: Vec<Absent>,
    entries: Vec<Entry>,
}

fn median<T: Copy>(values: &[T], as_number: impl Fn(T) -> f64) -> f64 {
    percentile(values, 50, as_number)
}

/// NaN of nothing.
fn percentile<T: Copy>(values: &[T], percent: usize, as_number: impl Fn(T) -> f64) -> f64 {
    let mut numbers: Vec<f64> = values.iter().map(|&v| as_number(v)).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

/// Median and 99th percentile of a call in nanoseconds.
fn call(rounds: &[Vec<u64>]) -> [f64; 2] {
    let all = rounds.concat();
    [50, 99].map(|percent| percentile(&all, percent, |ns| ns as f64))
}

/// By how much the first is faster: the median over rounds, since both had their turns in each.
fn ratio(own: &[Vec<u64>], other: &[Vec<u64>]) -> f64 {
    let of = |times: &Vec<u64>| median(times, |ns| ns as f64);
    let ratios: Vec<f64> = own.iter().zip(other).map(|(own, other)| of(other) / of(own)).collect();
    median(&ratios, |r| r)
}

impl Entry {
    fn timed(&self, contender: usize) -> Option<&[Vec<u64>]> {
        match &self.figures.outcomes[contender] {
            Outcome::Timed { rounds, .. } if !rounds.is_empty() => Some(rounds),
            _ => None,
        }
    }

    /// What a unit does at most in each round, by the second. With integers the layers before the first ReLU are in bf16, so that
    /// the limit is that of doing one after the other.
    fn most(&self, unit: Unit) -> Option<Vec<f64>> {
        let rates = |unit: Unit| self.figures.peaks.iter().find(|(of, _)| *of == unit).map(|(_, rates)| rates);
        if unit != Unit::Int8 {
            return rates(unit).cloned();
        }
        let (pairs, quads) = (self.flops - self.of_integers, self.of_integers);
        let both = rates(Unit::Bf16)?.iter().zip(rates(Unit::Int8)?);
        Some(both.map(|(bf16, int8)| self.flops / (pairs / bf16 + quads / int8)).collect())
    }

    /// GFLOP/s of a contender that shares nothing, of the limit, and the share, each as the median of the rounds.
    fn efficiency(&self, contender: usize, unit: Unit) -> Option<[f64; 3]> {
        let rounds = self.timed(contender)?;
        let rates = self.most(unit)?;
        let flops = self.flops * self.count as f64;
        let own: Vec<f64> = rounds.iter().map(|times| flops / median(times, |ns| ns as f64)).collect();
        let shares: Vec<f64> = own.iter().zip(&rates).map(|(own, rate)| own / rate * 1e9).collect();
        Some([median(&own, |r| r), median(&rates, |r| r / 1e9), median(&shares, |r| r)])
    }
}

fn row(first: &str, cells: impl IntoIterator<Item = String>) -> String {
    cells.into_iter().fold(format!("| {first} |"), |line, cell| line + " " + &cell + " |") + "\n"
}

impl Report {
    /// Among those that started.
    pub(crate) fn new<T>(contenders: &[Box<dyn Contender<T>>], absent: Vec<Absent>) -> Self {
        Self {
            names: contenders.iter().map(|c| c.name().to_owned()).collect(),
            base: contenders.iter().position(|c| c.is_base()),
            limits: contenders.iter().map(|c| c.limit()).collect(),
            absent,
            entries: Vec::new(),
        }
    }

    /// Keeps the figures of a case and prints them.
    pub(crate) fn add<T: Task>(&mut self, task: &T, figures: Figures) {
        let (name, count) = (task.name(), task.count());
        let (flops, of_integers) = (task.flops(), task.flops_of_integers());
        let entry = Entry { case: name, count, flops, of_integers, far_lines: task.far_lines(), figures };
        println!("\n{:<34} {:>11} {:>11} {:>8} {:>10}", entry.case, "median µs", "p99 µs", "ratio", "difference");
        for (at, name) in self.names.iter().enumerate() {
            match &entry.figures.outcomes[at] {
                Outcome::Absent { reason } => println!("{name:<34} absent: {reason}"),
                Outcome::Wrong { difference } => {
                    println!("{name:<34} WRONG: its logits differ by {difference:.1e} from the reference");
                }
                Outcome::Timed { difference, rounds } => {
                    let [median, p99] = call(rounds).map(|ns| ns / 1e3);
                    let ratio = self.ratio(&entry, at);
                    println!("{name:<34} {median:>11.1} {p99:>11.1} {ratio:>8.2} {difference:>10.1e}");
                }
            }
        }
        self.entries.push(entry);
    }

    /// NaN when either is missing.
    fn ratio(&self, entry: &Entry, contender: usize) -> f64 {
        let base = self.base.and_then(|base| entry.timed(base));
        entry.timed(contender).zip(base).map_or(f64::NAN, |(own, base)| ratio(own, base))
    }

    /// Whether anyone's outputs were wrong.
    pub(crate) fn wrong(&self) -> bool {
        self.entries.iter().any(|e| e.figures.outcomes.iter().any(|o| matches!(o, Outcome::Wrong { .. })))
    }

    fn table(&self, title: &str, cell: impl Fn(&Entry, usize) -> String) -> String {
        let mut text = format!("\n{title}\n\n");
        text += &row("", self.entries.iter().map(|e| e.case.clone()));
        text += &row("---", self.entries.iter().map(|_| "---".to_owned()));
        for (at, name) in self.names.iter().enumerate() {
            text += &row(name, self.entries.iter().map(|e| cell(e, at)));
        }
        text
    }

    /// The tables.
    pub(crate) fn text(&self) -> String {
        let base = self.base.map_or("ONNX Runtime, which is absent", |base| &self.names[base]);
        let title = format!("Nanoseconds per candidate, median (by how much faster than {base}):");
        let mut text = self.table(&title, |e, at| match (&e.figures.outcomes[at], e.timed(at)) {
            (Outcome::Wrong { .. }, _) => "wrong".to_owned(),
            (_, None) => "absent".to_owned(),
            (_, Some(rounds)) => {
                let ns = call(rounds)[0] / e.count as f64;
                let ratio = self.ratio(e, at);
                if ratio.is_nan() { format!("{ns:.0}") } else { format!("{ns:.0} ({ratio:.2}×)") }
            }
        });
        text += &self.table("99th percentile of a request, microseconds:", |e, at| {
            e.timed(at).map_or("–".to_owned(), |rounds| format!("{:.1}", call(rounds)[1] / 1e3))
        });
        text += &self.table("Largest difference of a logit from the f64 reference:", |e, at| {
            match e.figures.outcomes[at] {
                Outcome::Absent { .. } => "–".to_owned(),
                Outcome::Wrong { difference } | Outcome::Timed { difference, .. } => format!("{difference:.0e}"),
            }
        });
        if self.entries.iter().any(|e| e.figures.inputs.iter().any(Option::is_some)) {
            text += &self.table("Tables and inputs, nanoseconds per candidate (share of the request):", |e, at| {
                let share = e.figures.inputs[at].zip(e.timed(at));
                share.map_or("–".to_owned(), |(share, rounds)| {
                    format!("{:.0} ({:.0}%)", share * call(rounds)[0] / e.count as f64, share * 100.0)
                })
            });
            text += "\nFar lines, each at a random place of a memory that no cache holds, in the same rounds:\n\n";
            text += &row("", ["a candidate's", "ns for each", "ns for all"].map(str::to_owned));
            text += &row("---", ["---"; 3].map(str::to_owned));
            for e in self.entries.iter().filter(|e| e.far_lines > 0) {
                let each = median(&e.figures.lines, |ns| ns);
                let all = each * e.far_lines as f64;
                text += &row(&e.case, [e.far_lines.to_string(), format!("{each:.1}"), format!("{all:.0}")]);
            }
        }
        text += "\nShare of the limit (loops of independent multiply-adds in registers, in the same rounds):\n\n";
        text += &row("", ["case", "GFLOP/s", "limit", "", "share"].map(str::to_owned));
        text += &row("---", ["---"; 5].map(str::to_owned));
        for (at, name) in self.names.iter().enumerate() {
            let Some(unit) = self.limits[at] else { continue };
            for e in &self.entries {
                if let Some([own, limit, share]) = e.efficiency(at, unit) {
                    let cells = [
                        format!("{own:.1}"),
                        format!("{limit:.1}"),
                        if unit == Unit::Int8 { "int8 after bf16".into() } else { unit.name().into() },
                        format!("{:.1}%", share * 100.0),
                    ];
                    text += &row(name, [e.case.clone()].into_iter().chain(cells));
                }
            }
        }
        for unit in Unit::ALL {
            let rates: Vec<f64> = self
                .entries
                .iter()
                .flat_map(|e| e.figures.peaks.iter().filter(|(of, _)| *of == unit).flat_map(|(_, rates)| rates.clone()))
                .collect();
            if !rates.is_empty() {
                let _ = write!(text, "\nLimit of {}: {:.0} GFLOP/s.", unit.name(), median(&rates, |r| r / 1e9));
            }
        }
        text.push('\n');
        for Absent { name, reason } in &self.absent {
            let _ = writeln!(text, "\nAbsent: {name}: {reason}");
        }
        text
    }
}
