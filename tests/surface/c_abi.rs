//! The C ABI as C and C++ programs see it, run on small bundles.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::programs::{Language, Link, WARNINGS, build, compilers, libraries, prepare, root, run, sanitizers, succeed};
use crate::small::Bundles;
use adclick::builder::infer::Kernel;
use adclick::{BidKind, Candidate, Engine, Input, Options, Request, ScorerLimits, Value, Winner, category_id};
use testkit::{endless, overlaid};

#[test]
fn the_headers_are_clean_in_every_standard_and_twice() {
    if !compilers() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let check = |language: Language, standard: &str, headers: &[&str]| {
        let source = directory.path().join(if language == Language::C { "twice.c" } else { "twice.cpp" });
        let text: String = headers.iter().map(|header| format!("#include <{header}>\n")).collect();
        std::fs::write(&source, text + "int main(void) { return ADCLICK_OK; }\n").unwrap();
        let mut command = Command::new(language.compiler());
        command.arg(standard).args(WARNINGS).args(["-Wsign-conversion", "-Wshadow", "-fsyntax-only", "-I"]);
        let output = command.arg(root().join("include")).arg(&source).output().unwrap();
        assert!(output.status.success(), "{standard} {headers:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for standard in ["-std=c99", "-std=c11", "-std=c17"] {
        check(Language::C, standard, &["adclick.h", "adclick.h"]);
    }
    for standard in ["-std=c++17", "-std=c++20"] {
        check(Language::Cpp, standard, &["adclick.h", "adclick.h"]);
        check(Language::Cpp, standard, &["adclick.hpp", "adclick.h", "adclick.hpp"]);
    }
}

/// What the first programs print, from the Rust API.
fn expected_of_first(bundles: &Bundles) -> String {
    let engine = Engine::open(&bundles.bundle(), &Options::default()).unwrap();
    let mut scorer = engine.scorer(ScorerLimits::default()).unwrap();
    let features = ["creative", "price"].map(|name| engine.feature(name).unwrap());
    let (mut candidates, mut values) = (Vec::new(), Vec::new());
    for c in 0..5u32 {
        candidates.push(Candidate {
            ad_key: 100 + u64::from(c),
            bid_kind: BidKind::Cpc as u32,
            bid_micros: 500_000 + 10_000 * i64::from(c),
            first_value: 2 * c,
            n_values: 2,
            ..Candidate::default()
        });
        let id = category_id(format!("category-{c}").as_bytes());
        values.extend(features.map(|feature| Value { feature, number: c as f32, id }));
    }
    let request = Request {
        struct_size: size_of::<Request>() as u32,
        request_id: 42,
        time_us: 1_700_000_000_000_000,
        n_candidates: 5,
        n_candidate_values: 10,
        n_slots: 2,
        ..Request::default()
    };
    let input = Input {
        request: &request,
        values: &[],
        candidates: &candidates,
        candidate_values: &values,
        columns: Default::default(),
    };
    let mut pctr = [0.0; 5];
    scorer.score(input, &mut pctr, &mut []).unwrap();
    let mut winners = [Winner::default(); 2];
    let outcome = scorer.decide(input, &mut winners, &mut []).unwrap();
    let mut text = String::new();
    for (c, p) in pctr.iter().enumerate() {
        text += &format!("candidate {c}: pCTR {p:.6}\n");
    }
    for w in &winners[..outcome.n_winners as usize] {
        let (price, ecpm) = (w.price_micros as f64 / 1e6, w.ecpm_micros as f64 / 1e6);
        text += &format!("slot {}: candidate {} pays {price:.6} for a click, eCPM {ecpm:.6}\n", w.slot, w.candidate);
    }
    text += &format!(
        "generation {:016x} on kernel {}, {} values missing or unknown\n",
        bundles.generation,
        engine.kernel(),
        outcome.n_missing
    );
    text
}

#[test]
fn the_first_programs_say_what_the_rust_api_says() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    let expected = expected_of_first(&bundles);
    assert!(expected.contains("slot 1: "), "{expected}");
    for (source, language) in [("examples/c/first.c", Language::C), ("examples/cpp/first.cpp", Language::Cpp)] {
        for link in [Link::Shared, Link::Static] {
            let built = build(source, language, link, &[]);
            let told = succeed(built.command().arg(bundles.bundle()).args(["creative", "price"]));
            assert_eq!(told, expected, "{source}");
            let usage = run(&mut built.command());
            assert_eq!(usage.status.code(), Some(2));
            let nowhere = run(built.command().arg("/nowhere/at/all"));
            assert_eq!(nowhere.status.code(), Some(1));
            assert!(String::from_utf8_lossy(&nowhere.stderr).contains("ADCLICK_IO: "), "{source}");
        }
    }
}

#[test]
fn bad_calls_from_c_give_their_statuses() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    for (link, flags) in [(Link::Shared, sanitizers()), (Link::Static, sanitizers()), (Link::Shared, &[])] {
        succeed(build("tests/c/bad_calls.c", Language::C, link, flags).command().arg(bundles.bundle()));
    }
}

#[test]
fn rows_are_written_on_top_of_tables_from_c_and_cpp() {
    if !compilers() {
        return;
    }
    let (bundles, without) = (overlaid::Bundles::new(), Bundles::new());
    // A layer that an ad cache takes work off.
    bundles.write("a", &overlaid::World { deep: 64, ..overlaid::World::default() });
    // One that takes more than a mebibyte and is worth it.
    bundles.write("many", &overlaid::World { deep: 64, more: 64, ads: 6000, ..overlaid::World::default() });
    for (link, flags) in [(Link::Shared, sanitizers()), (Link::Static, &[])] {
        let built = build("tests/c/tables.c", Language::C, link, flags);
        succeed(built.command().arg(bundles.path("a")).arg(without.bundle()).arg(bundles.path("many")));
    }
    for standard in ["-std=c++17", "-std=c++20"] {
        let flags = [&[standard], sanitizers()].concat();
        let built = build("tests/c/tables.cpp", Language::Cpp, Link::Shared, &flags);
        succeed(built.command().arg(bundles.path("a")));
    }
}

#[test]
fn decisions_and_events_are_logged_from_c() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    for (link, flags) in [(Link::Shared, sanitizers()), (Link::Static, &[])] {
        let directory = tempfile::tempdir().unwrap();
        let built = build("tests/c/log.c", Language::C, link, flags);
        succeed(built.command().arg(bundles.bundle()).arg(directory.path()));
    }
}

#[test]
fn inputs_are_listed_and_requests_checked_by_name() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    for (link, flags) in [(Link::Shared, sanitizers()), (Link::Static, &[])] {
        let built = build("tests/c/inputs.c", Language::C, link, flags);
        succeed(built.command().arg(bundles.bundle()));
    }
}

#[test]
fn cancelled_threads_signals_and_small_stacks_do_no_harm() {
    if !compilers() || !cfg!(target_os = "linux") {
        return;
    }
    let bundles = Bundles::new();
    endless::write(bundles.root());
    let built = build("tests/c/threads.c", Language::C, Link::Shared, &["-D_GNU_SOURCE"]);
    // The header says 64 KB, of a library that was optimised; this one was a little.
    let stack = if cfg!(debug_assertions) { "262144" } else { "65536" };
    succeed(built.command().arg(bundles.root()).arg(bundles.bundle()).arg(stack).arg(endless::NAME));
}

#[test]
fn metrics_count_what_the_boundary_refuses_too() {
    if !compilers() {
        return;
    }
    let bundles = overlaid::Bundles::new();
    bundles.write("a", &overlaid::World::default());
    for (link, flags) in [(Link::Shared, sanitizers()), (Link::Static, &[])] {
        let built = build("tests/c/metrics.c", Language::C, link, flags);
        succeed(built.command().arg(bundles.path("a")));
    }
}

#[test]
fn the_cpp_header_owns_checks_and_throws() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    for standard in ["-std=c++17", "-std=c++20"] {
        let flags = [&[standard], sanitizers()].concat();
        let built = build("tests/c/surface.cpp", Language::Cpp, Link::Shared, &flags);
        succeed(built.command().arg(bundles.bundle()));
    }
    // Also for those who build without exceptions.
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("plain.cpp");
    let text = "#include <adclick.hpp>\nint main(int, char **argv) {\n  const auto none = adclick::engine::try_open(\"\");\n  \
                const auto engine = adclick::engine::try_open(argv[1]);\n  return none.ok() || !engine || \
                !engine->try_make_scorer(3);\n}\n";
    std::fs::write(&source, text).unwrap();
    let flags = ["-fno-exceptions", "-fno-rtti"];
    let built = build(source.to_str().unwrap(), Language::Cpp, Link::Shared, &flags);
    succeed(built.command().arg(bundles.bundle()));
}

/// The other compiler, where there is one.
#[test]
fn the_headers_and_programs_are_clean_under_clang() {
    if Command::new("clang++").arg("--version").output().is_err() {
        println!("skipped: no clang++");
        return;
    }
    for (compiler, standard, source) in [
        ("clang", "-std=c11", "tests/parity/answer.c"),
        ("clang", "-std=c11", "tests/c/bad_calls.c"),
        ("clang++", "-std=c++17", "tests/c/surface.cpp"),
        ("clang++", "-std=c++20", "tests/c/surface.cpp"),
        ("clang++", "-std=c++17", "examples/cpp/serve.cpp"),
    ] {
        let mut command = Command::new(compiler);
        command.args([standard, "-fsyntax-only"]).args(WARNINGS).arg("-I").arg(root().join("include"));
        succeed(command.arg(root().join(source)));
    }
}

/// Requests with 3 candidates each.
fn request_file(path: &Path, requests: u32) {
    let mut text = String::from("# requests of a test\n\n");
    for r in 0..requests {
        text +=
            &format!("R {r} {} -3600 2\nV age {}.5 0\nV device 0 \"phone \\\"{r}\\\"\"\n", 1_700_000_000_000_000i64, r);
        for (c, kind) in ["cpc", "cpm", "ocpm"].iter().enumerate() {
            text += &format!("C {c} 9 {} {kind} 0\nW creative 0 {}\nW \"price\" 1e1 0\n", 1_000_000 + r, c * 7);
        }
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn the_server_loses_nothing_while_bundles_are_swapped() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    let requests = bundles.root().join("requests.txt");
    request_file(&requests, 50);
    let built = build("examples/cpp/serve.cpp", Language::Cpp, Link::Shared, sanitizers());
    let mut command = built.command();
    command.arg("--bundles").arg(bundles.root()).arg("--requests").arg(&requests);
    command.args(["--threads", "2", "--seconds", "1", "--swap"]);
    let child = prepare(&mut command)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let second = bundles.publish("b", 2);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| told[key].as_u64().unwrap_or_else(|| panic!("{key} in {told}"));
    assert_eq!(number("lost"), 0);
    assert!(number("requests") >= 50);
    assert_eq!(number("predictions"), 3 * number("requests"));
    assert_eq!(number("winners"), 2 * number("requests"));
    assert_eq!(number("missing_values"), 0);
    let real = |key: &str| told[key].as_f64().unwrap_or_else(|| panic!("{key} in {told}"));
    assert!(real("mean_ecpm") > 0.0 && real("revenue") > 0.0 && real("predictions_per_second") > 0.0);
    assert!(real("p50_us") > 0.0 && real("p50_us") <= real("p99_us"));
    assert!(real("p99_us") <= real("p999_us") && real("p999_us") <= real("max_us"));
    assert_eq!(told["kernel"], Kernel::detect().name());
    assert!(told["first_failure"].is_null() && told["follow_error"].is_null());
    let generations = told["generations"].as_array().unwrap();
    let ids: BTreeSet<_> = generations.iter().map(|g| g["id"].as_str().unwrap().to_owned()).collect();
    let wanted = [bundles.generation, second].map(|id| format!("{id:016x}"));
    assert_eq!(ids, BTreeSet::from(wanted), "{told}");
    assert_eq!(generations.iter().map(|g| g["requests"].as_u64().unwrap()).sum::<u64>(), number("requests"));
}

#[test]
fn the_server_names_the_line_that_is_wrong() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    let requests = bundles.root().join("requests.txt");
    let built = build("examples/cpp/serve.cpp", Language::Cpp, Link::Static, &[]);
    let request = "R 1 0 0 1\n";
    for (text, message) in [
        ("", "no request"),
        ("# nothing\n", "no request"),
        ("X 1\n", ":1: a line of kind X"),
        ("V age 1 0\n", ":1: V before the first R"),
        ("\n\nR 1 0 0\n", ":3: n_slots is missing"),
        ("R 1 0 0 1 7\n", ":1: more than the fields of R: 7"),
        ("R -1 0 0 1\n", ":1: request_id is -1"),
        ("R 1 0 9999999999 1\n", ":1: utc_offset_s is 9999999999"),
        ("R 1 0 0 1\nW price 1 0\n", ":2: W before the first C"),
        ("R 1 0 0 1\nC 1 1 1 cpx 0\n", ":2: bid_kind is cpx"),
        ("R 1 0 0 1\nV age nan 0\n", ":2: number is nan"),
        ("R 1 0 0 1\nV age 1x 0\n", ":2: number is 1x"),
        ("R 1 0 0 1\nV age 1 abc\n", ":2: id is abc"),
        ("R 1 0 0 1\nV age 1 \"abc\n", ":2: id: the closing double quote"),
        ("R 1 0 0 1\nV \"\" 1 0\n", ":2: input_name : "),
    ] {
        std::fs::write(&requests, text).unwrap();
        let output = run(built.command().arg("--bundles").arg(bundles.root()).arg("--requests").arg(&requests));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text:?}");
        assert!(told.contains(message), "{text:?} gave {told:?}");
        assert!(output.stdout.is_empty());
    }
    // A request that the library refuses is counted as lost, and the end says so.
    std::fs::write(&requests, format!("{request}R 2 0 86401 1\n")).unwrap();
    let output = run(built.command().arg("--bundles").arg(bundles.root()).arg("--requests").arg(&requests));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), told["lost"].as_u64(), told["requests"].as_u64()), (Some(1), Some(1), Some(2)));
    assert!(told["first_failure"].as_str().unwrap().contains("utc_offset_s"), "{told}");
    for arguments in [&["--bundles"][..], &["--swap"], &["--bundles", "a", "--requests", "b", "--threads", "0"]] {
        assert_eq!(run(built.command().args(arguments)).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn every_kernel_of_this_cpu_is_in_the_one_library() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    let built = build("tests/c/kernel.c", Language::C, Link::Shared, &[]);
    let mut kernels = 0;
    for kernel in Kernel::available() {
        let by_option = succeed(built.command().arg(bundles.bundle()).arg(kernel.name()));
        let by_variable = succeed(built.command().arg(bundles.bundle()).env("ADCLICK_KERNEL", kernel.name()));
        // The option goes before the variable.
        let both = succeed(built.command().arg(bundles.bundle()).arg(kernel.name()).env("ADCLICK_KERNEL", "portable"));
        for told in [by_option, by_variable, both] {
            assert_eq!(told.trim(), kernel.name());
        }
        kernels += 1;
    }
    assert!(kernels >= 1);
    assert_eq!(succeed(built.command().arg(bundles.bundle())).trim(), Kernel::detect().name());
    let unknown = run(built.command().arg(bundles.bundle()).env("ADCLICK_KERNEL", "abacus"));
    assert_eq!(unknown.status.code(), Some(1));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(told.contains("ADCLICK_UNSUPPORTED") && told.contains("abacus") && told.contains("portable"), "{told}");
}

#[test]
fn no_build_flag_names_a_cpu() {
    let mut texts = Vec::new();
    for path in [".cargo/config.toml", ".cargo/config", "Cargo.toml", "Makefile"] {
        if let Ok(text) = std::fs::read_to_string(root().join(path)) {
            texts.push((path.to_owned(), text));
        }
    }
    assert!(texts.iter().any(|(path, _)| path == "Cargo.toml"));
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        texts.push((variable.to_owned(), std::env::var(variable).unwrap_or_default()));
    }
    for (place, text) in texts {
        assert!(!text.contains("target-cpu") && !text.contains("target-feature"), "{place} names a CPU");
    }
    // What the compiler was really told.
    #[cfg(target_arch = "x86_64")]
    const {
        assert!(!cfg!(target_feature = "avx") && !cfg!(target_feature = "fma"), "built for more than the baseline")
    };
}

#[test]
fn a_child_after_fork_scores_and_opens_engines() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    let built = build("tests/c/fork.c", Language::C, Link::Shared, &[]);
    succeed(built.command().arg(bundles.root()).arg(bundles.bundle()));
}

#[test]
fn a_scorer_that_finds_no_memory_is_refused() {
    if !compilers() || !cfg!(target_os = "linux") {
        return;
    }
    let bundles = Bundles::new();
    let built = build("tests/c/memory.c", Language::C, Link::Shared, &[]);
    let told = succeed(built.command().arg(bundles.bundle()));
    assert!(told.contains("bytes of memory were refused"), "{told}");
}

#[test]
fn the_library_can_be_unloaded_after_its_engines_are_closed() {
    if !compilers() {
        return;
    }
    let bundles = Bundles::new();
    let built = build("tests/c/unload.c", Language::C, Link::Shared, &[]);
    let library = libraries().join("libadclick.so");
    succeed(built.command().args([library.as_os_str(), OsStr::new(bundles.root())]));
}

#[test]
fn the_example_of_the_manual_runs() {
    if !compilers() {
        return;
    }
    let manual = std::fs::read_to_string(root().join("docs/c-api.md")).unwrap();
    let (_, rest) = manual.split_once("```c\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("manual.c");
    std::fs::write(&source, example).unwrap();
    let bundles = Bundles::new();
    let built = build(source.to_str().unwrap(), Language::C, Link::Shared, sanitizers());
    let told = succeed(built.command().arg(bundles.root()));
    assert!(told.starts_with("ad ") && told.contains(" wins, eCPM "), "{told}");

    // The piece about tables stands for itself: in a function it compiles.
    let (_, rest) = rest.split_once("```c\n").unwrap();
    let (piece, _) = rest.split_once("```").unwrap();
    assert!(piece.contains("adclick_engine_upsert"), "{piece}");
    let text = format!(
        "#include <adclick.h>\nvoid piece(adclick_engine *engine);\nvoid piece(adclick_engine *engine) {{\n\
        adclick_error error = {{.struct_size = sizeof error}};\n{piece}}}\n"
    );
    std::fs::write(&source, text).unwrap();
    let mut command = Command::new(Language::C.compiler());
    command.args(["-std=c11", "-fsyntax-only"]).args(WARNINGS);
    succeed(command.arg("-I").arg(root().join("include")).arg(&source));
}
