#!/usr/bin/env bash
# Runs tiers of tests in the given order and prints the time of each. Usage: hack/test.sh TIER...
# Tiers: lint unit integration e2e bench. A failing tier does not hide the others; the exit status tells.
set -uo pipefail
cd "$(dirname "$0")/.."
py=$PWD/.venv/bin/python
export PYTHONUNBUFFERED=1
summary=""
status=0

tier() {
  case $1 in
    lint) hack/lint.sh ;;
    unit) "$py" -m pytest tests/unit tests/simulation -n 2 --dist loadfile -q ;;
    integration)
      python3 hack/build/build.py etcd kubernetes kubernetes-old && "$py" -m pytest tests/integration -q --timeout 120 ;;
    e2e) python3 hack/build/build.py all && python3 hack/node/node.py up && "$py" -m pytest e2e -q --timeout 600 ;;
    bench) hack/bench.sh ;;
    *) echo "hack/test.sh: unknown tier $1" >&2; return 2 ;;
  esac
}

for name in "$@"; do
  echo "=== $name"
  start=$SECONDS
  if tier "$name"; then result=ok; else result=FAILED; status=1; fi
  summary+=$(printf '%-12s %-7s %4d s' "$name" "$result" $((SECONDS - start)))$'\n'
done
printf '\n=== time per tier\n%s' "$summary"
exit $status
