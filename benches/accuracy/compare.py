"""Trains public click logs with default options beside one-hot logistic regression and LightGBM, on the same rows.

    ADCLICK_DATA=DIR python3 compare.py [--adclick PATH] [--seeds N] [SET ...]

Prints AUC, NE and ECE (10 bins of equal width) on the test rows. README.md has the rules and the sets.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier, early_stopping
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).parent
# What C of logistic regression is chosen from.
PENALTIES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]


def seconds(times):
    return (pd.to_datetime(times, format="ISO8601", utc=True) - pd.Timestamp(0, tz="utc")) // pd.Timedelta("1s")


def hillstrom(data):
    return pd.read_csv(data / "hillstrom-64k/train.csv.gz", dtype=str), None


def open_bandit(data):
    names = ["random_men", "bts_men"]
    rows = pd.concat(pd.read_csv(data / f"open-bandit-small/{name}.csv.gz", dtype=str) for name in names)
    return rows.assign(time=seconds(rows.timestamp)), None


def kdd12(data):
    return pd.read_csv(data / "kdd12-search-ads-40k/train.csv.gz", dtype=str), None


def talkingdata(data):
    rows = pd.read_csv(data / "talkingdata-100k/train.csv.gz", dtype=str, encoding="utf-8-sig")
    rows = rows.rename(columns={rows.columns[0]: "ip"})
    return rows.assign(time=seconds(rows.click_time)), None


def outbrain(data):
    rows = pd.read_csv(data / "outbrain-10k/train.csv.gz", dtype=str)
    return rows.assign(time=seconds(rows.timestamp_view)), "display_id"


def search_clicks(data):
    lists = pd.read_csv(data / "search-clicks-positions/train.tsv.gz", sep="\t", header=None, dtype=str)
    rows = []
    for number, (_, query, documents, _, clicks) in enumerate(lists.itertuples(index=False)):
        pairs = zip(json.loads(documents), json.loads(clicks))
        rows += [(number, query, str(doc), str(i + 1), str(click)) for i, (doc, click) in enumerate(pairs)]
    return pd.DataFrame(rows, columns=["list", "query", "document", "position", "click"]), "list"


def upworthy(data):
    rows = pd.read_csv(data / "upworthy-headlines/train.csv.gz", dtype=str)
    rows["headline"] = rows.headline.fillna("").str.lower().str.findall(r"[a-z']+").str.join(" ")
    clicks, shown = rows.clicks.astype(int), rows.impressions.astype(int)
    rows = pd.concat([rows.assign(click="1", weight=clicks), rows.assign(click="0", weight=shown - clicks)])
    return rows[rows.weight > 0].sort_index(kind="stable").assign(weight=lambda r: r.weight.astype(str)), "clickability_test_id"


SETS = {
    "hillstrom": hillstrom,
    "open_bandit": open_bandit,
    "kdd12": kdd12,
    "kdd12_weighted": kdd12,
    "talkingdata": talkingdata,
    "outbrain": outbrain,
    "search_clicks": search_clicks,
    "upworthy": upworthy,
}


def tenths(keys, salt=0):
    return np.array([zlib.crc32(f"{salt}:{key}".encode()) % 10 for key in keys])


def measure(y, p, weight):
    p = np.clip(p, 2.0**-52, 1 - 2.0**-52)
    rate = np.average(y, weights=weight)
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    bins = np.minimum((p * 10).astype(int), 9)
    ece = sum(abs(np.sum((weight * (p - y))[bins == b])) for b in range(10)) / weight.sum()
    return {
        "auc": roc_auc_score(y, p, sample_weight=weight),
        "ne": log_loss(y, p, sample_weight=weight, labels=[0, 1]) / entropy,
        "ece": ece,
    }


def columns(schema):
    """Names of categories, of texts, and of numbers, the hour among them."""
    of = {"category": [], "multi": [], "number": []}
    for feature in schema["features"]:
        of[feature["kind"]].append(feature["name"])
    return of


def with_hour(rows):
    return rows.assign(hour=(rows.time.astype(int) // 3600 % 24)) if "time" in rows else rows


def one_hot(fit, rows, of):
    """Rows as a sparse matrix; ids, words and scales are those of the rows `fit`."""
    parts = []
    for name in of["category"]:
        encoder = OneHotEncoder(handle_unknown="ignore").fit(fit[[name]].fillna(""))
        parts.append(encoder.transform(rows[[name]].fillna("")))
    for name in of["multi"]:
        words = CountVectorizer(token_pattern=r"\S+", binary=True).fit(fit[name])
        parts.append(words.transform(rows[name]))
    if of["number"]:
        scaler = StandardScaler().fit(fit[of["number"]].astype(float))
        parts.append(csr_matrix(scaler.transform(rows[of["number"]].astype(float))))
    return hstack(parts).tocsr()


def logistic_regression(train, test, of, y, weight, _, penalty=1.0):
    model = LogisticRegression(C=penalty, max_iter=2000).fit(one_hot(train, train, of), y, sample_weight=weight)
    return model.predict_proba(one_hot(train, test, of))[:, 1]


def tuned_logistic_regression(train, test, of, y, weight, held_out):
    """C by the validation rows, then fitted on all."""
    fit, seen = train[~held_out], train[held_out]

    def loss(penalty):
        p = logistic_regression(fit, seen, of, y[~held_out], weight[~held_out], None, penalty)
        return log_loss(y[held_out], p, sample_weight=weight[held_out], labels=[0, 1])

    best = min(PENALTIES, key=loss)
    print(f"  logistic regression: C = {best}")
    return logistic_regression(train, test, of, y, weight, None, best)


def lightgbm(train, test, of, y, weight, held_out):
    def frame(rows):
        values = {name: rows[name].astype(float) for name in of["number"]}
        for name in of["category"] + of["multi"]:
            code = {value: i for i, value in enumerate(sorted(train[name].dropna().unique()))}
            values[name] = pd.Categorical(rows[name].map(code), categories=range(len(code)))
        return pd.DataFrame(values, index=rows.index)

    model = LGBMClassifier(n_estimators=500, learning_rate=0.05, num_leaves=31, min_child_samples=20, verbose=-1, seed=0, n_jobs=1)
    whole = frame(train)
    model.fit(
        whole[~held_out],
        y[~held_out],
        sample_weight=weight[~held_out],
        eval_X=(whole[held_out],),
        eval_y=(y[held_out],),
        eval_sample_weight=[weight[held_out]],
        eval_metric="logloss",
        callbacks=[early_stopping(30, verbose=False)],
    )
    return model.predict_proba(frame(test))[:, 1]


def adclick(command, seed, directory, schema):
    logs = ["--format", "examples", "--schema", schema]
    bundle = directory / f"bundle{seed}"

    def run(*args):
        done = subprocess.run([command, *map(str, args)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, args))}: {done.stderr}")
        return json.loads(done.stdout)

    train, validation, test = (directory / f"{part}.csv" for part in ("train", "validation", "test"))
    out = ["--out", bundle, "--seed", seed, "--replace", "--json"]
    trained = run("train", "--data", train, "--validation", validation, *logs, *out)
    measured = run("evaluate", "--data", test, *logs, "--bundle", bundle, "--json")
    return measured, trained


def compare(name, args, data):
    schema_path = HERE / "schemas" / f"{name}.toml"
    schema = tomllib.loads(schema_path.read_text())
    rows, group = SETS[name](data)
    rows = rows.reset_index(drop=True)
    testing = tenths(rows[group] if group else rows.index) < 2
    labels = schema["labels"]
    train, test = (with_hour(part).reset_index(drop=True) for part in (rows[~testing], rows[testing]))
    # By another salt: of the groups left, none has a fold of 0 by that of the test rows.
    held_out = (tenths(train[group], 1) if group else tenths(train.index)) == 0
    of = columns(schema)

    def label(part):
        return part[labels["click"]].astype(float).astype(int).to_numpy()

    def weights(part):
        return part[labels["weight"]].astype(float).to_numpy() if "weight" in labels else np.ones(len(part))

    print(f"\n{name}: {len(train)} rows train, {len(test)} test, click rate {np.average(label(train), weights=weights(train)):.4f}")
    results = {}
    if not args.alone:
        peers = {
            "logistic regression, C = 1": logistic_regression,
            "logistic regression, C chosen": tuned_logistic_regression,
            "LightGBM": lightgbm,
        }
        for title, model in peers.items():
            p = model(train, test, of, label(train), weights(train), held_out)
            results[title] = [measure(label(test), p, weights(test))]
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        used = [f["name"] for f in schema["features"] if f.get("source") != "time"] + list(labels.values())
        for part, file in [(train[~held_out], "train"), (train[held_out], "validation"), (test, "test")]:
            part[used].to_csv(directory / f"{file}.csv", index=False)
        runs = [adclick(args.adclick, seed, directory, schema_path) for seed in range(args.seeds)]
        results["adclick"] = [{key: measured[key] for key in ("auc", "ne", "ece")} for measured, _ in runs]
        shares = [t.get("network_shares", ["-"])[0] for _, t in runs]
        print(f"  network shares {shares}, best passes {[t['best_epoch'] for _, t in runs]}")
    for title, found in results.items():
        mean = {key: np.mean([one[key] for one in found]) for key in found[0]}
        print(f"| {name} | {title} | {mean['auc']:.3f} | {mean['ne']:.3f} | {mean['ece']:.4f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adclick", default=HERE / "../../target/release/adclick", help="the command")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each of its models")
    parser.add_argument("--alone", action="store_true", help="leave the peers out")
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="SET", help=f"of {', '.join(SETS)}")
    args = parser.parse_args()
    if "ADCLICK_DATA" not in os.environ:
        sys.exit("set ADCLICK_DATA to the folder that holds the logs")
    for name in args.sets:
        if name not in SETS:
            sys.exit(f"{name}: expected one of {', '.join(SETS)}")
        compare(name, args, Path(os.environ["ADCLICK_DATA"]))


if __name__ == "__main__":
    main()
