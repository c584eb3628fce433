//! The cases that every join must get right, by number, and those of accounts and failures.

use adclick_join::run::Job;
use adclick_join::simulate::{DecisionRow, EventRow};

use crate::support::{
    BEGIN, DAY, HOUR, Row, SECOND, aside, decision, directory, event, files, job, join, order, rows, segments,
};

const CLICK: i32 = 3;
const SEEN: i32 = 1;

/// Joins in one run and returns rows, and counts of what is set aside.
fn all(decisions: &[DecisionRow], events: &[EventRow]) -> (Vec<Row>, impl Fn(&str, &str) -> u64 + use<>) {
    let at = directory();
    let (logs, out) = (at.path().join("logs"), at.path().join("out"));
    segments(&logs, "1", decisions, events);
    join(&job(&logs, &out));
    let aside = aside(&out);
    let rows = rows(&out).into_values().collect();
    (rows, move |kind: &str, reason: &str| aside.get(&(kind.to_owned(), reason.to_owned())).copied().unwrap_or(0))
}

fn seen_and_clicked(clicked: i64) -> (Vec<DecisionRow>, Vec<EventRow>) {
    (vec![decision(1, BEGIN, 7)], vec![event(SEEN, 1, BEGIN + SECOND), event(CLICK, 1, clicked)])
}

#[test]
fn case_1_the_same_click_twice_is_one_click_and_a_duplicate() {
    let (decisions, mut events) = seen_and_clicked(BEGIN + 3 * SECOND);
    events.push(EventRow { received_us: BEGIN + 9 * SECOND, ..events[1] });
    let (rows, aside) = all(&decisions, &events);
    assert_eq!((rows[0].click, rows[0].clicks, rows[0].click_us), (1, 1, Some(BEGIN + 3 * SECOND)));
    assert_eq!((aside("click", "duplicate"), aside("click", "conflicting")), (1, 0));
    assert!(rows[0].bill_click);
}

#[test]
fn case_2_one_click_id_with_other_content_is_set_aside() {
    for event_id in [None, Some(77)] {
        let (decisions, mut events) = seen_and_clicked(BEGIN + 3 * SECOND);
        events[1].event_id = event_id;
        events.insert(0, EventRow { time_us: BEGIN + 8 * SECOND, ip_class: Some(5), ..events[1] });
        let (rows, aside) = all(&decisions, &events);
        assert_eq!((rows[0].clicks, rows[0].click_us), (1, Some(BEGIN + 3 * SECOND)));
        assert_eq!((aside("click", "duplicate"), aside("click", "conflicting")), (0, 1));
    }
}

#[test]
fn case_3_the_last_click_gets_an_order_that_names_none() {
    let decisions = [decision(1, BEGIN, 7), decision(2, BEGIN + HOUR, 7), decision(3, BEGIN + HOUR, 8)];
    let mut events = Vec::new();
    for (id, at) in [(1, BEGIN), (2, BEGIN + HOUR), (3, BEGIN + HOUR)] {
        events.extend([event(SEEN, id, at + SECOND), event(CLICK, id, at + 5 * SECOND)]);
    }
    events.push(EventRow { user: Some(7), ..order(1, BEGIN + 2 * HOUR, 50) });
    let (rows, _) = all(&decisions, &events);
    assert_eq!(rows.iter().map(|r| r.conversions).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!((rows[1].conversion, rows[1].post_click, rows[1].touch.as_deref()), (Some(1), Some(1), Some("click")));
    // Another advertiser's order is none of theirs.
    events.last_mut().unwrap().advertiser = Some(2);
    let (rows, aside) = all(&decisions, &events);
    assert!(rows.iter().all(|r| r.conversions == 0));
    assert_eq!(aside("conversion", "no_touch"), 1);
}

#[test]
fn case_4_two_orders_of_one_click_and_one_again() {
    let (decisions, mut events) = seen_and_clicked(BEGIN + 3 * SECOND);
    let named = |order: EventRow| EventRow { id: Some(1), ..order };
    events.extend([1, 2, 1].map(|n| named(order(n, BEGIN + HOUR + n * SECOND, 10))));
    let (rows, aside) = all(&decisions, &events);
    assert_eq!((rows[0].conversions, rows[0].conversion, rows[0].value), (2, Some(1), 20));
    assert_eq!(aside("conversion", "duplicate"), 1);
    // The same order again with another value is not a duplicate delivery, and counts as little.
    events.last_mut().unwrap().value_micros = Some(99);
    let (rows, aside) = all(&decisions, &events);
    assert_eq!((rows[0].conversions, rows[0].value), (2, 20));
    assert_eq!((aside("conversion", "duplicate"), aside("conversion", "repeated_order")), (0, 1));
}

#[test]
fn case_5_a_click_before_its_impression_in_another_run() {
    let (decisions, events) = seen_and_clicked(BEGIN + 3 * SECOND);
    let at = directory();
    let whole = at.path().join("whole");
    segments(&at.path().join("all"), "1", &decisions, &events);
    join(&job(&at.path().join("all"), &whole));
    // In every order, and the decision last, too.
    for order in [[2, 1, 0], [0, 2, 1], [1, 2, 0], [1, 0, 2], [2, 0, 1]] {
        let (logs, out) = (at.path().join(format!("logs-{order:?}")), at.path().join(format!("out-{order:?}")));
        for what in order {
            let name = format!("{what}");
            match what {
                0 => segments(&logs, &name, &decisions, &[]),
                n => segments(&logs, &name, &[], &events[n - 1..n]),
            }
            join(&Job { as_of_us: Some(BEGIN), ..job(&logs, &out) });
        }
        assert_eq!(files(&out), files(&whole), "{order:?}");
    }
}

#[test]
fn case_6_a_window_ends_to_the_microsecond_also_when_clocks_change() {
    // The clocks of Berlin and of Los Angeles change within the week after these.
    for begin in [BEGIN, BEGIN + 6 * DAY] {
        for (late, conversions) in [(0, 1), (1, 0)] {
            for named in [Some(1), None] {
                let clicked = begin + 3 * SECOND;
                let decisions = [decision(1, begin, 7)];
                let mut events = vec![event(SEEN, 1, begin + SECOND), event(CLICK, 1, clicked)];
                events.push(EventRow { id: named, user: Some(7), ..order(1, clicked + 7 * DAY + late, 50) });
                let (rows, aside) = all(&decisions, &events);
                assert_eq!(rows[0].conversions, conversions, "{late} {named:?}");
                assert_eq!(aside("conversion", "no_touch"), 1 - conversions as u64);
            }
        }
    }
}

#[test]
fn case_7_a_conversion_before_the_click_is_credited_to_the_view() {
    for named in [Some(1), None] {
        for (clicked, bought, touch) in [(2 * HOUR, HOUR, Some("view")), (2 * DAY / 2, DAY + 2 * SECOND, Some("click"))]
        {
            let (decisions, mut events) = seen_and_clicked(BEGIN + clicked);
            events.push(EventRow { id: named, user: Some(7), ..order(1, BEGIN + bought, 50) });
            let (rows, _) = all(&decisions, &events);
            assert_eq!((rows[0].conversions, rows[0].touch.as_deref()), (1, touch), "{named:?}");
            // What a view got says nothing of what follows a click.
            assert_eq!(rows[0].post_click, if touch == Some("view") { None } else { Some(1) });
        }
        // A view counts for a day, to the microsecond.
        let (decisions, mut events) = seen_and_clicked(BEGIN + 20 * HOUR);
        events[1].id = Some(99);
        events.push(EventRow { id: named, user: Some(7), ..order(1, BEGIN + SECOND + DAY, 50) });
        events.push(EventRow { id: named, user: Some(7), ..order(2, BEGIN + SECOND + DAY + 1, 50) });
        let (rows, aside) = all(&decisions, &events);
        assert_eq!((rows[0].conversions, aside("conversion", "no_touch")), (1, 1));
    }
}

#[test]
fn case_8_orders_taken_back_and_restated() {
    for (kind, value, conversions, expected) in [(2, None, 0, 0), (1, Some(20), 1, 20)] {
        let (decisions, mut events) = seen_and_clicked(BEGIN + 3 * SECOND);
        events.push(EventRow { id: Some(1), ..order(1, BEGIN + HOUR, 50) });
        // Whoever takes an order back knows its number.
        events.push(EventRow { conversion_kind: Some(kind), value_micros: value, ..order(1, BEGIN + 2 * HOUR, 0) });
        let (rows, _) = all(&decisions, &events);
        assert_eq!((rows[0].conversions, rows[0].value), (conversions, expected));
        // Without the order, there is nothing to take back yet.
        events.remove(2);
        let (rows, aside) = all(&decisions, &events);
        assert_eq!((rows[0].conversions, aside("conversion", "no_order")), (0, 1));
    }
}

#[test]
fn case_10_what_was_never_rendered_is_no_row() {
    let decisions = [decision(1, BEGIN, 7), DecisionRow { ad: None, ..decision(2, BEGIN, 7) }];
    let (rows, _) = all(&decisions, &[]);
    assert!(rows.is_empty());
    let (rows, aside) = all(&decisions, &[event(CLICK, 1, BEGIN + SECOND), event(SEEN, 3, BEGIN)]);
    assert!(rows.is_empty());
    assert_eq!((aside("click", "no_impression"), aside("impression", "no_decision")), (1, 1));
}

#[test]
fn labels_are_open_until_nothing_can_come_any_more() {
    let (decisions, events) = seen_and_clicked(BEGIN + 3 * SECOND);
    let at = directory();
    let (logs, out) = (at.path().join("logs"), at.path().join("out"));
    segments(&logs, "1", &decisions, &events);
    let until = BEGIN + 3 * SECOND + 7 * DAY;
    for (as_of, label, mature) in [(BEGIN, None, false), (until - 1, None, false), (until, Some(0), true)] {
        let done = join(&Job { as_of_us: Some(as_of), ..job(&logs, &out) });
        let row = &rows(&out)[&1];
        assert_eq!((row.conversion, row.post_click, row.mature), (label, label, mature));
        // Nothing is new, so nothing is written but what time changes.
        assert_eq!(done.hours_written, u64::from(as_of != until - 1));
    }
    // A later order makes it a 1 again, whatever was thought before.
    segments(&logs, "2", &[], &[EventRow { id: Some(1), ..order(1, until, 5) }]);
    join(&Job { as_of_us: Some(until), ..job(&logs, &out) });
    assert_eq!(rows(&out)[&1].conversion, Some(1));
    let error = adclick_join::run::run(
        &Job { as_of_us: Some(BEGIN), ..job(&logs, &out) },
        &adclick_data::progress::Progress::silent(),
    );
    assert!(format!("{:#}", error.unwrap_err()).contains("--as-of is before that of an earlier run"));
}

#[test]
fn forged_expired_late_and_early_events_are_set_aside_and_counted() {
    let (decisions, mut events) = seen_and_clicked(BEGIN + 3 * SECOND);
    let minute = 60 * SECOND;
    let stray = [
        EventRow { flags: 2, ..event(CLICK, 1, BEGIN + SECOND) },
        EventRow { flags: 4, ..event(CLICK, 1, BEGIN + SECOND) },
        EventRow { flags: 2, ..event(SEEN, 1, BEGIN) },
        EventRow { event_id: Some(1), ..event(CLICK, 1, BEGIN + SECOND - minute - 1) },
        EventRow { event_id: Some(2), ..event(CLICK, 1, BEGIN + SECOND + DAY + 1) },
        EventRow { event_id: Some(3), ..event(CLICK, 5, BEGIN) },
        EventRow { flags: 2, id: Some(1), ..order(8, BEGIN + HOUR, 1) },
        EventRow { id: Some(9), ..order(9, BEGIN + HOUR, 1) },
        order(10, BEGIN + HOUR, 1),
    ];
    events.extend(stray);
    // Within the tolerance: another click, a little before its impression.
    events.push(EventRow { event_id: Some(4), ..event(CLICK, 1, BEGIN + SECOND - minute) });
    let (rows, aside) = all(&decisions, &events);
    assert_eq!((rows.len(), rows[0].clicks, rows[0].click_us), (1, 2, Some(BEGIN + SECOND - minute)));
    let expected = [
        ("click", "forged", 1),
        ("click", "expired", 1),
        ("impression", "forged", 1),
        ("click", "before_parent", 1),
        ("click", "too_late", 1),
        ("click", "no_decision", 1),
        ("conversion", "forged", 1),
        ("conversion", "unknown_impression", 1),
        ("conversion", "no_user", 1),
    ];
    for (kind, reason, n) in expected {
        assert_eq!(aside(kind, reason), n, "{kind} {reason}");
    }
}

#[test]
fn an_output_of_other_rules_and_what_is_no_log_are_refused() {
    let (decisions, events) = seen_and_clicked(BEGIN + 3 * SECOND);
    let at = directory();
    let (logs, out) = (at.path().join("logs"), at.path().join("out"));
    segments(&logs, "1", &decisions, &events);
    // What is being written is nobody's business yet.
    std::fs::write(logs.join("_events-2.avro.open"), "half").unwrap();
    let again = join(&job(&logs, &out));
    assert_eq!((again.segments, again.known_segments), (2, 0));
    let again = join(&job(&logs, &out));
    assert_eq!((again.segments, again.known_segments, again.hours_written), (0, 2, 0));
    let refused = |job: &Job| {
        format!("{:#}", adclick_join::run::run(job, &adclick_data::progress::Progress::silent()).unwrap_err())
    };
    let mut other = job(&logs, &out);
    other.options.view_window_us += 1;
    assert!(refused(&other).contains("was joined with other rules"));
    let bytes = std::fs::read(logs.join("events-1.avro")).unwrap();
    std::fs::write(logs.join("events-3.avro"), &bytes[..bytes.len() - 20]).unwrap();
    let error = refused(&job(&logs, &out));
    assert!(error.contains("events-3.avro"), "{error}");
    std::fs::write(logs.join("events-3.avro"), "this is no Avro file at all").unwrap();
    assert!(refused(&job(&logs, &out)).contains("events-3.avro as Avro"));
    // A failed run leaves everything as it was.
    std::fs::remove_file(logs.join("events-3.avro")).unwrap();
    assert_eq!(join(&job(&logs, &out)).summary, again.summary);
}
