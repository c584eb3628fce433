//! Invalid traffic: what the rules find of simulated programs, and what becomes of it.

use std::collections::HashMap;

use adclick_join::simulate::{EventRow, Market, SegmentWriter};
use adclick_join::traffic::{Action, bit};

use crate::support::{BEGIN, DAY, HOUR, SECOND, aside, decision, directory, event, job, join, rows, segments};

#[test]
fn programs_are_found_and_people_are_left_alone() {
    let at = directory();
    let (logs, out) = (at.path().join("logs"), at.path().join("out"));
    std::fs::create_dir_all(&logs).unwrap();
    let market = Market { seed: 1, begin_us: BEGIN, length_us: 6 * HOUR, requests: 60_000, users: 5_000, bots: 0.05 };
    let mut truth = HashMap::new();
    let mut decisions = SegmentWriter::create(&logs.join("decisions.avro")).unwrap();
    let mut log = SegmentWriter::create(&logs.join("events.avro")).unwrap();
    let made = market.run(|decision, events, true_| {
        truth.insert(true_.id, true_);
        decisions.push(decision)?;
        events.iter().try_for_each(|event| log.push(*event))
    });
    made.and_then(|()| decisions.finish()).and_then(|()| log.finish()).unwrap();
    join(&job(&logs, &out));
    let (mut bots, mut caught, mut people, mut accused) = (0u64, 0u64, 0u64, 0u64);
    let (mut clicks, mut good) = (0u64, 0u64);
    for (id, row) in rows(&out) {
        let invalid = row.weight == 0.0;
        if truth[&id].bot {
            bots += 1;
            caught += u64::from(invalid);
        } else {
            people += 1;
            accused += u64::from(invalid);
            clicks += u64::from(row.click == 1);
            good += u64::from(row.bill_click);
        }
    }
    let (recall, wrong) = (caught as f64 / bots as f64, accused as f64 / people as f64);
    println!(
        "{bots} rows of programs, recall {recall:.4}; {people} of people, {wrong:.5} of them accused; {good} of {clicks} clicks billed"
    );
    assert!(bots > 1500 && people > 40_000);
    assert!(recall >= 0.95, "recall {recall}");
    assert!(wrong <= 0.001, "{wrong} of people's rows");
    assert!(good as f64 > 0.98 * clicks as f64, "{good} of {clicks} clicks");
}

#[test]
fn each_rule_finds_what_it_says_and_a_dropped_click_leaves_no_label() {
    let events = |events: Vec<EventRow>| events;
    let seen = |id, at| event(1, id, at);
    let many = |n: i64| {
        (0..n).flat_map(|i| [seen(i as u128 + 1, BEGIN), event(3, i as u128 + 1, BEGIN + (i + 1) * SECOND)]).collect()
    };
    let cases: Vec<(&str, Vec<EventRow>)> = vec![
        ("robot", events(vec![EventRow { agent_class: 2, ..seen(1, BEGIN) }])),
        ("data_centre", events(vec![EventRow { agent_class: 5, ..seen(1, BEGIN) }])),
        ("prefetch", events(vec![seen(1, BEGIN), EventRow { agent_class: 3, ..event(3, 1, BEGIN + SECOND) }])),
        ("rapid", events(vec![seen(1, BEGIN), event(3, 1, BEGIN + 199_999)])),
        (
            "gap",
            events(vec![
                seen(1, BEGIN),
                seen(2, BEGIN),
                event(3, 1, BEGIN + SECOND),
                event(3, 2, BEGIN + SECOND + 499_999),
            ]),
        ),
        (
            "dwell",
            events(vec![
                seen(1, BEGIN),
                event(3, 1, BEGIN + SECOND),
                EventRow { duration_us: Some(299_999), ..event(4, 1, BEGIN + 2 * SECOND) },
            ]),
        ),
        ("repeated", events([vec![seen(1, BEGIN)], vec![event(3, 1, BEGIN + SECOND); 4]].concat())),
        ("user_velocity", many(31)),
        ("ip_velocity", many(31).into_iter().map(|e: EventRow| EventRow { ip_class: Some(3), ..e }).collect()),
    ];
    for (name, events) in cases {
        for action in [Action::Flag, Action::Zero, Action::Drop, Action::Off] {
            let at = directory();
            let (logs, out) = (at.path().join("logs"), at.path().join("out"));
            let decisions: Vec<_> = (1..=31).map(|id| decision(id, BEGIN, 7)).collect();
            segments(&logs, "1", &decisions, &events);
            let mut job = job(&logs, &out);
            for (other, ..) in adclick_join::traffic::Rules::ALL {
                job.options.traffic.by_name(other).unwrap().action = Action::Off;
            }
            let rule = job.options.traffic.by_name(name).unwrap();
            rule.action = action;
            if name == "ip_velocity" {
                rule.limit = 30;
            }
            let done = join(&job);
            let (rows, aside) = (rows(&out), aside(&out));
            let flagged = rows.values().filter(|r| r.flags as u32 & bit(name) != 0).count() as u64;
            assert_eq!(flagged > 0, action != Action::Off, "{name} {action:?}");
            assert_eq!(done.summary.fates.get(&format!("rule.{name}")), flagged, "{name} {action:?}");
            let zero = rows.values().filter(|r| r.weight == 0.0).count() as u64;
            assert_eq!(zero, if action == Action::Zero { flagged } else { 0 }, "{name} {action:?}");
            let dropped = aside.get(&("click".to_owned(), "invalid".to_owned())).copied().unwrap_or(0);
            if action != Action::Drop {
                assert_eq!(dropped, 0, "{name} {action:?}");
            } else if !["robot", "data_centre"].contains(&name) {
                assert!(
                    dropped > 0 && rows.values().all(|r| r.click == 0 || r.flags as u32 & bit(name) == 0),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_click_that_weighs_nothing_gets_no_order() {
    let at = directory();
    let (logs, out) = (at.path().join("logs"), at.path().join("out"));
    let decisions = [decision(1, BEGIN, 7), decision(2, BEGIN + HOUR, 7)];
    let mut events = vec![
        event(1, 1, BEGIN),
        event(3, 1, BEGIN + SECOND),
        event(1, 2, BEGIN + HOUR),
        event(3, 2, BEGIN + HOUR + 1000),
    ];
    events.push(EventRow { user: Some(7), ..crate::support::order(1, BEGIN + DAY, 5) });
    segments(&logs, "1", &decisions, &events);
    join(&job(&logs, &out));
    let rows = rows(&out);
    assert_eq!((rows[&1].conversions, rows[&2].conversions), (1, 0));
    assert_eq!((rows[&2].weight, rows[&2].bill_click, rows[&2].click), (0.0, false, 1));
}
