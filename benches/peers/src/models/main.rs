//! Models beside peers, on the same weights and inputs in one run, each at one thread of the same core.
//!
//! `cargo run --release -p adclick-peers --bin models [-- --quick] [--cpu] [--ours] [MODEL...]`
//!
//! Contenders take turns, a few calls each; between two turns of one the others had theirs, so that a busy machine and a
//! changing clock slow all alike. Before any is timed its outputs are compared with the f64 reference. Prints what came
//! of each case, and markdown tables at the end. With `--cpu` long calls are timed by what they use of the CPU, for a
//! machine that has other work to do; with `--ours` without peers. benches/README.md says how the peers are set up.

mod auction;
mod case;
mod clock;
mod contender;
mod embedded;
mod lines;
mod ours;
mod peak;
mod peer;
mod report;
mod tensors;
mod turns;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use case::{Case, Model};
use clock::Clock;
use contender::{Absent, Contender};
use embedded::{Asked, Draw, Pool, Size, World};
use lines::Lines;
use report::Report;
use turns::Pace;

type Error = Box<dyn std::error::Error>;

/// Candidates of a request, of ready rows and of ids.
const COUNTS: [usize; 4] = [1, 100, 300, 1000];
const COUNTS_OF_IDS: [usize; 3] = [1, 100, 1000];

/// Models of ready rows, and models of ids.
const MODELS: [&str; 3] = ["S", "M", "L"];
const MODELS_OF_IDS: [&str; 2] = ["E", "R"];

/// Keeps this process, and those it starts, on one core.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "asks the system for a core")]
fn pin() -> Option<usize> {
    let bytes = size_of::<libc::cpu_set_t>();
    // SAFETY: a cpu_set_t is bits, and all of them 0 is the empty set; both calls get its address and size.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, bytes, &raw mut allowed) != 0 {
            return None;
        }
        let core = (0..8 * bytes).rev().find(|&core| libc::CPU_ISSET(core, &allowed))?;
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut one);
        (libc::sched_setaffinity(0, bytes, &raw const one) == 0).then_some(core)
    }
}

#[cfg(not(target_os = "linux"))]
fn pin() -> Option<usize> {
    None
}

/// All of one model's sizes.
fn run(
    model: &Rc<Model>,
    directory: &Path,
    contenders: &mut [Box<dyn Contender<Case>>],
    pace: &Pace,
    report: &mut Report,
) -> Result<(), Error> {
    for count in COUNTS {
        let case = Case::new(Rc::clone(model), count)?;
        case.write_rows(directory)?;
        let figures = turns::take(&case, contenders, pace, None);
        report.add(&*case, figures);
    }
    Ok(())
}

/// All draws and sizes of a model of ids.
fn run_ids(
    world: &Rc<World>,
    directory: &Path,
    contenders: &mut [Box<dyn Contender<Asked>>],
    pace: &Pace,
    lines: &mut Lines,
    report: &mut Report,
) -> Result<(), Error> {
    for draw in Draw::ALL {
        let pool = Rc::new(Pool::new(draw, world.size, &world.request, &world.candidate));
        for count in COUNTS_OF_IDS {
            let asked = Asked::new(world, draw, &pool, count)?;
            asked.write(directory)?;
            let figures = turns::take(&asked, contenders, pace, Some(lines));
            report.add(&*asked, figures);
        }
    }
    Ok(())
}

/// Starts contenders and says which are absent.
fn started<T>(all: Vec<Box<dyn Contender<T>>>) -> (Vec<Box<dyn Contender<T>>>, Report) {
    let (contenders, absent) = contender::start(all);
    for Absent { name, reason } in &absent {
        println!("absent: {name}: {reason}");
    }
    let report = Report::new(&contenders, absent);
    (contenders, report)
}

/// Prints a report; whether all is right.
fn told(report: &Report) -> bool {
    print!("{}", report.text());
    if report.wrong() {
        eprintln!("a contender's outputs are wrong, see above");
    }
    !report.wrong()
}

fn main() -> Result<ExitCode, Error> {
    let (mut quick, mut clock, mut alone, mut wanted) = (false, Clock::Wall, false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => quick = true,
            "--cpu" => clock = Clock::Cpu,
            "--ours" => alone = true,
            name if [&MODELS[..], &MODELS_OF_IDS].concat().contains(&name) => wanted.push(argument),
            _ => {
                let rule = "expected --quick, --cpu, --ours or models among S, M, L, E, R";
                return Err(format!("\"{argument}\": {rule}").into());
            }
        }
    }
    let mut pace = if quick { Pace::QUICK } else { Pace::FULL };
    pace.clock = clock;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let directory = root.join("build/peers/models");
    std::fs::create_dir_all(&directory)?;
    if clock == Clock::Cpu {
        println!("calls of more than 40 µs are timed by what they use of the CPU");
    }
    match pin() {
        Some(core) => println!("all on core {core}, each at one thread"),
        None => println!("not bound to a core: this system does not let us"),
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let mut right = true;
    if MODELS.into_iter().any(is_wanted) {
        let mut contenders = ours::all();
        let models = case::models()?;
        if !alone {
            for model in &models {
                model.write_tensors(&directory)?;
            }
            contenders.extend(peer::of_rows(&root, &directory));
        }
        let (mut contenders, mut report) = started(contenders);
        for model in models.iter().filter(|model| is_wanted(model.name)) {
            run(model, &directory, &mut contenders, &pace, &mut report)?;
        }
        right &= told(&report);
    }
    if MODELS_OF_IDS.into_iter().any(is_wanted) {
        let mut contenders = embedded::all();
        if !alone {
            contenders.extend(peer::of_ids(&root, &directory));
        }
        let (mut contenders, mut report) = started(contenders);
        let mut lines = Lines::new();
        for name in MODELS_OF_IDS.into_iter().filter(|name| is_wanted(name)) {
            let world = Rc::new(World::new(name, Size::FULL, &directory)?);
            run_ids(&world, &directory, &mut contenders, &pace, &mut lines, &mut report)?;
        }
        right &= told(&report);
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part that needs no peers, on the smallest model and few calls: contenders agree with the reference, have times,
    /// and the tables name them.
    #[test]
    fn ours_take_their_turns() {
        let model = case::models().unwrap().remove(0);
        let mut contenders = ours::all();
        let mut report = Report::new(&contenders, Vec::new());
        for count in [1, 30] {
            let case = Case::new(Rc::clone(&model), count).unwrap();
            report.add(&*case, turns::take(&case, &mut contenders, &Pace::TRIAL, None));
        }
        assert!(!report.wrong());
        let text = report.text();
        for contender in &contenders {
            assert!(text.contains(contender.name()), "{} is not in\n{text}", contender.name());
        }
        assert!(text.contains("S N=30"), "{text}");
    }

    /// The same for models of ids, in small.
    #[test]
    fn ours_take_their_turns_with_ids() {
        let directory = tempfile::tempdir().unwrap();
        let size = Size { rows: 3000, ads: 60, users: 3 };
        let mut contenders = embedded::all();
        let mut report = Report::new(&contenders, Vec::new());
        for name in MODELS_OF_IDS {
            let world = Rc::new(World::new(name, size, directory.path()).unwrap());
            for draw in Draw::ALL {
                let pool = Rc::new(Pool::new(draw, size, &world.request, &world.candidate));
                let asked = Asked::new(&world, draw, &pool, 20).unwrap();
                asked.write(directory.path()).unwrap();
                report.add(&*asked, turns::take(&asked, &mut contenders, &Pace::TRIAL, None));
            }
        }
        assert!(!report.wrong());
        let text = report.text();
        for contender in &contenders {
            assert!(text.contains(contender.name()), "{} is not in\n{text}", contender.name());
        }
        assert!(text.contains("R Zipf N=20"), "{text}");
    }
}
