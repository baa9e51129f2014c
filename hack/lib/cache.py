"""A cache of build results, keyed by the content of what they are made from.

It lies outside the checkout, so every clone shares it, and a second run takes no time. An entry
is made in a temporary folder and renamed, so that an interrupted build never looks finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

KEPT = 3
"""Entries of one name that stay: two clones on different commits should not fight."""
IN_USE = ".in-use"
LOCK_DEADLINE_S = 45 * 60.0
"""A cold build of Kubernetes takes minutes; another clone may be doing ours for us."""


def say(message: str) -> None:
    """Progress goes to standard error: standard output is for what a caller asked for."""
    print(message, file=sys.stderr, flush=True)


def cache_root() -> Path:
    own = os.environ.get("ETCD_OPERATOR_CACHE")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).absolute() / "etcd-operator"


@contextlib.contextmanager
def lock(name: str, deadline_s: float = LOCK_DEADLINE_S) -> Iterator[None]:
    """Lets one process at a time build `name`; the kernel frees the lock of one that dies."""
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        end = time.monotonic() + deadline_s
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"{name}: another process held the lock too long") from None
                if not told:
                    say(f"{name}: waiting for another process that is building it")
                    told = True
                time.sleep(0.2)
        yield


def digest(parts: Iterable[str | bytes | Path]) -> str:
    """A short hash of texts and of files' contents (a path stands for name and content)."""
    result = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            data = part.name.encode() + b"\0" + part.read_bytes()
        else:
            data = part.encode() if isinstance(part, str) else part
        result.update(str(len(data)).encode() + b"\0" + data)
    return result.hexdigest()[:16]


def cached(name: str, key: str, build: Callable[[Path], None], quiet: bool = False) -> Path:
    """The folder of `name` for `key`; `build` fills it where it is missing."""
    target = cache_root() / f"{name}-{key}"
    if not target.is_dir():
        with lock(name):
            if not target.is_dir():
                _build(name, target, build)
                return target
    if not quiet:
        say(f"{name}: cached")
    # The time of last use, so that `prune` can tell what nobody needs any more.
    with contextlib.suppress(OSError):
        os.utime(target)
    return target


def _build(name: str, target: Path, build: Callable[[Path], None]) -> None:
    say(f"{name}: building")
    started = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        build(temporary)
        temporary.chmod(0o755)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    say(f"{name}: built in {time.monotonic() - started:.1f} s")
    keep_newest(name, KEPT)


def entries(name: str) -> list[Path]:
    """What is there of `name`, the one that was used last at the end."""
    pattern = re.compile(rf"{re.escape(name)}-[0-9a-f]{{16}}")
    found = [one for one in cache_root().iterdir() if pattern.fullmatch(one.name)]
    return sorted(found, key=lambda one: one.stat().st_mtime)


def hold(entry: Path) -> int:
    """Keeps an entry from being removed for as long as the descriptor is open, in any process."""
    descriptor = os.open(entry / IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _remove(entry: Path) -> None:
    with (entry / IN_USE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # First out of sight: nobody shall find half an entry.
        away = entry.with_name(f".removed-{entry.name}-{os.getpid()}")
        entry.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def keep_newest(name: str, count: int) -> None:
    """Removes all but the entries of `name` that were used last, or that a node is using."""
    for entry in entries(name)[:-count]:
        _remove(entry)


def prune(keep_days: float) -> None:
    """Removes entries that nobody used for `keep_days`."""
    if not cache_root().is_dir():
        return
    oldest = time.time() - keep_days * 86400
    for entry in cache_root().iterdir():
        # Other tools of the project keep folders of their own here: they do not end in our hash.
        ours = re.search(r"^[^.].*-[0-9a-f]{16}$", entry.name) is not None
        if ours and entry.is_dir() and entry.stat().st_mtime < oldest:
            say(f"removing {entry.name}")
            _remove(entry)
