//! Macros that generate the functions of one instruction set: an operation by register tiles, and the table of all of
//! them. They are macros because each tile has its numbers of rows and panels in its type.

/// Splits the rows into equal groups of at most `$most`, and the panels of each group into the widest register tiles
/// that its number of rows allows: `numbers of rows => [panels, fewer panels, ..., 1]`, each with how its inner loop is made.
macro_rules! by_tiles {
    ($op:ident, $tile:ident, $most:literal, { $($($rows:literal)+ => $panels:tt),+ $(,)? }) => {{
        let groups = $op.rows.div_ceil($most);
        let mut row = 0;
        for group in 0..groups {
            let rows = ($op.rows - row).div_ceil(groups - group);
            match rows {
                $($($rows => $crate::infer::kernel::make::by_panels!($op, $tile, $rows, row, $panels),)+)+
                _ => {}
            }
            row += rows;
        }
    }};
}
pub(super) use by_tiles;

/// The panels of one group of rows.
macro_rules! by_panels {
    ($op:ident, $tile:ident, $rows:literal, $row:ident, [$($how:ident $panels:literal),+]) => {{
        let mut panel = 0;
        $(while $op.panels - panel >= $panels {
            $tile!($how, $rows, $panels, $row, panel);
            panel += $panels;
        })+
    }};
}
pub(super) use by_panels;

/// A dense layer by tiles of [`lanes::tile`](super::lanes::tile).
macro_rules! dense_by_tiles {
    ($op:ident, $lanes:ty, $element:ty, $most:literal, $shapes:tt) => {{
        macro_rules! one {
            ($how:ty, $rows:literal, $panels:literal, $row:expr, $panel:expr) => {
                $crate::infer::kernel::lanes::tile::<$lanes, $element, $how, $rows, $panels>($op, $row, $panel)
            };
        }
        $crate::infer::kernel::make::by_tiles!($op, one, $most, $shapes);
        $crate::infer::kernel::lanes::finish::<$lanes, $element>($op);
    }};
}
pub(super) use dense_by_tiles;

/// The functions of a [`raw::Table`](super::raw::Table) for one kind of lanes. `$feature` enables its instructions.
macro_rules! table {
    ($lanes:ty, $(#[$feature:meta])?, half $half_lanes:ty, $half_rows:literal $half:tt single $single_rows:literal $single:tt
        skipping $most:literal [$($panels:literal)+]) => {{
        use $crate::infer::kernel::{lanes, make, raw, skip};
        // **CPU** and **Good** are the clauses of `raw::Table`, and all that the functions called here ask for.
        $(#[$feature])?
        unsafe fn dense_half(op: &raw::Dense<u16>) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { make::dense_by_tiles!(op, $half_lanes, u16, $half_rows, $half) }
        }
        $(#[$feature])?
        unsafe fn dense_single(op: &raw::Dense<f32>) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { make::dense_by_tiles!(op, $lanes, f32, $single_rows, $single) }
        }
        $(#[$feature])?
        unsafe fn dense_grouped(op: &raw::Dense<f32>) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe {
                skip::dense_by_groups!(op, $lanes, $most, [$($panels)+]);
                lanes::finish::<$lanes, f32>(op);
            }
        }
        $(#[$feature])?
        unsafe fn add_rows(op: &raw::AddRows) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { lanes::add_rows::<$lanes>(op) }
        }
        $(#[$feature])?
        unsafe fn widen(op: &raw::Widen<'_>) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { lanes::widen::<$half_lanes>(op) }
        }
        $(#[$feature])?
        unsafe fn dot(a: *const f32, b: *const f32, n: usize) -> f32 {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { lanes::dot::<$lanes>(a, b, n) }
        }
        $(#[$feature])?
        unsafe fn dots(op: &raw::Dots) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { lanes::dots::<$lanes>(op) }
        }
        $(#[$feature])?
        unsafe fn cross_vector(op: &raw::CrossVector) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { lanes::cross_vector::<$lanes>(op) }
        }
        $(#[$feature])?
        unsafe fn mix(gate: *mut f32, experts: usize, values: *mut f32, rank: usize) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { lanes::mix::<$lanes>(gate, experts, values, rank) }
        }
        $(#[$feature])?
        unsafe fn sigmoid(values: *mut f32, n: usize) {
            // SAFETY: **CPU** and **Good** of `Table`.
            unsafe { lanes::sigmoid_all::<$lanes>(values, n) }
        }
        raw::Table { group: $most, dense_half, dense_single, dense_grouped, add_rows, widen, dot, dots, cross_vector, mix, sigmoid }
    }};
}
pub(super) use table;
