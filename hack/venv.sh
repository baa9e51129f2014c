#!/usr/bin/env bash
# Makes .venv in this checkout from requirements-dev.lock (hashes checked) with our package in it, editable.
# Usage: hack/venv.sh        Safe to run twice: does nothing while the lock and pyproject are the same.
# Wheels are kept in uv's cache in the user's cache folder, so another clone needs about a second.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${ETCD_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/etcd-operator}
want=$(cat requirements-dev.lock pyproject.toml cli/module_entry/* hack/uv.lock hack/venv.sh | sha256sum | cut -c1-16)
stamp=.venv/.made-from
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && .venv/bin/python -c '' 2>/dev/null; then exit 0; fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
"$python" -c 'import ensurepip' 2>/dev/null || {
  echo "hack/venv.sh: installing Debian's python3-venv (the interpreter lacks ensurepip)"
  apt-get install -y -q python3-venv >/dev/null
}

tools=$cache/uv-$(sha256sum hack/uv.lock | cut -c1-16)
if [ ! -x "$tools/bin/uv" ]; then
  echo "hack/venv.sh: installing uv into the cache"
  mkdir -p "$cache"
  staging=$(mktemp -d "$cache/uv.XXXXXX")
  "$python" -m venv "$staging"
  "$staging/bin/pip" install -q --require-hashes -r hack/uv.lock
  mkdir -p "$tools/bin"
  cp "$staging/bin/uv" "$tools/bin/uv.new" && mv "$tools/bin/uv.new" "$tools/bin/uv"
  rm -rf "$staging"
fi
uv="$tools/bin/uv"

echo "hack/venv.sh: making .venv"
UV_CACHE_DIR=${UV_CACHE_DIR:-$cache/uv-cache}
UV_LINK_MODE=copy
export UV_CACHE_DIR UV_LINK_MODE
"$uv" venv -q --clear --python "$python" .venv
"$uv" pip sync -q --python .venv/bin/python --require-hashes requirements-dev.lock
"$uv" pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
echo "$want" >"$stamp"
