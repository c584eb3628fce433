//! What is kept by id of small embedding tables: answers have the same bits with it, without it and with a part of it; it
//! takes what it says.

use adclick::builder::infer::Kernel;
use adclick::builder::schema::{Kind, Side};
use adclick::{Engine, Precision};
use testkit::common::{Bundles, Random, Wants, case, decide, model, options, score, scorer};

/// Candidates for which kept sums pay, in more than one tile.
const MANY: usize = 120;

fn open(bundles: &Bundles, name: &str, kernel: &str, bytes: u64) -> Engine {
    let mut options = options(kernel);
    options.id_sums_bytes = bytes;
    Engine::open(&bundles.path(name), &options).unwrap()
}

#[test]
fn answers_have_the_same_bits_with_all_sums_with_some_and_with_none() {
    let cases: u64 = std::env::var("ADCLICK_CASES").ok().and_then(|n| n.parse().ok()).map_or(40, |n: u64| n / 50);
    let mut kept = 0;
    for seed in 0..cases {
        let mut random = Random(0x1d5 + seed);
        let wants = Wants { wide: seed % 2 == 0, heads: 1 + (seed % 2) as usize, ..Wants::default() };
        let bundles = Bundles::new();
        let spec = model(&mut random, wants);
        bundles.write("a", &spec);
        for kernel in Kernel::available().map(Kernel::name) {
            let all = open(&bundles, "a", kernel, u64::MAX);
            let info = all.ad_cache().unwrap();
            assert_eq!(info.id_bytes, info.id_bytes_needed);
            let most = info.id_bytes_needed / 2;
            let some = open(&bundles, "a", kernel, most);
            let none = open(&bundles, "a", kernel, 0);
            let part = some.ad_cache().unwrap();
            assert!(part.id_bytes <= most && part.id_bytes_needed == info.id_bytes_needed, "{part:?} of {most}");
            assert_eq!((none.ad_cache().unwrap().ids, none.ad_cache().unwrap().id_bytes), (0, 0));
            kept += u64::from(info.ids > 0);
            let engines = [&all, &some, &none];
            let asked = case(&mut random, &spec.schema, MANY, &all);
            let mut scores = Vec::new();
            for engine in engines {
                // Handles are given in the order in which names are asked for.
                for feature in &spec.schema.features {
                    engine.feature(&feature.input).unwrap();
                }
                let mut scorer = scorer(engine, MANY);
                scores.push((score(&mut scorer, &asked).unwrap(), decide(&mut scorer, &asked).unwrap()));
            }
            for (other, decision) in &scores[1..] {
                assert_eq!(other.bits(), scores[0].0.bits(), "seed {seed}, kernel {kernel}");
                assert_eq!(decision.winners, scores[0].1.winners);
                assert_eq!(other.outcome.n_missing, scores[0].0.outcome.n_missing);
            }
        }
    }
    assert!(kept >= cases, "{kept} engines kept sums");
}

#[test]
fn what_it_takes_is_a_row_of_sums_for_each_row_of_the_tables() {
    let bundles = Bundles::new();
    let mut random = Random(11);
    let (spec, info) = loop {
        let spec = model(&mut random, Wants::default());
        bundles.write("a", &spec);
        let info = open(&bundles, "a", "portable", u64::MAX).ad_cache().unwrap();
        if info.ids > 0 {
            break (spec, info);
        }
    };
    let rows = |embedding: u32| spec.schema.embeddings[embedding as usize].rows();
    let features = spec.schema.features.iter().filter(|f| f.side() == Side::Candidate);
    let most: u64 =
        features.map(|f| if let Kind::Category { embedding, .. } = f.kind { rows(embedding) } else { 0 }).sum();
    assert!(info.ids <= most && info.id_bytes % 64 == 0, "{info:?}, {most} rows");
    // Fast arithmetic keeps none.
    let mut options = options("portable");
    options.kernel = None;
    options.precision = Some(Precision::Bf16);
    let engine = Engine::open(&bundles.path("a"), &options).unwrap();
    if engine.model().unwrap().precision == Precision::Bf16 {
        assert_eq!(engine.ad_cache().unwrap().id_bytes_needed, 0);
    }
}
