//! What a request becomes, implemented a second time: plainly, from the documentation.

use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::schema::{Embedding, Feature, Index, Kind, Pooling, Side, Source};
use adclick::{Engine, Value};

use testkit::common::{Case, Random};
use testkit::plain_tables::{self, PlainTable};

/// The reading of the documentation, feature by feature, in declared order; slow and obvious.
pub(crate) struct Plain<'a> {
    spec: &'a ModelSpec,
    engine: &'a Engine,
    tables: &'a [PlainTable],
}

/// One side's columns in declared order (others left out), its wide sums, and what it counted.
#[derive(Default)]
struct Made {
    x: Vec<f32>,
    wide: Vec<f64>,
    missing: u32,
}

impl<'a> Plain<'a> {
    pub(crate) fn new(spec: &'a ModelSpec, engine: &'a Engine) -> Self {
        Self { spec, engine, tables: &[] }
    }

    pub(crate) fn with_tables(self, tables: &'a [PlainTable]) -> Self {
        Self { tables, ..self }
    }

    /// `candidate` says whose keys count on the candidate's side.
    fn side(&self, case: &Case, side: Side, candidate: usize, values: &[Value]) -> Made {
        let mut made = Made { wide: vec![0.0; self.spec.network.heads.len()], ..Made::default() };
        let features = || self.spec.schema.features.iter().filter(|f| f.side() == side);
        made.missing += values.iter().filter(|v| !features().any(|f| self.reads(f, v))).count() as u32;
        for (i, f) in self.spec.schema.features.iter().enumerate().filter(|(_, f)| f.side() == side) {
            let (own, by_default, unread) = self.own(case, (i, f), candidate, values);
            made.missing += unread;
            self.feature(f, &own, by_default, &mut made);
        }
        made
    }

    /// The values of a feature, passed or of its table; whether a default row gave them, and how many were not read.
    fn own(
        &self,
        case: &Case,
        (i, f): (usize, &Feature),
        candidate: usize,
        values: &[Value],
    ) -> (Vec<(f32, u64)>, bool, u32) {
        let mut unread = 0;
        let mut own: Vec<(f32, u64)> = values.iter().filter(|v| self.reads(f, v)).map(|v| (v.number, v.id)).collect();
        if f.source == Source::Time {
            let number = time_input(&f.input, case.request.time_us, case.request.utc_offset_s);
            own = vec![(number, number as u64)];
        }
        if let Some(p) = f.position {
            own = vec![(p, p as u64)];
        }
        let mut by_default = false;
        let passed = own.iter().any(|v| !matches!(f.kind, Kind::Vector { dim } if v.1 >= dim.into()));
        let binding = self.spec.enrichment.bindings.iter().find(|b| b.feature as usize == i);
        if let (false, Some(binding)) = (passed, binding) {
            // Positions that a vector does not have are counted, and then the table is asked.
            unread = own.len() as u32;
            let keys = (&case.request, case.candidates.get(candidate));
            (own, by_default) = plain_tables::values(self.tables, &self.spec.enrichment, &binding.lookup, keys);
            by_default |= own.is_empty();
        }
        (own, by_default, unread)
    }

    fn reads(&self, f: &Feature, v: &Value) -> bool {
        f.source != Source::Time && f.position.is_none() && self.engine.feature(&f.input).unwrap() == v.feature
    }

    /// The id of a category: of the value that counts, or the default.
    fn id(own: &[(f32, u64)], boundaries: &[f32], default: Option<u64>) -> Option<u64> {
        match own.last() {
            Some((number, _)) if !boundaries.is_empty() => {
                Some(boundaries.iter().filter(|b| *b <= number).count() as u64)
            }
            Some((_, id)) => Some(*id),
            None => default,
        }
    }

    /// The id that the category of this name has for a candidate.
    pub(crate) fn category(&self, case: &Case, name: &str, candidate: usize) -> Option<u64> {
        let (i, f) = self.spec.schema.features.iter().enumerate().find(|(_, f)| f.name == name).unwrap();
        let Kind::Category { boundaries, default, .. } = &f.kind else { panic!("{name} is no category") };
        let values = if f.side() == Side::Request { &case.values } else { case.values_of(candidate) };
        Self::id(&self.own(case, (i, f), candidate, values).0, boundaries, *default)
    }

    fn feature(&self, f: &Feature, own: &[(f32, u64)], by_default: bool, made: &mut Made) {
        match &f.kind {
            Kind::Number { transform, default } => {
                made.missing += u32::from(own.is_empty() || by_default);
                let mut x = own.last().map_or(*default, |v| v.0);
                if x < transform.clip.0 {
                    x = transform.clip.0;
                }
                if x > transform.clip.1 {
                    x = transform.clip.1;
                }
                if transform.log1p {
                    x = if x < 0.0 { -libm::log1pf(-x) } else { libm::log1pf(x) };
                }
                made.x.push((x - transform.mean) / transform.scale);
            }
            Kind::Category { embedding, boundaries, default } => {
                let e = &self.spec.schema.embeddings[*embedding as usize];
                let id = Self::id(own, boundaries, *default);
                let (row, known) = match id {
                    Some(id) => self.row(*embedding, id),
                    None => (e.missing_row.then_some(usize::from(e.unknown_row)), true),
                };
                made.missing += u32::from(own.is_empty() || !known || by_default);
                self.pool(*embedding, &[(row, 1.0)], 1.0, made);
            }
            Kind::MultiCategory { embedding, pooling } => {
                made.missing += u32::from(by_default);
                let rows: Vec<_> = own
                    .iter()
                    .map(|&(weight, id)| {
                        let (row, known) = self.row(*embedding, id);
                        made.missing += u32::from(!known);
                        (row, if weight == 0.0 { 1.0 } else { weight })
                    })
                    .collect();
                let share = match pooling {
                    Pooling::Mean if !rows.is_empty() => 1.0 / rows.len() as f32,
                    Pooling::Mean | Pooling::Sum => 1.0,
                };
                self.pool(*embedding, &rows, share, made);
            }
            Kind::Vector { dim } => {
                let mut x = vec![0.0; *dim as usize];
                let mut any = false;
                for &(number, at) in own {
                    match x.get_mut(at as usize) {
                        Some(x) => (*x, any) = (number, true),
                        None => made.missing += 1,
                    }
                }
                made.missing += u32::from(!any || by_default);
                made.x.extend(x);
            }
        }
    }

    /// The row of an id, and whether the index knows it.
    fn row(&self, embedding: u32, id: u64) -> (Option<usize>, bool) {
        let e: &Embedding = &self.spec.schema.embeddings[embedding as usize];
        let first = usize::from(e.unknown_row) + usize::from(e.missing_row);
        let known = match e.index {
            Index::Identity { count } => (id < u64::from(count)).then_some(id as usize),
            Index::Hashed { buckets } => {
                Some(((u128::from(Random(id).next_u64()) * u128::from(buckets)) >> 64) as usize)
            }
            Index::Vocabulary { .. } => {
                self.spec.embeddings[embedding as usize].vocabulary.iter().position(|&known| known == id)
            }
        };
        match known {
            Some(row) => (Some(first + row), true),
            None => (e.unknown_row.then_some(0), false),
        }
    }

    fn pool(&self, embedding: u32, rows: &[(Option<usize>, f32)], share: f32, made: &mut Made) {
        let e = &self.spec.schema.embeddings[embedding as usize];
        let (table, dim, heads) = (&self.spec.embeddings[embedding as usize], e.dim as usize, made.wide.len());
        for column in 0..dim {
            let mut sum = 0.0f32;
            for &(row, weight) in rows {
                if let Some(row) = row {
                    sum += weight * stored(table.rows[row * dim + column]);
                }
            }
            made.x.push(sum * share);
        }
        if e.wide {
            for &(row, weight) in rows {
                if let Some(row) = row {
                    for (head, wide) in made.wide.iter_mut().enumerate() {
                        *wide +=
                            f64::from(share) * f64::from(weight) * f64::from(stored(table.wide[row * heads + head]));
                    }
                }
            }
        }
    }

    /// Request and candidate together: x in declared order, and x in the order of the file.
    pub(crate) fn candidate(&self, case: &Case, candidate: usize) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
        let request = self.side(case, Side::Request, 0, &case.values);
        let own = self.side(case, Side::Candidate, candidate, case.values_of(candidate));
        let (mut r, mut c) = (request.x.iter(), own.x.iter());
        let mut declared = Vec::new();
        for f in &self.spec.schema.features {
            let from = if f.side() == Side::Request { &mut r } else { &mut c };
            declared.extend(from.by_ref().take(f.width(&self.spec.schema.embeddings)));
        }
        let wide = request.wide.iter().zip(&own.wide).map(|(a, b)| a + b).collect();
        (declared, [request.x, own.x].concat(), wide)
    }

    pub(crate) fn missing(&self, case: &Case) -> u32 {
        let own = |c| self.side(case, Side::Candidate, c, case.values_of(c)).missing;
        self.side(case, Side::Request, 0, &case.values).missing + (0..case.n()).map(own).sum::<u32>()
    }
}

/// As the file holds it.
pub(crate) fn stored(value: f32) -> f32 {
    half::f16::from_f64(f64::from(value)).to_f32()
}

/// By the calendar: counts days from a Monday, 2001-01-01.
pub(crate) fn time_input(name: &str, time_us: i64, utc_offset_s: i32) -> f32 {
    const MONDAY: i128 = 978_307_200;
    let mut since = i128::from(time_us) + (i128::from(utc_offset_s) - MONDAY) * 1_000_000;
    let week = 7 * 86_400 * 1_000_000i128;
    since = ((since % week) + week) % week;
    let weekday = (since / (86_400 * 1_000_000)) as usize;
    let hour = (since / (3600 * 1_000_000)) as usize % 24;
    let turn = |share: f64| (share * std::f64::consts::TAU).sin_cos();
    let (hour_cycle, weekday_cycle) = (turn(hour as f64 / 24.0), turn(weekday as f64 / 7.0));
    match name {
        "hour" => hour as f32,
        "weekday" => weekday as f32,
        "weekend" => f32::from(u8::from(weekday == 5 || weekday == 6)),
        "hour_sin" => hour_cycle.0 as f32,
        "hour_cos" => hour_cycle.1 as f32,
        "weekday_sin" => weekday_cycle.0 as f32,
        "weekday_cos" => weekday_cycle.1 as f32,
        other => panic!("{other} is no time input"),
    }
}
