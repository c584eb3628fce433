#!/usr/bin/env python3
"""Checks how the house is built: imports go one way, no two files need each other, no file is too long to read.

    scripts/rooms.py            checks; prints what is wrong and exits 1
    scripts/rooms.py --graph    prints what each room of the core imports

1. Rooms. A room of a crate is a folder or a file directly under its src/. CRATES has them from the ground up; a room
   imports only rooms that stand before it in the list. Rooms that are planned have their place already.
2. Rings. No two files of a room need each other, directly or through others. One rule for parents: the file
   of a module names its children, so it may import them, and they may import what it defines itself. An import that it
   passes on is one from the file that defines it.
3. Length. No file of a crate has more than LINES lines of code. Blank lines, comments and tests do not count.

Tests (files and modules under #[cfg(test)], tests.rs, *_tests.rs) are left out of all three. Macros count where they are
written. Exceptions stand in EXEMPT with their reasons; one that is not needed any more is an error.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINES = 500

# From the ground up: each imports those before it, never one after it.
ROOMS = [
    # Foundations.
    "named", "error", "limits", "hash", "types", "clock", "prefetch", "memory", "cancel", "wire", "files", "refusal", "request",
    # What is on disk.
    "schema", "artifact", "table", "bundle",
    # Rows and switches between bundles.
    "overlay",
    # Candidates to winners.
    "retrieve", "enrich", "infer", "calibrate", "model", "auction",
    # What is live, remembered, compared and counted.
    "live", "decision_log", "experiments", "metrics", "inputs",
    # What joins it all: one caller's memory, the engine, the C boundary.
    "scorer", "engine", "capi",
]
# What happens offline, member by member.
CRATES = {
    "src": ROOMS,
    "offline/measure/src": [
        "sum", "weights", "labelled", "loss", "rank", "bins", "spread", "chance", "smooth", "reliability", "fields", "report",
        "cost", "unknown",
    ],
    "offline/data/src": ["setting", "progress", "files", "time", "cells", "logs", "schema_file", "tables", "schema_infer", "decision_log"],
    "offline/join/src": [
        "parallel", "ids", "record", "counts", "traffic", "options", "orders", "touch", "hour", "store", "write", "segments", "simulate",
        "ingest", "route", "part", "touches", "place", "slates", "rows", "process", "run", "aggregate",
    ],
    "offline/train/src": ["kernel", "unpack", "bundle", "calibrators", "positions", "ranges", "rows", "pack", "trainer", "jobs"],
    "offline/cli/src": ["stdout", "progress", "settings", "synthetic", "plot", "auctions", "demo", "cmd"],
}
# Name rooms for who is outside, and are imported by none.
DOORS = {"lib", "main", "builder"}
PLANNED = {"experiments"}

# (rule, what) -> why. Rules: "import", what = (file, file); "ring", what = the files, sorted; "length", what = file.
EXEMPT = {}

NAME = r"[A-Za-z_]\w*"


def blank(text, start, end):
    """The text with a range blanked out, its lines kept."""
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def without_comments_and_strings(text):
    pattern = re.compile(
        r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])'", re.DOTALL)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def end_of_block(text, open_at):
    depth = 0
    for at in range(open_at, len(text)):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
    return len(text)


def end_of_item(text, start):
    """The end of the item that follows: its block, or its semicolon."""
    at = start
    while at < len(text) and text[at] not in "{;":
        at += 1
    if at < len(text) and text[at] == "{":
        end = end_of_block(text, at)
        # `use a::{b};` and `static X: T = T { .. };` go on to their semicolon.
        rest = re.match(r"\s*;", text[end:])
        return end + rest.end() if rest else end
    return at + 1


TEST_ATTRIBUTE = re.compile(r"#\[cfg\((?:all\()?(?:test|doc)\b[^\]]*\]")


def without_tests(text):
    while True:
        found = TEST_ATTRIBUTE.search(text)
        if not found:
            return text
        start = found.end()
        # Attributes between this one and its item.
        more = re.compile(r"\s*#\[[^\]]*\]")
        while more.match(text, start):
            start = more.match(text, start).end()
        text = blank(text, found.start(), end_of_item(text, start))


def is_test_file(path):
    name = os.path.basename(path)
    return name == "tests.rs" or name.endswith("_tests.rs") or "/tests/" in path


def sources(folder):
    for at, folders, names in os.walk(os.path.join(ROOT, folder)):
        folders[:] = sorted(f for f in folders if f not in ("target", "tests", "benches", "examples"))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(at, name), ROOT)
            if name.endswith(".rs") and not is_test_file(path):
                yield path


class File:
    def __init__(self, path, root=""):
        self.path = path
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        self.code = without_tests(without_comments_and_strings(text))
        self.lines = sum(1 for line in self.code.splitlines() if line.strip())
        inside = path.removeprefix(root).lstrip("/").removesuffix(".rs").split("/")
        self.is_mod = inside[-1] == "mod"
        self.module = tuple(inside[:-1] if self.is_mod else inside)
        if self.module == ("lib",):
            self.module = ()
        self.room = self.module[0] if self.module else "lib"

    def inline_modules_flat(self):
        """Paths that begin with super inside `mod x { .. }` mean this file."""
        text = self.code
        for found in re.finditer(r"\bmod\s+" + NAME + r"\s*\{", text):
            start, end = found.end() - 1, end_of_block(text, found.end() - 1)
            text = text[:start] + text[start:end].replace("super::", " self::") + text[end:]
        return text

    def uses(self):
        """All paths that are named, as lists of segments; of `use`, also whether it is passed on, and under which name."""
        text = re.sub(r"pub\((?:in [^)]*|crate|super)\)", "pub", self.inline_modules_flat())
        text = text.replace("$crate::", "crate::")
        for found in re.finditer(r"\b(pub\s+)?use\s+([^;]+);", text):
            for path, alias in expand(found.group(2)):
                yield path, bool(found.group(1)), alias
        text = re.sub(r"\b(pub\s+)?use\s+[^;]+;", " ", text)
        for found in re.finditer(r"(?<![\w:])(?:crate|super|self|" + NAME + r")(?:\s*::\s*" + NAME + r")+", text):
            yield [s.strip() for s in found.group(0).split("::")], False, None


def expand(tree):
    """`a::{b, c::d as e}` -> ([a, b], b), ([a, c, d], e)"""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        path, _, alias = tree.partition(" as ")
        segments = [s.strip() for s in path.split("::") if s.strip()]
        if segments and segments[-1] == "self":
            segments.pop()
        yield segments, (alias.strip() or (segments[-1] if segments else ""))
        return
    head = tree[:brace].rstrip().removesuffix("::")
    body, depth, part = tree[brace + 1:tree.rindex("}")], 0, ""
    for char in body + ",":
        if char == "," and depth == 0:
            if part.strip():
                for path, alias in expand((head + "::" if head else "") + part.strip()):
                    yield path, alias
            part = ""
        else:
            depth += (char == "{") - (char == "}")
            part += char


class Crate:
    def __init__(self, root):
        self.files = {file.module: file for file in (File(path, root) for path in sources(root))}
        self.passed_on = {module: {} for module in self.files}
        for module, file in self.files.items():
            for path, public, alias in file.uses():
                if public and alias:
                    self.passed_on[module][alias] = path
        self.edges = {file.path: {} for file in self.files.values()}
        for module, file in self.files.items():
            for path, _, _ in file.uses():
                target = self.resolve(module, path)
                if target is not None and target != module:
                    self.edges[file.path].setdefault(self.files[target].path, "::".join(path))

    def resolve(self, module, path, seen=()):
        """The module that defines what a path names, as far as modules and what they pass on tell; None: another crate's."""
        path = list(path)
        if not path or (module, tuple(path)) in seen:
            return None
        seen = seen + ((module, tuple(path)),)
        if path[0] == "crate":
            at, path = (), path[1:]
        elif path[0] in ("super", "self"):
            at = module
            while path and path[0] in ("super", "self"):
                at = at[:-1] if path[0] == "super" else at
                path = path[1:]
        elif module + (path[0],) in self.files:
            at = module
        else:
            return None
        while path:
            if at + (path[0],) in self.files:
                at, path = at + (path[0],), path[1:]
            elif at in self.passed_on and path[0] in self.passed_on[at]:
                onward = self.resolve(at, self.passed_on[at][path[0]] + path[1:], seen)
                return at if onward is None else onward
            else:
                return at
        return at


def rings(edges):
    """Strongly connected files, more than one of them (Tarjan)."""
    index, low, stack, on, out = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for next_node in edges.get(node, ()):
            if next_node not in index:
                visit(next_node)
                low[node] = min(low[node], low[next_node])
            elif next_node in on:
                low[node] = min(low[node], index[next_node])
        if low[node] == index[node]:
            ring = []
            while True:
                top = stack.pop()
                on.discard(top)
                ring.append(top)
                if top == node:
                    break
            if len(ring) > 1:
                out.append(sorted(ring))

    sys.setrecursionlimit(10000)
    for node in sorted(edges):
        if node not in index:
            visit(node)
    return out


def main():
    problems, used = [], set()

    def problem(rule, what, text):
        if (rule, what) in EXEMPT:
            used.add((rule, what))
        else:
            problems.append(text)

    for root, rooms in CRATES.items():
        check(root, rooms, problem)
    for rule, what in EXEMPT:
        if (rule, what) not in used:
            problems.append(f"EXEMPT has {rule} {what}, which is not needed any more")
    for text in problems:
        print(text)
    if problems:
        print(f"rooms: {len(problems)} problems")
    return 1 if problems else 0


def check(root, rooms, problem):
    crate = Crate(root)
    of_path = {file.path: file for file in crate.files.values()}
    order = {room: at for at, room in enumerate(rooms)}
    there = {file.room for file in crate.files.values()}
    for room in sorted(there - set(order) - DOORS):
        problem("room", room, f"{root}/{room}: give the room its place in CRATES (scripts/rooms.py)")
    for room in rooms:
        if room not in there and room not in PLANNED:
            problem("room", room, f"CRATES has {root}/{room}, which is not there")
    if "--graph" in sys.argv:
        print(root)
        for room in rooms:
            uses = {of_path[b].room for a in crate.edges for b in crate.edges[a] if of_path[a].room == room} - DOORS - {room}
            print(f"  {room:14}{' '.join(sorted(uses, key=lambda r: order.get(r, 99)))}")
        return

    for a, targets in crate.edges.items():
        for b, path in targets.items():
            from_room, to_room = of_path[a].room, of_path[b].room
            if from_room in DOORS:
                continue
            if to_room in DOORS:
                problem("import", (a, b), f"{a} imports `{path}` by way of {b}: name the room")
            elif order.get(from_room, 0) < order.get(to_room, 0):
                problem("import", (a, b), f"{a} imports upward: `{path}` is in {b}")

    # Between rooms the order of rooms is enough. A child may import its parents.
    below = {
        a: [b for b in targets if of_path[b].room == of_path[a].room
            and of_path[a].module[:len(of_path[b].module)] != of_path[b].module]
        for a, targets in crate.edges.items() if of_path[a].room not in DOORS
    }
    for ring in rings(below):
        steps = [f"    {a} -> {b} (`{crate.edges[a][b]}`)" for a in ring for b in below[a] if b in ring]
        problem("ring", tuple(ring), "these files need each other:\n" + "\n".join(steps))

    for file in crate.files.values():
        if file.lines > LINES:
            problem("length", file.path, f"{file.path} has {file.lines} lines of code, at most {LINES}: divide it")


sys.exit(main())
