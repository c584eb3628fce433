//! AVX-512 Foundation: Intel servers since Skylake-SP (2017), AMD since Zen 4 (2022).

use super::avx2::Avx2;
use super::fast;
use super::loops::Written;
use super::zmm::Avx512;
use crate::infer::kernel::Kernel;
use crate::infer::kernel::lanes::Compiled;
use crate::infer::kernel::make::table;

/// With few rows the loop waits for widened weights, which arrive faster in halves: 25% to 30% for one row. More rows
/// read f32: fourteen rows × two panels take 28 of the 32 registers; two hold the weights, one or two the inputs.
pub(in crate::infer::kernel) static KERNEL: Kernel = Kernel {
    name: "avx512",
    expanded_from: 4,
    tile_rows: 84,
    lacks,
    table: table!(Avx512, #[target_feature(enable = "avx512f")],
        half Avx2, 3 {
            1 => [Compiled 4, Compiled 2, Compiled 1],
            2 => [Compiled 2, Compiled 1],
            3 => [Compiled 2, Compiled 1],
        }
        single 14 {
            1 => [Compiled 8, Compiled 4, Compiled 2, Compiled 1],
            2 => [Compiled 8, Compiled 4, Compiled 2, Compiled 1],
            3 => [Compiled 4, Compiled 2, Compiled 1],
            4 5 6 7 8 9 10 11 12 13 14 => [Written 2, Written 1],
        }
        skipping 9 [1 2 3 4 5 6 7 8 9]
    ),
    fast: Some((fast::TABLE, fast::lacks)),
};

fn lacks() -> Vec<&'static str> {
    if std::is_x86_feature_detected!("avx512f") { Vec::new() } else { vec!["avx512f"] }
}
