#!/usr/bin/env bash
# Prints the path of a real influxd 2.7, and builds it the first time, from its
# Go module: about ten minutes on two cores. It lands under $FETTLE_CACHE
# (~/.cache/fettle).
# It needs go, a C compiler, cargo and pkg-config: half of Flux is Rust, which
# InfluxData's own wrapper of pkg-config builds. It asks for an old Rust; the one
# that is there does, with its newer lints kept to warnings, and without the
# optimizing at link time that would take most of the time.
set -euo pipefail

version=v2.7.12
cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/influxd-$version"

# retry runs a command up to three times: what fails is mostly the network.
retry() {
	for try in 1 2 3; do
		"$@" && return
		echo "influxd.sh: try $try failed: $*" >&2
		sleep 5
	done
	return 1
}

# The module is built where it may be written: go build keeps to its own go.mod
# and go.sum then, with the replacements that an outside build would not see.
build() {
	rm -rf "$cache/source" "$cache/tool"
	cd /
	retry go mod download "github.com/influxdata/influxdb/v2@$version"
	cp -r "$(go env GOMODCACHE)/github.com/influxdata/influxdb/v2@$version" "$cache/source"
	chmod -R u+w "$cache/source"
	cd "$cache/source"
	retry go mod download
	go build -o "$cache/tool/pkg-config" github.com/influxdata/pkg-config
	# A wrapper, because RUSTFLAGS does not reach what is built for the building.
	cat >"$cache/tool/rustc" <<-'EOT'
		#!/bin/sh
		case " $* " in *" --cap-lints "*) exec "$@" ;; esac
		exec "$@" --cap-lints warn
	EOT
	chmod +x "$cache/tool/rustc"
	if command -v rustup >/dev/null; then
		RUSTUP_TOOLCHAIN="$(cd / && rustup show active-toolchain | cut -d' ' -f1)"
		export RUSTUP_TOOLCHAIN
	fi
	export RUSTC_WRAPPER="$cache/tool/rustc" CARGO_PROFILE_RELEASE_LTO=off PKG_CONFIG="$cache/tool/pkg-config" CGO_ENABLED=1
	retry go build -trimpath -buildvcs=false -tags sqlite_foreign_keys,sqlite_json \
		-ldflags "-s -w -X main.version=$version" -o "$cache/influxd" ./cmd/influxd
	cd "$cache"
	rm -rf source tool
	touch "$cache/done"
}

for tool in go cc cargo pkg-config; do
	command -v $tool >/dev/null || { echo "influxd.sh: needs $tool" >&2; exit 1; }
done
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ -e "$cache/done" ] || build >&2
echo "$cache/influxd"
