"""What etcd's releases can be configured with: the generated table, and how to look it up.

`options_table.json` is made by hack/generate_options.py from etcd's sources: per flag and minor
version, from which patch on the configuration file takes it under which key as which type. Pure;
read once, at import.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal, TypeAlias

from etcd.versions import SUPPORTED_MINORS, Version, parse_version

FileType: TypeAlias = Literal["bool", "int", "uint", "duration", "string", "strings"]

EXPERIMENTAL: Final = "experimental-"
FEATURE_GATES: Final = "feature-gates"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOption:
    """An option as one release has it.

    path: keys from the top of the file (`peer-transport-security`, `allowed-cn`), empty where only
    the command line can set it.
    """

    flag: str
    path: tuple[str, ...]
    type: FileType


@dataclass(frozen=True, slots=True)
class _Span:
    """From this release on, within its minor version. found: None where it was taken away."""

    since: Version
    found: FileOption | None


_Spans: TypeAlias = dict[str, tuple[_Span, ...]]  # by minor version


def _spans(name: str, by_minor: dict[str, list[dict[str, Any]]]) -> _Spans:
    return {
        minor: tuple(_Span(parse_version(row["since"]), _found(name, row)) for row in rows)
        for minor, rows in by_minor.items()
        if minor in SUPPORTED_MINORS
    }


def _found(name: str, row: dict[str, Any]) -> FileOption | None:
    if row.get("gone"):
        return None
    if "default" in row:  # a feature gate: part of the text of one key
        return FileOption(flag=name, path=(FEATURE_GATES,), type="bool")
    return FileOption(flag=name, path=tuple(row["path"] or ()), type=row.get("type", "string"))


_TABLE: Final[dict[str, Any]] = json.loads(
    resources.files("etcd").joinpath("options_table.json").read_text(encoding="utf-8")
)
_OPTIONS: Final = {name: _spans(name, rows) for name, rows in _TABLE["options"].items()}
_GATES: Final = {name: _spans(name, rows) for name, rows in _TABLE["gates"].items()}
GATE_OF: Final[dict[str, str]] = _TABLE["gate_of"]
"""Experimental flag → the feature gate that took its place in 3.6."""
FLAG_OF_GATE: Final = {gate: flag for flag, gate in GATE_OF.items()}


def flags() -> tuple[str, ...]:
    """Every flag of every supported release, sorted."""
    return tuple(_OPTIONS)


def gates() -> tuple[str, ...]:
    """Every feature gate of every supported release, sorted."""
    return tuple(_GATES)


def option(flag: str, version: Version) -> FileOption | None:
    """The option under exactly this name in this release; None if the release lacks it."""
    return _at(_OPTIONS.get(flag, {}), version)


def has_gate(gate: str, version: Version) -> bool:
    return _at(_GATES.get(gate, {}), version) is not None


def first_releases(name: str) -> tuple[Version, ...]:
    """The first release of each minor version whose file takes the option or gate, oldest first."""
    by_minor = _OPTIONS.get(name) or _GATES.get(name) or {}
    taken = (
        [span.since for span in by_minor.get(minor, ()) if span.found and span.found.path]
        for minor in SUPPORTED_MINORS
    )
    return tuple(since[0] for since in taken if since)


def plain_name(flag: str) -> str:
    """The name without `experimental-` where etcd dropped it in 3.6, else the name itself."""
    plain = flag.removeprefix(EXPERIMENTAL)
    return plain if plain in _OPTIONS else flag


@lru_cache(maxsize=64)
def file_types(version: Version) -> dict[tuple[str, ...], FileType]:
    """Every key that this release's file knows, by path, with its type."""
    found = (option(flag, version) for flag in _OPTIONS)
    return {each.path: each.type for each in found if each is not None and each.path}


def _at(by_minor: _Spans, version: Version) -> FileOption | None:
    """What the last span that begins at or before the version says."""
    begun = [span for span in by_minor.get(version.minor_version, ()) if span.since <= version]
    return begun[-1].found if begun else None
