//! What programs that are linked already rely on: names, versions, soname, layouts, and what old clients expect.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{Language, WARNINGS, compilers, libraries, root, succeed};
use crate::{programs, small};

/// The functions that a header declares.
fn functions(header: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(header).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.starts_with(' '));
    let names = lines.filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next());
    let names: BTreeSet<_> = names.filter(|name| name.starts_with("adclick_")).map(str::to_owned).collect();
    assert!(names.contains("adclick_scorer_decide") && names.contains("adclick_hash"), "{names:?}");
    names
}

fn present() -> PathBuf {
    root().join("include/adclick.h")
}

fn first() -> PathBuf {
    root().join("tests/c/abi/adclick-1.h")
}

fn tool(name: &str, arguments: &[&str], file: &Path) -> String {
    succeed(Command::new(name).args(arguments).arg(file))
}

#[test]
fn the_list_of_exported_symbols_is_the_header() {
    let map = std::fs::read_to_string(root().join("packaging/adclick.map")).unwrap();
    let listed = map.lines().filter_map(|line| line.trim().strip_suffix(';'));
    let listed: BTreeSet<_> = listed.filter(|name| name.starts_with("adclick_")).map(str::to_owned).collect();
    let declared = functions(&present());
    let missing: Vec<_> = declared.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&declared).collect();
    assert!(missing.is_empty(), "add to packaging/adclick.map: {missing:?}");
    assert!(gone.is_empty(), "exported names never go, but the header lacks {gone:?}");
    let lost: Vec<_> = functions(&first()).difference(&declared).cloned().collect();
    assert!(lost.is_empty(), "programs built with the first header need {lost:?}");
}

#[test]
fn the_cpp_header_has_every_call_of_the_c_header() {
    let mut text = std::fs::read_to_string(root().join("include/adclick.hpp")).unwrap();
    for piece in std::fs::read_dir(root().join("include/adclick")).unwrap() {
        text += &std::fs::read_to_string(piece.unwrap().path()).unwrap();
    }
    let lacking: Vec<_> =
        functions(&present()).into_iter().filter(|name| !text.contains(&format!("{name}("))).collect();
    // Some are passed to a function that calls them.
    let passed = |name: &String| [")", ","].iter().any(|end| text.contains(&format!("({name}{end}")));
    let lacking: Vec<_> = lacking.into_iter().filter(|name| !passed(name)).collect();
    assert!(lacking.is_empty(), "adclick.hpp does not call {lacking:?}");
}

#[test]
fn every_public_field_has_its_offset_frozen() {
    let text = std::fs::read_to_string(present()).unwrap();
    let mut fields = 0;
    for body in text.split("typedef struct ").skip(1).filter(|piece| piece.contains(" {\n")) {
        let Some((name, rest)) = body.split_once(" {\n") else { continue };
        if name.contains(';') {
            continue; // an opaque handle
        }
        let (body, _) = rest.split_once('}').unwrap();
        assert!(text.contains(&format!("ADCLICK_ASSERT_SIZE({name}, ")), "the size of {name} is not frozen");
        for line in body.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.is_empty()) {
            let field = line.trim_end_matches(';').rsplit(' ').next().unwrap().split('[').next().unwrap();
            let frozen = text.contains(&format!("ADCLICK_ASSERT_AT({name}, {field}, "));
            assert!(frozen, "cbindgen.toml: the offset of {name}.{field} is not frozen");
            fields += 1;
        }
    }
    assert!(fields >= 70, "{fields}");
}

#[test]
fn the_shared_library_has_its_soname_and_exports_the_list_with_a_version() {
    if !compilers() {
        return;
    }
    let library = libraries().join("libadclick.so");
    let told = tool("readelf", &["-dW"], &library);
    assert!(told.contains("soname: [libadclick.so.1]"), "{told}");
    for needed in told.lines().filter(|line| line.contains("(NEEDED)")) {
        // The two after libc were apart from it before glibc 2.34.
        let system = ["libc.so.6", "libpthread.so.0", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "ld-linux"];
        assert!(system.iter().any(|name| needed.contains(name)), "more than the system's libraries: {needed}");
    }
    succeed(Command::new(root().join("packaging/glibc.sh")).arg("2.28").arg(&library));
    let told = tool("nm", &["-D", "--defined-only", "--with-symbol-versions"], &library);
    let exported: BTreeSet<_> = told.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let declared = functions(&present());
    let mut expected: BTreeSet<_> = declared.iter().map(|name| format!("{name}@@ADCLICK_1")).collect();
    expected.insert("ADCLICK_1".to_owned());
    assert_eq!(exported, expected.iter().map(String::as_str).collect());
    let real = std::fs::canonicalize(&library).unwrap();
    let version = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
    assert_eq!(real.file_name().unwrap().to_str(), Some(format!("libadclick.so.1.{version}").as_str()));
}

#[test]
fn the_static_library_shows_programs_nothing_else() {
    if !compilers() {
        return;
    }
    let told = tool("readelf", &["-sW"], &libraries().join("libadclick.a"));
    let mut shown = BTreeSet::new();
    for line in told.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [_, _, _, _, "GLOBAL" | "WEAK", _, place, name] = words[..]
            && place != "UND"
        {
            shown.insert(name.to_owned());
        }
    }
    assert_eq!(shown, functions(&present()));
}

/// Two Rust archives bring the same runtime twice; that of this library is its own.
#[test]
fn another_rust_archive_links_beside_the_static_library() {
    if !compilers() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn other(n: u32) -> u32 {\n    \
                  std::panic::catch_unwind(|| format!(\"{n}\").parse::<u32>().unwrap()).unwrap_or(0)\n}\n";
    std::fs::write(at("other.rs"), source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "staticlib", "-o"]).arg(at("libother.a")).arg(at("other.rs"));
    succeed(&mut command);
    let text = "#include <adclick.h>\nuint32_t other(uint32_t n);\nint main(void) {\n  adclick_error error = {.struct_size = \
                sizeof error};\n  adclick_engine *engine = NULL;\n  return adclick_engine_open(\"/nowhere\", 8, NULL, \
                &engine, &error) != ADCLICK_IO || other(7) != 7;\n}\n";
    std::fs::write(at("both.c"), text).unwrap();
    let mut command = Command::new(Language::C.compiler());
    command.args(["-std=c11", "-I"]).arg(root().join("include")).arg(at("both.c"));
    // Every member of both: nothing is left out by luck.
    command.arg("-Wl,--whole-archive").arg(libraries().join("libadclick.a")).arg(at("libother.a"));
    command.arg("-Wl,--no-whole-archive").args(programs::SYSTEM_LIBRARIES).arg("-o").arg(at("both"));
    succeed(&mut command);
    succeed(&mut Command::new(at("both")));
}

/// A library that has the names of the first header and nothing in them: what an old client was linked with.
fn first_library(directory: &Path) {
    let names = functions(&first());
    let body: String = names.iter().map(|name| format!("void {name}(void);\nvoid {name}(void) {{}}\n")).collect();
    let listed: String = names.iter().map(|name| format!("{name};")).collect();
    std::fs::write(directory.join("first.c"), body).unwrap();
    std::fs::write(directory.join("first.map"), format!("ADCLICK_1 {{ global: {listed} local: *; }};\n")).unwrap();
    let mut command = Command::new(Language::C.compiler());
    command.args([
        "-shared",
        "-fPIC",
        "-Wl,-soname,libadclick.so.1",
        "-Wl,--version-script=first.map",
        "first.c",
        "-o",
    ]);
    succeed(command.arg("libadclick.so").current_dir(directory));
}

/// The present header with a field more at the end of the structs that grow with candidates and winners.
fn grown_header() -> String {
    let mut text = std::fs::read_to_string(present()).unwrap();
    for name in ["adclick_request", "adclick_candidate", "adclick_winner", "adclick_auction_options"] {
        let frozen = format!("_SIZE({name}, ");
        let (_, after) = text.split_once(&frozen).unwrap();
        let size: u32 = after.split_once(')').unwrap().0.parse().unwrap();
        for (from, to) in [
            (format!("}} {name};"), format!("  uint64_t grown;\n}} {name};")),
            (format!("{frozen}{size})"), format!("{frozen}{})", size + 8)),
        ] {
            assert_eq!(text.matches(&from).count(), 1, "{from}");
            text = text.replace(&from, &to);
        }
    }
    text
}

/// Where the libraries are whose structs have the fields of `grown_header`: `make test-grown` builds them.
fn grown_libraries() -> Option<PathBuf> {
    let set = std::env::var_os("ADCLICK_GROWN");
    if set.is_none() {
        println!("skipped: no library with larger candidates and winners (make test-grown)");
    }
    set.map(PathBuf::from)
}

/// A program of tests/c/abi, compiled with a header and linked with what was there when it was written.
fn client(directory: &Path, source: &str, header: &str, flags: &[&str]) -> PathBuf {
    let made = tempfile::tempdir_in(directory).unwrap().keep();
    std::fs::write(made.join("adclick.h"), header).unwrap();
    std::fs::write(made.join("adclick-1.h"), header).unwrap();
    std::fs::copy(root().join("tests/c/abi").join(source), made.join(source)).unwrap();
    let mut command = Command::new(Language::C.compiler());
    command.args(["-std=c11", "-O1"]).args(WARNINGS).args(flags).arg("-I").arg(&made).arg(made.join(source));
    succeed(command.arg("-L").arg(directory).arg("-ladclick").arg("-o").arg(made.join("client")));
    made.join("client")
}

/// What a client prints with the present library, and, where there is one, with one whose entries have grown.
fn on_every_library(program: &Path, bundle: &Path) -> String {
    let told = succeed(Command::new(program).arg(bundle));
    if let Some(grown) = grown_libraries() {
        let mut command = Command::new(program);
        let output = command.arg(bundle).env("LD_LIBRARY_PATH", grown).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), told, "on a newer library");
    }
    told
}

#[test]
fn an_old_client_binary_runs_on_this_library_and_is_told_the_same() {
    if !compilers() {
        return;
    }
    let bundles = small::Bundles::new();
    let directory = tempfile::tempdir().unwrap();
    first_library(directory.path());
    let [first, present] = [first(), present()].map(|header| std::fs::read_to_string(header).unwrap());
    let old = client(directory.path(), "client.c", &first, &["-DOPTIONS=32"]);
    let new = client(directory.path(), "client.c", &present, &["-DSIZES"]);
    let dynamic = tool("readelf", &["-dVW"], &old);
    assert!(dynamic.contains("[libadclick.so.1]") && dynamic.contains("ADCLICK_1"), "{dynamic}");
    let [old, new] = [old, new].map(|program| on_every_library(&program, &bundles.bundle()));
    assert_eq!(old, new);
    for part in ["kernel portable\n", "won\n", "invalid_bid\n", "ADCLICK_INVALID_ARGUMENT: "] {
        assert!(old.contains(part), "no {part:?} in {old}");
    }
}

#[test]
fn clients_and_libraries_whose_candidates_and_winners_differ_understand_each_other() {
    if !compilers() {
        return;
    }
    let bundles = small::Bundles::new();
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(libraries().join("libadclick.so"), directory.path().join("libadclick.so")).unwrap();
    let present = std::fs::read_to_string(present()).unwrap();
    let now = client(directory.path(), "sizes.c", &present, &[]);
    let later = client(directory.path(), "sizes.c", &grown_header(), &["-DGROWN"]);
    let [now, later] = [now, later].map(|program| on_every_library(&program, &bundles.bundle()));
    assert!(now.contains(" won\n") && now.contains(" invalid_bid\n"), "{now}");
    assert_eq!(now, later);
}
