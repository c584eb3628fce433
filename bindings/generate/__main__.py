"""Writes what the bindings say of the C ABI from include/adclick.h: numbers, layouts, option structs, accessors and their
documentation.

    python3 bindings/generate            renew the generated files
    python3 bindings/generate --check    fail when one of them is not what the header says (`make lint`)
    python3 bindings/generate --header H --to DIR    the same from another header, into a copy of the repository

header.py reads the header. cpp.py, go.py and java.py hold what a language calls things, and write its files; another language is
another such file. A new number, field or option of the header appears in each language by itself: what a language must be
told besides (the name of a reference in a comment, a type of its own) is asked for by an error that says where to put it.
"""

import argparse
import pathlib
import sys

import cpp
import go
import header
import java


def main():
    parser = argparse.ArgumentParser(prog="python3 bindings/generate", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not what the header says")
    parser.add_argument("--header", type=pathlib.Path, help="another header than include/adclick.h")
    parser.add_argument("--to", type=pathlib.Path, help="the root of another tree")
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    abi = header.read(options.header or root / "include/adclick.h")
    root = options.to or root
    drifted = []
    for path, text in [*cpp.files(abi), *go.files(abi), *java.files(abi, root)]:
        path = root / path
        if path.exists() and path.read_text() == text:
            continue
        drifted.append(str(path.relative_to(root)))
        if not options.check:
            path.write_text(text)
    if drifted and options.check:
        sys.exit("not what include/adclick.h says: " + ", ".join(drifted) + "\nrun `make bindings` and commit them")
    for path in drifted:
        print("wrote", path)


try:
    main()
except header.Unknown as unknown:
    sys.exit(f"bindings/generate: {unknown}")
