//! The packed weights of a plan: words of two bf16, or of four i8.

use std::collections::HashMap;
use std::ops::Range;

use super::own::Own;
use super::program::{PackedWeight, Weight, WeightIn};
use crate::artifact::model::network::{LANES, Panels, padded};
use crate::infer::Weights;
use crate::infer::kernel::{Kernel, words};
use crate::infer::scratch::Arena;

/// The largest u8, which represents the largest value of a range.
pub(super) const U8_MOST: f32 = 255.0;
/// The largest i8 whose negative is an i8 too.
const I8_MOST: f32 = 127.0;

/// The formats of a packed layer.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// The largest input; the inputs are integers.
    pub(super) range: Option<f32>,
    /// The factor of the outputs: units of the next layer's integers.
    pub(super) by: f32,
}

impl Numbers {
    /// bf16 to f32.
    pub(super) const PAIRS: Self = Self { range: None, by: 1.0 };
}

/// The packed weights of a plan.
#[derive(Debug, Default)]
pub(in crate::infer) struct Packs {
    words: Arena,
    scales: Vec<f32>,
}

impl Packs {
    pub(in crate::infer) fn words(&self) -> &[u32] {
        bytemuck::cast_slice(self.words.values())
    }

    pub(in crate::infer) fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// Packs weights, each once for all programs.
pub(super) struct Packing<'a> {
    weights: Weights<'a>,
    own: &'a Own,
    words: Vec<u32>,
    scales: Vec<f32>,
    made: HashMap<(bool, usize, Range<usize>, usize, bool), PackedWeight>,
    /// Copies in groups, keyed by the start of the words that they copy.
    grouped: HashMap<usize, usize>,
}

impl<'a> Packing<'a> {
    pub(super) fn new(weights: Weights<'a>, own: &'a Own) -> Self {
        Self { weights, own, words: Vec::new(), scales: Vec::new(), made: HashMap::new(), grouped: HashMap::new() }
    }

    pub(super) fn finish(self) -> Packs {
        let mut arena = Arena::new(self.words.len());
        bytemuck::cast_slice_mut::<f32, u32>(arena.values_mut())[..self.words.len()].copy_from_slice(&self.words);
        Packs { words: arena, scales: self.scales }
    }

    /// The packed copy of some columns of a matrix.
    pub(super) fn of(&mut self, weight: &Weight, columns: Range<usize>, numbers: Numbers) -> PackedWeight {
        let own = weight.source == WeightIn::Own;
        let key = (own, weight.panels.start, columns.clone(), weight.panels.outputs, numbers.range.is_some());
        if let Some(&made) = self.made.get(&key) {
            return made;
        }
        let section = if own { &self.own.panels } else { self.weights.panels };
        let made = match numbers.range {
            None => PackedWeight::Pairs(self.pairs(section, &weight.panels, columns, numbers.by)),
            Some(range) => self.quads(section, &weight.panels, columns, numbers.by * (range / U8_MOST)),
        };
        self.made.insert(key, made);
        made
    }

    /// A copy of packed weights in groups. Returns its start.
    pub(super) fn grouped(&mut self, start: usize, words: usize, outputs: usize, kernel: &Kernel) -> usize {
        *self.grouped.entry(start).or_insert_with(|| {
            let (end, len) = (self.words.len(), padded(outputs) * words);
            self.words.resize(end + len, 0);
            let (made, copy) = self.words.split_at_mut(end);
            kernel.group_words(&made[start..start + len], words, copy);
            end
        })
    }

    /// The weights times `by`.
    fn pairs(&mut self, section: &[u16], panels: &Panels, columns: Range<usize>, by: f32) -> usize {
        let start = self.words.len();
        for panel in 0..panels.outputs.div_ceil(LANES) {
            for word in 0..words(columns.len(), 2) {
                for lane in 0..LANES {
                    let bits = |i: usize| match columns.start + 2 * word + i {
                        column if column < columns.end => {
                            let w = weight_at(section, panels, panel, column, lane);
                            u32::from(half::bf16::from_f32(w * by).to_bits())
                        }
                        _ => 0,
                    };
                    self.words.push(bits(0) | bits(1) << 16);
                }
            }
        }
        start
    }

    /// `unit`: the value of 1 in an input.
    fn quads(&mut self, section: &[u16], panels: &Panels, columns: Range<usize>, unit: f32) -> PackedWeight {
        let (start, scale) = (self.words.len(), self.scales.len());
        for panel in 0..panels.outputs.div_ceil(LANES) {
            let most: [f32; LANES] = std::array::from_fn(|lane| {
                let all = columns.clone().map(|column| weight_at(section, panels, panel, column, lane).abs());
                all.fold(0.0, f32::max)
            });
            self.scales.extend(most.map(|most| most / I8_MOST * unit));
            for word in 0..words(columns.len(), 4) {
                for (lane, most) in most.iter().enumerate() {
                    let byte = |i: usize| match columns.start + 4 * word + i {
                        column if column < columns.end && *most > 0.0 => {
                            let w = weight_at(section, panels, panel, column, lane);
                            (w / most * I8_MOST).round() as i8 as u8
                        }
                        _ => 0,
                    };
                    self.words.push(u32::from_le_bytes(std::array::from_fn(byte)));
                }
            }
        }
        PackedWeight::Quads { start, scale }
    }
}

fn weight_at(section: &[u16], panels: &Panels, panel: usize, column: usize, lane: usize) -> f32 {
    half::f16::from_bits(section[panels.start + (panel * panels.inputs + column) * LANES + lane]).to_f32()
}
