//! Products of packed numbers: AVX512-BF16 (two at a time) and AVX512-VNNI (four). Intel servers since Sapphire Rapids
//! (2023), AMD since Zen 4 (2022).
//!
//! `vdpbf16ps` rounds each product's sum to nearest even and takes subnormal numbers as 0, for any setting of MXCSR.

use core::arch::x86_64::*;

use super::loops::Written;
use super::zmm::Avx512;
use crate::infer::kernel::lanes::{Accumulate, Lanes, Loop, apply, finish_tanh, from_bias, opaque, store};
use crate::infer::kernel::make::by_tiles;
use crate::infer::kernel::raw::{FastTable, Pack, PackPanels, PackRows, Packed, Pair, Quad, Then};
use crate::infer::kernel::skip::{MOST_PANELS, Operands, Skips, dense_by_groups};

pub(in crate::infer::kernel) const TABLE: FastTable =
    FastTable { pairs, quads, group: GROUP, pairs_grouped, quads_grouped, pack_rows, pack_panels };

/// The instructions that this CPU lacks.
pub(in crate::infer::kernel) fn lacks() -> Vec<&'static str> {
    let has = [
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::is_x86_feature_detected!("avx512bw")),
        ("avx512bf16", std::is_x86_feature_detected!("avx512bf16")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
    ];
    has.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

/// A word of weights.
trait Word: Copy {
    /// Whether the sums are integers: then they start from 0, and scale and bias come after them.
    const INTEGER: bool;

    /// The sums plus the products of one more word.
    ///
    /// # Safety
    /// The CPU has the instruction.
    unsafe fn multiply(sum: __m512, x: __m512i, weight: __m512i) -> __m512;
}

impl Word for Pair {
    const INTEGER: bool = false;

    #[inline(always)]
    unsafe fn multiply(sum: __m512, x: __m512i, weight: __m512i) -> __m512 {
        // SAFETY: the types are 512 bits without meaning; the CPU has AVX512-BF16, as this method asks.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512i, __m512bh>(x),
                std::mem::transmute::<__m512i, __m512bh>(weight),
            )
        }
    }
}

impl Word for Quad {
    const INTEGER: bool = true;

    #[inline(always)]
    unsafe fn multiply(sum: __m512, x: __m512i, weight: __m512i) -> __m512 {
        // SAFETY: the CPU has AVX512-VNNI, as this method asks. The first factor is the unsigned one.
        unsafe { _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(sum), x, weight)) }
    }
}

/// One row over many panels, in compiled code: their sums do not depend on each other, and the weights stream.
struct Streamed;

impl<W: Word, const P: usize> Accumulate<Avx512, W, 1, P> for Streamed {
    #[inline(always)]
    unsafe fn accumulate(sums: &mut [[Avx512; P]; 1], of: &Loop<W>) {
        for step in 0..of.steps {
            // SAFETY: **CPU** of `accumulate`; its **Rows** and **Panels** cover one word and sixteen weights for each step.
            unsafe {
                let x = _mm512_set1_epi32((*of.x.add(step)).to_bits() as i32);
                for (p, sum) in sums[0].iter_mut().enumerate() {
                    let weight = _mm512_loadu_si512(of.weight.add(p * of.panel_stride + step * 16).cast());
                    sum.0 = W::multiply(sum.0, x, weight);
                }
            }
        }
    }
}

/// R rows × P panels.
///
/// # Safety
/// As for [`crate::infer::kernel::lanes::tile`], with AVX-512F, BW, BF16 and VNNI.
#[inline(always)]
unsafe fn tile<W: Word, A: Accumulate<Avx512, W, R, P>, const R: usize, const P: usize>(
    op: &Packed<W>,
    row: usize,
    panel: usize,
) {
    // SAFETY: the CPU and the pointers are as this function asks; rows and panels are within the operation, so that all offsets
    // below stay in the ranges that `Packed` describes.
    unsafe {
        let mut sums = match W::INTEGER {
            true => [[Avx512::splat(0.0); P]; R],
            false => from_bias(op.bias, op.bias_step, op.bias_stride, row, panel),
        };
        let of = Loop {
            x: op.x.add(row * op.x_stride),
            x_stride: op.x_stride,
            weight: op.weight.add(panel * op.panel_stride),
            panel_stride: op.panel_stride,
            steps: op.words,
        };
        A::accumulate(&mut sums, &of);
        end(op, &mut sums, row, panel);
    }
}

/// Applies what follows the sums of R rows × P panels.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn end<W: Word, const R: usize, const P: usize>(
    op: &Packed<W>,
    sums: &mut [[Avx512; P]; R],
    row: usize,
    panel: usize,
) {
    // SAFETY: the CPU and the pointers are as this function asks; rows and panels are within the operation, so that all offsets
    // below stay in the ranges that `Packed` describes.
    unsafe {
        if W::INTEGER {
            for p in 0..P {
                let scale = Avx512::load(op.scale.add((panel + p) * 16));
                let bias = op.bias.add(row * op.bias_stride + (panel + p) * op.bias_step);
                let stride = opaque(op.bias_stride);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let bias = Avx512::load(bias.add(r * stride));
                    let whole = Avx512(_mm512_cvtepi32_ps(_mm512_castps_si512(sums[p].0)));
                    sums[p] = whole.mul_add(scale, bias);
                }
            }
        }
        apply(op.then, sums, row, panel);
        if !op.out.is_null() {
            store(sums, op.out.add(row * op.out_stride + panel * 16), op.out_stride, 16);
        }
        if op.pack != Pack::None {
            for p in 0..P {
                // Clears the padding in the last panel.
                if let left @ 0..16 = op.outputs - (panel + p) * 16 {
                    let lanes = u16::MAX >> (16 - left);
                    for sums in sums.iter_mut() {
                        sums[p].0 = _mm512_maskz_mov_ps(lanes, sums[p].0);
                    }
                }
            }
        }
        let packed_stride = opaque(op.packed_stride);
        match op.pack {
            Pack::None => {}
            // Two panels at once cost half the conversions and stores. This gains nothing beside stores of f32: there
            // the packed rows are parts of longer ones, and such stores may cross a cache line.
            Pack::Pairs if op.out.is_null() && P.is_multiple_of(2) => {
                let packed = op.packed.add(row * op.packed_stride + panel * 8);
                for (r, sums) in sums.iter().enumerate() {
                    for p in 0..P / 2 {
                        let pairs = _mm512_cvtne2ps_pbh(sums[2 * p + 1].0, sums[2 * p].0);
                        let to = packed.add(r * packed_stride + p * 16);
                        _mm512_storeu_si512(to.cast(), std::mem::transmute::<__m512bh, __m512i>(pairs));
                    }
                }
            }
            Pack::Pairs => {
                let packed = op.packed.add(row * op.packed_stride + panel * 8);
                for (r, sums) in sums.iter().enumerate() {
                    for (p, sum) in sums.iter().enumerate() {
                        let pairs = _mm512_cvtneps_pbh(sum.0);
                        _mm256_storeu_si256(packed.add(r * packed_stride + p * 8).cast(), of_bf16(pairs));
                    }
                }
            }
            Pack::Quads => {
                let packed = op.packed.add(row * op.packed_stride + panel * 4);
                for (r, sums) in sums.iter().enumerate() {
                    for (p, sum) in sums.iter().enumerate() {
                        // The conversion gives i32::MIN for a value that does not fit, and saturation turns it into
                        // 255.
                        let quads = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(sum.0));
                        _mm_storeu_si128(packed.add(r * packed_stride + p * 4).cast(), quads);
                    }
                }
            }
        }
    }
}

impl<W: Word> Skips<Avx512> for Packed<W> {
    type Weight = W;

    #[inline(always)]
    fn operands(&self) -> Operands<W> {
        static ZEROS: [f32; MOST_PANELS * 16] = [0.0; MOST_PANELS * 16];
        let (start, start_step, start_stride) = match W::INTEGER {
            true => (ZEROS.as_ptr(), 0, 0),
            false => (self.bias, self.bias_step, self.bias_stride),
        };
        Operands {
            rows: self.rows,
            inputs: self.words,
            x: self.x,
            x_stride: self.x_stride,
            weight: self.weight,
            panel_stride: self.panel_stride,
            start,
            start_step,
            start_stride,
            sums: self.sums,
            sums_stride: self.sums_stride,
        }
    }

    #[inline(always)]
    unsafe fn in_use(x: Avx512) -> u16 {
        // SAFETY: the CPU has AVX-512F, as this method asks. Not as numbers: MXCSR may say that a word of two small ones is 0.
        unsafe {
            let words = _mm512_castps_si512(x.0);
            _mm512_test_epi32_mask(words, words)
        }
    }

    #[inline(always)]
    unsafe fn add(sum: Avx512, x: Avx512, weight: *const W) -> Avx512 {
        // SAFETY: the CPU has the instructions and the panel's weights are good, as this method asks.
        unsafe { Avx512(W::multiply(sum.0, _mm512_castps_si512(x.0), _mm512_loadu_si512(weight.cast()))) }
    }

    #[inline(always)]
    unsafe fn end<const P: usize>(&self, sums: &mut [[Avx512; P]; 1], row: usize, panel: usize) {
        // SAFETY: the CPU has the instructions, and row and panels are within the layer, as this method asks.
        unsafe { end(self, sums, row, panel) }
    }
}

/// Sixteen bf16 as bits.
#[inline(always)]
fn of_bf16(pairs: __m256bh) -> __m256i {
    // SAFETY: both types are 256 bits without meaning.
    unsafe { std::mem::transmute::<__m256bh, __m256i>(pairs) }
}

macro_rules! all_tiles {
    ($op:ident, $word:ty) => {
        macro_rules! one {
            ($how:ty, $rows:literal, $panels:literal, $row:expr, $panel:expr) => {
                tile::<$word, $how, $rows, $panels>($op, $row, $panel)
            };
        }
        by_tiles!($op, one, 14, {
            1 => [Streamed 8, Streamed 4, Written 2, Written 1],
            2 3 4 5 6 7 8 9 10 11 12 13 14 => [Written 2, Written 1],
        })
    };
}

/// The panels of a group: their sums, a row's word and its weights stay in registers.
const GROUP: usize = 9;

macro_rules! all_groups {
    ($op:ident, $word:ty) => {
        dense_by_groups!($op, Avx512, GROUP, [1 2 3 4 5 6 7 8 9])
    };
}

/// A whole layer, its sums made in one of these ways.
macro_rules! layer {
    ($name:ident, $word:ty, $sums:ident) => {
        /// # Safety
        /// The CPU lacks nothing of [`lacks`]; the pointers are good.
        #[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vnni")]
        unsafe fn $name(op: &Packed<$word>) {
            // SAFETY: the CPU lacks nothing of `lacks`, and the pointers are good as `Packed` says, as this function asks.
            unsafe {
                $sums!(op, $word);
                if let Then::Tanh = op.then {
                    finish_tanh::<Avx512>(op.out, op.out_stride, op.rows, op.panels);
                }
            }
        }
    };
}

layer!(pairs, Pair, all_tiles);
layer!(quads, Quad, all_tiles);
layer!(pairs_grouped, Pair, all_groups);
layer!(quads_grouped, Quad, all_groups);

/// # Safety
/// The CPU lacks nothing of [`lacks`]; the pointers are good.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vnni")]
unsafe fn pack_rows(op: &PackRows) {
    for row in 0..op.rows {
        for panel in 0..op.len.div_ceil(16) {
            let left = (op.len - panel * 16).min(16);
            // SAFETY: `left` elements are there to read and sixteen to write, as `PackRows` says.
            unsafe {
                let v = Avx512::load_first(op.from.add(row * op.from_stride + panel * 16), left);
                let to = op.to.add(row * op.to_stride + panel * 8);
                _mm256_storeu_si256(to.cast(), of_bf16(_mm512_cvtneps_pbh(v.0)));
            }
        }
    }
}

/// # Safety
/// The CPU lacks nothing of [`lacks`]; the pointers are good.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx512vnni")]
unsafe fn pack_panels(op: &PackPanels) {
    let words = op.inputs.div_ceil(2);
    for word in 0..words {
        for panel in 0..op.panels {
            // SAFETY: both inputs are below op.inputs, panels below op.panels; words stay within the promise.
            unsafe {
                let wide = |input: usize| {
                    let v = Avx512::load(op.from.add(input * op.from_stride + panel * 16));
                    _mm512_cvtepu16_epi32(of_bf16(_mm512_cvtneps_pbh(v.0)))
                };
                let low = wide(2 * word);
                let high = if 2 * word + 1 < op.inputs { wide(2 * word + 1) } else { _mm512_setzero_si512() };
                let both = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
                _mm512_storeu_si512(op.to.add(panel * op.panel_stride + word * 16).cast(), both);
            }
        }
    }
}
