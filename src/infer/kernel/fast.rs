//! Layers over packed numbers, for kernels with instructions for them. Words of two bf16 or four u8 take the place of
//! f32 in the arena.

use super::{Bias, Kernel, Rows, TILE_ROWS, Then, raw, skip, within};
use crate::artifact::model::network::{LANES, padded};
pub(crate) use raw::Pack;

/// The number of 32-bit words that hold this many packed values.
pub(crate) const fn words(values: usize, each: usize) -> usize {
    values.div_ceil(each)
}

/// Words of a packed row with its padding: panels of sixteen are written whole.
pub(crate) const fn packed_row(values: usize, each: usize) -> usize {
    padded(values) / each
}

/// A matrix of words: panels `[outputs / 16][words][16]`.
#[derive(Clone, Copy)]
pub(crate) enum Words<'a> {
    /// Pairs of bf16.
    Pairs(&'a [u32]),
    /// Pairs of bf16 in the arena, computed for this request. They start at this index.
    Arena(usize),
    /// Quads of i8, and the value of one unit of each output's sum, padded to 16.
    Quads(&'a [u32], &'a [f32]),
}

/// A dense layer over packed rows. All outputs are written, padding included; packed outputs past the last are 0.
pub(crate) struct PackedDense<'a> {
    pub(crate) rows: usize,
    pub(crate) weight: Words<'a>,
    /// The copy that [`Kernel::group_words`] makes, for words that are often 0, and the place where sums of f32 or i32
    /// wait.
    pub(crate) grouped: Option<(&'a [u32], Rows)>,
    /// Words of a row.
    pub(crate) words: usize,
    /// The outputs before padding.
    pub(crate) outputs: usize,
    pub(crate) bias: Bias<'a>,
    /// Rows of words.
    pub(crate) input: Rows,
    pub(crate) then: Then,
    /// Rows of f32.
    pub(crate) output: Option<Rows>,
    /// Rows of words.
    pub(crate) packed: Option<(Pack, Rows)>,
}

/// The bytes of a word that a packed value takes.
pub(crate) fn each(pack: Pack) -> usize {
    match pack {
        Pack::None => 1,
        Pack::Pairs => 2,
        Pack::Quads => 4,
    }
}

impl Kernel {
    /// The instructions for packed numbers that this CPU lacks; empty when this kernel can multiply them.
    pub(crate) fn lacks_fast(&self) -> Vec<&'static str> {
        match &self.fast {
            Some((_, lacks)) => lacks(),
            None => vec!["a kernel for packed numbers"],
        }
    }

    /// A copy of a matrix of words for [`PackedDense::grouped`].
    pub(crate) fn group_words(&self, panels: &[u32], words: usize, to: &mut [u32]) {
        skip::group(panels, words, self.fast().group, to);
    }

    /// Only plans made after a check of [`Kernel::lacks_fast`] come here.
    fn fast(&self) -> &raw::FastTable {
        &self.fast.as_ref().expect("a plan of packed numbers has a kernel for them").0
    }

    /// `then(bias + Σ_k weight[k] · input[row][k])` of each row, as f32, packed, or both.
    pub(crate) fn packed_dense(&self, arena: &mut [f32], op: &PackedDense<'_>) {
        let panels = op.outputs.div_ceil(LANES);
        let width = panels * LANES;
        let panel_stride = op.words.saturating_mul(LANES);
        let size = arena.len();
        let length = match op.weight {
            Words::Pairs(words) | Words::Quads(words, _) => words.len(),
            Words::Arena(_) => size,
        };
        let first = if let Words::Arena(start) = op.weight { start } else { 0 };
        within(length, Rows { start: first, stride: panel_stride }, panels, panel_stride);
        within(size, op.input, op.rows, op.words);
        if let Some(output) = op.output {
            within(size, output, op.rows, width);
        }
        let (pack, packed) = op.packed.unwrap_or((Pack::None, Rows { start: 0, stride: 0 }));
        if pack != Pack::None {
            within(size, packed, op.rows, packed_row(op.outputs, each(pack)));
        }
        assert!(op.output.is_some() || op.then != Then::Tanh, "tanh is applied to what was written");
        let grouped = op.grouped.filter(|(words, sums)| {
            within(words.len(), Rows { start: 0, stride: panel_stride }, panels, panel_stride);
            within(size, *sums, op.rows, width);
            let fits = op.words > 0 && op.rows <= TILE_ROWS && !matches!(op.bias, Bias::None);
            let most = if let Words::Quads(..) = op.weight { skip::MOST_QUADS_IN_USE } else { skip::MOST_IN_USE };
            fits && skip::are_few_in_use(arena, op.input, op.rows, op.words, most)
        });
        let fast = self.fast();
        let base = arena.as_mut_ptr();
        let (bias, bias_step, bias_stride) = op.bias.checked(base, size, op.rows, width);
        let then = op.then.checked(base, size, op.rows, width);
        let scale = match op.weight {
            Words::Quads(_, scale) => &scale[..width],
            _ => &[],
        };
        // SAFETY: the CPU has the instructions, by the look at `lacks_fast`. Input, outputs, bias, x0 and xl were checked to
        // be within the arena (or their slice), the scales and panels within theirs. Pointers into the arena come from one
        // borrow.
        unsafe {
            macro_rules! call {
                ($function:ident, $weight:expr) => {
                    (fast.$function)(&raw::Packed {
                        rows: op.rows,
                        words: op.words,
                        panels,
                        outputs: op.outputs,
                        weight: $weight.cast(),
                        panel_stride,
                        x: base.add(op.input.start),
                        x_stride: op.input.stride,
                        scale: scale.as_ptr(),
                        bias,
                        bias_step,
                        bias_stride,
                        then,
                        out: op.output.map_or(std::ptr::null_mut(), |rows| base.add(rows.start)),
                        out_stride: op.output.map_or(0, |rows| rows.stride),
                        pack,
                        packed: base.add(packed.start),
                        packed_stride: packed.stride,
                        sums: grouped.map_or(std::ptr::null_mut(), |(_, sums)| base.add(sums.start)),
                        sums_stride: grouped.map_or(0, |(_, sums)| sums.stride),
                    })
                };
            }
            match (op.weight, grouped) {
                (Words::Pairs(_), Some((words, _))) => call!(pairs_grouped, words.as_ptr()),
                (Words::Quads(..), Some((words, _))) => call!(quads_grouped, words.as_ptr()),
                (Words::Pairs(weight), None) => call!(pairs, weight.as_ptr()),
                (Words::Quads(weight, _), None) => call!(quads, weight.as_ptr()),
                (Words::Arena(start), _) => call!(pairs, base.add(start).cast_const()),
            }
        }
    }

    /// Rows of `len` f32 to rows of pairs.
    pub(crate) fn pack_rows(&self, arena: &mut [f32], rows: usize, from: Rows, len: usize, to: Rows) {
        within(arena.len(), from, rows, len);
        within(arena.len(), to, rows, packed_row(len, 2));
        let base = arena.as_mut_ptr();
        // SAFETY: the CPU has the instructions, by the look at `lacks_fast`; both ranges were checked.
        unsafe {
            (self.fast().pack_rows)(&raw::PackRows {
                rows,
                len,
                from: base.add(from.start),
                from_stride: from.stride,
                to: base.add(to.start),
                to_stride: to.stride,
            });
        }
    }

    /// Converts a matrix stored as rows of `outputs`, one row for each input, to panels of pairs. The panels start at
    /// `to.start` and every `to.stride` after it.
    pub(crate) fn pack_panels(&self, arena: &mut [f32], from: Rows, inputs: usize, outputs: usize, to: Rows) {
        within(arena.len(), from, inputs, padded(outputs));
        within(arena.len(), to, outputs.div_ceil(LANES), words(inputs, 2) * LANES);
        let base = arena.as_mut_ptr();
        // SAFETY: the CPU has the instructions, by the look at `lacks_fast`; both ranges were checked.
        unsafe {
            (self.fast().pack_panels)(&raw::PackPanels {
                inputs,
                panels: outputs.div_ceil(LANES),
                from: base.add(from.start),
                from_stride: from.stride,
                to: base.add(to.start),
                panel_stride: to.stride,
            });
        }
    }
}
