"""What etcd's releases can be configured with: the generated table, and how to look it up.

`options_table.json` is made by hack/generate_options.py from etcd's sources: per flag and minor
version, from which patch on the configuration file takes it under which key as which type. Pure;
read once, at import.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, TypeAlias

from etcd.versions import SUPPORTED_MINORS, Version, parse_version

FileType: TypeAlias = Literal["bool", "int", "uint", "duration", "string", "strings"]

EXPERIMENTAL: Final = "experimental-"
FEATURE_GATES: Final = "feature-gates"

_TABLE: Final[dict[str, Any]] = json.loads(
    resources.files("etcd").joinpath("options_table.json").read_text(encoding="utf-8")
)
_OPTIONS: Final[dict[str, dict[str, list[dict[str, Any]]]]] = _TABLE["options"]
_GATES: Final[dict[str, dict[str, list[dict[str, Any]]]]] = _TABLE["gates"]
GATE_OF: Final[dict[str, str]] = _TABLE["gate_of"]
"""Experimental flag → the feature gate that took its place in 3.6."""
FLAG_OF_GATE: Final = {gate: flag for flag, gate in GATE_OF.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOption:
    """An option as one release has it.

    path: keys from the top of the file (`peer-transport-security`, `allowed-cn`), empty where only
    the command line can set it.
    """

    flag: str
    path: tuple[str, ...]
    type: FileType


def flags() -> tuple[str, ...]:
    """Every flag of every supported release, sorted."""
    return tuple(_OPTIONS)


def gates() -> tuple[str, ...]:
    """Every feature gate of every supported release, sorted."""
    return tuple(_GATES)


def option(flag: str, version: Version) -> FileOption | None:
    """The option under exactly this name in this release; None if the release lacks it."""
    span = _span(_OPTIONS.get(flag, {}), version)
    if span is None:
        return None
    return FileOption(flag=flag, path=tuple(span["path"] or ()), type=span.get("type", "string"))


def has_gate(gate: str, version: Version) -> bool:
    return _span(_GATES.get(gate, {}), version) is not None


def first_releases(flag: str) -> tuple[Version, ...]:
    """The first release of each minor version whose file takes the option or gate, oldest first."""
    spans_by_minor = _OPTIONS.get(flag) or _GATES.get(flag) or {}
    taken = (
        [span["since"] for span in spans_by_minor[minor] if span.get("path") or "default" in span]
        for minor in SUPPORTED_MINORS
        if minor in spans_by_minor
    )
    return tuple(parse_version(since[0]) for since in taken if since)


@cache
def plain_name(flag: str) -> str:
    """The name without `experimental-` where etcd dropped it in 3.6, else the name itself."""
    plain = flag.removeprefix(EXPERIMENTAL)
    return plain if plain in _OPTIONS else flag


def file_types(version: Version) -> dict[tuple[str, ...], FileType]:
    """Every key that this release's file knows, by path, with its type."""
    found = (option(flag, version) for flag in _OPTIONS)
    return {each.path: each.type for each in found if each is not None and each.path}


def _span(spans_by_minor: dict[str, list[dict[str, Any]]], version: Version) -> Any:  # noqa: ANN401 - JSON
    """The last span that begins at or before the version; None if there is none, or it is gone."""
    current = None
    for span in spans_by_minor.get(version.minor_version, []):
        if parse_version(span["since"]) <= version:
            current = span
    return None if current is None or current.get("gone") else current
