//! Peers in processes of their own, which wait for commands; python/worker.py has the protocol.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::Error;
use crate::case::Case;
use crate::clock::Clock;
use crate::contender::{Contender, Task};
use crate::embedded::Asked;

/// A peer that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// f32 sums in another order than ours.
const SINGLE: f64 = 1e-4;
/// Products of bf16.
const HALF: f64 = 0.05;

/// Name, what python/worker.py calls it, tolerance.
type Known = (&'static str, &'static str, f64);

/// Those that take ready rows.
const OF_ROWS: &[Known] = &[
    (BASE, "onnxruntime", SINGLE),
    ("ONNX Runtime, `session.run`", "onnxruntime-run", SINGLE),
    ("ONNX Runtime, split by hand", "onnxruntime-split", SINGLE),
    ("LiteRT / XNNPACK", "litert", SINGLE),
    ("OpenVINO f32", "openvino-f32", SINGLE),
    ("OpenVINO bf16", "openvino-bf16", HALF),
];

/// Those that take ids.
const OF_IDS: &[Known] = &[
    (BASE, "onnxruntime-ids", SINGLE),
    ("ONNX Runtime, one table", "onnxruntime-ids-one", SINGLE),
    ("ONNX Runtime, split by hand", "onnxruntime-ids-split", SINGLE),
    ("LiteRT / XNNPACK", "litert-ids", SINGLE),
    ("OpenVINO f32", "openvino-ids-f32", SINGLE),
    ("OpenVINO bf16", "openvino-ids-bf16", HALF),
    ("PyTorch", "torch-ids", SINGLE),
    ("PyTorch, compiled", "torch-ids-compiled", SINGLE),
];

/// What the others are compared with.
const BASE: &str = "ONNX Runtime";

fn python<T: Task + 'static>(root: &Path, directory: &Path, known: &[Known]) -> Vec<Box<dyn Contender<T>>> {
    let (python, script) = (root.join(PYTHON), root.join(SCRIPTS).join("worker.py"));
    let peer = |&(name, worker, tolerance): &Known| {
        let arguments = vec![script.clone(), worker.into(), directory.to_owned()];
        Box::new(Peer::new(name, tolerance, python.clone(), arguments)) as Box<dyn Contender<T>>
    };
    known.iter().map(peer).collect()
}

const PYTHON: &str = "build/peers/venv/bin/python";
const SCRIPTS: &str = "benches/peers/python";

pub(crate) fn of_rows(root: &Path, directory: &Path) -> Vec<Box<dyn Contender<Case>>> {
    let mut peers = python(root, directory, OF_ROWS);
    let tract = root.join("target/tract/release/adclick-tract");
    let tract = Peer {
        graph: Some((root.join(PYTHON), root.join(SCRIPTS).join("graphs.py"), directory.to_owned())),
        ..Peer::new("tract", SINGLE, tract, vec![directory.to_owned()])
    };
    peers.push(Box::new(tract));
    peers
}

pub(crate) fn of_ids(root: &Path, directory: &Path) -> Vec<Box<dyn Contender<Asked>>> {
    python(root, directory, OF_IDS)
}

struct Peer {
    name: &'static str,
    /// With its version, once it has told it.
    title: String,
    tolerance: f64,
    program: PathBuf,
    arguments: Vec<PathBuf>,
    /// Interpreter, script and directory that make the ONNX file that it reads.
    graph: Option<(PathBuf, PathBuf, PathBuf)>,
    worker: Option<Worker>,
}

struct Worker {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Peer {
    fn new(name: &'static str, tolerance: f64, program: PathBuf, arguments: Vec<PathBuf>) -> Self {
        Self { name, title: name.to_owned(), tolerance, program, arguments, graph: None, worker: None }
    }

    fn ask<T: std::str::FromStr<Err: std::error::Error + 'static>>(&mut self, command: &str) -> Result<Vec<T>, Error> {
        let answer = self.worker.as_mut().ok_or("it did not start")?.ask(command)?;
        answer.split_whitespace().map(|word| Ok(word.parse()?)).collect()
    }
}

impl Worker {
    fn ask(&mut self, command: &str) -> Result<String, Error> {
        writeln!(self.commands, "{command}").map_err(|e| format!("it has ended: {e}"))?;
        let answer = self.answers.recv_timeout(PATIENCE).map_err(|_| "it ended, or gave no answer in time")?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("ok", rest) => Ok(rest.to_owned()),
            ("error", reason) => Err(reason.to_owned().into()),
            _ => Err(format!("an answer that makes no sense: {answer}").into()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<T: Task> Contender<T> for Peer {
    fn name(&self) -> &str {
        &self.title
    }

    fn tolerance(&self) -> f64 {
        self.tolerance
    }

    fn is_base(&self) -> bool {
        self.name == BASE
    }

    fn start(&mut self) -> Result<(), Error> {
        if !self.program.exists() {
            return Err(format!("{} is missing", self.program.display()).into());
        }
        // What libraries say on the way.
        let log =
            self.arguments[self.arguments.len() - 1].join(format!("{}.log", self.name.replace([' ', '/', '`'], "")));
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        let (Some(commands), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes to it".into());
        };
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut worker = Worker { child, commands, answers };
        let version = worker.ask("hello")?;
        self.title = format!("{}{}", self.name, version.rsplit(' ').next().map_or(String::new(), |v| format!(" {v}")));
        self.worker = Some(worker);
        Ok(())
    }

    fn load(&mut self, task: &Rc<T>) -> Result<(), Error> {
        let words = task.words();
        if let Some((python, script, directory)) = &self.graph {
            let made = Command::new(python).arg(script).arg(directory).args(words.split(' ')).output()?;
            if !made.status.success() {
                let text = String::from_utf8_lossy(&made.stderr);
                return Err(format!("its ONNX file: {}", text.lines().last().unwrap_or("no reason given")).into());
            }
        }
        self.ask::<f32>(&format!("case {words}"))?;
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<f32>, Error> {
        self.ask("outputs")
    }

    fn time(&mut self, warm: usize, calls: usize, clock: Clock) -> Result<Vec<u64>, Error> {
        self.ask(&format!("time {warm} {calls} {}", clock.name()))
    }
}
