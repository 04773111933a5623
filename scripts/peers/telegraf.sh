#!/usr/bin/env bash
# Prints the path of a real Telegraf, and builds it the first time, from its Go
# module: with the plugins that read MQTT and write to InfluxDB 2 and no others,
# a few minutes on two cores. It lands under $FETTLE_CACHE (~/.cache/fettle).
set -euo pipefail

version=v1.37.2
plugins=custom,inputs.mqtt_consumer,outputs.influxdb_v2,parsers.json
cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/telegraf-$version"

# retry runs a command up to three times: what fails is mostly the network.
retry() {
	for try in 1 2 3; do
		"$@" && return
		echo "telegraf.sh: try $try failed: $*" >&2
		sleep 5
	done
	return 1
}

# The module is built where it may be written, to keep to its own go.mod.
build() {
	rm -rf "$cache/source"
	cd /
	retry go mod download "github.com/influxdata/telegraf@$version"
	cp -r "$(go env GOMODCACHE)/github.com/influxdata/telegraf@$version" "$cache/source"
	chmod -R u+w "$cache/source"
	cd "$cache/source"
	CGO_ENABLED=0 retry go build -trimpath -buildvcs=false -tags "$plugins" -ldflags "-s -w" -o "$cache/telegraf" ./cmd/telegraf
	cd "$cache"
	rm -rf source
	touch "$cache/done"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ -e "$cache/done" ] || build >&2
echo "$cache/telegraf"
