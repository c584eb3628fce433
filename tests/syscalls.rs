//! Serving makes no system call. A process puts its serving thread under a seccomp filter that stops every call, and
//! scores, decides and is refused on each kernel, from Rust and through the C ABI, while another thread swaps generations.
//! To be sure that the filter bites, another process does the same with a call planted in the middle.
//!
//! Linux on x86-64 and aarch64; where a process may not filter itself, or its clock is no vDSO's, the test says so.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(unsafe_code, reason = "seccomp, a signal handler, and calls through the C ABI")]

use std::process::{Command, Output};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use adclick::auction::Reason;
use adclick::builder::capi::*;
use adclick::builder::infer::Kernel;
use adclick::{Engine, Explanation, Outcome, Value, Winner};
use testkit::common::{Bundles, Random, Wants, case, logged, model, options, scorer};
use testkit::plain_tables;

const CANDIDATES: usize = 40;
const CALLS: usize = 2_000;
/// What the child is to do, and on which kernel.
const TASK: &str = "ADCLICK_TEST_SYSCALLS";
const KERNEL: &str = "ADCLICK_TEST_SYSCALLS_KERNEL";
/// How the child ends.
const CLEAN: i32 = 10;
const CAUGHT: i32 = 11;
const NO_SECCOMP: i32 = 12;
const NO_VDSO: i32 = 13;

/// System calls that the filter stopped, and the number of the first.
static STOPPED: AtomicUsize = AtomicUsize::new(0);
static FIRST: AtomicU64 = AtomicU64::new(u64::MAX);

/// `struct siginfo` as the kernel fills it for SIGSYS.
#[repr(C)]
struct SignalInfo {
    signo: i32,
    errno: i32,
    code: i32,
    _pad: i32,
    call_addr: usize,
    syscall: i32,
    arch: u32,
}

extern "C" fn on_stopped(_: i32, info: *const SignalInfo, _: *mut libc::c_void) {
    // SAFETY: the kernel gives the handler of SIGSYS, installed with SA_SIGINFO, such a struct.
    let number = unsafe { (*info).syscall };
    let _ = FIRST.compare_exchange(u64::MAX, number as u64, Ordering::Relaxed, Ordering::Relaxed);
    STOPPED.fetch_add(1, Ordering::Relaxed);
}

/// From here on each system call of this thread is stopped and counted; what remains is to return from the handler and to
/// end the process. False when the system does not let a process do so.
fn stop_system_calls() -> Result<(), String> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // The number is the first word of `struct seccomp_data`.
    let mut filter = [
        op(LOAD, 0, 0, 0),
        op(IF_EQUAL, 2, 0, libc::SYS_rt_sigreturn as u32),
        op(IF_EQUAL, 1, 0, libc::SYS_exit_group as u32),
        op(RETURN, 0, 0, libc::SECCOMP_RET_TRAP),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let failed = |what: &str| Err(format!("{what}: {}", std::io::Error::last_os_error()));
    // SAFETY: the handler only writes to atomics; structs that are all zero are valid; the filter outlives the call, which
    // copies it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_stopped as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        if libc::sigaction(libc::SIGSYS, &action, null_mut()) != 0 {
            return failed("sigaction");
        }
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return failed("PR_SET_NO_NEW_PRIVS");
        }
        if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0 {
            return failed("PR_SET_SECCOMP");
        }
    }
    Ok(())
}

/// Ends the process without any other system call.
fn end(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// The process under the filter: serves on one kernel, and makes a system call in between if it is to.
fn serve(kernel: &str, planted: bool) -> ! {
    let bundles = Bundles::new();
    let mut random = Random(5);
    let mut spec = model(&mut random, Wants { wide: true, heads: 2, goldens: 1, similarities: true });
    let tables = plain_tables::enrich(&mut random, &mut spec);
    plain_tables::write(&bundles, "a", &spec, &tables);
    let other = model(&mut random, Wants::default());
    plain_tables::write(&bundles, "b", &other, &[]);
    let engine = Engine::open(&bundles.path("a"), &logged(options(kernel), &bundles.path("log"))).unwrap();
    let good = case(&mut random, &spec.schema, CANDIDATES, &engine);
    let mut good = plain_tables::ask(&mut random, &good);
    good.request.n_slots = 4;
    let mut bad = good.clone();
    bad.values.push(Value { feature: 1, number: f32::NAN, id: 0 });
    bad.request.n_values += 1;
    let mut hurried = good.clone();
    hurried.request.deadline_us = 20;

    let path = bundles.path("a");
    let path = path.to_str().unwrap();
    let (mut c_engine, mut c_scorer) = (null_mut(), null_mut());
    let log = bundles.path("c-log");
    let log = log.to_str().unwrap();
    // SAFETY: the paths have their lengths, the outputs are there.
    unsafe {
        assert_eq!(adclick_engine_open(path.as_ptr().cast(), path.len(), null(), &mut c_engine, null_mut()) as i32, 0);
        let opened = adclick_engine_log_open(c_engine, log.as_ptr().cast(), log.len(), null(), null_mut());
        assert_eq!(opened as i32, 0);
        assert_eq!(adclick_scorer_new(c_engine, null(), &mut c_scorer, null_mut()) as i32, 0);
    }

    let mut scorer = scorer(&engine, CANDIDATES);
    let (mut pctr, mut pcvr) = ([0.0; CANDIDATES], [0.0; CANDIDATES]);
    let mut winners = [Winner::default(); 4];
    let mut reasons = [Reason::Won; CANDIDATES];
    let mut outcome = Outcome { struct_size: size_of::<Outcome>() as u32, ..Outcome::default() };
    let mut told = Explanation { struct_size: size_of::<Explanation>() as u32, ..Explanation::default() };
    let mut error = adclick_error { struct_size: size_of::<adclick_error>() as u32, status: 0, message: [0; 504] };
    // Rounds in which all went well, calls that were refused, changes of the generation.
    let mut calls = |n: usize, plant_at: usize| -> (usize, usize, usize) {
        let (mut decided, mut refused, mut changes, mut seen) = (0, 0, 0, 0);
        for call in 0..n {
            let scored = scorer.score(good.input(), &mut pctr, &mut pcvr).is_ok_and(|o| {
                changes += usize::from(o.generation != seen);
                seen = o.generation;
                true
            });
            let won = scorer.decide(good.input(), &mut winners, &mut reasons).is_ok();
            let hurried = scorer.decide(hurried.input(), &mut winners, &mut []).is_ok();
            decided += usize::from(scored && won && hurried);
            refused += usize::from(scorer.decide(bad.input(), &mut winners, &mut reasons).is_err());
            for case in [&good, &bad] {
                // SAFETY: the arrays have the entries that the request says, the outputs room for them.
                let status = unsafe {
                    adclick_scorer_decide(
                        c_scorer,
                        &case.request,
                        case.values.as_ptr(),
                        case.candidates.as_ptr(),
                        case.candidate_values.as_ptr(),
                        winners.as_mut_ptr(),
                        4,
                        null_mut(),
                        &mut outcome,
                        &mut error,
                    )
                };
                refused += usize::from(status as i32 == -4);
                // SAFETY: the output has room; what was refused is no decision.
                let told = unsafe { adclick_scorer_explain(c_scorer, 1, &mut told, &mut error) };
                refused -= usize::from((told as i32 == 0) == (status as i32 == -4));
            }
            if call == plant_at {
                // SAFETY: a call without arguments or effects.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
        }
        (decided, refused, changes)
    };
    calls(10, usize::MAX);
    let (stop, ready) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let engine = &engine;
        scope.spawn(|| {
            for name in ["b", "a"].into_iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                engine.stage(&bundles.path(name)).unwrap().activate().unwrap();
                let _ = engine.metrics().unwrap().write(&mut []);
                ready.store(true, Ordering::Release);
            }
        });
        while !ready.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        if let Err(why) = stop_system_calls() {
            println!("{why}");
            end(NO_SECCOMP);
        }
        // The clock first: where the vDSO cannot read it, this is a system call, and the machine's, not ours.
        std::hint::black_box(Instant::now());
        if STOPPED.load(Ordering::Relaxed) > 0 {
            end(NO_VDSO);
        }
        let (decided, refused, changes) = calls(CALLS, if planted { CALLS / 2 } else { usize::MAX });
        // Printing, and joining the other thread, would be system calls.
        let enough = decided == CALLS && refused == 2 * CALLS && changes > 1;
        let first = FIRST.load(Ordering::Relaxed);
        end(match STOPPED.load(Ordering::Relaxed) {
            0 if enough => CLEAN,
            0 => 1,
            1 if planted && first == libc::SYS_getppid as u64 => CAUGHT,
            // What it was, to look it up.
            _ => 100 + (first % 100) as i32,
        })
    })
}

fn child(kernel: &str, task: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "under_the_filter", "--nocapture"]).env(TASK, task).env(KERNEL, kernel);
    command.output().unwrap()
}

/// Runs in the processes that the other test starts, and does nothing by itself.
#[test]
fn under_the_filter() {
    if let (Ok(task), Ok(kernel)) = (std::env::var(TASK), std::env::var(KERNEL)) {
        serve(&kernel, task == "planted");
    }
}

#[test]
fn serving_makes_no_system_call() {
    for kernel in Kernel::available() {
        for (task, expected) in [("serve", CLEAN), ("planted", CAUGHT)] {
            let output = child(kernel.name(), task);
            let told = String::from_utf8_lossy(&output.stdout);
            match output.status.code() {
                Some(NO_SECCOMP) => {
                    println!("skipped: this system lets no process filter its own system calls ({})", told.trim());
                    return;
                }
                Some(NO_VDSO) => {
                    println!("skipped: reading the clock is a system call here (no vDSO for this clock source)");
                    return;
                }
                code => assert_eq!(
                    code,
                    Some(expected),
                    "{task} on {}: 1 = too little was served, 100 and more = 100 + the system call's number modulo 100; \
                     {told}{}",
                    kernel.name(),
                    String::from_utf8_lossy(&output.stderr)
                ),
            }
        }
        println!("{}: {CALLS} rounds of calls, no system call; one that was planted was caught", kernel.name());
    }
}
