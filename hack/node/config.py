"""What the whole cluster is made of: names, addresses, and the flags of the control plane.

All paths are those inside the namespaces of whoever reads them. What each node has of its own is
in host_config.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lib import controlplane, images
from lib.artefacts import COREDNS

if TYPE_CHECKING:
    from collections.abc import Mapping

RUN = Path("/run/node")
HOST = RUN / "host"
HOSTS = RUN / "hosts"
CONTROL_PLANE_IP = "172.31.0.2"
GATEWAY_IP = "172.31.0.1"
POD_RANGE = "10.244.0.0/16"
DNS_IP = "10.96.0.10"
CONTAINERD = "/run/containerd/containerd.sock"
MANIFESTS = Path(__file__).with_name("manifests")
IMPORT = ["ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "images", "import"]

# With several nodes a silent one is NotReady after ten seconds, not after fifty: tests wait for it.
GRACE = "10s"

# Name of the certificate and of the kubeconfig: user, groups. The bootstrap roles of Kubernetes
# know these users; only the volumes' controller is ours.
IDENTITIES: dict[str, tuple[str, list[str]]] = {
    "kube-proxy": ("system:kube-proxy", []),
    "kube-scheduler": ("system:kube-scheduler", []),
    "kube-controller-manager": ("system:kube-controller-manager", []),
    "volumes": ("etcd-operator-node:volumes", ["system:masters"]),
}


@dataclass(frozen=True)
class Host:
    """A node as Kubernetes knows it, and the addresses of it and of its pods."""

    name: str
    ip: str
    pod_range: str
    labels: Mapping[str, str] = field(default_factory=dict)


THE_ONE = Host("node", CONTROL_PLANE_IP, "10.244.0.0/24")
"""The only node: control plane and pods on one machine."""


def several(count: int) -> list[Host]:
    """Nodes beside the control plane, each in a zone of its own."""
    return [
        Host(
            name=f"node-{number}",
            ip=f"172.31.0.{10 + number}",
            pod_range=f"10.244.{number}.0/24",
            labels={"topology.kubernetes.io/zone": f"zone-{number}"},
        )
        for number in range(1, count + 1)
    ]


def apiserver_flags(pki: Path) -> list[str]:
    """What a whole cluster's API server has beyond a bare one's."""
    return [
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--advertise-address={CONTROL_PLANE_IP}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        # Else exec, logs and port-forward look the node's name up in a DNS that has none.
        "--kubelet-preferred-address-types=InternalIP",
        f"--cert-dir={pki}",
    ]


def controller_flags(*, quick_grace: bool) -> dict[str, list[str]]:
    """The control plane's other programs. `quick_grace`: see GRACE."""
    pki = RUN / "pki"
    return {
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
            *((f"--node-monitor-grace-period={GRACE}",) if quick_grace else ()),
            *(("--node-monitor-period=1s",) if quick_grace else ()),
        ],
        "kube-scheduler": [
            f"--kubeconfig={RUN / 'kube-scheduler.conf'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--cert-dir={pki}",
        ],
    }


def render_manifests(*, dns_cache: bool, dns_replicas: int) -> Path:
    """A folder of manifests for `kubectl apply`, with the names and addresses of this cluster."""
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
            ("${DNS_REPLICAS}", str(dns_replicas)),
        ):
            text = text.replace(name, value)
        (folder / source.name).write_text(text)
    return folder


DNS_CACHE_FRESH = """cache 30 {
           disable success cluster.local
           disable denial cluster.local
        }"""
