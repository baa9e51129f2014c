#!/usr/bin/env python3
"""A real kube-apiserver with its etcd on loopback, for integration tests: no node, no pods.

Usage:
  apiserver.py run --dir DIR [--version 1.35|old] [--restart] [-- EXTRA_APISERVER_FLAG...]

Runs in the foreground. When the API server is ready it has written DIR/kubeconfig (cluster
administrator, by client certificate) and prints one line:

  READY <path of the kubeconfig> <seconds>

It ends, with its children, on SIGTERM, SIGINT, when the process that started it ends, and, where
standard input is a pipe, when that is closed. Even after SIGKILL no child is left. What DIR holds
is replaced at each start: etcd's data, logs, certificates, kubeconfig. DIR/pids.json says
{"etcd": pid, "kube-apiserver": pid}, for tests that stop (SIGSTOP), continue or kill them.

A child that dies is reported as `DIED <name> <exit code>` and stays dead, so that a test can look
at an outage; with --restart it is started again. Through standard input (a pipe) one can say:
  stop NAME | kill NAME | start NAME | restart NAME
for etcd and kube-apiserver; each is answered by `OK <the words> <seconds>`, for a start when the
server is ready again, on the same port, or by `FAILED <the words>: <why>`.

What differs from a whole cluster: there is no controller manager, so nothing makes pods of
StatefulSets, no garbage is collected by owner references, no ServiceAccount "default" exists (that
admission plugin is off), and a deleted namespace stays Terminating for ever: use a fresh name per
test. RBAC, PodSecurity and all other admission plugins are as by default.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import stat
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import artefacts, certs, controlplane
from lib.cache import say
from lib.children import Child
from lib.process import SetupError

READY_DEADLINE_S = 60.0
"""Seen: 3 s. The rest is for machines that do much else at the same time."""
STOP_GRACE_S = 3.0
START_ATTEMPTS = 3


class StopRequestError(Exception):
    """Somebody wants us to end."""


class Server:
    """etcd and kube-apiserver in one folder."""

    def __init__(self, folder: Path, version: str, extra: list[str]) -> None:
        self.folder = folder
        self.extra = extra
        old = version == "old"
        name = "kubernetes-old" if old else "kubernetes"
        self.apiserver_program = artefacts.programs(name) / "kube-apiserver"
        # An old API server speaks to the etcd of its own time.
        etcd = artefacts.OLD_KUBERNETES_ETCD if old else artefacts.CONTROL_PLANE_ETCD
        self.etcd_program = artefacts.programs(f"etcd-{etcd}") / "etcd"
        self.children: dict[str, Child] = {}

    def prepare(self) -> None:
        """Empties the folder and fills it with certificates and commands."""
        for name in ("etcd", "pki", "logs", "kubeconfig", "pids.json"):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
        (self.folder / "logs").mkdir(parents=True)
        self.port, etcd_port, peer_port = controlplane.free_ports(3)
        keys = controlplane.make_keys(self.folder / "pki", [])
        ca = keys.authority.pair.certificate
        server = f"https://127.0.0.1:{self.port}"
        certs.kubeconfig(self.folder / "kubeconfig", server, ca, keys.admin)
        self.client = controlplane.Client(self.port, ca, keys.admin)
        etcd = controlplane.etcd_command(
            self.etcd_program, self.folder / "etcd", etcd_port, peer_port
        )
        apiserver = [
            *controlplane.apiserver_command(self.apiserver_program, keys, self.port, etcd_port),
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self.folder / 'pki'}",
            "--authorization-mode=RBAC",
            # Nothing makes the ServiceAccounts that it demands of each pod.
            "--disable-admission-plugins=ServiceAccount",
            *self.extra,
        ]
        for name, command in (("etcd", etcd), ("kube-apiserver", apiserver)):
            self.children[name] = Child(name, command, self.folder / "logs" / f"{name}.log")

    def start(self, name: str) -> None:
        child = self.children[name]
        if not child.running():
            child.start()
        self.write_pids()

    def write_pids(self) -> None:
        pids = {
            name: child.process.pid
            for name, child in self.children.items()
            if child.process is not None and child.running()
        }
        temporary = self.folder / ".pids.json"
        temporary.write_text(json.dumps(pids))
        temporary.rename(self.folder / "pids.json")

    def wait_ready(self) -> None:
        """Until /readyz says yes. Fails at once when a child died."""
        end = time.monotonic() + READY_DEADLINE_S
        while not self.client.ready():
            for child in self.children.values():
                if not child.running():
                    raise SetupError(f"{child.name} ended at its start:\n{child.last_words()}")
            if time.monotonic() > end:
                words = self.children["kube-apiserver"].last_words()
                raise SetupError(f"kube-apiserver not ready in {READY_DEADLINE_S:.0f} s:\n{words}")
            time.sleep(0.05)

    def start_all(self) -> None:
        """Starts both. A port that somebody took in between is no reason to fail."""
        for attempt in range(START_ATTEMPTS):
            self.prepare()
            self.start("etcd")
            self.start("kube-apiserver")
            try:
                self.wait_ready()
            except SetupError as failure:
                self.stop_all()
                taken = "address already in use" in str(failure)
                if not taken or attempt == START_ATTEMPTS - 1:
                    raise
            else:
                return

    def stop_all(self) -> None:
        for name in ("kube-apiserver", "etcd"):
            if name in self.children:
                self.children[name].stop(STOP_GRACE_S)

    def obey(self, words: list[str]) -> None:
        """One line from standard input: a verb and a child's name."""
        verb, name = words
        child = self.children[name]
        if verb not in ("stop", "kill", "start", "restart"):
            raise SetupError("unknown verb")
        if verb != "start":
            child.stop(None if verb == "kill" else STOP_GRACE_S)
            child.process = None
        if verb in ("start", "restart"):
            self.start(name)
            self.wait_ready()
        self.write_pids()


def _answer(server: Server, line: str) -> None:
    started = time.monotonic()
    try:
        server.obey(line.split())
        print(f"OK {line} {time.monotonic() - started:.2f}", flush=True)
    except (SetupError, KeyError, ValueError) as failure:
        why = " ".join(str(failure).splitlines()[:1])
        print(f"FAILED {line}: {why}", flush=True)


def _look_after(server: Server, restart: bool) -> None:
    """Reports children that died, and starts them again where that is wanted."""
    for child in server.children.values():
        if child.process is None or child.process.poll() is None:
            continue
        print(f"DIED {child.name} {child.process.returncode}", flush=True)
        child.process = None
        if restart:
            server.start(child.name)
        server.write_pids()


def _listen(server: Server, restart: bool) -> None:
    """Until somebody wants us to end."""
    mode = os.fstat(0).st_mode
    # Only a pipe tells something by its end: /dev/null and a terminal do not.
    inputs = [0] if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else []
    parent = os.getppid()
    pending = b""
    # Not PR_SET_PDEATHSIG for ourselves: it fires when the *thread* that started us ends, and test
    # runners start us from worker threads.
    while os.getppid() == parent:
        readable, _, _ = select.select(inputs, [], [], 0.2)
        if readable:
            data = os.read(0, 4096)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                if line.strip():
                    _answer(server, line.decode(errors="replace").strip())
        _look_after(server, restart)


def run(options: argparse.Namespace) -> None:
    def stop(*_: object) -> None:
        raise StopRequestError

    folder = Path(options.dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, options.version, options.extra)
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signal_number, stop)
    started = time.monotonic()
    try:
        server.start_all()
        seconds = time.monotonic() - started
        print(f"READY {folder / 'kubeconfig'} {seconds:.1f}", flush=True)
        _listen(server, options.restart)
    except (StopRequestError, BrokenPipeError):
        pass
    finally:
        # A second signal must not interrupt the tidying.
        for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signal_number, signal.SIG_IGN)
        server.stop_all()
        (folder / "pids.json").unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run")
    runner.add_argument("--dir", required=True)
    runner.add_argument("--version", default="1.35", choices=["1.35", "old"])
    runner.add_argument("--restart", action="store_true")
    runner.add_argument("extra", nargs="*", metavar="EXTRA_APISERVER_FLAG")
    try:
        run(parser.parse_args())
    except (SetupError, TimeoutError) as failure:
        say(f"apiserver: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
