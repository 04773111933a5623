#!/usr/bin/env bash
# Installs the real programs that the tests talk to, where they are missing:
# Chromium, curl, Mosquitto and its clients, a websocket MQTT client, a mail server,
# and systemd's tools;
# with the argument "bench" what the benchmarks stand beside, the Mosquitto broker,
# and with "arm64" qemu, which runs programs for that processor.
# Debian only; elsewhere install them by hand, the tests only look on the PATH.
set -euo pipefail

missing=()
case "${1:-test}" in
test)
	command -v chromium >/dev/null || missing+=(chromium)
	command -v curl >/dev/null || missing+=(curl)
	command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
	/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || missing+=(python3-aiosmtpd)
	/usr/bin/python3 -c 'import paho.mqtt.client' 2>/dev/null || missing+=(python3-paho-mqtt)
	PATH=$PATH:/usr/sbin command -v mosquitto >/dev/null || missing+=(mosquitto)
	command -v systemd-analyze >/dev/null || missing+=(systemd)
	;;
bench)
	PATH=$PATH:/usr/sbin command -v mosquitto >/dev/null || missing+=(mosquitto)
	;;
arm64)
	command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
	;;
*)
	echo "needs.sh: unknown argument $1; expected test, bench or arm64" >&2
	exit 2
	;;
esac
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "needs.sh: please install: ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
for try in 1 2 3; do
	if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
		# Debian starts a broker that it installs, on the port that fettle takes.
		if [[ " ${missing[*]} " == *" mosquitto "* ]]; then
			systemctl disable --now mosquitto >/dev/null 2>&1 || true # no systemd, no service
		fi
		exit 0
	fi
	echo "needs.sh: try $try failed" >&2
	sleep 5
done
exit 1
