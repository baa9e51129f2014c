"""The names of a backup's objects. Pure.

    <cluster ID>-<epoch>/<backup>/manifest.json       what makes it a backup; written last
    <cluster ID>-<epoch>/<backup>/<attempt>/00000     its parts, each at most 8 MiB

The line of a cluster's history comes first, because revisions are counted anew after a restore: two
lines never share a folder. Each attempt has a folder of its own, so that one that was given up and
is still at work writes into no other one's parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from etcd.ids import ClusterID, cluster_id_hex

NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
ATTEMPT_PATTERN: Final = r"^[0-9a-f]{16}$"
MANIFEST_NAME: Final = "manifest.json"
MAX_PARTS: Final = 100_000
MAX_EPOCH: Final = (1 << 31) - 1

_PART = re.compile(r"(?P<attempt>[0-9a-f]{16})/(?P<number>[0-9]{5})")
_LINE = re.compile(r"(?P<cluster>0|[1-9a-f][0-9a-f]{0,15})-(?P<epoch>0|[1-9][0-9]{0,9})")


def check_line(cluster_id: int, epoch: int) -> None:
    """Raises ValueError for what names no line of a cluster's history."""
    if not 0 <= cluster_id < 1 << 64 or not 0 <= epoch <= MAX_EPOCH:
        raise ValueError("a cluster's ID has 64 bits, its epoch 31")


def line_of(cluster_id: ClusterID, epoch: int) -> str:
    """`<cluster ID>-<epoch>`: one line of a cluster's history."""
    return f"{cluster_id_hex(cluster_id)}-{epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFolder:
    """Where one backup is, below the store's location.

    cluster_id: etcd's. epoch: 0 for what a bootstrap made, one more with each restore. name: a name
    of Kubernetes. Raises ValueError for what can't be a part of an object's name.
    """

    cluster_id: ClusterID
    epoch: int
    name: str

    def __post_init__(self) -> None:
        check_line(self.cluster_id, self.epoch)
        if not re.fullmatch(NAME_PATTERN, self.name):
            message = f"{self.name!r} can't be the name of a backup"
            raise ValueError(message)

    @property
    def path(self) -> str:
        return f"{self.line}/{self.name}"

    @property
    def line(self) -> str:
        """Of its history: `<cluster ID>-<epoch>`."""
        return line_of(self.cluster_id, self.epoch)

    @property
    def manifest(self) -> str:
        return f"{self.path}/{MANIFEST_NAME}"

    def part(self, attempt: str, number: int) -> str:
        return f"{self.path}/{attempt}/{number:05d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPath:
    """A part, as its object's name tells."""

    folder: BackupFolder
    attempt: str
    number: int


def parse_path(path: str) -> BackupFolder | PartPath | None:
    """The folder whose manifest an object is, or which part it is; None for what isn't ours."""
    line, _, rest = path.partition("/")
    name, _, rest = rest.partition("/")
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    try:
        folder = BackupFolder(
            cluster_id=ClusterID(int(match["cluster"], 16)), epoch=int(match["epoch"]), name=name
        )
    except ValueError:
        return None
    if rest == MANIFEST_NAME:
        return folder
    part = _PART.fullmatch(rest)
    if part is None:
        return None
    return PartPath(folder=folder, attempt=part["attempt"], number=int(part["number"]))
