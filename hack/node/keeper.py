"""Starts the node's first process, and leaves nothing behind when it ends: not for people.

Three processes watch each other. The keeper (this) stays outside and is the one whom `node.py down`
tells to stop. Its child is the first process of the node's own namespaces: the kernel kills it
when the keeper dies, and with it everything inside. The sweeper does nothing but wait for the
keeper's end, however that comes, and then removes files and cgroups.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import children, controlplane, namespaces, node_state

INNER = Path(__file__).with_name("inner.py")
END_DEADLINE_S = 30.0


def _sweeper(state: node_state.State, pipe: int) -> None:
    """Waits for the keeper's end, then for the node's, then tidies up."""
    os.setsid()
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    words = b""
    while data := os.read(pipe, 4096):
        words += data
    if words:
        with contextlib.suppress(ProcessLookupError):
            # Readable once the process has ended; the first of a namespace ends after all others.
            descriptor = os.pidfd_open(int(words))
            select.select([descriptor], [], [], END_DEADLINE_S)
    state.sweep()


def _start_sweeper(state: node_state.State) -> tuple[int, int]:
    """Its pid, and the pipe whose end tells it that we are gone."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        try:
            _sweeper(state, reading)
        finally:
            os._exit(0)
    os.close(reading)
    return pid, writing


def _listen(state: node_state.State) -> socket.socket:
    """A loopback port of the machine's own network; whoever holds the socket serves it.

    A socket stays in the network namespace that it was made in, so the node's inside can accept
    what comes from outside, and needs no forwarder on this side.
    """
    candidates = [*range(state.first_port, state.first_port + 30), *controlplane.free_ports(5)]
    for port in candidates:
        listener = socket.socket()
        # No SO_REUSEADDR trick beyond TIME_WAIT: a port in use is not ours.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
            return listener
        listener.close()
    raise OSError("no free port for the API server")


def _start_inner(state: node_state.State, settings: str) -> subprocess.Popen[bytes]:
    listener = _listen(state)
    namespaces.make_cgroups(state.cgroup)
    # From here on every child of ours is in a new process namespace, the first one as its init.
    namespaces.unshare(namespaces.NEWPID)
    inner = subprocess.Popen(
        [
            *(sys.executable, str(INNER), str(state.folder)),
            *(str(listener.fileno()), str(listener.getsockname()[1]), settings),
        ],
        pass_fds=[listener.fileno()],
        preexec_fn=children.die_with_parent,  # noqa: PLW1509 - no threads
    )
    listener.close()
    return inner


def keep(state: node_state.State, settings: str) -> int:
    wanted = True

    def stop(*_: object) -> None:
        nonlocal wanted
        wanted = False

    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signal_number, stop)
    sweeper, pipe = _start_sweeper(state)
    inner = None
    try:
        inner = _start_inner(state, settings)
        os.write(pipe, str(inner.pid).encode())
        state.write("processes.json", {"keeper": os.getpid(), "init": inner.pid})
        # Without its sweeper a killed keeper would leave files, so neither goes on alone.
        while wanted and inner.poll() is None and os.waitpid(sweeper, os.WNOHANG)[0] == 0:
            time.sleep(0.1)
    finally:
        if inner is not None:
            inner.kill()
            inner.wait(END_DEADLINE_S)
        state.sweep()
        with contextlib.suppress(ProcessLookupError):
            os.kill(sweeper, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    _folder, _settings = sys.argv[1:]
    # The lock's descriptor was handed to us by our starter, and stays open until all is gone.
    json.loads(_settings)
    sys.exit(keep(node_state.State(Path(_folder)), _settings))
