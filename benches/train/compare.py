#!/usr/bin/env python3
"""Training beside PyTorch loops and LightGBM: rows a second, and the time to a log loss.

    make bench-train [ROWS=60000,200000]
    benches/train/compare.py --adclick target/release/adclick --rows 60000 [--threads 2] [--rounds 3]

One pass of the same architecture, batch and rows, by turns; all are judged by the same validation rows. The first run installs
PyTorch, polars and LightGBM into build/train/venv. README.md says what the columns mean."""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, "build", "train")
VENV = os.path.join(WORK, "venv")
PYTHON = os.path.join(VENV, "bin", "python")
HERE = os.path.dirname(os.path.abspath(__file__))
DIM, PEERS = 8, ["numpy", "polars", "lightgbm", "torch"]

# Runs in the venv: the products that NumPy's BLAS reaches, in FLOP/s, the nearest thing to a limit that needs no build.
PEAK = """
import numpy as np, time
a, b = (np.random.rand(1536, 1536).astype(np.float32) for _ in range(2)); a @ b
best = 9e9
for _ in range(8):
    t = time.time(); a @ b; best = min(best, time.time() - t)
print(2 * 1536 ** 3 / best)
"""


def architecture(rows):
    """What `adclick train` takes by default, given to all: batch, rank, widths."""
    doublings = lambda per_decade: round(per_decade * max(0, min(4, math.log10(rows / 1e4))))
    width = min(64 << doublings(1), 512)
    return min(256 << doublings(1.5), 4096), min(16 << doublings(1), 64), [width, width // 2]


def flop(rank, hidden):
    """Products and sums of a row, forward and backward."""
    d = 39 * DIM
    return 6 * (4 * d * rank + d * hidden[0] + hidden[0] * hidden[1] + d + hidden[1])


def adclick(args, train, validation, more):
    """Seconds until training ends, and for each pass its end and its log loss on the validation rows."""
    command = [args.adclick, "train", "--format", "criteo", "--data", train, "--validation", validation, "--out", os.path.join(WORK, "bundle"),
               "--replace", "--no-calibrate", "--threads", str(args.threads), "--json", *more]
    start, passes = time.time(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        for line in run.stderr:
            if "validation log loss" in line and "pass " in line:
                passes.append((time.time() - start, float(line.rsplit(" ", 1)[1])))
        summary = run.stdout.read()
    if run.returncode != 0 or not passes:
        sys.exit(f"{' '.join(command)} failed")
    return json.loads(summary), passes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adclick", default=os.path.join(ROOT, "target", "release", "adclick"))
    parser.add_argument("--rows", default="60000", help="numbers of rows, with commas between them")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)
    if not os.path.exists(PYTHON):
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    if subprocess.run([PYTHON, "-c", "import " + ", ".join(PEERS)], stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", *PEERS], check=True)
    peak = float(subprocess.run([PYTHON, "-c", PEAK], check=True, capture_output=True, text=True,
                                env={**os.environ, "OMP_NUM_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": str(args.threads)}).stdout)
    for rows in map(int, args.rows.split(",")):
        compare(args, rows, peak)


def compare(args, rows, peak):
    train, validation = (os.path.join(WORK, f"{rows}-{name}.tsv") for name in ("train", "validation"))
    make = f"import rows, json; rows.write({train!r}, {rows}, 1); print(rows.write({validation!r}, {max(rows // 10, 20000)}, 2))"
    entropy = float(subprocess.run([PYTHON, "-c", make], check=True, cwd=HERE, capture_output=True, text=True).stdout)
    batch, rank, hidden = architecture(rows)
    widths = ",".join(map(str, hidden))
    shape = ["--dim", str(DIM), "--cross", f"lowrank:{rank}", "--hidden", widths, "--batch", str(batch)]
    figures = {name: [] for name in ("adclick", "sparse", "dense", "lightgbm")}
    for _ in range(args.rounds):
        for name, of in figures.items():
            if name == "adclick":
                summary, passes = adclick(args, train, validation, ["--epochs", "1", "--refit", "no", *shape])
                of.append((rows / summary["rows_per_second"], passes[-1][0], passes[-1][1]))
            else:
                command = [PYTHON, os.path.join(HERE, "loops.py"), name, train, validation, str(args.threads), str(batch), str(DIM), str(rank), widths]
                one = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                of.append((one["train"], one["encode"] + one["train"], one["loss"]))
    medians = {name: [statistics.median(column) for column in zip(*of)] for name, of in figures.items()}
    print(f"{rows} rows, {args.threads} threads, batch {batch}, rank {rank}, deep {widths}; log loss of the truth {entropy:.4f}")
    print(f"{'':10} {'rows/s':>9} {'with reading':>13} {'log loss':>9} {'beside adclick':>15}")
    ours = medians["adclick"]
    for name, (seconds, whole, loss) in medians.items():
        print(f"{name:10} {rows / seconds:9.0f} {rows / whole:13.0f} {loss:9.4f} {seconds / ours[0]:8.2f} {whole / ours[1]:6.2f}")
    share = flop(rank, hidden) * rows / ours[0] / peak
    print(f"{flop(rank, hidden) / 1e6:.2f} MFLOP a row: {100 * share:.0f}% of the {peak / 1e9:.0f} GFLOP/s that NumPy's matrix product reaches")
    # How long the defaults take to be as good as LightGBM's trees.
    _, passes = adclick(args, train, validation, ["--refit", "no"])
    reached = next((f"{seconds:.1f} s" for seconds, loss in passes if loss <= medians["lightgbm"][2]), "never")
    print(f"the log loss of LightGBM's 100 trees: adclick after {reached}, LightGBM after {medians['lightgbm'][1]:.1f} s\n", flush=True)


main()
