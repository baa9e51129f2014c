#!/usr/bin/env bash
# A kind cluster with the operator's image in it. Usage: hack/kind.sh create|delete
# Needs kind and a container engine. Our tests use hack/node instead: they can't count on an engine.
set -euo pipefail
cd "$(dirname "$0")/.."
name=etcd-operator
image=ghcr.io/etcd-operator/etcd-operator:dev
case ${1:-} in
  create)
    mkdir -p .node
    kind get clusters 2>/dev/null | grep -qx "$name" || kind create cluster --name "$name" --wait 120s --kubeconfig .node/kind-kubeconfig
    kind export kubeconfig --name "$name" --kubeconfig .node/kind-kubeconfig
    docker build -t "$image" .
    kind load docker-image --name "$name" "$image"
    ;;
  delete) kind delete cluster --name "$name" && rm -f .node/kind-kubeconfig ;;
  *) echo "usage: hack/kind.sh create|delete" >&2; exit 2 ;;
esac
