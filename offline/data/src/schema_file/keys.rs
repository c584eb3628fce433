//! `[keys]`: the columns of a data file that hold a request's keys.

use adclick::builder::schema::{Enrichment, KeyPart};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::raw;
use super::tables::{IdColumn, TableFile};
use super::values::{list, typed};

/// The columns of data files with the ids that tables are looked up by: a row there is a request with one candidate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyColumns {
    /// The request's `user_key`.
    pub user: Option<IdColumn>,
    /// The candidate's `ad_key`.
    pub ad: Option<IdColumn>,
    /// The candidate's `advertiser_key`.
    pub advertiser: Option<IdColumn>,
    /// The request's `placement`, always an integer.
    pub placement: Option<IdColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    column: String,
    raw: Option<raw::IdKind>,
}

impl KeyColumns {
    /// Reads the table. Ids have the same form as in the feature tables.
    pub(super) fn parse(table: toml::Value, enrichment: &Enrichment, files: &[TableFile]) -> Result<Self> {
        let toml::Value::Table(table) = table else { bail!("is a {}, expected a table", table.type_str()) };
        let mut keys = Self::default();
        for (name, value) in table {
            let (slot, part) = match name.as_str() {
                "user" => (&mut keys.user, KeyPart::User),
                "ad" => (&mut keys.ad, KeyPart::Ad),
                "advertiser" => (&mut keys.advertiser, KeyPart::Advertiser),
                "placement" => (&mut keys.placement, KeyPart::Placement),
                _ => bail!("unknown key `{name}`; allowed: {}", list(&["user", "ad", "advertiser", "placement"])),
            };
            let long = match value {
                toml::Value::String(column) => Long { column, raw: None },
                other => typed(other).with_context(|| format!("key `{name}`"))?,
            };
            ensure!(!long.column.is_empty(), "key `{name}` names no column");
            let in_tables = enrichment
                .tables
                .iter()
                .zip(files)
                .find_map(|(u, f)| Some((f.name.as_str(), f.key[u.key.iter().position(|p| *p == part)?].integer)));
            let stated = long.raw.map(|raw| raw == raw::IdKind::Integer);
            let integer = match (&part, in_tables, stated) {
                (KeyPart::Placement, _, Some(false)) => {
                    bail!("key `{name}`: a placement is a number in requests, so `raw` must be \"integer\"")
                }
                (KeyPart::Placement, ..) => true,
                (_, Some((table, integer)), stated) => {
                    ensure!(
                        stated.is_none_or(|s| s == integer),
                        "key `{name}`: `raw` is not that of table `{table}`; leave it out"
                    );
                    integer
                }
                (_, None, stated) => stated.unwrap_or(false),
            };
            *slot = Some(IdColumn { column: long.column, integer });
        }
        Ok(keys)
    }
}
