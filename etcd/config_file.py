"""Keys of etcd's configuration file → its text.

The last gate before a file reaches a member: etcd would ignore an unknown key without a word, so
every key is looked up in the release's own list, with its type. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from etcd.options_table import FileType, file_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from etcd.option_values import FileValue
    from etcd.options import FileKeys
    from etcd.versions import Version


class UnknownKeyError(ValueError):
    """A key that this release's file doesn't have, or a value of another type: our mistake."""


def render_config(keys: Mapping[str, FileValue | FileKeys], version: Version) -> str:
    """The file as YAML: keys sorted, strings quoted, the same text for the same keys.

    Raises UnknownKeyError.
    """
    types = file_types(version)
    for path, value in _leaves(keys, ()):
        kind = types.get(path)
        if kind is None:
            message = f"etcd {version} has no key {'.'.join(path)} in its file"
            raise UnknownKeyError(message)
        if not _fits(value, kind):
            message = f"{'.'.join(path)} is a {kind} in etcd {version}, not {value!r}"
            raise UnknownKeyError(message)
    return yaml_text(keys)


def yaml_text(keys: Mapping[str, FileValue | FileKeys]) -> str:
    """Keys that were looked up before as YAML: sorted, strings quoted, the same text for the same
    keys.
    """
    return yaml.dump(keys, Dumper=_Quoting, sort_keys=True, default_flow_style=False, width=2**20)


def _leaves(
    keys: Mapping[str, FileValue | FileKeys], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], FileValue]]:
    for key, value in keys.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _fits(value: FileValue, kind: FileType) -> bool:
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "int" | "duration":
            return isinstance(value, int) and not isinstance(value, bool)
        case "uint":
            return isinstance(value, int) and not isinstance(value, bool) and value >= 0
        case "string":
            return isinstance(value, str)
        case "strings":
            return isinstance(value, list)


class _Quoting(yaml.SafeDumper):
    """Quotes every string value: what is text for one YAML reader is a number for another (1e5)."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Quoting.add_representer(str, _quoted)
