#!/usr/bin/env bash
# The main job, from nothing: a Kubernetes, the operator in it, a three-member etcd cluster, a put and a get.
# Usage: hack/demo.sh    KUBECONFIG=... takes a cluster of yours, which must be able to pull the operator's image.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/cluster.sh
kubectl() { hack/kubectl "$@"; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. A Kubernetes"
choose_cluster
kubectl get nodes

say "2. The operator"
kubectl apply --server-side -f manifests/install.yaml >/dev/null
kubectl wait --for=condition=Established crd/etcdclusters.etcd.etcd.io --timeout=60s
kubectl -n etcd-operator-system rollout status deployment/etcd-operator --timeout=180s

say "3. An etcd cluster (manifests/samples/etcd_v1alpha1_etcdcluster.yaml)"
start=$SECONDS
kubectl apply -f manifests/samples/etcd_v1alpha1_etcdcluster.yaml
name=$(kubectl get -f manifests/samples/etcd_v1alpha1_etcdcluster.yaml -o jsonpath='{.metadata.name}')
kubectl wait --for=condition=Ready "etcdcluster/$name" --timeout=300s
echo "three voting members after $((SECONDS - start)) s"

say "4. What the operator says of it"
kubectl get etcdcluster "$name" -o wide
kubectl get etcdcluster "$name" -o custom-columns='PHASE:.status.phase,PLAN:.status.plan.waitsFor'
kubectl get etcdcluster "$name" -o go-template='{{printf "\n%-22s %-18s %-9s %-6s %s\n" "MEMBER" "ID" "ROLE" "READY" "VERSION"}}{{range .status.members}}{{printf "%-22s %-18s %-9s %-6v %s\n" .name .id .role .ready .version}}{{end}}'

say "5. A put and a get through etcd"
kubectl exec "$name-0" -c etcd -- etcdctl put hello world
kubectl exec "$name-1" -c etcd -- etcdctl get hello

prefix="KUBECONFIG=$KUBECONFIG kubectl"
say "Try next"
cat <<NEXT
  $prefix describe etcdcluster $name
  $prefix exec $name-0 -c etcd -- etcdctl member list -w table
  $prefix delete pod $name-1            # comes back as the same member
  $prefix delete service $name-peer     # comes back
  $prefix get events --field-selector involvedObject.kind=EtcdCluster
NEXT
[ "$cluster" = node ] && echo "  make node-stop                                # leaves nothing behind"
exit 0
