"""What the operator finds fit in the user's Secrets is fit for real etcd, and what members need."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.issue import leaf_secret
from controllers.cluster.certificates.validate import examine
from etcd.dialer import DirectDialer
from etcd.pool import ChannelPool
from etcd.tls import ClientTLS
from tests.integration.etcd.processes import wait_for
from tests.integration.etcd.tls_members import TLSCluster, speak
from tests.unit.controllers.cluster.builders import spec
from tests.unit.controllers.cluster.certificate_builders import IDENTITY
from tests.unit.controllers.cluster.user_certificates import (
    GIVEN,
    PEER_NAMES,
    authorities,
    key,
    made,
    pair,
    peer,
    root,
    server,
)

pytestmark = pytest.mark.timeout(90)

SPEC = {"security": {"tls": {"enabled": True, **GIVEN}}}
# Up to 3.5 a listener looks whether one of the names of a caller is its address's: here it is.
LOOPBACK_NAME = {"3.5.21": ("localhost",)}


def now():
    return datetime.now(UTC)  # noqa: TID251 - as etcd sees it


def members_certificate(names, serial):
    return peer(names=names, owner=key(f"peer {serial}", "P-384"), since=now() - timedelta(hours=1))


def secrets(serial):
    """An RSA key, an authority in between, a bundle of two: what users have."""
    since = {"since": now() - timedelta(hours=1)}
    between = made("between", by=root(), authority=True, owner=key("between", "RSA 2048"), **since)
    web = server(by=between, above=(between,), owner=key(f"web {serial}", "RSA 2048"), **since)
    members = members_certificate((*PEER_NAMES, "127.0.0.1"), serial)
    found = (
        pair("web", web),
        authorities("ours", root("former"), root()),
        pair("peers", members, root("peers")),
    )
    return {one["metadata"]["name"]: one for one in found}


def copied(version, serial="first"):
    """The Secrets that members mount.

    Members are called by address here, so the certificate that they show has it; the one that they
    call with has names only, as it would in Kubernetes.
    """
    who, given = Holder.of(IDENTITY, spec(**SPEC).security.tls), secrets(serial)
    found = {source.role: examine(source, given, who, now()) for source in who.sources}
    assert not [one.facts.problem for one in found.values() if one.facts.problem]
    caller = members_certificate((*PEER_NAMES, *LOOPBACK_NAME.get(version, ())), serial)
    data = {role: dict(one.data) for role, one in found.items()}
    data[Role.PEER]["client.crt"] = caller.pem
    return {role: leaf_secret(who, role, values) for role, values in data.items()}


def credentials(cluster):
    client = cluster.mounts / "client"
    return ClientTLS(
        ca=(client / "ca.crt").read_bytes(),
        cert=(client / "tls.crt").read_bytes(),
        key=(client / "tls.key").read_bytes(),
    )


@pytest.mark.parametrize("version", ["3.5.21", "3.6.16", "3.7.3"])
async def test_members_form_a_cluster_with_the_users_certificates(tmp_path, version):
    cluster = TLSCluster(tmp_path, version, fields=SPEC, found=copied(version))
    pool = ChannelPool(DirectDialer())
    pool.trust("prod/db", credentials(cluster))

    async def serials():
        answers = [
            await asyncio.to_thread(speak, member, member.client_port, cluster.context("client"))
            for member in cluster.members
        ]
        assert [answer.status for answer in answers] == [200] * 3
        return {answer.serial for answer in answers}

    try:
        cluster.start()
        for member in cluster.members:
            client = pool.client(member.endpoint())
            assert await wait_for(lambda c=client: c.cluster.member_list(timeout_s=2))
        caller = cluster.context("peer", cert="client.crt")
        for member in cluster.members:
            answer = await asyncio.to_thread(speak, member, member.peer_port, caller, "/members")
            assert (answer.status, len(json.loads(answer.body))) == (200, 3)
        before = await serials()
        cluster.mount(copied(version, "renewed"))
        assert not before & await serials()
        restarted = cluster.members[1]
        restarted.process.terminate()
        await asyncio.to_thread(restarted.process.wait, 15)
        cluster.start_member(restarted)
        client = pool.client(restarted.endpoint())
        assert await wait_for(lambda: client.cluster.member_list(timeout_s=2))
    finally:
        cluster.kill()
        await pool.close()
