//! A strict reader of Prometheus' text exposition format 0.0.4: it takes what the format allows and we promise, and
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};

type Labels = Vec<(String, String)>;

/// What a text says: the type of each metric, and every sample.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
    /// Names of samples in the order of their lines.
    pub(crate) order: Vec<(String, Labels)>,
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `name="value",...}` to the labels and what follows.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name) || labels.iter().any(|(other, _)| other == name) {
            return Err(format!("label name `{name}`"));
        }
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().ok_or("a label's value has no end")? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, c @ ('\\' | '"'))) => c,
                    other => return Err(format!("escape {other:?}")),
                }),
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        rest = rest.strip_prefix(',').ok_or("labels are not separated")?;
    }
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        if !text.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let told = |what: String| format!("line {}: {what}: {line}", at + 1);
            let family = line.strip_prefix("# HELP ").ok_or_else(|| told("expected HELP".to_owned()))?;
            let (name, help) = family.split_once(' ').ok_or_else(|| told("no help".to_owned()))?;
            if !is_name(name) || !name.starts_with("adclick_") || help.is_empty() || help.contains('\\') {
                return Err(told("name or help".to_owned()));
            }
            let kind = lines.next().and_then(|(_, line)| line.strip_prefix(&format!("# TYPE {name} ")));
            let kind = kind.filter(|kind| ["counter", "gauge", "histogram"].contains(kind));
            let kind = kind.ok_or_else(|| told("no type of the same name follows".to_owned()))?;
            if (kind == "counter") != name.ends_with("_total") {
                return Err(told("counters, and they alone, end in _total".to_owned()));
            }
            if all.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                return Err(told("a second time".to_owned()));
            }
            while let Some((at, line)) = lines.next_if(|(_, line)| !line.starts_with('#')) {
                all.sample(name, kind, line).map_err(|e| format!("line {}: {e}: {line}", at + 1))?;
            }
        }
        all.check_histograms()?;
        Ok(all)
    }

    fn sample(&mut self, family: &str, kind: &str, line: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, rest) = line.split_at(end);
        let suffix = name.strip_prefix(family).ok_or("a sample of another metric")?;
        let allowed = if kind == "histogram" { &["_bucket", "_sum", "_count"][..] } else { &[""] };
        if !allowed.contains(&suffix) {
            return Err(format!("a {kind} has no {name}"));
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Labels::new(), rest),
        };
        let value = rest.strip_prefix(' ').filter(|v| !v.contains(' ')).ok_or("one space, then a number")?;
        let value: f64 = value.parse().map_err(|_| format!("number `{value}`"))?;
        if !value.is_finite() || (kind != "gauge" && value < 0.0) {
            return Err(format!("value {value} of a {kind}"));
        }
        let key = (name.to_owned(), labels);
        self.order.push(key.clone());
        match self.samples.insert(key, value) {
            None => Ok(()),
            Some(_) => Err("the same labels a second time".to_owned()),
        }
    }

    fn check_histograms(&self) -> Result<(), String> {
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let bucket = format!("{name}_bucket");
            let mut series: BTreeMap<Labels, Vec<(String, f64)>> = BTreeMap::new();
            for (of, labels) in self.order.iter().filter(|(of, _)| *of == bucket) {
                let mut rest = labels.clone();
                let (le, end) = rest.pop().ok_or("a bucket without an end")?;
                if le != "le" {
                    return Err(format!("{bucket}: the last label is {le}"));
                }
                series.entry(rest).or_default().push((end, self.samples[&(of.clone(), labels.clone())]));
            }
            for (labels, buckets) in series {
                let ends: Vec<f64> = buckets.iter().map(|(end, _)| end.parse().unwrap_or(f64::NAN)).collect();
                let counts: Vec<f64> = buckets.iter().map(|(_, n)| *n).collect();
                if !ends.is_sorted_by(|a, b| a < b) || buckets.last().is_none_or(|(end, _)| end != "+Inf") {
                    return Err(format!("{name}{labels:?}: ends {ends:?}"));
                }
                let get = |suffix: &str| self.samples.get(&(format!("{name}{suffix}"), labels.clone()));
                if !counts.is_sorted() || get("_count") != counts.last() || get("_sum").is_none() {
                    return Err(format!("{name}{labels:?}: counts {counts:?}, {:?}", get("_count")));
                }
            }
        }
        Ok(())
    }

    /// The value of a sample, its labels given in order.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The same of one that must be there.
    pub(crate) fn of(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or_else(|| panic!("no {name}{labels:?}"))
    }

    /// The sum over all labels.
    pub(crate) fn total(&self, name: &str) -> f64 {
        self.samples.iter().filter(|((of, _), _)| of == name).map(|(_, value)| value).sum()
    }

    /// Samples that may not fall: counters, and what histograms count.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&(String, Labels), f64)> {
        let histograms: BTreeSet<_> = self.types.iter().filter(|t| t.1 == "histogram").map(|t| t.0.as_str()).collect();
        self.samples
            .iter()
            .filter(move |((name, _), _)| name.ends_with("_total") || histograms.iter().any(|h| name.starts_with(h)))
            .map(|(key, value)| (key, *value))
    }
}
