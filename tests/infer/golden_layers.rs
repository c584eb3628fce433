//! Hand-checkable layers (`dcn/tiny_layers.json`): the f64 reference within rounding of f64, every kernel within f32's
//! and that of its fp16 weights.

use std::path::PathBuf;

use adclick::builder::artifact::model::network::{Cross, Head, Network, padded};
use adclick::builder::artifact::model::spec::{HeadKind, Matrix, Structure};
use adclick::builder::infer::reference::{self, reference_logits};
use adclick::builder::infer::{Kernel, Plan, Scratch};
use serde_json::Value;
use testkit::networks::{Built, Sections};

fn golden() -> Value {
    let root = std::env::var_os("ADCLICK_GOLDEN").map_or_else(|| PathBuf::from("tests/golden"), PathBuf::from);
    let path = root.join("dcn/tiny_layers.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn matrix(value: &Value) -> Matrix {
    let rows: Vec<_> = value.as_array().unwrap().iter().map(vector).collect();
    Matrix::new(rows.len(), rows[0].len(), rows.concat())
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {got}, expected {expected}");
    }
}

/// What a layer makes of x0 and x_l, by a kernel and by the reference: the layer comes after one that makes x_l of x0
/// (DCN v1 with w = 0 and b = x_l - x0), and heads each pick one column.
fn outputs(
    layer: &dyn Fn(&mut Sections) -> Cross,
    x0: &[f64],
    xl: &[f64],
    kernel: &'static Kernel,
) -> (Vec<f64>, Vec<f64>) {
    let x: Vec<f32> = x0.iter().map(|&x| x as f32).collect();
    let step: Vec<f64> = xl.iter().zip(x0).map(|(xl, x0)| xl - x0).collect();
    let mut scratch = Scratch::new(0);
    let (mut got, mut expected) = (Vec::new(), Vec::new());
    for column in 0..x.len() {
        let mut sections = Sections::default();
        let before = Cross::Vector { weight: sections.vector(&vec![0.0; x.len()]), bias: sections.vector(&step) };
        let cross = vec![before, layer(&mut sections)];
        let pick: Vec<f64> = (0..padded(x.len())).map(|i| if i == column { 1.0 } else { 0.0 }).collect();
        let head = Head { kind: HeadKind::Ctr, tower: Vec::new(), weight: sections.vector(&pick), bias: 0.0 };
        let (structure, deep, heads) = (Structure::Parallel, Vec::new(), vec![head]);
        let network = Network { width: x.len(), request_width: 0, structure, cross, deep, heads };
        let built: Built = sections.network(network);
        let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
        if scratch.len() < plan.scratch_len() {
            scratch = Scratch::new(plan.scratch_len());
        }
        let mut pass = plan.begin_dense(built.weights(), &mut scratch).unwrap();
        pass.tile(1).unwrap().row(0).copy_from_slice(&x);
        let (mut logit, mut reference) = ([0.0], [0.0]);
        pass.run(1, None, &mut logit).unwrap();
        reference_logits(&built.network, built.weights(), &x, &mut reference).unwrap();
        got.push(f64::from(logit[0]));
        expected.push(reference[0]);
    }
    (got, expected)
}

#[test]
fn golden_cross_layers_of_the_reference() {
    for case in golden()["cross"].as_array().unwrap() {
        let [x0, xl, b, w] = ["x0", "xl", "b", "w"].map(|key| vector(&case[key]));
        let [full, u, v] = ["W", "U", "V"].map(|key| matrix(&case[key]));
        let check = |got: Vec<f64>, key: &str| assert_close(&got, &vector(&case[key]), 1e-14, key);
        check(reference::cross_full(&full, &b, &x0, &xl), "v2_full");
        check(reference::cross_low_rank(&v, &u, &b, &x0, &xl), "v2_low_rank");
        check(reference::cross_vector(&w, &b, &x0, &xl), "v1");
        let mut scaled = full.clone();
        for i in 0..x0.len() {
            scaled.data[i * x0.len() + i] += case["diag_scale"].as_f64().unwrap();
        }
        check(reference::cross_full(&scaled, &b, &x0, &xl), "v2_full_diag_scale");
    }
}

#[test]
fn golden_cross_layers_of_every_kernel() {
    for case in golden()["cross"].as_array().unwrap() {
        let [x0, xl, b, w] = ["x0", "xl", "b", "w"].map(|key| vector(&case[key]));
        let [full, u, v] = ["W", "U", "V"].map(|key| matrix(&case[key]));
        let put = |sections: &mut Sections, m: &Matrix| sections.matrix(m.rows, m.cols, |r, c| m.data[r * m.cols + c]);
        for kernel in Kernel::available() {
            // fp16 weights are off by 2^-12 of themselves at most: fractions of 1e-3 in these sums.
            let check = |layer: &dyn Fn(&mut Sections) -> Cross, key: &str, tolerance: f64| {
                let (got, same_weights) = outputs(layer, &x0, &xl, kernel);
                assert_close(&got, &same_weights, 1e-6, key);
                assert_close(&got, &vector(&case[key]), tolerance, key);
            };
            check(&|s| Cross::Full { weight: put(s, &full), bias: s.vector(&b) }, "v2_full", 1e-3);
            check(&|s| Cross::LowRank { v: put(s, &v), u: put(s, &u), bias: s.vector(&b) }, "v2_low_rank", 1e-3);
            check(&|s| Cross::Vector { weight: s.vector(&w), bias: s.vector(&b) }, "v1", 1e-6);
        }
    }
}

#[test]
fn golden_sigmoid() {
    let golden = golden();
    let [x, expected, single] = ["x", "torch_f64", "torch_f32"].map(|key| vector(&golden["sigmoid"][key]));
    for ((&x, &expected), &single) in x.iter().zip(&expected).zip(&single) {
        let got = reference::sigmoid(x);
        assert!((got - expected).abs() <= 1e-15 * expected, "{x}: {got}, expected {expected}");
        for kernel in Kernel::available() {
            let mut got = [x as f32];
            kernel.sigmoid(&mut got);
            let error = (f64::from(got[0]) - single).abs();
            assert!(error <= 3e-7 * single || error <= 1e-38, "{kernel:?} {x}: {}, expected {single}", got[0]);
        }
    }
}
