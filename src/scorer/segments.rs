//! Finds the segment of each candidate, whose calibrators count.

use crate::calibrate::{KeySource, MAX_SEGMENT_KEYS, NO_VALUE, ServedCalibrators};
use crate::enrich::State;
use crate::error::Result;
use crate::memory::filled;
use crate::model::ScoringModel;
use crate::request::Input;
use crate::schema::Side;

/// The buffers of a request's segments.
pub(super) struct SegmentMemory {
    /// The values of each key, `[MAX_SEGMENT_KEYS, n]`.
    values: Box<[u64]>,
    /// Each candidate's segment, `[n]`.
    pub(super) nodes: Box<[u32]>,
}

impl SegmentMemory {
    /// Buffers for `n` candidates.
    pub(super) fn new(n: usize) -> Result<Self> {
        Ok(Self { values: filled(MAX_SEGMENT_KEYS * n)?, nodes: filled(n)? })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.values) + size_of_val(&*self.nodes)
    }

    /// Keeps the values of features of the request, or of the candidate that was assembled last. Other keys need none.
    #[inline]
    pub(super) fn note(&mut self, model: &ScoringModel, state: &State, side: Side, (candidate, passed): (usize, bool)) {
        let n = self.nodes.len();
        for (key, source) in model.segments().keys().iter().enumerate() {
            let KeySource::Feature(feature, of) = *source else { continue };
            if of == side {
                let own = (candidate, passed);
                let id = model.assembler().category_id(model.file(), state, feature as usize, own);
                self.values[key * n + candidate] = id.unwrap_or(NO_VALUE);
            }
        }
    }

    /// The value of a key that a candidate of the last request had.
    #[cfg(feature = "builder")]
    pub(super) fn value(&self, key: usize, candidate: usize) -> Option<u64> {
        let n = self.nodes.len();
        let value = self.values.get(key * n..)?.get(..n)?.get(candidate).copied();
        value.filter(|&value| value != NO_VALUE)
    }

    /// Finds the segments of the first `n` candidates, level by level.
    pub(super) fn find(&mut self, model: &ScoringModel, input: Input<'_>, n: usize) {
        let served = model.segments();
        ServedCalibrators::begin(&mut self.nodes[..n]);
        let candidates = &input.candidates[..n];
        for (key, source) in served.keys().iter().enumerate() {
            let (values, nodes) = self.level(key, n);
            match source {
                KeySource::Placement => values.fill(input.request.placement.into()),
                KeySource::Advertiser => values.iter_mut().zip(candidates).for_each(|(v, c)| *v = c.advertiser_key),
                KeySource::Ad => values.iter_mut().zip(candidates).for_each(|(v, c)| *v = c.ad_key),
                // The request's is that of its first candidate.
                KeySource::Feature(_, Side::Request) => {
                    if let Some(&first) = values.first() {
                        values.fill(first);
                    }
                }
                KeySource::Feature(_, Side::Candidate) => {}
            }
            served.descend(nodes, values);
        }
        ServedCalibrators::end(&mut self.nodes[..n]);
    }

    /// A key's values and the segments of the first `n` candidates.
    fn level(&mut self, key: usize, n: usize) -> (&mut [u64], &mut [u32]) {
        let most = self.nodes.len();
        (&mut self.values[key * most..][..n], &mut self.nodes[..n])
    }
}
