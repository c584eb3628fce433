//! The inputs of the live model, and checks of requests against them.

use super::Engine;
use crate::artifact::model::spec::HeadKind;
use crate::error::Result;
use crate::inputs::{Check, ModelInput, inputs, side_name};
use crate::limits::MAX_CANDIDATES;
use crate::request::Input;
use crate::schema::Side;
use crate::types::Precision;

/// Figures of the live model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The generation's id.
    pub generation: u64,
    /// Columns of a ready input (`score_dense`).
    pub width: usize,
    /// The number of them that belong to the request.
    pub request_width: usize,
    /// The heads.
    pub heads: Vec<HeadKind>,
    /// Whether it has a wide part, which ready inputs cannot carry.
    pub has_wide: bool,
    /// The number of its inputs: see [`Engine::inputs`].
    pub inputs: usize,
    /// The number of tables that it reads.
    pub tables: usize,
    /// The number of features; several may read one input.
    pub features: usize,
    /// The precision that was asked for ([`crate::Options::precision`], or by the bundle).
    pub precision_asked: Precision,
    /// The precision that it is served in.
    pub precision: Precision,
    /// Why the two differ, if they do.
    pub precision_reason: Option<String>,
}

/// Values of an input of the live model that requests passed on the wrong side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSide {
    /// The input's name.
    pub input: String,
    /// The side on which the model reads it.
    pub read_with: Side,
    /// The number of such values since the generation was opened.
    pub values: u64,
}

impl std::fmt::Display for WrongSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { input, read_with, values } = self;
        let (own, other) = match read_with {
            Side::Request => (Side::Request, Side::Candidate),
            Side::Candidate => (Side::Candidate, Side::Request),
        };
        let (own, other) = (side_name(own), side_name(other));
        write!(f, "`{input}` is read with the {own} and was passed with the {other} ({values} values, ignored)")
    }
}

impl Engine {
    /// Figures of the live model.
    ///
    /// # Errors
    /// `Closed`.
    pub fn model(&self) -> Result<ModelInfo> {
        let generation = self.live()?;
        let model = generation.model();
        let (precision_asked, precision, reason) = generation.precision();
        Ok(ModelInfo {
            generation: generation.id(),
            width: model.layout().width,
            request_width: model.layout().request_width,
            heads: model.network().heads.iter().map(|head| head.kind).collect(),
            has_wide: model.has_wide(),
            inputs: inputs(generation.scoring()).len(),
            tables: model.enrichment().tables.len(),
            features: model.schema().features.len(),
            precision_asked,
            precision,
            precision_reason: reason.map(str::to_owned),
        })
    }

    /// The generation's id and its model's inputs: names, sides, kinds, and where values come from.
    ///
    /// # Errors
    /// `Closed`.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use adclick::inputs::{Default as Missing, InputReading, Side, Source, ValueKind};
    /// use adclick::{Engine, HeadKind, Options};
    ///
    /// # fn main() -> adclick::Result<()> {
    /// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
    /// assert_eq!(engine.model()?.heads, [HeadKind::Ctr]);
    ///
    /// let (_, inputs) = engine.inputs()?;
    /// let clicks = inputs.iter().find(|input| input.name == "user_clicks_7d").unwrap();
    /// assert_eq!((clicks.side, clicks.kind, clicks.source), (Side::Request, ValueKind::Number, Source::User));
    /// assert_eq!((clicks.reading, clicks.from.as_str()), (InputReading::Table, "users.clicks_7d"));
    /// assert_eq!(clicks.default, Missing::Number(0.0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn inputs(&self) -> Result<(u64, Vec<ModelInput>)> {
        let generation = self.live()?;
        Ok((generation.id(), inputs(generation.scoring())))
    }

    /// Checks a request against the live model. Finds values that the model does not use, or reads from the other side
    /// or as another kind, and inputs without a value. For servers that are starting, and for tests: it allocates and
    /// takes a lock.
    ///
    /// # Errors
    /// A request that scoring would refuse for its counts, sizes or flags; `Closed`.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use adclick::inputs::ProblemKind;
    /// use adclick::{Candidate, Columns, Engine, Input, Options, Request, Value};
    ///
    /// # fn main() -> adclick::Result<()> {
    /// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
    /// let context = [Value { feature: engine.feature("devise_type")?, ..Value::default() }]; // misspelt
    /// let candidates = [Candidate::default()];
    /// let request = Request::default().counting(&context, &candidates, &[]);
    /// let check = engine.check(Input {
    ///     request: &request,
    ///     values: &context,
    ///     candidates: &candidates,
    ///     candidate_values: &[],
    ///     columns: Columns::default(),
    /// })?;
    /// assert_eq!((check.errors(), check.count(ProblemKind::Unknown)), (1, 1));
    /// assert!(check.to_string().contains("devise_type")); // a line for each problem
    /// # Ok(())
    /// # }
    /// ```
    pub fn check(&self, input: Input<'_>) -> Result<Check> {
        input.check(MAX_CANDIDATES)?;
        let generation = self.live()?;
        let names = self.shared.names();
        let name = |handle: u32| names.name(handle);
        Ok(crate::inputs::check(generation.id(), generation.scoring(), input, name))
    }

    /// The values that requests passed on the wrong side since the live generation was opened, by input. They are
    /// ignored.
    ///
    /// # Errors
    /// `Closed`.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use adclick::{Engine, Options};
    /// # fn main() -> adclick::Result<()> {
    /// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
    /// for wrong in engine.wrong_sides()? {
    ///     eprintln!("{wrong}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn wrong_sides(&self) -> Result<Vec<WrongSide>> {
        let generation = self.live()?;
        let features = &generation.model().schema().features;
        let told = |(feature, values): (u32, u64)| {
            let feature = &features[feature as usize];
            WrongSide { input: feature.input.clone(), read_with: feature.side(), values }
        };
        Ok(generation.scoring().wrong_sides().map(told).collect())
    }
}
