"""Linux namespaces, mounts and cgroups, by the C library (Python has unshare from 3.12 on)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from pathlib import Path

NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWPID = 0x20000000
NEWNET = 0x40000000

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = (
    1,
    0x20,
    0x1000,
    0x4000,
    1 << 18,
    1 << 20,
)

CGROUPS = Path("/sys/fs/cgroup")

_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _check(_LIBC.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    _check(_LIBC.setns(descriptor, kind), "setns")


def mount(source: str, target: str | Path, kind: str, flags: int = 0, data: str = "") -> None:
    arguments = (source.encode(), str(target).encode(), kind.encode(), flags, data.encode())
    _check(_LIBC.mount(*arguments), f"mount {kind or source} on {target}")


def bind(source: str | Path, target: str | Path) -> None:
    mount(str(source), target, "", MS_BIND)


def unmount(target: Path) -> None:
    _check(_LIBC.umount2(str(target).encode(), 0), f"umount {target}")


def enter(pid: int) -> None:
    """Joins all namespaces of a process; the next fork is in its process namespace as well."""
    kinds = {
        "cgroup": NEWCGROUP,
        "ipc": NEWIPC,
        "uts": NEWUTS,
        "net": NEWNET,
        "pid": NEWPID,
        "mnt": NEWNS,
    }
    # All are opened before the first is joined: /proc is another one afterwards.
    files = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in kinds}
    for kind, descriptor in files.items():
        setns(descriptor, kinds[kind])
        os.close(descriptor)


def _hierarchies() -> list[tuple[Path, str]]:
    """Each mounted cgroup hierarchy and its controllers ("" for version 2)."""
    result = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options, *_ = line.split()
        if not target.startswith(str(CGROUPS)):
            continue
        if kind == "cgroup2":
            result.append((Path(target), ""))
        elif kind == "cgroup":
            known = [word for word in options.split(",") if _is_controller(word)]
            result.append((Path(target), ",".join(known)))
    return result


def _is_controller(word: str) -> bool:
    flags = ("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "clone_children")
    return word not in flags and not word.startswith(("xattr", "release_agent", "seclabel"))


def make_cgroups(name: str) -> None:
    """An own cgroup at the top of every hierarchy, as kubelet makes its own there."""
    for root, controllers in _hierarchies():
        own = root / name
        own.mkdir(exist_ok=True)
        if "cpuset" in controllers.split(","):
            # Version 1 starts a cpuset empty, and nothing can run in it.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (own / file).write_text((root / file).read_text())
        if not controllers:
            _enable_all(root)


def _enable_all(root: Path) -> None:
    """Version 2: hands every controller of a cgroup on to those below it."""
    for controller in (root / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")


def join_cgroups(name: str) -> list[tuple[str, str]]:
    """Moves this process into its own cgroups; returns what remount_cgroups needs afterwards."""
    found = _hierarchies()
    for root, _ in found:
        (root / name / "cgroup.procs").write_text(str(os.getpid()))
    return [(root.name if root != CGROUPS else "", controllers) for root, controllers in found]


def remount_cgroups(hierarchies: list[tuple[str, str]]) -> None:
    """Shows a process in a cgroup namespace its own cgroups as the whole: nothing above is seen."""
    if hierarchies == [("", "")]:
        mount("cgroup2", CGROUPS, "cgroup2")
        # Version 2 wants no process in a cgroup that hands controllers on.
        (CGROUPS / "init").mkdir(exist_ok=True)
        (CGROUPS / "init" / "cgroup.procs").write_text("1")
        _enable_all(CGROUPS)
        return
    mount("tmpfs", CGROUPS, "tmpfs", data="mode=755")
    for folder, controllers in hierarchies:
        (CGROUPS / folder).mkdir(parents=True, exist_ok=True)
        kind = "cgroup" if controllers else "cgroup2"
        data = f"name={folder}" if controllers.startswith("name=") else controllers
        mount(kind, CGROUPS / folder, kind, data=data)


def remove_cgroups(name: str, deadline_s: float = 10.0) -> None:
    """Removes our cgroups, once their last process is gone."""
    end = time.monotonic() + deadline_s
    for root, _ in _hierarchies():
        while (root / name).exists():
            for folder, _, _ in os.walk(root / name, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            if time.monotonic() > end:
                break
            if (root / name).exists():
                time.sleep(0.05)
