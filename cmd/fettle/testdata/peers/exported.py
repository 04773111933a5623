"""Reads exported files with tools that know nothing of fettle.

exported.py FOLDER CSV: a folder of Parquet files, machine=<name>/readings.parquet,
and a CSV of all machines. Prints, for each tool and machine, how many rows there
are, the first and last time in microseconds, and the sum and the number of values
of each sensor.
"""

import json
import sys

import duckdb
import pandas

folder, table = sys.argv[1:]


def summary(rows, sensors):
    micros = pandas.to_datetime(rows["time"], utc=True, format="ISO8601").astype("datetime64[us, UTC]").astype("int64")
    return {"rows": len(rows), "first": int(micros.min()), "last": int(micros.max()),
            "sensors": {s: [float(rows[s].sum()), int(rows[s].count())] for s in sensors if rows[s].count()}}


def by_machine(frame):
    sensors = [c for c in frame.columns if c not in ("time", "tags", "machine")]
    return {str(machine): summary(rows, sensors) for machine, rows in frame.groupby("machine")}


with_duckdb = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true, union_by_name = true)").df()
csv = pandas.read_csv(table, dtype={"machine": "string"}, float_precision="round_trip")
print(json.dumps({"parquet": by_machine(with_duckdb), "csv": by_machine(csv)}))
