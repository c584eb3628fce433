//! The arithmetic, with one table of functions for each supported instruction set.
//!
//! # A tile in a layer
//!
//! A layer is `output = then(bias + W · input)`, for all rows of a tile. W is stored in panels of sixteen outputs, so
//! that one load brings the weights of sixteen outputs for one input:
//!
//! ```text
//!              inputs k = 0 .. K                       panels of W: [outputs / 16][K][16]
//!           ┌────────────────────┐
//!    row 0  │ x x x x …          │                  panel 0      panel 1      panel 2
//!    row 1  │ x                  │              k=0 [16 lanes]   [16 lanes]   [16 lanes]
//!     ⋮     │        a tile,     │              k=1 [16 lanes]   [16 lanes]   [16 lanes]
//!    row 13 │      84 rows       │               ⋮      ⋮            ⋮            ⋮
//!           ├────────────────────┤
//!    row 14 │                    │              a register tile: R rows × P panels of sums,
//!     ⋮     │                    │              14 × 2 registers of sixteen f32 on AVX-512
//!    row 83 └────────────────────┘
//! ```
//!
//! ```text
//! for each group of R rows                       # by_tiles: 84 rows are 6 groups of 14
//!     for each group of P panels                 # by_panels
//!         sums[r][p] = bias[p]                   # lanes::from_bias: or the request's share, or a row of its own
//!         for k in 0..K                          # Accumulate: in order, so that a row's bits do not depend on its tile
//!             w[p] = weight[p][k]                # P loads of sixteen weights
//!             for r in 0..R
//!                 sums[r][p] += x[r][k] * w[p]   # one x in all lanes, fused where the CPU can
//!         sums = then(sums)                      # lanes::apply: ReLU, or x0 ⊙ sum + xl of a cross layer
//!         output[r][p] = sums[r][p]              # lanes::store: f32; of packed layers also bf16 or u8 for the next one
//! ```
//!
//! The sums stay in registers from bias to store. After a ReLU many inputs are 0; then [`skip`] goes row by row over
//! those that are not. The output of one layer is the input of the next, and all of a tile's rows stay in the
//! first-level caches.
//!
//! # Files
//!
//! This one checks ranges and calls; [`raw`] has the operations with pointers, [`lanes`] the code on sixteen f32, and
//! [`make`] the loops over register tiles. [`portable`] and `x86_64/` are the instruction sets; [`fast`] is for packed
//! numbers.
//!
//! # Safety
//!
//! One binary holds all of them. [`Kernel::detect`] picks the best that the CPU runs; a `&'static Kernel` cannot be
//! had without that check, so calling its functions is safe. Sums run over the inputs in their order, starting from
//! the bias, for any shape of the register tile: with one kernel, a row has the same bits alone and among others.

#![allow(unsafe_code, reason = "intrinsics and raw pointers; ranges are checked by the methods of Kernel")]

mod fast;
mod lanes;
mod make;
mod near;
mod portable;
mod raw;
mod skip;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;

pub(crate) use fast::{Pack, PackedDense, Words, packed_row, words};
pub(crate) use skip::LEAST_PANELS;

use crate::artifact::model::Piece;
use crate::artifact::model::network::{LANES, padded};
use crate::error::{Error, Result};

/// Names the instructions that this CPU lacks.
type Lacks = fn() -> Vec<&'static str>;

/// The functions of one instruction set, which the CPU was checked to have.
pub struct Kernel {
    name: &'static str,
    /// From this many rows on, the kernel reads panels that were expanded to f32: widening them costs once for each
    /// tile of rows. For fewer rows, reading half the bytes is cheaper.
    expanded_from: usize,
    tile_rows: usize,
    lacks: Lacks,
    table: raw::Table,
    /// Products of packed numbers, and the instructions for them that the CPU lacks.
    fast: Option<(raw::FastTable, Lacks)>,
}

/// Best first.
#[cfg(target_arch = "x86_64")]
static KERNELS: [&Kernel; 3] = [&x86_64::avx512::KERNEL, &x86_64::avx2::KERNEL, &portable::KERNEL];
#[cfg(not(target_arch = "x86_64"))]
static KERNELS: [&Kernel; 1] = [&portable::KERNEL];

/// The most rows that go through a network at once. They are six times what the registers hold: a pair of panels serves
/// six groups of rows while it is in the first-level caches, weights by input are loaded there for six times as many
/// rows, and the steps between the layers run a sixth as often.
pub const TILE_ROWS: usize = 84;

/// Rows of f32 in an arena: where the first one starts and how far apart they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) start: usize,
    pub(crate) stride: usize,
}

impl Rows {
    /// The range of row `row` of the given width.
    pub(crate) fn row(&self, row: usize, width: usize) -> Range<usize> {
        let start = self.start + row * self.stride;
        start..start + width
    }

    /// The same rows from a column on.
    pub(crate) fn at_column(self, column: usize) -> Self {
        Self { start: self.start + column, ..self }
    }
}

/// A matrix of panels `[outputs / 16][inputs][16]`.
#[derive(Clone, Copy)]
pub(crate) enum Matrix<'a> {
    /// As stored: fp16.
    Half(&'a [u16]),
    /// Expanded.
    Single(&'a [f32]),
    /// Expanded, in the arena: computed for this request. Starts at this index.
    Arena(usize),
}

/// A vector, and the rows that it is multiplied with.
#[derive(Clone, Copy)]
pub(crate) struct Dot<'a> {
    pub(crate) vector: Values<'a>,
    pub(crate) rows: Rows,
    pub(crate) len: usize,
}

/// Values that do not change while a tile runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values<'a> {
    Params(&'a [f32]),
    /// In the arena, starting at this index.
    Arena(usize),
}

/// The most groups of columns whose sums a row may bring along.
pub const MOST_GROUPS: usize = 24;

/// Where the sums of a row are: a line of sixteen f32 in their memory, or an index of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SumAt(u64);

impl SumAt {
    /// Nowhere yet.
    pub(crate) const NONE: Self = Self(u32::MAX as u64);
    /// The bit of an index of the arena.
    const ARENA: u64 = 1 << 63;

    pub(crate) fn line(line: u32) -> Self {
        Self(line.into())
    }

    pub(crate) fn arena(at: usize) -> Self {
        Self(Self::ARENA | at as u64)
    }
}

/// Sums of rows that are not contiguous, of each group in turn. A layer starts from them.
pub(crate) struct AddRows<'a> {
    pub(crate) groups: usize,
    /// `[rows][groups]`, at most [`TILE_ROWS`] and [`MOST_GROUPS`].
    pub(crate) sums: &'a [SumAt],
    /// Memory of the sums of the first groups, and of the others.
    pub(crate) memory: [&'a [f32]; 2],
    /// The number of groups whose sums are in the first.
    pub(crate) first: usize,
    /// The offset in each row's sums of the values that are added here.
    pub(crate) at: usize,
    /// Before padding.
    pub(crate) outputs: usize,
    pub(crate) bias: Bias<'a>,
    pub(crate) output: Rows,
    pub(crate) then: Then,
}

/// The most terms of a head: two of the cross part, and the deep part.
pub(crate) const MOST_TERMS: usize = 4;

/// The initial value of a dense layer's sums.
#[derive(Clone, Copy)]
pub(crate) enum Bias<'a> {
    /// Zero.
    None,
    /// A vector padded to 16.
    Params(&'a [f32]),
    /// The same in the arena: a request's share of the sums.
    Arena(usize),
    /// One vector for each row, in the arena. It may be the output itself, to which the sums are then added.
    Rows(Rows),
}

/// The operation after a dense layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    None,
    /// max(0, sum); a NaN stays.
    Relu,
    Tanh,
    /// `x0 ⊙ sum + xl`.
    Cross {
        x0: Rows,
        xl: Rows,
    },
}

impl Bias<'_> {
    /// The address of the first one, and the distances between those of panels and of rows: see [`raw::Dense`]. `base`
    /// is an arena of `size`.
    fn checked(&self, base: *mut f32, size: usize, rows: usize, width: usize) -> (*const f32, usize, usize) {
        static ZERO: [f32; LANES] = [0.0; LANES];
        match *self {
            Bias::None => (ZERO.as_ptr(), 0, 0),
            Bias::Params(bias) => {
                within(bias.len(), Rows { start: 0, stride: 0 }, 1, width);
                (bias.as_ptr(), LANES, 0)
            }
            Bias::Arena(start) => {
                within(size, Rows { start, stride: 0 }, 1, width);
                (base.wrapping_add(start).cast_const(), LANES, 0)
            }
            Bias::Rows(at) => {
                within(size, at, rows, width);
                (base.wrapping_add(at.start).cast_const(), LANES, at.stride)
            }
        }
    }
}

impl Then {
    /// The same with pointers into an arena of `size` at `base`.
    fn checked(self, base: *mut f32, size: usize, rows: usize, width: usize) -> raw::Then {
        match self {
            Then::None => raw::Then::Store,
            Then::Relu => raw::Then::Relu,
            Then::Tanh => raw::Then::Tanh,
            Then::Cross { x0, xl } => {
                within(size, x0, rows, width);
                within(size, xl, rows, width);
                raw::Then::Cross {
                    x0: base.wrapping_add(x0.start),
                    x0_stride: x0.stride,
                    xl: base.wrapping_add(xl.start),
                    xl_stride: xl.stride,
                }
            }
        }
    }
}

/// A dense layer over the rows of a tile. All outputs are written, padding included.
pub(crate) struct Dense<'a> {
    /// The number of rows; there is no limit.
    pub(crate) rows: usize,
    pub(crate) weight: Matrix<'a>,
    /// The copy that [`Kernel::group`] makes, for inputs that are often 0.
    pub(crate) grouped: Option<&'a [f32]>,
    /// Inputs of the matrix.
    pub(crate) inputs: usize,
    /// The inputs that are multiplied here.
    pub(crate) columns: Range<usize>,
    /// Before padding.
    pub(crate) outputs: usize,
    pub(crate) bias: Bias<'a>,
    /// Column 0 of the input.
    pub(crate) input: Rows,
    /// Columns that are not multiplied here. They may be part of the input's rows.
    pub(crate) output: Rows,
    /// The distance between the panels of a row's outputs: [`LANES`] in a row; more when the rows become panels
    /// themselves.
    pub(crate) output_step: usize,
    pub(crate) then: Then,
}

impl Kernel {
    /// The best kernel that this CPU runs.
    #[must_use]
    pub fn detect() -> &'static Self {
        Self::available().next().unwrap_or(&portable::KERNEL)
    }

    /// All kernels that this CPU runs, best first.
    pub fn available() -> impl Iterator<Item = &'static Self> {
        KERNELS.into_iter().filter(|kernel| (kernel.lacks)().is_empty())
    }

    /// A kernel by its name: `portable`, `avx2` or `avx512`.
    ///
    /// # Errors
    /// `Unsupported` when there is none of that name in this build, or this CPU lacks its instructions.
    pub fn by_name(name: &str) -> Result<&'static Self> {
        let Some(kernel) = KERNELS.into_iter().find(|kernel| kernel.name == name) else {
            let names: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
            return Err(Error::unsupported(format!(
                "no kernel is named \"{name}\" in this build; there are {}",
                names.join(", ")
            )));
        };
        let lacks = (kernel.lacks)();
        if lacks.is_empty() {
            return Ok(kernel);
        }
        let names: Vec<_> = Self::available().map(|kernel| kernel.name).collect();
        Err(Error::unsupported(format!(
            "kernel {name} needs {}, which this CPU lacks; it runs {}",
            lacks.join(" and "),
            names.join(", ")
        )))
    }

    /// `portable`, `avx2` or `avx512`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Replaces each value by 1 / (1 + e^-value), within 3e-7 of it or 1e-38. NaN stays NaN.
    #[cfg(feature = "builder")]
    pub fn sigmoid(&self, values: &mut [f32]) {
        // SAFETY: the CPU has the instructions; the pointer is good for the slice.
        unsafe { (self.table.sigmoid)(values.as_mut_ptr(), values.len()) }
    }

    /// The number of rows that fill its register tiles; at most [`TILE_ROWS`].
    pub(crate) fn tile_rows(&self) -> usize {
        self.tile_rows
    }

    /// The number of rows from which on an operation needs panels as f32.
    pub(crate) fn expanded_from(&self) -> usize {
        self.expanded_from
    }

    /// A copy of a matrix of panels for [`Dense::grouped`].
    pub(crate) fn group(&self, panels: &[f32], inputs: usize, to: &mut [f32]) {
        skip::group(panels, inputs, self.table.group, to);
    }

    /// `Σ a[i] b[i]`.
    pub(crate) fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: the CPU has the instructions; both pointers are good for the shorter length.
        unsafe { (self.table.dot)(a.as_ptr(), b.as_ptr(), a.len().min(b.len())) }
    }

    /// `sums[row] = Σ_terms vector · row` for the first `sums.len()` rows; at most [`MOST_TERMS`] terms.
    pub(crate) fn dots<'a>(&self, arena: &[f32], terms: impl IntoIterator<Item = Dot<'a>>, sums: &mut [f32]) {
        let none = raw::DotTerm { vector: arena.as_ptr(), rows: arena.as_ptr(), stride: 0, len: 0 };
        let mut op = raw::Dots { rows: sums.len(), terms: [none; MOST_TERMS], out: sums.as_mut_ptr() };
        let mut places = op.terms.iter_mut();
        for Dot { vector, rows, len } in terms {
            within(arena.len(), rows, sums.len(), len);
            let vector = match vector {
                Values::Params(values) => &values[..len],
                Values::Arena(start) => &arena[start..start + len],
            };
            let place = places.next().expect("a head has few terms");
            // SAFETY: the start was just checked to be in the arena.
            let first = unsafe { arena.as_ptr().add(rows.start) };
            *place = raw::DotTerm { vector: vector.as_ptr(), rows: first, stride: rows.stride, len };
        }
        // SAFETY: the CPU has the instructions; all ranges were checked above, `out` is as long as there are rows.
        unsafe { (self.table.dots)(&op) }
    }

    /// `x0 · scale + bias + xl` for one row: places in the arena, as wide as the bias, which is padded to 16.
    pub(crate) fn cross_vector(&self, arena: &mut [f32], scale: f32, bias: &[f32], x0: usize, xl: usize, out: usize) {
        let panels = bias.len() / LANES;
        for place in [x0, xl, out] {
            within(arena.len(), Rows { start: place, stride: 0 }, 1, panels * LANES);
        }
        let base = arena.as_mut_ptr();
        // SAFETY: the CPU has the instructions; x0, xl and out are good for `panels * 16` by the check above, the
        // bias by its length. All pointers into the arena come from one borrow.
        unsafe {
            (self.table.cross_vector)(&raw::CrossVector {
                panels,
                scale,
                x0: base.add(x0),
                bias: bias.as_ptr(),
                xl: base.add(xl),
                out: base.add(out),
            });
        }
    }

    /// For each row: softmax over its `experts` gates (padded to 16), then each expert's `rank` values are multiplied
    /// by its share.
    pub(crate) fn mix(&self, arena: &mut [f32], rows: usize, gate: Rows, experts: usize, values: Rows, rank: usize) {
        within(arena.len(), gate, rows, padded(experts));
        within(arena.len(), values, rows, experts * rank);
        let base = arena.as_mut_ptr();
        for row in 0..rows {
            // SAFETY: the CPU has the instructions; both ranges were checked for all rows.
            unsafe {
                let gate = base.add(gate.start + row * gate.stride);
                (self.table.mix)(gate, experts, base.add(values.start + row * values.stride), rank);
            }
        }
    }

    /// `output[row] = then(bias + the sums of each group of the row, from at)`. All outputs are written, padding included.
    pub(crate) fn add_rows(&self, arena: &mut [f32], op: &AddRows<'_>) {
        let (rows, size) = (op.sums.len() / op.groups.max(1), arena.len());
        let width = padded(op.outputs);
        within(size, op.output, rows, width);
        let base = arena.as_mut_ptr();
        let then = op.then.checked(base, size, rows, width);
        let (bias, bias_step, bias_stride) = op.bias.checked(base, size, rows, width);
        let mut from = [const { MaybeUninit::uninit() }; TILE_ROWS * MOST_GROUPS];
        let places = from[..rows * op.groups].chunks_mut(op.groups.max(1)).zip(op.sums.chunks(op.groups.max(1)));
        for (from, sums) in places {
            for (group, (from, &SumAt(sum))) in from.iter_mut().zip(sums).enumerate() {
                if sum & SumAt::ARENA == 0 {
                    let memory = op.memory[usize::from(group >= op.first)];
                    from.write(memory[sum as usize * LANES + op.at..][..width].as_ptr());
                    continue;
                }
                let start = (sum & !SumAt::ARENA) as usize + op.at;
                within(size, Rows { start, stride: 0 }, 1, width);
                from.write(base.wrapping_add(start).cast_const());
            }
        }
        // SAFETY: the CPU has the instructions; output, bias, x0, xl and every row of `from` were checked to be within the
        // arena or their slice, and as many of `from` were written as there are rows and groups. Pointers into the arena
        // come from one borrow.
        unsafe {
            (self.table.add_rows)(&raw::AddRows {
                rows,
                groups: op.groups,
                panels: width / LANES,
                from: from.as_ptr().cast(),
                bias,
                bias_step,
                bias_stride,
                out: base.add(op.output.start),
                out_stride: op.output.stride,
                then,
            });
        }
    }

    /// Widens rows of fp16 among `values` into `out`.
    pub(crate) fn widen(&self, values: &[u16], pieces: &[Piece], out: &mut [f32]) {
        for &Piece { from, to, len } in pieces {
            let len = len as usize;
            assert!(from + len <= values.len() && to as usize + len <= out.len(), "an embedding row and its columns");
        }
        let op = raw::Widen { values: values.as_ptr(), pieces, out: out.as_mut_ptr() };
        // SAFETY: the CPU has the instructions; every piece was just checked to be within both.
        unsafe { (self.table.widen)(&op) }
    }

    /// The most bytes of sums that are added to a row faster than they are computed: those of a cache that is near enough.
    pub(crate) fn near_bytes(&self) -> u64 {
        near::bytes()
    }

    /// Runs a dense layer: `output[row] = then(bias + Σ_k weight[k] · input[row][k])` over the given columns.
    pub(crate) fn dense(&self, arena: &mut [f32], op: &Dense<'_>) {
        let panels = op.outputs.div_ceil(LANES);
        let width = panels * LANES;
        let panel_stride = op.inputs.saturating_mul(LANES);
        assert!(op.columns.start <= op.columns.end && op.columns.end <= op.inputs, "columns of a layer");
        let size = arena.len();
        within(size, op.input, op.rows, op.columns.end);
        assert!(op.output_step == LANES || op.then != Then::Tanh, "tanh is applied to rows");
        let last = panels.saturating_sub(1).saturating_mul(op.output_step);
        within(size, op.output, op.rows, last.saturating_add(width.min(LANES)));
        let grouped = op.grouped.filter(|grouped| {
            within(grouped.len(), Rows { start: 0, stride: panel_stride }, panels, panel_stride);
            let whole = op.columns == (0..op.inputs) && op.inputs > 0;
            let together = op.output_step == LANES && !matches!(op.bias, Bias::None);
            let fits = whole && together && op.rows <= TILE_ROWS;
            fits && skip::are_few_in_use(arena, op.input, op.rows, op.inputs, skip::MOST_IN_USE)
        });
        let base = arena.as_mut_ptr();
        let then = op.then.checked(base, size, op.rows, width);
        let (bias, bias_step, bias_stride) = op.bias.checked(base, size, op.rows, width);
        let (start, length) = match op.weight {
            Matrix::Half(panels) => (0, panels.len()),
            Matrix::Single(panels) => (0, panels.len()),
            Matrix::Arena(start) => (start, size),
        };
        within(length, Rows { start, stride: panel_stride }, panels, panel_stride);
        let first = op.columns.start;
        // SAFETY: input, output, bias, x0 and xl were checked to be within the arena (or their slice), the columns
        // within the inputs, and the panels within the matrix. Pointers into the arena come from one borrow.
        unsafe {
            macro_rules! call {
                ($function:ident, $weight:expr) => {
                    (self.table.$function)(&raw::Dense {
                        rows: op.rows,
                        inputs: op.columns.len(),
                        panels,
                        weight: $weight.add(first * LANES),
                        panel_stride,
                        x: base.add(op.input.start + first),
                        x_stride: op.input.stride,
                        bias,
                        bias_step,
                        bias_stride,
                        out: base.add(op.output.start),
                        out_stride: op.output.stride,
                        out_step: op.output_step,
                        then,
                    })
                };
            }
            if let Some(grouped) = grouped {
                return call!(dense_grouped, grouped.as_ptr());
            }
            match op.weight {
                Matrix::Half(weight) => call!(dense_half, weight.as_ptr()),
                Matrix::Single(weight) => call!(dense_single, weight.as_ptr()),
                Matrix::Arena(start) => call!(dense_single, base.add(start).cast_const()),
            }
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kernel").field(&self.name).finish()
    }
}

/// Refuses rows that do not fit in `size` elements. A plan lays all of them out within the arena, so this never
/// happens; the unsafe code below relies on it.
fn within(size: usize, rows: Rows, count: usize, width: usize) {
    let end = count
        .saturating_sub(1)
        .checked_mul(rows.stride)
        .and_then(|last| last.checked_add(rows.start))
        .and_then(|last| last.checked_add(width));
    assert!(end.is_some_and(|end| end <= size), "{count} rows of {width} at {rows:?} do not fit in {size}");
}

#[cfg(test)]
mod tests;
