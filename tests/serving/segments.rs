//! Calibrators of segments: each candidate gets those of its segment, in every precision.

use adclick::builder::bundle;
use adclick::builder::calibrate::{
    Calibrator, Calibrators, HeadCalibrator, Platt, Segment, SegmentKey, Segments, sigmoid,
};
use adclick::builder::schema::Kind;
use adclick::{Engine, Precision, Status};
use testkit::common::{Bundles, Case, Random, Wants, case, decide, model, options, score, scorer};
use testkit::plain_tables::{self, ask, enrich};
use testkit::segments;

use crate::plain::Plain;

fn heads() -> Calibrators {
    let platt = Calibrator::Platt(Platt::new(0.7, -0.4).unwrap());
    Calibrators { ctr: HeadCalibrator::new(0.25, platt).unwrap(), ..Calibrators::default() }
}

/// The calibrators in the order from the root to the deepest segment with these values: the last one counts.
fn own<'a>(calibrators: &'a Calibrators, values: &[Option<u64>], head: usize, root: &'a Calibrator) -> &'a Calibrator {
    let (mut at, mut own) = (0, root);
    for &value in values {
        let list = calibrators.segments.list();
        let found = list.iter().position(|s| s.parent == at && Some(s.value) == value);
        let Some(found) = found else { break };
        at = found as u32 + 1;
        own = list[found].own[head].as_ref().unwrap_or(own);
    }
    own
}

#[test]
fn each_candidate_has_the_calibrators_of_its_segment() {
    let bundles = Bundles::new();
    let (mut rows, mut deep, mut products) = (0, 0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let wants = Wants { heads: 1 + (seed % 2) as usize, goldens: 1, ..Wants::default() };
        let mut spec = model(&mut random, wants);
        let tables = enrich(&mut random, &mut spec);
        plain_tables::write(&bundles, "b", &spec, &tables);
        let calibrators = segments::add(&bundles.path("b"), &spec, &mut random, heads());
        let engine = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
        let mut scorer = scorer(&engine, 40);
        let plain = Plain::new(&spec, &engine).with_tables(&tables);
        for request in 0..6 {
            let mut case = case(&mut random, &spec.schema, 30, &engine);
            if request % 2 == 0 {
                case = ask(&mut random, &case);
            }
            let scores = score(&mut scorer, &case).unwrap();
            for i in 0..case.n() {
                let values: Vec<Option<u64>> = calibrators
                    .segments
                    .keys()
                    .iter()
                    .map(|key| match key {
                        SegmentKey::Placement => Some(case.request.placement.into()),
                        SegmentKey::Advertiser => Some(case.candidates[i].advertiser_key),
                        SegmentKey::Ad => Some(case.candidates[i].ad_key),
                        SegmentKey::Feature(name) => plain.category(&case, name, i),
                    })
                    .collect();
                assert_eq!(scorer.segment_values(i)[..values.len()], values, "seed {seed}, candidate {i}");
                let found = calibrators.segments.find(&values);
                deep += usize::from(calibrators.segments.depth(found) > 1);
                let of = |head: usize, root: &HeadCalibrator| {
                    let calibrator = own(&calibrators, &values, head, root.calibrator()).clone();
                    let z = f64::from(scorer.logits()[head][i]);
                    HeadCalibrator::new(root.keep_rate(), calibrator).unwrap().apply_logit(z) as f32
                };
                let pctr = of(0, &calibrators.ctr);
                assert_eq!(scores.pctr[i].to_bits(), pctr.to_bits(), "seed {seed}, candidate {i}");
                rows += 1;
                if wants.heads == 1 {
                    assert!(scores.pcvr[i].is_nan());
                    continue;
                }
                let (pcvr, product) = (of(1, &calibrators.cvr), own(&calibrators, &values, 2, &calibrators.product));
                // pCTR times what is served as pCVR is the calibrated product, as far as pCVR can be a probability.
                let joint = f64::from(pctr) * f64::from(pcvr);
                let expected = match product {
                    Calibrator::Identity => joint,
                    product => product.apply_logit((joint / (1.0 - joint)).ln()).min(f64::from(pctr)),
                };
                let served = f64::from(pctr) * f64::from(scores.pcvr[i]);
                assert!((served - expected).abs() <= 1e-6 * expected, "seed {seed}: {served}, expected {expected}");
                products += usize::from((expected - joint).abs() > 1e-3 * joint);
            }
        }
    }
    println!("{rows} rows, {deep} of them two levels down or more, {products} calibrated products");
    assert!(deep > 1000 && products > 1000, "the cases have grown too plain: {deep} {products}");
}

/// The same with two passes: bounds are those of each candidate's own curves.
#[test]
fn auctions_in_two_passes_are_exact_by_segment() {
    let (mut two_passes, mut filled) = (0, 0);
    for seed in 0..40 {
        let mut random = Random(300 + seed);
        let bundles = Bundles::new();
        let mut spec = model(&mut random, Wants { goldens: 16, ..Wants::default() });
        let tables = enrich(&mut random, &mut spec);
        plain_tables::write(&bundles, "b", &spec, &tables);
        segments::add(&bundles.path("b"), &spec, &mut random, heads());
        let open = |precision| {
            let mut options = options("portable");
            (options.kernel, options.precision) = (None, Some(precision));
            Engine::open(&bundles.path("b"), &options).unwrap()
        };
        let (exact, auction) = (open(Precision::Exact), open(Precision::AuctionExact));
        for _ in 0..8 {
            let mut case: Case = case(&mut random, &spec.schema, 120, &exact);
            case.request.n_slots = random.between(1, 4) as u32;
            let (right, fast) =
                (decide(&mut scorer(&exact, 120), &case).unwrap(), decide(&mut scorer(&auction, 120), &case).unwrap());
            assert_eq!(fast.winners, right.winners, "seed {seed}");
            assert_eq!(fast.reasons, right.reasons, "seed {seed}");
            two_passes += usize::from(fast.outcome.precision == Precision::AuctionExact as u32);
            filled += right.outcome.n_winners as usize;
        }
    }
    println!("{two_passes} decisions in two passes, {filled} places filled");
    assert!((two_passes > 100 || two_passes == 0) && filled > 300, "{two_passes} {filled}");
}

/// New calibrators alone are a new generation with the same model and tables, which are not read again.
#[test]
fn calibrators_are_swapped_alone() {
    let bundles = Bundles::new();
    let mut random = Random(5);
    let mut spec = model(&mut random, Wants::default());
    let tables = enrich(&mut random, &mut spec);
    plain_tables::write(&bundles, "a", &spec, &tables);
    plain_tables::write(&bundles, "b", &spec, &tables);
    let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
    let (before, first) = (engine.generation().unwrap(), engine.generation().unwrap().id());
    let case = case(&mut random, &spec.schema, 20, &engine);
    let mut scorer = scorer(&engine, 20);
    let raw = score(&mut scorer, &case).unwrap();
    for step in 1..=3 {
        let by = f64::from(step);
        let shift = |by| Some(Calibrator::Platt(Platt::new(1.0, by).unwrap()));
        let part = |value| Segment { parent: 0, value, own: [shift(by), None, None] };
        // Ads 1 to 10 have segments.
        let segments = Segments::new(vec![SegmentKey::Ad], (1..=10).map(part).collect()).unwrap();
        segments::write(&bundles.path("b"), &Calibrators { segments, ..Calibrators::default() });
        engine.stage(&bundles.path("b")).unwrap().activate().unwrap();
        let after = engine.generation().unwrap();
        assert_ne!(after.id(), first);
        assert!(std::sync::Arc::ptr_eq(before.model(), after.model()), "the model was opened again");
        let scores = score(&mut scorer, &case).unwrap();
        assert_eq!(scores.outcome.generation, after.id());
        for i in 0..case.n() {
            let z = f64::from(scorer.logits()[0][i]);
            let expected = if case.candidates[i].ad_key <= 10 { sigmoid(z + by) } else { f64::from(raw.pctr[i]) };
            assert_eq!(scores.pctr[i], expected as f32, "candidate {i}");
        }
    }
    engine.rollback().unwrap();
    assert!(score(&mut scorer, &case).unwrap().pctr[0] < 1.0);
}

#[test]
fn segments_that_the_model_cannot_have_are_refused() {
    let bundles = Bundles::new();
    let mut random = Random(9);
    let spec = model(&mut random, Wants::default());
    plain_tables::write(&bundles, "b", &spec, &[]);
    let open = |name: &str| {
        let segments = Segments::new(vec![SegmentKey::Feature(name.to_owned())], vec![]).unwrap();
        segments::write(&bundles.path("b"), &Calibrators { segments, ..Calibrators::default() });
        Engine::open(&bundles.path("b"), &options("portable")).err().map(|e| (e.status, e.message))
    };
    let (status, message) = open("nobody_reads_this").unwrap();
    assert_eq!(status, Status::Unsupported);
    assert!(message.contains("`nobody_reads_this`, which the model does not read"), "{message}");
    let number = spec.schema.features.iter().find(|f| matches!(f.kind, Kind::Number { .. })).unwrap();
    let (status, message) = open(&number.name).unwrap();
    assert_eq!(status, Status::Unsupported);
    assert!(message.contains("a number"), "{message}");
    let category = spec.schema.features.iter().find(|f| matches!(f.kind, Kind::Category { .. })).unwrap();
    assert_eq!(open(&category.name), None);
    assert!(bundle::Manifest::read(&bundles.path("b")).is_ok());
}
