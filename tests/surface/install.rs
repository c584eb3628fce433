//! What is installed: found by CMake and pkg-config wherever the tree stands, linked shared and static, and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::programs::{Language, archive, compilers, root, succeed};
use crate::small;
use tempfile::TempDir;

/// An installed tree, moved away from where it was installed.
struct Installed {
    directory: TempDir,
    libdir: &'static str,
}

impl Installed {
    fn new(libdir: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = install(&directory.path().join("stage"), "/opt/adclick", &[libdir]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(directory.path().join("stage/opt/adclick"), directory.path().join("moved")).unwrap();
        Self { directory, libdir }
    }

    fn prefix(&self) -> PathBuf {
        self.directory.path().join("moved")
    }

    fn lib(&self) -> PathBuf {
        self.prefix().join(self.libdir)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn pkg_config(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", self.lib().join("pkgconfig")).args(arguments).arg("adclick");
        succeed(&mut command).split_whitespace().map(str::to_owned).collect()
    }

    fn cmake(&self, source: &Path, build: &str) -> Output {
        let mut command = Command::new("cmake");
        command.arg("-S").arg(source).arg("-B").arg(self.at(build));
        command.arg(format!("-DCMAKE_PREFIX_PATH={}", self.prefix().display()));
        command.output().unwrap()
    }
}

fn install(destdir: &Path, prefix: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(root().join("packaging/install.sh"));
    command.env("DESTDIR", destdir).env("PREFIX", prefix).arg(archive()).args(arguments).output().unwrap()
}

/// Whether a tool is installed. Without it a test prints that and is skipped, except in CI, where it fails.
fn have(tool: &str) -> bool {
    let there = compilers() && Command::new(tool).arg("--version").output().is_ok();
    if !there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no `{tool}`: install it");
        println!("skipped: no {tool}");
    }
    there
}

#[test]
fn the_tree_is_whole_and_holds_no_path() {
    if !compilers() {
        return;
    }
    let installed = Installed::new("lib64");
    let names = [
        "include/adclick.h",
        "include/adclick.hpp",
        "include/adclick/engine.hpp",
        "include/adclick/options.hpp",
        "lib64/libadclick.a",
        "lib64/libadclick.so",
        "lib64/libadclick.so.1",
    ];
    let texts =
        ["pkgconfig/adclick.pc", "cmake/adclick/adclick-config.cmake", "cmake/adclick/adclick-config-version.cmake"];
    for name in names {
        assert!(installed.prefix().join(name).exists(), "{name} is missing");
    }
    for name in texts {
        let text = std::fs::read_to_string(installed.lib().join(name)).unwrap();
        for path in [installed.directory.path().to_str().unwrap(), "/opt", root().to_str().unwrap(), "@"] {
            assert!(!text.contains(path), "{name} holds {path}");
        }
    }
    for (name, to) in [("libadclick.so", "libadclick.so.1"), ("libadclick.so.1", "libadclick.so.1.0.1")] {
        let version = env!("CARGO_PKG_VERSION").rsplit_once('.').unwrap().0;
        let link = std::fs::read_link(installed.lib().join(name)).unwrap();
        assert_eq!(link.to_str().unwrap(), to.replace("0.1", version), "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(installed.lib()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{left:?}");
}

#[test]
fn a_cmake_project_finds_both_targets() {
    if !have("cmake") {
        return;
    }
    let bundles = small::Bundles::new();
    for libdir in ["lib", "lib/x86_64-linux-gnu"] {
        let installed = Installed::new(libdir);
        let configured = installed.cmake(&root().join("examples/cmake"), "build");
        assert!(configured.status.success(), "{}", String::from_utf8_lossy(&configured.stderr));
        succeed(Command::new("cmake").arg("--build").arg(installed.at("build")));
        let shared = succeed(Command::new(installed.at("build/first")).arg(bundles.bundle()));
        let fixed = succeed(Command::new(installed.at("build/first_static")).arg(bundles.bundle()));
        assert!(shared.contains("ad 1 wins at ") && shared == fixed, "{shared}{fixed}");
        let needs = |program| succeed(Command::new("readelf").arg("-dW").arg(installed.at(program)));
        assert!(needs("build/first").contains("[libadclick.so.1]"));
        assert!(!needs("build/first_static").contains("libadclick"));
    }
}

#[test]
fn cmake_is_told_what_version_there_is() {
    if !have("cmake") {
        return;
    }
    let installed = Installed::new("lib");
    let version = env!("CARGO_PKG_VERSION");
    for (wanted, found) in [("", true), (version, true), ("0.0.1", true), ("0.0.1...<99", true), ("99.0", false)] {
        let project = installed.at("project");
        std::fs::create_dir_all(&project).unwrap();
        let text = format!(
            "cmake_minimum_required(VERSION 3.19)\nproject(p LANGUAGES CXX)\nfind_package(adclick {wanted} REQUIRED)\n\
             find_package(adclick REQUIRED)\nif(NOT adclick_VERSION STREQUAL \"{version}\")\n  \
             message(FATAL_ERROR \"version ${{adclick_VERSION}}\")\nendif()\n"
        );
        std::fs::write(project.join("CMakeLists.txt"), text).unwrap();
        let told = installed.cmake(&project, &format!("build{wanted}").replace(['<', '.'], "_"));
        let problem = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.success(), found, "adclick {wanted}: {problem}");
        assert!(found || problem.contains(version), "{problem}");
    }
}

#[test]
fn pkg_config_links_shared_static_and_fully_static() {
    if !have("pkg-config") {
        return;
    }
    let bundles = small::Bundles::new();
    let installed = Installed::new("lib");
    assert_eq!(installed.pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let link = |language: Language, source: &str, flags: &[String], more: &[&str]| {
        let program = installed.at("program");
        let mut command = Command::new(language.compiler());
        command.args([language.standard(), "-O1"]).arg(root().join(source)).arg("-o").arg(&program);
        succeed(command.args(flags).args(more));
        program
    };
    for (language, source) in [(Language::C, "examples/c/first.c"), (Language::Cpp, "examples/cpp/first.cpp")] {
        let run = |program: PathBuf| {
            let mut command = Command::new(program);
            succeed(command.env("LD_LIBRARY_PATH", installed.lib()).arg(bundles.bundle()).args(["creative", "price"]))
        };
        let shared = run(link(language, source, &installed.pkg_config(&["--cflags", "--libs"]), &[]));
        // The static archive instead: `--static` names the system's libraries that it needs. Nothing else is added.
        let flags = installed.pkg_config(&["--static", "--cflags", "--libs"]);
        let only = tempfile::tempdir().unwrap();
        std::fs::copy(installed.lib().join("libadclick.a"), only.path().join("libadclick.a")).unwrap();
        let first = [format!("-L{}", only.path().display())];
        let program = link(language, source, &[&first[..], &flags].concat(), &[]);
        assert!(!succeed(Command::new("readelf").arg("-dW").arg(&program)).contains("libadclick"));
        assert_eq!(run(program), shared);
        assert_eq!(run(link(language, source, &flags, &["-static"])), shared);
        assert!(shared.contains("slot 0: "), "{shared}");
    }
}

#[test]
fn a_wrong_place_is_refused_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    for (prefix, arguments, message) in [
        ("relative", &[][..], "expected an absolute path"),
        ("/usr", &["/lib"][..], "expected a path within PREFIX"),
        ("/usr", &["lib/../.."][..], "expected a path within PREFIX"),
        ("/usr", &["lib", "more"][..], "usage: "),
    ] {
        let output = install(directory.path(), prefix, arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(message), "{prefix} {arguments:?}: {told}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
