"""Turns the text of an etcd version into a value that can be ordered, and into its normal form.

Called by the models (`spec.version` is kept in its normal form), by validation and by everything
that decides by version (probes, options, gates). It knows which minor versions this operator runs;
it never asks a registry.
"""

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Final

from typing_extensions import override

# The image's tag is the normal form, hence the length of a tag's part and no build metadata ("+").
VERSION_PATTERN: Final = (
    r"^v?(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})"
    r"(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?$"
)
MAX_VERSION_LENGTH: Final = 64

SUPPORTED_MINORS: Final[tuple[tuple[int, int], ...]] = ((3, 5), (3, 6), (3, 7))


@total_ordering
@dataclass(frozen=True, slots=True)
class EtcdVersion:
    """A version of etcd, ordered as semantic versioning orders it: a pre-release is before its
    release.
    """

    major: int
    minor: int
    patch: int
    prerelease: str = ""

    @override
    def __str__(self) -> str:
        """Return the normal form, which is also the image's tag: "v3.5.21"."""
        suffix = f"-{self.prerelease}" if self.prerelease else ""
        return f"v{self.major}.{self.minor}.{self.patch}{suffix}"

    def __lt__(self, other: "EtcdVersion") -> bool:
        return self._order() < other._order()

    @property
    def release(self) -> tuple[int, int, int]:
        """The three numbers without the pre-release."""
        return (self.major, self.minor, self.patch)

    @property
    def minor_version(self) -> tuple[int, int]:
        return (self.major, self.minor)

    def _order(self) -> tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]:
        # Semantic Versioning 2.0.0, item 11: numeric identifiers are below alphanumeric ones, and
        # compared as numbers.
        identifiers = tuple(
            (not part.isdigit(), int(part) if part.isdigit() else 0, part)
            for part in re.split(r"\.", self.prerelease)
        )
        return (self.release, not self.prerelease, identifiers)


def parse_version(text: str) -> EtcdVersion:
    """Return the version that `text` spells, with or without the leading v.

    Raises ValueError when it is none: "3.5" (no patch), "latest", "3.5.21+build".
    """
    if len(text) > MAX_VERSION_LENGTH or re.fullmatch(VERSION_PATTERN, text) is None:
        raise ValueError("must be a version of etcd such as v3.5.21")
    release, _, prerelease = text.removeprefix("v").partition("-")
    major, minor, patch = (int(number) for number in release.split("."))
    return EtcdVersion(major, minor, patch, prerelease)


def normal_version(text: str) -> str:
    """Return the form that images are tagged with: "3.5.9" and "v3.5.9" are both "v3.5.9".

    Raises ValueError when `text` is no version.
    """
    return str(parse_version(text))


@dataclass(frozen=True, slots=True)
class DeniedVersions:
    """Releases that lose data, from the first to the last (both included), and why."""

    first: tuple[int, int, int]
    last: tuple[int, int, int]
    reason: str


DENIED_VERSIONS: Final[tuple[DeniedVersions, ...]] = (
    # etcd issue 13766, fixed in 3.5.3.
    DeniedVersions(
        (3, 5, 0),
        (3, 5, 2),
        "etcd 3.5.0 to 3.5.2 can corrupt data when a member crashes under load",
    ),
)


def denial_of(version: EtcdVersion) -> str | None:
    """Return why this version is refused, or None when it may run."""
    for denied in DENIED_VERSIONS:
        if denied.first <= version.release <= denied.last:
            return denied.reason
    return None
