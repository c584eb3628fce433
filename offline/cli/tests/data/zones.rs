//! Hours and weekdays are those of the user's clock, in training as in serving, for users all over the world.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::hash::mix;
use adclick::{Candidate, Engine, Input, Options, Request, ScorerLimits};
use adclick_data::logs::{BadLimit, Format, LogFiles};
use adclick_data::progress::JobStage;
use adclick_data::schema_file::SchemaFile;
use adclick_train::trainer::TrainingInputs;
use adclick_train::unpack::unpack;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

/// A zone in 2014: its name, its offset in winter, and when summer time began and ended, by the laws and not by a library.
struct Zone {
    name: &'static str,
    winter: i64,
    summer: Option<(i64, i64)>,
}

const ZONES: [Zone; 5] = [
    Zone { name: "Asia/Tokyo", winter: 9 * 3600, summer: None },
    Zone { name: "Asia/Kathmandu", winter: 5 * 3600 + 45 * 60, summer: None },
    // 30 March to 26 October, both at 01:00 UTC.
    Zone { name: "Europe/Berlin", winter: 3600, summer: Some((1_396_141_200, 1_414_285_200)) },
    // 9 March 07:00 UTC to 2 November 06:00 UTC: at 02:00 by the clock.
    Zone { name: "America/New_York", winter: -5 * 3600, summer: Some((1_394_348_400, 1_414_908_000)) },
    // Likewise, an hour and a half earlier.
    Zone { name: "America/St_Johns", winter: -(3 * 3600 + 1800), summer: Some((1_394_343_000, 1_414_902_600)) },
];

impl Zone {
    fn offset(&self, at: i64) -> i64 {
        let summer = self.summer.is_some_and(|(begin, end)| (begin..end).contains(&at));
        self.winter + if summer { 3600 } else { 0 }
    }

    /// Whether the clock shows this time twice.
    fn twice(&self, at: i64) -> bool {
        self.summer.is_some_and(|(_, end)| (end - 3600..end + 3600).contains(&at))
    }
}

/// The click rate when the user's clock shows this hour.
fn rate(hour: i64) -> f64 {
    match hour {
        0..6 => 0.04,
        6..18 => 0.2,
        _ => 0.55,
    }
}

fn local_hour(at: i64, offset: i64) -> i64 {
    (at + offset).div_euclid(3600).rem_euclid(24)
}

/// The clock of a time, as a log writes it.
fn clock(at: i64) -> String {
    adclick_data::time::show(at * 1_000_000).trim_end_matches('Z').replace('T', " ")
}

fn offset_text(offset: i64) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", offset.abs() / 3600, offset.abs() / 60 % 60)
}

/// Impressions of a year: time, zone and click.
fn impressions(n: u64) -> Vec<(i64, &'static Zone, bool)> {
    let all = (0..n).map(|i| {
        let zone = &ZONES[(mix(i) % 5) as usize];
        let at = 1_388_534_400 + (mix(i + 1_000_000) % (365 * 86_400)) as i64;
        let chance = (mix(i + 2_000_000) >> 11) as f64 / (1u64 << 53) as f64;
        (at, zone, chance < rate(local_hour(at, zone.offset(at))))
    });
    all.filter(|(at, zone, _)| !zone.twice(*at)).collect()
}

const FEATURES: &str = "[[features]]\nname = 'hour'\nsource = 'time'\nkind = 'category'\nembedding = { dim = 4, count = 24, wide = true }\n\
                        [[features]]\nname = 'weekday_sin'\nsource = 'time'\nkind = 'number'\n\
                        [[features]]\nname = 'ad'\nkind = 'category'\nraw = 'integer'\nembedding = { dim = 1, count = 3 }\n";

/// How a log writes the time of an impression.
type Written<'a> = &'a dyn Fn(i64, &Zone) -> String;

/// A file of impressions with the time written in one way, and the schema that says how.
fn write(dir: &Path, name: &str, rows: &[(i64, &Zone, bool)], labels: &str, time: Written<'_>) -> PathBuf {
    let mut text = "click,at,tz,off,ad\n".to_owned();
    for (i, (at, zone, click)) in rows.iter().enumerate() {
        let offset = zone.offset(*at);
        let _ = writeln!(text, "{},{},{},{offset},{}", u8::from(*click), time(*at, zone), zone.name, i % 3);
    }
    std::fs::write(dir.join(format!("{name}.csv")), text).unwrap();
    std::fs::write(
        dir.join(format!("{name}.toml")),
        format!("[labels]\nclick = 'click'\ntime = 'at'\n{labels}\n{FEATURES}"),
    )
    .unwrap();
    dir.join(format!("{name}.csv"))
}

fn source(csv: &Path) -> LogFiles {
    let schema = SchemaFile::read(&csv.with_extension("toml")).unwrap();
    LogFiles {
        limit: BadLimit::Rows(0),
        ..LogFiles::new(vec![csv.to_owned()], Format::Examples(schema.data_columns().unwrap()))
    }
}

/// Time and offset of each row.
fn times(csv: &Path) -> Vec<(i64, i32)> {
    let mut times = Vec::new();
    let read = |batch: &adclick_data::logs::RowBatch| {
        times.extend(batch.rows().iter().map(|row| (row.time_us.unwrap(), row.utc_offset_s)));
        Ok(())
    };
    source(csv).for_each(&JobStage::silent(), read).unwrap();
    times
}

fn train(dir: &Path, name: &str) -> PathBuf {
    let arguments = format!(
        "train --data {name}.csv --format examples --schema {name}.toml --out {name} --replace --epochs 4 --hidden 8 \
         --cross vector --cross-layers 1 --lr 0.005 --decay 0 --decay-embedding 0 --dropout 0 --dropout-embedding 0"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_adclick"))
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    dir.join(name)
}

/// The pCTR that a server gets, and the inputs that the model sees.
struct Served {
    engine: Engine,
    scorer: adclick::Scorer,
    width: usize,
}

impl Served {
    fn open(bundle: &Path) -> Self {
        let engine = Engine::open(bundle, &Options::default()).unwrap();
        let width = engine.generation().unwrap().model().layout().width;
        Self { scorer: engine.scorer(ScorerLimits { max_candidates: 1 }).unwrap(), engine, width }
    }

    fn at(&mut self, time_us: i64, utc_offset_s: i32, ad: u64) -> (f32, Vec<f32>) {
        let value = adclick::Value { feature: self.engine.feature("ad").unwrap(), number: 1.0, id: ad };
        let candidate = Candidate { n_values: 1, ..Candidate::default() };
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            time_us,
            utc_offset_s,
            n_candidates: 1,
            n_candidate_values: 1,
            ..Request::default()
        };
        let input = Input {
            request: &request,
            values: &[],
            candidates: &[candidate],
            candidate_values: &[value],
            columns: Default::default(),
        };
        let (mut pctr, mut x) = ([0.0], vec![0.0; self.width]);
        self.scorer.score(input, &mut pctr, &mut []).unwrap();
        self.scorer.model_input(input, 0, &mut x).unwrap();
        (pctr[0], x)
    }
}

#[test]
fn the_same_moments_are_read_however_a_log_writes_them() {
    let dir = TempDir::new().unwrap();
    let rows = impressions(4000);
    let expected: Vec<(i64, i32)> =
        rows.iter().map(|(at, zone, _)| (at * 1_000_000, zone.offset(*at) as i32)).collect();
    let utc = |at: i64, _: &Zone| at.to_string();
    let own = |at: i64, zone: &Zone| clock(at + zone.offset(at)) + &offset_text(zone.offset(at));
    let local = |at: i64, zone: &Zone| clock(at + zone.offset(at));
    let forms: [(&str, Written<'_>); 5] = [
        ("zone_column = 'tz'", &utc),
        ("utc_offset = 'off'", &utc),
        ("utc_offset = 'at'", &own),
        ("zone_column = 'tz'\nlocal_time = true", &local),
        ("utc_offset = 'off'\nlocal_time = true", &local),
    ];
    for (labels, time) in forms {
        assert_eq!(times(&write(dir.path(), "x", &rows, labels, time)), expected, "{labels}");
    }
    // One zone for the whole file: it follows the clock's changes too.
    let berlin: Vec<_> = rows.iter().filter(|(_, zone, _)| zone.name == "Europe/Berlin").copied().collect();
    let expected: Vec<(i64, i32)> =
        berlin.iter().map(|(at, zone, _)| (at * 1_000_000, zone.offset(*at) as i32)).collect();
    for (labels, time) in
        [("zone = 'Europe/Berlin'", &utc as Written<'_>), ("zone = 'Europe/Berlin'\nlocal_time = true", &local)]
    {
        assert_eq!(times(&write(dir.path(), "b", &berlin, labels, time)), expected, "{labels}");
    }
}

#[test]
fn served_rates_follow_the_clock_of_users_in_five_zones() {
    let dir = TempDir::new().unwrap();
    let rows = impressions(20_000);
    let utc = |at: i64, _: &Zone| at.to_string();
    let local = |at: i64, zone: &Zone| clock(at + zone.offset(at));
    write(dir.path(), "zones", &rows, "zone_column = 'tz'", &utc);
    // Without a zone, but with what the user's clock showed: the same hours.
    write(dir.path(), "local", &rows, "local_time = true", &local);
    for name in ["zones", "local"] {
        let mut served = Served::open(&train(dir.path(), name));
        for zone in &ZONES {
            // Each hour of a day in winter and in summer.
            for day in [1_390_000_000, 1_405_000_000] {
                for (low, high) in [(0, 6), (6, 18), (18, 24)] {
                    let hours: Vec<i64> = (0..24)
                        .map(|h| day + h * 3600)
                        .filter(|at| (low..high).contains(&local_hour(*at, zone.offset(*at))))
                        .collect();
                    let mut mean = 0.0;
                    for at in &hours {
                        let pctr = served.at(at * 1_000_000, zone.offset(*at) as i32, 1).0;
                        mean += f64::from(pctr) / hours.len() as f64;
                    }
                    let truth = rate(low);
                    assert!(
                        (mean - truth).abs() < 0.03,
                        "{name}, {}, {low} to {high} o'clock: served {mean:.3}, the truth is {truth}",
                        zone.name
                    );
                }
            }
        }
    }
}

#[test]
fn training_and_serving_see_the_same_clock_to_the_bit() {
    let dir = TempDir::new().unwrap();
    let rows = impressions(600);
    let utc = |at: i64, _: &Zone| at.to_string();
    let local = |at: i64, zone: &Zone| clock(at + zone.offset(at));
    let forms: [(&str, Written<'_>, bool); 4] = [
        ("zone_column = 'tz'", &utc, true),
        ("zone_column = 'tz'\nlocal_time = true", &local, true),
        ("local_time = true", &local, true),
        // Nothing said: UTC, and the server passes 0.
        ("", &utc, false),
    ];
    for (labels, time, zoned) in forms {
        let csv = write(dir.path(), "x", &rows, labels, time);
        let bundle = train(dir.path(), "x");
        let model = Model::open(Bytes::open(&bundle.join("model.adc"), OpenMode::Map).unwrap()).unwrap();
        let said = if zoned {
            "the user's own: requests pass the user's utc_offset_s"
        } else {
            "UTC: requests pass utc_offset_s = 0"
        };
        assert!(model.provenance().contains(&format!("clock = \"{said}\"")), "{labels}: {}", model.provenance());
        let source = source(&csv);
        let mut inputs = TrainingInputs::new(&unpack(&model), &source).unwrap();
        let mut served = Served::open(&bundle);
        let mut seen = 0;
        source
            .for_each(&JobStage::silent(), |batch| {
                for row in batch.rows() {
                    let (at, zone, _) = rows[row.number as usize];
                    let offset = if zoned { zone.offset(at) as i32 } else { 0 };
                    let (_, theirs) = served.at(at * 1_000_000, offset, row.number % 3);
                    let ours = inputs.of(batch, row);
                    let bits = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&ours), bits(&theirs), "{labels}, row {}", row.number);
                    seen += 1;
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, rows.len());
    }
}

#[test]
fn what_is_said_of_zones_twice_or_wrongly_is_refused() {
    let parse = |labels: &str| SchemaFile::parse(&format!("[labels]\nclick = 'click'\n{labels}\n{FEATURES}"));
    let cases: [(&str, &[&str]); 6] = [
        ("time = 'at'\nzone = 'Mars/Olympus'", &["[labels]", "key `zone`", "Mars/Olympus", "Asia/Kathmandu"]),
        ("time = 'at'\nzone = 'UTC'\nzone_column = 'tz'", &["`zone_column`, `zone`", "one of them"]),
        ("time = 'at'\nutc_offset = 'off'\nzone = 'UTC'", &["`utc_offset`, `zone`"]),
        ("zone = 'UTC'", &["key `zone`", "no `time` is named"]),
        ("time_unit = 'ms'", &["key `time_unit`", "no `time` is named"]),
        ("time = 'at'\nutc_offset = 'at'\nlocal_time = true", &["key `local_time`"]),
    ];
    for (labels, needles) in cases {
        let message = format!("{:#}", parse(labels).expect_err(labels));
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is not in: {message}");
        }
    }
    parse("time = 'at'\nzone = '+05:45'\nlocal_time = true").unwrap();
}

/// A file of inputs: the times, the users' offsets (if any) and the ads.
fn inputs(path: &Path, rows: &[(i64, i32, u64)], offsets: bool) {
    let column = |of: &dyn Fn(&(i64, i32, u64)) -> i64| rows.iter().flat_map(|row| of(row).to_le_bytes()).collect();
    let columns: [(&str, Vec<u8>); 3] = [
        ("time_us", column(&|row| row.0)),
        ("ad", column(&|row| row.2.cast_signed())),
        ("utc_offset_s", column(&|row| row.1.into())),
    ];
    let views = columns[..if offsets { 3 } else { 2 }].iter().map(|(name, bytes)| {
        let kind = if *name == "ad" { Dtype::U64 } else { Dtype::I64 };
        (*name, TensorView::new(kind, vec![rows.len()], bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn a_file_of_inputs_is_scored_by_the_clock_of_its_users() {
    let dir = TempDir::new().unwrap();
    let utc = |at: i64, _: &Zone| at.to_string();
    write(dir.path(), "zones", &impressions(4000), "zone_column = 'tz'", &utc);
    let bundle = train(dir.path(), "zones");
    let score = || {
        Command::new(env!("CARGO_BIN_EXE_adclick"))
            .args(["score", "--bundle", "zones", "--input", "x.safetensors", "--output", "y.safetensors"])
            .current_dir(dir.path())
            .output()
            .unwrap()
    };
    let ad = 1;
    let mut rows: Vec<(i64, i32, u64)> = Vec::new();
    for zone in &ZONES {
        rows.extend((0..24).map(|hour| {
            let at = 1_405_000_000 + 3600 * hour;
            (at * 1_000_000, zone.offset(at) as i32, (hour % 3) as u64)
        }));
    }
    rows.extend([(1_405_000_000_000_000, 86_400, ad), (1_405_000_000_000_000, -86_400, ad)]);
    let mut served = Served::open(&bundle);
    for offsets in [true, false] {
        inputs(&dir.path().join("x.safetensors"), &rows, offsets);
        let output = score();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes = std::fs::read(dir.path().join("y.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let pctr = file.tensor("pctr").unwrap();
        for (row, bytes) in rows.iter().zip(pctr.data().as_chunks::<4>().0) {
            let (expected, _) = served.at(row.0, if offsets { row.1 } else { 0 }, row.2);
            assert_eq!(f32::from_le_bytes(*bytes), expected, "{row:?}");
        }
    }
    // Beyond the range of a request.
    for beyond in [86_401, -86_401] {
        inputs(&dir.path().join("x.safetensors"), &[rows[0], (0, beyond, ad)], true);
        let output = score();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("tensor `utc_offset_s` holds {beyond} in row 1: expected -86400 to 86400 seconds");
        assert!(message.contains(&expected), "{message}");
    }
}
