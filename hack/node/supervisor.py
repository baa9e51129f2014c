"""The programs of one machine: started, and started again when they end, as systemd does.

Used from a machine's main thread only (see lib.children.die_with_parent).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import config
import host_config
from lib import image_store
from lib.children import Child

if TYPE_CHECKING:
    from collections.abc import Sequence

RESTART_PAUSE_S = 1.0


class Supervisor:
    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.children: dict[str, Child] = {}

    def start(self, name: str, command: Sequence[str], keep: Sequence[int] = ()) -> None:
        child = Child(name, command, self.logs / f"{name}.log", keep=keep)
        self.children[name] = child
        child.start()

    def start_again(self) -> list[str]:
        """Starts what has ended; returns the names. At most once a second each."""
        started = []
        for child in self.children.values():
            if child.running() or time.monotonic() - child.started < RESTART_PAUSE_S:
                continue
            child.start()
            child.restarts += 1
            started.append(child.name)
        return started

    def process_ids(self) -> dict[str, int]:
        return {name: child.process.pid for name, child in self.children.items() if child.process}


def start_containerd(supervisor: Supervisor, host: config.Host, images: Path) -> None:
    image_store.lay_out(images, config.RUN / "containerd")
    host_config.write_containerd_config(host)
    supervisor.start("containerd", ["containerd", "--config", str(config.RUN / "containerd.toml")])


def start_node(supervisor: Supervisor, host: config.Host, kubernetes: Path) -> None:
    """What speaks to the API server on behalf of a node."""
    proxy = f"--config={config.HOST / 'kube-proxy.json'}"
    supervisor.start("kubelet", [str(kubernetes / "kubelet"), *host_config.kubelet_flags(host)])
    supervisor.start("kube-proxy", [str(kubernetes / "kube-proxy"), proxy])
    provisioner = Path(__file__).with_name("provisioner.py")
    command = [sys.executable, str(provisioner), str(config.HOST / "volumes.conf"), host.name]
    supervisor.start("volumes", command)


def reap(main: int) -> int:
    """The duty of a first process: takes leave of orphans; its own end ends the namespace."""
    while True:
        pid, status = os.wait()
        if pid == main:
            return os.waitstatus_to_exitcode(status) & 0xFF
