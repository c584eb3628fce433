//! The bytes of the `enrichment` section; docs/format.md has the table.

use super::{Binding, ColumnUse, Enrichment, KeyPart, Lookup, MAX_KEY_PARTS, Measure, TableUse};
use crate::error::Result;
use crate::schema::Schema;
use crate::wire::Reader;
#[cfg(feature = "builder")]
use crate::wire::Writer;

const USER: u8 = 0;
const AD: u8 = 1;
const ADVERTISER: u8 = 2;
const PLACEMENT: u8 = 3;
const COLUMN_ID: u8 = 4;

const COLUMN: u8 = 0;
const SIMILARITY: u8 = 1;

impl Enrichment {
    /// The bytes of the `enrichment` section.
    ///
    /// # Errors
    /// `InvalidArgument` when the enrichment is not valid for the schema (see [`Enrichment::validate`]).
    #[cfg(feature = "builder")]
    pub fn encode(&self, schema: &Schema) -> Result<Vec<u8>> {
        self.validate(schema)?;
        let mut w = Writer::default();
        w.u32(self.tables.len() as u32);
        for table in &self.tables {
            w.text(&table.name);
            w.u8(table.key.len() as u8);
            for part in &table.key {
                match part {
                    KeyPart::User => w.u8(USER),
                    KeyPart::Ad => w.u8(AD),
                    KeyPart::Advertiser => w.u8(ADVERTISER),
                    KeyPart::Placement => w.u8(PLACEMENT),
                    KeyPart::Column(column) => {
                        w.u8(COLUMN_ID);
                        encode_column(&mut w, column);
                    }
                }
            }
        }
        w.u32(self.bindings.len() as u32);
        for binding in &self.bindings {
            w.u32(binding.feature);
            match &binding.lookup {
                Lookup::Column(column) => {
                    w.u8(COLUMN);
                    encode_column(&mut w, column);
                }
                Lookup::Similarity { left, right, measure } => {
                    w.u8(SIMILARITY);
                    w.u8(*measure as u8);
                    encode_column(&mut w, left);
                    encode_column(&mut w, right);
                }
            }
        }
        Ok(w.0)
    }

    /// Reads the `enrichment` section of a model with this schema.
    ///
    /// # Errors
    /// `Corrupt` with the offset and what is wrong there.
    pub fn decode(bytes: &[u8], schema: &Schema) -> Result<Self> {
        let mut r = Reader::new("enrichment", bytes);
        let mut enrichment = Self::default();
        for _ in 0..r.count("tables", 4)? {
            enrichment.tables.push(decode_table(&mut r)?);
        }
        for _ in 0..r.count("bindings", 14)? {
            let feature = r.u32()?;
            let lookup = decode_lookup(&mut r)?;
            enrichment.bindings.push(Binding { feature, lookup });
        }
        r.end()?;
        enrichment.validate(schema).map_err(|e| r.error(e))?;
        Ok(enrichment)
    }
}

#[cfg(feature = "builder")]
fn encode_column(w: &mut Writer, column: &ColumnUse) {
    w.u32(column.table);
    w.text(&column.column);
    w.u8(u8::from(column.position.is_some()));
    w.u16(column.position.unwrap_or(0));
}

fn decode_table(r: &mut Reader<'_>) -> Result<TableUse> {
    let name = r.text()?.to_owned();
    let n = r.u8()?;
    if !(1..=MAX_KEY_PARTS).contains(&n.into()) {
        return Err(r.error(format_args!("the key of table `{name}` has {n} ids, expected 1 to {MAX_KEY_PARTS}")));
    }
    let mut key = Vec::with_capacity(n.into());
    for _ in 0..n {
        key.push(match r.u8()? {
            USER => KeyPart::User,
            AD => KeyPart::Ad,
            ADVERTISER => KeyPart::Advertiser,
            PLACEMENT => KeyPart::Placement,
            COLUMN_ID => KeyPart::Column(decode_column(r)?),
            other => {
                return Err(r.error(format_args!("the key of table `{name}` has an id of kind {other}, known: 0 to 4")));
            }
        });
    }
    Ok(TableUse { name, key })
}

fn decode_column(r: &mut Reader<'_>) -> Result<ColumnUse> {
    let table = r.u32()?;
    let column = r.text()?.to_owned();
    let has_position = match r.u8()? {
        0 => false,
        1 => true,
        other => {
            return Err(r.error(format_args!("column `{column}`: position flag is {other}, expected 0 or 1")));
        }
    };
    let position = r.u16()?;
    if !has_position && position != 0 {
        return Err(r.error(format_args!("column `{column}` has no position, yet the value {position} for it")));
    }
    Ok(ColumnUse { table, column, position: has_position.then_some(position) })
}

fn decode_lookup(r: &mut Reader<'_>) -> Result<Lookup> {
    Ok(match r.u8()? {
        COLUMN => Lookup::Column(decode_column(r)?),
        SIMILARITY => {
            let measure = match r.u8()? {
                0 => Measure::Dot,
                1 => Measure::Cosine,
                other => return Err(r.error(format_args!("measure {other}, known are 0 (dot) and 1 (cosine)"))),
            };
            Lookup::Similarity { left: decode_column(r)?, right: decode_column(r)?, measure }
        }
        other => {
            return Err(r.error(format_args!("lookup {other}, known are 0 (a column) and 1 (a similarity)")));
        }
    })
}
