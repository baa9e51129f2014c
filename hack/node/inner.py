"""The inside of the cluster: makes its namespaces' world and runs Kubernetes in it. Not for people.

It runs as the first process of a new process namespace (see keeper.py), so everything here ends
with it. With one node, control plane and node share this world. With several, this is the control
plane's, and the rack switches the nodes' machines on, each with namespaces inside these.
All state lies under /run/node, which is private: what may grow is a folder of the checkout's .node,
the rest is memory.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import config
import host_config
import rack
import supervisor
import world
from lib import certs, controlplane, namespaces, node_state
from lib.process import SetupError, run

READY_DEADLINE_S = 120.0
LOOK_S = 0.1
INTERFACE = "node0"


def isolate(state: node_state.State) -> None:
    """Own namespaces, and in them a world of its own."""
    hierarchies = namespaces.join_cgroups(state.cgroup)
    namespaces.unshare(
        namespaces.NEWNS
        | namespaces.NEWNET
        | namespaces.NEWUTS
        | namespaces.NEWIPC
        | namespaces.NEWCGROUP
    )
    world.build(world.World(config.THE_ONE.name, state.run, hierarchies))
    if not state.folder.is_relative_to("/var/lib"):
        world.hide_var_lib()
    for name in ("pki", "etcd"):
        (config.RUN / name).mkdir()


def set_up_network() -> None:
    """A pair of virtual interfaces stands for the machine's network card."""
    commands = f"""link set lo up
link add {INTERFACE} type veth peer name {INTERFACE}-peer
link set {INTERFACE}-peer up
link set {INTERFACE} up
address add {config.CONTROL_PLANE_IP}/24 dev {INTERFACE}
route add default via {config.GATEWAY_IP} dev {INTERFACE} onlink
"""
    run(["ip", "-batch", "-"], input_text=commands)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


class Cluster:
    """The processes of a cluster, in the order in which they need each other."""

    def __init__(self, state: node_state.State, settings: dict[str, Any], port: int) -> None:
        self.state = state
        self.settings = settings
        self.port = port
        self.kubernetes = Path(settings["kubernetes"])
        self.supervisor = supervisor.Supervisor(state.logs)
        count = settings["nodes"]
        self.hosts = [config.THE_ONE] if count == 1 else config.several(count)
        self.nodes: list[rack.Node] = []
        self.began = time.monotonic()
        self.timings: dict[str, float] = {}
        self.phase = "starting"
        self.told: dict[str, dict[str, Any]] = {}

    @property
    def is_one(self) -> bool:
        return self.hosts == [config.THE_ONE]

    def tell(self, phase: str, step: str) -> None:
        """For `node.py up`, which waits outside, and for `node.py status`."""
        self.timings[step] = round(time.monotonic() - self.began, 2)
        self.phase, self.told = phase, self.conditions()
        children = self.supervisor.children
        self.state.write(
            "status.json",
            {
                "phase": phase,
                "step": step,
                "port": self.port,
                "timings": self.timings,
                "processes": self.supervisor.process_ids(),
                "restarts": {name: child.restarts for name, child in children.items()},
                "nodes": self.told,
            },
        )

    def conditions(self) -> dict[str, dict[str, Any]]:
        """Of several nodes, by name; empty with one."""
        return {node.host.name: dataclasses.asdict(node.condition()) for node in self.nodes}

    def make_keys(self) -> None:
        self.keys = controlplane.make_keys(config.RUN / "pki", [config.CONTROL_PLANE_IP])
        authority = self.keys.authority
        ca = authority.pair.certificate
        for name, (user, groups) in config.IDENTITIES.items():
            url = f"https://{config.CONTROL_PLANE_IP}:{self.port}"
            file = config.RUN / f"{name}.conf"
            certs.kubeconfig(file, url, ca, authority.issue(name, user, groups))
        for host in self.hosts:
            folder = config.HOST if self.is_one else config.HOSTS / host.name
            host_config.write_host(host, folder, authority, self.port)
        certs.kubeconfig(
            self.state.kubeconfig,
            f"https://127.0.0.1:{self.port}",
            ca,
            self.keys.admin,
            name="etcd-operator-node",
        )
        self.client = controlplane.Client(self.port, ca, self.keys.admin)

    def start_control_plane(self) -> None:
        etcd = Path(self.settings["etcd"]) / "etcd"
        data = config.RUN / "etcd/data"
        self.supervisor.start("etcd", controlplane.etcd_command(etcd, data, 2379, 2380))
        self.make_keys()
        self.supervisor.start(
            "kube-apiserver",
            [
                *controlplane.apiserver_command(
                    self.kubernetes / "kube-apiserver", self.keys, self.port, 2379
                ),
                *config.apiserver_flags(config.RUN / "pki"),
                *self.settings["apiserver_flags"],
            ],
        )
        self.tell("starting", "etcd and kube-apiserver started")
        if not controlplane.wait_until(self.client.ready, READY_DEADLINE_S):
            words = self.supervisor.children["kube-apiserver"].last_words()
            raise SetupError(f"kube-apiserver is not ready:\n{words}")
        self.tell("starting", "kube-apiserver ready")

    def start_forwarder(self, listener: int) -> None:
        program = Path(__file__).with_name("forwarder.py")
        command = [sys.executable, str(program), str(listener), str(self.port)]
        self.supervisor.start("forwarder", command, keep=(listener,))

    def start_nodes(self) -> None:
        """All that speaks to the API server."""
        if self.is_one:
            supervisor.start_node(self.supervisor, config.THE_ONE, self.kubernetes)
        else:
            self.nodes = [rack.Node(self.state, host, self.settings) for host in self.hosts]
            for node in self.nodes:
                node.step()
            proxy = f"--config={host_config.write_proxy_of(self.hosts[0])}"
            self.supervisor.start("kube-proxy", [str(self.kubernetes / "kube-proxy"), proxy])
        for name, flags in config.controller_flags(quick_grace=not self.is_one).items():
            self.supervisor.start(name, [str(self.kubernetes / name), *flags])
        self.tell("starting", "kubelet, controllers, scheduler, proxy started")

    def apply(self) -> None:
        replicas = min(len(self.hosts), 2)
        dns_cache = self.settings["dns_cache"]
        folder = config.render_manifests(dns_cache=dns_cache, dns_replicas=replicas)
        kubectl = (self.kubernetes / "kubectl", f"--kubeconfig={self.state.kubeconfig}")
        # The cluster is new and the manifests are ours: no need to ask what exists or is valid.
        run([*kubectl, "create", "--validate=ignore", "-f", folder])
        self.tell("starting", "DNS and storage class applied")

    def get(self, path: str) -> dict[str, Any]:
        try:
            status, body = self.client.get(path)
        except OSError:
            return {}
        answer: dict[str, Any] = json.loads(body) if status == 200 else {}
        return answer

    def nodes_are_ready(self) -> bool:
        nodes = [self.get(f"/api/v1/nodes/{host.name}") for host in self.hosts]
        return all(_condition(node, "Ready") and not node["spec"].get("taints") for node in nodes)

    def dns_is_ready(self) -> bool:
        dns = self.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
        return _condition(dns, "Available")

    def bring_up(self, listener: int) -> None:
        if self.is_one:
            images = Path(self.settings["images"])
            supervisor.start_containerd(self.supervisor, config.THE_ONE, images)
            self.tell("starting", "images laid out, containerd started")
        self.start_control_plane()
        self.start_forwarder(listener)
        self.start_nodes()
        self.apply()
        if not controlplane.wait_until(self.nodes_are_ready, READY_DEADLINE_S):
            raise SetupError(f"not Ready in time: {', '.join(host.name for host in self.hosts)}")
        self.tell("starting", f"{'node' if self.is_one else 'nodes'} Ready")
        if not controlplane.wait_until(self.dns_is_ready, READY_DEADLINE_S):
            raise SetupError("CoreDNS is not available")
        self.tell("ready", "DNS ready")

    def look_after(self) -> None:
        """Starts again what ended, as systemd does on a real node, and follows the orders."""
        while True:
            started = self.supervisor.start_again()
            for node in self.nodes:
                node.step()
            if started:
                self.tell(self.phase, f"{', '.join(started)} started again")
            elif self.conditions() != self.told:
                self.tell(self.phase, "nodes changed")
            time.sleep(LOOK_S)


def _condition(thing: dict[str, Any], kind: str) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def supervise(state: node_state.State, listener: int, port: int, settings: dict[str, Any]) -> None:
    cluster = Cluster(state, settings, port)
    try:
        set_up_network()
        cluster.bring_up(listener)
    except (SetupError, OSError, subprocess.SubprocessError) as failure:
        (state.logs / "failure").write_text(str(failure))
        raise
    cluster.look_after()


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
    return supervisor.reap(child)


if __name__ == "__main__":
    sys.exit(main())
