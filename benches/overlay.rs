//! What an overlay costs: nanoseconds for each key that is looked for, row that is read and row that is written; then
//! requests with and without writers beside them.
//! `cargo bench --bench overlay`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use adclick::Result;
use adclick::hash::mix;
use adclick::live::overlay::{Batch, Below, Freshness, Operation, Overlay};
use adclick::table::{Column, ColumnKind, RowLayout};
use adclick::types::{Row, Value};

/// Rows of the overlay and keys of a request.
const ROWS: u64 = 65_536;
const KEYS: usize = 1_000;

/// Rows of 64 bytes: 12 numbers, two ids, a vector of 4.
fn layout() -> Arc<RowLayout> {
    let column = |i: usize, kind| Column { name: format!("c{i}"), kind };
    let mut columns: Vec<Column> = (0..8).map(|i| column(i, ColumnKind::F32)).collect();
    columns.push(column(8, ColumnKind::Vector { dim: 4 }));
    columns.push(column(9, ColumnKind::U64 { cap: 1 }));
    columns.push(column(10, ColumnKind::U32 { cap: 2 }));
    Arc::new(RowLayout::new(columns).unwrap())
}

fn column(handle: u32) -> Result<usize> {
    Ok(handle as usize)
}

fn upsert(overlay: &Overlay, keys: impl Iterator<Item = u64>, operation: Operation) {
    let rows: Vec<Row> = keys.map(|key| Row { key, first_value: 0, n_values: 4 }).collect();
    let values: Vec<Value> = (0..4).map(|feature| Value { feature, number: 1.0, id: 0 }).collect();
    let missing = overlay.layout().missing();
    for rows in rows.chunks(100) {
        let batch = Batch { rows, values: &values, operation, time_us: 0 };
        overlay
            .upsert(&batch, &column, Below { fresh: Freshness::default(), row: &|_| None, default: &missing })
            .unwrap();
    }
}

/// The median over many repetitions of nanoseconds per item.
fn time(items: usize, mut what: impl FnMut(u64)) -> f64 {
    let mut times: Vec<f64> = (0..300)
        .map(|i| {
            let start = Instant::now();
            what(i);
            start.elapsed().as_nanos() as f64 / items as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let layout = layout();
    let overlay = Overlay::new(Arc::clone(&layout), ROWS as usize).unwrap();
    let held = |i: u64| 1 + mix(i) % ROWS;
    let keys_of = |round: u64| -> Vec<u64> { (0..KEYS as u64).map(|i| held(round << 32 | i)).collect() };
    upsert(&overlay, 1..ROWS + 1, Operation::Columns);
    println!(
        "{} rows of {} bytes, {:.1} MB, {} evicted while filling; nanoseconds for each of {KEYS} random keys",
        overlay.len(),
        layout.width(),
        overlay.memory() as f64 / 1e6,
        overlay.evictions()
    );
    let mut slots = vec![None; KEYS];
    let find = |keys: &[u64], slots: &mut [Option<u32>]| {
        for (slot, &key) in slots.iter_mut().zip(keys) {
            *slot = overlay.find(key);
        }
    };
    let absent = time(KEYS, |round| {
        let keys = keys_of(round).iter().map(|key| key << 20).collect::<Vec<_>>();
        find(&keys, &mut slots);
        black_box(&slots);
    });
    let present = time(KEYS, |round| {
        find(&keys_of(round), &mut slots);
        black_box(&slots);
    });
    let base = layout.missing();
    let mut out = layout.missing();
    let apply = time(KEYS, |round| {
        let keys = keys_of(round);
        find(&keys, &mut slots);
        for (slot, &key) in slots.iter().zip(&keys) {
            if let Some(slot) = slot {
                black_box(overlay.apply(*slot, key, &base, Freshness::default(), &mut out));
                black_box(&out);
            }
        }
    });
    let ahead = time(KEYS, |round| {
        let keys = keys_of(round);
        find(&keys, &mut slots);
        for (i, &key) in keys.iter().enumerate() {
            if let Some(Some(later)) = slots.get(i + 8) {
                overlay.prefetch(*later);
            }
            if let Some(slot) = slots[i] {
                black_box(overlay.apply(slot, key, &base, Freshness::default(), &mut out));
                black_box(&out);
            }
        }
    });
    let making = time(KEYS, |round| {
        black_box(keys_of(round));
    });
    println!("find, absent        {:7.1}", absent - making);
    println!("find, present       {:7.1}", present - making);
    println!("find and apply      {:7.1}", apply - making);
    println!("  asked for 8 ahead {:7.1}", ahead - making);
    println!(
        "upsert of 4 columns {:7.1}",
        time(KEYS, |round| upsert(&overlay, keys_of(round).into_iter(), Operation::Columns))
    );
    println!(
        "increment of 4      {:7.1}",
        time(KEYS, |round| upsert(&overlay, keys_of(round).into_iter(), Operation::Increment))
    );
    println!(
        "whole row           {:7.1}",
        time(KEYS, |round| upsert(&overlay, keys_of(round).into_iter(), Operation::WholeRow))
    );
}
