//! A generation: model, calibrators and policy of one bundle, checked and ready to serve.

use std::path::Path;

use super::bundle::{Entry, Manifest, Role};
use super::golden;
use crate::artifact::container::{ArtifactKind, Container};
use crate::artifact::model::Model;
use crate::artifact::{Bytes, OpenMode};
use crate::auction::Policy;
use crate::calibrate::Calibrators;
use crate::enrich::Assembler;
use crate::error::{Error, Result, Status};
use crate::hash::checksum;
use crate::infer::{Kernel, Plan, Weights};

/// The one section of a calibrators file.
const CALIBRATORS_SECTION: &str = "calibrators";

/// What a scorer's scratch must hold; an engine fixes it once, so that every later generation fits the scorers made
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// f32 of network scratch.
    pub scratch: usize,
    /// Features of a schema.
    pub features: usize,
    /// Input columns.
    pub width: usize,
}

/// Everything that a request reads, published as one.
#[derive(Debug)]
pub struct Generation {
    id: u64,
    model: Model,
    pub(crate) assembler: Assembler,
    pub(crate) plan: Plan,
    calibrators: Calibrators,
    policy: Policy,
}

impl Generation {
    /// Opens a bundle: checks the manifest, every file's length and checksum and content, runs the golden requests on
    /// `kernel` and brings the model's pages in. `handle` gives the handle of a feature's input name.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Unsupported` or `GoldenMismatch`; the message names the file.
    pub fn open(
        bundle: &Path,
        mode: OpenMode,
        kernel: &'static Kernel,
        mut handle: impl FnMut(&str) -> u32,
    ) -> Result<Self> {
        let manifest = Manifest::read(bundle)?;
        let file = |role: Role| manifest.file(role).map(|entry| open_file(bundle, entry, mode)).transpose();
        let named = |role: Role, error: Error| match manifest.file(role) {
            Some(entry) => error.within(bundle.join(&entry.name).display()),
            None => error,
        };
        let bytes = file(Role::Model)?.ok_or_else(|| Error::corrupt("the bundle has no model"))?;
        let model = Model::open(bytes).map_err(|e| named(Role::Model, e))?;
        let calibrators = match file(Role::Calibrators)? {
            Some(bytes) => decode_calibrators(&bytes).map_err(|e| named(Role::Calibrators, e))?,
            None => Calibrators::default(),
        };
        let policy = match file(Role::Policy)? {
            Some(bytes) => std::str::from_utf8(&bytes)
                .map_err(|e| Error::corrupt(format!("not UTF-8 at offset {}", e.valid_up_to())))
                .and_then(Policy::parse)
                .map_err(|e| named(Role::Policy, e))?,
            None => Policy::default(),
        };
        let handles: Vec<u32> = model.schema().features.iter().map(|f| handle(&f.input)).collect();
        let assembler = Assembler::new(&model, |i, _| handles[i]);
        let plan = Plan::new(model.network(), weights(&model), kernel)?;
        golden::check(&model, &plan, kernel).map_err(|e| named(Role::Model, e))?;
        model.prefault();
        Ok(Self { id: manifest.generation(), model, assembler, plan, calibrators, policy })
    }

    /// The id: the hash of the bundle's content, never 0.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The calibrators.
    #[must_use]
    pub fn calibrators(&self) -> &Calibrators {
        &self.calibrators
    }

    /// The auction policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What a scorer must hold to serve this generation.
    #[must_use]
    pub fn needs(&self) -> Limits {
        Limits {
            scratch: self.plan.scratch_len(),
            features: self.model.schema().features.len(),
            width: self.model.layout().width,
        }
    }

    /// Whether scorers of these limits can serve this generation.
    ///
    /// # Errors
    /// `Unsupported`, naming the limit, what the generation needs and the remedy.
    pub fn fits(&self, limits: Limits) -> Result<()> {
        let needs = self.needs();
        for (what, need, has) in [
            ("f32 of scratch", needs.scratch, limits.scratch),
            ("features", needs.features, limits.features),
            ("input columns", needs.width, limits.width),
        ] {
            if need > has {
                return Err(Error::new(
                    Status::Unsupported,
                    format!(
                        "the model needs {need} {what} and this engine's scorers have room for {has}: open the engine \
                         with a larger `headroom` option"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// The numbers behind a model's network.
pub(crate) fn weights(model: &Model) -> Weights<'_> {
    Weights { panels: model.weights(), params: model.params() }
}

/// The bytes of a calibrators file.
#[must_use]
pub fn encode_calibrators(calibrators: &Calibrators) -> Vec<u8> {
    crate::artifact::container::Builder::new(ArtifactKind::Calibrators)
        .section(CALIBRATORS_SECTION, true, calibrators.encode())
        .build()
}

fn decode_calibrators(bytes: &[u8]) -> Result<Calibrators> {
    let container = Container::open(bytes, ArtifactKind::Calibrators, &[CALIBRATORS_SECTION])?;
    let section = container.require(CALIBRATORS_SECTION)?;
    Calibrators::decode(&bytes[section.offset..section.offset + section.len])
}

fn open_file(bundle: &Path, entry: &Entry, mode: OpenMode) -> Result<Bytes> {
    let path = bundle.join(&entry.name);
    let bytes = Bytes::open(&path, mode)?;
    if bytes.len() as u64 != entry.bytes {
        return Err(Error::corrupt(format!(
            "{}: {} bytes, the manifest says {}: copy the bundle again",
            path.display(),
            bytes.len(),
            entry.bytes
        )));
    }
    let found = checksum(&bytes);
    if found != entry.xxh3 {
        return Err(Error::corrupt(format!(
            "{}: checksum {found:016x}, the manifest says {:016x}: copy the bundle again",
            path.display(),
            entry.xxh3
        )));
    }
    Ok(bytes)
}
