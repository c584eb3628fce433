//! Writes a [`ModelSpec`] as the bytes of a model file.

use half::f16;

use super::embeddings::{self, vocabulary_index};
use super::golden;
use super::network::{Cross, Dense, LANES, Network, Panels, Params};
use super::shape::{self, MAX_EXPERTS, MAX_LAYERS};
use super::spec::{CrossSpec, DenseSpec, HeadSpec, Matrix, ModelSpec, NetworkSpec, Structure};
use super::{histogram, ranges_fit, section};
use crate::artifact::container::{ArtifactKind, Builder};
use crate::error::{Error, Result};
use crate::schema::{Layout, MAX_WIDTH};

/// The bytes of the model file. The same spec gives the same bytes. `expected` holds the outputs of the golden
/// requests, `[goldens, heads]`; see [`crate::model::pack_model`], which computes them.
///
/// # Errors
/// `InvalidArgument` naming the layer or table whose shape does not fit, or whose value is NaN, infinite or beyond
/// the range of fp16 (±65504).
pub fn write(spec: &ModelSpec, expected: &[f64]) -> Result<Vec<u8>> {
    let schema = spec.schema.encode()?;
    let layout = spec.schema.layout();
    check_network(&spec.network, &layout)?;
    let network_bytes = shape::encode(&spec.network, &layout);
    let (network, places) = shape::decode(&network_bytes, &layout)?;
    let mut weights = vec![0u16; places.weights as usize];
    let mut params = vec![0f32; places.params as usize];
    Filler { weights: &mut weights, params: &mut params, columns: layout.permutation() }.network(spec, &network)?;
    let (embedding, wide, vocabulary) = fill_tables(spec)?;
    let mut builder = Builder::new(ArtifactKind::Model)
        .section(section::SCHEMA, true, schema)
        .section(section::NETWORK, true, network_bytes)
        .section(section::WEIGHTS, true, bytemuck::cast_slice(&weights).to_vec())
        .section(section::PARAMS, true, bytemuck::cast_slice(&params).to_vec());
    for (name, bytes) in [(section::EMBEDDING, embedding), (section::WIDE, wide), (section::VOCABULARY, vocabulary)] {
        if !bytes.is_empty() {
            builder = builder.section(name, true, bytes);
        }
    }
    if !spec.enrichment.is_empty() {
        builder = builder.section(section::ENRICHMENT, true, spec.enrichment.encode(&spec.schema)?);
    }
    if !spec.goldens.is_empty() {
        let bytes = golden::encode(&spec.goldens, expected, &spec.schema, spec.network.heads.len())?;
        builder = builder.section(section::GOLDEN, true, bytes);
    }
    if !spec.histograms.is_empty() {
        builder = builder.section(section::HISTOGRAMS, false, histogram::encode(&spec.histograms)?);
    }
    if !spec.ranges.is_empty() {
        let (found, layers) = (spec.ranges.len(), spec.network.deep.len());
        ranges_fit(&spec.ranges, layers).map_err(|()| {
            Error::argument(format!("ranges: {found} values, expected one for each of {layers} deep layers, 0 or more"))
        })?;
        builder = builder.section(section::RANGES, false, bytemuck::cast_slice(&spec.ranges).to_vec());
    }
    Ok(builder.section(section::PROVENANCE, false, spec.provenance.clone().into_bytes()).build())
}

/// An fp16 value, or an error that names the place.
fn to_f16(value: f64, place: impl FnOnce() -> String) -> Result<u16> {
    let half = nearest_f16(value);
    if half.is_finite() {
        return Ok(half.to_bits());
    }
    let what = if value.is_finite() { "is beyond the range of fp16 (±65504)" } else { "is not a finite number" };
    Err(Error::argument(format!("{}: {value} {what}", place())))
}

/// The nearest fp16, ties to even. `f16::from_f64` rounds twice where the CPU converts (to f32, then to fp16) and drops
/// low bits where it does not. Rounding to odd first loses nothing and gives the same bits everywhere.
fn nearest_f16(value: f64) -> f16 {
    let single = value as f32;
    if !single.is_finite() || f64::from(single) == value {
        return f16::from_f32(single);
    }
    let toward_zero = single.to_bits() - u32::from(f64::from(single).abs() > value.abs());
    f16::from_f32(f32::from_bits(toward_zero | 1))
}

fn to_f32(value: f64, place: impl FnOnce() -> String) -> Result<f32> {
    let single = value as f32;
    if single.is_finite() {
        return Ok(single);
    }
    Err(Error::argument(format!("{}: {value} is not a finite f32", place())))
}

/// Moves matrices and vectors to their positions, with columns of x0 in serving order.
struct Filler<'a> {
    weights: &'a mut [u16],
    params: &'a mut [f32],
    /// Serving column of each declared column.
    columns: Vec<usize>,
}

/// How the rows or columns of a matrix are renumbered when they are written.
#[derive(Clone, Copy)]
enum Order<'a> {
    Same,
    By(&'a [usize]),
}

impl Order<'_> {
    fn of(self, i: usize) -> usize {
        match self {
            Self::Same => i,
            Self::By(to) => to[i],
        }
    }
}

impl Filler<'_> {
    fn network(&mut self, spec: &ModelSpec, network: &Network) -> Result<()> {
        let columns = std::mem::take(&mut self.columns);
        let x = Order::By(&columns);
        for (i, (from, to)) in spec.network.cross.iter().zip(&network.cross).enumerate() {
            self.cross(&format!("cross[{i}]"), from, to, x)?;
        }
        for (i, (from, to)) in spec.network.deep.iter().zip(&network.deep).enumerate() {
            self.dense(&format!("deep[{i}]"), from, to, if i == 0 { x } else { Order::Same })?;
        }
        // The trunk is [x_L padded ; deep padded].
        let (cross, deep) = (network.trunk_cross(), network.trunk_deep());
        let deep_start = network.trunk_width() - super::network::padded(deep);
        let trunk: Vec<usize> = columns[..cross].iter().copied().chain((0..deep).map(|i| deep_start + i)).collect();
        for (i, (from, to)) in spec.network.heads.iter().zip(&network.heads).enumerate() {
            let mut order = Order::By(&trunk);
            for (j, (from, to)) in from.tower.iter().zip(&to.tower).enumerate() {
                self.dense(&format!("heads[{i}].tower[{j}]"), from, to, order)?;
                order = Order::Same;
            }
            self.output(&format!("heads[{i}].weight"), from, to.weight, order)?;
        }
        Ok(())
    }

    fn cross(&mut self, name: &str, from: &CrossSpec, to: &Cross, x: Order<'_>) -> Result<()> {
        match (from, to) {
            (CrossSpec::Full { weight, bias }, Cross::Full { weight: w, bias: b }) => {
                self.matrix(&format!("{name}.weight"), weight, *w, (0, 0), x, x)?;
                self.vector(&format!("{name}.bias"), bias, *b, x)
            }
            (CrossSpec::LowRank { v, u, bias }, Cross::LowRank { v: to_v, u: to_u, bias: b }) => {
                self.matrix(&format!("{name}.v"), v, *to_v, (0, 0), Order::Same, x)?;
                self.matrix(&format!("{name}.u"), u, *to_u, (0, 0), x, Order::Same)?;
                self.vector(&format!("{name}.bias"), bias, *b, x)
            }
            (CrossSpec::Vector { weight, bias }, Cross::Vector { weight: w, bias: b }) => {
                self.vector(&format!("{name}.weight"), weight, *w, x)?;
                self.vector(&format!("{name}.bias"), bias, *b, x)
            }
            (CrossSpec::Mixture { experts, gate, bias }, Cross::Mixture { rank, gate: g, v, c, u, bias: b, .. }) => {
                self.matrix(&format!("{name}.gate"), gate, *g, (0, 0), Order::Same, x)?;
                for (e, expert) in experts.iter().enumerate() {
                    let name = format!("{name}.experts[{e}]");
                    self.matrix(&format!("{name}.v"), &expert.v, *v, (e * rank, 0), Order::Same, x)?;
                    self.matrix(&format!("{name}.c"), &expert.c, c[e], (0, 0), Order::Same, Order::Same)?;
                    self.matrix(&format!("{name}.u"), &expert.u, *u, (0, e * rank), x, Order::Same)?;
                }
                self.vector(&format!("{name}.bias"), bias, *b, x)
            }
            _ => unreachable!("the network was placed from this spec"),
        }
    }

    fn dense(&mut self, name: &str, from: &DenseSpec, to: &Dense, inputs: Order<'_>) -> Result<()> {
        self.matrix(&format!("{name}.weight"), &from.weight, to.weight, (0, 0), Order::Same, inputs)?;
        self.vector(&format!("{name}.bias"), &from.bias, to.bias, Order::Same)
    }

    fn matrix(
        &mut self,
        name: &str,
        from: &Matrix,
        to: Panels,
        (first_row, first_col): (usize, usize),
        rows: Order<'_>,
        cols: Order<'_>,
    ) -> Result<()> {
        let panels = &mut self.weights[to.start..to.start + to.len()];
        for (r, row) in from.data.chunks_exact(from.cols.max(1)).enumerate() {
            let out = first_row + rows.of(r);
            for (c, &value) in row.iter().enumerate() {
                let k = first_col + cols.of(c);
                panels[(out / LANES * to.inputs + k) * LANES + out % LANES] =
                    to_f16(value, || format!("{name}, row {r}, column {c}"))?;
            }
        }
        Ok(())
    }

    fn vector(&mut self, name: &str, from: &[f64], to: Params, order: Order<'_>) -> Result<()> {
        for (i, &value) in from.iter().enumerate() {
            self.params[to.start + order.of(i)] = to_f32(value, || format!("{name}, element {i}"))?;
        }
        Ok(())
    }

    /// Output weights are a matrix like the others: rounded to fp16, though stored as f32.
    fn output(&mut self, name: &str, from: &HeadSpec, to: Params, order: Order<'_>) -> Result<()> {
        for (i, &value) in from.weight.iter().enumerate() {
            let bits = to_f16(value, || format!("{name}, element {i}"))?;
            self.params[to.start + order.of(i)] = f16::from_bits(bits).to_f32();
        }
        Ok(())
    }
}

/// The bytes of the `embedding`, `wide` and `vocabulary` sections.
fn fill_tables(spec: &ModelSpec) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let described = &spec.schema.embeddings;
    if described.len() != spec.embeddings.len() {
        return Err(Error::argument(format!(
            "the schema has {} embeddings, {} were given",
            described.len(),
            spec.embeddings.len()
        )));
    }
    let heads = spec.network.heads.len();
    // Checked before anything of the size that the schema claims is allocated.
    for (e, given) in described.iter().zip(&spec.embeddings) {
        check_rows(&format!("embedding `{}`", e.name), given.rows.len(), e.rows(), e.dim.into())?;
        let wide_width = if e.wide { heads as u64 } else { 0 };
        check_rows(&format!("wide weights of `{}`", e.name), given.wide.len(), e.rows(), wide_width)?;
    }
    let places = embeddings::EmbeddingPlaces::of(&spec.schema, heads);
    let mut embedding = vec![0u16; places.embedding as usize];
    let mut wide = vec![0u16; places.wide as usize];
    let mut vocabulary = Vec::new();
    for ((e, given), place) in described.iter().zip(&spec.embeddings).zip(&places.tables) {
        let (rows, wide_rows) = (&mut embedding[place.rows..], &mut wide[place.wide..]);
        fill_rows(&format!("embedding `{}`", e.name), &given.rows, e.dim as usize, rows)?;
        fill_rows(&format!("wide weights of `{}`", e.name), &given.wide, heads, wide_rows)?;
        vocabulary.extend(vocabulary_index(e, &given.vocabulary)?);
    }
    Ok((
        bytemuck::cast_slice(&embedding).to_vec(),
        bytemuck::cast_slice(&wide).to_vec(),
        bytemuck::cast_slice(&vocabulary).to_vec(),
    ))
}

fn check_rows(name: &str, found: usize, rows: u64, width: u64) -> Result<()> {
    if found as u64 == rows * width {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{name}: expected {rows} rows of {width} columns ({} values), found {found} values",
        rows * width
    )))
}

fn fill_rows(name: &str, from: &[f32], width: usize, to: &mut [u16]) -> Result<()> {
    for (i, (&value, to)) in from.iter().zip(to).enumerate() {
        *to = to_f16(value.into(), || format!("{name}, row {}, column {}", i / width, i % width))?;
    }
    Ok(())
}

/// Checks every shape against its neighbours, by name.
fn check_network(spec: &NetworkSpec, layout: &Layout) -> Result<()> {
    let d = layout.width;
    for (what, n, least, most) in [
        ("cross layers", spec.cross.len(), 0, MAX_LAYERS),
        ("deep layers", spec.deep.len(), 0, MAX_LAYERS),
        ("heads", spec.heads.len(), 1, 2),
    ] {
        if !(least..=most).contains(&n) {
            return Err(Error::argument(format!("{n} {what}, expected {least} to {most}")));
        }
    }
    for (i, cross) in spec.cross.iter().enumerate() {
        check_cross(&format!("cross[{i}]"), cross, d)?;
    }
    let mut inputs = d;
    for (i, layer) in spec.deep.iter().enumerate() {
        inputs = check_dense(&format!("deep[{i}]"), layer, inputs)?;
    }
    let reads_cross = spec.deep.is_empty() || (spec.structure == Structure::Parallel && !spec.cross.is_empty());
    let trunk = if reads_cross { d } else { 0 } + if spec.deep.is_empty() { 0 } else { inputs };
    for (i, head) in spec.heads.iter().enumerate() {
        let mut inputs = trunk;
        if head.tower.len() > MAX_LAYERS {
            return Err(Error::argument(format!("heads[{i}] has {} tower layers", head.tower.len())));
        }
        for (j, layer) in head.tower.iter().enumerate() {
            inputs = check_dense(&format!("heads[{i}].tower[{j}]"), layer, inputs)?;
        }
        check_len(&format!("heads[{i}].weight"), head.weight.len(), inputs)?;
        to_f32(head.bias, || format!("heads[{i}].bias"))?;
        if spec.heads[..i].iter().any(|h| h.kind as u8 >= head.kind as u8) {
            return Err(Error::argument("heads must be in the order pCTR, pCVR, one of each at most"));
        }
    }
    Ok(())
}

fn check_cross(name: &str, cross: &CrossSpec, d: usize) -> Result<()> {
    let bias = match cross {
        CrossSpec::Full { weight, bias } => {
            check_matrix(&format!("{name}.weight"), weight, d, d)?;
            bias
        }
        CrossSpec::LowRank { v, u, bias } => {
            check_rank(name, v.rows)?;
            check_matrix(&format!("{name}.v"), v, v.rows, d)?;
            check_matrix(&format!("{name}.u"), u, d, v.rows)?;
            bias
        }
        CrossSpec::Vector { weight, bias } => {
            check_len(&format!("{name}.weight"), weight.len(), d)?;
            bias
        }
        CrossSpec::Mixture { experts, gate, bias } => {
            if !(1..=MAX_EXPERTS).contains(&experts.len()) {
                let n = experts.len();
                return Err(Error::argument(format!("{name}: {n} experts, expected 1 to {MAX_EXPERTS}")));
            }
            let r = experts[0].v.rows;
            check_rank(name, r * experts.len())?;
            check_matrix(&format!("{name}.gate"), gate, experts.len(), d)?;
            for (e, expert) in experts.iter().enumerate() {
                check_matrix(&format!("{name}.experts[{e}].v"), &expert.v, r, d)?;
                check_matrix(&format!("{name}.experts[{e}].c"), &expert.c, r, r)?;
                check_matrix(&format!("{name}.experts[{e}].u"), &expert.u, d, r)?;
            }
            bias
        }
    };
    check_len(&format!("{name}.bias"), bias.len(), d)
}

fn check_rank(name: &str, rank: usize) -> Result<()> {
    if (1..=MAX_WIDTH).contains(&rank) {
        return Ok(());
    }
    Err(Error::argument(format!("{name}: rank {rank}, expected 1 to {MAX_WIDTH}")))
}

fn check_dense(name: &str, layer: &DenseSpec, inputs: usize) -> Result<usize> {
    let outputs = layer.weight.rows;
    if !(1..=MAX_WIDTH).contains(&outputs) {
        return Err(Error::argument(format!("{name}: {outputs} outputs, expected 1 to {MAX_WIDTH}")));
    }
    check_matrix(&format!("{name}.weight"), &layer.weight, outputs, inputs)?;
    check_len(&format!("{name}.bias"), layer.bias.len(), outputs)?;
    Ok(outputs)
}

fn check_matrix(name: &str, matrix: &Matrix, rows: usize, cols: usize) -> Result<()> {
    if (matrix.rows, matrix.cols, matrix.data.len()) == (rows, cols, rows * cols) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{name}: expected shape [{rows}, {cols}], found [{}, {}] with {} values",
        matrix.rows,
        matrix.cols,
        matrix.data.len()
    )))
}

fn check_len(name: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::argument(format!("{name}: expected {expected} values, found {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fp16_is_rounded_once() {
        // Between 1 and 1 + 2^-10; the tie is at 1 + 2^-11. Just past it, f32 would round back to the tie.
        let (tie, little) = (1.0 + 2f64.powi(-11), 2f64.powi(-40));
        let up = f16::from_bits(0x3c01);
        assert_eq!(nearest_f16(tie), f16::ONE);
        assert_eq!(nearest_f16(tie + little), up);
        assert_eq!(nearest_f16(-tie - little), -up);
        assert_eq!(nearest_f16(tie - little), f16::ONE);
        // The tie above 1 + 2^-10 goes up to the even neighbour; just under it goes down.
        assert_eq!(nearest_f16(1.0 + 3.0 * 2f64.powi(-11) - little), up);
        assert_eq!(nearest_f16(1.0 + 3.0 * 2f64.powi(-11)).to_bits(), 0x3c02);
        // Subnormals, zeros, and the end of the range.
        assert_eq!(nearest_f16(2f64.powi(-25)).to_bits(), 0);
        assert_eq!(nearest_f16(2f64.powi(-25) + 2f64.powi(-60)).to_bits(), 1);
        assert_eq!(nearest_f16(-1e-300).to_bits(), 0x8000);
        assert_eq!(nearest_f16(65_519.999_999).to_bits(), 0x7bff);
        assert!(nearest_f16(65_520.0).is_infinite() && nearest_f16(1e300).is_infinite());
    }
}
