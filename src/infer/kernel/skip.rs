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
const BLOCK: usize = u64::BITS as usize;

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

/// The P panels of a layer that start at `panel`, for all rows. The weights are in groups, this is one of them.
///
/// # Safety
/// The operation's pointers are good (see [`Dense`]), it has at most [`TILE_ROWS`] rows and at least one input, and the panels
/// of a row of outputs are together.
#[inline(always)]
pub(super) unsafe fn panels<V: Lanes, const P: usize>(op: &Dense<f32>, panel: usize) {
    for first in (0..op.inputs).step_by(BLOCK) {
        let inputs = (op.inputs - first).min(BLOCK);
        // SAFETY: rows below op.rows, which the array holds, inputs below op.inputs; a bit that is set is below `inputs`.
        unsafe {
            let x = op.x.add(first);
            let weight = op.weight.add(panel * op.panel_stride + first * P * LANES);
            let mut of_rows = [0; TILE_ROWS + 1];
            for row in 0..op.rows {
                *of_rows.get_unchecked_mut(row) = in_use::<V>(x.add(row * op.x_stride), inputs);
            }
            // Read one row ahead: a load waits for those of weights before it, and the end of each loop is guessed wrong.
            let mut next = of_rows[0];
            for row in 0..op.rows {
                let mut bits = next;
                next = *of_rows.get_unchecked(row + 1);
                let out = op.out.add(row * op.out_stride + panel * LANES);
                let mut sums: [[V; P]; 1] = if first == 0 {
                    from_bias(op.bias, op.bias_step, op.bias_stride, row, panel)
                } else {
                    from_bias(out, LANES, 0, 0, 0)
                };
                while bits != 0 {
                    let input = bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let x = V::splat(*x.add(row * op.x_stride + input));
                    for (p, sum) in sums[0].iter_mut().enumerate() {
                        *sum = V::load(weight.add((input * P + p) * LANES)).mul_add(x, *sum);
                    }
                }
                if first + inputs == op.inputs {
                    apply(op.then, &mut sums, row, panel);
                }
                store(&sums, out, 0, LANES);
            }
        }
    }
}
