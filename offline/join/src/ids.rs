//! Which hour an impression id was decided in: for each hour, the sorted hashes of its ids on disk.
//!
//! An id hides its time from whoever has no key, so events find their hour here. A hash that two ids share sends an event
//! to the wrong hour, where the whole id is compared: it is then an orphan, never another impression's event.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const WORD: u64 = 8;
/// When fewer than one id in this many is looked for, single places are read instead of the file.
const SPARSE: u64 = 256;

/// Writes an index of hashes, which are sorted here.
pub(crate) fn write(path: &Path, mut places: Vec<u64>) -> Result<()> {
    places.sort_unstable();
    places.dedup();
    let what = || format!("{} is not written", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(what)?);
    for place in &places {
        out.write_all(&place.to_le_bytes()).with_context(what)?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|f| f.sync_all()).with_context(what)
}

/// For each of the sorted hashes, whether the index has it.
pub(crate) fn find(path: &Path, wanted: &[u64]) -> Result<Vec<bool>> {
    let what = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(what)?;
    let bytes = file.metadata().with_context(what)?.len();
    ensure!(bytes % WORD == 0, "{}: {bytes} bytes, expected a multiple of 8", path.display());
    let n = bytes / WORD;
    if (wanted.len() as u64) < n / SPARSE {
        return wanted.iter().map(|&place| sparse(&file, n, place)).collect::<std::io::Result<_>>().with_context(what);
    }
    let mut all = Vec::with_capacity(usize::try_from(bytes)?);
    file.read_to_end(&mut all).with_context(what)?;
    let (words, _) = all.as_chunks::<8>();
    let mut at = 0;
    Ok(wanted
        .iter()
        .map(|&place| {
            while at < words.len() && u64::from_le_bytes(words[at]) < place {
                at += 1;
            }
            at < words.len() && u64::from_le_bytes(words[at]) == place
        })
        .collect())
}

/// Looks for one hash: hashes are spread evenly, so its place is known but for some thousand words.
fn sparse(file: &File, n: u64, place: u64) -> std::io::Result<bool> {
    let word = |at: u64| -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at * WORD)?;
        Ok(u64::from_le_bytes(bytes))
    };
    let guess = ((u128::from(place) * u128::from(n)) >> 64) as u64;
    let mut step = 4 * n.isqrt() + 1;
    let (mut low, mut high) = (guess.saturating_sub(step), (guess + step).min(n));
    while low > 0 && word(low)? > place {
        step *= 2;
        low = low.saturating_sub(step);
    }
    while high < n && word(high)? < place {
        step *= 2;
        high = (high + step).min(n);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match word(middle)?.cmp(&place) {
            std::cmp::Ordering::Equal => return Ok(true),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(low < n && word(low)? == place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adclick::builder::hash::mix;

    #[test]
    fn single_places_and_the_whole_file_find_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ids");
        for n in [0u64, 1, 2, 5000] {
            write(&path, (0..n).map(mix).collect()).unwrap();
            let mut wanted: Vec<u64> = (0..n + 3000).map(mix).chain([0, u64::MAX]).collect();
            wanted.sort_unstable();
            let all = find(&path, &wanted).unwrap();
            assert_eq!(all.iter().filter(|&&found| found).count() as u64, n);
            for (place, expected) in wanted.iter().zip(&all) {
                assert_eq!(sparse(&File::open(&path).unwrap(), n, *place).unwrap(), *expected, "{n} {place}");
            }
        }
    }
}
