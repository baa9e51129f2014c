#!/usr/bin/env bash
# All static checks, in the order of their speed. Usage: hack/lint.sh (after hack/venv.sh)
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

step() { echo "lint: $1"; shift; "$@"; }
step "format" "$bin/ruff" format --check -q .
step "ruff" "$bin/ruff" check -q .
echo "lint: import rules"
imports=$("$bin/lint-imports" --no-cache) || { echo "$imports"; exit 1; }
step "types" "$bin/mypy"
step "spelling" "$bin/codespell"
step "generated files" "$bin/python" hack/generate.py --check
step "generated stubs" "$bin/python" hack/generate_stubs.py --check
step "shell syntax" bash -n hack/*.sh
echo "lint: ok"
