//! A small generator of impressions with known click probabilities, for users without logs.
//!
//! Users have a segment, an age and a device; ads have an advertiser, a format and a quality. Whether a user clicks
//! depends on both sides, on the hour, and on how well the user's segment and the advertiser go together: an
//! interaction that a model without crosses cannot learn. The file holds the probability beside the label, so that a
//! trained model can be compared with the truth.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The column that holds the true click probability; no feature reads it.
pub const TRUTH: &str = "true_probability";

/// The schema file of generated impressions.
pub const SCHEMA: &str = r#"# Generated impressions: what a user brings, when, and what the ad brings.

[labels]
click = "click"
time = "time"

[[features]]
name = "hour"
source = "time"
kind = "category"
embedding = { dim = 4, count = 24, wide = true }

[[features]]
name = "segment"
source = "user"
kind = "category"
embedding = { dim = 8, wide = true }

[[features]]
name = "age"
source = "user"
kind = "number"
transform = { clip = [15.0, 80.0], mean = 40.0, scale = 15.0 }
default = 40.0

[[features]]
name = "device"
source = "context"
kind = "category"
embedding = { dim = 4, wide = true }

[[features]]
name = "interests"
source = "user"
kind = "multi"
pooling = "mean"
embedding = { dim = 8, wide = true }

[[features]]
name = "ad"
source = "ad"
kind = "category"
raw = "integer"
embedding = { dim = 8, wide = true, min_count = 20 }

[[features]]
name = "advertiser"
source = "ad"
kind = "category"
embedding = { dim = 8, wide = true }

[[features]]
name = "format"
source = "ad"
kind = "category"
embedding = { dim = 4, wide = true }

[[features]]
name = "quality"
source = "ad"
kind = "number"
transform = { mean = 0.5, scale = 0.3 }
default = 0.5
"#;

const SEGMENTS: usize = 12;
const ADVERTISERS: usize = 16;
const ADS: usize = 150;
const INTERESTS: usize = 30;
const TASTES: usize = 3;
const DEVICES: [&str; 3] = ["phone", "tablet", "desktop"];
const FORMATS: [&str; 3] = ["image", "video", "carousel"];

/// The true click probabilities.
struct World {
    segment: Vec<f64>,
    segment_taste: Vec<[f64; TASTES]>,
    advertiser_taste: Vec<[f64; TASTES]>,
    ad: Vec<(usize, usize, f64, f64)>,
    interest: Vec<f64>,
    device_format: [[f64; 3]; 3],
}

/// Draws from [-1, 1).
fn symmetric(rng: &mut ChaCha8Rng) -> f64 {
    uniform(rng) * 2.0 - 1.0
}

/// Draws from [0, 1).
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    (uniform(rng) * n as f64) as usize
}

impl World {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut taste = |n: usize| (0..n).map(|_| std::array::from_fn(|_| symmetric(rng))).collect();
        let (segment_taste, advertiser_taste) = (taste(SEGMENTS), taste(ADVERTISERS));
        Self {
            segment_taste,
            advertiser_taste,
            segment: (0..SEGMENTS).map(|_| 0.5 * symmetric(rng)).collect(),
            ad: (0..ADS)
                .map(|_| (below(rng, ADVERTISERS), below(rng, 3), uniform(rng), 0.7 * symmetric(rng)))
                .collect(),
            interest: (0..INTERESTS).map(|_| 0.6 * symmetric(rng)).collect(),
            device_format: std::array::from_fn(|_| std::array::from_fn(|_| 0.4 * symmetric(rng))),
        }
    }
}

/// Writes `rows` impressions as CSV to `path` and their schema beside it as `schema.toml`. The same seed gives the same
/// bytes.
///
/// # Errors
/// A file cannot be written.
pub fn generate(path: &Path, rows: u64, seed: u64) -> Result<()> {
    let schema = path.with_file_name("schema.toml");
    std::fs::write(&schema, SCHEMA).with_context(|| format!("cannot write {}", schema.display()))?;
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut out = BufWriter::new(file);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let world = World::new(&mut rng);
    writeln!(out, "time,segment,age,device,interests,ad,advertiser,format,quality,click,{TRUTH}")?;
    let mut line = String::new();
    for row in 0..rows {
        line.clear();
        impression(&world, &mut rng, row, &mut line);
        out.write_all(line.as_bytes())?;
    }
    out.into_inner()?.sync_all().with_context(|| format!("cannot write {}", path.display()))
}

fn impression(world: &World, rng: &mut ChaCha8Rng, row: u64, line: &mut String) {
    // One impression every four seconds, from Monday 2026-06-01 00:00 UTC.
    let time = 1_780_272_000 + row * 4;
    let hour = (time / 3600 % 24) as f64;
    let segment = below(rng, SEGMENTS);
    let age = (15.0 + 65.0 * uniform(rng) * uniform(rng)).floor();
    let device = below(rng, 3);
    // Popular ads are shown more often.
    let ad = (ADS as f64 * uniform(rng).powi(2)) as usize;
    let (advertiser, format, quality, own) = world.ad[ad];
    let interests: Vec<usize> = (0..below(rng, 4)).map(|_| below(rng, INTERESTS)).collect();
    let interest = match interests.len() {
        0 => 0.0,
        n => interests.iter().map(|&i| world.interest[i]).sum::<f64>() / n as f64,
    };
    let together: f64 =
        world.segment_taste[segment].iter().zip(&world.advertiser_taste[advertiser]).map(|(a, b)| a * b).sum();
    let evening = 0.3 * (std::f64::consts::TAU * (hour - 14.0) / 24.0).sin();
    let logit = -2.4
        + world.segment[segment]
        + own
        + 1.5 * together
        + 0.8 * (quality - 0.5)
        + world.device_format[device][format]
        + interest
        + evening
        - 0.01 * (age - 40.0);
    let p = adclick::builder::calibrate::sigmoid(logit);
    let click = u8::from(uniform(rng) < p);
    let interests: Vec<String> = interests.iter().map(|i| format!("i{i}")).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        line,
        "{time},s{segment},{age},{},{},{ad},adv{advertiser},{},{quality:.4},{click},{p:.6}",
        DEVICES[device],
        interests.join(" "),
        FORMATS[format],
    );
}
