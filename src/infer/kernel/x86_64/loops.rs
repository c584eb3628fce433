//! The inner loop of a dense layer on AVX-512 in assembly, because the compiler spills some of so many sums.
//!
//! Each step multiplies R rows by P panels. Two panels of fourteen rows are 28 sums; with two registers of weights and two
//! for the rows' values they fill the 32. Nothing but the multiplying instruction differs between the formats of numbers.
//!
//! Two steps are written out, with one before them when their number is odd: half as many instructions move pointers. Where
//! another thread runs on the same core this is worth 3 to 6% (Intel, Sapphire Rapids or later), where none does nothing.
//!
//! Each step prefetches a line of the next panels, for requests whose weights are in no cache. It costs nothing where
//! they are.
//!
//! How a row's value gets into all sixteen lanes matters on Zen 4. Loaded by `vbroadcastss` for each multiplication of
//! one panel, it reaches 73% of the limit; by `vpbroadcastd`, which moves the same bits, 93%; as an operand of the
//! multiplication 100%. For two panels, which share the loaded value, the three reach 96, 100 and 100%.

use super::zmm::Avx512;
use crate::infer::kernel::lanes::{Accumulate, Loop};
use crate::infer::kernel::raw::{Pair, Quad};

/// The loops in this file.
pub(super) struct Written;

/// Makes one loop for the first of the rows, one for the first two, and so on.
macro_rules! for_each_prefix {
    ($make:ident! $fixed:tt [$($done:tt)*]) => {};
    ($make:ident! $fixed:tt [$($done:tt)*] $next:tt $($rest:tt)*) => {
        $make! { $fixed [$($done)* $next] $next }
        for_each_prefix! { $make! $fixed [$($done)* $next] $($rest)* }
    };
}

/// The code for one row of the first or the second of two steps: its value is loaded into a register first, or with each
/// multiplication.
macro_rules! of_row {
    (loaded, $product:literal, $value:literal, $address:literal, $offset:literal, $([$sum:tt, $weight:literal]),+) => {
        concat!(
            "vpbroadcastd ", $value, ", dword ptr [", $address, " + ", $offset, "]",
            $("\n", $product, " ", $sum, ", ", $value, ", ", $weight),+
        )
    };
    (operand, $product:literal, $value:literal, $address:literal, $offset:literal, $([$sum:tt, $weight:literal]),+) => {
        concat!($("\n", $product, " ", $sum, ", ", $weight, ", dword ptr [", $address, " + ", $offset, "]{{1to16}}"),+)
    };
}

/// A loop over rows `(count, row, value register, address, [panel, sum, weight]...)`. An address has one index
/// register, so five pointers are three rows apart: `row = 3 i + 0, 1, 2, 4 or 8`.
macro_rules! written {
    (
        ($element:ty, $product:literal, $value_is:ident, $panels:literal, [$(($loaded:literal, $from:literal)),+], [$($other:tt),+])
        [$(($count:literal, $r:literal, $value:literal, $address:literal, $([$p:literal, $sum:tt, $weight:literal]),+))+]
        ($rows:literal, $($last:tt)*)
    ) => {
        impl Accumulate<Avx512, $element, $rows, $panels> for Written {
            #[inline]
            #[target_feature(enable = "avx512f")]
            unsafe fn accumulate(sums: &mut [[Avx512; $panels]; $rows], of: &Loop<$element>) {
                let stride = of.x_stride * 4;
                // SAFETY: by **Rows** and **Panels** there are 4 bytes of each row and 64 of each panel for each step; pointers
                // past them are computed and not read. Nothing is written but the registers that are named.
                unsafe {
                    core::arch::asm!(
                        // Declaring a name that no row uses would be an error.
                        "/* {s} {ps} */",
                        "test {n}, 1",
                        "jz 3f",
                        $(concat!("vmovups ", $loaded, ", zmmword ptr [", $from, "]"),)+
                        "prefetcht1 [{next}]",
                        "prefetcht1 [{next} + {ps}]",
                        $(of_row!($value_is, $product, $value, $address, 0, $([$sum, $weight]),+),)+
                        "add {x0}, 4",
                        "add {x3}, 4",
                        "add {x6}, 4",
                        "add {x9}, 4",
                        "add {x12}, 4",
                        "add {w}, 64",
                        "add {next}, 64",
                        "3:",
                        "shr {n}, 1",
                        "jz 4f",
                        "2:",
                        $(concat!("vmovups ", $loaded, ", zmmword ptr [", $from, "]"),)+
                        "prefetcht1 [{next}]",
                        "prefetcht1 [{next} + {ps}]",
                        $(of_row!($value_is, $product, $value, $address, 0, $([$sum, $weight]),+),)+
                        $(concat!("vmovups ", $loaded, ", zmmword ptr [", $from, " + 64]"),)+
                        "prefetcht1 [{next} + 64]",
                        "prefetcht1 [{next} + {ps} + 64]",
                        $(of_row!($value_is, $product, $value, $address, 4, $([$sum, $weight]),+),)+
                        "add {x0}, 8",
                        "add {x3}, 8",
                        "add {x6}, 8",
                        "add {x9}, 8",
                        "add {x12}, 8",
                        "add {w}, 128",
                        "add {next}, 128",
                        "dec {n}",
                        "jnz 2b",
                        "4:",
                        x0 = inout(reg) of.x => _,
                        x3 = inout(reg) of.x.wrapping_byte_add(3 * stride) => _,
                        x6 = inout(reg) of.x.wrapping_byte_add(6 * stride) => _,
                        x9 = inout(reg) of.x.wrapping_byte_add(9 * stride) => _,
                        x12 = inout(reg) of.x.wrapping_byte_add(12 * stride) => _,
                        w = inout(reg) of.weight => _,
                        next = inout(reg) of.weight.wrapping_add($panels * of.panel_stride) => _,
                        n = inout(reg) of.steps => _,
                        s = in(reg) stride,
                        ps = in(reg) of.panel_stride * 4,
                        $($(inout($sum) sums[$r][$p].0,)+)+
                        $(out($other) _,)+
                        options(nostack, readonly),
                    );
                }
            }
        }
    };
}

macro_rules! all_rows {
    ($element:ty, $product:literal, $one_panel:ident) => {
        for_each_prefix! { written!
            ($element, $product, $one_panel, 1, [("zmm28", "{w}")], ["zmm28", "zmm30", "zmm31"]) []
            (1, 0, "zmm30", "{x0}", [0, "zmm0", "zmm28"])
            (2, 1, "zmm31", "{x0} + {s}", [0, "zmm1", "zmm28"])
            (3, 2, "zmm30", "{x0} + 2*{s}", [0, "zmm2", "zmm28"])
            (4, 3, "zmm31", "{x3}", [0, "zmm3", "zmm28"])
            (5, 4, "zmm30", "{x0} + 4*{s}", [0, "zmm4", "zmm28"])
            (6, 5, "zmm31", "{x3} + 2*{s}", [0, "zmm5", "zmm28"])
            (7, 6, "zmm30", "{x6}", [0, "zmm6", "zmm28"])
            (8, 7, "zmm31", "{x3} + 4*{s}", [0, "zmm7", "zmm28"])
            (9, 8, "zmm30", "{x0} + 8*{s}", [0, "zmm8", "zmm28"])
            (10, 9, "zmm31", "{x9}", [0, "zmm9", "zmm28"])
            (11, 10, "zmm30", "{x6} + 4*{s}", [0, "zmm10", "zmm28"])
            (12, 11, "zmm31", "{x3} + 8*{s}", [0, "zmm11", "zmm28"])
            (13, 12, "zmm30", "{x12}", [0, "zmm12", "zmm28"])
            (14, 13, "zmm31", "{x9} + 4*{s}", [0, "zmm13", "zmm28"])
        }
        for_each_prefix! { written!
            ($element, $product, loaded, 2,
                [("zmm28", "{w}"), ("zmm29", "{w} + {ps}")],
                ["zmm28", "zmm29", "zmm30", "zmm31"]) []
            (1, 0, "zmm30", "{x0}", [0, "zmm0", "zmm28"], [1, "zmm1", "zmm29"])
            (2, 1, "zmm31", "{x0} + {s}", [0, "zmm2", "zmm28"], [1, "zmm3", "zmm29"])
            (3, 2, "zmm30", "{x0} + 2*{s}", [0, "zmm4", "zmm28"], [1, "zmm5", "zmm29"])
            (4, 3, "zmm31", "{x3}", [0, "zmm6", "zmm28"], [1, "zmm7", "zmm29"])
            (5, 4, "zmm30", "{x0} + 4*{s}", [0, "zmm8", "zmm28"], [1, "zmm9", "zmm29"])
            (6, 5, "zmm31", "{x3} + 2*{s}", [0, "zmm10", "zmm28"], [1, "zmm11", "zmm29"])
            (7, 6, "zmm30", "{x6}", [0, "zmm12", "zmm28"], [1, "zmm13", "zmm29"])
            (8, 7, "zmm31", "{x3} + 4*{s}", [0, "zmm14", "zmm28"], [1, "zmm15", "zmm29"])
            (9, 8, "zmm30", "{x0} + 8*{s}", [0, "zmm16", "zmm28"], [1, "zmm17", "zmm29"])
            (10, 9, "zmm31", "{x9}", [0, "zmm18", "zmm28"], [1, "zmm19", "zmm29"])
            (11, 10, "zmm30", "{x6} + 4*{s}", [0, "zmm20", "zmm28"], [1, "zmm21", "zmm29"])
            (12, 11, "zmm31", "{x3} + 8*{s}", [0, "zmm22", "zmm28"], [1, "zmm23", "zmm29"])
            (13, 12, "zmm30", "{x12}", [0, "zmm24", "zmm28"], [1, "zmm25", "zmm29"])
            (14, 13, "zmm31", "{x9} + 4*{s}", [0, "zmm26", "zmm28"], [1, "zmm27", "zmm29"])
        }
    };
}

all_rows!(f32, "vfmadd231ps", operand);
all_rows!(Pair, "vdpbf16ps", operand);
// The first of the two sources is unsigned: the rows' values. The assembler takes the sources in the other order. Only
// the second may be a memory operand.
all_rows!(Quad, "vpdpbusd", loaded);
