//! Checks that every value outside of matrices, vectors and rows is 0: kernels compute on padding, and equal models
//! have equal bytes.

use std::ops::Range;

use super::embeddings::{self, TABLE_ALIGN};
use super::network::{Cross, Dense, LANES, Network, Panels, Params, padded};
use crate::error::{Error, Result};
use crate::schema::Schema;

/// Checks the `weights` and `params` sections.
pub(super) fn check_network(network: &Network, weights: &[u16], params: &[f32]) -> Result<()> {
    let (matrices, vectors) = parts(network);
    let ends = matrices.iter().skip(1).map(|m| m.start).chain([weights.len()]);
    for (matrix, end) in matrices.iter().zip(ends) {
        let values = &weights[matrix.start..matrix.start + matrix.len()];
        let used = matrix.outputs % LANES;
        if used != 0 {
            let last = values.len() - matrix.inputs * LANES;
            for (k, lanes) in values[last..].chunks_exact(LANES).enumerate() {
                zeros("weights", lanes, matrix.start + last + k * LANES, used..LANES)?;
            }
        }
        zeros("weights", weights, 0, matrix.start + matrix.len()..end)?;
    }
    for v in &vectors {
        zeros("params", params, 0, v.start + v.len..v.start + padded(v.len))?;
    }
    let (cross, deep) = (network.trunk_cross(), network.trunk_deep());
    let gaps = [cross..padded(cross), padded(cross) + deep..network.trunk_width()];
    for head in &network.heads {
        for gap in &gaps {
            match head.tower.first() {
                None => zeros("params", params, 0, head.weight.start + gap.start..head.weight.start + gap.end)?,
                Some(Dense { weight: w, .. }) => {
                    for panel in 0..w.outputs.div_ceil(LANES) {
                        let at = |k: usize| w.start + (panel * w.inputs + k) * LANES;
                        zeros("weights", weights, 0, at(gap.start)..at(gap.end))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Checks the gaps between the tables of the `embedding` and `wide` sections.
pub(super) fn check_tables(
    schema: &Schema,
    places: &embeddings::EmbeddingPlaces,
    heads: usize,
    embedding: &[u16],
    wide: &[u16],
) -> Result<()> {
    for (e, place) in schema.embeddings.iter().zip(&places.tables) {
        let align = TABLE_ALIGN as usize;
        let end = place.rows + e.rows() as usize * e.dim as usize;
        zeros("embedding", embedding, 0, end..end.next_multiple_of(align))?;
        if e.wide {
            let end = place.wide + e.rows() as usize * heads;
            zeros("wide", wide, 0, end..end.next_multiple_of(align))?;
        }
    }
    Ok(())
}

/// All matrices and all vectors in file order.
fn parts(network: &Network) -> (Vec<Panels>, Vec<Params>) {
    let (mut matrices, mut vectors) = (Vec::new(), Vec::new());
    for cross in &network.cross {
        match cross {
            Cross::Full { weight, bias } => {
                matrices.push(*weight);
                vectors.push(*bias);
            }
            Cross::LowRank { v, u, bias } => {
                matrices.extend([*v, *u]);
                vectors.push(*bias);
            }
            Cross::Vector { weight, bias } => vectors.extend([*weight, *bias]),
            Cross::Mixture { gate, v, c, u, bias, .. } => {
                matrices.extend([*gate, *v]);
                matrices.extend(c);
                matrices.push(*u);
                vectors.push(*bias);
            }
        }
    }
    let mut dense = |layers: &[Dense], vectors: &mut Vec<Params>| {
        matrices.extend(layers.iter().map(|d| d.weight));
        vectors.extend(layers.iter().map(|d| d.bias));
    };
    dense(&network.deep, &mut vectors);
    for head in &network.heads {
        dense(&head.tower, &mut vectors);
        vectors.push(head.weight);
    }
    (matrices, vectors)
}

/// `values` begin at element `first` of the section; those of `range` must have no bit set.
fn zeros<T: bytemuck::Pod>(section: &str, values: &[T], first: usize, range: Range<usize>) -> Result<()> {
    let start = range.start;
    match bytemuck::cast_slice::<T, u8>(&values[range]).iter().position(|&b| b != 0) {
        None => Ok(()),
        Some(i) => {
            let offset = (first + start) * size_of::<T>() + i;
            Err(Error::corrupt(format!("section `{section}`, offset {offset}: padding is not zero")))
        }
    }
}
