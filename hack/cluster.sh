# Chooses the Kubernetes that demo and run speak to; sourced by them. Sets and exports KUBECONFIG and `cluster`:
#   yours   KUBECONFIG was given
#   kind    a container engine runs and kind is installed (not tried by our tests: no engine in CI)
#   node    the throwaway node of hack/node
choose_cluster() {
  if [ -n "${KUBECONFIG:-}" ]; then
    cluster=yours
  elif command -v kind >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    cluster=kind
    hack/kind.sh create
    KUBECONFIG=$PWD/.node/kind-kubeconfig
  else
    cluster=node
    python3 hack/node/node.py up
    KUBECONFIG=$PWD/.node/kubeconfig
  fi
  export KUBECONFIG cluster
}
