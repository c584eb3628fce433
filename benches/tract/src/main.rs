//! tract as a peer: the protocol of ../peers/python/worker.py, whose ONNX graphs it runs.
//!
//! `adclick-tract DIRECTORY` reads DIRECTORY/MODEL.ROWS.onnx.

#[path = "../../peers/src/models/clock.rs"]
mod clock;

use std::fs;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::sync::Arc;

use clock::Clock;
use tract_onnx::prelude::*;

type Plan = Arc<TypedRunnableModel>;

struct Loaded {
    plan: Plan,
    x: TValue,
}

impl Loaded {
    fn new(directory: &Path, model: &str, rows: usize) -> TractResult<Self> {
        let bytes = fs::read(directory.join(format!("{model}.{rows}.rows")))?;
        let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let x = Tensor::from_shape(&[rows, values.len() / rows], &values)?;
        let plan = tract_onnx::onnx()
            .model_for_path(directory.join(format!("{model}.{rows}.onnx")))?
            .into_optimized()?
            .into_runnable()?;
        Ok(Self { plan, x: x.into() })
    }

    fn run(&self) -> TractResult<TVec<TValue>> {
        self.plan.run(tvec!(self.x.clone()))
    }
}

fn numbers<T: std::fmt::Display>(numbers: impl IntoIterator<Item = T>) -> String {
    numbers.into_iter().map(|n| format!(" {n}")).collect()
}

fn answer(loaded: &mut Option<Loaded>, directory: &Path, line: &str) -> TractResult<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["hello"] => return Ok(" tract 0.23.9".to_owned()),
        ["case", model, rows] => {
            *loaded = None;
            *loaded = Some(Loaded::new(directory, model, rows.parse()?)?);
            return Ok(String::new());
        }
        _ => {}
    }
    let Some(loaded) = loaded else { bail!("no case yet") };
    match words[..] {
        ["outputs"] => Ok(numbers(loaded.run()?[0].to_plain_array_view::<f32>()?.iter())),
        ["time", warm, calls, clock] => {
            let Some(clock) = Clock::by_name(clock) else { bail!("no clock {clock:?}") };
            for _ in 0..warm.parse()? {
                loaded.run()?;
            }
            let mut times = Vec::new();
            for _ in 0..calls.parse()? {
                let begin = clock.now();
                loaded.run()?;
                times.push(clock.now() - begin);
            }
            Ok(numbers(times))
        }
        _ => bail!("no command {line:?}"),
    }
}

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let mut loaded = None;
    for line in stdin().lock().lines() {
        let text = match answer(&mut loaded, Path::new(&directory), &line?) {
            Ok(text) => format!("ok{text}"),
            Err(error) => format!("error {}", format!("{error:#}").replace('\n', " ")),
        };
        writeln!(stdout(), "{text}")?;
    }
    Ok(())
}
