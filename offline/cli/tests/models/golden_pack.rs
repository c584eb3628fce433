//! Packing alone: the folded network, evaluated here in f64, against the golden logits of the unfolded one.

use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, HeadKind, Matrix, ModelSpec, Structure,
};
use adclick::builder::schema::{Kind, Pooling};
use adclick_data::schema_file::SchemaFile;
use adclick_train::pack::compare::{Comparison, STRUCTURE, TOLERANCE, compare};
use adclick_train::pack::expect::Expected;
use adclick_train::pack::inputs::{InputRows, RawValues};
use adclick_train::pack::{self, PackOptions};

use crate::support::{FP16, Variant, farthest, tensor, variants};

fn apply(m: &Matrix, x: &[f64]) -> Vec<f64> {
    m.data.chunks(m.cols).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn dense(layer: &DenseSpec, x: &[f64]) -> Vec<f64> {
    let z = apply(&layer.weight, x);
    z.iter()
        .zip(&layer.bias)
        .map(|(z, b)| match layer.activation {
            Activation::None => z + b,
            Activation::Relu => (z + b).max(0.0),
            Activation::Tanh => (z + b).tanh(),
        })
        .collect()
}

fn cross(layer: &CrossSpec, x0: &[f64], xl: &[f64]) -> Vec<f64> {
    let combine = |z: Vec<f64>, bias: &[f64]| (0..x0.len()).map(|i| x0[i] * (z[i] + bias[i]) + xl[i]).collect();
    match layer {
        CrossSpec::Full { weight, bias } => combine(apply(weight, xl), bias),
        CrossSpec::LowRank { v, u, bias } => combine(apply(u, &apply(v, xl)), bias),
        CrossSpec::Vector { weight, bias } => {
            let s: f64 = weight.iter().zip(xl).map(|(w, x)| w * x).sum();
            (0..x0.len()).map(|i| x0[i] * s + bias[i] + xl[i]).collect()
        }
        CrossSpec::Mixture { experts, gate, bias } => {
            let gates = apply(gate, xl);
            let total: f64 = gates.iter().map(|g| g.exp()).sum();
            let mut sum = vec![0.0; x0.len()];
            for (expert, g) in experts.iter().zip(gates) {
                let tanh = |v: Vec<f64>| v.into_iter().map(f64::tanh).collect::<Vec<_>>();
                let z = apply(&expert.u, &tanh(apply(&expert.c, &tanh(apply(&expert.v, xl)))));
                sum.iter_mut().zip(z).for_each(|(s, z)| *s += g.exp() / total * z);
            }
            combine(sum, bias)
        }
    }
}

/// The logits of one row, one for each head, without the wide part.
fn logits(spec: &ModelSpec, x0: &[f64]) -> Vec<f64> {
    let network = &spec.network;
    let xl = network.cross.iter().fold(x0.to_vec(), |x, layer| cross(layer, x0, &x));
    let start = if network.structure == Structure::Stacked { xl.clone() } else { x0.to_vec() };
    let deep = network.deep.iter().fold(start, |x, layer| dense(layer, &x));
    let trunk = match (network.structure, network.cross.is_empty(), network.deep.is_empty()) {
        (_, _, true) => xl,
        (Structure::Parallel, false, false) => [xl, deep].concat(),
        _ => deep,
    };
    let head = |h: &adclick::builder::artifact::model::spec::HeadSpec| {
        let last = h.tower.iter().fold(trunk.clone(), |x, layer| dense(layer, &x));
        h.weight.iter().zip(last).map(|(w, x)| w * x).sum::<f64>() + h.bias
    };
    network.heads.iter().map(head).collect()
}

/// The columns of one row and its wide part, from the input file's ids and the packed tables.
fn row_of(spec: &ModelSpec, inputs: &InputRows, row: usize) -> (Vec<f64>, f64) {
    let columns = match inputs {
        InputRows::Ready { x, width } => {
            return (x[row * width..][..*width].iter().map(|&v| v.into()).collect(), 0.0);
        }
        InputRows::Raw { columns, .. } => columns,
    };
    let (mut x, mut wide) = (Vec::new(), 0.0);
    for (feature, column) in spec.schema.features.iter().zip(columns) {
        let table = |e: u32| (&spec.embeddings[e as usize], spec.schema.embeddings[e as usize].dim as usize);
        match (column, &feature.kind) {
            (RawValues::Numbers { values, width }, _) => {
                x.extend(values[row * width..][..*width].iter().map(|&v| f64::from(v)));
            }
            (RawValues::Ids(ids), Kind::Category { embedding, .. }) => {
                let (table, dim) = table(*embedding);
                x.extend(table.rows[ids[row] as usize * dim..][..dim].iter().map(|&v| f64::from(v)));
            }
            (RawValues::Bags { ids, offsets, weights }, Kind::MultiCategory { embedding, pooling }) => {
                let (table, dim) = table(*embedding);
                let bag = offsets[row]..offsets[row + 1];
                let scale = if *pooling == Pooling::Mean { 1.0 / bag.len().max(1) as f64 } else { 1.0 };
                let mut sum = vec![0.0; dim];
                for i in bag {
                    let (id, weight) = (ids[i] as usize, weights.get(i).map_or(1.0, |&w| f64::from(w)));
                    for (s, &v) in sum.iter_mut().zip(&table.rows[id * dim..][..dim]) {
                        *s += scale * weight * f64::from(v);
                    }
                    wide += table.wide.get(id).map_or(0.0, |&w| weight * f64::from(w));
                }
                x.extend(sum);
            }
            other => panic!("feature {}: {other:?}", feature.name),
        }
    }
    (x, wide)
}

#[test]
fn golden_folding_is_exact_in_f64() {
    for variant in variants() {
        for (file, rounding) in variant.weights() {
            check(&variant, file, rounding);
        }
    }
}

fn check(variant: &Variant, file: &str, rounding: &str) {
    let schema = variant.schema().map(|text| SchemaFile::parse(&text).unwrap());
    let packed = pack::model(&variant.read(file), schema.as_ref(), &PackOptions::default())
        .unwrap_or_else(|e| panic!("{}: {e:#}", variant.name));
    assert_eq!(packed.notes.iter().any(|n| n.contains("no schema given")), schema.is_none());
    let spec = &packed.spec;
    let io = variant.read("io.safetensors");
    let inputs = InputRows::parse(&io, &spec.schema).unwrap();
    assert_eq!(inputs.rows(), tensor(&io, "x").unwrap().0[0]);
    let heads: &[(HeadKind, &str)] = match spec.network.heads.len() {
        1 => &[(HeadKind::Ctr, "logits")],
        _ => &[(HeadKind::Ctr, "logits_ctr"), (HeadKind::Cvr, "logits_cvr")],
    };
    let got: Vec<Vec<f64>> = (0..inputs.rows())
        .map(|row| {
            let (x, wide) = row_of(spec, &inputs, row);
            logits(spec, &x).into_iter().map(|l| l + wide).collect()
        })
        .collect();
    for (h, (kind, name)) in heads.iter().enumerate() {
        assert_eq!(spec.network.heads[h].kind, *kind);
        let expected = tensor(&io, &format!("{name}_{rounding}")).unwrap().1;
        let mine: Vec<f64> = got.iter().map(|g| g[h]).collect();
        let off = farthest(&mine, &expected);
        println!("{} {name}_{rounding}: {off:e}", variant.name);
        assert!(off < 1e-9, "{} {name}_{rounding}: off by {off:e}", variant.name);
    }
    if let Some((shape, concat)) = tensor(&io, "concat_f32") {
        let mine: Vec<f64> = (0..shape[0]).flat_map(|row| row_of(spec, &inputs, row).0).collect();
        assert!(farthest(&mine, &concat) < 1e-6, "{}", variant.name);
    }
}

/// `--expect` on the golden outputs: logits and probabilities of both heads, ready and raw inputs, the wide part.
#[test]
fn golden_outputs_prove_their_models_and_no_other() {
    let mut proven = 0;
    for variant in variants() {
        if ["seed_208", "dcnv2_lowrank_624"].contains(&variant.name.as_str()) {
            // The same classes as smaller ones; 1024 rows of them take seconds.
            continue;
        }
        let schema = variant.schema().map(|text| SchemaFile::parse(&text).unwrap());
        let Some(&(file, "f64")) = variant.weights().first() else {
            println!("{}: skipped, it has no weights of before the rounding", variant.name);
            continue;
        };
        let (weights, io) = (variant.read(file), variant.read("io.safetensors"));
        proven += 1;
        let options = PackOptions { proven: true, ..PackOptions::default() };
        let packed = pack::model(&weights, schema.as_ref(), &options).unwrap();
        let inputs = InputRows::parse(&io, &packed.spec.schema).unwrap();
        let heads: Vec<HeadKind> = packed.spec.network.heads.iter().map(|h| h.kind).collect();
        let mut expected = Expected::parse(&io, &heads, inputs.rows(), None).unwrap();
        assert!(expected.outputs.len() >= 2 * heads.len(), "logits and probabilities");
        let prove = |expected: &Expected| {
            let (schema, inputs, weights, options) = (schema.as_ref(), &inputs, &weights, &options);
            compare(
                &packed,
                &Comparison { weights, schema, options, inputs, expected, tolerance: TOLERANCE, structure: STRUCTURE },
            )
        };
        let proof = prove(&expected).unwrap_or_else(|e| panic!("{}: {e:#}", variant.name));
        for (exact, served) in proof.exact.iter().zip(&proof.served) {
            println!("{} {}: {:e}, served {:e}", variant.name, exact.tensor, exact.largest, served.largest);
            assert!(exact.largest < 1e-6 && served.largest < FP16.0, "{}: {proof:?}", variant.name);
        }
        // One logit of one row is enough to refuse it.
        expected.outputs[0].values[100] += 0.001;
        let refused = format!("{:#}", prove(&expected).unwrap_err());
        let one = format!("1 of {} rows", inputs.rows());
        assert!(refused.contains("row 100") && refused.contains(&one), "{refused}");
    }
    assert!(proven > 0, "no variant has weights of before the rounding");
}

#[test]
fn golden_downsampling_moves_the_click_logit_by_ln_w() {
    let variant = variants().into_iter().next().unwrap();
    let schema = variant.schema().map(|text| SchemaFile::parse(&text).unwrap());
    let weights = variant.read(variant.weights()[0].0);
    let bias = |downsampling| {
        let options = PackOptions { downsampling, ..PackOptions::default() };
        pack::model(&weights, schema.as_ref(), &options).unwrap().spec.network.heads[0].bias
    };
    assert!((bias(Some(0.1)) - bias(None) - 0.1f64.ln()).abs() < 1e-12);
}
