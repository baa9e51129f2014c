"""A gRPC server in this process that answers as it is told to, and notes how it was called."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio

from etcd import rpc
from etcd.dialer import Endpoint
from etcd.proto import header_pb2, maintenance_pb2

HEADER = header_pb2.ResponseHeader(cluster_id=0xC, member_id=0xA, revision=7, raft_term=3)


@dataclass
class FakeMember:
    """Serves Status (answer, refusal or silence), Snapshot chunks and echoing keep-alives."""

    port: int = 0
    refusal: tuple[grpc.StatusCode, str] | None = None
    silent: bool = False
    # asyncio writes the member into the names of tasks.
    chunks: list[maintenance_pb2.SnapshotResponse] = field(default_factory=list, repr=False)
    metadata: list[dict[str, str]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def status(self, _request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        self.called.set()
        if self.refusal is not None:
            await context.abort(*self.refusal)
        await self._stay_silent()
        return maintenance_pb2.StatusResponse(header=HEADER, version="3.6.16", leader=0xA)

    async def snapshot(self, _request, _context):
        for chunk in self.chunks:
            yield chunk
        await self._stay_silent()

    async def _stay_silent(self):
        if not self.silent:
            return
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    def endpoint(self, **changes):
        return endpoint(port=self.port, **changes)


def endpoint(**changes):
    defaults = {
        "cluster": "ns/main",
        "namespace": "ns",
        "pod": "main-0",
        "pod_uid": "uid-0",
        "address": "127.0.0.1",
        "fqdn": "main-0.main-peer.ns.svc.cluster.local",
    }
    return Endpoint(**{**defaults, **changes})


@asynccontextmanager
async def serving(*, credentials=None, host="127.0.0.1"):
    member = FakeMember()
    server = grpc.aio.server()
    unary = grpc.unary_unary_rpc_method_handler(
        member.status,
        request_deserializer=rpc.STATUS.request.FromString,
        response_serializer=rpc.STATUS.response.SerializeToString,
    )
    stream = grpc.unary_stream_rpc_method_handler(
        member.snapshot,
        request_deserializer=rpc.SNAPSHOT.request.FromString,
        response_serializer=rpc.SNAPSHOT.response.SerializeToString,
    )
    methods = {rpc.STATUS.name: unary, rpc.SNAPSHOT.name: stream}
    handler = grpc.method_handlers_generic_handler(rpc.STATUS.service, methods)
    server.add_generic_rpc_handlers((handler,))
    if credentials is None:
        member.port = server.add_insecure_port(f"{host}:0")
    else:
        member.port = server.add_secure_port(f"{host}:0", credentials)
    await server.start()
    try:
        yield member
    finally:
        await server.stop(None)
