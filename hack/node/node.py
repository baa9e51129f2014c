#!/usr/bin/env python3
"""A real Kubernetes of one node, or several, on this machine, in namespaces of its own.

Usage:
  node.py up [--nodes N] [--dns-cache] [--no-operator-image] [-- EXTRA_APISERVER_FLAG...]
                       starts it and waits until it is Ready; does nothing where it already is
  node.py down         stops it and removes everything of it, volumes too
  node.py status       what runs, since when; exit code 0 if Ready, 1 if not, 3 if down
  node.py load ARCHIVE...  loads images (OCI or docker archives)
  node.py exec [--node N] -- COMMAND...
                       runs a command inside, where pods, Services and their names answer; with
                       several nodes beside the control plane, or inside the Nth
  node.py kubeconfig   prints the path of its kubeconfig, which serves inside and outside alike
Faults of one of several nodes (node-1, node-2, ...), each safe to give twice:
  node.py stop-node N  power failure: kubelet, containerd, pods are killed at once; its disk stays
  node.py start-node N power back
  node.py cut N        unplugs its cable: what its kubelet and its pods send or are sent vanishes
  node.py heal N       plugs it in again

State is in the checkout's .node/: two clones can run a node each, side by side. With
ETCD_OPERATOR_NODE=NAME in the environment it is in .node/NAME/, for a second one of the same clone.
Logs of all parts are in .node/logs/, and stay there until the next start.

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

import config
import rack
from lib import artefacts, cache, children, debian, namespaces, node_state
from lib.cache import say
from lib.process import SetupError

KEEPER = Path(__file__).with_name("keeper.py")
UP_DEADLINE_S = 180.0
DOWN_DEADLINE_S = 45.0
ORDER_DEADLINE_S = 45.0
MOST_NODES = 5
# What each verb wants of a node: a marker of the rack's that is there or not.
ORDERS = {
    "stop-node": (rack.OFF, True),
    "start-node": (rack.OFF, False),
    "cut": (rack.CUT, True),
    "heal": (rack.CUT, False),
}


def _settings(options: argparse.Namespace) -> dict[str, object]:
    """Builds what is missing. Seconds, or minutes on a machine that never did it."""
    debian.install(quiet=True)
    images = "node-images" if options.operator_image else "image-store"
    return {
        "kubernetes": str(artefacts.programs("kubernetes")),
        "etcd": str(artefacts.programs(f"etcd-{artefacts.CONTROL_PLANE_ETCD}")),
        "images": str(artefacts.path(images, quiet=True)),
        "nodes": options.nodes,
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
    facts = state.read("status.json") or {}
    if facts.get("phase") == "ready" and state.held():
        there = len(facts["nodes"]) or 1
        if there != options.nodes:
            raise SetupError(f"it is up with {there} node(s) already: node.py down")
        if options.operator_image:
            # It may have been built anew since; the other images have versions for tags.
            load([str(artefacts.path("operator-image", quiet=True) / "image.tar")])
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
    for name, node in facts["nodes"].items():
        print(f"{name}: {'on' if node['on'] else 'off'}{', cut off' if node['cut'] else ''}")
    return 0 if facts["phase"] == "ready" else 1


def _several(state: node_state.State) -> dict[str, dict[str, object]]:
    """What is known of each of several nodes, by name."""
    facts = state.read("status.json")
    if facts is None or not state.held():
        raise SetupError("the node is down: node.py up")
    if facts["phase"] != "ready":
        raise SetupError("the node is not Ready yet")
    found: dict[str, dict[str, object]] = facts["nodes"]
    return found


def _named(state: node_state.State, number: int) -> str:
    name, names = f"node-{number}", list(_several(state))
    if name not in names:
        raise SetupError(f"there is no {name}, but: {', '.join(names) or 'one node alone'}")
    return name


def order(verb: str, number: int) -> int:
    """Writes down what is wanted of a node, and waits until it is so."""
    state = node_state.current()
    name = _named(state, number)
    what, wanted = ORDERS[verb]
    marker = rack.marker(state, what, name)
    if wanted:
        marker.touch()
    else:
        marker.unlink(missing_ok=True)
    end = time.monotonic() + ORDER_DEADLINE_S
    while True:
        node = _several(state)[name]
        is_so = node["cut"] if what == rack.CUT else node["init"] is None
        if is_so == wanted:
            return 0
        if time.monotonic() > end:
            raise SetupError(f"{name}: no {verb} after {ORDER_DEADLINE_S:.0f} s: {node}")
        time.sleep(0.05)


def inside(command: list[str], node: int | None = None) -> int:
    """Runs a command in the node's namespaces; signals reach it, and it ends with us."""
    state = node_state.current()
    processes = state.read("processes.json")
    if processes is None:
        raise SetupError("the node is down: node.py up")
    within = None
    if node is not None:
        within = _several(state)[_named(state, node)]["init"]
        if within is None:
            raise SetupError(f"node-{node} is off: node.py start-node {node}")
    folder = Path.cwd()
    namespaces.enter(processes["init"])
    if isinstance(within, int):
        # Its number is the cluster's, whose /proc we see by now.
        namespaces.enter(within)
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
    names = _several(node_state.current())
    nodes = [int(name.removeprefix("node-")) for name in names] if names else [None]
    for archive in archives:
        started = time.monotonic()
        path = Path(archive).absolute()
        if not path.is_file():
            raise SetupError(f"{path}: no such file")
        for node in nodes:
            # A child of ours does it: one can enter the node's namespaces only once.
            child = os.fork()
            if child == 0:
                os._exit(inside([*config.IMPORT, str(path)], node))
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
    start.add_argument("--nodes", type=int, default=1, choices=range(1, MOST_NODES + 1))
    start.add_argument("--dns-cache", action="store_true")
    start.add_argument("--no-operator-image", dest="operator_image", action="store_false")
    start.add_argument("extra", nargs="*", metavar="EXTRA_APISERVER_FLAG")
    for verb in ("down", "status", "kubeconfig"):
        verbs.add_parser(verb)
    verbs.add_parser("load").add_argument("archive", nargs="+")
    for verb in ORDERS:
        verbs.add_parser(verb).add_argument("number", type=int, metavar="N")
    execute = verbs.add_parser("exec")
    execute.add_argument("--node", type=int, metavar="N")
    execute.add_argument("command", nargs=argparse.REMAINDER)
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
    if options.verb in ORDERS:
        return order(options.verb, options.number)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise SetupError("exec: which command?")
    return inside(command, options.node)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SetupError, TimeoutError, OSError) as error:
        say(f"node: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
