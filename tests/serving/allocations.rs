//! Serving allocates nothing: not when it scores, decides or refuses, from Rust or through the C ABI, on any kernel,
//! while another thread stages, activates and rolls back all the time.

#![allow(unsafe_code, reason = "calls through the C ABI")]

use std::ffi::CStr;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use adclick::auction::Reason;
use adclick::builder::capi::*;
use adclick::builder::infer::Kernel;
use adclick::{Candidate, Engine, Outcome, Refusal, Scorer, Value, Winner};
use testkit::common::{Bundles, Case, Random, Wants, case, logged, model, options, scorer};
use testkit::{allocator, plain_tables};

/// Calls of each kind on each kernel, over all serving threads.
const CALLS: usize = 10_000;
const THREADS: usize = 2;
const CANDIDATES: usize = 24;

/// Everything that one serving thread writes to.
struct Outputs {
    pctr: Vec<f32>,
    pcvr: Vec<f32>,
    winners: Vec<Winner>,
    reasons: Vec<Reason>,
}

impl Outputs {
    fn new() -> Self {
        Self {
            pctr: vec![0.0; CANDIDATES],
            pcvr: vec![0.0; CANDIDATES],
            winners: vec![Winner::default(); 8],
            reasons: vec![Reason::Won; CANDIDATES],
        }
    }
}

/// A request and its spoilt forms.
struct Requests {
    good: Case,
    size: Case,
    nan: Case,
    candidate_nan: Case,
    many: Case,
    short: Case,
}

impl Requests {
    fn new(random: &mut Random, good: Case) -> Self {
        let spoil = |change: &mut dyn FnMut(&mut Case)| {
            let mut case = good.clone();
            change(&mut case);
            case
        };
        let value = Value { feature: 1, number: f32::NAN, id: 0 };
        let place = random.between(0, CANDIDATES - 1);
        Self {
            size: spoil(&mut |case| case.request.struct_size = 3),
            nan: spoil(&mut |case| {
                case.values.push(value);
                case.request.n_values += 1;
            }),
            candidate_nan: spoil(&mut |case| {
                let first_value = case.candidate_values.len() as u32;
                case.candidate_values.push(value);
                case.request.n_candidate_values += 1;
                case.candidates[place] = Candidate { first_value, n_values: 1, ..case.candidates[place] };
            }),
            many: spoil(&mut |case| case.push(Candidate::default(), &[])),
            short: spoil(&mut |case| case.request.n_candidate_values += 1),
            good,
        }
    }
}

/// One of each call that serves. Returns the generation seen.
fn serve(scorer: &mut Scorer, case: &Case, x: &[f32], width: usize, out: &mut Outputs) -> (u64, bool) {
    let scored = scorer.score(case.input(), &mut out.pctr, &mut out.pcvr).unwrap();
    assert_eq!(scored.n_scored as usize, CANDIDATES);
    let decided = scorer.decide(case.input(), &mut out.winners, &mut out.reasons).unwrap();
    assert_eq!(decided.n_scored as usize, CANDIDATES);
    // Another generation may have become live meanwhile.
    assert!(matches!(scorer.explain(CANDIDATES - 1), Ok(_) | Err(Refusal::Argument { .. })));
    assert!(matches!(scorer.explain(CANDIDATES), Err(Refusal::Index { .. })));
    let dense = match scorer.score_dense(&x[..2 * width], 2, width, &mut out.pctr[..2], &mut []) {
        Ok(outcome) => outcome.n_scored == 2,
        // The generation of this moment is another one, of another width.
        Err(Refusal::Length { what: "columns of x", .. }) => false,
        Err(other) => panic!("{other}"),
    };
    (scored.generation, dense)
}

/// One of each refusal.
fn refuse(scorer: &mut Scorer, requests: &Requests, x: &[f32], width: usize, out: &mut Outputs) {
    let Outputs { pctr, pcvr, winners, reasons } = out;
    let mut both = |case: &Case| {
        let scored = scorer.score(case.input(), pctr, pcvr).unwrap_err();
        assert_eq!(scorer.decide(case.input(), winners, reasons).unwrap_err(), scored);
        scored
    };
    assert!(matches!(both(&requests.size), Refusal::StructSize { .. }));
    assert!(matches!(both(&requests.nan), Refusal::NotFinite { what: "values", .. }));
    assert!(matches!(both(&requests.candidate_nan), Refusal::NotFinite { what: "candidate_values", .. }));
    assert!(matches!(both(&requests.many), Refusal::Capacity { .. }));
    assert!(matches!(both(&requests.short), Refusal::Length { .. }));
    assert!(scorer.score_dense(&x[1..], 1, width, &mut pctr[..1], &mut []).is_err());
}

#[test]
fn nothing_is_allocated_while_generations_come_and_go() {
    for kernel in Kernel::available() {
        let bundles = Bundles::new();
        let mut random = Random(11);
        let names = ["a", "b", "c"];
        let specs: Vec<_> = (0..3)
            .map(|i| {
                let wants = Wants { wide: false, heads: 1 + i % 2, goldens: 1, similarities: true };
                // The second reads no table; keys of the others are made, found and missed.
                let (spec, tables) = loop {
                    let mut spec = model(&mut random, wants);
                    let tables = if i == 1 { Vec::new() } else { plain_tables::enrich(&mut random, &mut spec) };
                    if i == 1 || tables.len() > 4 {
                        break (spec, tables);
                    }
                };
                plain_tables::write(&bundles, names[i], &spec, &tables);
                spec
            })
            .collect();
        let engine = Engine::open(&bundles.path("a"), &logged(options(kernel.name()), &bundles.path("log"))).unwrap();
        let (stop, swaps, dense) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let servers: Vec<_> = (0..THREADS as u64)
                .map(|seed| {
                    let mut random = Random(100 + seed);
                    let good = case(&mut random, &specs[0].schema, CANDIDATES, &engine);
                    let good = plain_tables::ask(&mut random, &good);
                    let requests = Requests::new(&mut random, good);
                    let width = specs[0].schema.layout().width;
                    let x = random.row(2 * width);
                    let mut scorer = scorer(&engine, CANDIDATES);
                    let (dense, mut out) = (&dense, Outputs::new());
                    scope.spawn(move || {
                        let (mut seen, mut changes) = (0, 0);
                        let before = allocator::calls();
                        for call in 0..100 * CALLS / THREADS {
                            // On a busy machine the publisher may not have had its turn yet.
                            if call >= CALLS / THREADS && changes > 1 {
                                break;
                            }
                            let (generation, done) = serve(&mut scorer, &requests.good, &x, width, &mut out);
                            dense.fetch_add(done.into(), Ordering::Relaxed);
                            changes += u64::from(generation != seen);
                            seen = generation;
                            if call % 8 == 0 {
                                refuse(&mut scorer, &requests, &x, width, &mut out);
                            }
                        }
                        (allocator::calls() - before, changes)
                    })
                })
                .collect();
            let publisher = scope.spawn(|| {
                for i in 1.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    engine.stage(&bundles.path(names[i % 3])).unwrap().activate().unwrap();
                    if i % 3 == 0 {
                        engine.rollback().unwrap();
                    }
                    swaps.fetch_add(1, Ordering::SeqCst);
                }
            });
            let results: Vec<_> = servers.into_iter().map(|s| s.join()).collect();
            stop.store(true, Ordering::SeqCst);
            publisher.join().unwrap();
            for result in results {
                let (calls, changes) = result.unwrap();
                assert_eq!(calls, 0, "calls of the allocator on a serving thread, kernel {}", kernel.name());
                assert!(changes > 1, "the thread saw {changes} generations: nothing was swapped under it");
            }
        });
        assert!(dense.load(Ordering::SeqCst) > 0, "no ready input was ever scored");
        // The second bundle, which has no table, may have come last.
        engine.stage(&bundles.path("a")).unwrap().activate().unwrap();
        let mut text = vec![0; 1 << 16];
        let before = allocator::calls();
        let length = engine.metrics().unwrap().write(&mut text).unwrap();
        assert_eq!(allocator::calls() - before, 0, "calls of the allocator to read metrics");
        assert!(std::str::from_utf8(&text[..length]).unwrap().contains("\nadclick_table_rows{table="));
        println!(
            "{}: at least {CALLS} scores and decisions, {} dense, {} swaps, 0 allocations",
            kernel.name(),
            dense.load(Ordering::SeqCst),
            swaps.load(Ordering::SeqCst)
        );
    }
}

#[test]
fn the_counter_counts() {
    let before = (allocator::calls(), allocator::live());
    // Far more than the tests beside this one free meanwhile: what lives is counted for all threads.
    let mut memory = Vec::<u64>::with_capacity(16 << 20);
    memory.reserve_exact(32 << 20);
    assert!(allocator::live() - before.1 > 128 << 20);
    drop(memory);
    assert_eq!(allocator::calls() - before.0, 3);
}

#[test]
fn a_closed_engine_refuses_without_allocating() {
    let bundles = Bundles::new();
    let mut random = Random(12);
    let spec = model(&mut random, Wants::default());
    bundles.write("a", &spec);
    let engine = Engine::open(&bundles.path("a"), &logged(options("portable"), &bundles.path("log"))).unwrap();
    let case = case(&mut random, &spec.schema, CANDIDATES, &engine);
    let mut scorer = scorer(&engine, CANDIDATES);
    let mut out = Outputs::new();
    engine.close();
    let before = allocator::calls();
    let scored = scorer.score(case.input(), &mut out.pctr, &mut out.pcvr);
    let decided = scorer.decide(case.input(), &mut out.winners, &mut out.reasons);
    let dense = scorer.score_dense(&[], 0, 5, &mut [], &mut []);
    assert_eq!(allocator::calls() - before, 0);
    assert_eq!((scored, decided, dense), (Err(Refusal::Closed), Err(Refusal::Closed), Err(Refusal::Closed)));
}

fn fresh_error() -> adclick_error {
    adclick_error { struct_size: size_of::<adclick_error>() as u32, status: 0, message: [0; ADCLICK_ERROR_MESSAGE] }
}

/// The same through C: the calls, and messages into the caller's struct.
#[test]
fn the_c_abi_allocates_nothing_either() {
    let bundles = Bundles::new();
    let mut random = Random(13);
    let spec = model(&mut random, Wants { wide: false, ..Wants::default() });
    bundles.write("a", &spec);
    // Handles depend on the engine's schema alone, so those of a second engine on the same bundle are the same.
    let rust = Engine::open(&bundles.path("a"), &logged(options("portable"), &bundles.path("log"))).unwrap();
    let good = case(&mut random, &spec.schema, CANDIDATES, &rust);
    let width = spec.schema.layout().width;
    let x = random.row(CANDIDATES * width);
    let requests = Requests::new(&mut random, good);
    let mut out = Outputs::new();
    let mut reasons = [u32::MAX; CANDIDATES];
    let mut probabilities = [0.0f32; CANDIDATES];
    let path = bundles.path("a");
    let path = path.to_str().unwrap().as_bytes();
    let (mut engine, mut scorer, mut error) = (null_mut(), null_mut(), fresh_error());
    // SAFETY: arrays have the lengths that are passed with them, structs their size.
    let opened = unsafe { adclick_engine_open(path.as_ptr().cast(), path.len(), null(), &mut engine, &mut error) };
    assert_eq!(opened as i32, 0);
    let scorer_options =
        adclick_scorer_options { struct_size: 16, flags: 0, max_candidates: CANDIDATES as u32, reserved: 0 };
    // SAFETY: the struct states its size, and the outputs are locals.
    assert_eq!(unsafe { adclick_scorer_new(engine, &scorer_options, &mut scorer, &mut error) } as i32, 0);

    let mut outcome = Outcome { struct_size: size_of::<Outcome>() as u32, ..Outcome::default() };
    let mut score = |case: &Case, error: &mut adclick_error, outcome: &mut Outcome| {
        // SAFETY: arrays have the lengths that are passed with them; requests that claim more than they have are refused before arrays are read, or have NULL.
        unsafe {
            adclick_scorer_score(
                scorer,
                &case.request,
                case.values.as_ptr(),
                case.candidates.as_ptr(),
                case.candidate_values.as_ptr(),
                out.pctr.as_mut_ptr(),
                out.pcvr.as_mut_ptr(),
                outcome,
                error,
            ) as i32
        }
    };
    let mut decide = |case: &Case, winners: &mut [Winner], error: &mut adclick_error| {
        // SAFETY: arrays have the lengths that are passed with them.
        unsafe {
            adclick_scorer_decide(
                scorer,
                &case.request,
                case.values.as_ptr(),
                case.candidates.as_ptr(),
                case.candidate_values.as_ptr(),
                winners.as_mut_ptr(),
                winners.len() as u32,
                reasons.as_mut_ptr(),
                null_mut(),
                error,
            ) as i32
        }
    };
    let before = allocator::calls();
    for _ in 0..1000 {
        assert_eq!(score(&requests.good, &mut error, &mut outcome), 0);
        assert_eq!(decide(&requests.good, &mut out.winners, &mut error), 0);
    }
    let served = allocator::calls() - before;
    let before = allocator::calls();
    let mut told = [(0, 0, fresh_error()); 9];
    for _ in 0..100 {
        let [size, nan, candidate_nan, many, winners, dense_nan, dense_null, auction, free] = &mut told;
        let refused = |told: &mut (i32, i32, adclick_error), status: i32, expected: i32| {
            (told.0, told.1) = (status, expected);
        };
        let status = score(&requests.size, &mut size.2, &mut outcome);
        refused(size, status, -2);
        let status = score(&requests.nan, &mut nan.2, &mut outcome);
        refused(nan, status, -4);
        let status = decide(&requests.candidate_nan, &mut out.winners, &mut candidate_nan.2);
        refused(candidate_nan, status, -4);
        let mut request = requests.good.request;
        request.n_candidates = u32::MAX;
        // SAFETY: NULL for the arrays that would be too short.
        let status = unsafe {
            adclick_scorer_score(
                scorer,
                &request,
                null(),
                null(),
                null(),
                null_mut(),
                null_mut(),
                null_mut(),
                &mut many.2,
            )
        };
        refused(many, status as i32, -3);
        let status = decide(&requests.good, &mut [], &mut winners.2);
        refused(winners, status, -12);
        let row = [f32::NAN; 200];
        // SAFETY: the row is wider than the model.
        let status = unsafe {
            adclick_scorer_score_dense(
                scorer,
                row.as_ptr(),
                1,
                width as u32,
                probabilities.as_mut_ptr(),
                null_mut(),
                null_mut(),
                &mut dense_nan.2,
            )
        };
        refused(dense_nan, status as i32, -4);
        // SAFETY: NULL is refused.
        let status = unsafe {
            adclick_scorer_score_dense(
                scorer,
                null(),
                1,
                width as u32,
                null_mut(),
                null_mut(),
                null_mut(),
                &mut dense_null.2,
            )
        };
        refused(dense_null, status as i32, -1);
        // SAFETY: NULL is refused.
        let status = unsafe {
            adclick_auction_run(
                scorer,
                null(),
                null(),
                null(),
                null(),
                0,
                null_mut(),
                0,
                null_mut(),
                null_mut(),
                &mut auction.2,
            )
        };
        refused(auction, status as i32, -1);
        // SAFETY: NULL is refused.
        let status = unsafe {
            adclick_scorer_score(
                null_mut(),
                &request,
                null(),
                null(),
                null(),
                null_mut(),
                null_mut(),
                null_mut(),
                &mut free.2,
            )
        };
        refused(free, status as i32, -1);
    }
    // SAFETY: ready inputs of the model's width.
    let dense = unsafe {
        adclick_scorer_score_dense(
            scorer,
            x.as_ptr(),
            CANDIDATES as u32,
            width as u32,
            probabilities.as_mut_ptr(),
            null_mut(),
            null_mut(),
            &mut error,
        )
    };
    let refused = allocator::calls() - before;
    assert_eq!((served, refused, dense as i32, error.status), (0, 0, 0, 0));
    for (status, expected, error) in told {
        // SAFETY: every message is closed with 0.
        let message = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap();
        assert_eq!((status, error.status), (expected, expected), "{message}");
        assert!(message.len() > 10, "{message}");
    }
    let (mut text, mut length) = (vec![0u8; 1 << 16], 0);
    let before = allocator::calls();
    let read = [text.len(), 10].map(|room| {
        // SAFETY: the text has that room and more.
        unsafe { adclick_engine_metrics(engine, text.as_mut_ptr().cast(), room, &mut length, &mut error) as i32 }
    });
    assert_eq!((read, allocator::calls() - before), ([0, -12], 0));
    assert_eq!(adclick_engine_close(engine) as i32, 0);
    let before = allocator::calls();
    let closed = score(&requests.good, &mut error, &mut outcome);
    assert_eq!((closed, error.status, allocator::calls() - before), (-5, -5, 0));
    // SAFETY: it was made above and is freed once.
    assert_eq!(unsafe { adclick_scorer_free(scorer) } as i32, 0);
}
