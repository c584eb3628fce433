"""What one call costs in each language: the programs given take turns, and their medians are printed side by side.

compare.py BUNDLE GO_PACKAGE NAME=PROGRAM...   Each program is called with the bundle and prints two numbers: nanoseconds of
a decision without candidates, and of one with 200. The Go package runs its own benchmarks of the same requests.
"""

import re
import statistics
import subprocess
import sys

ROUNDS = 5


def numbers(program, bundle):
    out = subprocess.run([*program.split(), bundle], check=True, capture_output=True, text=True).stdout
    return [float(number) for number in out.split()[-2:]]


def of_go(package):
    command = ["go", "test", "-run", "^$", "-bench", "^BenchmarkDecide(Empty|200)$", "-benchtime", "0.3s", "."]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=package).stdout
    found = dict(re.findall(r"^BenchmarkDecide(Empty|200)\S*\s+\d+\s+([\d.]+) ns/op", out, re.M))
    return [float(found["Empty"]), float(found["200"])]


def main():
    bundle, package, *programs = sys.argv[1:]
    run = {name: (lambda p: lambda: numbers(p, bundle))(program) for name, _, program in (p.partition("=") for p in programs)}
    run["Go"] = lambda: of_go(package)
    rounds = {name: [] for name in run}
    for _ in range(ROUNDS):
        for name, call in run.items():
            rounds[name].append(call())
    base = next(iter(rounds))
    print(f"{'':<8}{'no candidates':>16}{'200 candidates':>18}   ns, medians of {ROUNDS} turns (ratio to {base})")
    for name, turns in rounds.items():
        told = []
        for i in range(2):
            ratio = statistics.median(turn[i] / of_base[i] for turn, of_base in zip(turns, rounds[base]))
            told.append(f"{statistics.median(turn[i] for turn in turns):.0f} ({ratio:.2f})")
        print(f"{name:<8}{told[0]:>16}{told[1]:>18}")


main()
