#!/usr/bin/env python3
"""Uses the published Go module from outside the repository.

test-go-module.py WORK PREFIX LIBDIR BUNDLE: WORK is emptied; PREFIX/LIBDIR is an installed libadclick; BUNDLE is of examples/tables.
The module comes from a proxy in a directory, as `go get` brings it; then it is built, vendored, linked statically and shared.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK, PREFIX, LIBDIR, BUNDLE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3], os.path.abspath(sys.argv[4])
STATIC = ["-ldflags", "-linkmode external -extldflags -static"]


def run(*command: str, cwd: str, fails: bool = False, **more: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT | more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    if (done.returncode != 0) != fails:
        sys.exit(f"{' '.join(command)} in {cwd}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def expect(text: str, part: str) -> None:
    if part not in text:
        sys.exit(f"expected {part!r}, found:\n{text}")


def make_proxy(module: str, path: str, version: str) -> None:
    """What the go command asks a proxy for; a module's zip has its path and version before every name."""
    at = os.path.join(WORK, "proxy", path, "@v")
    os.makedirs(at)
    with open(os.path.join(at, "list"), "w") as file:
        file.write(version + "\n")
    with open(os.path.join(at, version + ".info"), "w") as file:
        json.dump({"Version": version, "Time": "2026-01-01T00:00:00Z"}, file)
    shutil.copy(os.path.join(module, "go.mod"), os.path.join(at, version + ".mod"))
    with zipfile.ZipFile(os.path.join(at, version + ".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for directory, _, names in os.walk(module):
            for name in names:
                file = os.path.join(directory, name)
                archive.write(file, f"{path}@{version}/{os.path.relpath(file, module)}")


shutil.rmtree(WORK, ignore_errors=True)
shop = os.path.join(WORK, "shop")
os.makedirs(shop)
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("PKG_CONFIG")} | {
    "GOPROXY": "file://" + os.path.join(WORK, "proxy"),
    "GOSUMDB": "off",
    "GOFLAGS": "-modcacherw -buildvcs=false",
    "GOWORK": "off",
    "GOTOOLCHAIN": "local",
    "GOMODCACHE": os.path.join(WORK, "modules"),
}

module = os.path.join(WORK, "module")
print(run("packaging/go-module.sh", module, cwd=ROOT), end="")
path = run("go", "list", "-m", cwd=module).strip()
version = "v" + run("packaging/version.sh", cwd=ROOT).strip()
run("go", "vet", "./...", cwd=module)
make_proxy(module, path, version)

# A program of someone who has the proxy alone.
shutil.copy(os.path.join(ROOT, "examples", "go", "first", "main.go"), shop)
run("go", "mod", "init", "example.com/shop", cwd=shop)
run("go", "get", f"{path}@{version}", cwd=shop)


def decides(program: str, *build: str, **more: str) -> str:
    run("go", "build", "-o", program, *build, cwd=shop, **more)
    expect(run(os.path.join(shop, program), BUNDLE, cwd=shop, **more), "slot 0: ad ")
    return run("readelf", "-d", program, cwd=shop)


if "libadclick" in decides("plain"):
    sys.exit("the static build needs a shared libadclick")
expect(decides("static", *STATIC), "There is no dynamic section")
expect(run("go", "build", ".", cwd=shop, fails=True, CGO_ENABLED="0"), "adclick_needs_cgo_set_CGO_ENABLED_1")
expect(run("go", "build", "-tags", "musl", ".", cwd=shop, fails=True), "leave the tag out")

libraries = os.path.join(PREFIX, LIBDIR)
shared = {"PKG_CONFIG_PATH": os.path.join(libraries, "pkgconfig"), "LD_LIBRARY_PATH": libraries}
expect(decides("shared", "-tags", "adclick_shared", **shared), "[libadclick.so.1]")

if not shutil.which("musl-gcc"):
    print("skipped: musl (no musl-gcc)")
else:
    expect(run("go", "build", ".", cwd=shop, fails=True, CC="musl-gcc"), "build with -tags musl")
    if any(name.endswith("_musl.a") for name in os.listdir(os.path.join(module, "lib"))):
        expect(decides("musl", "-tags", "musl", *STATIC, CC="musl-gcc"), "There is no dynamic section")
    else:
        expect(run("go", "build", "-tags", "musl", ".", cwd=shop, fails=True, CC="musl-gcc"), "run make go-musl")

# With everything in the program's own tree, and no other source.
run("go", "mod", "vendor", cwd=shop)
alone = {"GOPROXY": "off", "GOMODCACHE": os.path.join(WORK, "no-modules"), "GOFLAGS": "-mod=vendor -buildvcs=false"}
decides("vendored", **alone)
decides("vendored-static", *STATIC, **alone)

# A checkout in which nothing was built.
bare = os.path.join(WORK, "bare")
shutil.copytree(module, bare, ignore=shutil.ignore_patterns("*.a", "*.h"))
run("go", "mod", "edit", "-replace", f"{path}={bare}", cwd=shop)
expect(run("go", "build", "-mod=mod", ".", cwd=shop, fails=True), ".a is missing: run make core")
print("the Go module works from outside the repository: static, fully static, shared, vendored")
