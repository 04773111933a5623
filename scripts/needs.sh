#!/usr/bin/env bash
# Installs the real programs that the tests talk to, where they are missing:
# Chromium, the Mosquitto clients, and a websocket MQTT client. Debian only;
# elsewhere install them by hand, the tests only look on the PATH.
set -euo pipefail

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
/usr/bin/python3 -c 'import paho.mqtt.client' 2>/dev/null || missing+=(python3-paho-mqtt)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "needs.sh: please install: ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
for try in 1 2 3; do
	if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
		exit 0
	fi
	echo "needs.sh: try $try failed" >&2
	sleep 5
done
exit 1
