//! The model artifact: schema, layers, weights, embeddings, golden requests, provenance.

mod embeddings;
mod golden;
mod histogram;
pub mod network;
mod padding;
mod shape;
pub mod spec;
#[cfg(feature = "builder")]
mod write;

pub use golden::Golden;
#[cfg(feature = "builder")]
pub use golden::MAX_GOLDENS;
#[cfg(feature = "builder")]
pub use write::write;

pub(crate) use embeddings::Piece;
use embeddings::{EmbeddingPlaces, Lookup, Slot};
use network::Network;
#[cfg(feature = "builder")]
use network::{Panels, Params, padded};
use spec::Histogram;

use super::Bytes;
#[cfg(feature = "builder")]
use super::container::Section;
use super::container::{ArtifactKind, Container};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::hash::checksum;
use crate::prefetch::prefetch;
use crate::schema::{Enrichment, Layout, Schema};

/// The names of the sections.
mod section {
    pub(super) const SCHEMA: &str = "schema";
    pub(super) const NETWORK: &str = "network";
    pub(super) const WEIGHTS: &str = "weights";
    pub(super) const PARAMS: &str = "params";
    pub(super) const EMBEDDING: &str = "embedding";
    pub(super) const WIDE: &str = "wide";
    pub(super) const VOCABULARY: &str = "vocabulary";
    pub(super) const ENRICHMENT: &str = "enrichment";
    pub(super) const GOLDEN: &str = "golden";
    pub(super) const HISTOGRAMS: &str = "histograms";
    pub(super) const RANGES: &str = "ranges";
    pub(super) const PROVENANCE: &str = "provenance";
    pub(super) const ALL: [&str; 12] = [
        SCHEMA, NETWORK, WEIGHTS, PARAMS, EMBEDDING, WIDE, VOCABULARY, ENRICHMENT, GOLDEN, HISTOGRAMS, RANGES,
        PROVENANCE,
    ];
}

/// fp16 values of a cache line.
const LINE: usize = 32;

/// An open model file. All of it was checked; the large arrays stay mapped.
#[derive(Debug)]
pub struct Model {
    bytes: Bytes,
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "checked by all, read by builders"))]
    container: Container,
    schema: Schema,
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "checked by all, read by builders"))]
    schema_hash: u64,
    layout: Layout,
    network: Network,
    enrichment: Enrichment,
    goldens: Vec<Golden>,
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "checked by all, read by builders"))]
    histograms: Vec<Histogram>,
    input_ranges: Vec<f32>,
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "checked by all, read by builders"))]
    provenance: String,
    lookups: Vec<Lookup>,
    ranges: Ranges,
}

/// Byte ranges of the large sections.
#[derive(Debug)]
struct Ranges {
    weights: std::ops::Range<usize>,
    params: std::ops::Range<usize>,
    embedding: std::ops::Range<usize>,
    wide: std::ops::Range<usize>,
    vocabulary: std::ops::Range<usize>,
}

impl Model {
    /// Opens the bytes of a model file and checks all of it.
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported`, naming section and offset, what was expected and what was found.
    #[cfg(feature = "builder")]
    pub fn open(bytes: Bytes) -> Result<Self> {
        Self::open_until(bytes, Cancel::default())
    }

    /// The same, with a way to cancel it.
    pub(crate) fn open_until(bytes: Bytes, cancel: Cancel<'_>) -> Result<Self> {
        let container = Container::open_until(&bytes, ArtifactKind::Model, &section::ALL, cancel)?;
        let of = |name: &str| container.require(name).map(|s| &bytes[s.offset..s.offset + s.len]);
        let schema = Schema::decode(of(section::SCHEMA)?)?;
        let schema_hash = checksum(of(section::SCHEMA)?);
        let layout = schema.layout();
        let (network, places) = shape::decode(of(section::NETWORK)?, &layout)?;
        let heads = network.heads.len();
        let tables = EmbeddingPlaces::of(&schema, heads);
        let range = |name: &str, values: u64, size: u64| typed_range(&container, name, values, size);
        let ranges = Ranges {
            weights: range(section::WEIGHTS, places.weights, 2)?,
            params: range(section::PARAMS, places.params, 4)?,
            embedding: range(section::EMBEDDING, tables.embedding, 2)?,
            wide: range(section::WIDE, tables.wide, 2)?,
            vocabulary: range(section::VOCABULARY, tables.slots, size_of::<Slot>() as u64)?,
        };
        let slots: &[Slot] = cast(&bytes, &ranges.vocabulary)?;
        let lookups = schema
            .embeddings
            .iter()
            .zip(&tables.tables)
            .map(|(e, &place)| Lookup::check(e, place, slots))
            .collect::<Result<_>>()?;
        for (name, range) in [
            (section::WEIGHTS, &ranges.weights),
            (section::EMBEDDING, &ranges.embedding),
            (section::WIDE, &ranges.wide),
        ] {
            cancel.check()?;
            check_finite_f16(name, cast(&bytes, range)?)?;
        }
        check_finite_f32(cast(&bytes, &ranges.params)?)?;
        cancel.check()?;
        padding::check_network(&network, cast(&bytes, &ranges.weights)?, cast(&bytes, &ranges.params)?)?;
        padding::check_tables(&schema, &tables, heads, cast(&bytes, &ranges.embedding)?, cast(&bytes, &ranges.wide)?)?;
        cancel.check()?;
        let enrichment = match container.find(section::ENRICHMENT) {
            Some(s) => Enrichment::decode(&bytes[s.offset..s.offset + s.len], &schema)?,
            None => Enrichment::default(),
        };
        let goldens = match container.find(section::GOLDEN) {
            Some(s) => golden::decode(&bytes[s.offset..s.offset + s.len], &schema, heads)?,
            None => Vec::new(),
        };
        let histograms = match container.find(section::HISTOGRAMS) {
            Some(s) => histogram::decode(&bytes[s.offset..s.offset + s.len])?,
            None => Vec::new(),
        };
        let input_ranges: Vec<f32> = match container.find(section::RANGES) {
            Some(s) => {
                bytes[s.offset..s.offset + s.len].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            None => Vec::new(),
        };
        if let Some(s) = container.find(section::RANGES)
            && (s.len % 4 != 0 || ranges_fit(&input_ranges, network.deep.len()).is_err())
        {
            return Err(Error::corrupt(format!(
                "section `ranges`, offset {}: {} bytes, expected one f32 of 0 or more for each of {} deep layers",
                s.offset,
                s.len,
                network.deep.len()
            )));
        }
        let provenance = match container.find(section::PROVENANCE) {
            Some(s) => std::str::from_utf8(&bytes[s.offset..s.offset + s.len])
                .map_err(|e| Error::corrupt(format!("section `provenance`, offset {}: not UTF-8", e.valid_up_to())))?
                .to_owned(),
            None => String::new(),
        };
        Ok(Self {
            container,
            schema,
            schema_hash,
            layout,
            network,
            enrichment,
            goldens,
            histograms,
            input_ranges,
            provenance,
            lookups,
            ranges,
            bytes,
        })
    }

    /// The features.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// XXH3-64 of the `schema` section: two models with the same hash take the same inputs.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn schema_hash(&self) -> u64 {
        self.schema_hash
    }

    /// The columns of the features.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The layers.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The model's reads from feature tables.
    #[must_use]
    pub fn enrichment(&self) -> &Enrichment {
        &self.enrichment
    }

    /// The golden requests.
    #[must_use]
    pub fn goldens(&self) -> &[Golden] {
        &self.goldens
    }

    /// Reference distributions.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn histograms(&self) -> &[Histogram] {
        &self.histograms
    }

    /// The largest input of each deep layer on real rows, 0 where unknown; empty when unknown for all layers.
    #[must_use]
    pub fn ranges(&self) -> &[f32] {
        &self.input_ranges
    }

    /// Where the model comes from: a TOML document, or empty.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn provenance(&self) -> &str {
        &self.provenance
    }

    /// The sections of the file.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn sections(&self) -> &[Section] {
        self.container.sections()
    }

    /// Brings all pages into memory.
    pub fn prefault(&self) {
        self.bytes.prefault();
    }

    /// The whole `weights` section: fp16 bits.
    #[must_use]
    pub fn weights(&self) -> &[u16] {
        bytemuck::cast_slice(&self.bytes[self.ranges.weights.clone()])
    }

    /// The whole `params` section.
    #[must_use]
    pub fn params(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes[self.ranges.params.clone()])
    }

    /// The fp16 bits of one matrix, `[outputs / 16][inputs][16]`.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn matrix(&self, panels: Panels) -> &[u16] {
        &self.weights()[panels.start..panels.start + panels.len()]
    }

    /// One vector, its padding included.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn vector(&self, params: Params) -> &[f32] {
        &self.params()[params.start..params.start + padded(params.len)]
    }

    /// The row of a category id in an embedding table, and whether the index knows the id. `None` when it does not and
    /// the table has no row for unknown ids.
    #[inline]
    #[must_use]
    pub fn row(&self, embedding: u32, id: u64) -> (Option<u32>, bool) {
        self.lookups[embedding as usize].row(id, self.slots())
    }

    /// Prefetches what finding the row of an id reads first, if that is in memory.
    #[inline]
    pub(crate) fn prefetch_search(&self, embedding: u32, id: u64) {
        self.lookups[embedding as usize].prefetch(id, self.slots());
    }

    /// The whole section `embedding`: fp16 bits.
    #[inline]
    pub(crate) fn embedding_values(&self) -> &[u16] {
        bytemuck::cast_slice(&self.bytes[self.ranges.embedding.clone()])
    }

    /// Where a table's first row begins there.
    pub(crate) fn embedding_start(&self, embedding: u32) -> usize {
        self.lookups[embedding as usize].place.rows
    }

    /// Prefetches an embedding row and its wide weights.
    #[inline]
    pub(crate) fn prefetch_row(&self, embedding: u32, row: u32) {
        let Lookup { place, dim, .. } = self.lookups[embedding as usize];
        prefetch_values(self.embedding_values(), place.rows + row as usize * dim, dim);
        self.prefetch_wide(embedding, row);
    }

    /// Prefetches a row's wide weights, if there are any.
    #[inline]
    pub(crate) fn prefetch_wide(&self, embedding: u32, row: u32) {
        let Lookup { place, wide, .. } = self.lookups[embedding as usize];
        if wide {
            let values: &[u16] = bytemuck::cast_slice(&self.bytes[self.ranges.wide.clone()]);
            prefetch(values, place.wide + row as usize * self.network.heads.len());
        }
    }

    fn slots(&self) -> &[Slot] {
        bytemuck::cast_slice(&self.bytes[self.ranges.vocabulary.clone()])
    }

    /// The ids of an embedding's vocabulary in row order; empty for the other kinds of index.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn vocabulary(&self, embedding: u32) -> Vec<u64> {
        self.lookups[embedding as usize].ids(self.slots())
    }

    /// The fp16 bits of an embedding row, `[dim]`. `row` is below the table's rows.
    #[inline]
    #[must_use]
    pub fn embedding_row(&self, embedding: u32, row: u32) -> &[u16] {
        let Lookup { place, dim, .. } = self.lookups[embedding as usize];
        let all: &[u16] = bytemuck::cast_slice(&self.bytes[self.ranges.embedding.clone()]);
        &all[place.rows + row as usize * dim..][..dim]
    }

    /// The fp16 bits of a row's wide weights, `[heads]`; empty when the table has none.
    #[inline]
    #[must_use]
    pub fn wide_row(&self, embedding: u32, row: u32) -> &[u16] {
        let Lookup { place, wide, .. } = self.lookups[embedding as usize];
        if !wide {
            return &[];
        }
        let all: &[u16] = bytemuck::cast_slice(&self.bytes[self.ranges.wide.clone()]);
        let heads = self.network.heads.len();
        &all[place.wide + row as usize * heads..][..heads]
    }

    /// Whether any table has wide weights.
    #[must_use]
    pub fn has_wide(&self) -> bool {
        !self.ranges.wide.is_empty()
    }
}

/// Prefetches the lines of some fp16 values. They may begin in the middle of a line.
#[inline(always)]
pub(crate) fn prefetch_values(values: &[u16], first: usize, len: usize) {
    for value in (first & !(LINE - 1)..first + len).step_by(LINE) {
        prefetch(values, value);
    }
}

/// Whether there is one range, finite and not negative, for each deep layer.
fn ranges_fit(ranges: &[f32], layers: usize) -> std::result::Result<(), ()> {
    let right = ranges.len() == layers && ranges.iter().all(|range| range.is_finite() && *range >= 0.0);
    if right { Ok(()) } else { Err(()) }
}

/// The range of a section of `values` numbers of `size` bytes; the section may be absent when there are none.
fn typed_range(container: &Container, name: &str, values: u64, size: u64) -> Result<std::ops::Range<usize>> {
    let found = container.find(name).map_or(0, |s| s.len as u64);
    if values.checked_mul(size) != Some(found) {
        let offset = container.find(name).map_or(0, |s| s.offset);
        return Err(Error::corrupt(format!(
            "section `{name}`, offset {offset}: the schema and network need {values} values of {size} bytes, the \
             section has {found} bytes"
        )));
    }
    Ok(container.find(name).map_or(0..0, |s| s.offset..s.offset + s.len))
}

fn cast<'a, T: bytemuck::Pod>(bytes: &'a [u8], range: &std::ops::Range<usize>) -> Result<&'a [T]> {
    bytemuck::try_cast_slice(&bytes[range.clone()])
        .map_err(|e| Error::corrupt(format!("offset {}: the file's memory is not aligned: {e}", range.start)))
}

fn check_finite_f16(name: &str, values: &[u16]) -> Result<()> {
    const EXPONENT: u16 = 0x7c00;
    match values.iter().position(|v| v & EXPONENT == EXPONENT) {
        None => Ok(()),
        Some(i) => Err(Error::corrupt(format!("section `{name}`, offset {}: a weight is NaN or infinite", i * 2))),
    }
}

fn check_finite_f32(values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::corrupt(format!("section `params`, offset {}: a value is NaN or infinite", i * 4))),
    }
}
