//! Networks put together by hand, beside the model file: own panels, own numbers, any shape.

use adclick::builder::artifact::model::network::{Cross, Dense, Head, LANES, Network, Panels, Params, padded};
use adclick::builder::artifact::model::spec::{Activation, HeadKind, Structure};
use adclick::builder::infer::{Level, Plan, Scratch, Weights};
use half::f16;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + (self.next_u64() % (most - least + 1) as u64) as usize
    }

    /// From -1 to 1.
    pub fn number(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn row(&mut self, width: usize) -> Vec<f32> {
        (0..width).map(|_| self.number() as f32).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Full,
    LowRank,
    Vector,
    Mixture,
}

pub const KINDS: [Kind; 4] = [Kind::Full, Kind::LowRank, Kind::Vector, Kind::Mixture];

/// What to build.
#[derive(Clone, Debug)]
pub struct Shape {
    pub width: usize,
    pub request_width: usize,
    pub structure: Structure,
    pub cross: Vec<Kind>,
    pub rank: usize,
    pub experts: usize,
    pub deep: Vec<usize>,
    pub activation: Activation,
    /// The tower of each head.
    pub heads: Vec<Vec<usize>>,
}

pub struct Built {
    pub network: Network,
    panels: Vec<u16>,
    params: Vec<f32>,
}

impl Built {
    pub fn weights(&self) -> Weights<'_> {
        Weights { panels: &self.panels, params: &self.params }
    }

    /// So that fewer or more of what a deep layer gives are 0.
    pub fn move_deep_biases(&mut self, by: f32) {
        for Params { start, len } in self.network.deep.iter().map(|dense| dense.bias) {
            self.params[start..start + len].iter_mut().for_each(|bias| *bias += by);
        }
    }
}

#[derive(Default)]
pub struct Sections {
    pub panels: Vec<u16>,
    pub params: Vec<f32>,
}

impl Sections {
    /// Row `r`, column `c` of a matrix goes to panel r / 16, place c * 16 + r % 16.
    pub fn matrix(&mut self, rows: usize, cols: usize, value: impl FnMut(usize, usize) -> f64) -> Panels {
        let mut value = value;
        self.panels.resize(self.panels.len().next_multiple_of(32), 0);
        let start = self.panels.len();
        self.panels.resize(start + padded(rows) * cols, 0);
        for r in 0..rows {
            for c in 0..cols {
                let place = start + r / LANES * cols * LANES + c * LANES + r % LANES;
                self.panels[place] = f16::from_f64(value(r, c)).to_bits();
            }
        }
        Panels { start, inputs: cols, outputs: rows }
    }

    pub fn vector(&mut self, values: &[f64]) -> Params {
        let start = self.params.len();
        self.params.extend(values.iter().map(|&v| v as f32));
        self.params.resize(start + padded(values.len()), 0.0);
        Params { start, len: values.len() }
    }

    pub fn network(self, network: Network) -> Built {
        Built { network, panels: self.panels, params: self.params }
    }
}

/// The models of docs/performance.md.
pub fn models() -> [(&'static str, Shape); 3] {
    let shape = |width, request_width, kind, deep: [usize; 3]| Shape {
        width,
        request_width,
        structure: Structure::Parallel,
        cross: vec![kind; 3],
        rank: 64,
        experts: 1,
        deep: deep.to_vec(),
        activation: Activation::Relu,
        heads: vec![Vec::new()],
    };
    [
        ("S", shape(29, 16, Kind::Full, [256, 128, 64])),
        ("M", shape(208, 128, Kind::Full, [256, 128, 64])),
        ("L", shape(624, 416, Kind::LowRank, [400, 400, 400])),
    ]
}

/// Random weights whose sums stay near 1.
pub fn build(shape: &Shape, random: &mut Random) -> Built {
    let mut sections = Sections::default();
    let d = shape.width;
    let cross = shape.cross.iter().map(|&kind| cross(&mut sections, random, shape, kind)).collect();
    let deep = chain(&mut sections, random, d, &shape.deep, shape.activation);
    let mut network = Network {
        width: d,
        request_width: shape.request_width,
        structure: shape.structure,
        cross,
        deep,
        heads: Vec::new(),
    };
    for (i, tower) in shape.heads.iter().enumerate() {
        let (trunk, parts) = (network.trunk_width(), [network.trunk_cross(), network.trunk_deep()]);
        let real =
            |column: usize| column < parts[0] || (padded(parts[0])..padded(parts[0]) + parts[1]).contains(&column);
        let mut tower = chain(&mut sections, random, trunk, tower, shape.activation);
        let last = tower.last().map_or(trunk, |dense| dense.weight.outputs);
        if let Some(first) = tower.first_mut() {
            let scale = gain(parts[0] + parts[1]);
            let outputs = first.weight.outputs;
            first.weight = sections.matrix(outputs, trunk, |_, c| if real(c) { random.number() * scale } else { 0.0 });
        }
        let weight: Vec<f64> = (0..last)
            .map(|c| {
                let value = f16::from_f64(random.number() * gain(last)).to_f64();
                if !tower.is_empty() || real(c) { value } else { 0.0 }
            })
            .collect();
        network.heads.push(Head {
            kind: if i == 0 { HeadKind::Ctr } else { HeadKind::Cvr },
            tower,
            weight: sections.vector(&weight),
            bias: random.number() as f32,
        });
    }
    sections.network(network)
}

/// Logits of whole rows, `[rows, heads]`, which share the request's columns.
pub fn run(plan: &Plan, level: Level, built: &Built, scratch: &mut Scratch, rows: &[f32], logits: &mut [f32]) {
    let (width, heads) = (plan.width(), plan.heads());
    let shared = plan.request_width();
    let each = plan.tile_for(logits.len() / heads);
    let mut pass = plan.begin_at(level, built.weights(), scratch, &rows[..shared]).unwrap();
    for (rows, logits) in rows.chunks(width * each).zip(logits.chunks_mut(each * heads)) {
        let mut tile = pass.tile(logits.len() / heads).unwrap();
        for (i, row) in rows.chunks(width).enumerate() {
            tile.row(i)[shared..].copy_from_slice(&row[shared..]);
        }
        pass.run(logits.len() / heads, None, logits).unwrap();
    }
}

/// Rows of one request: its columns, and each candidate's own behind them.
pub fn request_rows(shape: &Shape, random: &mut Random, count: usize) -> Vec<f32> {
    let request = random.row(shape.request_width);
    let more = shape.width - shape.request_width;
    (0..count).flat_map(|_| [request.clone(), random.row(more)].concat()).collect()
}

fn gain(inputs: usize) -> f64 {
    (2.0 / inputs.max(1) as f64).sqrt()
}

fn bias(sections: &mut Sections, random: &mut Random, len: usize) -> Params {
    let values: Vec<f64> = (0..len).map(|_| random.number() * 0.2).collect();
    sections.vector(&values)
}

fn chain(
    sections: &mut Sections,
    random: &mut Random,
    mut inputs: usize,
    outputs: &[usize],
    activation: Activation,
) -> Vec<Dense> {
    let mut layers = Vec::new();
    for &outputs in outputs {
        let weight = sections.matrix(outputs, inputs, |_, _| random.number() * gain(inputs));
        layers.push(Dense { weight, bias: bias(sections, random, outputs), activation });
        inputs = outputs;
    }
    layers
}

fn cross(sections: &mut Sections, random: &mut Random, shape: &Shape, kind: Kind) -> Cross {
    let (d, r, experts) = (shape.width, shape.rank, shape.experts);
    let bias = bias(sections, random, d);
    let mut matrix = |rows, cols| sections.matrix(rows, cols, |_, _| random.number() * gain(cols));
    match kind {
        Kind::Full => Cross::Full { weight: matrix(d, d), bias },
        Kind::LowRank => Cross::LowRank { v: matrix(r, d), u: matrix(d, r), bias },
        Kind::Vector => {
            let values: Vec<f64> = (0..d).map(|_| random.number() * gain(d)).collect();
            Cross::Vector { weight: sections.vector(&values), bias }
        }
        Kind::Mixture => Cross::Mixture {
            experts,
            rank: r,
            gate: matrix(experts, d),
            v: matrix(experts * r, d),
            c: (0..experts).map(|_| matrix(r, r)).collect(),
            u: matrix(d, experts * r),
            bias,
        },
    }
}
