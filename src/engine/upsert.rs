//! The engine's tables: handles of their names, and rows written on top of them.

use super::Engine;
use crate::error::Result;
use crate::overlay::{TableInfo, Upsert, UpsertCounts};
use crate::types::{Row, Value};

impl Engine {
    /// The handle of a table's name, for [`Engine::upsert`]. A name keeps its handle for the engine's life, across
    /// generations, and a name that no bundle has gets one too.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is not 1 to 255 bytes, `CapacityExceeded` past 65,536 names of tables and columns.
    pub fn table(&self, name: &str) -> Result<u32> {
        self.shared.overlays.table(name)
    }

    /// The handle of a column of a table, for [`crate::types::Value::feature`] in [`Engine::upsert`]. Like a table's
    /// handle, it never changes. `table` is a handle from [`Engine::table`].
    ///
    /// # Errors
    /// As [`Engine::table`]; `InvalidArgument` when `table` is not a table's handle.
    pub fn column(&self, table: u32, name: &str) -> Result<u32> {
        self.shared.overlays.column(table, name)
    }

    /// Writes rows on top of a table of the live generation: whole rows, single columns, or increments. Requests that
    /// begin afterwards see them; running ones may. All rows are checked before the first is written. Each row appears
    /// as a whole, one by one.
    ///
    /// A column keeps the time of its last write, in whole seconds. Replacing it takes the same time or a later one; an
    /// increment counts at any time. A column counts while it is neither older than the table below it nor older than
    /// [`Options::overlay_max_age`](crate::Options::overlay_max_age). When the overlay is full, the rows written
    /// longest ago make room.
    ///
    /// The values of a row are [`Value`]s whose `feature` is a column's handle. A number takes one value; an id column
    /// takes one for each id; a vector takes one for each position, with `id` as the position.
    ///
    /// # Errors
    /// `InvalidArgument` for a table or column that the live generation does not have, an engine without overlays, and
    /// values that do not fit their column; `InvalidValue` for NaN and infinity; `Closed`. In all these cases nothing
    /// is written, and the message names the row and the value.
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

    /// Removes rows that were written on top of a table of the live generation: the table's own rows count again for
    /// requests that begin afterwards. Keys without such a row are ignored. Returns the number of rows removed.
    ///
    /// # Errors
    /// `InvalidArgument` for a table that the live generation does not have and for an engine without overlays;
    /// `Closed`.
    pub fn remove_rows(&self, table: u32, keys: &[u64]) -> Result<u64> {
        let _steady = self.shared.overlays.steady();
        self.shared.overlays.remove(self.live()?.tables(), table, Some(keys))
    }

    /// Removes all rows from a table of the live generation, as [`Engine::remove_rows`]. Rows written meanwhile may
    /// stay.
    ///
    /// # Errors
    /// As [`Engine::remove_rows`].
    pub fn clear_rows(&self, table: u32) -> Result<u64> {
        let _steady = self.shared.overlays.steady();
        self.shared.overlays.remove(self.live()?.tables(), table, None)
    }

    /// A table of the live generation and its overlay.
    ///
    /// # Errors
    /// `InvalidArgument` for a table that the live generation does not have, `Closed`.
    pub fn table_info(&self, table: u32) -> Result<TableInfo> {
        let _steady = self.shared.overlays.steady();
        self.shared.overlays.info(self.live()?.tables(), table)
    }
}
