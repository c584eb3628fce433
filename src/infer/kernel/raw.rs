//! Operations in the form of the instruction sets: pointers whose ranges [`super::Kernel`] has checked.

use crate::artifact::model::Piece;

/// A dense layer over the rows of a tile.
///
/// Good means: `weight` for `panels` panels that start `panel_stride` apart and have `inputs * 16` elements each; `x`
/// for `rows` rows of `inputs`; `bias` for 16 elements at every multiple of `bias_step` below `panels * bias_step`
/// (`bias_step` is 16, or 0 for one panel that serves all) of `rows` rows that start `bias_stride` apart (0 for one row
/// that serves all); `out` for 16 elements at every multiple of `out_step` below `panels * out_step` of `rows` rows that start
/// `out_stride` apart; the rows of `then` for `rows` rows of `panels * 16`. Weights and bias are not written meanwhile.
pub(super) struct Dense<W> {
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) panels: usize,
    pub(super) weight: *const W,
    pub(super) panel_stride: usize,
    pub(super) x: *const f32,
    pub(super) x_stride: usize,
    pub(super) bias: *const f32,
    pub(super) bias_step: usize,
    pub(super) bias_stride: usize,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    pub(super) out_step: usize,
    pub(super) then: Then,
}

/// The operation after the sums.
#[derive(Clone, Copy)]
pub(super) enum Then {
    Store,
    Relu,
    Tanh,
    Cross { x0: *const f32, x0_stride: usize, xl: *const f32, xl_stride: usize },
}

/// Two bf16 of one output, the earlier input's in the low half.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Pair(#[allow(dead_code, reason = "read by the loops alone")] u32);

/// Four i8 of one output, the earliest input's in the lowest byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Quad(#[allow(dead_code, reason = "read by the loops alone")] u32);

/// A dense layer over packed rows: 32-bit words in place of f32.
///
/// Good is as for [`Dense`], with `words` in the place of inputs. `scale` is good for `panels * 16` elements of a layer of
/// quads. `out` may be null, then it is not written. `packed` is good for `rows` rows of `panels * 16` packed outputs.
pub(super) struct Packed<W> {
    pub(super) rows: usize,
    pub(super) words: usize,
    pub(super) panels: usize,
    /// Before padding; packed outputs past this count are 0.
    pub(super) outputs: usize,
    pub(super) weight: *const W,
    pub(super) panel_stride: usize,
    pub(super) x: *const f32,
    pub(super) x_stride: usize,
    pub(super) scale: *const f32,
    pub(super) bias: *const f32,
    pub(super) bias_step: usize,
    pub(super) bias_stride: usize,
    pub(super) then: Then,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    pub(super) pack: Pack,
    pub(super) packed: *mut f32,
    pub(super) packed_stride: usize,
    /// Where the sums of a layer that skips zeros wait: good for `rows` rows of `panels * 16`.
    pub(super) sums: *mut f32,
    pub(super) sums_stride: usize,
}

/// How f32 are packed into words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pack {
    /// Not at all.
    None,
    /// bf16, rounded to nearest even.
    Pairs,
    /// u8, rounded: 0 to 255.
    Quads,
}

/// Rows of `len` f32 to pairs: `to` is good for `rows` rows of `len` rounded up to 16 bf16. Zeros follow the last.
pub(super) struct PackRows {
    pub(super) rows: usize,
    pub(super) len: usize,
    pub(super) from: *const f32,
    pub(super) from_stride: usize,
    pub(super) to: *mut f32,
    pub(super) to_stride: usize,
}

/// Rows of outputs, one row for each input, to panels of pairs that start `panel_stride` apart: `from` is good for `inputs` rows
/// of `panels * 16`, `to` in each panel for `inputs / 2` (rounded up) times sixteen words.
pub(super) struct PackPanels {
    pub(super) inputs: usize,
    pub(super) panels: usize,
    pub(super) from: *const f32,
    pub(super) from_stride: usize,
    pub(super) to: *mut f32,
    pub(super) panel_stride: usize,
}

/// The additional functions of an instruction set with products of packed numbers.
pub(super) struct FastTable {
    pub(super) pairs: unsafe fn(&Packed<Pair>),
    pub(super) quads: unsafe fn(&Packed<Quad>),
    /// The most panels whose sums stay in registers for one row.
    pub(super) group: usize,
    /// Like `pairs` and `quads`, with the weights in groups of that many panels: see [`super::skip`].
    pub(super) pairs_grouped: unsafe fn(&Packed<Pair>),
    pub(super) quads_grouped: unsafe fn(&Packed<Quad>),
    pub(super) pack_rows: unsafe fn(&PackRows),
    pub(super) pack_panels: unsafe fn(&PackPanels),
}

/// A head's dot products with the rows of a tile: `out` is good for `rows` elements.
pub(super) struct Dots {
    pub(super) rows: usize,
    /// An unused term has length 0.
    pub(super) terms: [DotTerm; super::MOST_TERMS],
    pub(super) out: *mut f32,
}

/// `vector` is good for `len` elements, `rows` for as many in each row.
#[derive(Clone, Copy)]
pub(super) struct DotTerm {
    pub(super) vector: *const f32,
    pub(super) rows: *const f32,
    pub(super) stride: usize,
    pub(super) len: usize,
}

/// Sums that are added to a bias, group by group. Good is as for [`Dense`]; `from` is good for `rows` times `groups`
/// pointers, each of them for `panels * 16` elements.
pub(super) struct AddRows {
    pub(super) rows: usize,
    pub(super) groups: usize,
    pub(super) panels: usize,
    pub(super) from: *const *const f32,
    pub(super) bias: *const f32,
    pub(super) bias_step: usize,
    pub(super) bias_stride: usize,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    pub(super) then: Then,
}

/// Rows of fp16 that are widened: `values` and `out` are good for every piece.
pub(super) struct Widen<'a> {
    pub(super) values: *const u16,
    pub(super) pieces: &'a [Piece],
    pub(super) out: *mut f32,
}

/// One row of a DCN v1 layer; all pointers are good for `panels * 16` elements.
pub(super) struct CrossVector {
    pub(super) panels: usize,
    pub(super) scale: f32,
    pub(super) x0: *const f32,
    pub(super) bias: *const f32,
    pub(super) xl: *const f32,
    pub(super) out: *mut f32,
}

/// The functions of one instruction set. Calling one is safe under two clauses:
/// - **CPU**: the CPU has the instructions.
/// - **Good**: the pointers are good, as the operation's type says.
pub(super) struct Table {
    pub(super) dense_half: unsafe fn(&Dense<u16>),
    pub(super) dense_single: unsafe fn(&Dense<f32>),
    /// The most panels whose sums stay in registers for one row.
    pub(super) group: usize,
    /// Like `dense_single`, with the weights in groups of that many panels: see [`super::skip`].
    pub(super) dense_grouped: unsafe fn(&Dense<f32>),
    pub(super) add_rows: unsafe fn(&AddRows),
    pub(super) widen: unsafe fn(&Widen<'_>),
    pub(super) dot: unsafe fn(*const f32, *const f32, usize) -> f32,
    pub(super) dots: unsafe fn(&Dots),
    pub(super) cross_vector: unsafe fn(&CrossVector),
    pub(super) mix: unsafe fn(*mut f32, usize, *mut f32, usize),
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "tests compare it with a reference"))]
    pub(super) sigmoid: unsafe fn(*mut f32, usize),
}
