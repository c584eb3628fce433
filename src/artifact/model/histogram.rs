//! The `histograms` section: reference distributions for drift monitoring.

use super::spec::Histogram;
#[cfg(feature = "builder")]
use crate::error::Error;
use crate::error::Result;
use crate::schema::check_name;
use crate::wire::Reader;
#[cfg(feature = "builder")]
use crate::wire::Writer;

/// The most bins of one histogram.
const MAX_BINS: usize = 4096;

#[cfg(feature = "builder")]
pub(super) fn encode(histograms: &[Histogram]) -> Result<Vec<u8>> {
    let mut w = Writer::default();
    w.u32(histograms.len() as u32);
    for h in histograms {
        check(h).map_err(Error::argument)?;
        w.text(&h.name);
        w.u32(h.counts.len() as u32);
        for &edge in &h.edges {
            w.f64(edge);
        }
        for &count in &h.counts {
            w.u64(count);
        }
    }
    Ok(w.0)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Histogram>> {
    let mut r = Reader::new("histograms", bytes);
    let count = r.count("histograms", 14)?;
    let mut histograms = Vec::with_capacity(count);
    for _ in 0..count {
        let name = r.text()?.to_owned();
        let bins = r.count("bins", 8)?;
        let edges = (1..bins).map(|_| r.f64()).collect::<Result<_>>()?;
        let counts = (0..bins).map(|_| r.u64()).collect::<Result<_>>()?;
        let histogram = Histogram { name, edges, counts };
        check(&histogram).map_err(|e| r.error(e))?;
        histograms.push(histogram);
    }
    r.end()?;
    Ok(histograms)
}

fn check(h: &Histogram) -> std::result::Result<(), String> {
    let name = &h.name;
    check_name("histogram", name).map_err(|e| e.message)?;
    if h.counts.is_empty() || h.counts.len() > MAX_BINS || h.edges.len() + 1 != h.counts.len() {
        let (edges, bins) = (h.edges.len(), h.counts.len());
        return Err(format!("histogram `{name}`: {edges} edges and {bins} bins; expected 1 to {MAX_BINS} bins"));
    }
    if h.edges.iter().any(|e| !e.is_finite()) || h.edges.windows(2).any(|w| w[0] >= w[1]) {
        return Err(format!("histogram `{name}`: the edges are not ascending finite numbers"));
    }
    if h.counts.iter().try_fold(0u64, |sum, &n| sum.checked_add(n)).is_none() {
        return Err(format!("histogram `{name}`: the counts add up to more than 64 bits hold"));
    }
    Ok(())
}
