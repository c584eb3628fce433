//! The `golden` section: requests and the outputs that the model must give for them on every machine.

use super::spec::{GoldenRequest, GoldenValue};
#[cfg(feature = "builder")]
use crate::error::Error;
use crate::error::Result;
use crate::schema::Schema;
use crate::wire::Reader;
#[cfg(feature = "builder")]
use crate::wire::Writer;

/// The most golden requests of a model: staging runs the whole network for each. Packing makes 16.
pub const MAX_GOLDENS: usize = 1024;

/// A golden request and its expected logits, one for each head.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// The request.
    pub request: GoldenRequest,
    /// Logits computed by the f64 reference from the file's own fp16 weights.
    pub expected: Vec<f64>,
}

#[cfg(feature = "builder")]
pub(super) fn encode(requests: &[GoldenRequest], expected: &[f64], schema: &Schema, heads: usize) -> Result<Vec<u8>> {
    if expected.len() != requests.len() * heads {
        return Err(Error::argument(format!(
            "{} golden requests and {heads} heads need {} expected logits, found {}",
            requests.len(),
            requests.len() * heads,
            expected.len()
        )));
    }
    check_count(requests.len()).map_err(Error::argument)?;
    let mut w = Writer::default();
    w.u32(requests.len() as u32);
    for (i, (request, expected)) in requests.iter().zip(expected.chunks_exact(heads)).enumerate() {
        w.i64(request.time_us);
        w.i32(request.utc_offset_s);
        w.u32(request.values.len() as u32);
        for &logit in expected {
            check_logit(i, logit).map_err(Error::argument)?;
            w.f64(logit);
        }
        for v in &request.values {
            check_value(i, v, schema).map_err(Error::argument)?;
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
    check_count(count).map_err(|e| r.error(e))?;
    let mut goldens = Vec::with_capacity(count);
    for i in 0..count {
        let (time_us, utc_offset_s) = (r.i64()?, r.i32()?);
        // The smallest value takes 16 bytes, and the expected logits come before the values.
        let n_values = r.count("values", 16)?;
        let mut expected = Vec::with_capacity(heads);
        for _ in 0..heads {
            let logit = r.f64()?;
            check_logit(i, logit).map_err(|e| r.error(e))?;
            expected.push(logit);
        }
        let mut values = Vec::with_capacity(n_values);
        for _ in 0..n_values {
            let value = GoldenValue { feature: r.u32()?, number: r.f32()?, id: r.u64()? };
            check_value(i, &value, schema).map_err(|e| r.error(e))?;
            values.push(value);
        }
        goldens.push(Golden { request: GoldenRequest { time_us, utc_offset_s, values }, expected });
    }
    r.end()?;
    Ok(goldens)
}

fn check_count(count: usize) -> std::result::Result<(), String> {
    if count <= MAX_GOLDENS { Ok(()) } else { Err(format!("{count} golden requests, at most {MAX_GOLDENS}")) }
}

fn check_logit(i: usize, logit: f64) -> std::result::Result<(), String> {
    if logit.is_finite() { Ok(()) } else { Err(format!("golden request {i} expects the logit {logit}")) }
}

fn check_value(i: usize, value: &GoldenValue, schema: &Schema) -> std::result::Result<(), String> {
    let features = schema.features.len();
    if (value.feature as usize) < features && value.number.is_finite() {
        return Ok(());
    }
    let GoldenValue { feature, number, .. } = value;
    Err(format!(
        "golden request {i} has feature {feature} with number {number}; there are {features} features, numbers are \
         finite"
    ))
}
