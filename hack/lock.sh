#!/usr/bin/env bash
# Writes the lock files anew from pyproject.toml, every hash included. Usage: hack/lock.sh [--upgrade]
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${ETCD_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/etcd-operator}
uv=$cache/uv-$(sha256sum hack/uv.lock | cut -c1-16)/bin/uv
compile=("$uv" pip compile -q --generate-hashes --universal --python-version 3.11 --no-header --no-emit-index-url pyproject.toml "$@")
"${compile[@]}" -o requirements.lock
"${compile[@]}" --group dev -o requirements-dev.lock
