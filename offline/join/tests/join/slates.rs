//! Slates: case 9, and the values behind inputs as columns.

use std::collections::HashMap;
use std::path::Path;

use adclick_join::options::{Feature, FeatureKind};
use adclick_join::run::Job;
use adclick_join::simulate::DecisionRow;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_schema::DataType;
use serde_json::{Value, json};

use crate::support::{BEGIN, SECOND, batches, decision, directory, event, files, job, join, rows, segments};

const SLATE: &str = include_str!("../../../../src/decision_log/schema/slate.avsc");

type Named = HashMap<String, Value>;

fn long(n: i64, out: &mut Vec<u8>) {
    let mut rest = ((n << 1) ^ (n >> 63)) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(text: &str, out: &mut Vec<u8>) {
    long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A value in Avro's binary encoding, by the specification alone.
fn encode(kind: &Value, named: &mut Named, value: &Value, out: &mut Vec<u8>) {
    match kind {
        Value::Array(_) if value.is_null() => long(0, out),
        Value::Array(kinds) => {
            long(1, out);
            encode(&kinds[1], named, value, out);
        }
        Value::String(name) => match name.as_str() {
            "long" | "int" => long(value.as_i64().unwrap_or(0), out),
            "float" => out.extend_from_slice(&(value.as_f64().unwrap_or(0.0) as f32).to_le_bytes()),
            "double" => out.extend_from_slice(&value.as_f64().unwrap_or(0.0).to_le_bytes()),
            "string" => text(value.as_str().unwrap(), out),
            _ => encode(&named[name].clone(), named, value, out),
        },
        Value::Object(object) if object["type"] == "array" => {
            let items = value.as_array().unwrap();
            if !items.is_empty() {
                long(items.len() as i64, out);
                items.iter().for_each(|item| encode(&object["items"], named, item, out));
            }
            long(0, out);
        }
        Value::Object(object) => {
            named.insert(object["name"].as_str().unwrap().to_owned(), kind.clone());
            for field in object["fields"].as_array().unwrap() {
                let value = value.get(field["name"].as_str().unwrap()).unwrap_or(&Value::Null);
                encode(&field["type"], named, value, out);
            }
        }
        _ => panic!("{kind} is no type"),
    }
}

/// A container file with one block. `sync` tells files apart.
fn write(path: &Path, sync: u8, slates: &[Value]) {
    let schema: Value = serde_json::from_str(SLATE).unwrap();
    let mut block = Vec::new();
    slates.iter().for_each(|slate| encode(&schema, &mut HashMap::new(), slate, &mut block));
    let mut out = b"Obj\x01".to_vec();
    long(2, &mut out);
    for (key, value) in [("avro.schema", SLATE), ("avro.codec", "null")] {
        text(key, &mut out);
        text(value, &mut out);
    }
    long(0, &mut out);
    out.extend_from_slice(&[sync; 16]);
    long(slates.len() as i64, &mut out);
    long(block.len() as i64, &mut out);
    out.extend_from_slice(&block);
    out.extend_from_slice(&[sync; 16]);
    std::fs::write(path, out).unwrap();
}

fn slate() -> Value {
    let value = |feature: &str, number: f64, id: i64| json!({"feature": feature, "number": number, "id": id});
    json!({
        "time_us": BEGIN, "request_id": 1, "slate_share": 0.1,
        "values": [value("depth", 2.5, 0), value("system", 1.0, 77)],
        "candidates": [
            {"candidate": 0, "ad": 101, "slot": 0, "impression_id": 1, "impression_id_high": 0, "propensity": 0.25, "weight": 10.0,
             "values": [value("tags", 1.0, 5), value("tags", 1.0, 6), value("embedding", 0.5, 1), value("embedding", 0.25, 0)]},
            {"candidate": 1, "ad": 102, "propensity": 0.5, "weight": 10.0, "values": []},
            {"candidate": 2, "ad": 103, "weight": 40.0, "values": []},
        ],
    })
}

#[test]
fn case_9_rows_of_a_slate_sampled_at_a_tenth_weigh_ten_and_winners_one() {
    let at = directory();
    let (logs, out) = (at.path().join("logs"), at.path().join("out"));
    let decisions = [DecisionRow { slate_share: Some(0.1), ..decision(1, BEGIN, 7) }];
    segments(&logs, "1", &decisions, &[event(1, 1, BEGIN + SECOND), event(3, 1, BEGIN + 2 * SECOND)]);
    write(&logs.join("slates-1.avro"), 1, &[slate(), slate()]);
    let kinds = [
        ("depth", FeatureKind::Number),
        ("system", FeatureKind::Category),
        ("tags", FeatureKind::Multi),
        ("embedding", FeatureKind::Vector),
    ];
    let features: Vec<Feature> =
        kinds.iter().map(|(name, kind)| Feature { name: (*name).to_owned(), kind: *kind }).collect();
    let mut job = job(&logs, &out);
    job.options.features = features;
    let done = join(&job);
    assert_eq!((done.summary.fates.get("slate.joined"), done.summary.fates.get("slate.duplicate")), (1, 1));
    let row = &rows(&out)[&1];
    assert_eq!((row.weight, row.propensity), (1.0, Some(0.25)));

    let all = files(&out.join("slates"));
    let slates = batches(&out.join("slates").join(all.keys().next().unwrap()));
    let slates = &slates[0];
    let double = |name: &str| slates.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
    assert_eq!(double("weight").values(), &[10.0, 10.0, 40.0]);
    let propensities = double("propensity");
    assert_eq!((propensities.value(0), propensities.value(1), propensities.is_null(2)), (0.25, 0.5, true));
    // Those that were not shown are no negatives.
    let clicks = slates.column_by_name("label_click").unwrap().as_primitive::<Int32Type>();
    assert_eq!((clicks.value(0), clicks.is_null(1), clicks.is_null(2)), (1, true, true));
    let requests = slates.column_by_name("request_id").unwrap().as_primitive::<Int64Type>();
    assert_eq!(requests.values(), &[1, 1, 1]);

    // The values are columns of rows.
    let all = files(&out.join("rows"));
    let rows = &batches(&out.join("rows").join(all.keys().next().unwrap()))[0];
    let of = |name: &str| rows.column_by_name(name).unwrap();
    assert_eq!(of("depth").as_primitive::<Float32Type>().value(0), 2.5);
    assert_eq!(of("system").as_primitive::<Int64Type>().value(0), 77);
    assert_eq!(of("tags").as_list::<i32>().value(0).as_primitive::<Int64Type>().values(), &[5, 6]);
    assert_eq!(of("embedding").as_list::<i32>().value(0).as_primitive::<Float32Type>().values(), &[0.25, 0.5]);
    assert!(matches!(of("tags").data_type(), DataType::List(_)));

    // The slate in a run of its own gives the same.
    let (later, again) = (at.path().join("later"), at.path().join("again"));
    segments(&later, "1", &decisions, &[event(1, 1, BEGIN + SECOND), event(3, 1, BEGIN + 2 * SECOND)]);
    let cut = Job { logs: vec![later.clone()], out: again.clone(), ..job };
    join(&cut);
    write(&later.join("slates-1.avro"), 1, &[slate()]);
    write(&later.join("slates-2.avro"), 2, &[slate()]);
    join(&cut);
    assert_eq!(files(&out), files(&again));
}
