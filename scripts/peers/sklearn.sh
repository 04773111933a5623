#!/usr/bin/env bash
# Runs Python with scikit-learn: sklearn.sh VERSION SCRIPT [ARGUMENT...]
# VERSION is old (that of the old deployments, with NumPy 1) or new (with
# NumPy 2). The first time it makes the environment, from PyPI, under
# $FETTLE_CACHE (~/.cache/fettle), in a folder named by this file's hash.
set -euo pipefail

case "$1" in
old) packages=(scikit-learn==1.3.1 'numpy<2' 'scipy<1.14' joblib threadpoolctl) ;;
new) packages=(scikit-learn numpy joblib) ;;
*) echo "sklearn.sh: VERSION is $1; expected old or new" >&2; exit 2 ;;
esac
cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/sklearn-$1-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)"
shift

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/done" ]; then
	rm -rf "$cache/env"
	python3 -m venv "$cache/env" >&2
	"$cache/env/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "${packages[@]}" >&2
	touch "$cache/done"
fi
flock -u 9

exec "$cache/env/bin/python" "$@"
