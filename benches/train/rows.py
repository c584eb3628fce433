"""Rows in Criteo's layout whose truth is known: 13 numbers, 26 categories of 3 to 200,000 values with Zipf counts."""
import numpy as np

SIZES = [200000, 150000, 100000, 60000, 50000, 40000, 20000, 10000, 8000, 5000, 4000, 3000, 2000, 1000, 1000, 600, 500, 300, 80, 26, 20, 15, 15, 10, 4, 3]
PIECE = 50000


def write(path, rows, seed):
    """Writes the rows and returns the mean log loss of their true probabilities."""
    truth = np.random.default_rng(7)
    effects = [truth.standard_normal(size) * 0.2 for size in SIZES]
    # Two categories whose values go together or do not: what no sum of single effects says.
    pairs = truth.standard_normal((SIZES[13], SIZES[17])) * 0.5
    rng, loss = np.random.default_rng(seed), 0.0
    with open(path, "w", encoding="ascii") as out:
        for first in range(0, rows, PIECE):
            n = min(PIECE, rows - first)
            numbers = np.exp(1.5 * rng.standard_normal((n, 13))).astype(int)
            missing = rng.random((n, 13)) < 0.2
            ids = np.stack([rng.zipf(1.3, n) % size for size in SIZES], 1)
            z = -1.3 + sum(effect[ids[:, j]] for j, effect in enumerate(effects)) + pairs[ids[:, 13], ids[:, 17]]
            z += 0.2 * np.log1p(numbers[:, 0]) * ~missing[:, 0] - 0.1 * np.log1p(numbers[:, 5]) * ~missing[:, 5]
            p = 1 / (1 + np.exp(-z))
            click = rng.random(n) < p
            loss -= np.log(np.where(click, p, 1 - p)).sum()
            columns = [click.astype(int).astype(str)]
            columns += [np.where(missing[:, j], "", numbers[:, j].astype(str)) for j in range(13)]
            columns += [np.array([f"{(j << 24) + i:08x}" for i in ids[:, j]]) for j in range(26)]
            out.write("\n".join("\t".join(row) for row in zip(*columns)) + "\n")
    return loss / rows
