//! Calibrators of segments as requests use them: the tree as a hash table, and each curve found by its segment's number.

use super::head::{TOGETHER, bounds};
use super::lanes::sigmoids;
use super::{Calibrator, Calibrators, SegmentKey};
use crate::error::{Error, Result};
use crate::hash::mix;
use crate::memory::filled;
use crate::schema::{Kind, Schema, Side};

/// The most slots that a search looks at.
const MOST_PROBED: usize = 512;
/// No curve of its own beside its line.
const NO_CURVE: u32 = u32::MAX;
/// Marks, while a tree is walked, a candidate that has reached its segment.
const ARRIVED: u32 = 1 << 31;

/// Where the values of a key come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// The request's placement.
    Placement,
    /// The candidate's advertiser.
    Advertiser,
    /// The candidate's ad.
    Ad,
    /// A category feature with this number in the schema, and its side.
    Feature(u32, Side),
}

/// One entry of the hash table. A free one has the node 0, which is no segment.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    value: u64,
    parent: u32,
    node: u32,
}

/// The segments and the calibrator of the product, ready to serve. Not used by a bundle with neither.
#[derive(Debug, Default)]
pub(crate) struct ServedCalibrators {
    is_used: bool,
    keys: Vec<KeySource>,
    slots: Box<[Slot]>,
    heads: [Curves; 3],
    has_product: bool,
}

/// The curves of one head, by the number of the segment.
#[derive(Debug, Default)]
struct Curves {
    ln_keep_rate: f64,
    /// Slope and intercept of the logit. Most segments need no more, and a batch takes them without a branch.
    lines: Box<[[f64; 2]]>,
    /// The number of the curve in `others`, or [`NO_CURVE`]; empty when there are none.
    curved: Box<[u32]>,
    others: Box<[Calibrator]>,
}

impl ServedCalibrators {
    /// Prepares the calibrators of a bundle for a model of this schema.
    ///
    /// # Errors
    /// `Unsupported` for a key that is no feature of the model or no single category; `Corrupt` for values that collide
    /// too often; `CapacityExceeded` when there is no memory.
    pub(crate) fn new(calibrators: &Calibrators, schema: &Schema) -> Result<Self> {
        let segments = &calibrators.segments;
        let keys = segments.keys().iter().map(|key| source(key, schema)).collect::<Result<Vec<_>>>()?;
        let product = &calibrators.product;
        if keys.is_empty() && *product == Calibrator::Identity {
            return Ok(Self::default());
        }
        let list = segments.list();
        let mut slots: Box<[Slot]> = filled((2 * list.len()).next_power_of_two().max(8))?;
        let mask = slots.len() - 1;
        for (segment, number) in list.iter().zip(1..) {
            let begin = place(segment.parent, segment.value);
            let free = (0..MOST_PROBED).map(|step| (begin + step) & mask).find(|&at| slots[at].node == 0);
            let Some(free) = free else {
                let what = "the values of segments collide too often: calibrate again with other keys";
                return Err(Error::corrupt(what));
            };
            slots[free] = Slot { value: segment.value, parent: segment.parent, node: number };
        }
        let roots = [
            (calibrators.ctr.ln_keep_rate(), calibrators.ctr.calibrator()),
            (calibrators.cvr.ln_keep_rate(), calibrators.cvr.calibrator()),
            (0.0, product),
        ];
        let mut heads = <[Curves; 3]>::default();
        for (head, (ln_keep_rate, root)) in roots.into_iter().enumerate() {
            let own = list.iter().map(|segment| (segment.parent, segment.own[head].as_ref()));
            heads[head] = Curves::new(ln_keep_rate, root, own)?;
        }
        let has_product = *product != Calibrator::Identity || list.iter().any(|segment| segment.own[2].is_some());
        Ok(Self { is_used: true, keys, slots, heads, has_product })
    }

    /// Whether anything is calibrated beyond each head's one calibrator.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    /// The keys' sources, the first level's first.
    #[inline]
    pub(crate) fn keys(&self) -> &[KeySource] {
        &self.keys
    }

    /// Whether a product's probabilities are calibrated.
    pub(crate) fn has_product(&self) -> bool {
        self.has_product
    }

    /// Begins a walk of `nodes`, one for each candidate: all at the root.
    pub(crate) fn begin(nodes: &mut [u32]) {
        nodes.fill(0);
    }

    /// Takes the candidates one level down, by their values of this level's key.
    pub(crate) fn descend(&self, nodes: &mut [u32], values: &[u64]) {
        for (node, &value) in nodes.iter_mut().zip(values) {
            let found = if *node & ARRIVED == 0 { self.child(*node, value) } else { None };
            *node = found.unwrap_or(*node | ARRIVED);
        }
    }

    /// Ends a walk: each candidate's segment.
    pub(crate) fn end(nodes: &mut [u32]) {
        nodes.iter_mut().for_each(|node| *node &= !ARRIVED);
    }

    #[inline]
    fn child(&self, parent: u32, value: u64) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let begin = place(parent, value);
        for step in 0..MOST_PROBED {
            let slot = self.slots.get((begin + step) & mask)?;
            if slot.node == 0 {
                return None;
            }
            if (slot.parent, slot.value) == (parent, value) {
                return Some(slot.node);
            }
        }
        None
    }

    /// Calibrated probabilities of a head's logits (0: pCTR, 1: pCVR) in the segments `nodes`. The shortest slice counts.
    pub(crate) fn apply(&self, head: usize, logits: &[f32], nodes: &[u32], out: &mut [f32]) {
        let curves = &self.heads[head];
        for ((out, logits), nodes) in out.chunks_mut(TOGETHER).zip(logits.chunks(TOGETHER)).zip(nodes.chunks(TOGETHER))
        {
            let mut z = [0.0; TOGETHER];
            let z = &mut z[..out.len().min(logits.len()).min(nodes.len())];
            z.iter_mut().zip(logits).for_each(|(z, &logit)| *z = f64::from(logit) + curves.ln_keep_rate);
            curves.apply(nodes, z);
            out.iter_mut().zip(&*z).for_each(|(p, &z)| *p = z as f32);
        }
    }

    /// The bounds of a head's probabilities, as those of [`super::HeadCalibrator::bounds`].
    pub(crate) fn bounds(
        &self,
        head: usize,
        (logits, nodes): (&[f32], &[u32]),
        off: impl Fn(f32) -> f32,
        tell: impl FnMut(usize, [f32; 2]),
    ) {
        let curves = &self.heads[head];
        bounds(
            (logits, curves.ln_keep_rate),
            off,
            |first, z| curves.apply(&nodes[first..], z),
            |i, reach| curves.other(nodes[i]).filter(|c| !c.is_monotone()).map(|c| c.between(reach)),
            tell,
        );
    }

    /// Replaces pCVR by the calibrated product ÷ pCTR, at most 1, so that pCTR · pCVR is the calibrated product. Where
    /// either is 0 or missing, there is no product to calibrate.
    pub(crate) fn apply_product(&self, pctr: &[f32], nodes: &[u32], pcvr: &mut [f32]) {
        for ((&pctr, &node), pcvr) in pctr.iter().zip(nodes).zip(pcvr) {
            if let Some(product) = self.product(node, pctr, *pcvr) {
                *pcvr = (product / f64::from(pctr)).min(1.0) as f32;
            }
        }
    }

    /// The bounds of pCVR after [`Self::apply_product`], from those of pCTR and pCVR before it. The product rises with
    /// both.
    pub(crate) fn product_bounds(&self, node: u32, pctr: [f32; 2], pcvr: [f32; 2]) -> [f32; 2] {
        if pcvr.iter().chain(&pctr).any(|p| p.is_nan()) {
            return pcvr;
        }
        let end = |end: usize, by: f32| Some((self.product(node, pctr[end], pcvr[end])? / f64::from(by)) as f32);
        [
            end(0, pctr[1]).map_or(0.0, |low| low.min(1.0).next_down().max(0.0)),
            match pctr[0] {
                0.0 => 1.0,
                least => end(1, least).map_or(1.0, |high| high.min(1.0).next_up()),
            },
        ]
    }

    /// The calibrated product.
    fn product(&self, node: u32, pctr: f32, pcvr: f32) -> Option<f64> {
        let product = f64::from(pctr) * f64::from(pcvr);
        (product > 0.0).then(|| {
            let mut z = [libm::log(product) - libm::log1p(-product.min(1.0))];
            self.heads[2].apply(&[node], &mut z);
            z[0]
        })
    }
}

impl Curves {
    /// The curves of the root and of segments, given as (parent, own calibrator).
    fn new<'c>(
        ln_keep_rate: f64,
        root: &'c Calibrator,
        segments: impl ExactSizeIterator<Item = (u32, Option<&'c Calibrator>)>,
    ) -> Result<Self> {
        let mut lines: Box<[[f64; 2]]> = filled(segments.len() + 1)?;
        let mut curved: Box<[u32]> = filled(segments.len() + 1)?;
        let mut others = Vec::new();
        for (number, (parent, own)) in std::iter::once((0, Some(root))).chain(segments).enumerate() {
            (lines[number], curved[number]) = match own {
                None => (lines[parent as usize], curved[parent as usize]),
                Some(Calibrator::Identity) => ([1.0, 0.0], NO_CURVE),
                Some(Calibrator::Platt(c)) => ([c.a(), c.b()], NO_CURVE),
                Some(other) => {
                    others.push(other.clone());
                    ([1.0, 0.0], others.len() as u32 - 1)
                }
            };
        }
        if others.is_empty() {
            curved = Box::default();
        }
        Ok(Self { ln_keep_rate, lines, curved, others: others.into() })
    }

    /// The calibrator of a segment, when it is no line.
    #[inline]
    fn other(&self, node: u32) -> Option<&Calibrator> {
        self.others.get(*self.curved.get(node as usize)? as usize)
    }

    /// Replaces logits, corrected for downsampling, by probabilities.
    #[inline]
    fn apply(&self, nodes: &[u32], z: &mut [f64]) {
        for (z, &node) in z.iter_mut().zip(nodes) {
            let [a, b] = self.lines.get(node as usize).copied().unwrap_or([1.0, 0.0]);
            *z = a * z.clamp(-f64::MAX, f64::MAX) + b;
        }
        if self.others.is_empty() {
            sigmoids(z);
            return;
        }
        for (z, &node) in z.iter_mut().zip(nodes) {
            if let Some(other) = self.other(node) {
                *z = other.before_sigmoid(*z);
            }
        }
        sigmoids(z);
        for (p, &node) in z.iter_mut().zip(nodes) {
            if let Some(other) = self.other(node) {
                *p = other.after_sigmoid(*p);
            }
        }
    }
}

fn place(parent: u32, value: u64) -> usize {
    (mix(value ^ mix(parent.into())) >> 32) as usize
}

fn source(key: &SegmentKey, schema: &Schema) -> Result<KeySource> {
    let name = match key {
        SegmentKey::Placement => return Ok(KeySource::Placement),
        SegmentKey::Advertiser => return Ok(KeySource::Advertiser),
        SegmentKey::Ad => return Ok(KeySource::Ad),
        SegmentKey::Feature(name) => name,
    };
    let Some(number) = schema.features.iter().position(|f| f.name == *name) else {
        return Err(Error::unsupported(format!(
            "the calibrators have segments by `{name}`, which the model does not read: calibrate this model again"
        )));
    };
    let feature = &schema.features[number];
    if !matches!(feature.kind, Kind::Category { .. }) {
        return Err(Error::unsupported(format!(
            "segments by `{name}`: expected a category with one value, found {}; take one, or give it boundaries",
            match feature.kind {
                Kind::Number { .. } => "a number",
                Kind::Vector { .. } => "a vector",
                _ => "one with several values",
            }
        )));
    }
    Ok(KeySource::Feature(number as u32, feature.side()))
}
