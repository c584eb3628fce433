//! Named arrays of a checkpoint: those to be written, and those that were read.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use safetensors::{Dtype, View};

/// Values of a tensor.
pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    F64(Cow<'a, [f64]>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

/// A tensor to be written.
struct Tensor<'a> {
    values: Values<'a>,
    shape: [usize; 1],
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::F64(_) => Dtype::F64,
            Values::U32(_) => Dtype::U32,
            Values::U8(_) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.values {
            Values::F32(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::F64(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::U32(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::U8(values) => Cow::Borrowed(values),
        }
    }

    fn data_len(&self) -> usize {
        self.shape[0] * self.dtype().bitsize() / 8
    }
}

/// Named tensors to be written, in the order in which they were put.
#[derive(Default)]
pub(super) struct Tensors<'a>(Vec<(String, Tensor<'a>)>);

impl<'a> Tensors<'a> {
    pub(super) fn put(&mut self, name: String, values: Values<'a>) {
        let count = match &values {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::U32(values) => values.len(),
            Values::U8(values) => values.len(),
        };
        self.0.push((name, Tensor { values, shape: [count] }));
    }

    /// The tensors by name, as safetensors takes them.
    pub(super) fn views(&self) -> impl Iterator<Item = (&String, impl View)> {
        self.0.iter().map(|(name, tensor)| (name, tensor))
    }

    /// The checksum of each.
    pub(super) fn checksums(&self) -> BTreeMap<String, u32> {
        self.0.iter().map(|(name, tensor)| (name.clone(), crc32fast::hash(&View::data(&tensor)))).collect()
    }

    pub(super) fn floats(&mut self, name: String, values: &'a [f32]) {
        self.put(name, Values::F32(Cow::Borrowed(values)));
    }
}

/// The tensors of a file, by name, as bytes.
#[derive(Default)]
pub(super) struct Loaded(HashMap<String, Vec<u8>>);

impl Loaded {
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), bytes.to_vec());
    }

    fn bytes<const N: usize>(&self, name: &str) -> Result<impl Iterator<Item = [u8; N]>> {
        let bytes = self.0.get(name).with_context(|| format!("tensor `{name}` is missing"))?;
        Ok(bytes.as_chunks().0.iter().copied())
    }

    pub(super) fn f32(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.bytes(name)?.map(f32::from_le_bytes).collect())
    }

    pub(super) fn f64(&self, name: &str) -> Result<Vec<f64>> {
        Ok(self.bytes(name)?.map(f64::from_le_bytes).collect())
    }

    pub(super) fn u32(&self, name: &str) -> Result<Vec<u32>> {
        Ok(self.bytes(name)?.map(u32::from_le_bytes).collect())
    }

    pub(super) fn u8(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.bytes(name)?.map(u8::from_le_bytes).collect())
    }

    /// Replaces values by as many of a tensor.
    pub(super) fn fill<T: Copy>(name: &str, to: &mut [T], from: &[T]) -> Result<()> {
        ensure!(from.len() == to.len(), "tensor `{name}` has {} values, not {}", from.len(), to.len());
        to.copy_from_slice(from);
        Ok(())
    }
}
