"""The names of the objects of a change log. Pure.

    <cluster ID>-<epoch>/changes-<name>/<first revision>/<number>

beside the backups of the same line of history. A chain is a folder: its segments are numbered from
0 and follow each other without a gap, the first one begins with the revision (16 hexadecimal
digits) that the folder is named after. Where a gap can't be avoided another chain begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from snapshots.layout import NAME_PATTERN, check_line, line_of

if TYPE_CHECKING:
    from etcd.ids import ClusterID

MAX_SEGMENTS: Final = 10**8

_PATH = re.compile(
    r"(?P<line>(0|[1-9a-f][0-9a-f]{0,15})-(0|[1-9][0-9]{0,9}))/changes-(?P<name>[^/]+)"
    r"/(?P<first>[0-9a-f]{16})/(?P<number>[0-9]{8})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFolder:
    """The log of one name, of one line of history. Raises ValueError for what names none."""

    cluster_id: ClusterID
    epoch: int
    name: str

    def __post_init__(self) -> None:
        check_line(self.cluster_id, self.epoch)
        if not re.fullmatch(NAME_PATTERN, self.name):
            message = f"{self.name!r} can't be the name of a change log"
            raise ValueError(message)

    @property
    def line(self) -> str:
        return line_of(self.cluster_id, self.epoch)

    @property
    def path(self) -> str:
        return f"{self.line}/changes-{self.name}"

    def chain(self, first_revision: int) -> ChainFolder:
        return ChainFolder(log=self.path, first_revision=first_revision)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ChainFolder:
    """One chain. log: the log's path. first_revision: the first one that it has."""

    log: str
    first_revision: int

    @property
    def line(self) -> str:
        """The line of history that it is of."""
        return self.log.partition("/")[0]

    @property
    def path(self) -> str:
        return f"{self.log}/{self.first_revision:016x}"

    def segment(self, number: int) -> str:
        return f"{self.path}/{number:08d}"


def parse_segment_path(path: str) -> tuple[ChainFolder, int] | None:
    """The chain and the number that an object's name tells; None for what isn't ours."""
    match = _PATH.fullmatch(path)
    if match is None or not re.fullmatch(NAME_PATTERN, match["name"]):
        return None
    log = f"{match['line']}/changes-{match['name']}"
    first = int(match["first"], 16)
    if not 0 < first < 1 << 63:
        return None
    return ChainFolder(log=log, first_revision=first), int(match["number"])
