"""What others make of the same rows. python loops.py sparse|dense|lightgbm TRAIN VALIDATION THREADS BATCH DIM RANK HIDDEN: prints one JSON object.

sparse: PyTorch with sparse embeddings (Adagrad) and AdamW for the dense part, as a careful user writes it. dense: Adam over everything.
lightgbm: 100 trees. The rows are read by polars."""
import json, sys, time

mode, train, validation, threads, batch, dim, rank, hidden = sys.argv[1:]
threads, batch, dim, rank, hidden = int(threads), int(batch), int(dim), int(rank), [int(h) for h in hidden.split(",")]
import numpy as np
import polars as pl

MIN_COUNT = 8
schema = {f"c{j}": pl.Float32 if j < 14 else pl.String for j in range(40)}
read = lambda path: pl.read_csv(path, separator="\t", has_header=False, schema=schema)


class Encoding:
    """Numbers cut into 64 buckets of equal mass, and values that occur often enough, each with a row of its own."""

    def __init__(self, frame):
        self.cuts = [np.unique(np.quantile(frame[f"c{j}"].fill_null(-1).to_numpy(), np.linspace(0, 1, 65)[1:-1])) for j in range(1, 14)]
        self.ids = []
        for j in range(14, 40):
            counts = frame[f"c{j}"].value_counts()
            often = counts.filter(pl.col("count") >= MIN_COUNT)[f"c{j}"].drop_nulls()
            self.ids.append(pl.DataFrame({"v": often, "row": np.arange(1, len(often) + 1, dtype=np.int32)}))
        sizes = [len(cuts) + 2 for cuts in self.cuts] + [len(ids) + 2 for ids in self.ids]
        self.first = np.concatenate([[0], np.cumsum(sizes)])

    def rows(self, frame):
        out = np.empty((len(frame), 39), np.int64)
        for j, cuts in enumerate(self.cuts):
            out[:, j] = np.searchsorted(cuts, frame[f"c{j + 1}"].fill_null(-1).to_numpy(), "right")
        for j, ids in enumerate(self.ids):
            found = frame.select(pl.col(f"c{14 + j}").alias("v")).join(ids, on="v", how="left", maintain_order="left")
            out[:, 13 + j] = found["row"].fill_null(0).to_numpy()
        return out + self.first[:-1]


def log_loss(y, z):
    return float(np.mean(np.logaddexp(0, np.where(y > 0, -z, z).astype(np.float64))))


start = time.time()
frame, held = read(train), read(validation)
encoding = Encoding(frame)
x, y = encoding.rows(frame), frame["c0"].to_numpy()
encoded = time.time() - start
hx, hy = encoding.rows(held), held["c0"].to_numpy()
start = time.time()
if mode == "lightgbm":
    import lightgbm as lgb

    options = {"objective": "binary", "num_threads": threads, "verbose": -1, "seed": 0}
    model = lgb.train(options, lgb.Dataset(x - encoding.first[:-1], y), 100)
    seconds = time.time() - start
    loss = log_loss(hy, model.predict(hx - encoding.first[:-1], raw_score=True))
else:
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    width, sparse = 39 * dim, mode == "sparse"

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            rows = int(encoding.first[-1])
            self.rows, self.wide = nn.Embedding(rows, dim, sparse=sparse), nn.Embedding(rows, 1, sparse=sparse)
            nn.init.normal_(self.rows.weight, std=0.01)
            nn.init.zeros_(self.wide.weight)
            self.down = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(2))
            self.up = nn.ModuleList(nn.Linear(rank, width) for _ in range(2))
            layers = [(nn.Linear(i, o), nn.ReLU(), nn.Dropout(0.17)) for i, o in zip([width] + hidden, hidden)]
            self.deep = nn.Sequential(*(part for layer in layers for part in layer))
            self.out = nn.Linear(width + hidden[-1], 1)

        def forward(self, ids):
            x0 = self.rows(ids).flatten(1)
            x = x0
            for down, up in zip(self.down, self.up):
                x = x0 * up(down(x)) + x
            return self.out(torch.cat([x, self.deep(x0)], 1))[:, 0] + self.wide(ids).sum((1, 2))

    model = Model()
    tables = [model.rows.weight, model.wide.weight]
    dense = [p for p in model.parameters() if all(p is not table for table in tables)]
    steps = [torch.optim.AdamW(dense, 1.4e-3), torch.optim.Adagrad(tables, 0.03)] if sparse else [torch.optim.Adam(model.parameters(), 1e-3)]
    criterion, ids, labels = nn.BCEWithLogitsLoss(), torch.from_numpy(x), torch.from_numpy(y.copy())
    order = torch.randperm(len(ids))
    start = time.time()
    for first in range(0, len(ids), batch):
        rows = order[first:first + batch]
        for step in steps:
            step.zero_grad(set_to_none=True)
        criterion(model(ids[rows]), labels[rows]).backward()
        for step in steps:
            step.step()
    seconds = time.time() - start
    model.eval()
    with torch.no_grad():
        loss = log_loss(hy, np.concatenate([model(part).numpy() for part in torch.from_numpy(hx).split(8192)]))
print(json.dumps({"encode": encoded, "train": seconds, "loss": loss}))
