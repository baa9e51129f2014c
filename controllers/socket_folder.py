"""A folder for one Unix socket, which only this process's user can reach; used by
`port_forward_dialer`.

A process that is killed leaves its folders behind, so the next one to start removes them. It knows
them by the lock that a living process holds on each: the kernel lets go of it with the process, and
unlike a process ID it means the same in every container that shares the temporary folder.
(systemd-tmpfiles leaves locked folders alone, too.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_PREFIX: Final = "etcd-operator."
_SOCKET: Final = "etcd.sock"
# Who looks for leftovers at the same moment may take a folder before it is locked.
_ATTEMPTS: Final = 5


class SocketFolder:
    """Made at once, mode 0700, and this process's until `remove`. Raises OSError."""

    def __init__(self) -> None:
        self._folder, self._lock = _make()

    @property
    def socket(self) -> str:
        """Where the socket should be."""
        return str(self._folder / _SOCKET)

    def remove(self) -> None:
        """Takes folder and socket away. Safe to repeat."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError):
            _remove(self._folder, self._lock)
        os.close(self._lock)
        self._lock = -1


def remove_leftovers() -> None:
    """Removes the folders of processes that are gone: ours by owner, mode and content, and no
    others. What can't be removed is left. Never raises.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_if_left(folder)


def _make() -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            lock = _open(folder)
            if _lock(folder, lock):
                return folder, lock
            os.close(lock)
    msg = f"no folder in {tempfile.gettempdir()} lasts until it is locked"
    raise OSError(msg)


def _remove_if_left(folder: Path) -> None:
    found = _open(folder)
    try:
        state = os.fstat(found)
        is_ours = state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) == 0o700
        if is_ours and _lock(folder, found):
            _remove(folder, found)
            log.info("removed what a killed process left", folder=str(folder))
    finally:
        os.close(found)


def _open(folder: Path) -> int:
    """Raises NotADirectoryError also for a symbolic link to one."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lock(folder: Path, opened: int) -> bool:
    """Whether it is ours now and still there; else somebody else has it, or had."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(opened), folder.stat(follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False


def _remove(folder: Path, opened: int) -> None:
    """Only what we put there: a folder that holds anything else stays."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_SOCKET, dir_fd=opened)
    folder.rmdir()
