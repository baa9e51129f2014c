#!/usr/bin/env bash
# Runs tiers of tests in the given order and prints the time of each. Usage: hack/test.sh TIER...
# A failing tier does not hide the others; the exit status tells. Tiers:
#   lint unit integration bench
#   e2e              the operator in the cluster, but for the longest stories
#   e2e-long         the longest stories
#   e2e-outside      the operator outside of it, what is essential
#   e2e-outside-all  the operator outside of it, everything
#   several-nodes    three nodes, which are taken down afterwards
set -uo pipefail
cd "$(dirname "$0")/.."
py=$PWD/.venv/bin/python
export PYTHONUNBUFFERED=1
summary=""
failed=""
status=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

e2e() {
  python3 hack/build/build.py all && python3 hack/node/node.py up && "$py" -m pytest e2e -q --timeout 600 --durations 25 --durations-min 15 "$@"
}

tier() {
  case $1 in
    lint) hack/lint.sh ;;
    unit) "$py" -m pytest tests/unit tests/simulation -n 2 --dist loadfile -q ;;
    integration)
      python3 hack/build/build.py etcd kubernetes kubernetes-old object-stores && "$py" -m pytest tests/integration -n 2 --dist loadfile -q --timeout 120 --durations 15 ;;
    e2e) e2e --operator inside -m "not long" ;;
    e2e-long) python3 hack/build/build.py cert-manager && e2e --operator inside -m long ;;
    e2e-outside) e2e --operator outside -m essential ;;
    e2e-outside-all) python3 hack/build/build.py cert-manager && e2e --operator outside ;;
    several-nodes)
      export ETCD_OPERATOR_NODE=three
      python3 hack/build/build.py all && python3 hack/node/node.py up --nodes 3 && "$py" -m pytest e2e/test_several_nodes.py -q --timeout 600
      local result=$?
      python3 hack/node/node.py down
      unset ETCD_OPERATOR_NODE
      return $result ;;
    bench) hack/bench.sh ;;
    *) echo "hack/test.sh: unknown tier $1" >&2; return 2 ;;
  esac
}

for name in "$@"; do
  echo "=== $name"
  start=$SECONDS
  if tier "$name" 2>&1 | tee "$output"; then result=ok; else result=FAILED; status=1; fi
  failed+=$(grep -aE '^(FAILED|ERROR) ' "$output" | cut -c1-200)$'\n'
  summary+=$(printf '%-16s %-7s %4d s' "$name" "$result" $((SECONDS - start)))$'\n'
done
printf '\n=== time per tier\n%s' "$summary"
# Once more at the end, where whoever looks at a long log looks first.
[[ -z ${failed//$'\n'/} ]] || printf '\n=== failed\n%s\n' "$(grep . <<<"$failed")"
exit $status
