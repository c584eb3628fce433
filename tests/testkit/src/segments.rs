//! Random trees of segments for the bundles of tests.

use std::path::Path;

use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::bundle::{self, CALIBRATORS_FILE, Content, Manifest, Role};
use adclick::builder::calibrate::{
    Beta, Calibrator, Calibrators, MAX_SEGMENT_KEYS, PiecewiseLinear, Platt, Segment, SegmentKey, Segments,
    Temperature, encode_calibrators,
};
use adclick::builder::schema::Kind;
use adclick::{Engine, Options};

use crate::common::{Random, case, chance, score, scorer};
use crate::plain_tables::ask;

/// The requests whose values make segments, and their candidates.
const SAMPLED: usize = 12;
const CANDIDATES: usize = 12;

type Values = [Option<u64>; MAX_SEGMENT_KEYS];

/// Gives a bundle of a model random calibrators of segments in the place of those that it has, beside `heads`. The segments
/// are some of those that random requests have.
pub fn add(bundle: &Path, spec: &ModelSpec, random: &mut Random, heads: Calibrators) -> Calibrators {
    let keys = keys(random, spec);
    let none = Calibrators { segments: Segments::new(keys.clone(), vec![]).unwrap(), ..heads.clone() };
    write(bundle, &none);
    let engine = Engine::open(bundle, &Options::default()).unwrap();
    let mut scorer = scorer(&engine, CANDIDATES);
    let mut seen: Vec<Values> = Vec::new();
    for _ in 0..SAMPLED {
        let mut sample = case(random, &spec.schema, CANDIDATES, &engine);
        if chance(random, 50) {
            sample = ask(random, &sample);
        }
        score(&mut scorer, &sample).unwrap();
        seen.extend((0..CANDIDATES).map(|candidate| scorer.segment_values(candidate)));
    }
    let product = if chance(random, 50) { calibrator(random) } else { Calibrator::Identity };
    let calibrators = Calibrators { product, segments: tree(random, keys, &seen), ..heads };
    write(bundle, &calibrators);
    calibrators
}

/// Writes the calibrators into a bundle that stays as it is otherwise.
pub fn write(path: &Path, calibrators: &Calibrators) -> u64 {
    let bytes = encode_calibrators(calibrators);
    let manifest = Manifest::read(path).unwrap();
    let others = manifest.files.iter().filter(|f| f.role != Role::Calibrators);
    let places: Vec<_> = others.map(|f| (f.role, f.name.clone(), path.join(&f.name))).collect();
    let mut files: Vec<_> =
        places.iter().map(|(role, name, place)| (*role, name.as_str(), Content::Link(place))).collect();
    files.push((Role::Calibrators, CALIBRATORS_FILE, Content::Bytes(&bytes)));
    bundle::write_files(path, &files, true).unwrap()
}

/// One to four keys of all kinds, in any order.
fn keys(random: &mut Random, spec: &ModelSpec) -> Vec<SegmentKey> {
    let features = spec.schema.features.iter().filter(|f| matches!(f.kind, Kind::Category { .. }));
    let mut all: Vec<SegmentKey> = features.map(|f| SegmentKey::Feature(f.name.clone())).collect();
    all.extend([SegmentKey::Placement, SegmentKey::Advertiser, SegmentKey::Ad]);
    let n = random.between(1, MAX_SEGMENT_KEYS.min(all.len()));
    (0..n).map(|_| all.swap_remove(random.between(0, all.len() - 1))).collect()
}

/// Most of the segments that these values make, and some that they do not.
fn tree(random: &mut Random, keys: Vec<SegmentKey>, seen: &[Values]) -> Segments {
    let mut list: Vec<Segment> = Vec::new();
    let mut level: Vec<(u32, Vec<&Values>)> = vec![(0, seen.iter().collect())];
    for key in 0..keys.len() {
        let mut next = Vec::new();
        for (parent, rows) in level {
            let mut values: Vec<u64> = rows.iter().filter_map(|row| row[key]).collect();
            values.push(random.next_u64() >> 1);
            values.sort_unstable();
            values.dedup();
            values.retain(|_| chance(random, 80));
            for value in values {
                let own = std::array::from_fn(|_| chance(random, 60).then(|| calibrator(random)));
                list.push(Segment { parent, value, own });
                next.push((list.len() as u32, rows.iter().filter(|row| row[key] == Some(value)).copied().collect()));
            }
        }
        level = next;
    }
    Segments::new(keys, list).unwrap()
}

/// A calibrator of any kind that keeps the order.
fn calibrator(random: &mut Random) -> Calibrator {
    let mut above = |least: f64| least + (random.number() + 1.0) / 2.0;
    match (above(0.0) * 4.0) as usize {
        0 => Calibrator::Platt(Platt::new(above(0.5), above(-0.5)).unwrap()),
        1 => Calibrator::Temperature(Temperature::new(above(0.5)).unwrap()),
        2 => Calibrator::Beta(Beta::new(above(0.5), above(0.5), above(-0.5)).unwrap()),
        _ => {
            let [mut z, mut t] = [-6.0, -6.0].map(|start| vec![start]);
            for _ in 0..4 {
                z.push(z[z.len() - 1] + above(0.1));
                t.push(t[t.len() - 1] + above(0.1));
            }
            Calibrator::PiecewiseLinear(PiecewiseLinear::new(z, t).unwrap())
        }
    }
}
