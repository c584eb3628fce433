//! The `golden` section: requests and the outputs that the model must give for them on every machine.

use super::spec::{GoldenRequest, GoldenValue};
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::wire::{Reader, Writer};

/// A golden request and its expected logits, one for each head.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// The request.
    pub request: GoldenRequest,
    /// Logits by the f64 reference on the file's own fp16 weights.
    pub expected: Vec<f64>,
}

pub(super) fn encode(requests: &[GoldenRequest], expected: &[f64], heads: usize) -> Result<Vec<u8>> {
    if expected.len() != requests.len() * heads {
        return Err(Error::argument(format!(
            "{} golden requests and {heads} heads need {} expected logits, found {}",
            requests.len(),
            requests.len() * heads,
            expected.len()
        )));
    }
    let mut w = Writer::default();
    w.u32(requests.len() as u32);
    for (request, expected) in requests.iter().zip(expected.chunks_exact(heads)) {
        w.i64(request.time_us);
        w.i32(request.utc_offset_s);
        w.u32(request.values.len() as u32);
        for &logit in expected {
            w.f64(logit);
        }
        for v in &request.values {
            w.u32(v.feature);
            w.f32(v.number);
            w.u64(v.id);
        }
    }
    Ok(w.0)
}

pub(super) fn decode(bytes: &[u8], schema: &Schema, heads: usize) -> Result<Vec<Golden>> {
    let mut r = Reader::new("golden", bytes);
    let count = r.count("golden requests", 16 + 8 * heads)?;
    let mut goldens = Vec::with_capacity(count);
    for i in 0..count {
        let (time_us, utc_offset_s) = (r.i64()?, r.i32()?);
        // The smallest value takes 16 bytes; the expected logits stand before them.
        let n_values = r.count("values", 16)?;
        let expected = (0..heads).map(|_| r.f64()).collect::<Result<Vec<_>>>()?;
        if let Some(logit) = expected.iter().find(|l| !l.is_finite()) {
            return Err(r.error(format_args!("golden request {i} expects the logit {logit}")));
        }
        let mut values = Vec::with_capacity(n_values);
        for _ in 0..n_values {
            let value = GoldenValue { feature: r.u32()?, number: r.f32()?, id: r.u64()? };
            if value.feature as usize >= schema.features.len() || !value.number.is_finite() {
                return Err(r.error(format_args!(
                    "golden request {i} has feature {} with number {}; there are {} features, numbers are finite",
                    value.feature,
                    value.number,
                    schema.features.len()
                )));
            }
            values.push(value);
        }
        goldens.push(Golden { request: GoldenRequest { time_us, utc_offset_s, values }, expected });
    }
    r.end()?;
    Ok(goldens)
}
