//! Dense layers that leave out the products with inputs that are 0, as half of them or more are behind a ReLU.
//!
//! A sum has the same bits without them: it never is -0 where that would show, and weights are finite. Which inputs are 0
//! differs from row to row, so each row goes over its own, all panels of a group at once. The weights of [`BLOCK`] inputs
//! of a group stay in the first cache for all rows of a tile; the sums of a row wait in its outputs meanwhile.
//!
//! The weights come from that cache for each row, where a tile of rows keeps them in registers. So with every input in use
//! it takes longer: see [`is_worth`].

use std::ops::Range;

use super::lanes::{Lanes, apply, from_bias, store};
use super::raw::Dense;
use super::{LANES, Rows, TILE_ROWS};

/// Inputs whose weights a group of panels is multiplied with before the next ones.
pub(super) const BLOCK: usize = u64::BITS as usize;

/// Fewer panels have too few sums at a time: each of them waits for itself.
pub(crate) const LEAST_PANELS: usize = 4;

/// Whether so few of the inputs of some rows are in use that leaving the others out is quicker. A guess by a few rows.
pub(super) fn is_worth(arena: &[f32], input: Rows, rows: usize, inputs: usize) -> bool {
    let in_use = |row| arena[input.row(row, inputs)].iter().filter(|&&x| x != 0.0).count();
    let step = rows.div_ceil(3).max(1);
    let sample = (0..rows).step_by(step);
    sample.clone().map(in_use).sum::<usize>() * 3 <= inputs * sample.len() * 2
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

/// A matrix of panels `[outputs / 16][inputs][16]` in groups `[inputs][panels of the group][16]`, at the same places.
pub(super) fn group(panels: &[f32], inputs: usize, most: usize, to: &mut [f32]) {
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

/// Which of `n` values are not 0 (NaN is not), from the lowest bit on.
///
/// # Safety
/// The CPU has V's instructions; `x` is good for `n` elements, n ≤ [`BLOCK`].
#[inline(always)]
unsafe fn in_use<V: Lanes>(x: *const f32, n: usize) -> u64 {
    let mut bits = 0;
    for at in (0..n).step_by(LANES) {
        // SAFETY: by the caller's promise.
        let some =
            unsafe { if n - at >= LANES { V::load(x.add(at)) } else { V::load_first(x.add(at), n - at) }.nonzeros() };
        bits |= u64::from(some) << at;
    }
    bits
}

/// Some inputs of a layer, and which of them are in use.
pub(super) struct Block {
    first: usize,
    inputs: usize,
    /// Of each row.
    bits: [u64; TILE_ROWS + 1],
}

/// The block of a layer that starts at input `first`.
///
/// # Safety
/// The operation's pointers are good (see [`Dense`]), it has at most [`TILE_ROWS`] rows, and an input `first`.
#[inline(always)]
pub(super) unsafe fn block<V: Lanes>(op: &Dense<f32>, first: usize) -> Block {
    let mut block = Block { first, inputs: (op.inputs - first).min(BLOCK), bits: [0; TILE_ROWS + 1] };
    for row in 0..op.rows {
        // SAFETY: rows below op.rows, which the array holds, inputs below op.inputs.
        unsafe { *block.bits.get_unchecked_mut(row) = in_use::<V>(op.x.add(row * op.x_stride + first), block.inputs) };
    }
    block
}

/// What a block adds to the P panels that start at `panel`, for all rows. The weights are in groups, this is one of them.
///
/// # Safety
/// As for [`block`]; the block is of this operation, and the panels of a bias and of a row of outputs are together.
#[inline(always)]
pub(super) unsafe fn panels<V: Lanes, const P: usize>(op: &Dense<f32>, block: &Block, panel: usize) {
    let mut x = op.x.wrapping_add(block.first);
    let weight = op.weight.wrapping_add(panel * op.panel_stride + block.first * P * LANES);
    let mut out = op.out.wrapping_add(panel * LANES);
    let (mut from, from_stride) = match block.first {
        0 => (op.bias.wrapping_add(panel * LANES), op.bias_stride),
        _ => (out.cast_const(), op.out_stride),
    };
    let last = block.first + block.inputs == op.inputs;
    // Read one row ahead: a load waits for those of weights before it, and the end of each loop is guessed wrong.
    let mut next = block.bits[0];
    for row in 0..op.rows {
        // SAFETY: rows below op.rows, of which the block has one more; a bit that is set is below its inputs.
        unsafe {
            let mut bits = next;
            next = *block.bits.get_unchecked(row + 1);
            let mut sums: [[V; P]; 1] = from_bias(from, LANES, 0, 0, 0);
            while bits != 0 {
                let input = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let x = V::splat(*x.add(input));
                for (p, sum) in sums[0].iter_mut().enumerate() {
                    *sum = V::load(weight.add((input * P + p) * LANES)).mul_add(x, *sum);
                }
            }
            if last {
                apply(op.then, &mut sums, row, panel);
            }
            store(&sums, out, 0, LANES);
        }
        x = x.wrapping_add(op.x_stride);
        out = out.wrapping_add(op.out_stride);
        from = from.wrapping_add(from_stride);
    }
}
