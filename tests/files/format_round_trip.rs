//! Random models, written and opened: every accessor gives back what the spec said, rounded to fp16 where the file
//! stores fp16. Weights that the file cannot hold are refused by name and place.

use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::network::{Cross, Dense, LANES, Panels, Params};
use adclick::builder::artifact::model::spec::{
    CrossSpec, DenseSpec, EmbeddingSpec, GoldenRequest, GoldenValue, Matrix, ModelSpec, Structure,
};
use adclick::builder::artifact::model::{Model, write};
use adclick::builder::hash::bucket;
use adclick::builder::model::pack_model;
use adclick::builder::schema::{Enrichment, Index, Kind, Source};
use half::f16;
use proptest::prelude::*;

use crate::sample::{self, Crossing, Shape};

fn shapes() -> impl Strategy<Value = Shape> {
    let crossing = prop_oneof![
        Just(Crossing::Full),
        (1usize..20).prop_map(Crossing::LowRank),
        Just(Crossing::Vector),
        (1usize..5, 1usize..6).prop_map(|(experts, rank)| Crossing::Mixture(experts, rank)),
    ];
    let widths = |most| prop::collection::vec(1usize..40, 0..most);
    (
        (0usize..6, 1usize..14, prop::bool::ANY, prop::bool::ANY),
        prop::collection::vec(crossing, 0..4),
        widths(4),
        prop::collection::vec(widths(3), 1..3),
        (0usize..4, 0usize..3, any::<u64>()),
    )
        .prop_map(|((embeddings, features, stacked, tables), cross, deep, heads, (goldens, histograms, seed))| {
            let structure = if stacked { Structure::Stacked } else { Structure::Parallel };
            Shape { embeddings, features, structure, cross, deep, heads, tables, goldens, histograms, seed }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_written_model_reads_back(shape in shapes()) {
        let (spec, expected) = sample::model(&shape);
        let bytes = write(&spec, &expected).unwrap();
        prop_assert_eq!(&bytes, &write(&spec.clone(), &expected).unwrap(), "the same spec, the same bytes");
        let model = Model::open(Bytes::copy_of(&bytes).unwrap()).unwrap();
        prop_assert_eq!(model.schema(), &spec.schema);
        prop_assert_eq!(model.enrichment(), &spec.enrichment);
        prop_assert_eq!(model.sections().iter().any(|s| s.name == "enrichment"), !spec.enrichment.is_empty());
        prop_assert_eq!(model.provenance(), &spec.provenance);
        prop_assert_eq!(model.histograms(), &spec.histograms[..]);
        check_goldens(&model, &spec, &expected);
        check_tables(&model, &spec);
        check_network(&model, &spec);
    }
}

fn check_goldens(model: &Model, spec: &ModelSpec, expected: &[f64]) {
    let heads = spec.network.heads.len();
    assert_eq!(model.goldens().len(), spec.goldens.len());
    for (i, golden) in model.goldens().iter().enumerate() {
        assert_eq!(golden.request, spec.goldens[i]);
        assert_eq!(golden.expected, expected[i * heads..(i + 1) * heads]);
    }
}

fn check_tables(model: &Model, spec: &ModelSpec) {
    assert_eq!(model.has_wide(), spec.schema.embeddings.iter().any(|e| e.wide));
    let heads = spec.network.heads.len();
    for (n, (e, given)) in (0u32..).zip(spec.schema.embeddings.iter().zip(&spec.embeddings)) {
        for row in 0..e.rows() as u32 {
            let (at, dim) = (row as usize, e.dim as usize);
            assert_eq!(model.embedding_row(n, row), halves(&given.rows[at * dim..(at + 1) * dim]));
            let wide = if e.wide { &given.wide[at * heads..(at + 1) * heads] } else { &[] };
            assert_eq!(model.wide_row(n, row), halves(wide));
        }
        assert_eq!(model.vocabulary(n), given.vocabulary);
        let first = u32::from(e.unknown_row) + u32::from(e.missing_row);
        let unknown = (e.unknown_row.then_some(0), false);
        match e.index {
            Index::Vocabulary { .. } => {
                for (row, &id) in (first..).zip(&given.vocabulary) {
                    assert_eq!(model.row(n, id), (Some(row), true));
                }
                for id in (0..100).map(|i| i * 3 + 1).chain([u64::MAX]).filter(|id| !given.vocabulary.contains(id)) {
                    assert_eq!(model.row(n, id), unknown);
                }
            }
            Index::Identity { count } => {
                assert_eq!(model.row(n, 0), (Some(first), true));
                assert_eq!(model.row(n, u64::from(count) - 1), (Some(first + count - 1), true));
                assert_eq!(model.row(n, count.into()), unknown);
                assert_eq!(model.row(n, u64::MAX), unknown);
            }
            Index::Hashed { buckets } => {
                for id in [0, 1, u64::MAX] {
                    assert_eq!(model.row(n, id), (Some(first + bucket(id, buckets)), true));
                }
            }
        }
    }
}

fn halves(values: &[f32]) -> Vec<u16> {
    values.iter().map(|&v| f16::from_f32(v).to_bits()).collect()
}

fn check_network(model: &Model, spec: &ModelSpec) {
    let network = model.network();
    let columns = serving_columns(spec);
    let straight: Vec<usize> = (0..1 << 10).collect();
    assert_eq!(network.structure, spec.network.structure);
    assert_eq!(network.width, columns.len());
    assert_eq!(network.cross.len(), spec.network.cross.len());
    for (from, to) in spec.network.cross.iter().zip(&network.cross) {
        match (from, to) {
            (CrossSpec::Full { weight, bias }, Cross::Full { weight: w, bias: b }) => {
                check_matrix(model, weight, *w, &columns, &columns);
                check_vector(model, bias, *b, &columns);
            }
            (CrossSpec::LowRank { v, u, bias }, Cross::LowRank { v: to_v, u: to_u, bias: b }) => {
                check_matrix(model, v, *to_v, &straight, &columns);
                check_matrix(model, u, *to_u, &columns, &straight);
                check_vector(model, bias, *b, &columns);
            }
            (CrossSpec::Vector { weight, bias }, Cross::Vector { weight: w, bias: b }) => {
                check_vector(model, weight, *w, &columns);
                check_vector(model, bias, *b, &columns);
            }
            (CrossSpec::Mixture { experts, gate, bias }, Cross::Mixture { rank, gate: g, v, c, u, bias: b, .. }) => {
                check_matrix(model, gate, *g, &straight, &columns);
                for (e, expert) in experts.iter().enumerate() {
                    let mine: Vec<usize> = (e * rank..(e + 1) * rank).collect();
                    check_matrix(model, &expert.v, *v, &mine, &columns);
                    check_matrix(model, &expert.c, c[e], &straight, &straight);
                    check_matrix(model, &expert.u, *u, &columns, &mine);
                }
                check_vector(model, bias, *b, &columns);
            }
            other => panic!("another kind of layer came back: {other:?}"),
        }
    }
    let deep_inputs = &columns;
    check_chain(model, &spec.network.deep, &network.deep, deep_inputs);
    // The trunk: x_L padded to 16, then the deep part padded to 16.
    let reads_cross =
        network.deep.is_empty() || (network.structure == Structure::Parallel && !network.cross.is_empty());
    let mut trunk = if reads_cross { columns.clone() } else { vec![] };
    let deep_start = trunk.len().next_multiple_of(16);
    trunk.extend((0..spec.network.deep.last().map_or(0, |d| d.weight.rows)).map(|i| deep_start + i));
    assert_eq!(network.heads.len(), spec.network.heads.len());
    for (from, to) in spec.network.heads.iter().zip(&network.heads) {
        assert_eq!((to.kind, f64::from(to.bias)), (from.kind, from.bias));
        check_chain(model, &from.tower, &to.tower, &trunk);
        let order = if from.tower.is_empty() { &trunk } else { &straight };
        let rounded: Vec<f64> = from.weight.iter().map(|&w| f16::from_f32(w as f32).to_f64()).collect();
        check_vector(model, &rounded, to.weight, order);
    }
}

/// The serving column of each declared column: the request's first, each side in declared order.
fn serving_columns(spec: &ModelSpec) -> Vec<usize> {
    let mut keys = Vec::new();
    for f in &spec.schema.features {
        let candidate = matches!(f.source as u8, 3..=6);
        keys.extend((0..f.width(&spec.schema.embeddings)).map(|_| candidate));
    }
    let request = keys.iter().filter(|&&candidate| !candidate).count();
    let (mut next_request, mut next_candidate) = (0, request);
    keys.iter()
        .map(|&candidate| {
            let next = if candidate { &mut next_candidate } else { &mut next_request };
            *next += 1;
            *next - 1
        })
        .collect()
}

fn check_chain(model: &Model, from: &[DenseSpec], to: &[Dense], inputs: &[usize]) {
    let straight: Vec<usize> = (0..1 << 10).collect();
    assert_eq!(from.len(), to.len());
    for (i, (from, to)) in from.iter().zip(to).enumerate() {
        assert_eq!(from.activation, to.activation);
        check_matrix(model, &from.weight, to.weight, &straight, if i == 0 { inputs } else { &straight });
        check_vector(model, &from.bias, to.bias, &straight);
    }
}

fn check_matrix(model: &Model, from: &Matrix, to: Panels, rows: &[usize], cols: &[usize]) {
    let panels = model.matrix(to);
    assert_eq!(to.start % 32, 0);
    assert_eq!(panels.len() % (LANES * to.inputs.max(1)), 0);
    for (r, &out) in rows[..from.rows].iter().enumerate() {
        for (c, &k) in cols[..from.cols].iter().enumerate() {
            let found = panels[(out / 16) * to.inputs * 16 + k * 16 + out % 16];
            assert_eq!(found, f16::from_f32(from.data[r * from.cols + c] as f32).to_bits(), "row {r}, column {c}");
        }
    }
}

fn check_vector(model: &Model, from: &[f64], to: Params, order: &[usize]) {
    let found = model.vector(to);
    assert_eq!((to.start % 16, found.len() % 16), (0, 0));
    for (i, &value) in from.iter().enumerate() {
        assert_eq!(found[order[i]], value as f32, "element {i}");
    }
    let written: Vec<usize> = order[..from.len()].to_vec();
    for (at, value) in found.iter().enumerate().filter(|(at, _)| !written.contains(at)) {
        assert_eq!(value.to_bits(), 0, "padding at {at}");
    }
}

/// Every matrix, table and vector with its name in messages, and how to reach it.
type Reach = fn(&mut ModelSpec) -> (&mut [f64], usize);

#[test]
fn weights_that_the_file_cannot_hold_are_named() {
    let (spec, expected) = sample::model(&sample::everything());
    fn cross(spec: &mut ModelSpec, i: usize) -> &mut CrossSpec {
        &mut spec.network.cross[i]
    }
    fn flat(m: &mut Matrix) -> (&mut [f64], usize) {
        (&mut m.data, m.cols)
    }
    let matrices: [(&str, Reach); 10] = [
        ("cross[0].weight", |s| match cross(s, 0) {
            CrossSpec::Full { weight, .. } => flat(weight),
            _ => unreachable!(),
        }),
        ("cross[1].v", |s| match cross(s, 1) {
            CrossSpec::LowRank { v, .. } => flat(v),
            _ => unreachable!(),
        }),
        ("cross[1].u", |s| match cross(s, 1) {
            CrossSpec::LowRank { u, .. } => flat(u),
            _ => unreachable!(),
        }),
        ("cross[3].gate", |s| match cross(s, 3) {
            CrossSpec::Mixture { gate, .. } => flat(gate),
            _ => unreachable!(),
        }),
        ("cross[3].experts[2].v", |s| match cross(s, 3) {
            CrossSpec::Mixture { experts, .. } => flat(&mut experts[2].v),
            _ => unreachable!(),
        }),
        ("cross[3].experts[1].c", |s| match cross(s, 3) {
            CrossSpec::Mixture { experts, .. } => flat(&mut experts[1].c),
            _ => unreachable!(),
        }),
        ("cross[3].experts[0].u", |s| match cross(s, 3) {
            CrossSpec::Mixture { experts, .. } => flat(&mut experts[0].u),
            _ => unreachable!(),
        }),
        ("deep[0].weight", |s| flat(&mut s.network.deep[0].weight)),
        ("deep[1].weight", |s| flat(&mut s.network.deep[1].weight)),
        ("heads[1].tower[0].weight", |s| flat(&mut s.network.heads[1].tower[0].weight)),
    ];
    for (name, reach) in matrices {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 65_520.0, -65_520.0, 1e6, 1e300] {
            let mut spec = spec.clone();
            let (values, cols) = reach(&mut spec);
            let at = values.len() - 2;
            values[at] = bad;
            let message = write(&spec, &expected).unwrap_err().message;
            let place = format!("{name}, row {}, column {}: {bad} ", at / cols, at % cols);
            assert!(message.starts_with(&place), "{message}, expected {place}");
        }
        for good in [65_504.0, -65_504.0, 65_519.99, 1e-30] {
            let mut spec = spec.clone();
            let (values, _) = reach(&mut spec);
            values[0] = good;
            write(&spec, &expected).unwrap();
        }
    }
}

#[test]
fn vectors_and_tables_that_the_file_cannot_hold_are_named() {
    let (spec, expected) = sample::model(&sample::everything());
    let table = spec.schema.embeddings.iter().position(|e| e.dim > 1 && e.rows() > 2).unwrap();
    let wide = spec.schema.embeddings.iter().position(|e| e.wide).unwrap();
    let (dim, heads) = (spec.schema.embeddings[table].dim as usize, spec.network.heads.len());
    let refused = |change: &dyn Fn(&mut ModelSpec), place: &str| {
        let mut spec = spec.clone();
        change(&mut spec);
        let message = write(&spec, &expected).unwrap_err().message;
        assert!(message.contains(place), "{message}, expected {place}");
    };
    for bad in [f32::NAN, f32::INFINITY, 65_520.0, 1e6] {
        let at = dim + 1;
        refused(&|s| s.embeddings[table].rows[at] = bad, &format!("embedding `table {table}`, row 1, column 1: {bad}"));
        let place = format!("wide weights of `table {wide}`, row 0, column {}: {bad}", heads - 1);
        refused(&|s| s.embeddings[wide].wide[heads - 1] = bad, &place);
        refused(&|s| s.network.heads[0].weight[3] = bad.into(), &format!("heads[0].weight, element 3: {bad}"));
    }
    for bad in [f64::NAN, f64::INFINITY, 1e300] {
        refused(&|s| s.network.deep[0].bias[4] = bad, &format!("deep[0].bias, element 4: {bad}"));
        refused(&|s| s.network.heads[1].bias = bad, &format!("heads[1].bias: {bad}"));
    }
    refused(&|s| s.embeddings[table].rows.truncate(dim), &format!("embedding `table {table}`: expected "));
    let g = spec.goldens.iter().position(|g| !g.values.is_empty()).unwrap();
    refused(&|s| s.goldens[g].values[0].number = f32::NAN, &format!("golden request {g} has feature "));
    refused(&|s| s.goldens[g].values[0].feature = 99, &format!("golden request {g} has feature 99 "));
    refused(&|s| s.histograms[0].name = "a\nb".to_owned(), "histogram name");
    let h = spec.histograms.iter().position(|h| h.counts.len() > 1).unwrap();
    refused(&|s| s.histograms[h].counts[0] = u64::MAX, &format!("histogram `quantity {h}`"));
    let twice = spec.embeddings[0].vocabulary[0];
    refused(&|s| s.embeddings[0].vocabulary[1] = twice, "in the vocabulary twice");
    let mut wrong = expected.clone();
    wrong[0] = f64::NAN;
    assert!(write(&spec, &wrong).unwrap_err().message.contains("golden request 0 expects the logit NaN"));
}

#[test]
fn a_claimed_size_is_not_allocated_before_it_is_checked() {
    let (mut spec, expected) = sample::model(&sample::everything());
    let table = spec.schema.embeddings.iter().position(|e| matches!(e.index, Index::Hashed { .. })).unwrap();
    spec.schema.embeddings[table].index = Index::Hashed { buckets: i32::MAX as u32 - 8 };
    let message = write(&spec, &expected).unwrap_err().message;
    assert!(message.contains(&format!("table {table}")), "{message}");
}

/// Logistic regression: no columns, no layers, a weight for each id.
#[test]
fn a_model_of_wide_weights_alone() {
    let (mut spec, _) = sample::model(&Shape { embeddings: 1, cross: vec![], deep: vec![], ..sample::everything() });
    let e = &mut spec.schema.embeddings[0];
    (e.dim, e.wide, e.index) = (0, true, Index::Hashed { buckets: 10 });
    (e.unknown_row, e.missing_row) = (false, false);
    spec.schema.embeddings.truncate(1);
    spec.schema.features.truncate(1);
    spec.schema.features[0].source = Source::Ad;
    spec.schema.features[0].position = None;
    spec.schema.features[0].kind = Kind::Category { embedding: 0, boundaries: vec![], default: None };
    spec.network.heads.truncate(1);
    spec.network.heads[0].weight = vec![];
    spec.network.heads[0].bias = -1.5;
    let wide: Vec<f32> = (0..10u8).map(|row| f32::from(row) * 0.25).collect();
    spec.embeddings = vec![EmbeddingSpec { rows: vec![], vocabulary: vec![], wide }];
    let value = GoldenValue { feature: 0, number: 1.0, id: 77 };
    spec.enrichment = Enrichment::default();
    spec.goldens = vec![GoldenRequest { values: vec![value], ..GoldenRequest::default() }];
    let model = Model::open(Bytes::copy_of(&pack_model(&spec).unwrap()).unwrap()).unwrap();
    assert_eq!((model.network().width, model.network().trunk_width()), (0, 0));
    assert_eq!(model.goldens()[0].expected, [f64::from(bucket(77, 10)) * 0.25 - 1.5]);
}

#[test]
fn ids_made_to_collide_are_refused() {
    let (mut spec, expected) = sample::model(&sample::everything());
    let n = 1000;
    let e = &mut spec.schema.embeddings[0];
    e.index = Index::Vocabulary { count: n };
    let (rows, dim, wide) = (e.rows() as usize, e.dim as usize, e.wide);
    spec.embeddings[0].rows = vec![0.5; rows * dim];
    spec.embeddings[0].wide = vec![0.5; if wide { rows * 2 } else { 0 }];
    // All have the first slot 0.
    spec.embeddings[0].vocabulary = (1..=u64::from(n)).map(sample::unmix).collect();
    let message = write(&spec, &expected).unwrap_err().message;
    assert!(message.contains("collides with too many"), "{message}");
    spec.embeddings[0].vocabulary = (1..=u64::from(n)).collect();
    write(&spec, &expected).unwrap();
}
