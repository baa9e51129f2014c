"""One node of several: a machine with namespaces of its own inside those of the cluster.

Started by rack.py, not by people. Its process stays outside the machine as its power supply:
SIGTERM, or its end, kills everything inside at the same instant, as a power failure does. The
machine's disk (containerd, kubelet's state, volumes) stays; its memory, /run, mounts and pods go.
Its cable is a pair of virtual interfaces to the control plane, which routes between the nodes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import config
import rack
import supervisor
import world
from lib import children, namespaces, node_state
from lib.process import run

OUTSIDE = ("nsenter", "--target=1", "--net")
LOOK_S = 0.2


def connect(host: config.Host) -> None:
    """Lays the cable. To be called in the machine's network, with the cluster's processes."""
    run([*OUTSIDE, "sh", "-c", f"! ip link show {host.name} || ip link delete {host.name}"])
    gateway = config.CONTROL_PLANE_IP
    run(
        ["ip", "-batch", "-"],
        input_text=f"""link set lo up
link add eth0 type veth peer name {host.name} netns 1
address add {host.ip}/32 dev eth0
link set eth0 up
route add {gateway} dev eth0
route add default via {gateway} dev eth0 onlink
""",
    )
    run(
        [*OUTSIDE, "ip", "-batch", "-"],
        input_text=f"""link set {host.name} up
route replace {host.ip} dev {host.name} src {gateway}
route replace {host.pod_range} via {host.ip} dev {host.name} src {gateway} onlink
""",
    )
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def live(host: config.Host, logs: Path, settings: dict[str, str]) -> None:
    programs = supervisor.Supervisor(logs)
    supervisor.start_containerd(programs, host, Path(settings["images"]))
    supervisor.start_node(programs, host, Path(settings["kubernetes"]))
    while True:
        programs.start_again()
        time.sleep(LOOK_S)


def first_process(own: world.World, host: config.Host, logs: Path, settings: dict[str, str]) -> int:
    children.die_with_parent()
    world.build(own)
    child = os.fork()
    if child == 0:
        live(host, logs, settings)
    return supervisor.reap(child)


def main() -> int:
    folder, name, words = sys.argv[1:]
    state, settings = node_state.State(Path(folder)), json.loads(words)
    host = next(one for one in config.several(settings["nodes"]) if one.name == name)
    logs = state.logs / name
    logs.mkdir(exist_ok=True)
    namespaces.make_cgroups(name)
    # The cluster's own mounts hide the machine's, and both are listed.
    hierarchies = list(dict.fromkeys(namespaces.join_cgroups(name)))
    namespaces.unshare(
        namespaces.NEWNS
        | namespaces.NEWNET
        | namespaces.NEWUTS
        | namespaces.NEWIPC
        | namespaces.NEWCGROUP
    )
    connect(host)
    own = world.World(name, state.run / name, hierarchies, config.HOSTS / name)
    namespaces.unshare(namespaces.NEWPID)
    init = os.fork()
    if init == 0:
        os._exit(first_process(own, host, logs, settings))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(init, signal.SIGKILL))
    facts = rack.facts(state, name)
    state.write(facts.name, {"init": init})
    # Returns when the last process of the machine has ended.
    os.waitpid(init, 0)
    facts.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
