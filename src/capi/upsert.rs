//! Feature tables: handles of their names, rows written on top of them.

use std::ffi::c_char;

use bytemuck::{Pod, Zeroable};

use super::engine::{adclick_engine, live_engine};
use super::failure::Failure;
use super::memory::{Output, SizedStruct, optional_place, place, read_sized, slice, text};
use super::status::{adclick_error, adclick_status, guard_whole};
use crate::error::Error;
use crate::overlay::{Operation, Upsert};
use crate::types::{Row, Value};

/// A flag of `adclick_upsert`: the numbers are added to what the columns hold.
pub const ADCLICK_UPSERT_INCREMENT: u32 = 1;
/// A flag of `adclick_upsert`: the rows are replaced as a whole; columns that are not given become missing.
pub const ADCLICK_UPSERT_WHOLE_ROW: u32 = 2;

/// What `adclick_engine_upsert` writes and where. 32 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_upsert {
    /// `sizeof(adclick_upsert)`.
    pub struct_size: u32,
    /// 0 replaces the given columns and keeps the others. Or `ADCLICK_UPSERT_INCREMENT`, or `ADCLICK_UPSERT_WHOLE_ROW`.
    pub flags: u32,
    /// The handle that `adclick_engine_table` gave for the table's name.
    pub table: u32,
    /// Entries in the array of rows.
    pub n_rows: u32,
    /// Entries in the array of values.
    pub n_values: u32,
    /// 0.
    pub reserved: u32,
    /// When the values were right: microseconds since 1970-01-01 00:00 UTC, no further ahead of this machine's clock than
    /// `overlay_max_skew_s` and not past 2106; 0 = now by that clock.
    pub time_us: i64,
}

impl SizedStruct for adclick_upsert {
    const NAME: &'static str = "adclick_upsert";
    const FIRST: usize = 32;
}

/// What an upsert did. 16 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_upsert_result {
    /// `sizeof(adclick_upsert_result)`, set by the caller.
    pub struct_size: u32,
    /// Rows with at least one column that was written.
    pub n_applied: u32,
    /// Rows with at least one column that was not written, because what is there, or the table itself, is newer.
    pub n_stale: u32,
    /// Rows of other keys that were evicted to make room.
    pub n_evicted: u32,
}

impl SizedStruct for adclick_upsert_result {
    const NAME: &'static str = "adclick_upsert_result";
    const FIRST: usize = 16;
}

/// A table of the live generation and what was written on top of it. 64 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_table_info {
    /// `sizeof(adclick_table_info)`, set by the caller.
    pub struct_size: u32,
    /// Files (shards) of the table in the bundle.
    pub n_shards: u32,
    /// Rows in these files.
    pub rows: u64,
    /// When the oldest of them was built: microseconds since 1970-01-01 00:00 UTC.
    pub built_us: i64,
    /// For how many seconds the table is fresh; 0 = no limit.
    pub fresh_for_s: u64,
    /// Rows written on top of the table, including those that no longer count.
    pub overlay_rows: u64,
    /// Rows that were asked for; 0 = the engine has no overlays.
    pub overlay_capacity: u64,
    /// Rows evicted so far to make room for others.
    pub overlay_evictions: u64,
    /// Bytes reserved for what is written on top of the table.
    pub overlay_bytes: u64,
}

impl SizedStruct for adclick_table_info {
    const NAME: &'static str = "adclick_table_info";
    const FIRST: usize = 64;
}

/// The handle of a table's name, for `adclick_upsert.table`, into `*handle`. The same name has the same handle for the
/// engine's life, whichever generation is live, and a name that no bundle has gets one too. Handles are never 0.
///
/// `name` has `name_len` bytes; it is not kept.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, not UTF-8, or not 1 to 255 bytes), ADCLICK_CAPACITY_EXCEEDED (65,536 names of
/// tables and columns), ADCLICK_CLOSED.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_table(
    engine: *mut adclick_engine,
    name: *const c_char,
    name_len: usize,
    handle: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let handle = unsafe { place(handle, "handle") }?;
        // SAFETY: clause arrays.
        let name = unsafe { text(name, name_len, "name") }?;
        handle.put(live_engine(engine)?.table(name)?);
        Ok(())
    })
}

/// The handle of a column of a table, for `adclick_value.feature` of `adclick_engine_upsert`, into `*handle`. `table` is the
/// table's handle. It lasts as that does. Features have handles of their own.
///
/// `name` has `name_len` bytes; it is not kept.
/// Errors: as `adclick_engine_table`; ADCLICK_INVALID_ARGUMENT also when `table` is no table's handle.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_column(
    engine: *mut adclick_engine,
    table: u32,
    name: *const c_char,
    name_len: usize,
    handle: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let handle = unsafe { place(handle, "handle") }?;
        // SAFETY: clause arrays.
        let name = unsafe { text(name, name_len, "name") }?;
        handle.put(live_engine(engine)?.column(table, name)?);
        Ok(())
    })
}

/// Writes rows on top of a table of the live generation: values that are known before the next bundle comes. Requests
/// that begin afterwards see them; running ones may. Readers never wait.
///
/// All rows are checked before the first is written; then each appears whole, one by one, in order. `rows` has
/// `upsert->n_rows` entries, `values` `upsert->n_values`; a row's values are those that its `first_value` and `n_values` say.
/// `adclick_value.feature` is a column's handle, and the values of one column stand together: one for a number (`number`);
/// one for each id (`id`); one for each position of a vector (`id` is the position, `number` its number; all of them).
///
/// Each column of a row keeps the time of its last write, in whole seconds. It is replaced by a write of the same time or a
/// later one, and counts until a table comes that was built later, or until it is older than the engine's
/// `overlay_max_age_s`. Increments add to the number that a request would see, whatever their order, unless the table was
/// built later. Sums stay within the column's range, and are as exact as it is: f32 counts to 16,777,216, fp16 to 2,048.
/// When there is no room, the row that was written longest ago is evicted.
///
/// `out` may be NULL. Errors, each with the row's and the value's index: ADCLICK_INVALID_ARGUMENT (NULL, unknown flags, key
/// 0, a time too far ahead of the clock (`overlay_max_skew_s`), a table or column that the live generation does not have, values that do not fit their column, an engine without
/// overlays), ADCLICK_INVALID_VALUE (NaN or infinite), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED. Then nothing was written.
/// Any thread; takes locks and allocates, so not on a request's path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_upsert(
    engine: *mut adclick_engine,
    upsert: *const adclick_upsert,
    rows: *const Row,
    values: *const Value,
    out: *mut adclick_upsert_result,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clause sizes.
        let upsert = unsafe { read_sized(upsert) }?;
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { Output::new(out) }?;
        // SAFETY: clause arrays.
        let rows = unsafe { slice(rows, upsert.n_rows as usize, "rows") }?;
        // SAFETY: clause arrays.
        let values = unsafe { slice(values, upsert.n_values as usize, "values") }?;
        let counts = live_engine(engine)?.upsert(&to_upsert(&upsert)?, rows, values)?;
        // There are no more than `n_rows` of each.
        let (n_applied, n_stale, n_evicted) = (counts.applied as u32, counts.stale as u32, counts.evicted as u32);
        out.write(&adclick_upsert_result { struct_size: 0, n_applied, n_stale, n_evicted });
        Ok(())
    })
}

/// Removes the rows of `n` keys that were written on top of a table of the live generation: requests that begin afterwards
/// see what the table itself holds. Keys without such a row do no harm. `table` is the table's handle.
///
/// On success `*n_removed` is how many rows there were; it may be NULL.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, a table that the live generation does not have, an engine without overlays),
/// ADCLICK_CLOSED.
/// Any thread; takes locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_remove_rows(
    engine: *mut adclick_engine,
    table: u32,
    keys: *const u64,
    n: usize,
    n_removed: *mut u64,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let n_removed = unsafe { optional_place(n_removed) };
        // SAFETY: clause arrays.
        let keys = unsafe { slice(keys, n, "keys") }?;
        n_removed.put(live_engine(engine)?.remove_rows(table, keys)?);
        Ok(())
    })
}

/// Removes all rows that were written on top of a table, as `adclick_engine_remove_rows` does. Rows that are written
/// meanwhile may stay.
///
/// On success `*n_removed` is how many rows there were; it may be NULL.
/// Errors: as `adclick_engine_remove_rows`.
/// Any thread; takes locks, and a few nanoseconds for each row of the overlay's capacity.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_clear_rows(
    engine: *mut adclick_engine,
    table: u32,
    n_removed: *mut u64,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let n_removed = unsafe { optional_place(n_removed) };
        n_removed.put(live_engine(engine)?.clear_rows(table)?);
        Ok(())
    })
}

/// A table of the live generation and what was written on top of it, into `*info`.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, or the live generation has no such table), ADCLICK_BAD_STRUCT_SIZE,
/// ADCLICK_CLOSED.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_table_info(
    engine: *const adclick_engine,
    table: u32,
    info: *mut adclick_table_info,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { place(info, "info").and_then(|_| Output::new(info)) }?;
        let info = live_engine(engine)?.table_info(table)?;
        out.write(&adclick_table_info {
            struct_size: 0,
            n_shards: info.shards,
            rows: info.rows,
            built_us: info.built_us,
            fresh_for_s: info.fresh_for_s,
            overlay_rows: info.overlay_rows,
            overlay_capacity: info.overlay_capacity,
            overlay_evictions: info.overlay_evictions,
            overlay_bytes: info.overlay_bytes,
        });
        Ok(())
    })
}

/// The key of a table row that belongs to `n` ids, such as user and advertiser, in the order in which the table's key
/// names them. Packing and serving use the same function. One id is its own key. 0, which is no key, when an id is 0
/// (unknown), or when there is none. Any thread; allocates nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_key(ids: *const u64, n: usize) -> u64 {
    // SAFETY: clause arrays.
    unsafe { slice(ids, n, "ids") }.map_or(0, crate::hash::composite_key)
}

fn to_upsert(c: &adclick_upsert) -> Result<Upsert, Failure> {
    let operation = match c.flags {
        0 => Operation::Columns,
        ADCLICK_UPSERT_INCREMENT => Operation::Increment,
        ADCLICK_UPSERT_WHOLE_ROW => Operation::WholeRow,
        flags => {
            let message = format!(
                "upsert.flags is {flags:#x}, expected 0, ADCLICK_UPSERT_INCREMENT (0x1) or ADCLICK_UPSERT_WHOLE_ROW (0x2)"
            );
            return Err(Error::argument(message).into());
        }
    };
    if c.reserved != 0 {
        return Err(Error::argument("upsert.reserved is not 0").into());
    }
    Ok(Upsert { table: c.table, operation, time_us: c.time_us })
}
