"""The inside of the node: makes its namespaces' world and runs Kubernetes in it. Not for people.

It runs as the first process of a new process namespace (see keeper.py), so everything here ends
with it. All state lies under /run/node, which is private: what may grow is a folder of the
checkout's .node/run, the rest is memory.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import certs, controlplane, image_store, namespaces, node_config, node_state
from lib.children import Child
from lib.process import SetupError, run

RUN = node_config.RUN
ON_DISK = ("containerd", "kubelet", "volumes")
READY_DEADLINE_S = 120.0
RESTART_PAUSE_S = 1.0
# Kubelet writes these to make a machine a node. The machine is not ours, so it writes to a file.
KERNEL_SETTINGS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
NODE_INTERFACE = "node0"


def isolate(state: node_state.State) -> None:
    """Own namespaces, own view of /proc, /sys, /run, /var/log and /var/lib."""
    hierarchies = namespaces.join_cgroups(state.cgroup)
    namespaces.unshare(
        namespaces.NEWNS
        | namespaces.NEWNET
        | namespaces.NEWUTS
        | namespaces.NEWIPC
        | namespaces.NEWCGROUP
    )
    namespaces.mount("none", "/", "", namespaces.MS_REC | namespaces.MS_PRIVATE)
    socket.sethostname(node_config.NODE)
    namespaces.mount("proc", "/proc", "proc")
    # The old /sys shows the devices of the machine's network namespace.
    namespaces.mount("sysfs", "/sys", "sysfs")
    namespaces.remount_cgroups(hierarchies)
    namespaces.mount("tmpfs", "/run", "tmpfs", data="mode=755")
    for name in ("lock", "netns", "node", "node/pki", "node/etcd", "node/cni", "node/bin"):
        Path("/run", name).mkdir()
    for name in ON_DISK:
        (state.run / name).mkdir()
        (RUN / name).mkdir()
        namespaces.bind(state.run / name, RUN / name)
    (state.run / "log").mkdir()
    namespaces.bind(state.run / "log", "/var/log")
    _hide_var_lib(state)
    _hide_kernel_settings()
    _hide_dns()


def _hide_var_lib(state: node_state.State) -> None:
    """The CNI library writes to /var/lib/cni, whatever it is told."""
    if state.folder.is_relative_to("/var/lib"):
        return
    upper, work = Path("/run/var-lib/upper"), Path("/run/var-lib/work")
    upper.mkdir(parents=True)
    work.mkdir()
    data = f"lowerdir=/var/lib,upperdir={upper},workdir={work}"
    namespaces.mount("overlay", "/var/lib", "overlay", data=data)


def _hide_kernel_settings() -> None:
    for name, value in KERNEL_SETTINGS.items():
        setting = Path("/proc/sys", name)
        if setting.exists():
            stand_in = RUN / "sysctl" / name
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            stand_in.write_text(f"{value}\n")
            namespaces.bind(stand_in, setting)


def _hide_dns() -> None:
    """Programs started by `node.py exec` ask the cluster's DNS, as those in pods do."""
    (RUN / "resolv.conf").write_text(
        f"nameserver {node_config.DNS_IP}\n"
        "search default.svc.cluster.local svc.cluster.local cluster.local\n"
        "options ndots:5\n"
    )
    (RUN / "resolv-empty.conf").write_text("")
    target = Path("/etc/resolv.conf").resolve()
    # A link into the /run that was just hidden has nowhere to go to.
    if not target.exists() and target.is_relative_to("/run"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    if target.exists():
        namespaces.bind(RUN / "resolv.conf", target)


def set_up_network() -> None:
    """A pair of virtual interfaces stands for the node's network card."""
    commands = f"""link set lo up
link add {NODE_INTERFACE} type veth peer name {NODE_INTERFACE}-peer
link set {NODE_INTERFACE}-peer up
link set {NODE_INTERFACE} up
address add {node_config.NODE_IP}/24 dev {NODE_INTERFACE}
route add default via {node_config.GATEWAY_IP} dev {NODE_INTERFACE} onlink
"""
    run(["ip", "-batch", "-"], input_text=commands)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


class Node:
    """The processes of a node, in the order in which they need each other."""

    def __init__(self, state: node_state.State, settings: dict[str, Any], port: int) -> None:
        self.state = state
        self.settings = settings
        self.port = port
        self.kubernetes = Path(settings["kubernetes"])
        self.children: dict[str, Child] = {}
        self.began = time.monotonic()
        self.timings: dict[str, float] = {}

    def tell(self, phase: str, step: str) -> None:
        """For `node.py up`, which waits outside, and for `node.py status`."""
        self.timings[step] = round(time.monotonic() - self.began, 2)
        pids = {name: child.process.pid for name, child in self.children.items() if child.process}
        self.state.write(
            "status.json",
            {
                "phase": phase,
                "step": step,
                "port": self.port,
                "timings": self.timings,
                "processes": pids,
                "restarts": {name: child.restarts for name, child in self.children.items()},
            },
        )

    def start(self, name: str, command: list[str], **env: str) -> None:
        child = Child(name, command, self.state.logs / f"{name}.log", env)
        self.children[name] = child
        child.start()

    def make_keys(self) -> None:
        self.keys = controlplane.make_keys(RUN / "pki", [node_config.NODE_IP])
        authority = self.keys.authority
        ca = authority.pair.certificate
        url = f"https://127.0.0.1:{self.port}"
        for name, (user, groups) in node_config.IDENTITIES.items():
            certs.kubeconfig(RUN / f"{name}.conf", url, ca, authority.issue(name, user, groups))
        authority.issue(
            "kubelet-server",
            f"system:node:{node_config.NODE}",
            hosts=[node_config.NODE, node_config.NODE_IP, "127.0.0.1"],
        )
        certs.kubeconfig(self.state.kubeconfig, url, ca, self.keys.admin, name="etcd-operator-node")
        self.client = controlplane.Client(self.port, ca, self.keys.admin)

    def start_control_plane(self) -> None:
        etcd = Path(self.settings["etcd"]) / "etcd"
        self.start("etcd", controlplane.etcd_command(etcd, RUN / "etcd/data", 2379, 2380))
        self.make_keys()
        self.start(
            "kube-apiserver",
            [
                *controlplane.apiserver_command(
                    self.kubernetes / "kube-apiserver", self.keys, self.port, 2379
                ),
                *node_config.apiserver_flags(RUN / "pki"),
                *self.settings["apiserver_flags"],
            ],
        )
        self.tell("starting", "etcd and kube-apiserver started")
        if not controlplane.wait_until(self.client.ready, READY_DEADLINE_S):
            words = self.children["kube-apiserver"].last_words()
            raise SetupError(f"kube-apiserver is not ready:\n{words}")
        self.tell("starting", "kube-apiserver ready")

    def start_node(self) -> None:
        """All that speaks to the API server."""
        node_config.write_kubelet_config()
        node_config.write_proxy_config()
        for name, flags in node_config.component_flags().items():
            self.start(name, [str(self.kubernetes / name), *flags])
        provisioner = Path(__file__).with_name("provisioner.py")
        self.start("volumes", [sys.executable, str(provisioner), str(RUN / "volumes.conf")])
        self.tell("starting", "kubelet, controllers, scheduler, proxy started")

    def apply(self) -> None:
        folder = node_config.render_manifests(self.settings["dns_cache"])
        kubectl = (self.kubernetes / "kubectl", f"--kubeconfig={self.state.kubeconfig}")
        # The cluster is new and the manifests are ours: no need to ask what exists or is valid.
        run([*kubectl, "create", "--validate=ignore", "-f", folder])
        self.tell("starting", "DNS and storage class applied")

    def start_containerd(self) -> None:
        image_store.lay_out(Path(self.settings["images"]), RUN / "containerd")
        node_config.write_containerd_config()
        self.start("containerd", ["containerd", "--config", str(RUN / "containerd.toml")])
        self.tell("starting", "images laid out, containerd started")

    def get(self, path: str) -> dict[str, Any]:
        try:
            status, body = self.client.get(path)
        except OSError:
            return {}
        answer: dict[str, Any] = json.loads(body) if status == 200 else {}
        return answer

    def is_ready(self) -> bool:
        node = self.get(f"/api/v1/nodes/{node_config.NODE}")
        return _condition(node, "Ready") and not node["spec"].get("taints")

    def dns_is_ready(self) -> bool:
        dns = self.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
        return _condition(dns, "Available")

    def bring_up(self, listener: int) -> None:
        self.start_containerd()
        forwarder = Path(__file__).with_name("forwarder.py")
        self.start_control_plane()
        child = Child(
            "forwarder",
            [sys.executable, str(forwarder), str(listener), str(self.port)],
            self.state.logs / "forwarder.log",
            keep=(listener,),
        )
        self.children["forwarder"] = child
        child.start()
        self.start_node()
        self.apply()
        if not controlplane.wait_until(self.is_ready, READY_DEADLINE_S):
            raise SetupError(f"the node is not Ready:\n{self.children['kubelet'].last_words()}")
        self.tell("starting", "node Ready")
        if not controlplane.wait_until(self.dns_is_ready, READY_DEADLINE_S):
            raise SetupError("CoreDNS is not available")
        self.tell("ready", "DNS ready")

    def look_after(self) -> None:
        """Starts again what ended, as systemd does on a real node."""
        while True:
            for child in self.children.values():
                if child.running() or time.monotonic() - child.started < RESTART_PAUSE_S:
                    continue
                child.start()
                child.restarts += 1
                self.tell("ready", f"{child.name} started again")
            time.sleep(0.2)


def _condition(thing: dict[str, Any], kind: str) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def reap(main: int) -> int:
    """The duty of a first process: takes leave of orphans; its own end ends the namespace."""
    while True:
        pid, status = os.wait()
        if pid == main:
            return os.waitstatus_to_exitcode(status) & 0xFF


def supervise(state: node_state.State, listener: int, port: int, settings: dict[str, Any]) -> None:
    node = Node(state, settings, port)
    try:
        set_up_network()
        node.bring_up(listener)
    except (SetupError, OSError, subprocess.SubprocessError) as failure:
        (state.logs / "failure").write_text(str(failure))
        raise
    node.look_after()


def main() -> int:
    folder, listener, port, settings = sys.argv[1:]
    state = node_state.State(Path(folder))
    try:
        isolate(state)
    except OSError as failure:
        (state.logs / "failure").write_text(f"cannot make the node's namespaces: {failure}")
        raise
    child = os.fork()
    if child == 0:
        supervise(state, int(listener), int(port), json.loads(settings))
    os.close(int(listener))
    return reap(child)


if __name__ == "__main__":
    sys.exit(main())
