#!/usr/bin/env bash
# Prints the path of a program that runs a Windows program with its arguments.
# It installs Debian's Wine (105 MB) where it is missing, and makes a Windows of
# its own (84 MB) under $FETTLE_CACHE (~/.cache/fettle), once for each version.
set -euo pipefail

# retry runs a command up to three times: what fails is mostly the network.
retry() {
	for try in 1 2 3; do
		"$@" && return
		echo "wine.sh: try $try failed: $*" >&2
		sleep 5
	done
	return 1
}

install() {
	command -v apt-get >/dev/null || { echo "wine.sh: please install Wine for 64 bits, so that $loader is there" >&2; exit 1; }
	retry timeout 120 apt-get update -qq
	DEBIAN_FRONTEND=noninteractive retry timeout 300 apt-get install -y -qq --no-install-recommends wine64 binutils
}

# Wine without a desktop, a Mono or a Gecko, and without what it says of itself.
runner() {
	cat <<-EOT
		#!/bin/sh
		export LC_ALL=C.UTF-8 WINEPREFIX='$cache/windows' WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml,winemenubuilder.exe=' WINEARCH=win64
		exec $loader "\$@"
	EOT
}

build() {
	rm -rf "$cache/windows"
	timeout 300 "$cache/wine" wineboot --init
	WINEPREFIX="$cache/windows" timeout 60 /usr/lib/wine/wineserver -w
	cd "$cache/windows/drive_c/windows/system32"
	# What a Windows has of Wine's own, 600 MB, need not be there twice.
	for file in *; do
		own="/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/$file"
		if cmp -s "$file" "$own"; then ln -sf "$own" "$file"; fi
	done
	# Go takes its random numbers from a library that Wine has from version 10 on;
	# an older function does the same.
	if [ ! -e bcryptprimitives.dll ]; then
		printf 'LIBRARY bcryptprimitives.dll\nEXPORTS\n  ProcessPrng = advapi32.SystemFunction036\n' >"$cache/stub.def"
		ld -m i386pep --dll --entry 0 -s -o bcryptprimitives.dll "$cache/stub.def"
	fi
	touch "$cache/done"
}

loader=/usr/lib/wine/wine64
root="${FETTLE_CACHE:-$HOME/.cache/fettle}"
mkdir -p "$root"
exec 9>"$root/wine-lock"
flock 9
{ [ -x $loader ] && command -v ld >/dev/null; } || install >&2
cache="$root/$($loader --version | cut -d' ' -f1)" # such as wine-8.0
mkdir -p "$cache"
runner >"$cache/wine.new"
chmod +x "$cache/wine.new"
mv "$cache/wine.new" "$cache/wine"
[ -e "$cache/done" ] || build >&2 9>&- # nothing that stays holds the lock
echo "$cache/wine"
