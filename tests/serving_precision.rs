//! What is served in which precision, and that a decision in two passes is the exact one to the bit.

mod common;

use adclick::Engine;
use adclick::auction::Reason;
use adclick::live::bundle::{self, MODEL_FILE, Role, SERVING_FILE};
use adclick::live::pack_model;
use adclick::types::{Outcome, Precision, Winner};
use common::{Bundles, Case, Random, Wants, case, model, scorer};

fn open(bundles: &Bundles, name: &str, kernel: Option<&str>, precision: Option<Precision>) -> Engine {
    let mut options = adclick::Options::default();
    options.kernel = kernel.map(str::to_owned);
    options.precision = precision;
    Engine::open(&bundles.path(name), &options).unwrap()
}

fn decided(engine: &Engine, case: &Case, n_slots: u32) -> (Outcome, Vec<Winner>, Vec<Reason>) {
    let mut case = case.clone();
    case.request.n_slots = n_slots;
    let mut winners = vec![Winner::default(); n_slots.max(1) as usize];
    let mut reasons = vec![Reason::Won; case.n()];
    let outcome = scorer(engine, 400).decide(case.input(), &mut winners, &mut reasons).unwrap();
    winners.truncate(outcome.n_winners as usize);
    (outcome, winners, reasons)
}

fn bits(winners: &[Winner]) -> Vec<u8> {
    winners.iter().flat_map(|winner| bytemuck::bytes_of(winner).to_vec()).collect()
}

#[test]
fn a_decision_in_two_passes_is_the_exact_one() {
    let (mut two_passes, mut filled) = (0, 0);
    for seed in 0..30 {
        let mut random = Random(7000 + seed);
        let bundles = Bundles::new();
        let spec = model(&mut random, Wants { heads: 1 + seed as usize % 2, ..Wants::default() });
        bundle::write(&bundles.path("a"), &[(Role::Model, MODEL_FILE, &pack_model(&spec).unwrap())], false).unwrap();
        let exact = open(&bundles, "a", None, Some(Precision::Exact));
        let auction = open(&bundles, "a", None, Some(Precision::AuctionExact));
        for n in [1, 7, 60, 300] {
            let case = case(&mut random, &spec.schema, n, &exact);
            let n_slots = random.between(1, 5) as u32;
            let (right, fast) = (decided(&exact, &case, n_slots), decided(&auction, &case, n_slots));
            assert_eq!(bits(&fast.1), bits(&right.1), "seed {seed}, {n} candidates");
            assert_eq!(fast.2, right.2, "seed {seed}, {n} candidates");
            assert_eq!(right.0.precision, Precision::Exact as u32);
            let (wanted, serving, reason) = auction.precision().unwrap();
            assert_eq!(wanted, Precision::AuctionExact);
            assert_eq!(fast.0.precision, serving as u32);
            assert_eq!(serving == Precision::Exact, reason.is_some());
            two_passes += usize::from(serving == Precision::AuctionExact);
            filled += right.1.len();
        }
    }
    assert!(filled > 100, "{filled}");
    println!("{two_passes} decisions in two passes");
    assert!(two_passes > 80 || two_passes == 0, "{two_passes}");
}

#[test]
fn the_bundle_says_the_precision_and_the_configuration_overrides_it() {
    let mut random = Random(31);
    let bundles = Bundles::new();
    let mut spec = model(&mut random, Wants::default());
    spec.ranges = vec![5.0; spec.network.deep.len()];
    let packed = pack_model(&spec).unwrap();
    let files =
        [(Role::Model, MODEL_FILE, packed.as_slice()), (Role::Serving, SERVING_FILE, &b"precision = \"bf16\"\n"[..])];
    bundle::write(&bundles.path("a"), &files, false).unwrap();
    let wanted = |precision| open(&bundles, "a", None, precision).precision().unwrap().0;
    assert_eq!(wanted(None), Precision::Bf16);
    assert_eq!(wanted(Some(Precision::Exact)), Precision::Exact);
    assert_eq!(wanted(Some(Precision::Int8)), Precision::Int8);
    // A kernel without the instructions serves exact and says why.
    let portable = open(&bundles, "a", Some("portable"), None);
    let (wanted, serving, reason) = portable.precision().unwrap();
    assert_eq!((wanted, serving), (Precision::Bf16, Precision::Exact));
    assert!(reason.unwrap().contains("portable"));
    for (text, says) in [
        ("precision = \"fp4\"", "no precision is named \"fp4\""),
        ("precision = 4", "`precision` is not a text"),
        ("speed = 1", "unknown key `speed`"),
    ] {
        let files = [(Role::Model, MODEL_FILE, packed.as_slice()), (Role::Serving, SERVING_FILE, text.as_bytes())];
        bundle::write(&bundles.path("b"), &files, true).unwrap();
        let refused = Engine::open(&bundles.path("b"), &adclick::Options::default()).err().unwrap();
        assert!(refused.message.contains(says) && refused.message.contains("serving.toml"), "{}", refused.message);
    }
}

#[test]
fn int8_needs_ranges() {
    let mut random = Random(32);
    let bundles = Bundles::new();
    let spec = model(&mut random, Wants::default());
    bundle::write(&bundles.path("a"), &[(Role::Model, MODEL_FILE, &pack_model(&spec).unwrap())], false).unwrap();
    let (_, serving, reason) = open(&bundles, "a", None, Some(Precision::Int8)).precision().unwrap();
    assert_eq!(serving, Precision::Exact);
    assert!(reason.unwrap().contains("ranges"));
    let wrong = adclick::artifact::model::spec::ModelSpec { ranges: vec![1.0; 99], ..spec };
    assert!(pack_model(&wrong).unwrap_err().message.contains("ranges: 99 values"));
}
