#!/usr/bin/env python3
"""Writes the weights of the example servers' model as a safetensors file: python3 weights.py OUT

The model is made by hand, not trained: a logistic regression over the columns below, whose weights say what one would
expect (an ad that was clicked more is clicked more), under a cross part and a deep part of small seeded numbers, so that
every kernel of the engine takes part. `adclick train` makes a real one. The same bytes on every machine.
"""
import json
import random
import struct
import sys

# The columns of schema.toml, in its order: embeddings by name, rows and width, then numbers.
EMBEDDINGS = {"device_type": (16, 2), "connection": (16, 2), "os": (64, 2), "country": (512, 4), "inventory": (4096, 8),
              "content": (512, 4), "format": (64, 4)}
COLUMNS = ["device_type", "connection", "os", "country", "inventory", "content", "floor", "hour_sin", "hour_cos", "weekend",
           "user_ctr_7d", "user_impressions_7d", "format", "ad_ctr_7d", "ad_impressions_7d", "ad_quality",
           "user_advertiser_click_rate", "affinity"]
CLICK = {"floor": 0.05, "hour_sin": -0.08, "hour_cos": -0.05, "weekend": 0.1, "user_ctr_7d": 0.35, "user_impressions_7d": -0.1,
         "ad_ctr_7d": 0.45, "ad_impressions_7d": -0.05, "ad_quality": 0.6, "user_advertiser_click_rate": 0.4, "affinity": 0.5}
CONVERSION = {"weekend": -0.1, "user_ctr_7d": 0.05, "ad_quality": 0.8, "user_advertiser_click_rate": 0.3, "affinity": 0.4}
DEEP = [64, 32]
RANK, LAYERS = 8, 2


def main(path: str) -> None:
    rng = random.Random(20261125)
    tensors: dict[str, tuple[list[int], list[float]]] = {}

    def put(name: str, shape: list[int], spread: float) -> None:
        count = 1
        for n in shape:
            count *= n
        tensors[name] = (shape, [rng.uniform(-spread, spread) for _ in range(count)])

    for name, (rows, dim) in EMBEDDINGS.items():
        put(f"embeddings.{name}.weight", [rows, dim], 0.5)
    width = sum(EMBEDDINGS[c][1] if c in EMBEDDINGS else 1 for c in COLUMNS)
    for layer in range(LAYERS):
        put(f"cross_v.{layer}.weight", [RANK, width], 0.15)
        put(f"cross_u.{layer}.weight", [width, RANK], 0.15)
        put(f"cross_u.{layer}.bias", [width], 0.05)
    fan_in = width
    for i, out in enumerate(DEEP):
        put(f"bottom.{2 * i}.weight", [out, fan_in], (3.0 / fan_in) ** 0.5)
        put(f"bottom.{2 * i}.bias", [out], 0.05)
        fan_in = out
    for tower, by_hand, bias in (("ctr_tower", CLICK, -5.2), ("cvr_tower", CONVERSION, -3.0)):
        put(f"{tower}.0.weight", [1, width + DEEP[-1]], 0.12)
        weights = tensors[f"{tower}.0.weight"][1]
        column = 0
        for name in COLUMNS:
            if name in by_hand:
                weights[column] = by_hand[name]
            column += EMBEDDINGS[name][1] if name in EMBEDDINGS else 1
        tensors[f"{tower}.0.bias"] = ([1], [bias])

    header, data = {}, bytearray()
    for name, (shape, values) in sorted(tensors.items()):
        begin = len(data)
        data += struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: weights.py OUT")
    main(sys.argv[1])
