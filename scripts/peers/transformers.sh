#!/usr/bin/env bash
# Runs Python with HuggingFace's transformers: transformers.sh SCRIPT [ARGUMENT...]
# The first time it makes the environment: torch from Debian, which is built for
# any processor and small, and transformers of the deployed models' version from
# PyPI, under $FETTLE_CACHE (~/.cache/fettle), in a folder named by this file's
# hash. Debian and Ubuntu only.
set -euo pipefail

cache="${FETTLE_CACHE:-$HOME/.cache/fettle}/transformers-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)"

install_torch() {
	/usr/bin/python3 -c 'import torch, venv, ensurepip' 2>/dev/null && return
	for try in 1 2 3; do
		if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-torch python3-venv >/dev/null; then
			return
		fi
		echo "transformers.sh: installing torch failed, try $try" >&2
		sleep 5
	done
	return 1
}

# Without dependencies: transformers asks for more than PatchTST imports.
make_environment() {
	rm -rf "$cache/env"
	/usr/bin/python3 -m venv --system-site-packages "$cache/env"
	"$cache/env/bin/pip" install --quiet --no-deps --disable-pip-version-check \
		transformers==4.38.0 safetensors==0.4.3 tokenizers==0.15.2 huggingface_hub==0.23.5 \
		filelock==3.13.4 fsspec==2024.3.1 tqdm==4.66.4 packaging==24.0 regex==2024.5.15
	touch "$cache/done"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/done" ]; then
	install_torch >&2
	make_environment >&2
fi
flock -u 9

export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 OMP_NUM_THREADS=1
exec "$cache/env/bin/python" "$@"
