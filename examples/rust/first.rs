//! First steps: open an engine, score, decide, write what happened on top of the tables, go to the next bundle and back.
//!
//!     cargo run --example first               opens examples/bundles
//!     cargo run --example first -- BUNDLES    any directory of bundles of examples/schemas/document_tables.toml

use std::error::Error;
use std::path::{Path, PathBuf};

use adclick::{
    BidKind, Candidate, Columns, Engine, Input, Operation, Options, Request, Row, Scorer, ScorerLimits, Upsert, Value,
    Winner, category_id, composite_key,
};

/// Ads that could be shown: id, advertiser, and bid for a click in millionths of the currency unit. The tables do not know
/// the click rate of a4, and nothing of a9: what is missing takes its default.
const ADS: [(&str, &str, i64); 5] = [
    ("a1", "acme", 500_000),
    ("a2", "globex", 450_000),
    ("a3", "initech", 480_000),
    ("a4", "acme", 520_000),
    ("a9", "globex", 500_000),
];

fn main() -> Result<(), Box<dyn Error>> {
    run(&PathBuf::from(std::env::args_os().nth(1).unwrap_or("examples/bundles".into())))
}

fn run(bundles: &Path) -> Result<(), Box<dyn Error>> {
    // Once, at start: the engine, on the bundle that CURRENT names, and a handle for each value that requests carry. With
    // `options.follow` a thread of the engine's own would go to the next bundle whenever CURRENT changes.
    let engine = Engine::open(bundles, &Options::default())?;
    let context = Context {
        device: engine.feature("device_type")?,
        placement: engine.feature("placement")?,
        session_depth: engine.feature("session_depth")?,
    };

    // Once for each thread: a scorer. All memory is allocated here, none for a request.
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: 1000 })?;

    println!("a request:");
    decide(&mut scorer, &context)?;

    // What a server's stream of events would do, on a thread of its own.
    stream(&engine)?;
    println!("the same request, after a click:");
    decide(&mut scorer, &context)?;

    // The next bundle: read and checked first, then made live by one swap. The rows on top stay.
    let second = engine.stage(&bundles.join("second"))?;
    println!("generation {:016x}, with a higher reserve:", second.generation());
    second.activate()?;
    decide(&mut scorer, &context)?;

    println!("back to generation {:016x}", engine.rollback()?);
    // Waits for requests under way. Dropping the engine does the same.
    engine.close();
    Ok(())
}

/// Handles of what requests carry; good whichever bundle is live later.
struct Context {
    device: u32,
    placement: u32,
    session_depth: u32,
}

fn decide(scorer: &mut Scorer, context: &Context) -> Result<(), Box<dyn Error>> {
    let values = [
        Value { feature: context.device, id: category_id(b"mobile"), number: 0.0 },
        Value { feature: context.placement, id: category_id(b"story"), number: 0.0 },
        Value { feature: context.session_depth, id: 0, number: 4.0 },
    ];
    let candidates = ADS.map(|(ad, advertiser, bid_micros)| Candidate {
        ad_key: category_id(ad.as_bytes()),
        advertiser_key: category_id(advertiser.as_bytes()),
        bid_kind: BidKind::Cpc as u32,
        bid_micros,
        ..Candidate::default()
    });
    let request = Request {
        request_id: 42,
        user_key: category_id(b"u1001"),
        time_us: 1_793_000_000_000_000,
        utc_offset_s: 3600, // the user's own clock gives hour and weekday
        n_slots: 3,
        ..Request::default()
    };
    let request = request.counting(&values, &candidates, &[]);
    let columns = Columns::default();
    let input = Input { request: &request, values: &values, candidates: &candidates, candidate_values: &[], columns };

    let mut winners = [Winner::default(); 3];
    let outcome = scorer.decide(input, &mut winners, &mut [])?;
    for winner in &winners[..outcome.n_winners as usize] {
        let (ad, ..) = ADS[winner.candidate as usize];
        let price = winner.price_micros as f64 / 1e6;
        println!("  slot {}: ad {ad}, pCTR {:.6}, pays {price:.6} for a click", winner.slot, winner.pctr);
    }
    println!("  {} values missing or unknown", outcome.n_missing);
    Ok(())
}

fn stream(engine: &Engine) -> adclick::Result<()> {
    let users = engine.table("users")?;
    let pairs = engine.table("user_advertiser")?;
    let user = category_id(b"u1001");

    // The user saw three ads and clicked on one. A row says which of the values are its own: here two, from the first on.
    let seen = [
        Value { feature: engine.column(users, "impressions_7d")?, number: 3.0, id: 0 },
        Value { feature: engine.column(users, "clicks_7d")?, number: 1.0, id: 0 },
    ];
    let increment = |table| Upsert { table, operation: Operation::Increment, time_us: 0 };
    engine.upsert(&increment(users), &[Row { key: user, first_value: 0, n_values: 2 }], &seen)?;

    // Two of them were ads of acme. The key of a cross table is made of the ids, in the order of the schema.
    let two = [Value { feature: engine.column(pairs, "impressions")?, number: 2.0, id: 0 }];
    let key = composite_key(&[user, category_id(b"acme")]);
    engine.upsert(&increment(pairs), &[Row { key, first_value: 0, n_values: 1 }], &two)?;
    Ok(())
}

#[test]
fn it_runs() {
    run(Path::new("examples/bundles")).unwrap();
}
