"""The nodes of a cluster of several: their power switches and their cables.

What is wanted is a marker file in the state's run folder, which `node.py` makes and removes; what
is, is what `step` has made of it. So each order may come twice, and holds when a node starts again.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib.children import Child
from lib.process import run
from supervisor import RESTART_PAUSE_S

if TYPE_CHECKING:
    import config
    from lib import node_state

OFF, CUT = "off", "cut"
STOP_S = 20.0


def marker(state: node_state.State, what: str, name: str) -> Path:
    return state.run / f"{name}.{what}"


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
        if cut != self.cut:
            _drop_packets(self.host.name, drop=cut)
            self.cut = cut
        on = not marker(self.state, OFF, self.host.name).exists()
        if not on:
            self.power.stop(STOP_S)
        elif not self.power.running() and time.monotonic() - self.power.started > RESTART_PAUSE_S:
            self.power.start()

    def condition(self) -> Condition:
        facts = self.state.read(f"{self.host.name}.json") or {}
        on = self.power.running()
        return Condition(on, self.cut, facts.get("init") if on else None)


def _drop_packets(interface: str, *, drop: bool) -> None:
    """What is sent to the node and by it vanishes, without any answer.

    Taking the interface down would tell the senders at once. The rules are in a table where
    kube-proxy has none that end a packet's way, and hold for connections that are open already.
    """
    verb = "--insert" if drop else "--delete"
    for chain, direction in (("PREROUTING", "--in-interface"), ("POSTROUTING", "--out-interface")):
        rule = (direction, interface, "--jump", "DROP")
        run(["iptables", "--wait", "5", "--table", "mangle", verb, chain, *rule])
