#!/usr/bin/env bash
# Runs every benchmark; each prints a table and its ratio or limit. Usage: hack/bench.sh [NAME...]
# Names: those of the default at the end, and soak only when named. Needs root for the throwaway node. FOOTPRINT_SECONDS=30 for a short look.
set -uo pipefail
cd "$(dirname "$0")/.."
py=$PWD/.venv/bin/python
kubeconfig=$PWD/.node/${ETCD_OPERATOR_NODE:-}/kubeconfig
inside=(python3 hack/node/node.py exec -- "$py")
status=0

node_with_operator() {
  python3 hack/node/node.py up || return 1
  hack/kubectl --kubeconfig "$kubeconfig" apply --server-side -f manifests/install.yaml >/dev/null &&
    hack/kubectl --kubeconfig "$kubeconfig" -n etcd-operator-system scale deployment/etcd-operator --replicas="$1" &&
    # The tag stays the same when the image is built anew.
    hack/kubectl --kubeconfig "$kubeconfig" -n etcd-operator-system rollout restart deployment/etcd-operator &&
    hack/kubectl --kubeconfig "$kubeconfig" -n etcd-operator-system rollout status deployment/etcd-operator --timeout=120s
}

bench() {
  case $1 in
    queue) "$py" bench/work_queue.py ;;
    list-index) "$py" bench/list_index.py ;;
    watch-events) "$py" bench/watch_events.py ;;
    reconciles) "$py" bench/reconciles.py ;;
    many-clusters) "$py" bench/many_clusters.py ;;
    planner) "$py" -m bench.planner ;;
    bring-up) node_with_operator 1 && "${inside[@]}" bench/bring_up.py --kubeconfig "$kubeconfig" ;;
    scale) node_with_operator 1 && "${inside[@]}" -m bench.scale --kubeconfig "$kubeconfig" ;;
    upgrade) node_with_operator 1 && "${inside[@]}" -m bench.upgrade --kubeconfig "$kubeconfig" ;;
    replace) node_with_operator 1 && "${inside[@]}" -m bench.replace --kubeconfig "$kubeconfig" ;;
    # RESTORE_MEBIBYTES=1024, SNAPSHOT_MEBIBYTES=1024 for larger databases.
    restore) "$py" -m bench.restore --mebibytes "${RESTORE_MEBIBYTES:-256}" ;;
    snapshot) "$py" -m bench.snapshot --mebibytes "${SNAPSHOT_MEBIBYTES:-256}" ;;
    archiver) "$py" -m bench.archiver --revisions "${ARCHIVER_REVISIONS:-30000}" ;;
    # The operator under measurement is a process of its own; the installed one must not help it.
    footprint) node_with_operator 0 && "${inside[@]}" bench/footprint.py --kubeconfig "$kubeconfig" --seconds "${FOOTPRINT_SECONDS:-300}" ;;
    # Not among the default ones: half an hour of faults. SOAK_MINUTES=2 for a short look.
    soak) "$py" -m bench.soak --minutes "${SOAK_MINUTES:-30}" ;;
    *) echo "hack/bench.sh: unknown benchmark $1" >&2; return 2 ;;
  esac
}

[ $# -gt 0 ] || set -- queue planner list-index watch-events reconciles many-clusters bring-up scale replace upgrade snapshot restore archiver footprint
for name in "$@"; do
  echo "=== bench $name"
  bench "$name" || status=1
done
exit $status
