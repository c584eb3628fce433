//! Sixteen f32 at a time, one panel wide: the operations of an instruction set, and the code built on them.
//!
//! Everything here is `#[inline(always)]` and ends up inside the `#[target_feature]` functions of one kernel.
//! The order of every sum is fixed by its length alone, so a row's result does not depend on its neighbours.

use crate::prefetch::prefetch_line;

use super::raw::{AddRows, CrossVector, Dense, Dots, Then, Widen};
use crate::artifact::model::Piece;

/// Sixteen f32 of one instruction set.
///
/// # Safety
/// - **CPU**: every method needs a CPU that has the implementor's instructions.
/// - **Elements**: a pointer is good for 16 elements (`load_first`: for n). It needs only the alignment of an element.
pub(super) trait Lanes: Copy {
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `n` of sixteen elements, zeros after them; the pointer must be good for n alone. n is 1 to 16.
    unsafe fn load_first(from: *const f32, n: usize) -> Self;
    /// Sixteen fp16, widened (exact).
    unsafe fn load_half(from: *const u16) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// A bit for each element that is not 0; the first element's is the lowest. NaN is not 0.
    unsafe fn nonzeros(self) -> u16;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self * factor + term`, fused where the instruction set can.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The larger of `self` and `least`; a NaN stays.
    unsafe fn at_least(self, least: Self) -> Self;
    /// `-|self|`.
    unsafe fn neg_abs(self) -> Self;
    /// `|self|` with the sign of `sign`.
    unsafe fn with_sign_of(self, sign: Self) -> Self;
    /// `self` where `test < 0`, `other` elsewhere (NaN included).
    unsafe fn where_negative(self, test: Self, other: Self) -> Self;
    /// Nearest integer, ties to even, |self| < 2^22.
    unsafe fn round(self) -> Self;
    /// `self * 2^n`, rounded once; n holds integers from -160 to 0, self is 0 or in [1/2, 2].
    unsafe fn scale(self, n: Self) -> Self;
    /// Adds halves to each other until one number is left.
    unsafe fn sum(self) -> f32;
}

/// How a weight is stored.
pub(super) trait Element: Copy {
    /// Sixteen weights.
    ///
    /// # Safety
    /// As for [`Lanes`]: **CPU**, **Elements**.
    unsafe fn load<V: Lanes>(from: *const Self) -> V;
}

impl Element for u16 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const Self) -> V {
        // SAFETY: **CPU** and **Elements** of this function are those of `load_half`.
        unsafe { V::load_half(from) }
    }
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const Self) -> V {
        // SAFETY: **CPU** and **Elements** of this function are those of `load`.
        unsafe { V::load(from) }
    }
}

/// Hides a number from the compiler. After the inner loop, distances between rows go through here. Otherwise the
/// compiler computes the addresses of all rows before it loops over the panels, runs out of registers, and fetches each
/// address from the stack.
#[inline(always)]
pub(super) fn opaque(distance: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let mut distance = distance;
        // SAFETY: the empty assembly does nothing.
        unsafe { core::arch::asm!("/* {0} */", inout(reg) distance, options(nomem, nostack, preserves_flags)) };
        distance
    }
    #[cfg(not(target_arch = "x86_64"))]
    distance
}

/// Where the values and the weights of one inner loop are: see [`Dense`].
pub(super) struct Loop<W> {
    pub(super) x: *const f32,
    pub(super) x_stride: usize,
    pub(super) weight: *const W,
    pub(super) panel_stride: usize,
    pub(super) steps: usize,
}

/// An implementation of the inner loop of R rows × P panels.
pub(super) trait Accumulate<V, W, const R: usize, const P: usize> {
    /// `sums[r][p] += Σ_k x[r][k] · weight[p][k]`, k in order.
    ///
    /// # Safety
    /// - **CPU**: it has V's instructions.
    /// - **Rows**: R rows of `steps` values, `x_stride` apart, are good.
    /// - **Panels**: P panels of `steps` times sixteen weights, `panel_stride` apart, are good.
    unsafe fn accumulate(sums: &mut [[V; P]; R], of: &Loop<W>);
}

/// The loop as the compiler generates it.
pub(super) struct Compiled;

impl<V: Lanes, W: Element, const R: usize, const P: usize> Accumulate<V, W, R, P> for Compiled {
    #[inline(always)]
    unsafe fn accumulate(sums: &mut [[V; P]; R], of: &Loop<W>) {
        let (mut x, mut w) = (of.x, of.weight);
        for _ in 0..of.steps {
            // SAFETY: **CPU**; r < R and p < P, and each of `steps` rounds goes one value and sixteen weights on, so **Rows** and
            // **Panels** cover all reads. The pointers end one past them.
            unsafe {
                let mut weights = [V::splat(0.0); P];
                for (p, weight) in weights.iter_mut().enumerate() {
                    // The next panels may not be in a cache. A single row waits for its own, and a prefetch takes
                    // longer.
                    if R > 1 {
                        prefetch_line(w.wrapping_add((P + p) * of.panel_stride));
                    }
                    *weight = W::load(w.add(p * of.panel_stride));
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let x = V::splat(*x.add(r * of.x_stride));
                    for p in 0..P {
                        row[p] = weights[p].mul_add(x, row[p]);
                    }
                }
                x = x.add(1);
                w = w.add(16);
            }
        }
    }
}

/// The initial sums of R rows × P panels: see the bias of [`Dense`].
///
/// # Safety
/// - **CPU**: it has V's instructions.
/// - **Bias**: `bias` is good for rows `row..row + R` and panels `panel..panel + P`, as [`Dense`] lays them out.
#[inline(always)]
pub(super) unsafe fn from_bias<V: Lanes, const R: usize, const P: usize>(
    bias: *const f32,
    step: usize,
    stride: usize,
    row: usize,
    panel: usize,
) -> [[V; P]; R] {
    // SAFETY: **CPU**; r < R and p < P, so **Bias** covers every load.
    unsafe {
        let mut sums = [[V::splat(0.0); P]; R];
        for p in 0..P {
            let bias = bias.add(row * stride + (panel + p) * step);
            if stride == 0 {
                // One load serves all rows: copying registers is free.
                let bias = V::load(bias);
                sums.iter_mut().for_each(|sums| sums[p] = bias);
            } else {
                let stride = opaque(stride);
                for (r, sums) in sums.iter_mut().enumerate() {
                    sums[p] = V::load(bias.add(r * stride));
                }
            }
        }
        sums
    }
}

/// Applies what follows the sums, except the hyperbolic tangent: see [`finish_tanh`]. The loops here and in [`store`]
/// are short so that they are unrolled and the sums stay in registers.
///
/// # Safety
/// - **CPU**: it has V's instructions.
/// - **Then**: the rows of `then` are good for rows `row..row + R` and panels `panel..panel + P`.
#[inline(always)]
pub(super) unsafe fn apply<V: Lanes, const R: usize, const P: usize>(
    then: Then,
    sums: &mut [[V; P]; R],
    row: usize,
    panel: usize,
) {
    // SAFETY: **CPU**; r < R and p < P, so **Then** covers every load.
    unsafe {
        match then {
            Then::Store | Then::Tanh => {}
            Then::Relu => {
                let zero = V::splat(0.0);
                for sums in sums {
                    for sum in sums {
                        *sum = sum.at_least(zero);
                    }
                }
            }
            Then::Cross { x0, x0_stride, xl, xl_stride } => {
                let (x0, xl) = (x0.add(row * x0_stride + panel * 16), xl.add(row * xl_stride + panel * 16));
                let (x0_stride, xl_stride) = (opaque(x0_stride), opaque(xl_stride));
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (p, sum) in sums.iter_mut().enumerate() {
                        let xl = V::load(xl.add(r * xl_stride + p * 16));
                        *sum = sum.mul_add(V::load(x0.add(r * x0_stride + p * 16)), xl);
                    }
                }
            }
        }
    }
}

/// Stores rows of sums as rows of f32 that start `stride` apart, their panels `step` apart.
///
/// # Safety
/// - **CPU**: it has V's instructions.
/// - **Out**: `out` is good for R rows of P panels, `stride` and `step` apart.
#[inline(always)]
pub(super) unsafe fn store<V: Lanes, const R: usize, const P: usize>(
    sums: &[[V; P]; R],
    out: *mut f32,
    stride: usize,
    step: usize,
) {
    let stride = opaque(stride);
    for (r, sums) in sums.iter().enumerate() {
        for (p, sum) in sums.iter().enumerate() {
            // SAFETY: **CPU**; r < R and p < P, so **Out** covers the store.
            unsafe { sum.store(out.add(r * stride + p * step)) }
        }
    }
}

/// R rows × P panels of a dense layer: the sums stay in registers from the bias to the epilogue.
///
/// # Safety
/// - **CPU**: it has V's instructions.
/// - **Good**: the pointers of `op` are good as [`Dense`] says.
/// - **Within**: rows `row..row + R` and panels `panel..panel + P` are within `op`.
#[inline(always)]
pub(super) unsafe fn tile<V: Lanes, W: Element, A: Accumulate<V, W, R, P>, const R: usize, const P: usize>(
    op: &Dense<W>,
    row: usize,
    panel: usize,
) {
    // SAFETY: **CPU**; by **Within** all offsets below stay in the ranges for which **Good** makes the pointers good.
    unsafe {
        let mut sums = from_bias(op.bias, op.bias_step, op.bias_stride, row, panel);
        let of = Loop {
            x: op.x.add(row * op.x_stride),
            x_stride: op.x_stride,
            weight: op.weight.add(panel * op.panel_stride),
            panel_stride: op.panel_stride,
            steps: op.inputs,
        };
        A::accumulate(&mut sums, &of);
        apply(op.then, &mut sums, row, panel);
        store(&sums, op.out.add(row * op.out_stride + panel * op.out_step), op.out_stride, op.out_step);
    }
}

/// The rest of a dense layer after its tiles: the activations whose code is too long to repeat in each tile.
///
/// # Safety
/// As for [`tile`], for all rows and panels.
#[inline(always)]
pub(super) unsafe fn finish<V: Lanes, W>(op: &Dense<W>) {
    if let Then::Tanh = op.then {
        // SAFETY: `op` is good as its type says, so the output is for all rows and panels.
        unsafe { finish_tanh::<V>(op.out, op.out_stride, op.rows, op.panels) }
    }
}

/// How many rows ahead a row's only sums are prefetched, and those of several groups.
const ROWS_AHEAD: [usize; 2] = [4, 1];

/// `out[row] = then(bias + from[row][0] + from[row][1] ...)`.
///
/// # Safety
/// The pointers are good as [`AddRows`] says.
#[inline(always)]
pub(super) unsafe fn add_rows<V: Lanes>(op: &AddRows) {
    let ahead = ROWS_AHEAD[usize::from(op.groups > 1)];
    for row in 0..op.rows {
        // The sums are anywhere in memory, so no CPU can predict the next ones.
        let coming = (row + ahead).min(op.rows - 1);
        // SAFETY: rows below op.rows, groups and panels below their numbers.
        unsafe {
            let (own, coming) = (op.from.add(row * op.groups), op.from.add(coming * op.groups));
            let mut panel = 0;
            while panel + 4 <= op.panels {
                add_panels::<V, 4>(op, row, panel, own, coming);
                panel += 4;
            }
            while panel < op.panels {
                add_panels::<V, 1>(op, row, panel, own, coming);
                panel += 1;
            }
        }
    }
    if let Then::Tanh = op.then {
        // SAFETY: `op` is good as its type says, so the output is for all rows and panels.
        unsafe { finish_tanh::<V>(op.out, op.out_stride, op.rows, op.panels) }
    }
}

/// P panels of one row.
///
/// # Safety
/// As for [`add_rows`]; the row and its panels `panel..panel + P` are within `op`, and `own` and `coming` are the pointers
/// of a row.
#[inline(always)]
unsafe fn add_panels<V: Lanes, const P: usize>(
    op: &AddRows,
    row: usize,
    panel: usize,
    own: *const *const f32,
    coming: *const *const f32,
) {
    // SAFETY: groups below op.groups; p < P, and the panels are within `op`.
    unsafe {
        let mut sums = from_bias::<V, 1, P>(op.bias, op.bias_step, op.bias_stride, row, panel);
        for group in 0..op.groups {
            let (own, coming) = (*own.add(group), *coming.add(group));
            for (p, sum) in sums[0].iter_mut().enumerate() {
                prefetch_line(coming.wrapping_add((panel + p) * 16));
                *sum = sum.add(V::load(own.add((panel + p) * 16)));
            }
        }
        apply(op.then, &mut sums, row, panel);
        store(&sums, op.out.add(row * op.out_stride + panel * 16), op.out_stride, 16);
    }
}

/// `out[to..] = values[from..]` for each piece.
///
/// # Safety
/// The pointers are good as [`Widen`] says.
#[inline(always)]
pub(super) unsafe fn widen<V: Lanes>(op: &Widen<'_>) {
    for &Piece { from, to, len } in op.pieces {
        let len = len as usize;
        // SAFETY: both are good for `len` elements; the buffers for sixteen.
        unsafe {
            let (from, to) = (op.values.add(from), op.out.add(to as usize));
            let mut at = 0;
            while at + 16 <= len {
                V::load_half(from.add(at)).store(to.add(at));
                at += 16;
            }
            if at < len {
                let (mut half, mut single) = ([0u16; 16], [0.0f32; 16]);
                std::ptr::copy_nonoverlapping(from.add(at), half.as_mut_ptr(), len - at);
                V::load_half(half.as_ptr()).store(single.as_mut_ptr());
                std::ptr::copy_nonoverlapping(single.as_ptr(), to.add(at), len - at);
            }
        }
    }
}

/// The hyperbolic tangent in place.
///
/// # Safety
/// `out` is good for `rows` rows of `panels * 16`.
#[inline(always)]
pub(super) unsafe fn finish_tanh<V: Lanes>(out: *mut f32, stride: usize, rows: usize, panels: usize) {
    for row in 0..rows {
        for panel in 0..panels {
            // SAFETY: a row of the output is `panels * 16` long.
            unsafe {
                let at = out.add(row * stride + panel * 16);
                tanh(V::load(at)).store(at);
            }
        }
    }
}

/// [`Lanes::load_first`] through a buffer on the stack.
///
/// # Safety
/// `from` is good for `n` elements, n ≤ 16.
#[inline(always)]
pub(super) unsafe fn load_first<V: Lanes>(from: *const f32, n: usize) -> V {
    let mut buffer = [0.0f32; 16];
    // SAFETY: `from` is good for `n` elements, and n ≤ 16 is what the buffer has; the load is of the whole buffer.
    unsafe {
        std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), n);
        V::load(buffer.as_ptr())
    }
}

/// `Σ a[i] b[i]` in four chains of sixteen.
///
/// # Safety
/// Both pointers are good for `n` elements.
#[inline(always)]
pub(super) unsafe fn dot<V: Lanes>(a: *const f32, b: *const f32, n: usize) -> f32 {
    // SAFETY: i + 16 ≤ n in the loops, i < n for the rest.
    unsafe {
        let mut chains = [V::splat(0.0); 4];
        let mut i = 0;
        while i + 64 <= n {
            for (c, chain) in chains.iter_mut().enumerate() {
                *chain = V::load(a.add(i + c * 16)).mul_add(V::load(b.add(i + c * 16)), *chain);
            }
            i += 64;
        }
        while i + 16 <= n {
            chains[0] = V::load(a.add(i)).mul_add(V::load(b.add(i)), chains[0]);
            i += 16;
        }
        if i < n {
            chains[1] = V::load_first(a.add(i), n - i).mul_add(V::load_first(b.add(i), n - i), chains[1]);
        }
        chains[0].add(chains[1]).add(chains[2].add(chains[3])).sum()
    }
}

/// `out[row] = Σ_terms vector · row`. Each row's sum has an order that depends on the lengths alone.
///
/// # Safety
/// The pointers are good as [`Dots`] says.
#[inline(always)]
pub(super) unsafe fn dots<V: Lanes>(op: &Dots) {
    // SAFETY: rows below op.rows, places below each term's length.
    unsafe {
        let mut row = 0;
        while row + 4 <= op.rows {
            dots_of::<V, 4>(op, row);
            row += 4;
        }
        while row < op.rows {
            dots_of::<V, 1>(op, row);
            row += 1;
        }
    }
}

/// R rows at a time, because the products of one row depend on each other.
///
/// # Safety
/// As for [`dots`]; rows `row..row + R` are within `op`.
#[inline(always)]
unsafe fn dots_of<V: Lanes, const R: usize>(op: &Dots, row: usize) {
    // SAFETY: the pointers are good as `Dots` says; r < R, so rows are within `op`, and i < term.len.
    unsafe {
        let mut sums = [V::splat(0.0); R];
        for term in &op.terms {
            let x = term.rows.add(row * term.stride);
            let mut i = 0;
            while i + 16 <= term.len {
                let vector = V::load(term.vector.add(i));
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(x.add(r * term.stride + i)).mul_add(vector, *sum);
                }
                i += 16;
            }
            if i < term.len {
                let vector = V::load_first(term.vector.add(i), term.len - i);
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load_first(x.add(r * term.stride + i), term.len - i).mul_add(vector, *sum);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            *op.out.add(row + r) = sum.sum();
        }
    }
}

/// One row of a DCN v1 layer: `x0 · scale + b + xl`.
///
/// # Safety
/// The pointers are good for `panels * 16` elements.
#[inline(always)]
pub(super) unsafe fn cross_vector<V: Lanes>(op: &CrossVector) {
    for panel in 0..op.panels {
        let at = panel * 16;
        // SAFETY: at + 16 ≤ panels * 16.
        unsafe {
            let sum = V::load(op.xl.add(at)).add(V::load(op.bias.add(at)));
            V::load(op.x0.add(at)).mul_add(V::splat(op.scale), sum).store(op.out.add(at));
        }
    }
}

/// One row of a mixture: `gate` becomes its softmax, and each expert's `rank` values are multiplied by theirs.
///
/// # Safety
/// `gate` is good for `experts` elements rounded up to 16, `values` for `experts * rank`.
#[inline(always)]
pub(super) unsafe fn mix<V: Lanes>(gate: *mut f32, experts: usize, values: *mut f32, rank: usize) {
    // SAFETY: expert < experts, i < rank; the vector loop stays within the padding.
    unsafe {
        let mut most = f32::NEG_INFINITY;
        for expert in 0..experts {
            most = most.max(*gate.add(expert));
        }
        for panel in 0..experts.div_ceil(16) {
            let at = gate.add(panel * 16);
            exp_of_negative(V::load(at).add(V::splat(-most))).store(at);
        }
        let mut sum = 0.0;
        for expert in 0..experts {
            sum += *gate.add(expert);
        }
        for expert in 0..experts {
            let share = *gate.add(expert) / sum;
            for i in 0..rank {
                *values.add(expert * rank + i) *= share;
            }
        }
    }
}

/// `values[i] = 1 / (1 + e^-values[i])`.
///
/// # Safety
/// `values` is good for `n` elements.
#[inline(always)]
pub(super) unsafe fn sigmoid_all<V: Lanes>(values: *mut f32, n: usize) {
    // SAFETY: i + 16 ≤ n in the loop, i < n for the rest.
    unsafe {
        let mut i = 0;
        while i + 16 <= n {
            sigmoid(V::load(values.add(i))).store(values.add(i));
            i += 16;
        }
        if i < n {
            let mut buffer = [0.0f32; 16];
            sigmoid(V::load_first(values.add(i), n - i)).store(buffer.as_mut_ptr());
            std::ptr::copy_nonoverlapping(buffer.as_ptr(), values.add(i), n - i);
        }
    }
}

/// y = n ln 2 + r with |r| ≤ ln 2 / 2 gives (n, e^r - 1). The series of seven terms leaves 5e-9.
#[inline(always)]
unsafe fn split_exp<V: Lanes>(y: V) -> (V, V) {
    // ln 2 in two parts; the first has 9 significant bits, so n times it is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const SERIES: [f32; 5] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    // SAFETY: **CPU**, as this function asks; no memory is accessed.
    unsafe {
        let n = y.mul(V::splat(std::f32::consts::LOG2_E)).round();
        let r = n.mul_add(V::splat(-LN2_LOW), n.mul_add(V::splat(-LN2_HIGH), y));
        let mut q = V::splat(1.0 / 5040.0);
        for c in SERIES {
            q = q.mul_add(r, V::splat(c));
        }
        (n, q.mul(r).mul_add(r, r))
    }
}

/// e^y for y ≤ 0. Below -110 the result is 0 in f32 anyway; it keeps the exponent in the range of `scale`.
#[inline(always)]
unsafe fn exp_of_negative<V: Lanes>(y: V) -> V {
    // SAFETY: **CPU**, as this function asks; no memory is accessed.
    unsafe {
        let (n, p) = split_exp(y.at_least(V::splat(-110.0)));
        p.add(V::splat(1.0)).scale(n)
    }
}

/// With e = e^-|x|: 1 / (1 + e) on the right, e / (1 + e) on the left, so that neither side cancels.
#[inline(always)]
unsafe fn sigmoid<V: Lanes>(x: V) -> V {
    // SAFETY: **CPU**, as this function asks; no memory is accessed.
    unsafe {
        let one = V::splat(1.0);
        let e = exp_of_negative(x.neg_abs());
        e.where_negative(x, one).div(one.add(e))
    }
}

/// With t = e^(-2|x|) - 1: |tanh x| = -t / (2 + t). t keeps its relative precision near 0. Past -40, t is -1.
#[inline(always)]
unsafe fn tanh<V: Lanes>(x: V) -> V {
    // SAFETY: **CPU**, as this function asks; no memory is accessed.
    unsafe {
        let y = x.neg_abs();
        let (n, p) = split_exp(y.add(y).at_least(V::splat(-40.0)));
        let power = V::splat(1.0).scale(n);
        let t = p.mul_add(power, power.add(V::splat(-1.0)));
        t.div(t.add(V::splat(2.0))).with_sign_of(x)
    }
}
