"""How the ABI grows, seen from Go and Java: the requests of tests/parity, answered

  old    by the bindings as they are, on a library whose candidates, winners and requests have a field more;
  later  by bindings generated from a header with that field, on the library as it is.

Both give Rust's answers, byte for byte (`make test-grown`; C and C++ are in tests/surface/abi.rs).

    test_growth.py PRESENT GROWN PARITY WORK

PRESENT and GROWN are directories with libadclick.so and libadclick.a, PARITY has bundle, requests.bin and rust.bin.
"""

import filecmp
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The structs that grow with candidates and winners.
GROW = ("adclick_request", "adclick_candidate", "adclick_winner", "adclick_auction_options")


def run(command, **more):
    print("+", " ".join(map(str, command[:4])), "…", flush=True)
    subprocess.run(list(map(str, command)), check=True, **more)


def grown_header():
    text = (ROOT / "include/adclick.h").read_text()
    for name in GROW:
        text, fields = re.subn(rf"^}} {name};", f"  uint64_t grown;\n}} {name};", text, flags=re.M)
        text, sizes = re.subn(rf"_SIZE\({name}, (\d+)\)", lambda found: f"_SIZE({name}, {int(found[1]) + 8})", text)
        assert (fields, sizes) == (1, 1), name
    return text


def tree(work, header):
    """The bindings and the header that they are compiled with, renewed from it."""
    shutil.rmtree(work, ignore_errors=True)
    ignore = shutil.ignore_patterns("target", "*.a", "adclick.h")
    shutil.copytree(ROOT / "bindings", work / "bindings", ignore=ignore)
    shutil.copytree(ROOT / "include", work / "include")
    (work / "include/adclick.h").write_text(header)
    run([sys.executable, ROOT / "bindings/generate", "--header", work / "include/adclick.h", "--to", work])
    return work


def same(parity, answers, who):
    if not filecmp.cmp(parity / "rust.bin", answers, shallow=False):
        sys.exit(f"{who}: other answers than Rust's: {answers}")
    print(f"{who}: the same answers")


def go(at, built, parity, library, who):
    """Built with the present library and run with another one, as the loader brings it."""
    config = at / "pkgconfig"
    config.mkdir()
    (config / "adclick.pc").write_text(
        f"Name: adclick\nDescription: a test\nVersion: 0\nCflags: -I{at}/include\nLibs: -L{built} -ladclick\n")
    environment = {**os.environ, "PKG_CONFIG_LIBDIR": str(config), "LD_LIBRARY_PATH": str(library)}
    answers = at / "go.bin"
    run(["go", "run", "-tags", "adclick_shared", "./internal/parity", parity / "bundle", parity / "requests.bin", answers],
        cwd=at / "bindings/go", env=environment)
    same(parity, answers, f"Go, {who}")


def java(at, parity, library, who):
    home = os.environ.get("JAVA_HOME") or pathlib.Path(shutil.which("javac")).resolve().parents[1]
    sources = at / "bindings/java/src"
    shim, classes = at / "libadclick_jni.so", at / "classes"
    includes = [f"-I{at}/include", f"-I{home}/include", f"-I{home}/include/linux"]
    run(["cc", "-std=c11", "-shared", "-fPIC", *includes, sources / "main/c/adclick_jni.c", library / "libadclick.a",
         "-lgcc_s", "-lm", "-lpthread", "-ldl", "-lrt", "-o", shim])
    files = [path for path in sorted((sources / "main/java/io/adclick").glob("*.java")) if path.name != "package-info.java"]
    spi = sorted((sources / "main/java/io/adclick/spi").glob("*.java"))
    run([f"{home}/bin/javac", "-d", classes, *files, *spi, sources / "test/java/io/adclick/Parity.java"])
    answers = at / "java.bin"
    run([f"{home}/bin/java", f"-Dadclick.library.path={shim}", "-cp", classes, "io.adclick.Parity", parity / "bundle",
         parity / "requests.bin", answers])
    same(parity, answers, f"Java, {who}")


def main():
    present, grown, parity, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    for who, header, library in (("old", (ROOT / "include/adclick.h").read_text(), grown), ("later", grown_header(), present)):
        at = tree(work / who, header)
        if shutil.which("go"):
            go(at, present, parity, library, who)
        if shutil.which("javac"):
            java(at, parity, library, who)


main()
