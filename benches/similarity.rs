//! Similarity: the best 500 of a million vectors of 64 numbers by inner product, among those that are eligible, at several
//! shares. Beside a plain loop, in the same run; every answer is compared with it.
//! `cargo bench --bench similarity [ADS [DIMS [K]]]`

use std::time::{Duration, Instant};

use adclick::builder::hash::mix;
use adclick::builder::retrieve::similarity::{Codes, Hit, Lanes, Query, Scan, Top, Vectors, Way, encode, stride};
use half::f16;

/// Eligible shares.
const SHARES: [f64; 7] = [1.0, 0.5, 0.1, 0.05, 0.01, 0.001, 0.0001];
/// For how long each way runs at each share.
const TURN: Duration = Duration::from_millis(700);
/// The unfiltered bar of issue 20, in milliseconds.
const BAR_MS: f64 = 4.0;

struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    /// About normal.
    fn normal(&mut self) -> f32 {
        let (a, b) = (self.bits(), self.bits());
        let part = |bits: u64| (bits & 0xffff) as f32 / 65_536.0;
        (part(a) + part(a >> 16) + part(a >> 32) + part(b) + part(b >> 16) + part(b >> 32) - 3.0) * 1.414
    }
}

fn median_and_p99(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// What a caller would write without this module: every eligible row, with a heap.
fn plain(rows: &[f32], dims: usize, query: &[f32], eligible: &[u64], top: &mut Top) {
    for (at, &word) in eligible.iter().enumerate() {
        let mut bits = word;
        while bits != 0 {
            let ad = 64 * at + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let score = rows[ad * dims..][..dims].iter().zip(query).map(|(x, u)| x * u).sum();
            top.push(score, ad as u32);
        }
    }
}

/// The time to read so many bytes once, in milliseconds: what no scan can beat.
fn read_ms(codes: &[i8]) -> f64 {
    let words: &[u64] = bytemuck::cast_slice(&codes[..codes.len() / 64 * 64]);
    let mut times: Vec<f64> = (0..30)
        .map(|_| {
            let start = Instant::now();
            let mut sums = [0u64; 8];
            for eight in words.as_chunks::<8>().0 {
                sums.iter_mut().zip(eight).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
            }
            std::hint::black_box(sums);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    median_and_p99(&mut times).0
}

fn main() {
    let mut given = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let (ads, dims, k) = (given.next().unwrap_or(1_000_000), given.next().unwrap_or(64), given.next().unwrap_or(500));
    let stride = stride(dims);
    let mut random = Random(7);
    let mut rows = vec![0u16; ads * stride];
    for row in rows.chunks_exact_mut(stride) {
        row[..dims].iter_mut().for_each(|x| *x = f16::from_f32(random.normal()).to_bits());
    }
    let begun = Instant::now();
    let (codes, scales, spread) = encode(&rows, stride);
    let built = begun.elapsed();
    let wide: Vec<f32> =
        rows.chunks_exact(stride).flat_map(|row| row[..dims].iter().map(|x| f16::from_bits(*x).to_f32())).collect();
    let vectors = Vectors::new(dims, &rows).unwrap().with_codes(Codes::new(&codes, &scales, spread)).unwrap();
    let queries: Vec<Vec<f32>> =
        (0..16).map(|_| (0..dims).map(|_| f16::from_f32(random.normal()).to_f32()).collect()).collect();
    println!(
        "{ads} ads, {dims} numbers, the best {k}; codes made in {:.2} s; {} bytes an ad as rows, {} more as codes",
        built.as_secs_f64(),
        2 * stride,
        stride + 2
    );
    let limit = read_ms(&codes);
    println!("reading all codes once takes {limit:.2} ms: {:.1} GB/s\n", codes.len() as f64 / limit / 1e6);
    println!(
        "{:>9} {:>10} {:>9}  {:>9} {:>9}  {:>9} {:>9} {:>8}",
        "eligible", "way", "kernel", "p50 ms", "p99 ms", "rows read", "x plain", "recall"
    );
    for share in SHARES {
        let eligible: Vec<u64> = (0..ads.div_ceil(64))
            .map(|at| {
                let mut is = |_: &u32| random.bits() as f64 / 2f64.powi(64) < share;
                let left = (ads - 64 * at).min(64);
                (0..left as u32).filter(&mut is).fold(0, |word, bit| word | 1 << bit)
            })
            .collect();
        let mut query = Query::new(dims).unwrap();
        let mut top = Top::new(k).unwrap();
        let mut times = Vec::new();
        let mut answers: Vec<Vec<Hit>> = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < TURN || answers.len() < queries.len() {
            let start = Instant::now();
            let q = &queries[times.len() % queries.len()];
            top.begin(k);
            plain(&wide, dims, q, &eligible, &mut top);
            let hits: Vec<Hit> = top.finish().collect();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if answers.len() < queries.len() {
                answers.push(hits);
            }
        }
        let (plain_ms, plain_p99) = median_and_p99(&mut times);
        println!("{:>8.2}% {:>10} {:>9}  {plain_ms:>9.3} {plain_p99:>9.3}", share * 100.0, "plain", "compiled");
        for lanes in Lanes::available() {
            for way in [Way::Rows, Way::Codes, Way::Planned] {
                if way == Way::Planned && Some(lanes) != Lanes::available().next() {
                    continue;
                }
                let (mut times, mut read, mut found, mut wanted) = (Vec::new(), 0, 0, 0);
                let begun = Instant::now();
                let mut took = way;
                while begun.elapsed() < TURN || times.len() < queries.len() {
                    let at = times.len() % queries.len();
                    let start = Instant::now();
                    query.set(&queries[at]);
                    top.begin(k);
                    let route = Scan { vectors: &vectors, lanes, way }.run(&query, &eligible, &mut top).unwrap();
                    let hits = top.finish();
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                    (read, took) = (route.rows_read, route.way);
                    if times.len() <= queries.len() {
                        // The plain loop sums in another order: what is within its rounding of its last hit counts.
                        let last = answers[at].last().map_or(0.0, |hit| hit.score);
                        wanted += answers[at].len();
                        found += hits.filter(|hit| hit.score >= last - 1e-5 * last.abs()).count();
                    }
                }
                let (p50, p99) = median_and_p99(&mut times);
                let way = if way == Way::Planned { format!("= {took:?}") } else { format!("{way:?}") };
                let recall = if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 };
                println!(
                    "{:>9} {way:>10} {:>9}  {p50:>9.3} {p99:>9.3}  {read:>9} {:>9.1} {recall:>8.3}{}",
                    "",
                    lanes.name(),
                    plain_ms / p50,
                    if share == 1.0 && way.starts_with('=') {
                        format!("  bar: p99 {BAR_MS} ms, or {limit:.2} ms of reading")
                    } else {
                        String::new()
                    }
                );
            }
        }
    }
}
