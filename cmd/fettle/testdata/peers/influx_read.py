"""Reads a bucket of readings, and one of anomalies, with the old system's own
queries and InfluxData's client, and prints what is there as JSON.

influx_read.py URL ORG TOKEN BUCKET ANOMALIES
"""
import json
import sys

from influxdb_client import InfluxDBClient

url, org, token, bucket, anomalies = sys.argv[1:]
client = InfluxDBClient(url=url, token=token, org=org, timeout=120_000)
query = client.query_api()


def micros(time):
    whole = int(time.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + time.microsecond


machines = {}
if bucket:
    of_bucket = f'from(bucket: "{bucket}") |> range(start: -720h) |> filter(fn: (r) => r["_measurement"] == "sensor_data")'
    names = query.query(f'{of_bucket} |> keep(columns: ["workspace_id"]) |> distinct(column: "workspace_id")')
    for name in sorted({record.get_value() for table in names for record in table.records}):
        tables = query.query(
            f'{of_bucket} |> filter(fn: (r) => r["workspace_id"] == "{name}")'
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") |> sort(columns: ["_time"])'
        )
        rows, times, sensors = 0, [], {}
        for table in tables:
            tags = {column.label for column in table.columns if column.group}
            for record in table.records:
                rows += 1
                times.append(micros(record.get_time()))
                for column, value in record.values.items():
                    if column in ("result", "table") or column.startswith("_") or column in tags or value is None:
                        continue
                    total, count = sensors.get(column, (0.0, 0))
                    sensors[column] = (total + value, count + 1)
        machines[name] = {"rows": rows, "first": min(times), "last": max(times), "sensors": sensors}

found = []
if anomalies:
    tables = query.query(
        f'from(bucket: "{anomalies}") |> range(start: -90d) |> filter(fn: (r) => r["_measurement"] == "anomaly_detections")'
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
    )
    for table in tables:
        for record in table.records:
            values = {k: v for k, v in record.values.items() if k not in ("result", "table") and not k.startswith("_") and v is not None}
            found.append({"time": micros(record.get_time()), **values})

retention = {}
for name in (bucket, anomalies):
    if name:
        rules = client.buckets_api().find_bucket_by_name(name).retention_rules
        retention[name] = sum(rule.every_seconds for rule in rules)

print(json.dumps({"machines": machines, "anomalies": found, "retention": retention}))
