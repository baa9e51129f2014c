"""Options as users write them → keys of etcd's configuration file, for one release.

Called by the renderer (`typed_options`, `convert`, `merge`, `render_config`) and by validation
(`problems`). Why all this care: etcd ignores unknown keys of its file in silence, and dies of a
value in the form of its own command line. Pure; errors are in `etcd.option_errors`.

Names are those of etcd 3.6 and later; on 3.5 they become its `experimental-` ones, and feature
gates its boolean flags. The `experimental-` names are taken where that release still has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from etcd.option_checks import MODE, RETENTION, check_together, check_value
from etcd.option_errors import BadValueError, OptionError, OwnedOptionError, UnknownOptionError
from etcd.option_values import FileValue, boolean, file_value
from etcd.options_table import (
    EXPERIMENTAL,
    FEATURE_GATES,
    FLAG_OF_GATE,
    GATE_OF,
    FileOption,
    first_releases,
    gates,
    has_gate,
    option,
    plain_name,
)
from etcd.owned_options import owned_because

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etcd.versions import Version

FileKeys: TypeAlias = dict[str, "FileValue | FileKeys"]


def convert(extra: Mapping[str, str], version: Version) -> FileKeys:
    """The file's keys for options written as on the command line (`{"max-txn-ops": "256"}`).

    Leading dashes of a name are dropped. Raises the first of `problems`.
    """
    keys, found = _converted(extra, version)
    if found:
        raise found[0]
    return keys


def problems(extra: Mapping[str, str], version: Version) -> tuple[OptionError, ...]:
    """Everything that is wrong with these options for this release, by name."""
    return _converted(extra, version)[1]


def normalise(name: str) -> str:
    """`--max-txn-ops` and `max-txn-ops` are the same."""
    return name.strip().lstrip("-")


def typed_options(
    *,
    version: Version,
    quota_backend_bytes: int | None = None,
    auto_compaction_mode: str | None = None,
    auto_compaction_retention: str | None = None,
    snapshot_count: int | None = None,
    heartbeat_interval_ms: int | None = None,
    election_timeout_ms: int | None = None,
) -> FileKeys:
    """The file's keys for the options that have fields of their own; None leaves etcd's default.

    Raises BadValueError for what etcd would refuse to start with: a retention that doesn't suit its
    mode, an election timeout below five heartbeats or beyond 50 s.
    """
    written = {
        "quota-backend-bytes": quota_backend_bytes,
        "snapshot-count": snapshot_count,
        "heartbeat-interval": heartbeat_interval_ms,
        "election-timeout": election_timeout_ms,
        MODE: auto_compaction_mode,
        RETENTION: auto_compaction_retention,
    }
    return convert({k: str(v) for k, v in written.items() if v is not None}, version)


def merge(*layers: FileKeys) -> FileKeys:
    """One set of keys from several: the operator's own, typed options, the user's extra ones.

    Raises BadValueError for a key that two of them set to different values, and where options that
    etcd looks at together don't fit.
    """
    out: FileKeys = {}
    for layer in layers:
        out = _overlaid(out, layer)
    return _together(out)


def _overlaid(below: FileKeys, above: FileKeys) -> FileKeys:
    out = dict(below)
    for key, value in above.items():
        present = out.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            out[key] = _overlaid(present, value)
        elif key == FEATURE_GATES and isinstance(present, str):
            out[key] = _joined_gates(present, str(value))
        elif key in out and present != value:
            raise BadValueError(key, "is set twice, with different values")
        else:
            out[key] = value
    return out


# ---------------------------------------------------------------- one option
def _converted(
    extra: Mapping[str, str], version: Version
) -> tuple[FileKeys, tuple[OptionError, ...]]:
    keys: FileKeys = {}
    found: list[OptionError] = []
    for written in sorted(extra):
        try:
            keys = _overlaid(keys, _one(normalise(written), extra[written], version))
        except OptionError as problem:
            found.append(problem)
    if not found:
        try:
            keys = _together(keys)
        except OptionError as problem:
            found.append(problem)
    return keys, tuple(found)


def _one(name: str, text: str, version: Version) -> FileKeys:
    reason = owned_because(name)
    if reason is not None:
        raise OwnedOptionError(name, f"is not for users to set: {reason}")
    if name == FEATURE_GATES:
        return _gates(text, version)
    if name in GATE_OF and option(name, version) and has_gate(GATE_OF[name], version):
        return _gates(f"{GATE_OF[name]}={text}", version, name)
    if name in gates():
        raise UnknownOptionError(name, f'is a feature gate: write {FEATURE_GATES}: "{name}={text}"')
    found = _find(name, version)
    if found is None:
        raise UnknownOptionError(name, _unknown(name, version))
    if not found.path:
        raise UnknownOptionError(name, _only_a_flag(name, version))
    return _nested(found.path, _value(name, text, found))


def _find(name: str, version: Version) -> FileOption | None:
    """The option under its plain name if this release has it, else under its experimental one.

    An experimental name counts only where the release has it too: 3.7 took those names away.
    """
    if name != plain_name(name) and option(name, version) is None:
        return None
    plain = plain_name(name)
    return option(plain, version) or option(EXPERIMENTAL + plain, version)


def _value(name: str, text: str, found: FileOption) -> FileValue:
    try:
        value = file_value(text, found.type)
    except ValueError as problem:
        raise BadValueError(name, f"{text!r} is wrong: {problem}") from problem
    check_value(plain_name(name), value)
    return value


def _nested(path: tuple[str, ...], value: FileValue) -> FileKeys:
    head, *rest = path
    return {head: _nested(tuple(rest), value)} if rest else {head: value}


# ---------------------------------------------------------------- feature gates
def _gates(text: str, version: Version, written: str = FEATURE_GATES) -> FileKeys:
    """`A=true,B=false` → the key `feature-gates`, or 3.5's boolean flags for the same features."""
    keys: FileKeys = {}
    for gate, on in _parsed_gates(text, written).items():
        old = option(FLAG_OF_GATE.get(gate, ""), version)
        if has_gate(gate, version):
            keys = _overlaid(keys, {FEATURE_GATES: f"{gate}={str(on).lower()}"})
        elif old is not None:
            keys = _overlaid(keys, _nested(old.path, on))
        else:
            raise UnknownOptionError(written, f"{gate}: {_unknown(gate, version)}")
    return keys


def _parsed_gates(text: str, written: str) -> dict[str, bool]:
    wanted: dict[str, bool] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        gate, _, state = part.partition("=")
        try:
            on = boolean(state)
        except ValueError as problem:
            raise BadValueError(written, f"{part!r} is wrong: {problem}") from problem
        if wanted.setdefault(gate, on) is not on:
            raise BadValueError(written, f"{gate} is both on and off")
    return wanted


def _joined_gates(one: str, other: str) -> str:
    gates_on = _parsed_gates(f"{one},{other}", FEATURE_GATES)
    return ",".join(f"{gate}={str(on).lower()}" for gate, on in sorted(gates_on.items()))


# ---------------------------------------------------------------- options together
def _together(keys: FileKeys) -> FileKeys:
    """Checks what etcd looks at in pairs, and completes it."""
    check_together(keys)
    # Etcd's command line assumes `periodic`; a file without a mode is fatal on 3.5.21.
    return {MODE: "periodic", **keys} if RETENTION in keys else keys


# ---------------------------------------------------------------- what to say
def _unknown(name: str, version: Version) -> str:
    other = plain_name(name)
    if other != name and option(other, version) is not None:
        return f"etcd {version} calls it {other}"
    if name in GATE_OF and has_gate(GATE_OF[name], version):
        return f"etcd {version} has the feature gate {GATE_OF[name]} instead"
    releases = [*first_releases(name), *first_releases(EXPERIMENTAL + name)]
    if not releases:
        return "no supported version of etcd knows it"
    since = ", ".join(_since(release) for release in sorted(set(releases)))
    return f"etcd {version} does not know it; known to {since}"


def _since(release: Version) -> str:
    if release.patch == 0:
        return f"etcd {release.minor_version}"
    return f"etcd {release.minor_version} from {release} on"


def _only_a_flag(name: str, version: Version) -> str:
    return (
        f"etcd {version} takes it on its command line only, and reads no command line "
        "beside a configuration file"
    )
