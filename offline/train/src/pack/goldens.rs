//! Golden requests for a model that comes without any: made-up values that reach every feature.

use adclick::builder::artifact::model::spec::{EmbeddingSpec, GoldenRequest, GoldenValue};
use adclick::builder::hash::mix;
use adclick::builder::schema::{Index, Kind, Schema, Transform};

use super::inputs::{is_passed, share};

/// `n` requests, the same for the same schema.
#[must_use]
pub fn made_up(n: usize, schema: &Schema, embeddings: &[EmbeddingSpec]) -> Vec<GoldenRequest> {
    (0..n as u64)
        .map(|request| {
            let mut draw = Draw(mix(request));
            let mut values = Vec::new();
            for (i, feature) in schema.features.iter().enumerate() {
                if is_passed(schema, i) {
                    raw_values(i as u32, &feature.kind, schema, embeddings, &mut draw, &mut values);
                }
            }
            share(schema, &mut values);
            // 2024-01-01 and some hours on: every hour and weekday comes up.
            let time_us = (1_704_067_200 + request as i64 * 37 * 3600) * 1_000_000;
            GoldenRequest { time_us, utc_offset_s: 0, values }
        })
        .collect()
}

fn raw_values(
    feature: u32,
    kind: &Kind,
    schema: &Schema,
    embeddings: &[EmbeddingSpec],
    draw: &mut Draw,
    to: &mut Vec<GoldenValue>,
) {
    let id_of = |embedding: u32, draw: &mut Draw| match schema.embeddings[embedding as usize].index {
        Index::Identity { count } => draw.below(u64::from(count)),
        Index::Hashed { .. } => draw.next(),
        Index::Vocabulary { .. } => {
            let ids = &embeddings[embedding as usize].vocabulary;
            // One id past the end is an unknown one.
            ids.get(draw.below(ids.len() as u64 + 1) as usize).copied().unwrap_or_else(|| draw.next())
        }
    };
    match kind {
        Kind::Number { transform, .. } => {
            to.push(GoldenValue { feature, number: raw_of(transform, draw.about_one()), id: 0 });
        }
        Kind::Category { boundaries, .. } if !boundaries.is_empty() => {
            let number = boundaries[draw.below(boundaries.len() as u64) as usize];
            to.push(GoldenValue { feature, number, id: 0 });
        }
        Kind::Category { embedding, .. } => to.push(GoldenValue { feature, number: 1.0, id: id_of(*embedding, draw) }),
        Kind::MultiCategory { embedding, .. } => {
            for _ in 0..draw.below(4) {
                to.push(GoldenValue { feature, number: 1.0, id: id_of(*embedding, draw) });
            }
        }
        Kind::Vector { dim } => {
            to.extend((0..u64::from(*dim)).map(|id| GoldenValue { feature, number: draw.about_one(), id }));
        }
    }
}

/// A raw value whose model input is about `z`, as far as the clip allows.
fn raw_of(t: &Transform, z: f32) -> f32 {
    let x = z * t.scale + t.mean;
    let x = if t.log1p { x.abs().min(80.0).exp_m1().copysign(x) } else { x };
    let x = x.max(t.clip.0).min(t.clip.1);
    if x.is_finite() { x } else { 0.0 }
}

/// A stream of numbers from a seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Mean 0, variance 1, at most 2 from 0; a multiple of 2^-10, so that no rounding enters.
    fn about_one(&mut self) -> f32 {
        let sum: i64 = (0..3).map(|_| self.below(2049) as i64 - 1024).sum();
        (sum as f32 / 1024.0).clamp(-2.0, 2.0)
    }
}
