//! The engine's tables: handles of their names, and rows written on top of them.

use super::Engine;
use crate::error::Result;
use crate::overlay::{TableInfo, Upsert, UpsertCounts};
use crate::types::{Row, Value};

impl Engine {
    /// The handle of a table's name, for [`Engine::upsert`]. The same name has the same handle for the engine's life,
    /// whichever generation is live, and one that no bundle has gets one too.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is not 1 to 255 bytes, `CapacityExceeded` past 65,536 names of tables and columns.
    pub fn table(&self, name: &str) -> Result<u32> {
        self.shared.overlays.table(name)
    }

    /// The handle of a column of a table, for [`crate::types::Value::feature`] in [`Engine::upsert`]; as
    /// [`Engine::table`], to which the handle `table` belongs.
    ///
    /// # Errors
    /// As [`Engine::table`]; `InvalidArgument` when `table` is no table's handle.
    pub fn column(&self, table: u32, name: &str) -> Result<u32> {
        self.shared.overlays.column(table, name)
    }

    /// Writes rows on top of a table of the live generation: whole rows, single columns, or increments. Requests that
    /// begin afterwards see them, those under way may. All rows are checked before the first is written; each appears
    /// whole, one by one.
    ///
    /// A column keeps the time of its last write, in whole seconds. Replacing it takes the same time or a later one; an
    /// increment counts whatever its time. A column counts while it is not older than the table below it nor than
    /// [`Options::overlay_max_age`](crate::Options::overlay_max_age). When the overlay is full, the rows that were written
    /// longest ago make room.
    ///
    /// The values of a row are [`Value`]s whose `feature` is a column's handle: a number; for each id of an id column one;
    /// for each position of a vector one, `id` being the position.
    ///
    /// # Errors
    /// `InvalidArgument` for a table or column that the live generation does not have, an engine without overlays, and
    /// values that do not fit their column; `InvalidValue` for NaN and infinity; `Closed`. Then nothing was written, and
    /// the message names the row and the value.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use adclick::{Engine, Operation, Options, Row, Upsert, UpsertCounts, Value, category_id};
    ///
    /// # fn main() -> adclick::Result<()> {
    /// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
    /// let users = engine.table("users")?;
    /// let clicks = engine.column(users, "clicks_7d")?;
    ///
    /// // The user clicked once more.
    /// let one_click = [Value { feature: clicks, number: 1.0, id: 0 }];
    /// let rows = [Row { key: category_id(b"u1001"), first_value: 0, n_values: 1 }];
    /// let upsert = Upsert { table: users, operation: Operation::Increment, time_us: 0 };
    /// assert_eq!(engine.upsert(&upsert, &rows, &one_click)?, UpsertCounts { applied: 1, stale: 0, evicted: 0 });
    /// assert_eq!(engine.table_info(users)?.overlay_rows, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn upsert(&self, upsert: &Upsert, rows: &[Row], values: &[Value]) -> Result<UpsertCounts> {
        let _steady = self.shared.overlays.steady();
        let counts = self.shared.overlays.upsert(self.live()?.tables(), upsert, rows, values)?;
        self.shared.events.upserted(&counts);
        Ok(counts)
    }

    /// Takes rows off a table of the live generation that were written on top of it: what the table itself holds counts again
    /// for requests that begin afterwards. Keys without such a row do no harm. Returns how many rows there were.
    ///
    /// # Errors
    /// `InvalidArgument` for a table that the live generation does not have and an engine without overlays, `Closed`.
    pub fn remove_rows(&self, table: u32, keys: &[u64]) -> Result<u64> {
        let _steady = self.shared.overlays.steady();
        self.shared.overlays.remove(self.live()?.tables(), table, Some(keys))
    }

    /// Takes all rows off a table of the live generation, as [`Engine::remove_rows`]. Rows that are written meanwhile may stay.
    ///
    /// # Errors
    /// As [`Engine::remove_rows`].
    pub fn clear_rows(&self, table: u32) -> Result<u64> {
        let _steady = self.shared.overlays.steady();
        self.shared.overlays.remove(self.live()?.tables(), table, None)
    }

    /// A table of the live generation and what was written on top of it.
    ///
    /// # Errors
    /// `InvalidArgument` for a table that the live generation does not have, `Closed`.
    pub fn table_info(&self, table: u32) -> Result<TableInfo> {
        let _steady = self.shared.overlays.steady();
        self.shared.overlays.info(self.live()?.tables(), table)
    }
}
