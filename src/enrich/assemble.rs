//! The plan that turns the values of a request and its candidates into rows of the model's input.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::categories::{Category, Found};
use super::direct::Direct;
use super::passed::Passed;
use super::planned::{NO_CELL, Taken};
use super::raw::{Counts, Raw, take, widen, widen_pieces};
use super::rows::{Lookups, TableRows};
use super::table_plan::{Keys, TablePlan};
use super::{TimeInputs, number_input};
use crate::artifact::model::{Model, Piece};
use crate::limits::MAX_CANDIDATE_COLUMNS;
use crate::refusal::Refusal;
use crate::schema::{Feature, Kind, Pooling, Side, Source, TIME_INPUTS};
use crate::types::{Candidate, Request, Value};

/// Embedding rows that are read together.
const PIECES: usize = 32;

/// A range of [`Assembler::targets`].
pub(super) type Targets = (u32, u32);

/// No feature reads the handle.
const NONE: Targets = (0, 0);

/// The compiled plan of one model. Immutable, shared by all scorers.
#[derive(Debug)]
pub struct Assembler {
    /// For each handle, the range of `targets` that it feeds.
    pub(super) by_handle: Vec<Targets>,
    pub(super) targets: Vec<Target>,
    pub(super) request: SideFeatures,
    pub(super) candidate: SideFeatures,
    /// For each feature, its column in the rows of its side; for a time feature, its index in [`TIME_INPUTS`].
    pub(super) columns: Vec<usize>,
    pub(super) time_input: Vec<u8>,
    pub(super) time: TimeInputs,
    pub(super) tables: TablePlan,
    /// For each feature, the handle of its input.
    pub(super) handles: Vec<u32>,
    /// For each feature, how many values of its input were passed on the other side. The first of the features that
    /// read the input holds the count.
    pub(super) wrong_side: Vec<AtomicU64>,
}

/// A feature that a handle's values feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) feature: u32,
    pub(super) side: Side,
    /// Its number among the categories of its side, if it is one.
    pub(super) category: Option<u32>,
}

/// The features of one side.
#[derive(Debug, Default)]
pub(super) struct SideFeatures {
    /// All except the categories.
    pub(super) all: Vec<Item>,
    /// Features read directly when nothing is passed for them, and the others.
    pub(super) direct: Direct,
    pub(super) others: Vec<Item>,
    pub(super) categories: Vec<Category>,
    /// Columns that values add to or write in part: they begin as zeros.
    pub(super) sums: Vec<Range<usize>>,
    /// Multi-valued categories.
    pub(super) pooled: Vec<Item>,
    /// Whether the search for an id of a single category begins in memory.
    pub(super) searches: bool,
    /// Each input once, single categories too: the first feature that reads it, and its cell.
    pub(super) inputs: Vec<(u32, u32)>,
}

/// A feature of one side and the cell that it reads when nothing is passed for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) feature: u32,
    pub(super) cell: u32,
    pub(super) direct: bool,
}

/// One scorer's scratch: the last raw value of each feature, and the places of its rows in tables.
#[derive(Debug)]
pub struct State {
    pub(super) raw: Box<[Raw]>,
    pub(super) row: Box<[f32]>,
    /// Counts of this request; see [`Assembler::wrong_side`].
    pub(super) wrong_side: Box<[u32]>,
    pub(super) any_wrong_side: bool,
    /// The embedding rows of single categories: `[rows of a tile][categories]`.
    pub(super) found: Box<[Found]>,
    /// What each column of this request's candidates feeds.
    pub(super) columns: Box<[Targets]>,
    pub(super) rows: TableRows,
}

/// Where the values of one side go.
struct Fed<'a> {
    raw: &'a mut [Raw],
    sum: &'a mut [f32],
    found: &'a mut [Found],
    wrong_side: &'a mut [u32],
    any_wrong_side: &'a mut bool,
    x: &'a mut [f32],
    counts: Counts,
}

impl State {
    /// Room for models of up to `features` features and embedding rows of up to `width` columns, and for the rows of
    /// tables. Candidates are found one by one.
    #[must_use]
    pub fn new(features: usize, width: usize, rows: TableRows) -> Self {
        Self::of_tiles(features, width, rows, 1)
    }

    /// The same for tiles of so many candidates, whose rows are found before the first is read.
    pub(crate) fn of_tiles(features: usize, width: usize, rows: TableRows, tile: usize) -> Self {
        Self {
            raw: vec![Raw::default(); features].into(),
            row: vec![0.0; width].into(),
            wrong_side: vec![0; features].into(),
            any_wrong_side: false,
            found: vec![Found::UNSEEN; features * tile].into(),
            columns: vec![NONE; MAX_CANDIDATE_COLUMNS].into(),
            rows,
        }
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let Self { raw, row, wrong_side, found, columns, rows, .. } = self;
        let own = size_of_val(&**raw) + size_of_val(&**row) + size_of_val(&**wrong_side) + size_of_val(&**found);
        own + size_of_val(&**columns) + rows.bytes()
    }

    /// The results of the last request's key lookups, for each table of its model.
    pub(crate) fn lookups(&self) -> &[Lookups] {
        self.rows.lookups()
    }
}

impl Assembler {
    /// Compiles the plan of the model. `tables` are those compiled for it, or none, so that only passed values count.
    /// `handle` gives the handle of each feature's input.
    #[must_use]
    pub fn new(model: &Model, tables: TablePlan, handle: impl Fn(usize, &Feature) -> u32) -> Self {
        let schema = model.schema();
        let handles: Vec<u32> = schema.features.iter().enumerate().map(|(i, f)| handle(i, f)).collect();
        let features = schema.features.iter().enumerate();
        let mut pairs: Vec<(u32, u32)> =
            features.filter(|(_, f)| f.is_passed()).map(|(i, _)| (handles[i], i as u32)).collect();
        pairs.sort_unstable();
        let mut by_handle = vec![NONE; pairs.last().map_or(0, |p| p.0 as usize + 1)];
        for (at, (handle, _)) in pairs.iter().enumerate() {
            let range = &mut by_handle[*handle as usize];
            *range = if *range == NONE { (at as u32, at as u32 + 1) } else { (range.0, at as u32 + 1) };
        }
        let layout = model.layout();
        let first_column = |side| if side == Side::Request { 0 } else { layout.request_width };
        let places = schema.features.iter().zip(&layout.columns);
        let columns: Vec<usize> = places.map(|(f, c)| c.serving - first_column(f.side())).collect();
        let on = |side| {
            let mut own = SideFeatures::default();
            for (i, f) in schema.features.iter().enumerate().filter(|(_, f)| f.side() == side) {
                if !own.inputs.iter().any(|&(feature, _)| handles[feature as usize] == handles[i]) {
                    own.inputs.push((i as u32, tables.cell_of(i)));
                }
                if let Some(category) = Category::new(model, &tables, i, f, columns[i]) {
                    own.searches |= category.searches(model);
                    own.categories.push(category);
                    continue;
                }
                let direct = own.direct.add(&tables, i, f, columns[i]);
                let item = Item { feature: i as u32, cell: tables.cell_of(i), direct };
                own.all.push(item);
                if !direct {
                    own.others.push(item);
                }
                let multi = matches!(f.kind, Kind::MultiCategory { .. });
                if multi {
                    own.pooled.push(item);
                }
                if multi || matches!(f.kind, Kind::Vector { .. }) {
                    own.sums.push(columns[i]..columns[i] + f.width(&schema.embeddings));
                }
            }
            own
        };
        let (request, candidate) = (on(Side::Request), on(Side::Candidate));
        let target = |&(_, feature): &(u32, u32)| {
            let side = schema.features[feature as usize].side();
            let own = if side == Side::Request { &request } else { &candidate };
            let category = own.categories.iter().position(|category| category.feature == feature);
            Target { feature, side, category: category.map(|at| at as u32) }
        };
        let time_input = |f: &Feature| TIME_INPUTS.iter().position(|t| *t == f.input).unwrap_or(0) as u8;
        Self {
            by_handle,
            targets: pairs.iter().map(target).collect(),
            request,
            candidate,
            columns,
            time_input: schema.features.iter().map(time_input).collect(),
            time: TimeInputs::default(),
            tables,
            wrong_side: handles.iter().map(|_| AtomicU64::new(0)).collect(),
            handles,
        }
    }

    /// The handle of a feature's input.
    #[must_use]
    pub fn handle(&self, feature: usize) -> u32 {
        self.handles[feature]
    }

    /// How many values of a feature's input requests have passed on the other side so far. The first of several
    /// features that read one input holds the count.
    #[must_use]
    pub fn wrong_side(&self, feature: usize) -> u64 {
        self.wrong_side[feature].load(Ordering::Relaxed)
    }

    /// Adds the values that a request passed on the wrong side to the counts.
    pub(crate) fn count_wrong_side(&self, state: &State) {
        if state.any_wrong_side {
            for (count, &n) in self.wrong_side.iter().zip(&state.wrong_side).filter(|(_, n)| **n > 0) {
                count.fetch_add(n.into(), Ordering::Relaxed);
            }
        }
    }

    /// The features that a handle's values feed.
    #[inline]
    pub(super) fn fed_by(&self, handle: u32) -> &[Target] {
        self.targets(self.places(handle))
    }

    /// Where they stand.
    #[inline]
    pub(super) fn places(&self, handle: u32) -> Targets {
        self.by_handle.get(handle as usize).copied().unwrap_or(NONE)
    }

    #[inline]
    pub(super) fn targets(&self, (first, end): Targets) -> &[Target] {
        &self.targets[first as usize..end as usize]
    }

    /// The model's reads from tables.
    #[must_use]
    pub fn tables(&self) -> &TablePlan {
        &self.tables
    }

    /// Finds the rows of a request and of its candidates, each table's in one batch. Call it before
    /// [`Assembler::request`]. The state must have room for all candidates. Does nothing for a model that reads no
    /// table.
    pub fn find(&self, state: &mut State, request: &Request, candidates: &[Candidate]) {
        if self.tables.is_empty() {
            return;
        }
        let of_request = Keys { user: request.user_key, placement: request.placement.into(), ..Keys::default() };
        self.tables.find(&mut state.rows, request.time_us, candidates.len(), |i| match candidates.get(i) {
            Some(c) => Keys { ad: c.ad_key, advertiser: c.advertiser_key, ..of_request },
            None => of_request,
        });
    }

    /// Writes the request's columns `x` (`[request_width]`) and adds the request's wide weights to `wide` (`[heads]`).
    ///
    /// # Errors
    /// `NotFinite` when a number is NaN or infinite.
    pub fn request(
        &self,
        model: &Model,
        state: &mut State,
        (time_us, utc_offset_s): (i64, i32),
        values: &[Value],
        x: &mut [f32],
        wide: &mut [f32],
    ) -> Result<Counts, Refusal> {
        if std::mem::take(&mut state.any_wrong_side) {
            state.wrong_side.fill(0);
        }
        self.look_ahead_of_request(model, state, values);
        let mut counts = self.collect(model, state, Side::Request, 0, Passed::new(0, values, 0), x)?;
        let time = self.time.at(time_us, utc_offset_s);
        for item in &self.request.all {
            let i = item.feature as usize;
            if model.schema().features[i].source == Source::Time {
                let number = time[usize::from(self.time_input[i])];
                state.raw[i] = Raw::one(number, number as u64);
            }
        }
        for (category, found) in self.request.categories.iter().zip(&mut state.found) {
            let i = category.feature as usize;
            if model.schema().features[i].source == Source::Time {
                let number = time[usize::from(self.time_input[i])];
                *found = category.find(model, (number, number as u64));
                state.raw[i] = Raw::one(number, number as u64);
            }
        }
        self.finish(model, state, &self.request, (0, 0, true), x, wide, &mut counts);
        self.read(model, state, &self.request, 0, x, wide, widen_pieces);
        Ok(counts)
    }

    /// Writes one candidate's columns `x` (`[width - request_width]`) and adds its wide weights to `wide`.
    ///
    /// # Errors
    /// `NotFinite` when a number is NaN or infinite.
    pub fn candidate(
        &self,
        model: &Model,
        state: &mut State,
        passed: Passed<'_>,
        x: &mut [f32],
        wide: &mut [f32],
    ) -> Result<Counts, Refusal> {
        let counts = self.find_embedded(model, state, 0, passed, x, wide)?;
        self.read_embedded(model, state, 0, x, wide, widen_pieces);
        Ok(counts)
    }

    /// The first half of [`Assembler::candidate`] for a row of a tile: writes the columns of all features except single
    /// categories, finds the embedding rows of these and prefetches them. What it counts includes them.
    ///
    /// # Errors
    /// As [`Assembler::candidate`].
    #[inline]
    pub(crate) fn find_embedded(
        &self,
        model: &Model,
        state: &mut State,
        row: usize,
        passed: Passed<'_>,
        x: &mut [f32],
        wide: &mut [f32],
    ) -> Result<Counts, Refusal> {
        let (candidate, any) = (passed.candidate, !passed.is_empty());
        let counts = self.collect(model, state, Side::Candidate, row, passed, x);
        let mut counts = counts?;
        self.tables.select(&mut state.rows, candidate);
        self.finish(model, state, &self.candidate, (row, candidate, any), x, wide, &mut counts);
        Ok(counts)
    }

    /// The second half: writes the columns of single categories, from the embedding rows that were found for this row of
    /// the tile. `widen` writes rows of the section `embedding` into `x`.
    #[inline]
    pub(crate) fn read_embedded(
        &self,
        model: &Model,
        state: &State,
        row: usize,
        x: &mut [f32],
        wide: &mut [f32],
        widen: impl Fn(&[u16], &[Piece], &mut [f32]),
    ) {
        self.read(model, state, &self.candidate, row, x, wide, widen);
    }

    /// The embedding row of a category that was found for this row of the tile, if there is one.
    #[inline]
    pub(crate) fn found(&self, state: &State, row: usize, category: usize) -> Option<u32> {
        state.found[row * self.candidate.categories.len() + category].row()
    }

    /// The columns of an embedding row.
    pub(crate) fn embedding(model: &Model, embedding: u32, row: u32, x: &mut [f32]) {
        widen(model.embedding_row(embedding, row), x);
    }

    pub(super) fn side(&self, side: Side) -> &SideFeatures {
        match side {
            Side::Request => &self.request,
            Side::Candidate => &self.candidate,
        }
    }

    /// First pass: every value to the features that read it, those of columns first. Vectors and multi-valued rows are summed
    /// at once; the row of a category is found.
    #[inline(always)]
    fn collect(
        &self,
        model: &Model,
        state: &mut State,
        side: Side,
        row: usize,
        passed: Passed<'_>,
        x: &mut [f32],
    ) -> Result<Counts, Refusal> {
        let own = self.side(side);
        let State { raw, row: sum, found, wrong_side, any_wrong_side, columns, .. } = state;
        let found = &mut found[row * own.categories.len()..][..own.categories.len()];
        found.fill(Found::UNSEEN);
        for columns in &own.sums {
            x[columns.clone()].fill(0.0);
        }
        if passed.is_empty() {
            // A candidate without values does not look at `raw`; a request does.
            if side == Side::Request {
                own.all.iter().for_each(|item| raw[item.feature as usize] = Raw::default());
                own.categories.iter().for_each(|category| raw[category.feature as usize].seen = 0);
            }
            return Ok(Counts::default());
        }
        for item in &own.all {
            raw[item.feature as usize] = Raw::default();
        }
        for category in &own.categories {
            raw[category.feature as usize].seen = 0;
        }
        let mut to = Fed { raw, sum, found, wrong_side, any_wrong_side, x, counts: Counts::default() };
        for (column, value) in passed.cells.ids() {
            self.feed(model, side, self.targets(columns[column]), (value.number, value.id), &mut to);
        }
        for (column, value) in passed.cells.numbers() {
            if !value.number.is_finite() {
                return Err(passed.cells.not_finite(column));
            }
            self.feed(model, side, self.targets(columns[column]), (value.number, value.id), &mut to);
        }
        for (at, value) in passed.values.iter().enumerate() {
            if !value.number.is_finite() {
                let what = if side == Side::Request { "values" } else { "candidate_values" };
                return Err(Refusal::NotFinite { what, index: passed.first_value + at });
            }
            self.feed(model, side, self.fed_by(value.feature), (value.number, value.id), &mut to);
        }
        Ok(to.counts)
    }

    /// One value to the features of a side among those that read it.
    #[inline(always)]
    fn feed(&self, model: &Model, side: Side, targets: &[Target], value: (f32, u64), to: &mut Fed<'_>) {
        let mut used = false;
        for target in targets {
            if target.side != side {
                continue;
            }
            used = true;
            let i = target.feature as usize;
            if let Some(at) = target.category {
                to.found[at as usize] = self.side(side).categories[at as usize].find(model, value);
                to.raw[i] = Raw::one(value.0, value.1);
                continue;
            }
            let (kind, column) = (&model.schema().features[i].kind, self.columns[i]);
            take(model, kind, value, &mut to.raw[i], to.sum, (to.x, column), &mut to.counts);
        }
        if !used {
            to.counts.ignored += 1;
            if let Some(target) = targets.first() {
                to.counts.wrong_side += 1;
                *to.any_wrong_side = true;
                let count = &mut to.wrong_side[target.feature as usize];
                *count = count.saturating_add(1);
            }
        }
    }

    /// The values of a feature's cell, and whether a default was used for them. Not inlined: a request that carries its
    /// values should not pay for the code.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "private, and each is needed")]
    fn read_cell(
        &self,
        model: &Model,
        state: &mut State,
        item: Item,
        candidate: usize,
        x: &mut [f32],
        column: usize,
        counts: &mut Counts,
    ) -> (Raw, bool) {
        let kind = &model.schema().features[item.feature as usize].kind;
        let State { row, rows, .. } = state;
        let mut raw = Raw::default();
        let taken = self.tables.read(item.cell, rows, candidate, |number, id| {
            take(model, kind, (number, id), &mut raw, row, (x, column), counts);
        });
        (raw, taken != Taken::Own)
    }

    /// Second pass: each feature uses its own value, or the values of its cell when nothing was passed. Without
    /// `passed`, no feature has a passed value and the first pass was skipped.
    #[expect(clippy::too_many_arguments, reason = "private, and each is needed")]
    fn finish(
        &self,
        model: &Model,
        state: &mut State,
        own: &SideFeatures,
        (row, candidate, passed): (usize, usize, bool),
        x: &mut [f32],
        wide: &mut [f32],
        counts: &mut Counts,
    ) {
        let from = (&self.tables, &state.rows);
        let items = if passed {
            own.direct.read(from, candidate, |feature| state.raw[feature as usize].seen > 0, x, counts);
            &own.all
        } else {
            own.direct.read(from, candidate, |_| false, x, counts);
            &own.others
        };
        let found = &mut state.found[row * own.categories.len()..][..own.categories.len()];
        let values = model.embedding_values();
        for (category, found) in own.categories.iter().zip(found) {
            if *found == Found::UNSEEN {
                *found = category.not_passed(model, from, candidate);
            }
            counts.missing += found.is_missing();
            category.prefetch(model, values, *found);
        }
        for item in items {
            let feature = &model.schema().features[item.feature as usize];
            let mut raw = match feature.position {
                // Served with the position that the schema fixes; the value passed is ignored.
                Some(p) => Raw::one(p, p as u64),
                None if passed => state.raw[item.feature as usize],
                None => Raw::default(),
            };
            let column = self.columns[item.feature as usize];
            let mut by_default = false;
            if raw.seen == 0 && item.direct {
                continue;
            }
            if raw.seen == 0 && item.cell != NO_CELL {
                (raw, by_default) = self.read_cell(model, state, *item, candidate, x, column, counts);
            }
            let given = (raw.seen > 0).then_some((raw.number, raw.id));
            match &feature.kind {
                Kind::Number { .. } => {
                    counts.missing += u32::from(given.is_none() || by_default);
                    x[column] = number_input(&feature.kind, given.map(|g| g.0));
                }
                Kind::Category { .. } => unreachable!("categories have a list of their own"),
                Kind::MultiCategory { embedding, pooling } => {
                    counts.missing += u32::from(by_default);
                    let scale = match pooling {
                        Pooling::Mean if raw.seen > 1 => 1.0 / raw.seen as f32,
                        Pooling::Mean | Pooling::Sum => 1.0,
                    };
                    let dim = model.schema().embeddings[*embedding as usize].dim as usize;
                    if scale != 1.0 {
                        x[column..column + dim].iter_mut().for_each(|v| *v *= scale);
                    }
                    for (sum, w) in wide.iter_mut().zip(raw.wide) {
                        *sum += scale * w;
                    }
                }
                Kind::Vector { .. } => counts.missing += u32::from(given.is_none() || by_default),
            }
        }
    }

    /// Writes the columns of single categories.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "private, and each is needed")]
    fn read(
        &self,
        model: &Model,
        state: &State,
        own: &SideFeatures,
        row: usize,
        x: &mut [f32],
        wide: &mut [f32],
        widen: impl Fn(&[u16], &[Piece], &mut [f32]),
    ) {
        let found = &state.found[row * own.categories.len()..];
        for (categories, found) in own.categories.chunks(PIECES).zip(found.chunks(PIECES)) {
            let mut pieces = [Piece::default(); PIECES];
            let mut count = 0;
            for (category, &found) in categories.iter().zip(found) {
                match category.read(model, found, wide) {
                    Some(piece) => {
                        pieces[count] = piece;
                        count += 1;
                    }
                    None => x[category.columns()].fill(0.0),
                }
            }
            widen(model.embedding_values(), &pieces[..count], x);
        }
    }
}
