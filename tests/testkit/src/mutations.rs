//! Bundles, manifests, policies and `CURRENT` with changes anywhere, all checksums made right again: whatever they say, opening
//! them ends in an error that names a file, or in an engine that answers as it should.

use std::fs;
use std::path::{Path, PathBuf};

use adclick::auction::Policy;
use adclick::builder::auction::PolicyParts;
use adclick::builder::bundle::serving_text;
use adclick::builder::bundle::{
    self, CALIBRATORS_FILE, CURRENT, Content, MANIFEST, MODEL_FILE, Manifest, POLICY_FILE, Role, SERVING_FILE,
};
use adclick::builder::calibrate::encode_calibrators;
use adclick::builder::calibrate::{Beta, Calibrator, Calibrators, HeadCalibrator, Platt};
use adclick::builder::hash::checksum;
use adclick::builder::model::pack_model;
use adclick::{BidKind, Engine, OpenMode, Precision, Status, Winner};

use crate::child;
use crate::common::{Case, Random, Wants, case, decide, model, options, score, scorer};
use crate::container::{ENTRY, HEADER, assemble, reseal, split, u32_at};
use crate::plain_tables::{ask, enrich, files};
use crate::segments;

/// What opening may answer.
const REFUSALS: [Status; 4] = [Status::Io, Status::Corrupt, Status::Unsupported, Status::GoldenMismatch];

/// A bundle, whole, and what it answers.
struct Bundle {
    directory: tempfile::TempDir,
    files: Vec<(Role, String, Vec<u8>)>,
    case: Case,
}

/// How many changed bundles were accepted and refused.
#[derive(Debug, Default)]
pub struct Counts {
    pub accepted: usize,
    pub refused: usize,
}

impl Bundle {
    fn new(random: &mut Random) -> Self {
        let directory = child::quick_directory();
        let root = directory.path();
        let mut spec = model(random, Wants { similarities: true, ..Wants::default() });
        let tables = enrich(random, &mut spec);
        fs::create_dir(root.join("tables")).unwrap();
        let tables: Vec<_> = tables.iter().flat_map(|table| files(table, &root.join("tables"))).collect();
        let packed = pack_model(&spec).unwrap();
        let calibrators = Calibrators {
            ctr: HeadCalibrator::new(0.5, Calibrator::Platt(Platt::new(0.8, 0.1).unwrap())).unwrap(),
            cvr: HeadCalibrator::new(1.0, Calibrator::Beta(Beta::new(0.9, 1.1, 0.1).unwrap())).unwrap(),
            ..Calibrators::default()
        };
        let encoded = encode_calibrators(&calibrators);
        let policy = Policy::default().with_squash(0.9).unwrap().to_toml();
        let serving = serving_text(Precision::AuctionExact);
        let mut contents = vec![
            (Role::Model, MODEL_FILE, Content::Bytes(&packed)),
            (Role::Calibrators, CALIBRATORS_FILE, Content::Bytes(&encoded)),
            (Role::Policy, POLICY_FILE, Content::Bytes(policy.as_bytes())),
            (Role::Serving, SERVING_FILE, Content::Bytes(serving.as_bytes())),
        ];
        contents.extend(tables.iter().map(|(name, path)| (Role::Table, name.as_str(), Content::Copy(path))));
        bundle::write_files(&root.join("a"), &contents, false).unwrap();
        segments::add(&root.join("a"), &spec, random, calibrators);
        bundle::publish(&root.join("a")).unwrap();
        let manifest = Manifest::read(&root.join("a")).unwrap();
        let file = |f: &bundle::Entry| (f.role, f.name.clone(), fs::read(root.join("a").join(&f.name)).unwrap());
        let files = manifest.files.iter().map(file).collect();
        let engine = Engine::open(root, &options("portable")).unwrap();
        let plain = case(random, &spec.schema, 12, &engine);
        let case = ask(random, &plain);
        Self { directory, files, case }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("a").join(name)
    }

    /// A manifest of the files as they are on disk.
    fn renew_manifest(&self) -> String {
        let mut manifest = Manifest::default();
        for (role, name, _) in &self.files {
            let bytes = fs::read(self.path(name)).unwrap();
            let (bytes, xxh3) = (bytes.len() as u64, checksum(&bytes));
            manifest.files.push(bundle::Entry { role: *role, name: name.clone(), bytes, xxh3 });
        }
        manifest.to_toml()
    }

    /// Opens it and asks. True when it was accepted.
    fn try_it(&self, seed: u64) -> bool {
        let root = self.directory.path();
        let open = |mode| {
            let mut options = options("portable");
            (options.mode, options.overlay_rows) = (mode, 16);
            Engine::open(root, &options)
        };
        let mapped = match open(OpenMode::Map) {
            Ok(engine) => engine,
            Err(error) => {
                assert!(REFUSALS.contains(&error.status), "seed {seed}: {:?} {error}", error.status);
                assert!(error.message.contains(root.to_str().unwrap()), "seed {seed}: no file is named: {error}");
                return false;
            }
        };
        let copied = open(OpenMode::Copy).unwrap_or_else(|e| panic!("seed {seed}: mapped it is accepted: {e}"));
        let mut scorers = [scorer(&mapped, 64), scorer(&copied, 64)];
        let [one, other] = scorers.each_mut().map(|s| score(s, &self.case));
        match (one, other) {
            (Ok(one), Ok(other)) => {
                assert_eq!((one.outcome, one.bits()), (other.outcome, other.bits()), "seed {seed}");
                for p in one.pctr.iter().chain(&one.pcvr) {
                    assert!(p.is_nan() || (0.0..=1.0).contains(p), "seed {seed}: a probability of {p}");
                }
            }
            (one, other) => assert_eq!(one.err(), other.err(), "seed {seed}"),
        }
        let [one, other] = scorers.each_mut().map(|s| decide(s, &self.case));
        assert_eq!(one, other, "seed {seed}");
        if let Ok(decision) = one {
            for winner in bytemuck::cast_slice::<u8, Winner>(&decision.winners) {
                let candidate = &self.case.candidates[winner.candidate as usize];
                if candidate.bid_kind == BidKind::Ocpm as u32 {
                    // A bid for a conversion, a price for impressions.
                    continue;
                }
                let bid = candidate.bid_micros;
                assert!(
                    (0..=bid).contains(&winner.price_micros),
                    "seed {seed}: bid {bid}, pays {}",
                    winner.price_micros
                );
            }
        }
        true
    }
}

/// Tries `n` changes.
pub fn run(seed: u64, changes: u64) -> Counts {
    let mut counts = Counts::default();
    let mut whole = None;
    for number in 0..changes {
        // Another model now and then.
        if number % 2000 == 0 {
            whole = Some(Bundle::new(&mut Random(seed + number)));
        }
        let Some(bundle) = &whole else { continue };
        let seed = seed.wrapping_mul(1 << 32) + number + 1;
        change(bundle, &mut Random(seed));
        if bundle.try_it(seed) {
            counts.accepted += 1;
        } else {
            counts.refused += 1;
        }
        restore(bundle);
    }
    counts
}

fn restore(bundle: &Bundle) {
    for (_, name, bytes) in &bundle.files {
        fs::write(bundle.path(name), bytes).unwrap();
    }
    fs::write(bundle.path(MANIFEST), bundle.renew_manifest()).unwrap();
    fs::write(bundle.directory.path().join(CURRENT), "a\n").unwrap();
}

/// Changes one thing on disk.
fn change(bundle: &Bundle, random: &mut Random) {
    let root: &Path = bundle.directory.path();
    match random.between(0, 9) {
        0 => {
            let text = fs::read(bundle.path(MANIFEST)).unwrap();
            let mut text = spoil_text(random, &text);
            // Half of them with the generation that they come to, as far as that can be told.
            if random.between(0, 1) == 0
                && let Ok(parsed) = std::str::from_utf8(&text).map(with_generation)
            {
                text = parsed.into_bytes();
            }
            fs::write(bundle.path(MANIFEST), text).unwrap();
            return;
        }
        1 => return fs::write(root.join(CURRENT), spoil_text(random, b"a\n")).unwrap(),
        _ => {}
    }
    let (role, name, bytes) = &bundle.files[random.between(0, bundle.files.len() - 1)];
    let changed = match role {
        Role::Policy | Role::Serving => spoil_text(random, bytes),
        _ => spoil_container(random, bytes),
    };
    fs::write(bundle.path(name), changed).unwrap();
    fs::write(bundle.path(MANIFEST), bundle.renew_manifest()).unwrap();
}

/// The manifest with the generation that its reader asks for.
fn with_generation(text: &str) -> String {
    let Err(refused) = Manifest::parse(text) else { return text.to_owned() };
    let asked = refused.message.split("the files listed give ").nth(1).and_then(|rest| rest.get(..16));
    let line = text.lines().find(|line| line.starts_with("generation"));
    match (asked, line) {
        (Some(asked), Some(line)) => text.replacen(line, &format!("generation = \"{asked}\""), 1),
        _ => text.to_owned(),
    }
}

/// A number or byte of a section changed, or its length, all checksums right.
fn spoil_container(random: &mut Random, file: &[u8]) -> Vec<u8> {
    if random.between(0, 19) == 0 {
        // A byte of header or directory, whose own checksums are made right.
        let mut file = file.to_vec();
        let at = random.between(8, HEADER + ENTRY * u32_at(&file, 24) as usize - 1);
        file[at] ^= 1 << random.between(0, 7);
        if u32_at(&file, 24) < 100 {
            reseal(&mut file);
        }
        return file;
    }
    let mut parts = split(file);
    for _ in 0..random.between(1, 3) {
        let at = random.between(0, parts.len() - 1);
        spoil_bytes(random, &mut parts[at].bytes);
    }
    assemble(u32_at(file, 12), &parts)
}

fn spoil_bytes(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.extend([0; 4]);
    }
    let at = random.between(0, bytes.len() - 1);
    match random.between(0, 6) {
        0 => bytes[at] ^= 1 << random.between(0, 7),
        1 => bytes[at] = random.next_u64() as u8,
        2 => bytes.truncate(at),
        3 => bytes.extend((0..random.between(1, 70)).map(|_| 0)),
        4 => {
            let from = random.between(0, bytes.len() - 1);
            let piece = bytes[from..(from + random.between(1, 16)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => {
            // A field, if that is one.
            let width = [2, 4, 8][random.between(0, 2)];
            let at = at / width * width;
            let values =
                [0, 1, u64::MAX, 1 << 63, 1 << 31, 0x7f80_0000, 0x7ff0_0000_0000_0000, 0x7c00, random.next_u64()];
            let value = values[random.between(0, values.len() - 1)].to_le_bytes();
            bytes.iter_mut().skip(at).zip(&value[..width]).for_each(|(byte, new)| *byte = *new);
        }
    }
}

fn spoil_text(random: &mut Random, text: &[u8]) -> Vec<u8> {
    const PIECES: [&str; 20] = [
        "\n",
        "=",
        "[",
        "]",
        "[[file]]\n",
        "\"",
        "..",
        "/",
        "\\",
        "\0",
        "9223372036854775807",
        "-1",
        "nan",
        "inf",
        "1e400",
        "squash = 2\n",
        "{}",
        "\u{ff}\u{fe}",
        "#",
        "'''",
    ];
    let mut text = text.to_vec();
    for _ in 0..random.between(1, 3) {
        let at = random.between(0, text.len());
        match random.between(0, 4) {
            0 => text.truncate(at),
            1 => _ = text.splice(at..at, PIECES[random.between(0, PIECES.len() - 1)].bytes()),
            2 if at < text.len() => text[at] = random.next_u64() as u8,
            3 if at < text.len() => _ = text.remove(at),
            _ => {
                let piece = text[at..(at + random.between(1, 40)).min(text.len())].to_vec();
                text.splice(at..at, piece);
            }
        }
    }
    text
}
