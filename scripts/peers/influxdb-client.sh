#!/usr/bin/env bash
# Runs Python with InfluxData's own client: influxdb-client.sh SCRIPT [ARGUMENT...]
# The first time it makes the environment, from PyPI, under $FETTLE_CACHE
# (~/.cache/fettle), in a folder named by this file's hash.
set -euo pipefail

cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/influxdb-client-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)"

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/done" ]; then
	rm -rf "$cache/env"
	python3 -m venv "$cache/env" >&2
	"$cache/env/bin/pip" install --quiet --disable-pip-version-check --retries 5 influxdb-client==1.50.0 >&2
	touch "$cache/done"
fi
flock -u 9

exec "$cache/env/bin/python" "$@"
