"""Where a checkout's node keeps its state, and the names derived from the checkout's path."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib import namespaces
from lib.process import SetupError

CHECKOUT = Path(__file__).resolve().parents[2]
RESERVED = ("run", "logs", "lock", "kubeconfig")


@dataclass(frozen=True)
class State:
    """The folder `.node` of one checkout, or one in it.

    All of `run` goes when the node goes; logs stay.
    """

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def identity(self) -> str:
        """Tells two clones' nodes on one machine apart."""
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]

    @property
    def cgroup(self) -> str:
        return f"etcd-operator-node-{self.identity}"

    @property
    def first_port(self) -> int:
        """The port to try first: the same at each start, so that a copied kubeconfig goes on."""
        return 32000 + int(self.identity, 16) % 700

    def read(self, name: str) -> Any:  # noqa: ANN401 - JSON is of any type
        """A JSON file of the running node; None where it is not there."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.run / name).read_text())
        return None

    def write(self, name: str, value: object) -> None:
        temporary = self.run / f".{name}.new"
        temporary.write_text(json.dumps(value))
        temporary.rename(self.run / name)

    def lock(self) -> int | None:
        """The lock that a node holds while anything of it is left; None when it is held."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def held(self) -> bool:
        descriptor = self.lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def sweep(self) -> None:
        """Removes what a node left on the machine. Only for the holder of the lock."""
        self.kubeconfig.unlink(missing_ok=True)
        namespaces.remove_cgroups(self.cgroup)
        shutil.rmtree(self.run, ignore_errors=True)


def current() -> State:
    """The state that this environment speaks of: .node, or .node/$ETCD_OPERATOR_NODE."""
    name = os.environ.get("ETCD_OPERATOR_NODE", "")
    if name and (not re.fullmatch(r"[a-z0-9-]+", name) or name in RESERVED):
        taken = ", ".join(RESERVED)
        raise SetupError(f"ETCD_OPERATOR_NODE={name}: a-z, 0-9 and '-'; none of {taken}")
    return State(CHECKOUT / ".node" / name)
