"""The configuration of the node's programs. All paths are those inside its namespaces."""

from __future__ import annotations

import json
from pathlib import Path

from lib import controlplane, images
from lib.artefacts import COREDNS

RUN = Path("/run/node")
NODE = "node"
NODE_IP = "172.31.0.2"
GATEWAY_IP = "172.31.0.1"
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/24"
DNS_IP = "10.96.0.10"
CONTAINERD = "/run/containerd/containerd.sock"
MANIFESTS = Path(__file__).resolve().parents[1] / "node" / "manifests"
IMPORT = ["ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "images", "import"]

# Name of the certificate and of the kubeconfig: user, groups. The bootstrap roles of Kubernetes
# know these users; only the volumes' controller is ours.
IDENTITIES: dict[str, tuple[str, list[str]]] = {
    "kubelet": (f"system:node:{NODE}", ["system:nodes"]),
    "kube-proxy": ("system:kube-proxy", []),
    "kube-scheduler": ("system:kube-scheduler", []),
    "kube-controller-manager": ("system:kube-controller-manager", []),
    "volumes": ("etcd-operator-node:volumes", ["system:masters"]),
}


def apiserver_flags(pki: Path) -> list[str]:
    """What a whole cluster's API server has beyond a bare one's."""
    return [
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--advertise-address={NODE_IP}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        # Else exec, logs and port-forward look the node's name up in a DNS that has none.
        "--kubelet-preferred-address-types=InternalIP",
        f"--cert-dir={pki}",
    ]


def component_flags() -> dict[str, list[str]]:
    """In the order of their start: what others wait for comes first."""
    pki = RUN / "pki"
    return {
        "kubelet": [
            f"--config={RUN / 'kubelet.json'}",
            f"--kubeconfig={RUN / 'kubelet.conf'}",
            f"--root-dir={RUN / 'kubelet'}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_IP}",
            f"--cert-dir={pki}",
        ],
        "kube-controller-manager": [
            f"--kubeconfig={RUN / 'kube-controller-manager.conf'}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            f"--cluster-cidr={POD_RANGE}",
            f"--service-cluster-ip-range={controlplane.SERVICE_RANGE}",
            "--allocate-node-cidrs=false",
            "--bind-address=127.0.0.1",
            f"--cert-dir={pki}",
        ],
        "kube-scheduler": [
            f"--kubeconfig={RUN / 'kube-scheduler.conf'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--cert-dir={pki}",
        ],
        "kube-proxy": [f"--config={RUN / 'kube-proxy.json'}"],
    }


def _write(name: str, value: object) -> None:
    (RUN / name).write_text(json.dumps(value, indent=1))


def write_kubelet_config() -> None:
    pki = RUN / "pki"
    _write(
        "kubelet.json",
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / "kubelet-server.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
            "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
            "clusterDNS": [DNS_IP],
            "clusterDomain": "cluster.local",
            "resolvConf": str(RUN / "resolv-empty.conf"),
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            # A full disk of the machine is no reason to evict pods of a throwaway node.
            "evictionHard": {
                "memory.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
                "imagefs.inodesFree": "0%",
            },
            # No registry to pull an image from again, so none is ever collected.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "volumePluginDir": str(RUN / "kubelet/volumeplugins"),
            # Lowering it needs a capability that a container of a developer may lack.
            "oomScoreAdj": 0,
            "maxPods": 200,
        },
    )


def write_proxy_config() -> None:
    _write(
        "kube-proxy.json",
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(RUN / "kube-proxy.conf")},
            "mode": "iptables",
            "clusterCIDR": POD_RANGE,
            "hostnameOverride": NODE,
            "nodeIPOverride": NODE_IP,
            "oomScoreAdj": 0,
            # The table's size is one for the whole machine, which is not ours to change.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        },
    )


def write_containerd_config() -> None:
    """Also the network of pods: `ptp` routes each pod by itself, so the machine's bridges and
    what its kernel filters on them play no part.
    """
    network = {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": NODE_POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(RUN / "cni/addresses"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (RUN / "cni/net.d").mkdir(parents=True)
    (RUN / "cni/net.d/10-pods.conflist").write_text(json.dumps(network))
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    plugins = ("internal.v1.opt", "snapshotter.v1.btrfs", "snapshotter.v1.zfs")
    disabled = json.dumps([f"io.containerd.{name}" for name in plugins])
    (RUN / "containerd.toml").write_text(f"""version = 2
root = "{RUN / "containerd"}"
state = "/run/containerd"
disabled_plugins = {disabled}
[grpc]
address = "{CONTAINERD}"
[{cri}]
sandbox_image = "{images.PAUSE}"
# Containers of developers and of CI often lack CAP_SYS_RESOURCE, without which every pod dies.
restrict_oom_score_adj = true
[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{RUN / "cni/net.d"}"
""")


def render_manifests(dns_cache: bool) -> Path:
    """A folder of manifests for `kubectl apply`, with the names and addresses of this node."""
    # What kubeadm writes since 1.31: a name of the cluster that is not there yet may be there a
    # moment later. Older and managed clusters do cache that answer.
    cache = "cache 30" if dns_cache else DNS_CACHE_FRESH
    folder = RUN / "manifests"
    folder.mkdir(exist_ok=True)
    for source in MANIFESTS.glob("*.yaml"):
        text = source.read_text()
        for name, value in (
            ("${DNS_CACHE}", cache),
            ("${DNS_IP}", DNS_IP),
            ("${DNS_IMAGE}", f"{images.COREDNS}:v{COREDNS}"),
        ):
            text = text.replace(name, value)
        (folder / source.name).write_text(text)
    return folder


DNS_CACHE_FRESH = """cache 30 {
           disable success cluster.local
           disable denial cluster.local
        }"""
