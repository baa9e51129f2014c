"""Calls end in an answer or in a typed error, are counted, and never hang."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import grpc
import pytest

from etcd.dialer import DirectDialer
from etcd.errors import (
    CredentialsMissingError,
    EtcdError,
    LearnerUnsupportedError,
    TransportCause,
    UnavailableError,
)
from etcd.pool import ChannelPool
from etcd.proto import maintenance_pb2
from tests.unit.etcd.fake_member import endpoint


class Heard:
    """An observer that keeps what it hears."""

    def __init__(self):
        self.calls = []

    def on_call(self, rpc, code, seconds):
        self.calls.append((rpc, code, seconds))

    def codes(self):
        return [(rpc, code) for rpc, code, _ in self.calls]


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
async def client(member, heard):
    pool = ChannelPool(DirectDialer(), observer=heard)
    yield pool.client(member.endpoint())
    await pool.close()


async def test_answers_become_values(client):
    status = await client.maintenance.status()

    assert (
        status.version,
        status.member_id,
        status.cluster_id,
        status.revision,
    ) == ("3.6.16", 0xA, 0xC, 7)
    assert status.is_leader


async def test_refusals_become_typed_errors(client, member):
    member.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: user name is empty")

    with pytest.raises(CredentialsMissingError) as raised:
        await client.maintenance.status()

    assert (raised.value.rpc, raised.value.code) == ("Status", "INVALID_ARGUMENT")


async def test_silence_ends_at_the_deadline(client, member):
    member.silent = True

    with pytest.raises(UnavailableError) as raised:
        await client.maintenance.status(timeout_s=0.1)

    assert TransportCause.DEADLINE is raised.value.cause


async def test_every_call_is_counted_with_its_code(client, member, heard):
    await client.maintenance.status()
    member.refusal = (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
    with pytest.raises(EtcdError):
        await client.maintenance.status()

    assert heard.codes() == [("Status", "OK"), ("Status", "UNAVAILABLE")]
    assert all(0 <= seconds < 5 for _, _, seconds in heard.calls)


async def test_cancelling_a_task_cancels_its_call_at_the_server(client, member, heard):
    member.silent = True
    task = asyncio.ensure_future(client.maintenance.status(timeout_s=10))
    await asyncio.wait_for(member.called.wait(), 5)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(member.cancelled.wait(), 5)
    assert heard.codes() == [("Status", "CANCELLED")]


async def test_outer_timeout_is_the_callers_own(client, member):
    member.silent = True

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.maintenance.status(timeout_s=10)


async def test_token_travels_with_every_call_but_only_when_given(client, member):
    await client.maintenance.status()
    await client.with_token("secret").maintenance.status()

    assert [sent.get("token") for sent in member.metadata] == [None, "secret"]


async def test_nobody_at_the_address_is_refused(pool):
    client = pool.client(endpoint(port=1))

    with pytest.raises(UnavailableError) as raised:
        await client.maintenance.status()

    assert (raised.value.cause, raised.value.maybe_applied) == (TransportCause.REFUSED, False)


async def test_unknown_methods_are_not_supported(client):
    with pytest.raises(EtcdError) as raised:
        await client.health.is_serving()

    assert raised.value.code == "UNIMPLEMENTED"


async def test_learners_refusal_is_told_apart_in_streams(client, member):
    member.refusal = (
        grpc.StatusCode.FAILED_PRECONDITION,
        "etcdserver: rpc not supported for learner",
    )

    with pytest.raises(LearnerUnsupportedError):
        await client.maintenance.status()


async def test_stream_that_falls_silent_ends_at_its_idle_limit(client, member):
    member.chunks = [maintenance_pb2.SnapshotResponse(blob=b"x", remaining_bytes=9)]
    member.silent = True

    with pytest.raises(UnavailableError) as raised:
        async for _ in client.maintenance.snapshot(timeout_s=10, idle_s=0.2):
            pass

    assert TransportCause.DEADLINE is raised.value.cause


async def test_leaving_a_stream_early_ends_it_at_the_server(client, member):
    member.chunks = [maintenance_pb2.SnapshotResponse(blob=b"x", remaining_bytes=9)]
    member.silent = True

    async with aclosing(client.maintenance.snapshot()) as chunks:
        await anext(chunks)

    await asyncio.wait_for(member.cancelled.wait(), 5)
