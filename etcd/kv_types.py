"""Keys, values and the operations on them, as values.

Operations are values so that a transaction can hold them; `etcd.kv` sends them, `etcd.kv_wire`
turns them into messages. Keys and values are bytes. Imports no gRPC.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from etcd.ids import LeaseID

if TYPE_CHECKING:
    from etcd.header import Header

ALL_KEYS = b"\0"  # as key and as range_end: the whole key space
NO_LEASE = LeaseID(0)


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` of all keys that begin with `prefix`; an empty prefix means all keys."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else ALL_KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValue:
    """A key at one revision. lease: 0 without one; version: puts since the key was created."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: LeaseID


# ---------------------------------------------------------------- operations
@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Reads [key, range_end), in the order of the keys; an empty range_end means the one key.

    limit 0: no limit. revision 0: the newest. serializable: from the member's own state, possibly
    stale, without quorum, also from a learner.
    """

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    serializable: bool = False
    keys_only: bool = False
    count_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Writes one key. lease: the key goes when the lease does."""

    key: bytes
    value: bytes
    lease: LeaseID = NO_LEASE
    prev_kv: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRange:
    """Deletes [key, range_end); an empty range_end means the one key."""

    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class Operator(enum.Enum):
    """How a transaction compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    GREATER = ">"
    LESS = "<"


class Target(enum.Enum):
    """What of a key a transaction compares; all but VALUE are numbers, 0 for an absent key."""

    VERSION = "version"
    CREATE_REVISION = "create_revision"
    MOD_REVISION = "mod_revision"
    VALUE = "value"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class Compare:
    """One condition of a transaction; `Compare(key, Target.VERSION, Operator.EQUAL, 0)`: absent."""

    key: bytes
    target: Target
    operator: Operator
    operand: int | bytes

    def __post_init__(self) -> None:
        if isinstance(self.operand, bytes) is not (self.target is Target.VALUE):
            message = f"{self.target.value} can't be compared with {type(self.operand)}"
            raise TypeError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Txn:
    """If all conditions hold `success`, else `failure`: in one revision, at most 128 operations."""

    compare: tuple[Compare, ...] = ()
    success: tuple[Operation, ...] = ()
    failure: tuple[Operation, ...] = ()


Operation: TypeAlias = Range | Put | DeleteRange | Txn


# ---------------------------------------------------------------- results
@dataclass(frozen=True, slots=True, kw_only=True)
class RangeResult:
    """count: of the whole range, whatever the limit; more: the limit cut it."""

    header: Header
    kvs: tuple[KeyValue, ...]
    more: bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """prev_kv: only when asked for, and None for a new key. header.revision: of this write."""

    header: Header
    prev_kv: KeyValue | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRangeResult:
    """deleted: how many keys; prev_kvs: only when asked for."""

    header: Header
    deleted: int
    prev_kvs: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnResult:
    """succeeded: which branch ran; results: of its operations, in their order."""

    header: Header
    succeeded: bool
    results: tuple[OperationResult, ...]


OperationResult: TypeAlias = RangeResult | PutResult | DeleteRangeResult | TxnResult
