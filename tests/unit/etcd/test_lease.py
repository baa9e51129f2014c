"""Leases of a name of one's own, and many of them kept alive through one stream."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest

from etcd import rpc
from etcd.errors import LeaseExistsError, LeaseNotFoundError, TransportCause, UnavailableError
from etcd.proto import lease_pb2 as pb
from tests.unit.etcd.fake_member import HEADER, endpoint

MANY = 1000


@dataclass
class FakeLeases:
    """alive: seconds by ID. ends_after: a stream ends when it has read so many keep-alives.

    answers: only so many of them are answered.
    """

    alive: dict[int, int] = field(default_factory=dict)
    ends_after: int = 1 << 30
    answers: int = 1 << 30
    port: int = 0
    streams: int = 0
    renewed: list[int] = field(default_factory=list)

    async def grant(self, request, context):
        if request.id in self.alive:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "etcdserver: lease already exists"
            )
        lease_id = request.id or 77
        self.alive[lease_id] = request.ttl
        return pb.LeaseGrantResponse(header=HEADER, id=lease_id, ttl=request.ttl)

    async def keep_alive(self, requests, _context):
        self.streams += 1
        number = 0
        async for request in requests:
            number += 1
            if number <= self.answers:
                self.renewed.append(request.id)
                ttl = self.alive.get(request.id, 0)
                yield pb.LeaseKeepAliveResponse(header=HEADER, id=request.id, ttl=ttl)
            if number == self.ends_after:
                return

    async def time_to_live(self, request, _context):
        ttl = self.alive.get(request.id, -1)
        return pb.LeaseTimeToLiveResponse(
            header=HEADER, id=request.id, ttl=ttl, granted_ttl=max(0, ttl)
        )


@asynccontextmanager
async def serving():
    leases = FakeLeases()
    server = grpc.aio.server()
    unary, duplex = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
    handlers = {
        method.name: make(
            does,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )
        for method, make, does in (
            (rpc.LEASE_GRANT, unary, leases.grant),
            (rpc.LEASE_KEEP_ALIVE, duplex, leases.keep_alive),
            (rpc.LEASE_TIME_TO_LIVE, unary, leases.time_to_live),
        )
    }
    service = rpc.LEASE_GRANT.service
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    leases.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield leases
    finally:
        await server.stop(None)


@pytest.fixture
async def leases():
    async with serving() as running:
        yield running


@pytest.fixture
def client(leases, pool):
    return pool.client(endpoint(port=leases.port)).lease


async def test_lease_has_the_id_that_was_asked_for(client, leases):
    granted = await client.grant(60, lease_id=0x1234)

    assert (granted.id, granted.ttl_s) == (0x1234, 60)
    assert leases.alive == {0x1234: 60}


async def test_without_an_id_etcd_chooses_one(client):
    assert (await client.grant(60)).id == 77


async def test_lease_that_is_there_already_stays_as_it_is(client, leases):
    leases.alive = {7: 600}

    with pytest.raises(LeaseExistsError):
        await client.grant(60, lease_id=7)

    assert leases.alive == {7: 600}


async def test_many_are_renewed_through_one_stream(client, leases):
    leases.alive = dict.fromkeys(range(1, MANY + 1), 60)

    gone = await client.keep_all_alive([*leases.alive])

    assert gone == frozenset()
    assert leases.streams == 1
    assert leases.renewed == [*leases.alive]


async def test_those_that_are_gone_are_told(client, leases):
    leases.alive = dict.fromkeys(range(1, MANY + 1), 60)
    for lease_id in (1, 256, 257, MANY):
        del leases.alive[lease_id]

    gone = await client.keep_all_alive([*range(1, MANY + 1)])

    assert gone == {1, 256, 257, MANY}


async def test_none_are_renewed_without_a_question(client, leases):
    assert await client.keep_all_alive([]) == frozenset()
    assert leases.renewed == []


@pytest.mark.parametrize(
    ("read", "answered"), [(256, 0), (256, 5), (256, 255), (400, 256), (400, 399)]
)
async def test_stream_that_ends_before_all_are_renewed_is_an_error(client, leases, read, answered):
    """Whoever was not answered for may end: nobody may take it for renewed."""
    leases.alive = dict.fromkeys(range(1, 401), 60)
    leases.ends_after, leases.answers = read, answered

    with pytest.raises(UnavailableError) as refusal:
        await client.keep_all_alive([*leases.alive])

    assert refusal.value.cause is TransportCause.CLOSED


async def test_stream_without_answers_ends_at_its_deadline(client, leases):
    leases.answers = 1

    with pytest.raises(UnavailableError) as refusal:
        await client.keep_all_alive([1, 2], timeout_s=0.2)

    assert refusal.value.cause is TransportCause.DEADLINE


async def test_one_that_is_gone_is_not_renewed_alone_either(client):
    with pytest.raises(LeaseNotFoundError):
        await client.keep_alive(7)


async def test_time_that_a_lease_was_granted_for_is_told(client, leases):
    leases.alive = {7: 60}

    info = await client.time_to_live(7)

    assert (info.id, info.granted_ttl_s) == (7, 60)
    with pytest.raises(LeaseNotFoundError):
        await client.time_to_live(8)
