//! libadclick, from ids to logits.

use std::rc::Rc;

use adclick::{
    AdCacheState, Candidate, Columns, Engine, Input, Options, Precision, Request, Scorer, ScorerLimits, Value,
};

use super::Asked;
use super::bundle::{NOW_US, ad_key, number, user_key};
use crate::Error;
use crate::clock::Clock;
use crate::contender::Contender;

/// How the ids of a request and its candidates come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Values,
    /// Candidates' ids in columns.
    Columns,
    Tables,
}

/// A way to ask. New ones go into [`MODES`].
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    source: Source,
    kernel: Option<&'static str>,
    precision: Precision,
    /// Whether an ad cache may take all the memory that it needs.
    ad_cache: bool,
    tolerance: f64,
}

const EXACT: Mode = Mode {
    name: "adclick exact, values",
    source: Source::Values,
    kernel: None,
    precision: Precision::Exact,
    ad_cache: false,
    tolerance: 1e-5,
};

const MODES: &[Mode] = &[
    EXACT,
    Mode { name: "adclick exact, columns", source: Source::Columns, ..EXACT },
    Mode { name: "adclick exact, tables", source: Source::Tables, ..EXACT },
    Mode { name: "adclick exact, tables, ad cache", source: Source::Tables, ad_cache: true, ..EXACT },
    Mode {
        name: "adclick bf16, columns",
        source: Source::Columns,
        precision: Precision::Bf16,
        tolerance: 0.05,
        ..EXACT
    },
    Mode { name: "adclick exact, columns, avx2", source: Source::Columns, kernel: Some("avx2"), ..EXACT },
];

pub(crate) fn all() -> Vec<Box<dyn Contender<Asked>>> {
    let ours = |&mode| Box::new(Ours { mode, engine: None, loaded: None }) as Box<dyn Contender<Asked>>;
    MODES.iter().map(ours).collect()
}

struct Ours {
    mode: Mode,
    /// The engine of a model, kept from case to case.
    engine: Option<(&'static str, Engine)>,
    loaded: Option<Loaded>,
}

struct Loaded {
    asked: Rc<Asked>,
    source: Source,
    scorer: Scorer,
    /// Handles of the candidates' ids.
    handles: Vec<u32>,
    /// The calls that were made.
    calls: usize,
    /// Seconds of all stages and of the inputs' when it was loaded.
    before: [f64; 2],
    request: Request,
    values: Vec<Value>,
    candidates: Vec<Candidate>,
    candidate_values: Vec<Value>,
    /// `[candidates][handles]`; empty unless ids are passed in columns.
    block: Vec<u64>,
    pctr: Vec<f32>,
}

impl Loaded {
    /// Writes what a caller has ready before it asks.
    fn prepare(&mut self, call: usize) {
        let Self { asked, source, handles, request, values, candidates, candidate_values, block, .. } = self;
        let (user, ids) = asked.user(call);
        let numbers = super::NUMBERS;
        request.request_id = call as u64;
        request.user_key = user_key(asked.draw, user);
        if *source != Source::Tables {
            values[numbers..].iter_mut().zip(ids).for_each(|(value, &id)| value.id = id.into());
        }
        let first = asked.first_ad(call);
        for (i, candidate) in candidates.iter_mut().enumerate() {
            candidate.ad_key = ad_key(asked.draw, first + i);
            let (ids, own) = (asked.ads(call, i), i * handles.len());
            match source {
                Source::Values => {
                    candidate_values[own..].iter_mut().zip(ids).for_each(|(value, &id)| value.id = id.into());
                }
                Source::Columns => block[own..].iter_mut().zip(ids).for_each(|(cell, &id)| *cell = id.into()),
                Source::Tables => {}
            }
        }
    }

    fn run(&mut self) -> Result<(), adclick::Refusal> {
        let Self { scorer, handles, request, values, candidates, candidate_values, block, pctr, .. } = self;
        let columns = match block.is_empty() {
            true => Columns::default(),
            false => Columns { id_features: handles, ids: block, ..Columns::default() },
        };
        let input = Input { request, values, candidates, candidate_values, columns };
        scorer.score(input, pctr, &mut []).map(|_| ())
    }

    fn call(&mut self) -> Result<(), Error> {
        self.prepare(self.calls);
        self.calls += 1;
        Ok(self.run()?)
    }
}

/// Seconds of all stages, and of that of the inputs.
fn stages(engine: &Engine) -> Result<[f64; 2], Error> {
    let text = engine.metrics()?.to_string();
    let mut sums = [0.0; 2];
    for line in text.lines().filter(|line| line.starts_with("adclick_stage_duration_seconds_sum")) {
        let seconds: f64 = line.rsplit(' ').next().unwrap_or("0").parse()?;
        sums[0] += seconds;
        if line.contains("enrich") {
            sums[1] += seconds;
        }
    }
    Ok(sums)
}

impl Ours {
    fn engine(&mut self, asked: &Asked) -> Result<&Engine, Error> {
        let world = &asked.world;
        if self.engine.as_ref().is_none_or(|(name, _)| *name != world.name) {
            self.engine = None;
            let mut options = Options::default();
            options.kernel = self.mode.kernel.map(str::to_owned);
            options.precision = Some(self.mode.precision);
            options.ad_cache_bytes = if self.mode.ad_cache { u64::MAX } else { 0 };
            options.overlay_rows = 0;
            let bundle = if self.mode.source == Source::Tables { &world.from_tables } else { &world.passed };
            let engine = Engine::open(bundle, &options)?;
            let model = engine.model()?;
            if let Some(why) = model.precision_reason {
                return Err(format!("{} is not served: {why}", model.precision_asked).into());
            }
            let state = engine.ad_cache()?.state;
            if self.mode.ad_cache && state != AdCacheState::On {
                return Err(format!("no ad cache: {state:?}").into());
            }
            self.engine = Some((world.name, engine));
        }
        self.engine.as_ref().map(|(_, engine)| engine).ok_or_else(|| "no engine".into())
    }

    fn loaded(&mut self) -> Result<&mut Loaded, Error> {
        self.loaded.as_mut().ok_or_else(|| "nothing is loaded".into())
    }
}

impl Contender<Asked> for Ours {
    fn name(&self) -> &str {
        self.mode.name
    }

    fn tolerance(&self) -> f64 {
        self.mode.tolerance
    }

    fn load(&mut self, asked: &Rc<Asked>) -> Result<(), Error> {
        self.loaded = None;
        let source = self.mode.source;
        let engine = self.engine(asked)?;
        let (world, count) = (&asked.world, asked.count);
        let mut values = Vec::new();
        for i in 0..super::NUMBERS {
            values.push(Value { feature: engine.feature(&format!("n{i}"))?, number: number(i), id: 0 });
        }
        let mut handles = Vec::new();
        if source != Source::Tables {
            for (i, ids) in world.request.iter().enumerate() {
                let feature = engine.feature(&format!("r{i}"))?;
                values.extend(vec![Value { feature, ..Value::default() }; ids.values]);
            }
            for i in 0..world.candidate.len() {
                handles.push(engine.feature(&format!("c{i}"))?);
            }
        }
        let (by_values, by_columns) = match source {
            Source::Values => (handles.len(), 0),
            Source::Columns => (0, handles.len()),
            Source::Tables => (0, 0),
        };
        let of_candidate = |i: usize| Candidate {
            first_value: (i * by_values) as u32,
            n_values: by_values as u32,
            ..Candidate::default()
        };
        let candidates: Vec<Candidate> = (0..count).map(of_candidate).collect();
        let values_of = |_| handles[..by_values].iter().map(|&feature| Value { feature, ..Value::default() });
        let candidate_values: Vec<Value> = (0..count).flat_map(values_of).collect();
        let request = Request { time_us: NOW_US, ..Request::default() };
        let mut loaded = Loaded {
            asked: Rc::clone(asked),
            source,
            scorer: engine.scorer(ScorerLimits { max_candidates: count })?,
            calls: 0,
            before: stages(engine)?,
            request: request.counting(&values, &candidates, &candidate_values),
            handles,
            values,
            candidates,
            candidate_values,
            block: vec![0; count * by_columns],
            pctr: vec![f32::NAN; count],
        };
        loaded.prepare(0);
        self.loaded = Some(loaded);
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<f32>, Error> {
        let loaded = self.loaded()?;
        loaded.prepare(0);
        loaded.run()?;
        Ok(loaded.scorer.logits()[0][..loaded.asked.count].to_vec())
    }

    fn time(&mut self, warm: usize, calls: usize, clock: Clock) -> Result<Vec<u64>, Error> {
        let loaded = self.loaded()?;
        for _ in 0..warm {
            loaded.call()?;
        }
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            loaded.prepare(loaded.calls);
            loaded.calls += 1;
            let begin = clock.now();
            loaded.run()?;
            times.push(clock.now() - begin);
        }
        Ok(times)
    }

    fn share_of_inputs(&self) -> Option<f64> {
        let ((_, engine), loaded) = (self.engine.as_ref()?, self.loaded.as_ref()?);
        let now = stages(engine).ok()?;
        let [all, inputs] = [0, 1].map(|i| now[i] - loaded.before[i]);
        (all > 0.0).then(|| inputs / all)
    }
}
