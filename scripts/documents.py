#!/usr/bin/env python3
"""Checks what the documents name: `make lint` runs it.

1. A link to a file or a heading leads to one.
2. In PAGES, text between backticks that looks like a path of this repository is one. `path::name` also says that the file has
   that name.
3. SECURITY.md names every file of the core that has unsafe code.
4. What README.md links to is in the package that cargo publishes (`include` in Cargo.toml).
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/glossary.md", "docs/questions.md"]
# What users have and the repository has not.
ELSEWHERE = {"manifest.toml", "auction.toml", "serving.toml"}

FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")


def tracked():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def headings(text):
    """The anchors of a page's headings."""
    found = {}
    for title in re.findall(r"^#+ +(.*?) *$", FENCE.sub("", text), re.MULTILINE):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = found.get(anchor, 0)
        found[anchor] = number + 1
        if number:
            found[f"{anchor}-{number}"] = 1
    return set(found)


def links(page, text):
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        leads_to = (ROOT / page).parent / path if path else ROOT / page
        if not leads_to.exists():
            yield f"{page}: a link to {target}, which does not exist"
        elif anchor and leads_to.suffix == ".md" and anchor not in headings(leads_to.read_text()):
            yield f"{page}: a link to {target}, and that page has no such heading"


def paths(page, text, tops):
    for named in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)):
        path, _, name = named.partition("::")
        path = path.rstrip("/")
        is_path = re.fullmatch(r"[\w./-]+", path) and path not in ELSEWHERE
        if not is_path or not (path.split("/")[0] in tops or re.search(r"\.(rs|md|py|sh|toml|hpp|h|mk)$", path)):
            continue
        there = ROOT / path
        if not there.exists():
            yield f"{page}: `{named}`: there is no {path}"
        elif name and not (there.is_file() and re.search(rf"\b{re.escape(name)}\b", there.read_text())):
            yield f"{page}: `{named}`: {path} has no {name}"


def unsafe_rooms(files):
    named = re.findall(r"`(src/[\w./-]+)`", (ROOT / "SECURITY.md").read_text())
    for file in files:
        if file.startswith("src/") and re.search(r"^[^/\n]*\bunsafe (\{|fn|impl|extern)", (ROOT / file).read_text(), re.MULTILINE):
            if not any(file == room or file.startswith(room + "/") for room in named):
                yield f"SECURITY.md: {file} has unsafe code and is not named"


def packaged():
    manifest = (ROOT / "Cargo.toml").read_text()
    listed = re.search(r"^include = \[(.*?)\]", manifest, re.DOTALL | re.MULTILINE).group(1)
    parts = re.findall(r'"/([^"]+)"', listed)
    for target in LINK.findall((ROOT / "README.md").read_text()):
        path = target.partition("#")[0].rstrip("/")
        if re.match(r"[a-z]+:", target) or not path:
            continue
        if not any(path == part or path.startswith(part + "/") or pathlib.PurePath(path).match(part) for part in parts):
            yield f"README.md: a link to {path}, which is not in the package: see `include` in Cargo.toml"


def main():
    files = tracked()
    tops = {file.split("/")[0] for file in files}
    wrong = []
    for page in (file for file in files if file.endswith(".md")):
        text = (ROOT / page).read_text()
        wrong += links(page, text)
        if page in PAGES:
            wrong += paths(page, text, tops)
    wrong += unsafe_rooms(files)
    wrong += packaged()
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
