//! tract as a peer: the protocol of ../peers/python/worker.py, whose ONNX graphs it runs.
//!
//! `adclick-tract DIRECTORY` reads DIRECTORY/MODEL.ROWS.onnx.

#[path = "../../peers/src/models/clock.rs"]
mod clock;

use std::fs;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;

use clock::Clock;
use tract_onnx::prelude::*;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Loaded {
    state: TypedSimpleState,
    x: TValue,
}

impl Loaded {
    fn new(directory: &Path, model: &str, rows: usize) -> Result<Self> {
        let bytes = fs::read(directory.join(format!("{model}.{rows}.rows")))?;
        let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let x = Tensor::from_shape(&[rows, values.len() / rows], &values)?;
        let state = tract_onnx::onnx()
            .model_for_path(directory.join(format!("{model}.{rows}.onnx")))?
            .into_optimized()?
            .into_runnable()?
            .spawn()?;
        Ok(Self { state, x: x.into_tvalue() })
    }

    fn run(&mut self) -> Result<TVec<TValue>> {
        Ok(self.state.run(tvec!(self.x.clone()))?)
    }
}

fn numbers<T: std::fmt::Display>(numbers: impl IntoIterator<Item = T>) -> String {
    numbers.into_iter().map(|n| format!(" {n}")).collect()
}

fn answer(loaded: &mut Option<Loaded>, directory: &Path, line: &str) -> Result<String> {
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
    let Some(loaded) = loaded else { return Err("no case yet".into()) };
    match words[..] {
        ["outputs"] => Ok(numbers(loaded.run()?[0].to_plain_array_view::<f32>()?.iter())),
        ["time", warm, calls, clock] => {
            let Some(clock) = Clock::by_name(clock) else { return Err(format!("no clock {clock:?}").into()) };
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
        _ => Err(format!("no command {line:?}").into()),
    }
}

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let mut loaded = None;
    for line in stdin().lock().lines() {
        let text = match answer(&mut loaded, Path::new(&directory), &line?) {
            Ok(text) => format!("ok{text}"),
            Err(error) => format!("error {}", error.to_string().replace('\n', " ")),
        };
        writeln!(stdout(), "{text}")?;
    }
    Ok(())
}
