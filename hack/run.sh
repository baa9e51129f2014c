#!/usr/bin/env bash
# Runs the operator from this checkout against a Kubernetes, in the foreground. Usage: hack/run.sh [FLAGS...]
# It runs on this machine, as on a laptop: etcd is reached through the API server, by port-forwards.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cluster.sh
choose_cluster
hack/kubectl apply --server-side -f manifests/crds/etcd.etcd.io.yaml
exec .venv/bin/python -m operator run --kubeconfig "$KUBECONFIG" --log-format console "$@"
