//! Calibrators of segments: a tree in which each level divides the requests further, by placement or by advertiser, say.

use super::Calibrator;
use crate::error::{Error, Result};
use crate::schema::check_name;

/// The most keys of segments.
pub const MAX_SEGMENT_KEYS: usize = 4;
/// The most segments of a bundle.
pub const MAX_SEGMENTS: usize = 1 << 18;
/// Marks a candidate without a value: no segment has it.
pub(crate) const NO_VALUE: u64 = u64::MAX;

/// What divides requests and candidates into segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SegmentKey {
    /// The request's `placement`.
    Placement,
    /// The candidate's `advertiser_key`.
    Advertiser,
    /// The candidate's `ad_key`.
    Ad,
    /// The model's category feature of this name: the id that the model reads, passed or from a table, and the number of
    /// the interval for one with boundaries.
    Feature(String),
}

impl SegmentKey {
    /// Its name on the command line and in reports: `placement`, `advertiser`, `ad`, or the feature's.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Placement => "placement",
            Self::Advertiser => "advertiser",
            Self::Ad => "ad",
            Self::Feature(name) => name,
        }
    }

    /// The key of this name; a feature's, if it is none of the others.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn by_name(name: &str) -> Self {
        let fixed = [Self::Placement, Self::Advertiser, Self::Ad];
        fixed.into_iter().find(|key| key.name() == name).unwrap_or_else(|| Self::Feature(name.to_owned()))
    }
}

/// One segment and its calibrators.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The number of the segment that it is a part of: 0 is all requests, and the first segment of the list is 1.
    pub parent: u32,
    /// The value of its level's key; not `u64::MAX`.
    pub value: u64,
    /// The calibrators of pCTR, pCVR and their product; none: the parent's.
    pub own: [Option<Calibrator>; 3],
}

/// A tree of segments. A segment of the first key's level has the parent 0; one of the next level is a part of one of
/// these, and so on. A candidate takes the calibrator of the deepest segment that has all of its values; where a value is
/// missing or has no segment, that of the level above counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segments {
    keys: Vec<SegmentKey>,
    list: Vec<Segment>,
}

impl Segments {
    /// A tree of `keys`, the first level's first. The segments are ascending by parent and value.
    ///
    /// # Errors
    /// More than [`MAX_SEGMENT_KEYS`] keys or [`MAX_SEGMENTS`] segments, a key that occurs twice, segments without keys or
    /// out of order, a parent that does not come before its segment or is of the last level, the value `u64::MAX`, or a
    /// calibrator that could tie or turn around scores.
    pub fn new(keys: Vec<SegmentKey>, list: Vec<Segment>) -> Result<Self> {
        if keys.len() > MAX_SEGMENT_KEYS || list.len() > MAX_SEGMENTS {
            return Err(Error::argument(format!(
                "{} keys with {} segments, expected at most {MAX_SEGMENT_KEYS} with {MAX_SEGMENTS}",
                keys.len(),
                list.len()
            )));
        }
        for (i, key) in keys.iter().enumerate() {
            if let SegmentKey::Feature(name) = key {
                check_name(&format!("segment key {}:", i + 1), name)?;
            }
            if keys[..i].contains(key) {
                return Err(Error::argument(format!("the segment key `{}` occurs twice", key.name())));
            }
        }
        let mut depth = vec![0; list.len() + 1];
        for (i, segment) in list.iter().enumerate() {
            let (number, Segment { parent, value, own }) = (i + 1, segment);
            let wrong = |what: String| Err(Error::argument(format!("segment {number}: {what}")));
            if *parent as usize >= number {
                return wrong(format!("expected a parent before it, found {parent}"));
            }
            depth[number] = depth[*parent as usize] + 1;
            if depth[number] > keys.len() {
                return wrong(format!("it is of level {}, and there are {} keys", depth[number], keys.len()));
            }
            if *value == NO_VALUE {
                return wrong(format!("the value {value} stands for none"));
            }
            if list[..i].last().is_some_and(|before| (before.parent, before.value) >= (*parent, *value)) {
                return wrong("expected parents and values in ascending order, each pair once".to_owned());
            }
            if let Some(calibrator) = own.iter().flatten().find(|calibrator| !calibrator.is_strictly_increasing()) {
                return wrong(format!("{calibrator} is not strictly increasing, so it would change the ranking"));
            }
        }
        Ok(Self { keys, list })
    }

    /// The keys, the first level's first; none when nothing is divided.
    #[must_use]
    pub fn keys(&self) -> &[SegmentKey] {
        &self.keys
    }

    /// The segments; number 1 is the first.
    #[must_use]
    pub fn list(&self) -> &[Segment] {
        &self.list
    }

    /// The number of keys on the way to a segment, 0 for all requests.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn depth(&self, mut segment: u32) -> usize {
        let mut depth = 0;
        while let Some(found) = segment.checked_sub(1).and_then(|at| self.list.get(at as usize)) {
            (segment, depth) = (found.parent, depth + 1);
        }
        depth
    }

    /// The deepest segment that has these values, the first level's first; `None` for a missing one.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn find(&self, values: &[Option<u64>]) -> u32 {
        let mut at = 0;
        for value in values.iter().map_while(|value| *value) {
            let key = (at, value);
            match self.list.binary_search_by_key(&key, |segment| (segment.parent, segment.value)) {
                Ok(found) => at = found as u32 + 1,
                Err(_) => break,
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Histogram, Platt};
    use super::*;

    pub(in super::super) fn shift(by: f64) -> Option<Calibrator> {
        Some(Calibrator::Platt(Platt::new(1.0, by).unwrap()))
    }

    fn part(parent: u32, value: u64) -> Segment {
        Segment { parent, value, own: [shift(0.1), None, None] }
    }

    fn keys() -> Vec<SegmentKey> {
        ["placement", "site"].map(SegmentKey::by_name).to_vec()
    }

    #[test]
    fn the_deepest_known_segment_counts() {
        let tree = Segments::new(keys(), vec![part(0, 3), part(0, 7), part(1, 7), part(2, 1), part(2, 7)]).unwrap();
        let find = |values: &[Option<u64>]| tree.find(values);
        assert_eq!(find(&[Some(3), Some(7)]), 3);
        assert_eq!(find(&[Some(3), Some(1)]), 1, "a value of another branch");
        assert_eq!(find(&[Some(7), Some(7)]), 5);
        assert_eq!((find(&[Some(9), Some(7)]), find(&[None, Some(7)]), find(&[Some(7), None])), (0, 0, 2));
        assert_eq!([0, 2, 5].map(|segment| tree.depth(segment)), [0, 1, 2]);
    }

    #[test]
    fn trees_that_are_none_are_refused() {
        let message = |keys, list| Segments::new(keys, list).unwrap_err().message;
        assert!(message(keys(), vec![part(1, 3)]).contains("segment 1: expected a parent before it, found 1"));
        assert!(message(keys(), vec![part(0, 3), part(0, 3)]).contains("ascending"));
        assert!(message(keys(), vec![part(0, 4), part(0, 3)]).contains("ascending"));
        assert!(message(keys(), vec![part(0, 4), part(1, 1), part(2, 1)]).contains("level 3, and there are 2 keys"));
        assert!(message(vec![], vec![part(0, 4)]).contains("level 1, and there are 0 keys"));
        assert!(message(keys(), vec![part(0, u64::MAX)]).contains("stands for none"));
        assert!(message([keys(), keys()].concat(), vec![]).contains("`placement` occurs twice"));
        assert!(message([keys(), keys(), keys()].concat(), vec![]).contains("at most 4"));
        assert!(message(vec![SegmentKey::Feature(String::new())], vec![]).contains("segment key 1"));
        let bins = Calibrator::Histogram(Histogram::new(vec![0.0, 1.0], vec![0.5]).unwrap());
        let ties = Segment { own: [Some(bins), None, None], ..part(0, 1) };
        assert!(message(keys(), vec![ties]).contains("not strictly increasing"));
    }
}
