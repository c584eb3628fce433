"""Engines that run join.sql over the Avro segments of a decision log, and readers of Avro and Parquet."""

import glob
import os

import fastavro
import numpy as np
import pyarrow as pa

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMAS = os.path.join(HERE, "..", "..", "src", "decision_log", "schema")


def statements():
    """The statements of join.sql."""
    with open(os.path.join(HERE, "join.sql"), encoding="utf-8") as file:
        lines = [line.split("--")[0] for line in file]
    return [text for text in (part.strip() for part in "".join(lines).split(";")) if text]


def segments(logs, stream):
    """The segments of a stream: those that begin with `_` are being written."""
    paths = glob.glob(os.path.join(logs, "**", f"{stream}*.avro"), recursive=True)
    return sorted(path for path in paths if not os.path.basename(path).startswith(("_", ".")))


def arrow_schema(stream):
    """The columns of a stream, from its Avro schema."""
    schema = fastavro.schema.load_schema(os.path.join(SCHEMAS, f"{stream}.avsc"))
    kinds = {"long": pa.int64(), "int": pa.int32(), "float": pa.float32(), "double": pa.float64()}
    fields = []
    for field in schema["fields"]:
        kind = field["type"]
        fields.append(pa.field(field["name"], kinds[kind[1] if isinstance(kind, list) else kind], isinstance(kind, list)))
    return pa.schema(fields)


def with_fastavro(paths, stream):
    records = []
    for path in paths:
        with open(path, "rb") as file:
            records.extend(fastavro.reader(file))
    return pa.Table.from_pylist(records, arrow_schema(stream))


def with_polars(paths, _):
    import polars

    return polars.concat([polars.read_avro(path) for path in paths]).to_arrow()


def with_duckdb(paths, _):
    import duckdb

    connection = duckdb.connect()
    # An extension of DuckDB's own, fetched once.
    connection.execute("INSTALL avro; LOAD avro")
    return to_arrow(connection.sql(f"SELECT * FROM read_avro({paths!r})"))


def to_arrow(relation):
    return relation.to_arrow_table() if hasattr(relation, "to_arrow_table") else relation.arrow()


class Duckdb:
    """join.sql in DuckDB. The segments are read by fastavro, unless the avro extension is there."""

    name = "duckdb"

    def join(self, logs, zone):
        import duckdb

        connection = duckdb.connect()
        connection.execute(f"SET TimeZone = '{zone}'")
        for stream in ("decision", "event"):
            connection.register(f"{stream}s", with_fastavro(segments(logs, f"{stream}s"), stream))
        for statement in statements():
            # Each view once: as they stand, one would be computed again wherever another reads it.
            connection.execute(statement.replace("TEMP VIEW", "TEMP TABLE"))
        return to_arrow(connection.sql("SELECT * FROM joined"))


class Spark:
    """join.sql in Spark on this machine, which reads the segments itself."""

    name = "spark"

    def __init__(self, jar):
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]").appName("adclick").config("spark.ui.enabled", "false")
        builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.driver.memory", "2g")
        builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
        # How Parquet of long ago had its dates is no matter here.
        builder = builder.config("spark.log.level", "ERROR")
        if jar:
            builder = builder.config("spark.jars", jar)
        self.session = builder.getOrCreate()
        self.jar = jar

    def read(self, paths, stream):
        if self.jar:
            return self.session.read.format("avro").load(paths)
        return self.session.createDataFrame(with_fastavro(paths, stream))

    def join(self, logs, zone):
        self.session.conf.set("spark.sql.session.timeZone", zone)
        for stream in ("decision", "event"):
            self.read(segments(logs, f"{stream}s"), stream).createOrReplaceTempView(f"{stream}s")
        self.session.catalog.clearCache()
        for statement in statements():
            self.session.sql(statement)
            # Each view once: as they stand, one would be computed again wherever another reads it.
            self.session.catalog.cacheTable(statement.split()[5])
        return self.session.sql("SELECT * FROM joined").toArrow()

    def stop(self):
        self.session.stop()


def checksums(table):
    """For each column a number that depends on every value and not on the order of rows."""
    found = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
            text = column.cast(pa.string()).to_pylist()
            values = np.array([hash_text(t) for t in text], dtype=np.uint64)
        else:
            known = ~np.asarray(column.is_null())
            if pa.types.is_boolean(column.type):
                column = column.cast(pa.int8())
            if pa.types.is_floating(column.type):
                plain = np.asarray(column.fill_null(0.0).cast(pa.float64()))
            else:
                plain = np.asarray(column.fill_null(0).cast(pa.int64()))
            values = np.where(known, plain.view(np.uint64) + np.uint64(1), np.uint64(0x9E3779B97F4A7C15))
        found[name] = int(spread(values).sum(dtype=np.uint64))
    return found


def hash_text(text):
    value = 14695981039346656037
    for byte in b"\0" if text is None else text.encode():
        value = ((value ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return value


def spread(values):
    """SplitMix64's finaliser."""
    values = values.copy()
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    return values ^ (values >> np.uint64(31))

