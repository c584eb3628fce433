//! Programs in C and C++: compiled with the system's compilers, without a warning, and linked with the shared and the
//! static library that are installed, made of this very build.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What the static library does not bring with it, as adclick.pc says.
pub(crate) const SYSTEM_LIBRARIES: [&str; 4] = ["-lm", "-lpthread", "-ldl", "-lrt"];
pub(crate) const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];
const SANITIZERS: [&str; 3] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Language {
    C,
    Cpp,
}

impl Language {
    pub(crate) fn compiler(self) -> String {
        let (variable, default) = if self == Self::C { ("CC", "cc") } else { ("CXX", "c++") };
        std::env::var(variable).unwrap_or_else(|_| default.to_owned())
    }

    pub(crate) fn standard(self) -> &'static str {
        if self == Self::C { "-std=c11" } else { "-std=c++17" }
    }
}

/// Whether there are compilers; a test without them says so and is skipped, but not in CI.
pub(crate) fn compilers() -> bool {
    for language in [Language::C, Language::Cpp] {
        if Command::new(language.compiler()).arg("--version").output().is_err() {
            let text = format!("no compiler `{}`: install gcc and g++, or set CC and CXX", language.compiler());
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
            println!("skipped: {text}");
            return false;
        }
    }
    true
}

/// The archive that cargo made of this build, with every test program.
pub(crate) fn archive() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let archive = exe.parent().unwrap().join("libadclick.a");
    assert!(archive.exists(), "{} is missing: was crate-type changed?", archive.display());
    archive
}

/// The directory with the libraries as they are installed.
pub(crate) fn libraries() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libraries");
        let mut command = Command::new(root().join("packaging/libraries.sh"));
        let output = command.arg(archive()).arg(&directory).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        directory
    })
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Link {
    Shared,
    Static,
}

pub(crate) struct Built {
    directory: tempfile::TempDir,
}

impl Built {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("program")
    }

    pub(crate) fn command(&self) -> Command {
        Command::new(self.path())
    }
}

/// Compiles a program, without a warning.
pub(crate) fn build(source: &str, language: Language, link: Link, flags: &[&str]) -> Built {
    let built = Built { directory: tempfile::tempdir().unwrap() };
    let mut command = Command::new(language.compiler());
    command.args([language.standard(), "-O1", "-g"]).args(WARNINGS).args(flags);
    command.arg("-I").arg(root().join("include")).arg(root().join(source)).arg("-o").arg(built.path());
    let libraries = libraries();
    match link {
        Link::Shared => {
            command.arg("-L").arg(libraries).args(["-ladclick", "-pthread", "-ldl"]);
            command.arg(format!("-Wl,-rpath,{}", libraries.display()));
        }
        Link::Static => {
            command.arg(libraries.join("libadclick.a")).args(SYSTEM_LIBRARIES);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{source} {flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    built
}

/// The flags of the sanitizers, if this machine can link and run a program with them.
pub(crate) fn sanitizers() -> &'static [&'static str] {
    static WORK: OnceLock<bool> = OnceLock::new();
    let work = *WORK.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let (source, program) = (directory.path().join("probe.c"), directory.path().join("probe"));
        std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let compiled =
            Command::new(Language::C.compiler()).args(SANITIZERS).arg(&source).arg("-o").arg(&program).output();
        let works = compiled.is_ok_and(|c| c.status.success())
            && Command::new(&program).output().is_ok_and(|ran| ran.status.success());
        if !works {
            println!("without sanitizers: this machine does not run them");
        }
        works
    });
    if work { &SANITIZERS } else { &[] }
}

/// Settles what a program would else take from this test's surroundings.
pub(crate) fn prepare(command: &mut Command) -> &mut Command {
    // The kernel is the best one unless a test says otherwise.
    let set = command.get_envs().any(|(name, _)| name == "ADCLICK_KERNEL");
    if !set {
        command.env_remove("ADCLICK_KERNEL");
    }
    // Before whatever path the surroundings have.
    command.env("LD_LIBRARY_PATH", libraries())
}

pub(crate) fn run(command: &mut Command) -> Output {
    prepare(command).output().unwrap()
}

/// Runs a program that must succeed. Returns its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}
