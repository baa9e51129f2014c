"""Operations on keys → messages, and messages → results. Pure; for `etcd.kv` and `etcd.watch`."""

from __future__ import annotations

from typing import Final, assert_never

from etcd.header import header_of
from etcd.ids import LeaseID
from etcd.kv_types import (
    Compare,
    DeleteRange,
    DeleteRangeResult,
    KeyValue,
    Operation,
    OperationResult,
    Operator,
    Put,
    PutResult,
    Range,
    RangeResult,
    Target,
    Txn,
    TxnResult,
)
from etcd.proto import kv_pb2 as pb
from etcd.proto import mvcc_pb2

_OPERATORS: Final = {
    Operator.EQUAL: pb.Compare.EQUAL,
    Operator.NOT_EQUAL: pb.Compare.NOT_EQUAL,
    Operator.GREATER: pb.Compare.GREATER,
    Operator.LESS: pb.Compare.LESS,
}
_TARGETS: Final = {
    Target.VERSION: pb.Compare.VERSION,
    Target.CREATE_REVISION: pb.Compare.CREATE,
    Target.MOD_REVISION: pb.Compare.MOD,
    Target.VALUE: pb.Compare.VALUE,
    Target.LEASE: pb.Compare.LEASE,
}


def range_request(op: Range) -> pb.RangeRequest:
    return pb.RangeRequest(
        key=op.key,
        range_end=op.range_end,
        limit=op.limit,
        revision=op.revision,
        serializable=op.serializable,
        keys_only=op.keys_only,
        count_only=op.count_only,
    )


def put_request(op: Put) -> pb.PutRequest:
    return pb.PutRequest(key=op.key, value=op.value, lease=op.lease, prev_kv=op.prev_kv)


def delete_request(op: DeleteRange) -> pb.DeleteRangeRequest:
    return pb.DeleteRangeRequest(key=op.key, range_end=op.range_end, prev_kv=op.prev_kv)


def txn_request(op: Txn) -> pb.TxnRequest:
    return pb.TxnRequest(
        compare=[_compare(c) for c in op.compare],
        success=[_request_op(o) for o in op.success],
        failure=[_request_op(o) for o in op.failure],
    )


def range_result(message: pb.RangeResponse) -> RangeResult:
    return RangeResult(
        header=header_of(message.header),
        kvs=tuple(key_value(kv) for kv in message.kvs),
        more=message.more,
        count=message.count,
    )


def put_result(message: pb.PutResponse) -> PutResult:
    previous = key_value(message.prev_kv) if message.HasField("prev_kv") else None
    return PutResult(header=header_of(message.header), prev_kv=previous)


def delete_result(message: pb.DeleteRangeResponse) -> DeleteRangeResult:
    return DeleteRangeResult(
        header=header_of(message.header),
        deleted=message.deleted,
        prev_kvs=tuple(key_value(kv) for kv in message.prev_kvs),
    )


def txn_result(message: pb.TxnResponse) -> TxnResult:
    return TxnResult(
        header=header_of(message.header),
        succeeded=message.succeeded,
        results=tuple(_operation_result(r) for r in message.responses),
    )


def key_value(message: mvcc_pb2.KeyValue) -> KeyValue:
    return KeyValue(
        key=message.key,
        value=message.value,
        create_revision=message.create_revision,
        mod_revision=message.mod_revision,
        version=message.version,
        lease=LeaseID(message.lease),
    )


def _compare(c: Compare) -> pb.Compare:
    message = pb.Compare(key=c.key, result=_OPERATORS[c.operator], target=_TARGETS[c.target])
    setattr(message, c.target.value, c.operand)  # the field of the union is named like the target
    return message


def _request_op(op: Operation) -> pb.RequestOp:
    match op:
        case Range():
            return pb.RequestOp(request_range=range_request(op))
        case Put():
            return pb.RequestOp(request_put=put_request(op))
        case DeleteRange():
            return pb.RequestOp(request_delete_range=delete_request(op))
        case Txn():
            return pb.RequestOp(request_txn=txn_request(op))
        case _:
            assert_never(op)


def _operation_result(message: pb.ResponseOp) -> OperationResult:
    match message.WhichOneof("response"):
        case "response_range":
            return range_result(message.response_range)
        case "response_put":
            return put_result(message.response_put)
        case "response_delete_range":
            return delete_result(message.response_delete_range)
        case _:
            return txn_result(message.response_txn)
