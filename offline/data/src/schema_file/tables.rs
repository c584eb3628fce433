//! `[[tables]]`: the feature tables that a model reads, and how data files become their rows.

use adclick::builder::schema::{ColumnUse, Enrichment, KeyPart, MAX_KEY_PARTS, Side, TableUse};
use adclick::builder::table::{ColumnKind, RowLayout};
use anyhow::{Context, Result, anyhow, bail, ensure};

use super::cells::{CellSource, columns_of};
use super::values::{list, name_of, plain, texts, typed};
use super::{duration, raw};

/// The longest name of a table: it becomes part of a file name.
const MAX_TABLE_NAME: usize = 100;
/// The most shards of a table.
const MAX_SHARDS: u32 = 1024;

/// How data files become a feature table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFile {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// The columns of the data files that hold the ids of the key, in the key's order.
    pub key: Vec<IdColumn>,
    /// The layout of the table's columns.
    pub layout: RowLayout,
    /// The sources of the columns, one for each.
    pub cells: Vec<CellSource>,
    /// The row of keys that are not in the table.
    pub default: Vec<u8>,
    /// The oldest age allowed, in seconds; 0 = any.
    pub fresh_for_s: u64,
    /// The number of files it is written to.
    pub shards: u32,
}

/// A column of a data file that holds ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdColumn {
    /// Its name in the data file.
    pub column: String,
    /// Whether its values are integers (their own ids) or strings (hashed to ids).
    pub integer: bool,
}

/// All tables of a schema file.
pub(super) struct FeatureTables {
    pub(super) files: Vec<TableFile>,
    /// The same tables in the core's form, with no bindings yet.
    pub(super) enrichment: Enrichment,
}

/// A column named as `TABLE.COLUMN`.
pub(super) struct FoundColumn<'a> {
    pub(super) at: ColumnUse,
    pub(super) kind: ColumnKind,
    pub(super) source: &'a CellSource,
    /// Whether requests or candidates carry the table's key.
    pub(super) side: Side,
}

impl FeatureTables {
    pub(super) fn parse(found: Vec<toml::Table>) -> Result<Self> {
        let mut all = Self { files: Vec::new(), enrichment: Enrichment::default() };
        let mut keys = Vec::new();
        for (i, table) in found.into_iter().enumerate() {
            let name = name_of(&table).map(str::to_owned);
            let place = || name.as_ref().map_or(format!("tables[{i}]"), |n| format!("table `{n}`"));
            let (file, key) = file(table).with_context(place)?;
            ensure!(all.files.iter().all(|f| f.name != file.name), "table `{}` is defined twice", file.name);
            all.files.push(file);
            keys.push(key);
        }
        // A key may name a column of a table that is defined further down.
        all.enrichment.tables = all.files.iter().map(|f| TableUse { name: f.name.clone(), key: Vec::new() }).collect();
        for (i, key) in keys.iter().enumerate() {
            let place = || format!("table `{}`", all.files[i].name);
            let parts: Vec<KeyPart> =
                key.parts.iter().map(|p| all.part(p, &keys)).collect::<Result<_>>().with_context(place)?;
            ensure!(
                parts.iter().enumerate().all(|(i, p)| !parts[..i].contains(p)),
                "table `{}`: key `key` names one id twice",
                all.files[i].name
            );
            all.enrichment.tables[i].key = parts;
        }
        for (i, key) in keys.iter().enumerate() {
            all.files[i].key = all.key_columns(i, key).with_context(|| format!("table `{}`", all.files[i].name))?;
        }
        all.same_ids()?;
        Ok(all)
    }

    /// The column that `text` names, `TABLE.COLUMN` or `TABLE.COLUMN[position]`.
    pub(super) fn find(&self, text: &str) -> Result<FoundColumn<'_>> {
        let (table, rest) = text
            .split_once('.')
            .ok_or_else(|| anyhow!("`{text}` is not of the form TABLE.COLUMN or TABLE.COLUMN[3]"))?;
        let t = self.files.iter().position(|f| f.name == table).ok_or_else(|| {
            let known: Vec<&str> = self.files.iter().map(|f| f.name.as_str()).collect();
            anyhow!("`{text}`: no table `{table}` is defined; defined: {}", list(&known))
        })?;
        let (column, position) = match rest.strip_suffix(']').and_then(|r| r.split_once('[')) {
            Some((column, digits)) => {
                let position: u16 =
                    digits.parse().map_err(|_| anyhow!("`{text}`: `{digits}` is not a position in a vector"))?;
                (column, Some(position))
            }
            None => (rest, None),
        };
        let file = &self.files[t];
        let c = file.layout.find(column).ok_or_else(|| {
            let known: Vec<&str> = file.layout.columns().iter().map(|c| c.name.as_str()).collect();
            anyhow!("`{text}`: table `{table}` has no column `{column}`; it has {}", list(&known))
        })?;
        let kind = file.layout.columns()[c].kind;
        match (position, kind) {
            (Some(at), ColumnKind::Vector { dim }) => {
                ensure!(at < dim, "`{text}`: the vector has {dim} values, numbered from 0");
            }
            (Some(_), _) => bail!("`{text}`: column `{column}` is {kind}, and only vectors have positions"),
            (None, _) => {}
        }
        let at = ColumnUse { table: t as u32, column: column.to_owned(), position };
        Ok(FoundColumn { at, kind, source: &file.cells[c], side: self.enrichment.side(t) })
    }

    fn part(&self, text: &str, keys: &[RawKey]) -> Result<KeyPart> {
        Ok(match text {
            "user" => KeyPart::User,
            "ad" => KeyPart::Ad,
            "advertiser" => KeyPart::Advertiser,
            "placement" => KeyPart::Placement,
            _ if text.contains('.') => {
                let found = self.find(text).context("key `key`")?;
                ensure!(
                    matches!(found.kind, ColumnKind::U32 { cap: 1 } | ColumnKind::U64 { cap: 1 }),
                    "key `key`: `{text}` is {}, and a key takes one u32 or u64 id",
                    found.kind
                );
                ensure!(
                    keys[found.at.table as usize].parts.iter().all(|p| !p.contains('.')),
                    "key `key`: `{text}` is of a table whose own key has a column of a table in it; allowed: columns \
                     of tables that are keyed by user, ad, advertiser and placement"
                );
                KeyPart::Column(found.at)
            }
            _ => bail!("key `key` = `{text}`; allowed: user, ad, advertiser, placement, or TABLE.COLUMN"),
        })
    }

    /// The data file's columns for a key.
    fn key_columns(&self, table: usize, key: &RawKey) -> Result<Vec<IdColumn>> {
        let parts = &self.enrichment.tables[table].key;
        let n = parts.len();
        let names = match &key.columns {
            Some(names) => names.clone(),
            None => parts.iter().map(default_column).collect(),
        };
        ensure!(names.len() == n, "key `key_columns` names {} columns, but the key has {n} ids", names.len());
        let stated: Vec<Option<raw::IdKind>> = match &key.raw[..] {
            [] => vec![None; n],
            [one] => vec![Some(*one); n],
            many => {
                ensure!(
                    many.len() == n,
                    "key `raw` has {} entries, expected one, or {n} as the key has ids",
                    many.len()
                );
                many.iter().copied().map(Some).collect()
            }
        };
        let columns = parts.iter().zip(&names).zip(stated).zip(&key.parts).map(|(((part, column), stated), text)| {
            let integer = match (part, stated) {
                (KeyPart::Placement, Some(raw::IdKind::String)) => {
                    bail!("key `raw`: a placement is a number in requests, so its raw ids must be \"integer\"")
                }
                (KeyPart::Placement, _) => true,
                (KeyPart::Column(at), stated) => {
                    let source = &self.find(text)?.source;
                    // One `raw` for several ids applies to those whose form no other column gives.
                    ensure!(
                        key.raw.len() < n || stated.is_none_or(|s| (s == raw::IdKind::Integer) == source.integer),
                        "key `raw`: the ids of `{text}` are {}s in table `{}`, and must be here",
                        raw_name(source.integer),
                        self.files[at.table as usize].name
                    );
                    source.integer
                }
                (_, stated) => stated == Some(raw::IdKind::Integer),
            };
            Ok(IdColumn { column: column.clone(), integer })
        });
        columns.collect()
    }

    /// A request has one key for a user, so a table that hashes its id and one that does not could never both find it.
    fn same_ids(&self) -> Result<()> {
        for part in [KeyPart::User, KeyPart::Ad, KeyPart::Advertiser] {
            let mut found = self.enrichment.tables.iter().zip(&self.files).filter_map(|(u, f)| {
                let at = u.key.iter().position(|p| *p == part)?;
                Some((f.name.as_str(), f.key[at].integer))
            });
            let Some((first, integer)) = found.next() else { continue };
            if let Some((other, _)) = found.find(|(_, i)| *i != integer) {
                bail!(
                    "table `{other}`: its {} ids are {}s, those of table `{first}` are {}s; a request has one key for \
                     both: give them the same `raw`",
                    default_column(&part).trim_end_matches("_id"),
                    raw_name(!integer),
                    raw_name(integer)
                );
            }
        }
        Ok(())
    }
}

fn raw_name(integer: bool) -> &'static str {
    if integer { "integer" } else { "string" }
}

/// The data file's column for an id when the schema names none.
fn default_column(part: &KeyPart) -> String {
    match part {
        KeyPart::User => "user_id".into(),
        KeyPart::Ad => "ad_id".into(),
        KeyPart::Advertiser => "advertiser_id".into(),
        KeyPart::Placement => "placement_id".into(),
        KeyPart::Column(column) => column.column.clone(),
    }
}

/// The key as it is written.
struct RawKey {
    parts: Vec<String>,
    columns: Option<Vec<String>>,
    raw: Vec<raw::IdKind>,
}

/// A table without its key, and the key as it is written.
fn file(table: toml::Table) -> Result<(TableFile, RawKey)> {
    let raw: raw::FeatureTable = typed(table.into())?;
    ensure!(
        plain(&raw.name) && raw.name.len() <= MAX_TABLE_NAME,
        "key `name` = {:?}; allowed: up to {MAX_TABLE_NAME} letters, digits, `_` and `-` (it becomes a file name)",
        raw.name
    );
    let parts = texts("key", &raw.key)?;
    ensure!(
        (1..=MAX_KEY_PARTS).contains(&parts.len()),
        "key `key` has {} ids; allowed: 1 to {MAX_KEY_PARTS}",
        parts.len()
    );
    let columns = raw.key_columns.as_ref().map(|v| texts("key_columns", v)).transpose()?;
    let kinds = match raw.raw {
        None => Vec::new(),
        Some(toml::Value::Array(each)) => typed(toml::Value::Array(each)).context("key `raw`")?,
        Some(one) => vec![typed(one).context("key `raw`")?],
    };
    let (layout, cells, default) = columns_of(raw.columns)?;
    let fresh_for_s = raw.fresh_for.as_deref().map_or(Ok(0), duration::seconds).context("key `fresh_for`")?;
    let shards = raw.shards.unwrap_or(1);
    ensure!((1..=MAX_SHARDS).contains(&shards), "key `shards` = {shards}; allowed: 1 to {MAX_SHARDS}");
    let file = TableFile { name: raw.name, key: Vec::new(), layout, cells, default, fresh_for_s, shards };
    Ok((file, RawKey { parts, columns, raw: kinds }))
}

/// The key of a table as schema files write it: `user`, or `user, ads.category`.
#[must_use]
pub fn key_text(enrichment: &Enrichment, table: usize) -> String {
    let part = |part: &KeyPart| match part {
        KeyPart::User => "user".to_owned(),
        KeyPart::Ad => "ad".to_owned(),
        KeyPart::Advertiser => "advertiser".to_owned(),
        KeyPart::Placement => "placement".to_owned(),
        KeyPart::Column(at) => enrichment.column_text(at),
    };
    enrichment.tables[table].key.iter().map(part).collect::<Vec<_>>().join(", ")
}
