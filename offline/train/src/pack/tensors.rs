//! The tensors of a state dict under the names that pack knows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use adclick::builder::artifact::model::spec::Matrix;
use adclick_data::schema_file::Mapping;
use anyhow::{Context, Result, anyhow, bail, ensure};
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::{kinds, names};

/// The tensors of one weights file, by role: the name that pack knows.
pub struct NamedTensors<'a> {
    tensors: BTreeMap<String, Tensor<'a>>,
    used: RefCell<BTreeSet<String>>,
}

struct Tensor<'a> {
    /// The name in the file, for messages.
    name: String,
    view: TensorView<'a>,
    transpose: bool,
    /// The part that the tensor belongs to, if the format cannot express that part and the schema does not map the
    /// tensor.
    foreign: Option<&'static str>,
}

impl<'a> NamedTensors<'a> {
    /// Reads the directory of a safetensors file. Prefixes of wrappers are dropped, `num_batches_tracked` is left out,
    /// and mapped names become roles.
    ///
    /// # Errors
    /// When the file is damaged, a mapped tensor does not exist, or two tensors claim one role.
    pub fn parse(bytes: &'a [u8], mapping: &[Mapping]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| anyhow!("not a safetensors file: {e}"))?;
        let mut tensors: BTreeMap<String, Tensor<'a>> = BTreeMap::new();
        let mut mapped = vec![false; mapping.len()];
        let mut views = file.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, view) in views {
            if name.ends_with("num_batches_tracked") {
                continue;
            }
            let stripped = names::strip(&name);
            let found = mapping.iter().enumerate().find_map(|(i, m)| {
                let role = [name.as_str(), stripped].into_iter().find_map(|n| names::rename(&m.name, &m.role, n))?;
                Some((i, role))
            });
            let (role, transpose, foreign) = match found {
                Some((i, role)) => {
                    mapped[i] = true;
                    (role, mapping[i].transpose, None)
                }
                None => {
                    let role = names::of_library(stripped).unwrap_or_else(|| stripped.to_owned());
                    let foreign = kinds::of(&role, view.shape());
                    (role, false, foreign)
                }
            };
            if let Some(other) = tensors.get(&role) {
                bail!("tensors `{}` and `{name}` both stand for `{role}`: map one of them in [tensors]", other.name);
            }
            tensors.insert(role, Tensor { name, view, transpose, foreign });
        }
        if let Some(i) = mapped.iter().position(|m| !m) {
            bail!("[tensors] maps `{}` to `{}`, which the weights do not hold", mapping[i].role, mapping[i].name);
        }
        Ok(Self { tensors, used: RefCell::default() })
    }

    /// All roles, in order.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is such a tensor.
    #[must_use]
    pub fn has(&self, role: &str) -> bool {
        self.tensors.contains_key(role)
    }

    /// Whether any role begins so.
    #[must_use]
    pub fn has_any(&self, prefix: &str) -> bool {
        self.tensors.range(prefix.to_owned()..).next().is_some_and(|(role, _)| role.starts_with(prefix))
    }

    /// The tensor's name in the file; the role itself when there is none.
    #[must_use]
    pub fn name<'b>(&'b self, role: &'b str) -> &'b str {
        self.tensors.get(role).map_or(role, |t| &t.name)
    }

    /// The shape as stored.
    #[must_use]
    pub fn shape(&self, role: &str) -> Option<&[usize]> {
        self.tensors.get(role).map(|t| t.view.shape())
    }

    /// The numbers that follow `prefix` in roles (`dnn.` gives 0, 2, 4 for `dnn.0.weight`, …), ascending.
    #[must_use]
    pub fn numbers(&self, prefix: &str) -> Vec<usize> {
        let after = self.tensors.keys().filter_map(|r| r.strip_prefix(prefix));
        let numbers: BTreeSet<usize> = after.filter_map(|r| r.split('.').next()?.parse().ok()).collect();
        numbers.into_iter().collect()
    }

    /// The values of a tensor with its shape; NaN and infinity are refused.
    ///
    /// # Errors
    /// A missing tensor, a type that is not a float, a value that is not finite.
    pub fn values(&self, role: &str) -> Result<(Vec<usize>, Vec<f64>)> {
        let tensor = self.tensors.get(role).ok_or_else(|| self.missing(role))?;
        self.used.borrow_mut().insert(role.to_owned());
        let values = floats(&tensor.view).with_context(|| format!("tensor `{}`", tensor.name))?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let place = place(tensor.view.shape(), at);
            bail!("tensor `{}` holds {} at {place}: weights must be finite", tensor.name, values[at]);
        }
        if tensor.transpose {
            let [rows, cols] = *tensor.view.shape() else {
                bail!("tensor `{}` {:?}: only a matrix can be transposed", tensor.name, tensor.view.shape());
            };
            return Ok((vec![cols, rows], transposed(&values, rows, cols)));
        }
        Ok((tensor.view.shape().to_vec(), values))
    }

    /// A vector; any shape with one long axis will do (`[d]`, `[d, 1]`, `[1, d]`).
    ///
    /// # Errors
    /// As [`Self::values`], and when the length is not `len`.
    pub fn vector(&self, role: &str, len: usize) -> Result<Vec<f64>> {
        let (shape, values) = self.values(role)?;
        ensure!(
            values.len() == len && shape.iter().all(|&s| s == 1 || s == len),
            "tensor `{}`: expected shape [{len}], found {shape:?}",
            self.name(role)
        );
        Ok(values)
    }

    /// A vector, or zeros when there is no such tensor.
    ///
    /// # Errors
    /// As [`Self::vector`].
    pub fn vector_or_zeros(&self, role: &str, len: usize) -> Result<Vec<f64>> {
        if self.has(role) { self.vector(role, len) } else { Ok(vec![0.0; len]) }
    }

    /// A matrix `[out, in]`; a known number of rows or columns is checked.
    ///
    /// # Errors
    /// As [`Self::values`], and when the shape differs.
    pub fn matrix(&self, role: &str, rows: Option<usize>, cols: Option<usize>) -> Result<Matrix> {
        let (shape, values) = self.values(role)?;
        let fits = shape.len() == 2 && rows.is_none_or(|r| shape[0] == r) && cols.is_none_or(|c| shape[1] == c);
        let side = |n: Option<usize>| n.map_or("any".to_owned(), |n| n.to_string());
        ensure!(fits, "tensor `{}`: expected shape [{}, {}], found {shape:?}", self.name(role), side(rows), side(cols));
        Ok(Matrix::new(shape[0], shape[1], values))
    }

    /// The names in the file of tensors that nothing has asked for.
    #[must_use]
    pub fn unused(&self) -> Vec<&str> {
        let used = self.used.borrow();
        self.tensors.iter().filter(|(role, _)| !used.contains(*role)).map(|(_, t)| t.name.as_str()).collect()
    }

    /// The tensors that belong to something the format cannot express, and what that is.
    pub fn foreign(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.tensors.values().filter_map(|t| Some((t.name.as_str(), t.foreign?)))
    }

    /// Whether the file has a name with this prefix, under whichever role.
    #[must_use]
    pub fn is_named(&self, prefix: &str) -> bool {
        self.tensors.values().any(|t| names::strip(&t.name).starts_with(prefix))
    }

    /// The error for a tensor that is not there.
    #[must_use]
    pub fn missing(&self, role: &str) -> anyhow::Error {
        let all: Vec<&str> = self.tensors.values().map(|t| t.name.as_str()).collect();
        let shown = all.len().min(40);
        let more = if all.len() > shown { format!(" and {} more", all.len() - shown) } else { String::new() };
        anyhow!(
            "the weights hold no tensor `{role}` (found: {}{more}); if it has another name, map it in the schema's [tensors]",
            all[..shown].join(", ")
        )
    }
}

/// `data` as `[cols, rows]`.
pub(super) fn transposed(data: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..cols).flat_map(|c| (0..rows).map(move |r| data[r * cols + c])).collect()
}

/// Where element `at` of a tensor stands: `[2, 5]`.
pub(super) fn place(shape: &[usize], mut at: usize) -> String {
    let mut index = vec![0; shape.len()];
    for (slot, &size) in index.iter_mut().zip(shape).rev() {
        *slot = at % size.max(1);
        at /= size.max(1);
    }
    format!("{index:?}")
}

/// The values of a float tensor.
pub(super) fn floats(view: &TensorView<'_>) -> Result<Vec<f64>> {
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F64 => data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        Dtype::F16 => data.as_chunks::<2>().0.iter().map(|b| f64::from(f16::from_le_bytes(*b))).collect(),
        Dtype::BF16 => data.as_chunks::<2>().0.iter().map(|b| f64::from(bf16::from_le_bytes(*b))).collect(),
        other => bail!("has type {other:?}; allowed: F16, BF16, F32, F64"),
    })
}
