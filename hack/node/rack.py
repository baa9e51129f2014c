"""The nodes of a cluster of several: their power switches and their cables.

What is wanted is a marker file in the state's run folder, which `node.py` makes and removes; what
is, is what `step` has made of it. So each order may come twice, and holds when a node starts again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib.children import Child
from supervisor import RESTART_PAUSE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    import config
    from lib import node_state

OFF, CUT = "off", "cut"
STOP_S = 20.0


def marker(state: node_state.State, what: str, name: str) -> Path:
    return state.run / f"{name}.{what}"


def facts(state: node_state.State, name: str) -> Path:
    """Written by a machine that runs: the first of its processes, as the cluster numbers them."""
    return state.run / f"{name}.json"


@dataclass(frozen=True)
class Condition:
    """Of a node: its power, its cable, and its first process in the cluster's view."""

    on: bool
    cut: bool
    init: int | None


class Node:
    def __init__(self, state: node_state.State, host: config.Host, settings: object) -> None:
        self.state, self.host = state, host
        self.cut = False
        program = Path(__file__).with_name("machine.py")
        words = [str(program), str(state.folder), host.name, json.dumps(settings)]
        self.power = Child(host.name, [sys.executable, *words], state.logs / f"{host.name}.log")

    def step(self) -> None:
        """Brings power and cable to what is wanted. Stopping takes as long as processes do."""
        cut = marker(self.state, CUT, self.host.name).exists()
        if cut != self.cut and _drop_packets(self.host.name, drop=cut):
            self.cut = cut
        on = not marker(self.state, OFF, self.host.name).exists()
        if not on:
            self.power.stop(STOP_S)
        elif not self.power.running() and time.monotonic() - self.power.started > RESTART_PAUSE_S:
            # What a machine wrote that had no time to remove it.
            facts(self.state, self.host.name).unlink(missing_ok=True)
            self.power.start()

    def condition(self) -> Condition:
        on = self.power.running()
        known = self.state.read(facts(self.state, self.host.name).name) if on else None
        return Condition(on, self.cut, (known or {}).get("init"))


def _drop_packets(interface: str, *, drop: bool) -> bool:
    """What is sent to the node and by it vanishes, without any answer. False: try again.

    Taking the interface down would tell the senders at once. The rules are in a table where
    kube-proxy has none that end a packet's way, and hold for connections that are open already.
    """
    for chain, direction in (("PREROUTING", "--in-interface"), ("POSTROUTING", "--out-interface")):
        rule = (chain, direction, interface, "--jump", "DROP")
        if (_iptables("--check", rule) == 0) == drop:
            continue
        if _iptables("--insert" if drop else "--delete", rule) != 0:
            return False
    return True


def _iptables(verb: str, rule: Sequence[str]) -> int:
    command = ["iptables", "--wait", "5", "--table", "mangle", verb, *rule]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=30.0).returncode
