"""Real etcd processes on loopback, configured by files as the operator renders them.

Every process dies with this one (`setpriv --pdeathsig`), and its owner kills it anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from etcd.config_file import render_config
from etcd.dialer import Endpoint
from etcd.errors import EtcdError
from etcd.options import merge
from etcd.versions import parse_version

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = ("3.5.21", "3.5.35", "3.6.16", "3.7.3")
BUILD_DEADLINE_S = 600
STOP_DEADLINE_S = 15


@functools.cache
def programs(version):
    """The folder with etcd, etcdctl and etcdutl; built now if nobody has before."""
    command = [sys.executable, ROOT / "hack/build/build.py", "--print-path", f"etcd-{version}"]
    run = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=BUILD_DEADLINE_S
    )
    return Path(run.stdout.strip()) / "bin"


def free_ports(count):
    """Ports that nobody listens on now; held together, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Member:
    """One member: its folder, its ports, its file, and its process while it runs."""

    name: str
    version: str
    folder: Path
    client_port: int
    peer_port: int
    extra: dict = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def peer_url(self):
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def client_url(self):
        return f"http://127.0.0.1:{self.client_port}"

    @property
    def log(self):
        return self.folder / "log"

    def endpoint(self):
        return Endpoint(
            cluster="ns/main",
            namespace="ns",
            pod=self.name,
            pod_uid=f"uid-{self.name}",
            address="127.0.0.1",
            fqdn=f"{self.name}.main-peer.ns.svc",
            port=self.client_port,
        )

    def config(self, initial_cluster="", *, state="new"):
        """The keys of its file."""
        own = {
            "name": self.name,
            "data-dir": str(self.folder / "data"),
            "listen-client-urls": self.client_url,
            "advertise-client-urls": self.client_url,
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": initial_cluster or f"{self.name}={self.peer_url}",
            "initial-cluster-state": state,
        }
        return merge(own, self.extra)

    def start(self, initial_cluster="", *, state="new"):
        """Starts the process with this membership, which a second start may leave out."""
        keys = self.config(initial_cluster, state=state)
        self.start_with(render_config(keys, parse_version(self.version)))

    def start_with(self, text):
        """Starts the process with this text as its file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "etcd.yaml").write_text(text)
        with self.log.open("ab") as log:
            self.process = run_etcd(self.version, self.folder / "etcd.yaml", log)

    def freeze(self):
        """Stops the process; returns when its last thread stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    async def restart(self, version):
        """Ends the process as a kubelet does, and starts this version on the same data."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            await asyncio.to_thread(self.process.wait, STOP_DEADLINE_S)
        self.version = version
        self.log.rename(self.log.with_suffix(f".{self.process.pid}"))
        self.start()

    async def exit_code(self):
        """Waits for the process to end by itself."""
        return await asyncio.to_thread(self.process.wait, STOP_DEADLINE_S)

    def kill(self):
        """Ends the process at once, whatever state it is in."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_DEADLINE_S)
            self.process = None


def logged(log, message):
    """The first line of a log of etcd's with this message, as a dict; None before it is there."""
    for line in log.read_text().splitlines() if log.exists() else []:
        if line.startswith("{") and (entry := json.loads(line)).get("msg") == message:
            return entry
    return None


def run_etcd(version, file, output):
    """Starts etcd with only this file; it dies with us."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", programs(version) / "etcd", "--config-file", file],
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=file.parent,
        env={"PATH": "/usr/bin:/bin"},
    )


class Cluster:
    """Some members that know each other."""

    def __init__(self, folder, version, size, *, extra=None):
        self.folder = folder
        self.version = version
        self.extra = extra or {}
        self.members = []
        for _ in range(size):
            self.members.append(self.new_member())

    def new_member(self):
        name = f"main-{len(self.members)}"
        client, peer = free_ports(2)
        return Member(name, self.version, self.folder / name, client, peer, self.extra)

    def initial_cluster(self, *more):
        return ",".join(f"{m.name}={m.peer_url}" for m in [*self.members, *more])

    def start(self):
        for member in self.members:
            member.start(self.initial_cluster())

    def kill(self):
        for member in self.members:
            member.kill()


async def wait_for(check, *, within_s=20.0, every_s=0.05):
    """Awaits `check()` until it gives something true, and returns that; EtcdError means not yet."""
    last = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    found = await check()
                    if found:
                        return found
                except EtcdError as failure:
                    last = failure
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s; last failure: {last!r}") from last
