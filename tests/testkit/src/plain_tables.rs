//! Random feature tables for random models: what a model reads of them, the files, and the plain reading of both.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::bundle::{self, Content, MODEL_FILE, Role};
use adclick::builder::model::pack_model;
use adclick::builder::overlay::{Operation, Upsert};
use adclick::builder::schema::{
    Binding, ColumnUse, Enrichment, Feature, KeyPart, Kind, Lookup, Measure, Side, Source, TableUse,
};
use adclick::builder::table::{
    BuildOptions, Cell, Column, ColumnKind, Duplicates, RowLayout, Shard, TableBuilder, TableSpec,
};
use adclick::{Candidate, Engine, Request, Row, Value, shard};

use crate::common::{Bundles, Case, IDS, Random, chance, id};

/// Keys run from 0 (unknown) to these.
pub const USERS: u64 = 6;
pub const PLACEMENTS: u64 = 3;
pub const ADS: u64 = 9;
pub const ADVERTISERS: u64 = 4;
/// What id columns of keys hold: 1 to this.
const CATEGORIES: u64 = 5;

/// What a cell was given, before the file rounds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    Missing,
    Number(f32),
    Vector(Vec<f32>),
    Ids(Vec<u64>),
}

/// A table as a map.
#[derive(Clone, Debug, Default)]
pub struct PlainTable {
    pub name: String,
    pub columns: Vec<Column>,
    pub rows: HashMap<u64, Vec<Plain>>,
    pub default: Vec<Plain>,
    /// How many files it has, and which of them the bundle holds.
    pub shards: u32,
    pub there: Vec<u32>,
    /// All keys that its ids can make, with a row or without.
    pub keys: Vec<u64>,
    /// What was written on top: of each column the cell, or nothing.
    pub written: HashMap<u64, Vec<Option<Plain>>>,
}

impl PlainTable {
    fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|c| c.name == name).unwrap()
    }

    /// The cell of a key's row, and whether it is the default row's.
    fn cell(&self, key: u64, column: &str) -> (&Plain, bool) {
        let at = self.column(column);
        match self.written.get(&key).and_then(|row| row[at].as_ref()) {
            Some(Plain::Missing) => return (&self.default[at], true),
            Some(cell) => return (cell, false),
            None => {}
        }
        let held = self.there.contains(&shard(key, self.shards));
        match self.rows.get(&key).filter(|_| held).map(|row| &row[at]) {
            Some(cell) if *cell != Plain::Missing => (cell, false),
            _ => (&self.default[at], true),
        }
    }
}

/// What a lookup gives: (number, id) each, and whether a default row has to do with it.
pub fn values(
    tables: &[PlainTable],
    enrichment: &Enrichment,
    lookup: &Lookup,
    keys: (&Request, Option<&Candidate>),
) -> (Vec<(f32, u64)>, bool) {
    let cell = |column: &ColumnUse| cell(tables, enrichment, column, keys);
    match lookup {
        Lookup::Column(column) => {
            let (cell, kind, by_default) = cell(column);
            let values = match cell {
                Plain::Missing => vec![],
                Plain::Number(number) => vec![(rounded(kind, number), 0)],
                Plain::Vector(numbers) => match column.position {
                    Some(p) => vec![(rounded(kind, numbers[usize::from(p)]), 0)],
                    None => (0..).zip(numbers).map(|(at, number)| (rounded(kind, number), at)).collect(),
                },
                Plain::Ids(ids) => ids.into_iter().map(|id| (1.0, id)).collect(),
            };
            (values, by_default)
        }
        Lookup::Similarity { left, right, measure } => {
            let ((a, kind, default_a), (b, _, default_b)) = (cell(left), cell(right));
            let (Plain::Vector(a), Plain::Vector(b)) = (a, b) else { return (vec![], true) };
            let [a, b] = [a, b].map(|v| v.into_iter().map(|x| rounded(kind, x)).collect::<Vec<_>>());
            let number = match measure {
                Measure::Dot => dot(&a, &b),
                Measure::Cosine => dot(&a, &b) / (dot(&a, &a).sqrt() * dot(&b, &b).sqrt()),
            };
            if number.is_finite() { (vec![(number, 0)], default_a || default_b) } else { (vec![], true) }
        }
    }
}

/// As docs/format.md orders the sums.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut s = [0.0f32; 8];
    for k in 0..a.len() {
        s[k % 8] += a[k] * b[k];
    }
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

fn rounded(kind: ColumnKind, number: f32) -> f32 {
    if kind == ColumnKind::F32 { number } else { half::f16::from_f32(number).to_f32() }
}

fn cell(
    tables: &[PlainTable],
    enrichment: &Enrichment,
    column: &ColumnUse,
    keys: (&Request, Option<&Candidate>),
) -> (Plain, ColumnKind, bool) {
    let used = &enrichment.tables[column.table as usize];
    let table = tables.iter().find(|t| t.name == used.name).unwrap();
    let candidate = keys.1.copied().unwrap_or_default();
    let ids: Vec<u64> = used
        .key
        .iter()
        .map(|part| match part {
            KeyPart::User => keys.0.user_key,
            KeyPart::Placement => keys.0.placement.into(),
            KeyPart::Ad => candidate.ad_key,
            KeyPart::Advertiser => candidate.advertiser_key,
            KeyPart::Column(column) => match cell(tables, enrichment, column, keys).0 {
                Plain::Ids(ids) => ids[0],
                _ => 0,
            },
        })
        .collect();
    let (cell, by_default) = table.cell(key_of(&ids), &column.column);
    (cell.clone(), table.columns[table.column(&column.column)].kind, by_default)
}

/// The composite key as documented.
fn key_of(ids: &[u64]) -> u64 {
    if ids.contains(&0) {
        return 0;
    }
    let mut key = ids[0];
    for &id in &ids[1..] {
        key = Random(Random(key).next_u64() ^ id).next_u64();
    }
    if key == 0 { 1 } else { key }
}

/// Lets most features that may read tables read some, and makes the tables.
pub fn enrich(random: &mut Random, spec: &mut ModelSpec) -> Vec<PlainTable> {
    let keys: [(&str, Vec<KeyPart>); 8] = {
        let column =
            |table: u32, column: &str| KeyPart::Column(ColumnUse { table, column: column.to_owned(), position: None });
        [
            ("users", vec![KeyPart::User]),
            ("places", vec![KeyPart::Placement]),
            ("countries", vec![column(0, "country")]),
            ("ads", vec![KeyPart::Ad]),
            ("advertisers", vec![KeyPart::Advertiser]),
            ("pairs", vec![KeyPart::User, KeyPart::Advertiser]),
            ("affinities", vec![KeyPart::User, column(3, "category"), column(0, "country")]),
            ("all", vec![KeyPart::Placement, KeyPart::Ad, KeyPart::User, KeyPart::Advertiser]),
        ]
    };
    let mut columns: Vec<Vec<Column>> = keys.iter().map(|_| Vec::new()).collect();
    for (table, name) in [(0, "country"), (3, "category")] {
        let kind = if chance(random, 50) { ColumnKind::U64 { cap: 1 } } else { ColumnKind::U32 { cap: 1 } };
        columns[table].push(Column { name: name.to_owned(), kind });
    }
    let mut bindings = Vec::new();
    for (i, f) in spec.schema.features.iter().enumerate() {
        if f.source == Source::Time || f.position.is_some() || !chance(random, 80) {
            continue;
        }
        let mut add = |random: &mut Random, table: usize, what: &str, kind: ColumnKind, position| {
            let column = format!("{} {what}", f.name);
            let at = random.between(0, columns[table].len());
            columns[table].insert(at, Column { name: column.clone(), kind });
            ColumnUse { table: table as u32, column, position }
        };
        let lookup = if f.source == Source::Dot {
            let dim = random.between(1, 70) as u16;
            let kind = ColumnKind::Vector { dim };
            let (a, b) = (random.between(0, 7), random.between(0, 7));
            let measure = if chance(random, 50) { Measure::Dot } else { Measure::Cosine };
            let (left, right) = (add(random, a, "left", kind, None), add(random, b, "right", kind, None));
            Lookup::Similarity { left, right, measure }
        } else {
            let table = if f.side() == Side::Request { random.between(0, 2) } else { random.between(3, 7) };
            let (kind, position) = column_for(random, f);
            Lookup::Column(add(random, table, "value", kind, position))
        };
        bindings.push(Binding { feature: i as u32, lookup });
    }
    keep_what_is_read(&keys, bindings, columns, random, spec)
}

/// The number of the table that most features read.
pub fn most_read(spec: &ModelSpec) -> usize {
    let columns = || spec.enrichment.bindings.iter().flat_map(|b| b.lookup.columns());
    let reads = |t: &usize| columns().filter(|c| c.table as usize == *t).count();
    (0..spec.enrichment.tables.len()).max_by_key(reads).unwrap()
}

fn column_for(random: &mut Random, f: &Feature) -> (ColumnKind, Option<u16>) {
    let ids = |random: &mut Random, cap: u16| {
        if chance(random, 70) { ColumnKind::U64 { cap } } else { ColumnKind::U32 { cap } }
    };
    match &f.kind {
        Kind::Vector { dim } => (ColumnKind::Vector { dim: *dim as u16 }, None),
        Kind::MultiCategory { .. } => {
            let cap = random.between(1, 5) as u16;
            (ids(random, cap), None)
        }
        Kind::Category { boundaries, .. } if boundaries.is_empty() => (ids(random, 1), None),
        Kind::Number { .. } | Kind::Category { .. } => match random.between(0, 2) {
            0 => (ColumnKind::F32, None),
            1 => (ColumnKind::F16, None),
            _ => {
                let dim = random.between(1, 5);
                (ColumnKind::Vector { dim: dim as u16 }, Some(random.between(0, dim - 1) as u16))
            }
        },
    }
}

/// Numbers the tables that are read and fills them.
fn keep_what_is_read(
    keys: &[(&str, Vec<KeyPart>)],
    mut bindings: Vec<Binding>,
    mut columns: Vec<Vec<Column>>,
    random: &mut Random,
    spec: &mut ModelSpec,
) -> Vec<PlainTable> {
    let mut read: Vec<usize> = bindings.iter().flat_map(|b| b.lookup.columns()).map(|c| c.table as usize).collect();
    for t in read.clone() {
        for part in &keys[t].1 {
            if let KeyPart::Column(column) = part {
                read.push(column.table as usize);
            }
        }
    }
    // In any order: a key may read a column of a table that comes later.
    let mut kept: Vec<usize> = (0..keys.len()).filter(|t| read.contains(t)).collect();
    for i in (1..kept.len()).rev() {
        kept.swap(i, random.between(0, i));
    }
    let renumber = |c: &mut ColumnUse| c.table = kept.iter().position(|&t| t == c.table as usize).unwrap() as u32;
    for binding in &mut bindings {
        match &mut binding.lookup {
            Lookup::Column(column) => renumber(column),
            Lookup::Similarity { left, right, .. } => [left, right].into_iter().for_each(renumber),
        }
    }
    let mut used = Vec::new();
    let mut tables = Vec::new();
    for &t in &kept {
        let (name, mut key) = keys[t].clone();
        let mut ranges = Vec::new();
        for part in &mut key {
            ranges.push(match part {
                KeyPart::User => USERS,
                KeyPart::Ad => ADS,
                KeyPart::Advertiser => ADVERTISERS,
                KeyPart::Placement => PLACEMENTS,
                KeyPart::Column(column) => {
                    renumber(column);
                    CATEGORIES
                }
            });
        }
        used.push(TableUse { name: name.to_owned(), key });
        // There are also columns that no feature reads.
        let mut columns = std::mem::take(&mut columns[t]);
        columns.push(Column { name: "nobody's".to_owned(), kind: ColumnKind::F32 });
        tables.push(fill(random, name, columns, &ranges));
    }
    spec.enrichment = Enrichment { tables: used, bindings };
    spec.enrichment.validate(&spec.schema).unwrap();
    tables
}

fn fill(random: &mut Random, name: &str, columns: Vec<Column>, ranges: &[u64]) -> PlainTable {
    let (mut rows, mut keys) = (HashMap::new(), Vec::new());
    let mut ids = vec![1; ranges.len()];
    'all: loop {
        keys.push(key_of(&ids));
        if chance(random, 75) {
            let row = columns.iter().map(|c| plain(random, c, 70)).collect();
            assert!(rows.insert(key_of(&ids), row).is_none());
        }
        for (id, most) in ids.iter_mut().zip(ranges) {
            *id += 1;
            if *id <= *most {
                continue 'all;
            }
            *id = 1;
        }
        break;
    }
    let default = columns.iter().map(|c| plain(random, c, 40)).collect();
    let shards = [1, 1, 2, 3][random.between(0, 3)];
    // Shards that the bundle does not have; never all.
    let there = (0..shards).filter(|&s| s == 0 || chance(random, 60)).collect();
    PlainTable { name: name.to_owned(), columns, rows, default, shards, there, keys, ..PlainTable::default() }
}

fn plain(random: &mut Random, column: &Column, present: usize) -> Plain {
    if !chance(random, present) {
        return Plain::Missing;
    }
    let number = |random: &mut Random| match random.between(0, 9) {
        0 => 0.0,
        // Boundaries are quarters; so are these.
        1..=3 => random.between(0, 24) as f32 * 0.25 - 3.0,
        _ => random.number() as f32,
    };
    let small = matches!(column.kind, ColumnKind::U32 { .. });
    let one = |random: &mut Random| {
        if ["country", "category"].contains(&column.name.as_str()) {
            return random.next_u64() % (CATEGORIES + 1);
        }
        match random.between(0, 3) {
            0 => random.next_u64() % 12,
            _ if small => random.next_u64() % (1 << 32),
            _ => id(random.next_u64() % IDS),
        }
    };
    match column.kind {
        ColumnKind::F32 | ColumnKind::F16 => Plain::Number(number(random)),
        ColumnKind::Vector { dim } => match random.between(0, 9) {
            0 => Plain::Vector(vec![0.0; dim.into()]),
            _ => Plain::Vector((0..dim).map(|_| number(random)).collect()),
        },
        ColumnKind::U32 { cap } | ColumnKind::U64 { cap } => {
            Plain::Ids((0..random.between(1, cap.into())).map(|_| one(random)).collect())
        }
    }
}

/// Gives a request's keys and its candidates' keys values that tables may have, and drops most values that it passes.
pub fn ask(random: &mut Random, case: &Case) -> Case {
    let mut asked = Case { request: case.request, ..Case::default() };
    asked.request.user_key = random.next_u64() % (USERS + 1);
    asked.request.placement = (random.next_u64() % (PLACEMENTS + 1)) as u32;
    asked.values = case.values.iter().filter(|_| chance(random, 25)).copied().collect();
    asked.request.n_values = asked.values.len() as u32;
    for (i, candidate) in case.candidates.iter().enumerate() {
        let mut candidate = *candidate;
        candidate.ad_key = random.next_u64() % (ADS + 1);
        candidate.advertiser_key = random.next_u64() % (ADVERTISERS + 1);
        let values: Vec<_> = case.values_of(i).iter().filter(|_| chance(random, 25)).copied().collect();
        asked.push(candidate, &values);
    }
    asked
}

/// Writes random rows and columns on top of the tables, in the engine and here.
pub fn write_on_top(random: &mut Random, engine: &Engine, tables: &mut [PlainTable]) -> usize {
    let mut written = 0;
    for table in tables {
        let handle = engine.table(&table.name).unwrap();
        let columns: Vec<u32> = table.columns.iter().map(|c| engine.column(handle, &c.name).unwrap()).collect();
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        let operation = if chance(random, 50) { Operation::Columns } else { Operation::WholeRow };
        for key in table.keys.clone() {
            if !chance(random, 30) {
                continue;
            }
            let first_value = values.len() as u32;
            let on_top = table.written.entry(key).or_insert_with(|| vec![None; columns.len()]);
            for (at, (column, &feature)) in table.columns.iter().zip(&columns).enumerate() {
                let cell = plain(random, column, 50);
                let value = |number: f32, id: u64| Value { feature, number, id };
                match &cell {
                    Plain::Missing if operation == Operation::Columns => continue,
                    Plain::Missing => {}
                    Plain::Number(number) => values.push(value(*number, 0)),
                    Plain::Vector(all) => values.extend((0..).zip(all).map(|(at, number)| value(*number, at))),
                    Plain::Ids(ids) => values.extend(ids.iter().map(|&id| value(0.0, id))),
                }
                on_top[at] = Some(cell);
            }
            rows.push(Row { key, first_value, n_values: values.len() as u32 - first_value });
        }
        written += rows.len();
        let upsert = Upsert { table: handle, operation, time_us: BUILT_US + 1_000_000 };
        engine.upsert(&upsert, &rows, &values).unwrap();
    }
    written
}

/// When all tables were built.
const BUILT_US: i64 = 1_700_000_000_000_000;

fn put(layout: &RowLayout, cells: &[Plain]) -> Vec<u8> {
    let mut row = layout.missing();
    for (column, cell) in cells.iter().enumerate() {
        let cell = match cell {
            Plain::Missing => Cell::Missing,
            Plain::Number(number) => Cell::Number(*number),
            Plain::Vector(numbers) => Cell::Vector(numbers),
            Plain::Ids(ids) => Cell::Ids(ids),
        };
        layout.put(&mut row, column, cell).unwrap();
    }
    row
}

/// The files of a table that the bundle holds, with their names.
pub fn files(table: &PlainTable, directory: &Path) -> Vec<(String, PathBuf)> {
    let layout = RowLayout::new(table.columns.clone()).unwrap();
    let build = |&index: &u32| {
        let shard = Shard { index, count: table.shards };
        let spec = TableSpec {
            name: table.name.clone(),
            columns: table.columns.clone(),
            default: put(&layout, &table.default),
            built_us: BUILT_US,
            fresh_for_s: 0,
            shard,
            provenance: String::new(),
        };
        let options = BuildOptions { duplicates: Duplicates::Refuse, memory: 1 << 20, spill: directory.to_owned() };
        let mut builder = TableBuilder::new(spec, options).unwrap();
        for (&key, row) in &table.rows {
            builder.push(key, &put(&layout, row)).unwrap();
        }
        let name = format!("table.{}.{index}.adc", table.name);
        let path = directory.join(&name);
        builder.finish(&path, &mut |_| {}).unwrap();
        (name, path)
    };
    table.there.iter().map(build).collect()
}

/// A bundle of a model and tables. Returns its generation.
pub fn write(bundles: &Bundles, name: &str, spec: &ModelSpec, tables: &[PlainTable]) -> u64 {
    let model = pack_model(spec).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files: Vec<_> = tables.iter().flat_map(|t| files(t, directory.path())).collect();
    let mut contents = vec![(Role::Model, MODEL_FILE, Content::Bytes(&model))];
    contents.extend(files.iter().map(|(name, path)| (Role::Table, name.as_str(), Content::Copy(path))));
    bundle::write_files(&bundles.path(name), &contents, true).unwrap()
}
