"""Turns a process in new namespaces into a machine of its own: what it sees, where it may write.

Called once by the first process of a machine's namespaces (inner.py, machine.py), before anything
is started in them. Nothing of the world outside is changed: every mount is private.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import config
from lib import namespaces

ON_DISK = ("containerd", "kubelet", "volumes")
# Kubelet writes these to make a machine a node. The machine is not ours, so it writes to a file.
KERNEL_SETTINGS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}


@dataclass(frozen=True)
class World:
    """One machine's name, its disk (a folder outside), and the cgroups it has joined.

    `host` is a folder outside that is shown as config.HOST; None where the machine fills it itself.
    """

    name: str
    disk: Path
    hierarchies: list[tuple[str, str]]
    host: Path | None = None


def build(world: World) -> None:
    """Own view of /proc, /sys, /run, /var/log and the name; the disk lies under config.RUN."""
    namespaces.mount("none", "/", "", namespaces.MS_REC | namespaces.MS_PRIVATE)
    socket.sethostname(world.name)
    namespaces.mount("proc", "/proc", "proc")
    # The old /sys shows the devices of the machine's network namespace.
    namespaces.mount("sysfs", "/sys", "sysfs")
    namespaces.remount_cgroups(world.hierarchies)
    # Held open, because it may lie in the /run that is about to be hidden.
    host = None if world.host is None else os.open(world.host, os.O_PATH)
    namespaces.mount("tmpfs", "/run", "tmpfs", data="mode=755")
    for name in ("lock", "netns", "node", "node/cni"):
        Path("/run", name).mkdir()
    if host is not None:
        config.HOST.mkdir()
        namespaces.bind(f"/proc/self/fd/{host}", config.HOST)
        os.close(host)
    for name in ON_DISK:
        (world.disk / name).mkdir(parents=True, exist_ok=True)
        (config.RUN / name).mkdir()
        namespaces.bind(world.disk / name, config.RUN / name)
    (world.disk / "log").mkdir(exist_ok=True)
    namespaces.bind(world.disk / "log", "/var/log")
    _hide_kernel_settings()
    _hide_dns()


def hide_var_lib() -> None:
    """The CNI library writes to /var/lib/cni, whatever it is told."""
    upper, work = Path("/run/var-lib/upper"), Path("/run/var-lib/work")
    upper.mkdir(parents=True)
    work.mkdir()
    data = f"lowerdir=/var/lib,upperdir={upper},workdir={work}"
    namespaces.mount("overlay", "/var/lib", "overlay", data=data)


def _hide_kernel_settings() -> None:
    for name, value in KERNEL_SETTINGS.items():
        setting = Path("/proc/sys", name)
        if setting.exists():
            stand_in = config.RUN / "sysctl" / name
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            stand_in.write_text(f"{value}\n")
            namespaces.bind(stand_in, setting)


def _hide_dns() -> None:
    """Programs started by `node.py exec` ask the cluster's DNS, as those in pods do."""
    (config.RUN / "resolv.conf").write_text(
        f"nameserver {config.DNS_IP}\n"
        "search default.svc.cluster.local svc.cluster.local cluster.local\n"
        # A name server may be on a node that a test has just cut off.
        "options ndots:5 timeout:1 attempts:3\n"
    )
    (config.RUN / "resolv-empty.conf").write_text("")
    target = Path("/etc/resolv.conf").resolve()
    # A link into the /run that was just hidden has nowhere to go to.
    if not target.exists() and target.is_relative_to("/run"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    if target.exists():
        namespaces.bind(config.RUN / "resolv.conf", target)
