//! Raw values as they arrive, one by one.

use half::slice::HalfFloatSliceExt;

use crate::artifact::model::{Model, Piece};
use crate::schema::Kind;

/// Counts made while values were assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Feature values that were missing or unknown and took a default: the default row's of their table, or their own.
    pub missing: u32,
    /// Values whose handle the model does not use on that side.
    pub ignored: u32,
    /// How many of them the model reads from the other side.
    pub wrong_side: u32,
}

impl Counts {
    /// Adds other counts.
    #[inline]
    pub(crate) fn add(&mut self, more: Self) {
        self.missing = self.missing.saturating_add(more.missing);
        self.ignored = self.ignored.saturating_add(more.ignored);
        self.wrong_side = self.wrong_side.saturating_add(more.wrong_side);
    }
}

/// The value passed or read for a feature.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raw {
    /// The number of values; for a multi-valued feature its count.
    pub(super) seen: u32,
    pub(super) number: f32,
    pub(super) id: u64,
    /// A multi-valued feature's weighted sum of wide weights, one for each head.
    pub(super) wide: [f32; 2],
}

impl Raw {
    pub(super) fn one(number: f32, id: u64) -> Self {
        Self { seen: 1, number, id, wide: [0.0; 2] }
    }
}

/// Takes one raw value (number, id) of a feature, passed or read from a table. Adds values of a vector or a
/// multi-valued category to its columns, from `column` of `x`. `row` has room for any row of the model.
#[inline(always)]
pub(super) fn take(
    model: &Model,
    kind: &Kind,
    (number, id): (f32, u64),
    raw: &mut Raw,
    row: &mut [f32],
    (x, column): (&mut [f32], usize),
    counts: &mut Counts,
) {
    match *kind {
        Kind::Number { .. } | Kind::Category { .. } => *raw = Raw::one(number, id),
        Kind::Vector { dim } => {
            if id < u64::from(dim) {
                raw.seen += 1;
                x[column + id as usize] = number;
            } else {
                counts.ignored += 1;
            }
        }
        Kind::MultiCategory { embedding, .. } => {
            raw.seen += 1;
            let weight = if number == 0.0 { 1.0 } else { number };
            let (at, known) = model.row(embedding, id);
            counts.missing += u32::from(!known);
            if let Some(at) = at {
                add_wide(&mut raw.wide, model.wide_row(embedding, at), weight);
                let bits = model.embedding_row(embedding, at);
                let row = &mut row[..bits.len()];
                widen(bits, row);
                for (x, v) in x[column..].iter_mut().zip(row) {
                    *x += weight * *v;
                }
            }
        }
    }
}

/// fp16 bits to f32, exact.
pub(super) fn widen(bits: &[u16], to: &mut [f32]) {
    let halves: &[half::f16] = bytemuck::cast_slice(bits);
    halves.convert_to_f32_slice(&mut to[..bits.len()]);
}

/// Embedding rows to their columns.
pub(super) fn widen_pieces(values: &[u16], pieces: &[Piece], x: &mut [f32]) {
    for &Piece { from, to, len } in pieces {
        widen(&values[from..from + len as usize], &mut x[to as usize..]);
    }
}

pub(super) fn add_wide(wide: &mut [f32], bits: &[u16], weight: f32) {
    for (sum, &w) in wide.iter_mut().zip(bits) {
        *sum += weight * half::f16::from_bits(w).to_f32();
    }
}
