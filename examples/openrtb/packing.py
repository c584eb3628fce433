"""Builds the ad servers and packs their bundles. For servers.py."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from typing import Any

import reference
from shots import request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "openrtb")
ADCLICK = os.path.join(ROOT, "target", "release", "adclick")
CAMPAIGNS = os.path.join(HERE, "campaigns.json")
AS_OF = "2026-11-01T00:00:00Z"


def run(*command: str, **more: Any) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"servers: {' '.join(command)}\n{done.stdout}\nservers: the command above ended with {done.returncode}")


def need(program: str, what: str) -> None:
    if shutil.which(program) is None:
        sys.exit(f"servers: {program} is missing: {what}")


def build_cpp() -> list[str]:
    need("cmake", "install cmake, g++ and libboost1.81-dev")
    out = os.path.join(ROOT, "build", "adserver")
    run("cmake", "-S", os.path.join(ROOT, "examples", "cpp", "adserver"), "-B", out)
    run("cmake", "--build", out, "--parallel", str(os.cpu_count() or 1))
    return [os.path.join(out, "adserver")]


def build_go() -> list[str]:
    need("go", "install Go 1.25 or later")
    out = os.path.join(ROOT, "build", "adserver-go")
    run("go", "build", "-o", out, ".", cwd=os.path.join(ROOT, "examples", "go", "adserver"))
    return [out]


def build_java() -> list[str]:
    need("mvn", "install Maven and a JDK, 17 or later")
    need("java", "install a JDK, 17 or later")
    there = os.path.join(ROOT, "examples", "java", "adserver")
    run("mvn", "-B", "-q", "-ntp", "-f", there, "package", "-DskipTests")
    return ["java", "-jar", os.path.join(there, "target", "adserver.jar")]


SERVERS = {"cpp": ("C++", build_cpp), "go": ("Go", build_go), "java": ("Java", build_java)}


def pack(name: str, ads: str, publish: bool = True, weights: bool = True) -> None:
    """A bundle of that name in build/openrtb/bundles."""
    out = os.path.join(BUILD, "bundles", name)
    if not weights:
        run(ADCLICK, "pack", "--from", os.path.join(BUILD, "bundles"), "--table", f"ads={ads}", "--as-of", AS_OF, "--out", out,
            "--replace", "--publish")
        return
    run(sys.executable, os.path.join(HERE, "weights.py"), os.path.join(BUILD, "weights.safetensors"))
    tables = [f"--table={t}={os.path.join(HERE, t)}.csv" for t in ("users", "user_advertiser")] + [f"--table=ads={ads}"]
    run(ADCLICK, "pack", "--weights", os.path.join(BUILD, "weights.safetensors"), "--schema", os.path.join(HERE, "schema.toml"),
        *tables, "--as-of", AS_OF, "--out", out, "--replace", *(["--publish"] if publish else []))


def many_ads(name: str, copies: int, only: tuple[int, int] | None = None) -> tuple[str, str]:
    """Campaigns and a bundle with every ad (or the banners of one size) so many times. Their paths."""
    with open(CAMPAIGNS, encoding="utf-8") as file:
        all_ = json.load(file)
    ads, rows = [], {}
    with open(os.path.join(HERE, "ads.csv"), encoding="utf-8") as file:
        head, *lines = file.read().splitlines()
    for line in lines:
        rows[line.split(",", 1)[0]] = line.split(",", 1)[1]
    table = [head]
    for ad in all_["ads"]:
        if only and ad.get("banner") != {"w": only[0], "h": only[1]}:
            continue
        for k in range(copies):
            amount = reference.decimal(int(Fraction(ad["bid"]["amount"]) * 10**6 * (900 + k * 7 % 200) // 1000))
            ads.append(ad | {"id": f"{ad['id']}-{k}", "bid": ad["bid"] | {"amount": amount}})
            ads[-1].pop("target", None)
            if ad["id"] in rows:
                table.append(f"{ad['id']}-{k},{rows[ad['id']]}")
    campaigns, csv = os.path.join(BUILD, f"campaigns-{name}.json"), os.path.join(BUILD, f"ads-{name}.csv")
    with open(campaigns, "w", encoding="utf-8") as file:
        json.dump(all_ | {"ads": ads}, file)
    with open(csv, "w", encoding="utf-8") as file:
        file.write("\n".join(table) + "\n")
    pack(name, csv, publish=False)
    return campaigns, os.path.join(BUILD, "bundles", name)


def load_requests() -> str:
    """200 requests of different users, sites and sizes, one a line."""
    path = os.path.join(BUILD, "load.jsonl")
    sizes, domains = [(300, 250), (320, 50), (728, 90)], ["news.example", "sport.example", "mail.example", "games.example"]
    with open(path, "w", encoding="utf-8") as file:
        for k in range(200):
            w, h = sizes[k % 3]
            one = request(id=f"load-{k}", at=1 + k % 2, imp=[{"id": "1", "bidfloor": 0.1 * (k % 7), "banner": {"w": w, "h": h}}],
                               site={"domain": domains[k % 4], "cat": ["IAB12", "IAB17-1"]}, user={"id": f"u{1001 + k % 40}"})
            file.write(json.dumps(one, separators=(",", ":")) + "\n")
    return path
