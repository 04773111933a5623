"""Reads the readings of a data folder with tools that know nothing of fettle.

Prints, for each tool and machine, how many rows there are, the first and last
time in microseconds, and the sum and the number of values of each sensor.
"""

import glob
import json
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.parquet

folder = sys.argv[1] + "/readings"
files = folder + "/*/*.parquet"


def with_duckdb():
    table = f"read_parquet('{files}', hive_partitioning = true, union_by_name = true)"
    columns = [row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM {table}").fetchall()]
    sensors = [c for c in columns if c not in ("time", "tags", "machine")]
    sums = ", ".join(f'sum("{s}"), count("{s}")' for s in sensors)
    rows = duckdb.sql(f"SELECT machine, count(*), epoch_us(min(time)), epoch_us(max(time)), {sums} FROM {table} GROUP BY machine").fetchall()
    return {
        str(row[0]): {"rows": row[1], "first": row[2], "last": row[3],
                      "sensors": {s: [row[4 + 2 * i], row[5 + 2 * i]] for i, s in enumerate(sensors) if row[5 + 2 * i]}}
        for row in rows
    }


def with_polars():
    table = polars.scan_parquet(files, hive_partitioning=True, missing_columns="insert", extra_columns="ignore",
                                schema=polars_schema()).collect()
    out = {}
    for (machine,), rows in table.group_by("machine"):
        out[str(machine)] = summary(len(rows), rows["time"].dt.timestamp("us"), {
            c: (rows[c].sum(), rows[c].count()) for c in rows.columns if c not in ("time", "tags", "machine")})
    return out


def polars_schema():
    schema = {}
    for file in sorted(glob.glob(files)):
        schema.update(polars.read_parquet_schema(file))
    return schema


def with_pandas():
    # Without a schema Arrow takes the first file's columns for all there are.
    schemas = [pyarrow.parquet.read_schema(file) for file in sorted(glob.glob(files))]
    schema = pyarrow.unify_schemas([*schemas, pyarrow.schema([("machine", pyarrow.string())])])
    table = pandas.read_parquet(folder, schema=schema)
    out = {}
    for machine, rows in table.groupby("machine", observed=True):
        out[str(machine)] = summary(len(rows), rows["time"].astype("datetime64[us, UTC]").astype("int64"), {
            c: (rows[c].sum(), int(rows[c].count())) for c in rows.columns if c not in ("time", "tags", "machine")})
    return out


def summary(rows, micros, sensors):
    return {"rows": rows, "first": int(micros.min()), "last": int(micros.max()),
            "sensors": {s: [float(total), int(n)] for s, (total, n) in sensors.items() if n}}


print(json.dumps({"duckdb": with_duckdb(), "polars": with_polars(), "pandas": with_pandas()}))
