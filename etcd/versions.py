"""Versions of etcd, and what depends on them where the operator must act differently.

Pure. Written by users with or without a leading `v`; `str()` gives the form without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from typing_extensions import override

SUPPORTED_MINORS: Final = ("3.5", "3.6", "3.7")

_FORM = re.compile(r"v?(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release, ordered as releases are."""

    major: int
    minor: int
    patch: int

    @override
    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def minor_version(self) -> str:
        """`3.5`: the unit in which etcd is upgraded and its options change."""
        return f"{self.major}.{self.minor}"

    @property
    def is_supported(self) -> bool:
        return self.minor_version in SUPPORTED_MINORS


@lru_cache(maxsize=1024)
def parse_version(text: str) -> Version:
    """`v3.5.21` or `3.5.21`. Raises ValueError for anything else, pre-releases included."""
    found = _FORM.fullmatch(text)
    if found is None:
        message = f"{text!r} is not a version like 3.5.21"
        raise ValueError(message)
    return Version(*(int(part) for part in found.groups()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Paths on etcd's HTTP port. Liveness must not depend on the quorum, or losing it would
    restart every member.
    """

    liveness_path: str
    readiness_path: str


def probes_of(version: Version) -> Probes:
    """`/livez` and `/readyz` from 3.5.11 on; before, `/health` in its local and its full form."""
    if version >= Version(3, 5, 11):
        return Probes(liveness_path="/livez", readiness_path="/readyz")
    return Probes(
        liveness_path="/health?serializable=true&exclude=NOSPACE&exclude=CORRUPT",
        readiness_path="/health",
    )


def learners_are_unready(version: Version) -> bool:
    """Does `/readyz` fail at a learner (check `non_learner`)? Else a Service would pick it."""
    return version >= Version(3, 5, 19)


def promotions_survive(version: Version) -> bool:
    """Is a promotion safe from being lost (fixed in 3.5.20)? If not, sizes must not change."""
    return version >= Version(3, 5, 20)


def adds_with_members_down(version: Version) -> bool:
    """Does MemberAdd pass with a quorum connected? Before 3.5.30 and 3.6.11 it wanted everyone
    (server/etcdserver/server.go, mayAddMember).
    """
    if version >= Version(3, 6, 0):
        return version >= Version(3, 6, 11)
    return version >= Version(3, 5, 30)


def reports_storage_version(version: Version) -> bool:
    """Does Status tell the storage version and a downgrade (3.6 on)?"""
    return version >= Version(3, 6, 0)


def leaves_v2_entries(source: Version, target: Version) -> bool:
    """Can the log hold what `target` can't read? 3.5 writes entries in the form of the v2 API, 3.6
    still reads them, 3.7 ends on the first one (server/etcdserver/apply/apply.go of 3.7; PR 21263).
    """
    return source.minor_version == "3.6" and target.minor_version == "3.7"


# Entries between two snapshots of a member, unless its options say otherwise (3.6 on).
SNAPSHOT_COUNT: Final = 10_000
