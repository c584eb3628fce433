//! The names of tables and columns as callers know them, and the overlay of each open table.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::Overlay;
use crate::error::{Error, Result, Status};
use crate::table::{Column, RowLayout};

/// More names than any reasonable set of tables has; bounds the memory that a caller's mistake can take.
const MAX_NAMES: usize = 1 << 16;
/// The most names of one table: the upper half of a column's handle is the table's.
const MAX_OF_TABLE: usize = u16::MAX as usize;

/// Handles and overlays of one engine. Changed by staging and by requests for handles.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Rows of an overlay; 0 = none.
    capacity: usize,
    handles: HashMap<String, u32>,
    /// By handle minus 1.
    tables: Vec<Names>,
    /// Names of tables and columns together.
    names: usize,
    /// By the table's handle.
    open: HashMap<u32, Vec<Open>>,
}

#[derive(Debug)]
struct Names {
    name: Arc<str>,
    handles: HashMap<String, u32>,
    /// By the lower half of the handle, minus 1.
    columns: Vec<String>,
}

/// Overlays live as long as a generation holds them.
#[derive(Debug)]
struct Open {
    overlay: Weak<Overlay>,
    columns: Columns,
}

/// The columns of a layout by handle.
#[derive(Debug, Clone)]
pub(crate) struct Columns(Arc<[(u32, u16)]>);

impl Columns {
    /// The column of a handle, if the layout has it.
    pub(crate) fn find(&self, handle: u32) -> Option<usize> {
        let at = self.0.binary_search_by_key(&handle, |(handle, _)| *handle).ok()?;
        Some(self.0[at].1.into())
    }
}

impl Registry {
    /// Overlays will hold `capacity` rows; 0: no table has one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, handles: HashMap::new(), tables: Vec::new(), names: 0, open: HashMap::new() }
    }

    /// The handle of a table's name: always the same for a name, never 0.
    pub(crate) fn table(&mut self, name: &str) -> Result<u32> {
        if let Some(&handle) = self.handles.get(name) {
            return Ok(handle);
        }
        self.check("table", name, self.tables.len())?;
        let handle = self.tables.len() as u32 + 1;
        self.tables.push(Names { name: name.into(), handles: HashMap::new(), columns: Vec::new() });
        self.handles.insert(name.to_owned(), handle);
        self.names += 1;
        Ok(handle)
    }

    /// The handle of a column of a table: always the same for a name, never 0, different from those of other tables'
    /// columns.
    pub(crate) fn column(&mut self, table: u32, name: &str) -> Result<u32> {
        let names = self.names(table)?;
        if let Some(&handle) = names.handles.get(name) {
            return Ok(handle);
        }
        self.check("column", name, names.columns.len())?;
        let names = &mut self.tables[table as usize - 1];
        let handle = table << 16 | (names.columns.len() as u32 + 1);
        names.columns.push(name.to_owned());
        names.handles.insert(name.to_owned(), handle);
        self.names += 1;
        Ok(handle)
    }

    /// Checks that there is room for the new names among these tables and their columns. Then [`Registry::overlay`]
    /// does not fail half way.
    ///
    /// # Errors
    /// `CapacityExceeded`.
    pub(crate) fn check_room<'a>(&self, tables: impl Iterator<Item = (&'a str, &'a RowLayout)>) -> Result<()> {
        let mut new = 0;
        for (name, layout) in tables {
            let known = self.handles.get(name).map(|&handle| &self.tables[handle as usize - 1]);
            let columns = if self.capacity == 0 { &[] } else { layout.columns() };
            let is_new = |c: &&Column| known.is_none_or(|known| !known.handles.contains_key(&c.name));
            let of_table = columns.iter().filter(is_new).count();
            self.check_count(known.map_or(0, |known| known.columns.len()) + of_table, 0)?;
            new += usize::from(known.is_none()) + of_table;
        }
        self.check_count(0, self.names + new)
    }

    fn check_count(&self, of_table: usize, all: usize) -> Result<()> {
        if of_table > MAX_OF_TABLE || all > MAX_NAMES {
            let message = format!("more than {MAX_NAMES} names of tables and columns");
            return Err(Error::new(Status::CapacityExceeded, message));
        }
        Ok(())
    }

    fn check(&self, what: &str, name: &str, held: usize) -> Result<()> {
        if name.is_empty() || name.len() > crate::schema::MAX_NAME {
            return Err(Error::argument(format!("a {what} name of {} bytes, expected 1 to 255", name.len())));
        }
        self.check_count(held + 1, self.names + 1)
    }

    fn names(&self, table: u32) -> Result<&Names> {
        (table as usize).checked_sub(1).and_then(|at| self.tables.get(at)).ok_or_else(|| {
            Error::argument(format!("{table} is no table's handle: take the one that the engine gave for its name"))
        })
    }

    /// The name of a table.
    pub(crate) fn table_name(&self, table: u32) -> Result<&Arc<str>> {
        self.names(table).map(|names| &names.name)
    }

    /// The name of the table with this number (its handle minus 1), if there is one.
    pub(crate) fn known_name(&self, number: usize) -> Option<Arc<str>> {
        self.tables.get(number).map(|names| Arc::clone(&names.name))
    }

    /// The reason why a handle is not a column of this table's layout.
    pub(crate) fn no_column(&self, table: u32, handle: u32) -> Error {
        let of = self.names(handle >> 16).ok();
        let name = of.and_then(|names| names.columns.get((handle as usize & 0xffff).checked_sub(1)?));
        Error::argument(match (of, name, self.names(table)) {
            (Some(of), Some(name), Ok(table)) if of.name == table.name => {
                format!("table `{}` of the live generation has no column `{name}`", table.name)
            }
            (Some(of), Some(name), _) => {
                format!("handle {handle} is of column `{name}` of another table, `{}`", of.name)
            }
            _ => format!("{handle} is no column's handle: take the one that the engine gave for its name"),
        })
    }

    /// All overlays of a table that generations hold, one for each layout.
    pub(crate) fn of_table(&self, table: u32) -> Vec<Arc<Overlay>> {
        self.open.get(&table).into_iter().flatten().filter_map(|open| open.overlay.upgrade()).collect()
    }

    /// The overlay of a table with this name and layout: another generation's, or a new one. None when the engine has
    /// no overlays.
    pub(crate) fn overlay(&mut self, name: &str, layout: &Arc<RowLayout>) -> Result<Option<Arc<Overlay>>> {
        if self.capacity == 0 {
            return Ok(None);
        }
        let table = self.table(name)?;
        if let Some((overlay, _)) = self.find(name, layout) {
            return Ok(Some(overlay));
        }
        let mut columns = Vec::with_capacity(layout.columns().len());
        for (at, column) in layout.columns().iter().enumerate() {
            columns.push((self.column(table, &column.name)?, at as u16));
        }
        columns.sort_unstable();
        let overlay = Arc::new(Overlay::new(Arc::clone(layout), self.capacity)?);
        let open = Open { overlay: Arc::downgrade(&overlay), columns: Columns(columns.into()) };
        self.open.entry(table).or_default().push(open);
        Ok(Some(overlay))
    }

    /// Forgets overlays that no generation holds any more.
    pub(crate) fn sweep(&mut self) {
        self.open.retain(|_, of_table| {
            of_table.retain(|open| open.overlay.strong_count() > 0);
            !of_table.is_empty()
        });
    }

    /// The overlay of an open table of this name and layout, and its columns.
    pub(crate) fn find(&self, name: &str, layout: &Arc<RowLayout>) -> Option<(Arc<Overlay>, Columns)> {
        let table = *self.handles.get(name)?;
        self.open.get(&table)?.iter().find_map(|open| {
            let overlay = open.overlay.upgrade()?;
            let same = Arc::ptr_eq(overlay.layout(), layout) || overlay.layout() == layout;
            same.then(|| (overlay, open.columns.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnKind;

    fn layout(names: &[&str]) -> Arc<RowLayout> {
        let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::F32 };
        Arc::new(RowLayout::new(names.iter().map(column).collect()).unwrap())
    }

    #[test]
    fn handles_are_stable_and_say_what_they_are_not() {
        let mut registry = Registry::new(10);
        let (user, ad) = (registry.table("user").unwrap(), registry.table("ad").unwrap());
        let (clicks, ctr) = (registry.column(user, "clicks").unwrap(), registry.column(ad, "ctr").unwrap());
        assert!(user != ad && clicks != ctr && ![user, ad, clicks, ctr].contains(&0));
        let overlay = registry.overlay("user", &layout(&["age", "clicks"])).unwrap().unwrap();
        assert_eq!((registry.table("user").unwrap(), registry.column(user, "clicks").unwrap()), (user, clicks));
        let (found, columns) = registry.find("user", &layout(&["age", "clicks"])).unwrap();
        assert!(Arc::ptr_eq(&overlay, &found) && registry.find("ad", &layout(&["age", "clicks"])).is_none());
        assert_eq!((columns.find(clicks), columns.find(ctr), columns.find(0)), (Some(1), None, None));
        assert_eq!(columns.find(registry.column(user, "age").unwrap()), Some(0));
        let unknown = registry.column(user, "unknown").unwrap();
        for (handle, text) in [
            (unknown, "table `user` of the live generation has no column `unknown`"),
            (ctr, "column `ctr` of another table, `ad`"),
            (0, "0 is no column's handle"),
            (user << 16, "is no column's handle"),
            (u32::MAX, "is no column's handle"),
        ] {
            assert_eq!(columns.find(handle), None);
            let error = registry.no_column(user, handle);
            assert!(error.message.contains(text), "{error}");
        }
        for table in [0, 3, u32::MAX] {
            assert!(registry.column(table, "x").unwrap_err().message.contains("is no table's handle"));
            assert!(registry.table_name(table).is_err());
        }
        assert!(registry.table("").is_err() && registry.column(user, &"x".repeat(256)).is_err());
    }

    #[test]
    fn generations_of_one_layout_share_an_overlay_while_one_of_them_lives() {
        let mut registry = Registry::new(10);
        let first = registry.overlay("user", &layout(&["a"])).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &registry.overlay("user", &layout(&["a"])).unwrap().unwrap()));
        assert!(!Arc::ptr_eq(&first, &registry.overlay("ad", &layout(&["a"])).unwrap().unwrap()));
        let other = registry.overlay("user", &layout(&["a", "b"])).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &registry.overlay("user", &layout(&["a"])).unwrap().unwrap()));
        assert!(Arc::ptr_eq(&other, &registry.overlay("user", &layout(&["a", "b"])).unwrap().unwrap()));
        drop((first, other));
        assert!(registry.overlay("user", &layout(&["a"])).unwrap().unwrap().is_empty());
        // Overlays without holders are forgotten.
        let held = registry.overlay("ad", &layout(&["a"])).unwrap();
        registry.sweep();
        assert_eq!((registry.open.len(), held.is_some()), (1, true));
        assert!(Registry::new(0).overlay("user", &layout(&["a"])).unwrap().is_none());
    }

    #[test]
    fn names_are_bounded() {
        let mut registry = Registry::new(10);
        let table = registry.table("t").unwrap();
        let refused = (0..MAX_NAMES).map(|i| registry.column(table, &i.to_string())).find_map(Result::err).unwrap();
        assert_eq!(refused.status, Status::CapacityExceeded);
        // Known names still get their handles, and a name without room leaves nothing behind.
        assert!(registry.column(table, "0").is_ok());
        let (known, new) = (layout(&["0", "1"]), layout(&["0", "new"]));
        registry.check_room([("t", &*known)].into_iter()).unwrap();
        for (name, layout) in [("t", &new), ("u", &known)] {
            let refused = registry.check_room([("t", &*known), (name, &**layout)].into_iter()).unwrap_err();
            assert_eq!(refused.status, Status::CapacityExceeded);
        }
        assert!(!registry.handles.contains_key("u"));
    }
}
