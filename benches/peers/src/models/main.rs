//! Models beside peers, on the same weights and inputs in one run, each at one thread of the same core.
//!
//! `cargo run --release -p adclick-peers --bin models [-- --quick] [--cpu] [MODEL...]`
//!
//! Contenders take turns, a few calls each; between two turns of one the others had theirs, so that a busy machine and a
//! changing clock slow all alike. Before any is timed its outputs are compared with the f64 reference. Prints what came
//! of each case, and markdown tables at the end. With `--cpu` long calls are timed by what they use of the CPU, for a
//! machine that has other work to do. benches/README.md says how the peers are set up.

mod auction;
mod case;
mod clock;
mod contender;
mod ours;
mod peak;
mod peer;
mod report;
mod turns;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use case::{Case, Model};
use clock::Clock;
use contender::Contender;
use report::Report;
use turns::Pace;

type Error = Box<dyn std::error::Error>;

/// Candidates of a request.
const COUNTS: [usize; 4] = [1, 100, 300, 1000];

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
    contenders: &mut [Box<dyn Contender>],
    pace: &Pace,
    report: &mut Report,
) -> Result<(), Error> {
    for count in COUNTS {
        let case = Case::new(Rc::clone(model), count)?;
        case.write_rows(directory)?;
        let figures = turns::take(&case, contenders, pace);
        report.add(&case, figures);
    }
    Ok(())
}

fn main() -> Result<ExitCode, Error> {
    let (mut quick, mut clock, mut wanted) = (false, Clock::Wall, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => quick = true,
            "--cpu" => clock = Clock::Cpu,
            "S" | "M" | "L" => wanted.push(argument),
            _ => return Err(format!("\"{argument}\": expected --quick, --cpu or models among S, M, L").into()),
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
    let models = case::models()?;
    for model in &models {
        model.write_tensors(&directory)?;
    }
    let mut contenders = ours::all();
    contenders.extend(peer::all(&root, &directory));
    let (mut contenders, absent) = contender::start(contenders);
    for contender::Absent { name, reason } in &absent {
        println!("absent: {name}: {reason}");
    }
    let mut report = Report::new(&contenders, absent);
    for model in models.iter().filter(|m| wanted.is_empty() || wanted.iter().any(|w| w == m.name)) {
        run(model, &directory, &mut contenders, &pace, &mut report)?;
    }
    print!("{}", report.text());
    if report.wrong() {
        eprintln!("a contender's outputs are wrong, see above");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
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
            report.add(&case, turns::take(&case, &mut contenders, &Pace::TRIAL));
        }
        assert!(!report.wrong());
        let text = report.text();
        for contender in &contenders {
            assert!(text.contains(contender.name()), "{} is not in\n{text}", contender.name());
        }
        assert!(text.contains("S N=30"), "{text}");
    }
}
