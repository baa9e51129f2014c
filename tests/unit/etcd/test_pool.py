"""Channels live as long as their pods."""

from __future__ import annotations

import asyncio

import pytest

from etcd.errors import TransportCause, UnavailableError
from etcd.tls import ClientTLS
from tests.unit.etcd.fake_member import endpoint

TLS = ClientTLS(ca=b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")


async def test_same_pod_has_the_same_client(pool):
    assert pool.client(endpoint()) is pool.client(endpoint())


@pytest.mark.parametrize(
    "change", [{"pod_uid": "uid-1"}, {"address": "127.0.0.2"}, {"port": 1}], ids=str
)
async def test_another_pod_or_address_has_another_client(pool, change):
    assert pool.client(endpoint()) is not pool.client(endpoint(**change))


async def test_other_credentials_make_another_client(pool):
    plain = pool.client(endpoint())
    pool.trust("ns/main", TLS)

    secure = pool.client(endpoint())

    assert plain is not secure
    assert secure is pool.client(endpoint())
    assert pool.statistics().channels == 2


async def test_credentials_are_those_of_one_cluster(pool):
    other = pool.client(endpoint(cluster="ns/other", pod_uid="other"))
    pool.trust("ns/main", TLS)

    assert other is pool.client(endpoint(cluster="ns/other", pod_uid="other"))
    assert [pool.trusts(cluster) for cluster in ("ns/main", "ns/other")] == [True, False]


async def test_cluster_that_is_gone_leaves_nothing(pool):
    pool.trust("ns/main", TLS)
    pool.client(endpoint())

    await pool.forget("ns/main")

    assert pool.statistics().channels == 0
    assert not pool.trusts("ns/main")


async def test_retain_closes_pods_that_are_gone(pool):
    gone, stays = endpoint(pod_uid="gone"), endpoint(pod_uid="stays")
    pool.client(gone)
    kept = pool.client(stays)

    await pool.retain("ns/main", [stays])

    assert kept is pool.client(stays)
    assert (
        pool.statistics().channels,
        pool.statistics().opened,
        pool.statistics().closed,
    ) == (1, 2, 1)


async def test_retain_leaves_other_clusters_alone(pool):
    other = pool.client(endpoint(cluster="ns/other", pod_uid="other"))

    await pool.retain("ns/main", [])

    assert other is pool.client(endpoint(cluster="ns/other", pod_uid="other"))


async def test_retain_closes_what_new_credentials_replaced(pool):
    pool.client(endpoint())
    pool.trust("ns/main", TLS)
    pool.client(endpoint())

    await pool.retain("ns/main", [endpoint()])

    assert pool.statistics().channels == 1


@pytest.mark.parametrize("end", ["retain", "close"])
async def test_call_on_a_closed_channel_is_unavailable_and_not_a_cancellation(pool, member, end):
    member.silent = True
    call = asyncio.ensure_future(pool.client(member.endpoint()).maintenance.status(timeout_s=10))
    await asyncio.wait_for(member.called.wait(), 5)

    await (pool.close() if end == "close" else pool.retain("ns/main", []))

    with pytest.raises(UnavailableError) as raised:
        await call
    assert (raised.value.cause, raised.value.maybe_applied) == (TransportCause.CLOSED, True)


async def test_client_of_a_closed_channel_says_so(pool, member):
    client = pool.client(member.endpoint())
    await pool.retain("ns/main", [])

    with pytest.raises(UnavailableError) as raised:
        await client.maintenance.status()

    assert (raised.value.cause, raised.value.maybe_applied) == (TransportCause.CLOSED, False)


async def test_closed_pool_opens_nothing(pool):
    await pool.close()

    with pytest.raises(RuntimeError, match="closed"):
        pool.client(endpoint())


async def test_closing_twice_is_harmless(pool):
    pool.client(endpoint())

    await pool.close()
    await pool.close()

    assert pool.statistics().channels == 0
