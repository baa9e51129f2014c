#!/usr/bin/env bash
# All static checks, in the order of their speed. Usage: hack/lint.sh (after hack/venv.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

step() { echo "lint: $1"; shift; "$@"; }
step "format" "$bin/ruff" format --check -q .
step "ruff" "$bin/ruff" check -q .
step "import rules" "$bin/lint-imports" --no-cache >/tmp/lint-imports.$$ || { cat /tmp/lint-imports.$$; rm -f /tmp/lint-imports.$$; exit 1; }
rm -f /tmp/lint-imports.$$
step "types" "$bin/mypy"
step "spelling" "$bin/codespell"
step "generated files" "$bin/python" hack/generate.py --check
step "generated stubs" "$bin/python" hack/generate_stubs.py --check
step "shell syntax" bash -n hack/*.sh
echo "lint: ok"
