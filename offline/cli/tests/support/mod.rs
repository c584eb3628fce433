//! The golden vectors of `dcn/`, and the schemas of those variants that need one.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

/// Largest errors allowed between fp16 matrices and the f64 truth: logit, probability.
pub const FP16: (f64, f64) = (3e-3, 5e-4);
/// Between sums in f32 and in f64 over the same rounded weights.
pub const SAME_ROUNDING: (f64, f64) = (1e-5, 2e-6);

/// One variant: its directory and description.
pub struct Variant {
    pub name: String,
    pub path: PathBuf,
    pub meta: Value,
}

/// The variants under `ADCLICK_GOLDEN` (default `tests/golden` of the repository). There must be some.
pub fn variants() -> Vec<Variant> {
    let root = std::env::var_os("ADCLICK_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"), PathBuf::from)
        .join("dcn");
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("golden vectors {}: {e}", root.display()));
    let mut all: Vec<Variant> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").exists())
        .map(|path| {
            let meta = serde_json::from_slice(&std::fs::read(path.join("meta.json")).unwrap()).unwrap();
            Variant { name: path.file_name().unwrap().to_string_lossy().into_owned(), path, meta }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty(), "no golden variants under {}", root.display());
    all
}

impl Variant {
    pub fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path.join(file)).unwrap()
    }

    /// The weights files that are there, each with the rounding whose outputs it gives exactly.
    pub fn weights(&self) -> Vec<(&'static str, &'static str)> {
        let all = [("model.safetensors", "f64"), ("model_fp16.safetensors", "w16mat_f64")];
        let found: Vec<_> = all.into_iter().filter(|(file, _)| self.path.join(file).exists()).collect();
        assert!(!found.is_empty(), "{} has no weights", self.name);
        found
    }

    /// Whether the state dict has BatchNorm.
    pub fn has_batch_norm(&self) -> bool {
        self.meta["parameters"].as_object().unwrap().keys().any(|k| k.ends_with("running_var"))
    }

    /// The schema that this variant needs; dense ones need none.
    pub fn schema(&self) -> Option<String> {
        if let (Some(single), Some(multi)) = (self.meta["single"].as_array(), self.meta["multi"].as_array()) {
            let mut text = format!("[[features]]\nname = \"x\"\nkind = \"vector\"\ndim = {}\n", self.meta["num_dense"]);
            for (fields, kind) in [(single, "category"), (multi, "multi")] {
                for f in fields {
                    text += &format!(
                        "[[features]]\nname = {}\nkind = \"{kind}\"\nraw = \"integer\"\nembedding = {{ dim = {}, count = {} }}\n",
                        f["name"], f["dim"], f["vocab"]
                    );
                    if kind == "multi" {
                        text += &format!("pooling = {}\n", f["pooling"]);
                    }
                }
            }
            return Some(text);
        }
        let parameters = self.meta["parameters"].as_object().unwrap();
        let rows = &parameters.get("wide.weight")?[1][0];
        let columns = &parameters["deep.0.weight"][1][1];
        Some(format!(
            "[[features]]\nname = \"x\"\nkind = \"vector\"\ndim = {columns}\n\
             [[features]]\nname = \"wide\"\nkind = \"multi\"\npooling = \"sum\"\nraw = \"integer\"\n\
             embedding = {{ dim = 0, count = {rows}, wide = true }}\n"
        ))
    }
}

/// A tensor as f64 with its shape; `None` when there is none.
pub fn tensor(bytes: &[u8], name: &str) -> Option<(Vec<usize>, Vec<f64>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).ok()?;
    let data = view.data();
    let values = match view.dtype() {
        Dtype::F64 => data.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::F32 => data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        Dtype::F16 => data.chunks(2).map(|b| half::f16::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        Dtype::I32 => data.chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        other => panic!("{name}: {other:?}"),
    };
    Some((view.shape().to_vec(), values))
}

/// A safetensors file of F32 tensors.
pub fn file_of(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, v)| v.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), b)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), b).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The largest difference; NaN anywhere is infinitely far.
pub fn farthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })
}
