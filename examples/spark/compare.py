"""That SQL engines give the same rows as `adclick join`, whatever their time zone, and that all readers read the same.

    compare.py LOGS JOINED [--engines duckdb,spark] [--jar spark-avro.jar]

LOGS: a directory with segments of decisions and events. JOINED: what `adclick join` made of them.
"""

import argparse
import glob
import os
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet

import engines

ZONES = ["UTC", "Europe/Berlin", "America/Los_Angeles"]


def ours(joined):
    files = sorted(glob.glob(os.path.join(joined, "rows", "**", "*.parquet"), recursive=True))
    assert files, f"{joined} has no rows"
    return pa.concat_tables([pa.parquet.ParquetFile(file).read() for file in files])


def different(a, b):
    """What two tables differ in, column by column and row by row, in words; None when they are equal."""
    keys = [("impression_id_high", "ascending"), ("impression_id", "ascending")]
    a, b = a.sort_by(keys), b.sort_by(keys)
    if a.num_rows != b.num_rows:
        return f"{a.num_rows} rows and {b.num_rows}"
    for name in b.column_names:
        x, y = a.column(name), b.column(name)
        y = y.cast(x.type)
        if x.equals(y):
            continue
        rows = [at for at, (p, q) in enumerate(zip(x.to_pylist(), y.to_pylist())) if p != q]
        if rows:
            at = rows[0]
            return f"{len(rows)} rows differ in `{name}`, first {a.slice(at, 1).to_pylist()[0]} and {b.slice(at, 1).to_pylist()[0]}"
    return None


def compare(engine, logs, expected):
    for zone in ZONES:
        os.environ["TZ"] = zone
        time.tzset()
        begin = time.perf_counter()
        found = engine.join(logs, zone)
        problem = different(expected, found)
        assert problem is None, f"{engine.name} in {zone}: {problem}"
        print(f"{engine.name:8} {zone:20} {found.num_rows} rows, {len(found.column_names)} columns: equal ({time.perf_counter() - begin:.1f} s)")


def readers(logs, joined, spark):
    """All fields of all records, as each reader sees them."""
    for stream in ("decision", "event"):
        paths = engines.segments(logs, f"{stream}s")
        expected = engines.checksums(engines.with_fastavro(paths, stream))
        others = {"polars": engines.with_polars, "duckdb": engines.with_duckdb}
        if spark is not None and spark.jar:
            others["spark"] = lambda paths, stream: spark.read(paths, stream).toArrow()
        for name, read in others.items():
            try:
                table = read(paths, stream)
            except Exception as error:
                # DuckDB fetches its extension, which a machine without a network cannot.
                if name == "duckdb" and "avro" in str(error).lower():
                    print(f"{name:8} has no avro extension here: not compared")
                    continue
                raise
            found = engines.checksums(table)
            assert found == expected, f"{name}: {stream}: " + str([k for k in expected if found.get(k) != expected[k]])
            print(f"{name:8} Avro {stream}s: {len(expected)} fields as fastavro reads them")
    files = sorted(glob.glob(os.path.join(joined, "rows", "**", "*.parquet"), recursive=True))
    expected = engines.checksums(ours(joined))
    import duckdb
    import pandas
    import polars

    others = {
        "duckdb": lambda: engines.to_arrow(duckdb.connect().sql(f"SELECT * EXCLUDE (day) FROM read_parquet({files!r})")),
        "polars": lambda: polars.concat([polars.read_parquet(file, hive_partitioning=False) for file in files]).to_arrow(),
        "pandas": lambda: pa.concat_tables([
            pa.Table.from_pandas(pandas.read_parquet(file, partitioning=None, dtype_backend="pyarrow"), preserve_index=False)
            for file in files]),
    }
    if spark is not None:
        others["spark"] = lambda: spark.session.read.parquet(os.path.join(joined, "rows")).drop("day").toArrow()
    for name, read in others.items():
        found = engines.checksums(read())
        assert found == expected, f"{name}: rows: " + str([k for k in expected if found.get(k) != expected[k]])
        print(f"{name:8} Parquet rows: {len(expected)} columns as pyarrow reads them")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("logs")
    parser.add_argument("joined")
    parser.add_argument("--engines", default="duckdb,spark")
    parser.add_argument("--jar", default="")
    args = parser.parse_args()
    np.seterr(over="ignore")
    expected = ours(args.joined)
    wanted = args.engines.split(",")
    spark = engines.Spark(args.jar) if "spark" in wanted else None
    for engine in ([engines.Duckdb()] if "duckdb" in wanted else []) + ([spark] if spark else []):
        compare(engine, args.logs, expected)
    readers(args.logs, args.joined, spark)
    if spark is not None:
        spark.stop()
    print("all equal")


if __name__ == "__main__":
    sys.exit(main())
