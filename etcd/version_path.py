"""Two versions of etcd → the versions on the way from one to the other, or why there is none.

    from    to     the cluster runs at least         the target is at least
    3.5     3.6    3.5.26 (better 3.5.32)            3.6.5
    3.6     3.7    3.6.11                            3.7.0
    3.7     3.6    3.7.2                             3.6.11
    3.6     3.5    3.6.5                             3.5.26

etcd changes one minor version at a time (etcd.io/docs, upgrades).  Where a target is further away,
the path goes through `WAYPOINTS`, and through nothing else: a cluster that is too old for its first
step is told so, because which patch it may take is its owner's decision.  Within a minor version
any two patches are one step.  Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etcd.versions import SUPPORTED_MINORS, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

# The release of each minor version that a longer path passes through.
WAYPOINTS: Final = (Version(3, 5, 35), Version(3, 6, 16), Version(3, 7, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the step from one minor version to the next needs, and where that is said."""

    source: Version
    source_why: str
    target: Version
    target_why: str
    advised: Version | None = None
    advised_why: str = ""


# By the minor versions' numbers, both ways.
GATES: Final[Mapping[tuple[int, int], Gate]] = {
    (5, 6): Gate(
        source=Version(3, 5, 26),
        source_why="older ones bring removed members and lost promotions along (etcd 20967)",
        target=Version(3, 6, 5),
        target_why="older ones can refuse to start or damage their data (etcd 20340)",
        advised=Version(3, 5, 32),
        advised_why="older ones don't check their log for what 3.6 refuses (etcd 21849)",
    ),
    (6, 7): Gate(
        source=Version(3, 6, 11),
        source_why="older ones may not be compatible (etcd upgrade_3_7.md)",
        target=Version(3, 7, 0),
        target_why="",
    ),
    (7, 6): Gate(
        source=Version(3, 7, 2),
        source_why="older ones misread their log on the way down (etcd 22171)",
        target=Version(3, 6, 11),
        target_why="older ones may not be compatible (etcd upgrade_3_7.md)",
    ),
    (6, 5): Gate(
        source=Version(3, 6, 5),
        source_why="older ones can damage their data (etcd 20340)",
        target=Version(3, 5, 26),
        target_why="older ones bring removed members and lost promotions along (etcd 20967)",
    ),
}


class PathRefusedError(ValueError):
    """There is no safe way; the message says why, and which version to set instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPath:
    """`hops`: the versions in order, the last one is the target; empty when it runs already.

    `warnings` say what is allowed and not advised.
    """

    hops: tuple[Version, ...]
    warnings: tuple[str, ...] = ()


def version_path(source: Version, target: Version) -> VersionPath:
    """The way of a cluster that runs `source` to `target`. Raises PathRefusedError."""
    for version in (source, target):
        if not version.is_supported:
            known = ", ".join(SUPPORTED_MINORS)
            message = f"etcd {version} is of no minor version known here ({known})"
            raise PathRefusedError(message)
    hops = _hops(source, target)
    warnings = []
    for before, after in zip((source, *hops), hops, strict=False):
        gate = GATES.get((before.minor, after.minor))
        if gate is not None:
            _check(gate, before, after)
            if gate.advised is not None and before < gate.advised:
                warnings.append(
                    f"etcd {gate.advised} or newer is advised before {after.minor_version}:"
                    f" {gate.advised_why}"
                )
    return VersionPath(hops=hops, warnings=tuple(warnings))


def newer_patch(version: Version) -> Version | None:
    """The release of the same minor version that a path would take, where it is newer."""
    fitting = (known for known in WAYPOINTS if known.minor_version == version.minor_version)
    return next((known for known in fitting if known > version), None)


def _hops(source: Version, target: Version) -> tuple[Version, ...]:
    if source == target:
        return ()
    step = 1 if target.minor >= source.minor else -1
    between = range(source.minor + step, target.minor, step)
    return (*(_waypoint(minor) for minor in between), target)


def _waypoint(minor: int) -> Version:
    return next(version for version in WAYPOINTS if version.minor == minor)


def _check(gate: Gate, before: Version, after: Version) -> None:
    if before < gate.source:
        first = max(_waypoint(before.minor), gate.source)
        message = (
            f"etcd {before} can't go to {after.minor_version}: it has to run {gate.source} or newer"
            f" first, because {gate.source_why}; set v{first}, and then this"
        )
        raise PathRefusedError(message)
    if after < gate.target:
        instead = max(_waypoint(after.minor), gate.target)
        message = (
            f"etcd {before.minor_version} can't go to {after}: the first version it may go to is"
            f" {gate.target}, because {gate.target_why}; set v{instead}"
        )
        raise PathRefusedError(message)
