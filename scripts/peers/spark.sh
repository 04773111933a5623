#!/usr/bin/env bash
# Prints the folder of a real Spark (its SPARK_HOME), and fetches it the first
# time, from PyPI's pyspark, of which only the Java part is kept: about a minute,
# 420 MB. $FETTLE_SPARK is the version. It lands under $FETTLE_CACHE
# (~/.cache/fettle). Spark needs Java 17 or newer.
set -euo pipefail

version="${FETTLE_SPARK:-4.0.1}"
cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/spark-$version"

# retry runs a command up to three times: what fails is mostly the network.
retry() {
	for try in 1 2 3; do
		"$@" && return
		echo "spark.sh: try $try failed: $*" >&2
		sleep 5
	done
	return 1
}

install_java() {
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless >/dev/null
}

fetch() {
	rm -rf "$cache/download" "$cache/home"
	mkdir -p "$cache/download" "$cache/home"
	retry python3 -m pip download --quiet --disable-pip-version-check --no-deps -d "$cache/download" "pyspark==$version"
	tar -xzf "$cache/download/pyspark-$version.tar.gz" -C "$cache/home" --strip-components 2 --exclude "*/connect-repl" "pyspark-$version/deps/bin" "pyspark-$version/deps/jars"
	rm -rf "$cache/download"
	touch "$cache/done"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if ! command -v java >/dev/null; then
	command -v apt-get >/dev/null || { echo "spark.sh: please install Java 17" >&2; exit 1; }
	retry install_java >&2
fi
[ -e "$cache/done" ] || fetch >&2
echo "$cache/home"
