#!/usr/bin/env bash
# Prints the folder of a small Debian that systemd-nspawn can boot, and makes it
# the first time: about two minutes, 240 MB. It lands under $FETTLE_CACHE
# (~/.cache/fettle). It needs root, and installs systemd-nspawn and debootstrap
# where they are missing.
set -euo pipefail

suite=bookworm
cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/systemd-$suite"

# retry runs a command up to three times: what fails is mostly the network.
retry() {
	for try in 1 2 3; do
		"$@" && return
		echo "systemd.sh: try $try failed: $*" >&2
		sleep 5
	done
	return 1
}

build() {
	rm -rf "$cache/draft"
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$suite" "$cache/draft"
}

[ "$(id -u)" = 0 ] || { echo "systemd.sh: needs root, to boot a system in a container" >&2; exit 1; }
missing=()
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
command -v debootstrap >/dev/null || missing+=(debootstrap)
if [ ${#missing[@]} -gt 0 ]; then
	{
		retry apt-get update -qq
		DEBIAN_FRONTEND=noninteractive retry apt-get install -y -qq --no-install-recommends "${missing[@]}"
	} >&2
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/tree" ]; then
	retry build >&2
	rm -rf "$cache/draft/var/cache/apt/archives" "$cache/draft/var/lib/apt/lists"
	mv "$cache/draft" "$cache/tree"
fi
echo "$cache/tree"
