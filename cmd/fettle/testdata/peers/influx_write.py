"""Writes readings to fettle with InfluxData's client, in its ways of writing,
and prints what the client made of the answers as JSON.

influx_write.py URL KEY
"""
import json
import sys
from datetime import datetime, timedelta, timezone

from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.rest import ApiException

url, key = sys.argv[1:]
begin = datetime(2025, 11, 25, 4, 0, tzinfo=timezone.utc)
said = {}


def point(machine, i):
    return (
        Point("sensor_data").tag("workspace_id", machine).tag("sensor_type", "industrial")
        .field("current", 10 + i / 100).field("count", i).field("on", i % 2 == 0).field("note", 'say "hi", \\ou')
        .time(begin + timedelta(seconds=2 * i), WritePrecision.US)
    )


with InfluxDBClient(url=url, token=key, org="any", enable_gzip=True) as client:
    said["ping"], said["version"] = client.ping(), client.version()
    said["health"], said["ready"] = client.health().status, client.ready().status
    with client.write_api(write_options=SYNCHRONOUS) as write:
        write.write(bucket="any", record=[point("one by one", i) for i in range(100)])
    failures = []
    with client.write_api(
        write_options=WriteOptions(batch_size=500, flush_interval=200),
        error_callback=lambda _, __, error: failures.append(str(error)),
    ) as write:
        for i in range(2_000):
            write.write(bucket="any", record=point("in batches", i))
    said["failures"] = failures
    with client.write_api(write_options=SYNCHRONOUS) as write:
        try:
            write.write(bucket="any", record=["sensor_data,workspace_id=m x=1 1", "sensor_data,workspace_id=m x="])
            said["bad"] = "taken"
        except ApiException as error:
            said["bad"], said["message"] = error.status, error.message
with InfluxDBClient(url=url, token="stranger", org="any") as client:
    try:
        client.write_api(write_options=SYNCHRONOUS).write(bucket="any", record="sensor_data,workspace_id=m x=1 1")
        said["stranger"] = "taken"
    except ApiException as error:
        said["stranger"] = error.status
print(json.dumps(said))
