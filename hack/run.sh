#!/usr/bin/env bash
# Runs the operator from this checkout against a Kubernetes, in the foreground. Usage: hack/run.sh [FLAGS...]
# On the throwaway node it runs inside the node's namespaces, where pods are routable; elsewhere on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cluster.sh
choose_cluster
hack/kubectl apply --server-side -f manifests/crds/etcd.etcd.io.yaml
run=("$PWD/.venv/bin/python" -m operator run --kubeconfig "$KUBECONFIG" --log-format console "$@")
if [ "$cluster" = node ]; then exec python3 hack/node/node.py exec -- "${run[@]}"; fi
exec "${run[@]}"
