//! Dense layers that skip the products with zero inputs. After a ReLU half of the inputs or more are 0.
//!
//! A sum has the same bits without them: it is never -0 where that would show, and weights are finite. (The exception
//! are sums of bf16 below the smallest normal number, which the instruction takes as 0 whenever it adds to them.)
//!
//! The zero inputs differ from row to row, so each row goes over its own inputs, for all panels of a group at once. The
//! weights of [`BLOCK`] inputs of a group stay in the first-level cache for all rows of a tile; a row's sums wait in
//! memory meanwhile. Where numbers are packed, an input is a word of them.
//!
//! Each row loads the weights from that cache, while a tile of rows keeps them in registers. So this takes longer when
//! every input is in use: see [`are_few_in_use`].

use std::ops::Range;

use super::lanes::{Lanes, apply, from_bias, store};
use super::raw::Dense;
use super::{LANES, Rows, TILE_ROWS};

/// The number of inputs that a group of panels is multiplied with at a time.
pub(super) const BLOCK: usize = u64::BITS as usize;

/// With fewer panels there are too few sums at a time to hide the latency of each.
pub(crate) const LEAST_PANELS: usize = 4;

/// The percentage of inputs in use up to which skipping is faster; docs/performance.md has the measurements.
pub(super) const MOST_IN_USE: usize = 75;
/// The same for words of four.
pub(super) const MOST_QUADS_IN_USE: usize = 66;

/// Whether at most this percentage of the inputs of some rows is in use. Estimated from a few rows.
pub(super) fn are_few_in_use(arena: &[f32], input: Rows, rows: usize, inputs: usize, most: usize) -> bool {
    let in_use = |row| arena[input.row(row, inputs)].iter().map(|x| u32::from(x.to_bits() << 1 != 0)).sum::<u32>();
    let step = rows.div_ceil(3).max(1);
    let sample = (0..rows).step_by(step);
    sample.clone().map(in_use).sum::<u32>() as usize * 100 <= inputs * sample.len() * most
}

/// The panels of a matrix in equal groups of at most `most`.
pub(super) fn groups(panels: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = panels.div_ceil(most);
    (0..count).scan(0, move |next, group| {
        let start = *next;
        *next += (panels - start).div_ceil(count - group);
        Some(start..*next)
    })
}

/// A matrix of panels `[outputs / 16][inputs][16]` as groups `[inputs][panels of the group][16]`, at the same offsets.
pub(super) fn group<W: Copy>(panels: &[W], inputs: usize, most: usize, to: &mut [W]) {
    let panel_len = inputs * LANES;
    for group in groups(panels.len() / panel_len, most) {
        let places = group.start * panel_len..group.end * panel_len;
        for (input, to) in to[places].chunks_exact_mut(group.len() * LANES).enumerate() {
            for (panel, to) in group.clone().zip(to.chunks_exact_mut(LANES)) {
                to.copy_from_slice(&panels[panel * panel_len + input * LANES..][..LANES]);
            }
        }
    }
}

/// The pointers of such a layer. They are good as in [`Dense`]; the panels of a row of sums are contiguous, and so are
/// the weights of a group.
pub(super) struct Operands<W> {
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) x: *const f32,
    pub(super) x_stride: usize,
    pub(super) weight: *const W,
    pub(super) panel_stride: usize,
    /// The start of the sums, good for [`MOST_PANELS`] panels when its step is 0.
    pub(super) start: *const f32,
    pub(super) start_step: usize,
    pub(super) start_stride: usize,
    /// The place where sums wait.
    pub(super) sums: *mut f32,
    pub(super) sums_stride: usize,
}

/// The most panels of a group, on any kernel.
pub(super) const MOST_PANELS: usize = 9;

/// A layer that can skip products, with the instructions of V.
pub(super) trait Skips<V> {
    type Weight: Copy;

    fn operands(&self) -> Operands<Self::Weight>;

    /// A bit for each of sixteen inputs that is not 0; the first input's is the lowest.
    ///
    /// # Safety
    /// The CPU has V's instructions.
    unsafe fn in_use(x: V) -> u16;

    /// `sum + x · weight`.
    ///
    /// # Safety
    /// The CPU has V's instructions, the weights of a panel are good.
    unsafe fn add(sum: V, x: V, weight: *const Self::Weight) -> V;

    /// Applies what follows the sums of one row.
    ///
    /// # Safety
    /// The CPU has V's instructions; row and panels are within the layer.
    unsafe fn end<const P: usize>(&self, sums: &mut [[V; P]; 1], row: usize, panel: usize);
}

impl<V: Lanes> Skips<V> for Dense<f32> {
    type Weight = f32;

    #[inline(always)]
    fn operands(&self) -> Operands<f32> {
        Operands {
            rows: self.rows,
            inputs: self.inputs,
            x: self.x,
            x_stride: self.x_stride,
            weight: self.weight,
            panel_stride: self.panel_stride,
            start: self.bias,
            start_step: self.bias_step,
            start_stride: self.bias_stride,
            sums: self.out,
            sums_stride: self.out_stride,
        }
    }

    #[inline(always)]
    unsafe fn in_use(x: V) -> u16 {
        // SAFETY: the CPU has V's instructions, as this method asks.
        unsafe { x.nonzeros() }
    }

    #[inline(always)]
    unsafe fn add(sum: V, x: V, weight: *const f32) -> V {
        // SAFETY: the CPU has V's instructions and the panel's weights are good, as this method asks.
        unsafe { V::load(weight).mul_add(x, sum) }
    }

    #[inline(always)]
    unsafe fn end<const P: usize>(&self, sums: &mut [[V; P]; 1], row: usize, panel: usize) {
        // SAFETY: the CPU has V's instructions, and row and panels are within the layer, as this method asks.
        unsafe {
            apply(self.then, sums, row, panel);
            store(sums, self.out.add(row * self.out_stride + panel * LANES), 0, LANES);
        }
    }
}

/// Some inputs of a layer, with a bitmap of those in use.
pub(super) struct Block {
    first: usize,
    inputs: usize,
    /// A word of bits for each row, and one more.
    bits: [u64; TILE_ROWS + 1],
}

/// The block of a layer that starts at input `first`.
///
/// # Safety
/// The CPU has V's instructions. The layer's places are good, it has at most [`TILE_ROWS`] rows, and an input `first`.
#[inline(always)]
pub(super) unsafe fn block<V: Lanes, L: Skips<V>>(layer: &L, first: usize) -> Block {
    let at = layer.operands();
    let mut block = Block { first, inputs: (at.inputs - first).min(BLOCK), bits: [0; TILE_ROWS + 1] };
    for row in 0..at.rows {
        // SAFETY: rows below at.rows, which the array holds, inputs below at.inputs.
        unsafe {
            let x = at.x.add(row * at.x_stride + first);
            *block.bits.get_unchecked_mut(row) = in_use::<V, L>(x, block.inputs);
        }
    }
    block
}

/// The inputs in use among `n`, from the lowest bit on.
///
/// # Safety
/// The CPU has V's instructions; `x` is good for `n` elements, n ≤ [`BLOCK`].
#[inline(always)]
unsafe fn in_use<V: Lanes, L: Skips<V>>(x: *const f32, n: usize) -> u64 {
    let mut bits = 0;
    for at in (0..n).step_by(LANES) {
        // SAFETY: the CPU has V's instructions; `x` is good for `n` elements, of which at < n and the n - at after it are read.
        let some = unsafe {
            let some = if n - at >= LANES { V::load(x.add(at)) } else { V::load_first(x.add(at), n - at) };
            L::in_use(some)
        };
        bits |= u64::from(some) << at;
    }
    bits
}

/// Adds a block's products to the P panels that start at `panel`, for all rows. The weights are one of the groups.
///
/// # Safety
/// As for [`block`]; the block is of this layer.
#[inline(always)]
pub(super) unsafe fn panels<V: Lanes, L: Skips<V>, const P: usize>(layer: &L, block: &Block, panel: usize) {
    let at = layer.operands();
    let mut x = at.x.wrapping_add(block.first);
    let weight = at.weight.wrapping_add(panel * at.panel_stride + block.first * P * LANES);
    let mut sums_at = at.sums.wrapping_add(panel * LANES);
    let (mut from, from_stride) = match block.first {
        0 => (at.start.wrapping_add(panel * at.start_step), at.start_stride),
        _ => (sums_at.cast_const(), at.sums_stride),
    };
    let last = block.first + block.inputs == at.inputs;
    // Reads one row ahead: its load waits for those of earlier weights, and the end of each loop is mispredicted.
    let mut next = block.bits[0];
    for row in 0..at.rows {
        // SAFETY: rows below at.rows, of which the block has one more; a bit that is set is below its inputs.
        unsafe {
            let mut bits = next;
            next = *block.bits.get_unchecked(row + 1);
            let mut sums: [[V; P]; 1] = from_bias(from, LANES, 0, 0, 0);
            while bits != 0 {
                let input = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let x = V::splat(*x.add(input));
                for (p, sum) in sums[0].iter_mut().enumerate() {
                    *sum = L::add(*sum, x, weight.add((input * P + p) * LANES));
                }
            }
            if last {
                layer.end(&mut sums, row, panel);
            } else {
                store(&sums, sums_at, 0, LANES);
            }
        }
        x = x.wrapping_add(at.x_stride);
        sums_at = sums_at.wrapping_add(at.sums_stride);
        from = from.wrapping_add(from_stride);
    }
}

/// A layer that skips products, with panels in groups of at most `$most`. There is code for groups of `$panels`.
macro_rules! dense_by_groups {
    ($layer:ident, $lanes:ty, $most:expr, [$($panels:literal)+]) => {{
        // Zeros for them, and code for each number of panels that a group may have.
        const { assert!($most <= $crate::infer::kernel::skip::MOST_PANELS && [$($panels),+].len() == $most) };
        let inputs = $crate::infer::kernel::skip::Skips::<$lanes>::operands($layer).inputs;
        for first in (0..inputs).step_by($crate::infer::kernel::skip::BLOCK) {
            let block = $crate::infer::kernel::skip::block::<$lanes, _>($layer, first);
            for group in $crate::infer::kernel::skip::groups($layer.panels, $most) {
                match group.len() {
                    $($panels => $crate::infer::kernel::skip::panels::<$lanes, _, $panels>($layer, &block, group.start),)+
                    _ => {}
                }
            }
        }
    }};
}
pub(super) use dense_by_groups;
