//! Logs what an engine decides and what comes of it: `cargo run --example log -- DIRECTORY`, then
//! `adclick log inspect DIRECTORY`. Run it where the repository is.

use std::error::Error;
use std::path::Path;

use adclick::{
    BidKind, Candidate, Columns, Engine, Event, EventKind, Input, LogOptions, Options, Request, ScorerLimits, Winner,
    category_id,
};

const NOW: i64 = 1_793_000_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: log DIRECTORY")?;
    serve(Path::new(&directory))
}

fn serve(directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    // Servers whose events may reach each other share a key. Keep it as a secret.
    options.impression_key = Some(0x5eed);
    let mut log = LogOptions::new(directory);
    log.slate_share = 0.1; // every tenth request with its candidates and their raw values
    options.log = Some(log);
    let engine = Engine::open(Path::new("examples/bundles/first"), &options)?;
    let mut scorer = engine.scorer(ScorerLimits::default())?;

    for request_id in 0..100 {
        let candidates = ["a1", "a2", "a3"].map(|ad| Candidate {
            ad_key: category_id(ad.as_bytes()),
            advertiser_key: category_id(b"acme"),
            bid_kind: BidKind::Cpc as u32,
            bid_micros: 500_000,
            ..Candidate::default()
        });
        let request = Request { request_id, user_key: category_id(b"u1001"), time_us: NOW, ..Request::default() };
        let request = request.counting(&[], &candidates, &[]);
        let columns = Columns::default();
        let input = Input { request: &request, values: &[], candidates: &candidates, candidate_values: &[], columns };
        let mut winners = [Winner::default(); 1];
        scorer.decide(input, &mut winners, &mut [])?;

        // The ad was rendered, and now and then clicked: the id came back in a URL.
        let mut event = Event::of(&winners[0], NOW + 2_000_000);
        assert!(engine.record(&event)?.ok());
        if request_id % 20 == 0 {
            event.kind = EventKind::Click;
            assert!(engine.record(&event)?.ok());
            assert!(engine.record(&event)?.repeated, "the same click again");
        }
        // Somebody makes up an id.
        event.impression_id = u128::from(request_id) + 1;
        assert!(engine.record(&event)?.forged);
        // Requests come faster here than from users, and eight slates of a scorer can wait for the thread.
        if request_id % 20 == 0 {
            engine.drain_log()?;
        }
    }
    engine.drain_log()?;
    let state = engine.log_state()?;
    println!("{:?} decisions, slates and events are safe in {}", state.written, directory.display());
    assert_eq!((state.written[0], state.written[2], state.lost), (100, 210, [0; 3]));
    engine.close();
    Ok(())
}

#[test]
fn logs() {
    let directory = tempfile::tempdir().unwrap();
    serve(directory.path()).unwrap();
}
