//! C = start + A B, in tiles of C that stay in registers.
//!
//! Columns of B and C come in blocks of 16, padded. B is read in panels of 32 columns, A one value at a time: by rows, or by
//! columns for a product with A transposed.

use super::{Cpu, Set};

/// Columns that are computed together; the width of arrays is a multiple of it.
pub(crate) const BLOCK: usize = 16;
/// Columns of a panel.
const PANEL: usize = 2 * BLOCK;

/// The least width of a row of `columns` values: whole blocks, and an odd number of them, as rows that lie a power of two
/// apart would share few places of the cache.
pub(crate) fn padded(columns: usize) -> usize {
    (columns.div_ceil(BLOCK) | 1) * BLOCK
}

/// The matrix on the left, `[rows, steps]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) data: &'a [f32],
    /// Values from one row of the array to the next.
    pub(crate) pitch: usize,
    /// Whether the array holds the transposed matrix, `[steps, rows]`.
    pub(crate) transposed: bool,
}

/// The matrix on the right, `[steps, columns]`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    Panels(&'a Panels),
    Rows { data: &'a [f32], pitch: usize },
}

/// What sums begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// One value a column, in whole blocks.
    Bias(&'a [f32]),
    /// What C holds.
    Sum,
}

/// A matrix `[steps, columns]`, cut into panels of 32 columns (the last may have 16), each of them in one piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panels {
    data: Vec<f32>,
    steps: usize,
    columns: usize,
}

impl Panels {
    pub(crate) fn new(steps: usize, columns: usize) -> Self {
        let columns = columns.div_ceil(BLOCK) * BLOCK;
        Self { data: vec![0.0; steps * columns], steps, columns }
    }

    /// Takes over `[steps, columns]` values.
    pub(crate) fn set(&mut self, from: &[f32]) {
        let (steps, columns) = (self.steps, from.len() / self.steps.max(1));
        for (p, panel) in self.data.chunks_mut((PANEL * steps).max(1)).enumerate() {
            let width = panel.len() / steps;
            let first = p * PANEL;
            let used = width.min(columns - first);
            for (to, row) in panel.chunks_exact_mut(width).zip(from.chunks_exact(columns)) {
                to[..used].copy_from_slice(&row[first..first + used]);
            }
        }
    }

    /// Takes over the transpose of `[columns, steps]` values.
    pub(crate) fn set_transposed(&mut self, from: &[f32]) {
        let steps = self.steps;
        for (p, panel) in self.data.chunks_mut((PANEL * steps).max(1)).enumerate() {
            let width = panel.len() / steps;
            let rows = &from[p * PANEL * steps..];
            let rows = &rows[..rows.len().min(width * steps)];
            // Sixteen steps at a time: their lines of the panel stay in the cache while the rows go by.
            for (block, panel) in panel.chunks_mut(width * BLOCK).enumerate() {
                let first = block * BLOCK;
                let count = panel.len() / width;
                for (column, row) in rows.chunks_exact(steps).enumerate() {
                    for (to, &value) in panel[column..].iter_mut().step_by(width).zip(&row[first..first + count]) {
                        *to = value;
                    }
                }
            }
        }
    }
}

impl Cpu {
    /// C `[rows, columns]` = start + A `[rows, steps]` B `[steps, columns]`; `pitch` is that of C.
    ///
    /// # Panics
    /// Arrays that are too short, columns that are not whole blocks.
    pub(crate) fn multiply(
        self,
        [rows, steps, columns]: [usize; 3],
        a: Left,
        b: Right,
        start: Start,
        c: &mut [f32],
        pitch: usize,
    ) {
        if rows == 0 || columns == 0 {
            return;
        }
        let columns = columns.div_ceil(BLOCK) * BLOCK;
        assert!(c.len() >= (rows - 1) * pitch + columns && pitch >= columns, "C is too short");
        if steps > 0 {
            let (along, across) = if a.transposed { (rows, steps) } else { (steps, rows) };
            assert!(a.data.len() >= (across - 1) * a.pitch + along && a.pitch >= along, "A is too short");
        }
        if let Start::Bias(bias) = start {
            assert!(bias.len() >= columns, "the bias is too short");
        }
        let (b, b_pitch) = match b {
            Right::Panels(panels) => {
                assert!(panels.steps == steps && panels.columns == columns, "panels of another shape");
                (&panels.data[..], None)
            }
            Right::Rows { data, pitch } => {
                assert!(
                    steps == 0 || (data.len() >= (steps - 1) * pitch + columns && pitch >= columns),
                    "B is too short"
                );
                (data, Some(pitch))
            }
        };
        let mut first = 0;
        while first < columns {
            let width = (columns - first).min(PANEL);
            let tile = Tile {
                steps,
                a: a.data.as_ptr(),
                a_pitch: a.pitch,
                // In panels all columns of those before it come first.
                b: b[if b_pitch.is_some() { first.min(b.len()) } else { first * steps }..].as_ptr(),
                b_pitch: b_pitch.unwrap_or(width),
                c: c[first..].as_mut_ptr(),
                c_pitch: pitch,
                start: match start {
                    Start::Zero => From::Zero,
                    Start::Sum => From::Sum,
                    Start::Bias(bias) => From::Bias(bias[first..].as_ptr()),
                },
            };
            // SAFETY: `Cpu` was found on this machine. A tile reads `[rows, steps]` of A, `[steps, width]` of B and the
            // bias, and reads and writes `[rows, width]` of C; all were compared with the arrays' lengths above, or
            // follow from the shape of panels: each has `steps` rows of its own width.
            unsafe { tile.run(self, a.transposed, rows, width) };
            first += width;
        }
    }
}

/// What the sums of a tile begin with.
#[derive(Clone, Copy)]
enum From {
    Zero,
    Bias(*const f32),
    Sum,
}

/// Rows of A times a panel of B.
#[derive(Clone, Copy)]
struct Tile {
    steps: usize,
    a: *const f32,
    a_pitch: usize,
    b: *const f32,
    b_pitch: usize,
    c: *mut f32,
    c_pitch: usize,
    start: From,
}

/// Calls `$name::<rows, $v, transposed>` for the first rows, then for the rest.
macro_rules! by_rows {
    ($tile:expr, $transposed:expr, $rows:expr, $tall:literal, [$($few:literal)*], $name:ident, $v:literal) => {{
        let (mut tile, mut left): (Tile, usize) = ($tile, $rows);
        while left > 0 {
            let now = left.min($tall);
            match (now, $transposed) {
                ($tall, false) => $name::<$tall, $v, false>(tile),
                ($tall, true) => $name::<$tall, $v, true>(tile),
                $(($few, false) => $name::<$few, $v, false>(tile),
                ($few, true) => $name::<$few, $v, true>(tile),)*
                _ => unreachable!("rows are counted above"),
            }
            tile.a = tile.a.add(if $transposed { now } else { now * tile.a_pitch });
            tile.c = tile.c.add(now * tile.c_pitch);
            left -= now;
        }
    }};
}

impl Tile {
    /// # Safety
    /// The CPU has the instructions; A, B, C and the bias have the ranges that `rows`, `steps` and `width` name.
    unsafe fn run(self, cpu: Cpu, transposed: bool, rows: usize, width: usize) {
        // SAFETY: as this function requires, passed on with the same ranges, cut by rows and columns.
        unsafe {
            match cpu.0 {
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 if width == PANEL => {
                    by_rows!(self, transposed, rows, 12, [1 2 3 4 5 6 7 8 9 10 11], avx512, 2);
                }
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => by_rows!(self, transposed, rows, 12, [1 2 3 4 5 6 7 8 9 10 11], avx512, 1),
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => {
                    for part in 0..width / BLOCK {
                        by_rows!(self.part(part), transposed, rows, 6, [1 2 3 4 5], avx2, 2);
                    }
                }
                Set::Portable => {
                    for part in 0..width / BLOCK {
                        by_rows!(self.part(part), transposed, rows, 4, [1 2 3], portable, 1);
                    }
                }
            }
        }
    }

    /// The same rows and one block of the columns.
    ///
    /// # Safety
    /// The panel has that block.
    unsafe fn part(self, part: usize) -> Self {
        // SAFETY: as this function requires.
        unsafe {
            Self {
                b: self.b.add(part * BLOCK),
                c: self.c.add(part * BLOCK),
                start: match self.start {
                    From::Bias(bias) => From::Bias(bias.add(part * BLOCK)),
                    other => other,
                },
                ..self
            }
        }
    }
}

/// A tile of M rows and V vectors.
macro_rules! tile {
    ($name:ident, $($feature:literal)?, $lanes:literal, $vector:ty, $zero:expr, $load:path, $splat:path, $fma:expr, $store:path) => {
        /// # Safety
        /// The CPU has the feature, and the tile's arrays have M rows and V vectors of columns.
        $(#[target_feature(enable = $feature)])?
        unsafe fn $name<const M: usize, const V: usize, const T: bool>(tile: Tile) {
            // SAFETY: as this function requires; every offset below is within M rows, V vectors and the steps.
            unsafe {
                let Tile { steps, a, a_pitch, b, b_pitch, c, c_pitch, start } = tile;
                let mut sums: [[$vector; V]; M] = [[$zero; V]; M];
                for m in 0..M {
                    for v in 0..V {
                        sums[m][v] = match start {
                            From::Zero => $zero,
                            From::Bias(bias) => $load(bias.add($lanes * v)),
                            From::Sum => $load(c.add(m * c_pitch + $lanes * v)),
                        };
                    }
                }
                for s in 0..steps {
                    let mut right: [$vector; V] = [$zero; V];
                    for v in 0..V {
                        right[v] = $load(b.add(s * b_pitch + $lanes * v));
                    }
                    for m in 0..M {
                        let left = $splat(*a.add(if T { s * a_pitch + m } else { m * a_pitch + s }));
                        for v in 0..V {
                            sums[m][v] = $fma(left, right[v], sums[m][v]);
                        }
                    }
                }
                for m in 0..M {
                    for v in 0..V {
                        $store(c.add(m * c_pitch + $lanes * v), sums[m][v]);
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

#[cfg(target_arch = "x86_64")]
tile!(
    avx512,
    "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma",
    16,
    __m512,
    _mm512_setzero_ps(),
    _mm512_loadu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_storeu_ps
);
#[cfg(target_arch = "x86_64")]
tile!(
    avx2,
    "avx2,fma",
    8,
    __m256,
    _mm256_setzero_ps(),
    _mm256_loadu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_storeu_ps
);
tile!(portable, , 16, [f32; 16], [0.0; 16], load, splat, fused, store);

/// # Safety
/// Sixteen values can be read.
unsafe fn load(from: *const f32) -> [f32; 16] {
    // SAFETY: as this function requires.
    unsafe { from.cast::<[f32; 16]>().read_unaligned() }
}

fn splat(value: f32) -> [f32; 16] {
    [value; 16]
}

fn fused(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
    std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
}

/// # Safety
/// Sixteen values can be written.
unsafe fn store(to: *mut f32, values: [f32; 16]) {
    // SAFETY: as this function requires.
    unsafe { to.cast::<[f32; 16]>().write_unaligned(values) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values between -1 and 1.
    fn values(n: usize, purpose: u64) -> Vec<f32> {
        let value = |i| adclick::builder::hash::mix(i ^ purpose << 32) as f64 / 2f64.powi(63) - 1.0;
        (0..n as u64).map(|i| value(i) as f32).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_on_every_cpu_with_the_same_bits() {
        let shapes: [(usize, usize, usize); 8] = [
            (1, 1, 1),
            (12, 7, 32),
            (13, 40, 48),
            (128, 312, 33),
            (25, 16, 16),
            (5, 128, 312),
            (3, 0, 20),
            (31, 3, 64),
        ];
        for (rows, steps, columns) in shapes {
            let whole = columns.div_ceil(BLOCK) * BLOCK;
            let (a, b) = (values(rows * steps, 1), values(steps * columns, 2));
            let bias = values(whole, 3);
            let pitch = padded(columns);
            let before = values(rows * pitch, 4);
            let transposed: Vec<f32> = (0..rows * steps).map(|i| a[i % rows * steps + i / rows]).collect();
            let mut wide = vec![f32::NAN; steps * pitch];
            for (to, from) in wide.chunks_exact_mut(pitch).zip(b.chunks_exact(columns)) {
                to[..columns].copy_from_slice(from);
            }
            let (mut panels, mut turned) = (Panels::new(steps, columns), Panels::new(steps, columns));
            panels.set(&b);
            let b_transposed: Vec<f32> =
                (0..steps * columns).map(|i| b[i % steps.max(1) * columns + i / steps.max(1)]).collect();
            turned.set_transposed(&b_transposed);
            assert_eq!(panels.data, turned.data);
            for (start, first) in
                [(Start::Zero, [0.0f32; 2]), (Start::Bias(&bias), [1.0, 0.0]), (Start::Sum, [0.0, 1.0])]
            {
                let mut first_bits: Option<Vec<u32>> = None;
                for cpu in Cpu::all() {
                    for left in [
                        Left { data: &a, pitch: steps, transposed: false },
                        Left { data: &transposed, pitch: rows, transposed: true },
                    ] {
                        for right in [Right::Panels(&panels), Right::Rows { data: &wide, pitch }] {
                            let mut c = before.clone();
                            cpu.multiply([rows, steps, columns], left, right, start, &mut c, pitch);
                            for m in 0..rows {
                                for n in 0..columns {
                                    let sum: f64 = (0..steps)
                                        .map(|s| f64::from(a[m * steps + s]) * f64::from(b[s * columns + n]))
                                        .sum();
                                    let sum = sum
                                        + f64::from(first[0] * bias[n])
                                        + f64::from(first[1] * before[m * pitch + n]);
                                    let got = f64::from(c[m * pitch + n]);
                                    assert!((got - sum).abs() < 2e-5, "{cpu:?} [{m}, {n}]: {got}, not {sum}");
                                }
                                assert_eq!(
                                    c[m * pitch + whole..][..pitch - whole],
                                    before[m * pitch + whole..][..pitch - whole]
                                );
                            }
                            let bits: Vec<u32> =
                                (0..rows * columns).map(|i| c[i / columns * pitch + i % columns].to_bits()).collect();
                            assert_eq!(*first_bits.get_or_insert_with(|| bits.clone()), bits, "{cpu:?}");
                        }
                    }
                }
            }
        }
    }
}
