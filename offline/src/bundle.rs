//! Bundles as the commands write and change them. The format is the core's: [`adclick::live::bundle`].

use std::path::Path;

use adclick::calibrate::Calibrators;
use adclick::live::bundle::{self, CALIBRATORS_FILE, MODEL_FILE, Manifest, POLICY_FILE, Role};
use adclick::live::{Generation, Opening, encode_calibrators};
use anyhow::{Context, Result};

/// The files of a bundle in memory.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The model file.
    pub model: Vec<u8>,
    /// Applied to the model's logits.
    pub calibrators: Calibrators,
    /// The text of the auction policy; `None` = the default one.
    pub policy: Option<String>,
}

impl Parts {
    /// The files of an existing bundle, checked as an engine checks them.
    ///
    /// # Errors
    /// Whatever is wrong with the bundle, naming the file.
    pub fn read(path: &Path) -> Result<Self> {
        let generation = open(path)?;
        let manifest = Manifest::read(path)?;
        let file = |role| {
            let entry = manifest.file(role)?;
            let path = path.join(&entry.name);
            Some(std::fs::read(&path).with_context(|| format!("cannot read {}", path.display())))
        };
        Ok(Self {
            model: file(Role::Model).context("the bundle has no model")??,
            calibrators: generation.calibrators().clone(),
            policy: file(Role::Policy).transpose()?.map(String::from_utf8).transpose()?,
        })
    }

    /// Writes a bundle (beside, synced, renamed) and returns its generation. With `publish`, `CURRENT` beside it names it
    /// afterwards.
    ///
    /// # Errors
    /// When `path` exists and `replace` is false, or a file cannot be written; nothing is left half-written.
    pub fn write(&self, path: &Path, replace: bool, publish: bool) -> Result<u64> {
        let calibrators = encode_calibrators(&self.calibrators);
        let mut files =
            vec![(Role::Model, MODEL_FILE, self.model.as_slice()), (Role::Calibrators, CALIBRATORS_FILE, &calibrators)];
        if let Some(policy) = &self.policy {
            files.push((Role::Policy, POLICY_FILE, policy.as_bytes()));
        }
        let generation = bundle::write(path, &files, replace)?;
        if publish {
            bundle::publish(path)?;
        }
        Ok(generation)
    }
}

/// Opens a bundle as an engine on this machine would, golden requests included.
///
/// # Errors
/// Whatever is wrong with the bundle, naming the file.
pub fn open(path: &Path) -> Result<Generation> {
    let kernel = adclick::infer::Kernel::detect();
    Ok(Generation::open(path, Opening::new(kernel), |_| 1)?)
}
