//! Random streams with every disorder: equal to the plain join, and the same bytes however they are cut up.

use adclick_join::options::Options;
use adclick_join::run::Job;
use adclick_join::simulate::{DecisionRow, EventRow};
use adclick_join::traffic::{Action, Rules};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::brute;
use crate::support::{BEGIN, DAY, HOUR, SECOND, decision, directory, event, files, job, join, order, rows, segments};

/// No rules: what the plain join has.
pub fn lenient() -> Options {
    let mut options = Options::default();
    for (name, ..) in Rules::ALL {
        options.traffic.by_name(name).unwrap().action = Action::Off;
    }
    options
}

/// A stream in which everything is out of order. Times are drawn from few, so that ties are common.
pub fn stream(seed: u64) -> (Vec<DecisionRow>, Vec<EventRow>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut decisions, mut events) = (Vec::new(), Vec::new());
    let steps = [0, 0, SECOND, 59 * SECOND, HOUR, DAY - 1, DAY, DAY + 1, 7 * DAY, 7 * DAY + 1];
    let n = rng.random_range(1..14u64);
    for at in 0..n {
        // Ids that differ in one half, and in both.
        let id = [u128::from(at + 1), u128::from(at + 1) << 64, (u128::from(at + 1) << 64) | 5][rng.random_range(0..3)];
        let time = BEGIN + rng.random_range(0..6) * 20 * HOUR + rng.random_range(0..3) * 30 * SECOND;
        let mut row = decision(id, time, rng.random_range(1..4));
        row.user = row.user.filter(|_| rng.random_bool(0.9));
        row.advertiser = Some(rng.random_range(1..3)).filter(|_| rng.random_bool(0.95));
        row.slot = rng.random_range(0..3);
        row.ad = row.ad.filter(|_| rng.random_bool(0.95));
        if rng.random_bool(0.95) {
            decisions.push(row);
        }
        if rng.random_bool(0.1) {
            decisions.push(row);
        }
        if rng.random_bool(0.05) {
            decisions.push(DecisionRow { slot: row.slot + 1, ..row });
        }
        let mut seen = time;
        for _ in 0..[0, 1, 1, 1, 2][rng.random_range(0..5)] {
            seen = time + rng.random_range(-3..4) * 30 * SECOND + if rng.random_bool(0.05) { DAY } else { 0 };
            events.push(event(1, id, seen));
        }
        for _ in 0..[0, 0, 1, 1, 2, 4][rng.random_range(0..6)] {
            let clicked = seen + rng.random_range(-3..5) * 30 * SECOND + if rng.random_bool(0.1) { DAY } else { 0 };
            let event_id = Some(rng.random_range(1..4)).filter(|_| rng.random_bool(0.6));
            events.push(EventRow { event_id, ..event(3, id, clicked) });
            if rng.random_bool(0.3) {
                events.push(EventRow {
                    duration_us: Some(rng.random_range(0..5) * SECOND),
                    ..event(4, id, clicked + SECOND)
                });
            }
        }
        if rng.random_bool(0.1) {
            events.push(EventRow { feedback: Some(rng.random_range(1..4)), ..event(6, id, seen + SECOND) });
        }
        for _ in 0..[0, 0, 1, 2][rng.random_range(0..4)] {
            let bought = seen + steps[rng.random_range(0..steps.len())] + rng.random_range(-1..2) * 30 * SECOND;
            let number = rng.random_range(0..6);
            let mut row = order(number, bought, rng.random_range(0..4) * 10);
            row.order_id = row.order_id.filter(|&n| n != 0);
            row.advertiser = row.advertiser.filter(|_| rng.random_bool(0.9));
            row.id = Some(id).filter(|_| rng.random_bool(0.4));
            row.user = Some(rng.random_range(1..4)).filter(|_| rng.random_bool(0.8));
            row.click_id = Some(rng.random_range(1..4)).filter(|_| rng.random_bool(0.2));
            row.conversion_kind = Some([0, 0, 0, 1, 2][rng.random_range(0..5)]);
            events.push(row);
        }
    }
    for at in 0..events.len() {
        if rng.random_bool(0.1) {
            events.push(EventRow { received_us: events[at].received_us + SECOND, ..events[at] });
        }
        if rng.random_bool(0.03) {
            events[at].flags = [2, 4, 8][rng.random_range(0..3)];
        }
    }
    decisions.shuffle(&mut rng);
    events.shuffle(&mut rng);
    (decisions, events)
}

fn cases() -> u64 {
    std::env::var("ADCLICK_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

/// Random streams equal the plain join; shuffled, cut into segments and runs, they give the same bytes.
#[test]
fn random_streams_equal_the_plain_join_however_they_are_cut() {
    let at = directory();
    let (mut total, mut converted) = (0, 0);
    for seed in 0..cases() {
        let (mut decisions, mut events) = stream(seed);
        let mut rng = StdRng::seed_from_u64(seed ^ 0xabcd);
        let base = at.path().join(format!("{seed}"));
        let as_of_us = BEGIN + rng.random_range(0..14) * DAY;
        let of = |name: &str| Job {
            options: lenient(),
            as_of_us: Some(as_of_us),
            ..job(&base.join(name), &base.join(format!("{name}-out")))
        };
        let whole = of("whole");
        segments(&base.join("whole"), "1", &decisions, &events);
        join(&whole);

        let found = rows(&whole.out);
        let expected = brute::join(&whole.options, &decisions, &events);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "seed {seed}");
        for (id, row) in &found {
            let want = &expected[id];
            let mature = want.mature_us <= as_of_us;
            let label = |seen: bool| if seen { Some(1) } else { mature.then_some(0) };
            let what = format!("seed {seed} id {id:x}");
            assert_eq!(row.rendered_us, want.rendered_us, "{what}");
            assert_eq!(
                (row.click, row.clicks),
                (i32::from(!want.clicks.is_empty()), want.clicks.len() as i32),
                "{what}"
            );
            assert_eq!(row.click_us, want.clicks.first().map(|c| c.0), "{what}");
            assert_eq!(
                (row.conversions, row.value, row.conversion_us),
                (want.conversions, want.value, want.conversion_us),
                "{what}"
            );
            assert_eq!((row.conversion, row.mature), (label(want.conversions > 0), mature), "{what}");
            let post_click = if want.clicks.is_empty() { None } else { label(want.by_click > 0) };
            assert_eq!(row.post_click, post_click, "{what}");
            assert_eq!((row.dwell_us, row.feedback), (want.dwell_us, want.feedback), "{what}");
            total += 1;
            converted += want.conversions;
        }

        // Cut up: shuffled, several segments, several runs, several threads, parts of one row.
        decisions.shuffle(&mut rng);
        events.shuffle(&mut rng);
        let cut = Job { threads: 2, part_rows: Some(1 + seed % 3), ..of("cut") };
        let runs = rng.random_range(1..4);
        for n in 0..runs {
            let some = |len: usize| len * n / runs..len * (n + 1) / runs;
            let (mine, theirs) = (&decisions[some(decisions.len())], &events[some(events.len())]);
            segments(&base.join("cut"), &format!("{n}-a"), &mine[..mine.len() / 2], &theirs[..theirs.len() / 2]);
            segments(&base.join("cut"), &format!("{n}-b"), &mine[mine.len() / 2..], &theirs[theirs.len() / 2..]);
            join(&cut);
        }
        assert_eq!(files(&whole.out), files(&cut.out), "seed {seed}");
        std::fs::remove_dir_all(&base).unwrap();
    }
    assert!(
        total as u64 > 3 * cases() && converted as u64 > cases() / 2,
        "{total} rows, {converted} conversions: too few"
    );
}
