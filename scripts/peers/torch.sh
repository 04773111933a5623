#!/usr/bin/env bash
# Runs Python with the newest PyTorch, transformers and ONNX Runtime that PyPI
# had when this was written: torch.sh SCRIPT [ARGUMENT...]
# The first time it makes the environment (half a gigabyte to fetch) under
# $FETTLE_CACHE (~/.cache/fettle), in a folder named by the hash of what makes
# it. PyPI's torch for Linux is linked to CUDA, of which nothing runs here:
# torch_stubs.py makes empty libraries in place of its four gigabytes.
# It needs python3 with venv, gcc, g++ (for torch.compile) and binutils.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/torch-$(cat "$here/torch.sh" "$here/torch_stubs.py" | sha256sum | cut -c1-16)"

make_environment() {
	rm -rf "$cache/env" "$cache/stubs"
	python3 -m venv "$cache/env"
	local pip=("$cache/env/bin/pip" install --quiet --disable-pip-version-check)
	"${pip[@]}" --no-deps torch==2.15.0
	"${pip[@]}" 'setuptools>=77' numpy filelock typing-extensions sympy networkx jinja2 fsspec \
		transformers onnx onnxruntime onnxscript 2> >(grep -v -e 'dependency conflicts' -e ' requires ' >&2)
	python3 "$here/torch_stubs.py" "$(echo "$cache"/env/lib/python3*/site-packages/torch/lib)" "$cache/stubs"
	touch "$cache/done"
}

for tool in python3 gcc g++ readelf nm; do
	command -v $tool >/dev/null || { echo "torch.sh: needs $tool" >&2; exit 1; }
done
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ -e "$cache/done" ] || make_environment >&2
flock -u 9

# Some machines name a processor for old builds of OpenBLAS; it slows numpy.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export LD_LIBRARY_PATH="$cache/stubs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export CUDA_VISIBLE_DEVICES= HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export TORCHINDUCTOR_CACHE_DIR="$cache/inductor"
exec "$cache/env/bin/python" "$@"
