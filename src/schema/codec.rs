//! The bytes of the `schema` section; docs/format.md has the table.

use super::{Embedding, Feature, Index, Kind, Pooling, Schema, Source, Transform};
use crate::error::Result;
use crate::wire::Reader;
#[cfg(feature = "builder")]
use crate::wire::Writer;

const NUMBER: u8 = 0;
const CATEGORY: u8 = 1;
const MULTI_CATEGORY: u8 = 2;
const VECTOR: u8 = 3;

const IDENTITY: u8 = 0;
const HASHED: u8 = 1;
const VOCABULARY: u8 = 2;

const UNKNOWN_ROW: u8 = 1;
const MISSING_ROW: u8 = 2;
const WIDE: u8 = 4;

impl Schema {
    /// The bytes of the `schema` section.
    ///
    /// # Errors
    /// `InvalidArgument` when the schema is not valid (see [`Schema::validate`]).
    #[cfg(feature = "builder")]
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.validate()?;
        let mut w = Writer::default();
        w.u32(self.embeddings.len() as u32);
        for e in &self.embeddings {
            w.text(&e.name);
            w.u8(match e.index {
                Index::Identity { .. } => IDENTITY,
                Index::Hashed { .. } => HASHED,
                Index::Vocabulary { .. } => VOCABULARY,
            });
            w.u8([(e.unknown_row, UNKNOWN_ROW), (e.missing_row, MISSING_ROW), (e.wide, WIDE)]
                .iter()
                .map(|&(on, bit)| if on { bit } else { 0 })
                .sum());
            w.u32(e.index.count());
            w.u32(e.dim);
        }
        w.u32(self.features.len() as u32);
        for f in &self.features {
            w.text(&f.name);
            w.text(&f.input);
            w.u8(f.source as u8);
            w.u8(u8::from(f.position.is_some()));
            w.f32(f.position.unwrap_or(0.0));
            encode_kind(&mut w, &f.kind);
        }
        Ok(w.0)
    }

    /// Reads the `schema` section.
    ///
    /// # Errors
    /// `Corrupt` with the offset and what is wrong there.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new("schema", bytes);
        let count = r.count("embeddings", 12)?;
        let mut schema = Self::default();
        for _ in 0..count {
            schema.embeddings.push(decode_embedding(&mut r)?);
        }
        for _ in 0..r.count("features", 11)? {
            schema.features.push(decode_feature(&mut r)?);
        }
        r.end()?;
        schema.validate().map_err(|e| r.error(e))?;
        Ok(schema)
    }
}

#[cfg(feature = "builder")]
fn encode_kind(w: &mut Writer, kind: &Kind) {
    match kind {
        Kind::Number { transform, default } => {
            w.u8(NUMBER);
            w.f32(transform.clip.0);
            w.f32(transform.clip.1);
            w.u8(u8::from(transform.log1p));
            w.f32(transform.mean);
            w.f32(transform.scale);
            w.f32(*default);
        }
        Kind::Category { embedding, boundaries, default } => {
            w.u8(CATEGORY);
            w.u32(*embedding);
            w.u8(u8::from(default.is_some()));
            w.u64(default.unwrap_or(0));
            w.u32(boundaries.len() as u32);
            for &b in boundaries {
                w.f32(b);
            }
        }
        Kind::MultiCategory { embedding, pooling } => {
            w.u8(MULTI_CATEGORY);
            w.u32(*embedding);
            w.u8(*pooling as u8);
        }
        Kind::Vector { dim } => {
            w.u8(VECTOR);
            w.u32(*dim);
        }
    }
}

fn decode_embedding(r: &mut Reader<'_>) -> Result<Embedding> {
    let name = r.text()?.to_owned();
    let index: fn(u32) -> Index = match r.u8()? {
        IDENTITY => |count| Index::Identity { count },
        HASHED => |buckets| Index::Hashed { buckets },
        VOCABULARY => |count| Index::Vocabulary { count },
        other => return Err(r.error(format_args!("embedding `{name}` has index kind {other}, known are 0 to 2"))),
    };
    let flags = r.u8()?;
    if flags & !(UNKNOWN_ROW | MISSING_ROW | WIDE) != 0 {
        return Err(r.error(format_args!("embedding `{name}` has unknown flags {flags:#04x}")));
    }
    let index = index(r.u32()?);
    let dim = r.u32()?;
    let [unknown_row, missing_row, wide] = [UNKNOWN_ROW, MISSING_ROW, WIDE].map(|bit| flags & bit != 0);
    Ok(Embedding { name, index, dim, unknown_row, missing_row, wide })
}

fn decode_feature(r: &mut Reader<'_>) -> Result<Feature> {
    let name = r.text()?.to_owned();
    let input = r.text()?.to_owned();
    let source = match r.u8()? {
        0 => Source::Context,
        1 => Source::User,
        2 => Source::Time,
        3 => Source::Ad,
        4 => Source::Cross,
        5 => Source::Candidate,
        6 => Source::Dot,
        other => return Err(r.error(format_args!("feature `{name}` has source {other}, known are 0 to 6"))),
    };
    let has_position = flag(r, &name, "position")?;
    let position = r.f32()?;
    if !has_position && position.to_bits() != 0 {
        return Err(r.error(format_args!("feature `{name}` has no position, yet the value {position} for it")));
    }
    let kind = decode_kind(r, &name)?;
    Ok(Feature { name, input, source, kind, position: has_position.then_some(position) })
}

fn decode_kind(r: &mut Reader<'_>, name: &str) -> Result<Kind> {
    Ok(match r.u8()? {
        NUMBER => Kind::Number {
            transform: Transform {
                clip: (r.f32()?, r.f32()?),
                log1p: flag(r, name, "log1p")?,
                mean: r.f32()?,
                scale: r.f32()?,
            },
            default: r.f32()?,
        },
        CATEGORY => {
            let embedding = r.u32()?;
            let has_default = flag(r, name, "default")?;
            let default = r.u64()?;
            if !has_default && default != 0 {
                return Err(r.error(format_args!("feature `{name}` has no default id, yet the value {default} for it")));
            }
            let count = r.count("boundaries", 4)?;
            let boundaries = (0..count).map(|_| r.f32()).collect::<Result<_>>()?;
            Kind::Category { embedding, boundaries, default: has_default.then_some(default) }
        }
        MULTI_CATEGORY => {
            let embedding = r.u32()?;
            let pooling = match r.u8()? {
                0 => Pooling::Mean,
                1 => Pooling::Sum,
                other => return Err(r.error(format_args!("feature `{name}` has pooling {other}, known are 0, 1"))),
            };
            Kind::MultiCategory { embedding, pooling }
        }
        VECTOR => Kind::Vector { dim: r.u32()? },
        other => return Err(r.error(format_args!("feature `{name}` has kind {other}, known are 0 to 3"))),
    })
}

fn flag(r: &mut Reader<'_>, name: &str, what: &str) -> Result<bool> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(r.error(format_args!("feature `{name}`: {what} flag is {other}, expected 0 or 1"))),
    }
}
