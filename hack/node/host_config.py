"""The configuration of a node's own programs: kubelet, kube-proxy, containerd and its network.

A node finds its keys and files under config.HOST. With several nodes the control plane writes them
to HOSTS/NAME of its own, which NAME sees as HOST: of the authority's key it sees nothing.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import config
from lib import certs, images

if TYPE_CHECKING:
    from pathlib import Path

# Often enough for config.GRACE: a lease is renewed four times in its duration.
LEASE_S = 8
STATUS_PERIOD = "4s"


def kubelet_flags(host: config.Host) -> list[str]:
    labels = ",".join(f"{key}={value}" for key, value in host.labels.items())
    return [
        f"--config={config.HOST / 'kubelet.json'}",
        f"--kubeconfig={config.HOST / 'kubelet.conf'}",
        f"--root-dir={config.RUN / 'kubelet'}",
        f"--hostname-override={host.name}",
        f"--node-ip={host.ip}",
        f"--cert-dir={config.HOST}",
        *((f"--node-labels={labels}",) if labels else ()),
    ]


def write_host(host: config.Host, folder: Path, authority: certs.Authority, port: int) -> None:
    """All that a node needs to be one: keys, kubeconfigs, configuration files.

    They go to `folder`, which the node sees as config.HOST.
    """
    folder.mkdir(parents=True)
    url = f"https://{config.CONTROL_PLANE_IP}:{port}"
    name = f"system:node:{host.name}"
    client = authority.issue(f"kubelet-{host.name}", name, ["system:nodes"])
    hosts = [host.name, host.ip, "127.0.0.1"]
    server = authority.issue(f"kubelet-server-{host.name}", name, hosts=hosts)
    ca = authority.pair.certificate
    certs.kubeconfig(folder / "kubelet.conf", url, ca, client)
    for source, target in (
        (ca, "ca.crt"),
        (server.certificate, "kubelet-server.crt"),
        (server.key, "kubelet-server.key"),
        (config.RUN / "kube-proxy.conf", "kube-proxy.conf"),
        (config.RUN / "volumes.conf", "volumes.conf"),
    ):
        shutil.copyfile(source, folder / target)
        (folder / target).chmod(0o600)
    quick = host != config.THE_ONE
    _write(folder / "kubelet.json", _kubelet_config(quick_grace=quick))
    _write(
        folder / "kube-proxy.json",
        _proxy_config(host.name, host.ip, config.HOST / "kube-proxy.conf"),
    )


def write_proxy_of(host: config.Host) -> Path:
    """The configuration of the proxy beside the control plane, which is no node.

    A proxy wants to be on some node, so it takes the name of one.
    """
    file = config.RUN / "kube-proxy.json"
    _write(file, _proxy_config(host.name, config.CONTROL_PLANE_IP, config.RUN / "kube-proxy.conf"))
    return file


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1))


def _kubelet_config(*, quick_grace: bool) -> dict[str, object]:
    often = {"nodeLeaseDurationSeconds": LEASE_S, "nodeStatusUpdateFrequency": STATUS_PERIOD}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(config.HOST / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(config.HOST / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(config.HOST / "kubelet-server.key"),
        "containerRuntimeEndpoint": f"unix://{config.CONTAINERD}",
        "clusterDNS": [config.DNS_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": str(config.RUN / "resolv-empty.conf"),
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
        "volumePluginDir": str(config.RUN / "kubelet/volumeplugins"),
        # Lowering it needs a capability that a container of a developer may lack.
        "oomScoreAdj": 0,
        "maxPods": 200,
        **(often if quick_grace else {}),
    }


def _proxy_config(node: str, ip: str, kubeconfig: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "iptables",
        "clusterCIDR": config.POD_RANGE,
        "hostnameOverride": node,
        "nodeIPOverride": ip,
        "oomScoreAdj": 0,
        # The table's size is one for the whole machine, which is not ours to change.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def write_containerd_config(host: config.Host) -> None:
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
                    "ranges": [[{"subnet": host.pod_range}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(config.RUN / "cni/addresses"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (config.RUN / "cni/net.d").mkdir(parents=True)
    (config.RUN / "cni/net.d/10-pods.conflist").write_text(json.dumps(network))
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    plugins = ("internal.v1.opt", "snapshotter.v1.btrfs", "snapshotter.v1.zfs")
    disabled = json.dumps([f"io.containerd.{name}" for name in plugins])
    (config.RUN / "containerd.toml").write_text(f"""version = 2
root = "{config.RUN / "containerd"}"
state = "/run/containerd"
disabled_plugins = {disabled}
[grpc]
address = "{config.CONTAINERD}"
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
conf_dir = "{config.RUN / "cni/net.d"}"
""")
