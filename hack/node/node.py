#!/usr/bin/env python3
"""A real Kubernetes of one node on this machine, in namespaces of its own.

Usage:
  node.py up [--dns-cache] [--no-operator-image] [-- EXTRA_APISERVER_FLAG...]
                       starts it and waits until it is Ready; does nothing where it already is
  node.py down         stops it and removes everything of it, volumes too
  node.py status       what runs, since when; exit code 0 if Ready, 1 if not, 3 if down
  node.py load ARCHIVE...  loads images (OCI or docker archives)
  node.py exec -- COMMAND...  runs a command inside, where pods, Services and their names answer
  node.py kubeconfig   prints the path of its kubeconfig, which serves inside and outside alike

State is in the checkout's .node/: two clones can run a node each, side by side. Logs of all parts
are in .node/logs/, and stay there until the next start.

--dns-cache: DNS caches "no such name" for 30 s, as older and managed clusters do; default is not
to, as kubeadm does. All that is needed is built first (hack/build/build.py). Needs root.

In `exec`, networks and processes are the node's, files are the machine's: a test or
`python -m operator run --kubeconfig .node/kubeconfig` runs there as it does outside. Parts of the
node can be stopped from there: `node.py exec -- pkill -STOP -x kubelet`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import contextlib

from lib import artefacts, cache, children, debian, namespaces, node_config, node_state
from lib.cache import say
from lib.process import SetupError

KEEPER = Path(__file__).with_name("keeper.py")
UP_DEADLINE_S = 180.0
DOWN_DEADLINE_S = 45.0


def _settings(options: argparse.Namespace) -> dict[str, object]:
    """Builds what is missing. Seconds, or minutes on a machine that never did it."""
    debian.install(quiet=True)
    images = "node-images" if options.operator_image else "image-store"
    return {
        "kubernetes": str(artefacts.programs("kubernetes")),
        "etcd": str(artefacts.programs(f"etcd-{artefacts.CONTROL_PLANE_ETCD}")),
        "images": str(artefacts.path(images, quiet=True)),
        "dns_cache": options.dns_cache,
        "apiserver_flags": options.extra,
    }


def _start_keeper(state: node_state.State, settings: dict[str, object]) -> bool:
    """False when a node of this checkout is there already."""
    lock = state.lock()
    if lock is None:
        return False
    # What a node left that was killed together with its sweeper.
    state.sweep()
    shutil.rmtree(state.logs, ignore_errors=True)
    for folder in (state.run, state.logs):
        folder.mkdir(parents=True)
    # The keeper holds what the node uses: its images' layers lie in the cache.
    parts = (settings["images"], Path(str(settings["kubernetes"])).parent)
    held = [cache.hold(Path(str(part))) for part in parts]
    with (state.logs / "keeper.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, str(KEEPER), str(state.folder), json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock, *held],
            cwd="/",
        )
    for descriptor in (lock, *held):
        os.close(descriptor)
    return True


def _wait_ready(state: node_state.State) -> None:
    """Shows each step of the start as it is done."""
    end = time.monotonic() + UP_DEADLINE_S
    shown: set[str] = set()
    while time.monotonic() < end:
        status = state.read("status.json") or {"timings": {}, "phase": "starting"}
        for step, seconds in status["timings"].items():
            if step not in shown:
                shown.add(step)
                say(f"  {seconds:5.1f} s  {step}")
        if status["phase"] == "ready":
            return
        if not state.held():
            break
        time.sleep(0.05)
    raise SetupError(f"the node did not start; logs: {state.logs}\n{_why(state)}")


def _why(state: node_state.State) -> str:
    for name in ("failure", "keeper.log"):
        path = state.logs / name
        if path.exists() and path.stat().st_size:
            return path.read_text(errors="replace")[-3000:]
    return ""


def up(options: argparse.Namespace) -> int:
    if not artefacts.is_root():
        raise SetupError("root is needed for namespaces, mounts and cgroups: try sudo")
    state = node_state.current()
    if (state.read("status.json") or {}).get("phase") == "ready" and state.held():
        say(f"the node is up; kubeconfig: {state.kubeconfig}")
        return 0
    settings = _settings(options)
    started = time.monotonic()
    if not _start_keeper(state, settings):
        say("the node is on its way up or down already: waiting for it")
    try:
        _wait_ready(state)
    except SetupError:
        down()
        raise
    seconds = time.monotonic() - started
    say(f"the node is Ready after {seconds:.1f} s; kubeconfig: {state.kubeconfig}")
    return 0


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def down() -> int:
    state = node_state.current()
    began = time.monotonic()
    if state.held():
        end = began + DOWN_DEADLINE_S
        asked = False
        while state.held():
            processes = state.read("processes.json")
            if processes and not asked:
                _signal(processes["keeper"], signal.SIGTERM)
                asked = True
            if time.monotonic() > end:
                raise SetupError(f"the node does not end; processes: {processes}")
            time.sleep(0.05)
        say(f"the node is down after {time.monotonic() - began:.1f} s")
    lock = state.lock()
    if lock is not None:
        state.sweep()
        os.close(lock)
    return 0


def status() -> int:
    state = node_state.current()
    facts = state.read("status.json")
    if facts is None or not state.held():
        print("down")
        return 3
    print(f"{facts['phase']}: {facts['step']}")
    print(f"kubeconfig: {state.kubeconfig} (port {facts['port']})")
    print("process (its id inside, times restarted):")
    for name, pid in facts["processes"].items():
        print(f"  {name} ({pid}, {facts['restarts'][name]})")
    return 0 if facts["phase"] == "ready" else 1


def inside(command: list[str]) -> int:
    """Runs a command in the node's namespaces; signals reach it, and it ends with us."""
    processes = node_state.current().read("processes.json")
    if processes is None:
        raise SetupError("the node is down: node.py up")
    folder = Path.cwd()
    namespaces.enter(processes["init"])
    # Joining the namespaces set the working folder to the root.
    os.chdir(folder)
    child = os.fork()
    if child == 0:
        children.die_with_parent()
        try:
            os.execvp(command[0], command)
        except OSError as failure:
            say(f"node: {command[0]}: {failure.strerror}")
            os._exit(127)

    def hand_on(number: int, _: object) -> None:
        _signal(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, hand_on)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def load(archives: list[str]) -> int:
    for archive in archives:
        started = time.monotonic()
        path = Path(archive).absolute()
        if not path.is_file():
            raise SetupError(f"{path}: no such file")
        # A child of ours does it: one can enter the node's namespaces only once.
        child = os.fork()
        if child == 0:
            os._exit(inside([*node_config.IMPORT, str(path)]))
        if os.waitpid(child, 0)[1] != 0:
            raise SetupError(f"{path}: not loaded")
        say(f"{path.name}: loaded in {time.monotonic() - started:.1f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("up")
    start.add_argument("--dns-cache", action="store_true")
    start.add_argument("--no-operator-image", dest="operator_image", action="store_false")
    start.add_argument("extra", nargs="*", metavar="EXTRA_APISERVER_FLAG")
    for verb in ("down", "status", "kubeconfig"):
        verbs.add_parser(verb)
    verbs.add_parser("load").add_argument("archive", nargs="+")
    verbs.add_parser("exec").add_argument("command", nargs=argparse.REMAINDER)
    return parser


def main() -> int:
    options = _parser().parse_args()
    if options.verb == "up":
        return up(options)
    if options.verb == "down":
        return down()
    if options.verb == "status":
        return status()
    if options.verb == "load":
        return load(options.archive)
    if options.verb == "kubeconfig":
        print(node_state.current().kubeconfig)
        return 0
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise SetupError("exec: which command?")
    return inside(command)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SetupError, TimeoutError, OSError) as error:
        say(f"node: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
