//! A training run on disk: a run that was killed goes on from there, to the same bytes.
//!
//! One safetensors file. Its metadata says what the run is of and where it stands; the tensors are all that the next steps
//! depend on, the weights of the best pass so far and, while the model learns from the validation rows as well, those that they
//! chose. Rows are read and encoded anew: the file knows them by a checksum.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use adclick_data::progress::Progress;
use adclick_data::setting::require;
use anyhow::{Context, Result, anyhow, bail, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::config::{Checkpoints, Config};
use super::encode::Examples;
use super::learner::{Learner, SavedWeights};
use super::linear::Choice;
use super::tensors::{Loaded, Tensors};

/// The form of the file.
const FORMAT: u32 = 1;
/// The key of the metadata.
const KEY: &str = "adclick_training";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The pass, from 1 on.
    pub(super) pass: u32,
    /// The piece of the rows, and the steps that were taken on it.
    pub(super) piece: usize,
    pub(super) steps: usize,
    /// The draws at the beginning of the piece.
    pub(super) draws: Draws,
    /// Whether there is nothing left to do but to keep the best pass.
    pub(super) finished: bool,
    /// The choice and the number of the best pass.
    pub(super) best: Option<(f64, u32)>,
    /// What was fitted before the first pass.
    pub(super) wide: Vec<Option<Choice>>,
}

/// What a run that has come to its end chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) made: u32,
    pub(super) passes: u32,
    pub(super) wide: Vec<Option<Choice>>,
}

/// A state of the generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Draws {
    seed: [u8; 32],
    stream: u64,
    /// The words drawn, in decimal: more than JSON's numbers hold.
    words: String,
}

impl Draws {
    pub(super) fn of(rng: &ChaCha8Rng) -> Self {
        Self { seed: rng.get_seed(), stream: rng.get_stream(), words: rng.get_word_pos().to_string() }
    }

    pub(super) fn generator(&self) -> Result<ChaCha8Rng> {
        let mut rng = ChaCha8Rng::from_seed(self.seed);
        rng.set_stream(self.stream);
        rng.set_word_pos(self.words.parse().context("the words drawn are no number")?);
        Ok(rng)
    }
}

/// The metadata of a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct About {
    format: u32,
    trainer: String,
    options: String,
    /// Checksums of the rows of the first run and of the one that learns from the validation rows.
    rows: Vec<u32>,
    outcome: Option<Outcome>,
    standing: Option<Standing>,
    /// The draws of the next step.
    draws: Option<Draws>,
    step: u64,
    /// The checksum of each tensor.
    checksums: BTreeMap<String, u32>,
}

/// What is kept of a run, and what was found of an earlier one.
pub(super) struct Keeper<'a> {
    to: Option<&'a Checkpoints>,
    progress: &'a Progress,
    about: About,
    chosen: Option<SavedWeights>,
    found: Option<(About, Loaded)>,
    last: Instant,
}

impl<'a> Keeper<'a> {
    /// Reads the file that the run goes on from, if it does.
    pub(super) fn open(config: &'a Config, progress: &'a Progress) -> Result<Self> {
        let plain = Config { checkpoint: None, threads: None, ..config.clone() };
        let about = About {
            format: FORMAT,
            trainer: concat!("adclick ", env!("CARGO_PKG_VERSION")).to_owned(),
            options: format!("{plain:?}"),
            ..About::default()
        };
        let mut keeper =
            Self { to: config.checkpoint.as_ref(), progress, about, chosen: None, found: None, last: Instant::now() };
        let Some(Checkpoints { file, resume, .. }) = keeper.to else { return Ok(keeper) };
        if !file.exists() {
            // Fails before hours of training, not after.
            let beside = beside(file);
            File::create(&beside).and_then(|_| fs::remove_file(&beside)).with_context(|| cannot_write(file))?;
            return Ok(keeper);
        }
        let name = file.display();
        require!(
            *resume,
            [Checkpoint, Resume],
            "{name} exists: resume the training that it was kept of, or remove it to train anew"
        );
        let (about, tensors) = read(file).with_context(|| format!("{name}: the checkpoint cannot be read"))?;
        for (what, found, expected) in
            [("trainer", &about.trainer, &keeper.about.trainer), ("options", &about.options, &keeper.about.options)]
        {
            if found != expected {
                let differ = found.split(", ").zip(expected.split(", ")).find(|(a, b)| a != b);
                let (found, expected) = differ.unwrap_or((found, expected));
                require!(
                    false,
                    [Checkpoint, Resume],
                    "{name} was kept of a training with other {what}: it has `{found}`, and this one `{expected}`; resume with \
                     the same, or remove the file to train anew"
                );
            }
        }
        keeper.found = Some((about, tensors));
        Ok(keeper)
    }

    /// Whether anything is kept.
    pub(super) fn keeps(&self) -> bool {
        self.to.is_some()
    }

    /// The rows of the next run: the first, or the one that learns from the validation rows.
    pub(super) fn rows(&mut self, run: usize, checksum: u32) -> Result<()> {
        self.about.rows.resize(run + 1, checksum);
        if let (Some((about, _)), Some(to)) = (&self.found, self.to)
            && let Some(found) = about.rows.get(run)
        {
            require!(
                *found == checksum,
                [Checkpoint, Resume],
                "{} was kept of a training on other rows (checksum {found:08x}, and these have {checksum:08x}): resume with the \
                 same files, schema and split, or remove the file to train anew",
                to.file.display()
            );
        }
        Ok(())
    }

    /// What the first run chose, its weights put into the learner, if it has come to its end.
    pub(super) fn outcome(&mut self, learner: &mut Learner) -> Result<Option<Outcome>> {
        let Some((About { outcome: Some(outcome), .. }, tensors)) = &self.found else { return Ok(None) };
        let mut weights = learner.weights();
        weights.load("chosen", tensors).with_context(|| self.context())?;
        learner.restore(weights.clone());
        let outcome = outcome.clone();
        self.progress.note(&format!("resumed: {} passes are chosen", outcome.passes));
        self.about.outcome = Some(outcome.clone());
        self.chosen = Some(weights);
        Ok(Some(outcome))
    }

    /// Where the run stood, with all that the next steps depend on put into the learner, and the weights of the best pass.
    pub(super) fn standing(&mut self, learner: &mut Learner) -> Result<Option<(Standing, Option<SavedWeights>)>> {
        let run = self.about.rows.len();
        let Some((about, tensors)) = self.found.take_if(|found| found.0.rows.len() == run) else { return Ok(None) };
        let Some(standing) = about.standing else { return Ok(None) };
        let load = |learner: &mut Learner| {
            let best = match standing.best {
                Some(_) => {
                    let mut weights = learner.weights();
                    weights.load("best", &tensors)?;
                    Some(weights)
                }
                None => None,
            };
            learner.load(&tensors, about.step)?;
            learner.rng = about.draws.as_ref().context("no draws")?.generator()?;
            anyhow::Ok(best)
        };
        let best = load(learner).with_context(|| self.context())?;
        self.progress.note(&format!("resumed: pass {}, step {} in all", standing.pass, about.step));
        Ok(Some((standing, best)))
    }

    fn context(&self) -> String {
        let file = self.to.map(|to| to.file.display().to_string()).unwrap_or_default();
        format!("{file}: the checkpoint does not fit the model of these rows")
    }

    /// Whether it is time to keep the run.
    pub(super) fn is_due(&self) -> bool {
        self.to.is_some_and(|to| self.last.elapsed() >= to.every)
    }

    /// Keeps the run. What cannot be written is tried again later, with a warning.
    pub(super) fn keep(&mut self, learner: &Learner, standing: Standing, best: Option<&SavedWeights>) {
        let mut tensors = Tensors::default();
        learner.save(&mut tensors);
        if let Some(best) = best {
            best.save("best", &mut tensors);
        }
        self.about.step = learner.steps();
        self.about.draws = Some(Draws::of(&learner.rng));
        self.about.standing = Some(standing);
        let chosen = self.chosen.take();
        if let Some(chosen) = &chosen {
            chosen.save("chosen", &mut tensors);
        }
        self.write(&tensors);
        self.chosen = chosen;
    }

    /// Keeps what the first run chose.
    pub(super) fn chose(&mut self, learner: &mut Learner, outcome: Outcome) {
        if !self.keeps() {
            return;
        }
        self.about.outcome = Some(outcome);
        (self.about.standing, self.about.draws) = (None, None);
        let weights = learner.weights();
        let mut tensors = Tensors::default();
        weights.save("chosen", &mut tensors);
        self.write(&tensors);
        self.chosen = Some(weights);
    }

    fn write(&mut self, tensors: &Tensors) {
        let Some(to) = self.to else { return };
        if let Err(err) = write(&to.file, &mut self.about, tensors).with_context(|| cannot_write(&to.file)) {
            self.progress.warn(&format!("{err:#}; the next attempt is in {:.0} s", to.every.as_secs_f64()));
        }
        self.last = Instant::now();
    }
}

fn cannot_write(file: &Path) -> String {
    format!("{}: the checkpoint cannot be written", file.display())
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write(file: &Path, about: &mut About, tensors: &Tensors) -> Result<()> {
    about.checksums = tensors.checksums();
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(about)?)]);
    let beside = beside(file);
    safetensors::serialize_to_file(tensors.views(), Some(metadata), &beside)?;
    File::open(&beside)?.sync_all()?;
    fs::rename(&beside, file)?;
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()?;
    Ok(())
}

fn read(file: &Path) -> Result<(About, Loaded)> {
    let bytes = fs::read(file)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|err| anyhow!("no safetensors file: {err}"))?;
    let about =
        metadata.metadata().as_ref().and_then(|of| of.get(KEY)).context("it was not written by `adclick train`")?;
    let about: About = serde_json::from_str(about).context("its metadata")?;
    ensure!(about.format == FORMAT, "it has format {}, expected {FORMAT}: train anew", about.format);
    let mut loaded = Loaded::default();
    for (name, tensor) in SafeTensors::deserialize(&bytes)?.iter() {
        let Some(&expected) = about.checksums.get(name) else { bail!("tensor `{name}` is not one of its own") };
        let found = crc32fast::hash(tensor.data());
        ensure!(found == expected, "tensor `{name}` is damaged: checksum {found:08x}, expected {expected:08x}");
        loaded.add(name, tensor.data());
    }
    Ok((about, loaded))
}

/// A checksum of encoded rows.
pub(super) fn checksum(all: &[&Examples]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for examples in all {
        for label in &examples.labels {
            let conversion = label.conversion.map_or(2, u8::from);
            hasher.update(&[u8::from(label.click), conversion]);
            hasher.update(&label.weight.to_le_bytes());
            hasher.update(&label.known.to_le_bytes());
        }
        examples.numbers.iter().for_each(|x| hasher.update(&x.to_le_bytes()));
        examples.singles.iter().for_each(|x| hasher.update(&x.to_le_bytes()));
        examples.bag_ends.iter().for_each(|x| hasher.update(&(*x as u64).to_le_bytes()));
        examples.bag_scales.iter().for_each(|x| hasher.update(&x.to_le_bytes()));
        for (row, weight) in &examples.bag_rows {
            hasher.update(&row.to_le_bytes());
            hasher.update(&weight.to_le_bytes());
        }
    }
    hasher.finalize()
}
