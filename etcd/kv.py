"""Reading and writing keys: service `etcdserverpb.KV`. Operations and results: `etcd.kv_types`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcd import kv_wire, rpc
from etcd.header import Header, header_of
from etcd.proto import kv_pb2 as pb

if TYPE_CHECKING:
    from etcd.kv_types import (
        DeleteRange,
        DeleteRangeResult,
        Put,
        PutResult,
        Range,
        RangeResult,
        Txn,
        TxnResult,
    )
    from etcd.transport import Transport

READ_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 8.0
COMPACT_TIMEOUT_S = 60.0


class KVClient:
    """Keys and values, through one member."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def range(self, op: Range, *, timeout_s: float = READ_TIMEOUT_S) -> RangeResult:
        """Reads keys; linearizable unless the operation says serializable.

        Retry-safe. Raises CompactedError, FutureRevisionError, LearnerUnsupportedError
        (linearizable, through a learner); without quorum RequestTimedOutError or NoLeaderError.
        """
        answer = await self._transport.unary(
            rpc.RANGE, kv_wire.range_request(op), timeout_s=timeout_s
        )
        return kv_wire.range_result(answer)

    async def put(self, op: Put, *, timeout_s: float = WRITE_TIMEOUT_S) -> PutResult:
        """Writes one key, in a revision of its own.

        Not retry-safe where `maybe_applied` (a second put is a second revision). Raises
        NoSpaceError (which may have been applied), CorruptError, LeaseNotFoundError,
        RequestTooLargeError, LearnerUnsupportedError.
        """
        answer = await self._transport.unary(rpc.PUT, kv_wire.put_request(op), timeout_s=timeout_s)
        return kv_wire.put_result(answer)

    async def delete_range(
        self, op: DeleteRange, *, timeout_s: float = WRITE_TIMEOUT_S
    ) -> DeleteRangeResult:
        """Deletes keys, in one revision; none if nothing was there. Errors as for `put`.

        Repeating it is harmless unless somebody wrote the keys in between.
        """
        answer = await self._transport.unary(
            rpc.DELETE_RANGE, kv_wire.delete_request(op), timeout_s=timeout_s
        )
        return kv_wire.delete_result(answer)

    async def txn(self, op: Txn, *, timeout_s: float = WRITE_TIMEOUT_S) -> TxnResult:
        """Runs one branch, in one revision. Errors as for `put`, and BadRequestError for a key
        written twice or more than `--max-txn-ops` (128) operations.

        Retry-safe only if its conditions fail once it was applied.
        """
        answer = await self._transport.unary(rpc.TXN, kv_wire.txn_request(op), timeout_s=timeout_s)
        return kv_wire.txn_result(answer)

    async def compact(
        self, revision: int, *, physical: bool = False, timeout_s: float = COMPACT_TIMEOUT_S
    ) -> Header:
        """Forgets all revisions below `revision`; reads and watches there raise CompactedError.

        Through the quorum. Repeating it raises CompactedError, which is as good as done. physical:
        answer when the database has been cleared, not only marked.
        """
        request = pb.CompactionRequest(revision=revision, physical=physical)
        answer = await self._transport.unary(rpc.COMPACT, request, timeout_s=timeout_s)
        return header_of(answer.header)
