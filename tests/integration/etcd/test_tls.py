"""Our files and certificates, held to real etcd of every version: who is let in, and who is not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.request

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from api.labels import TLS_MOUNT_PATH
from controllers.cluster.certificates.due import AUTHORITY_LIFE
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.issue import new_leaf
from controllers.cluster.certificates.subjects import Subject
from controllers.cluster.render.tls import etcdctl_environment
from etcd.errors import UnavailableError
from etcd.tls import ClientTLS
from tests.integration.etcd.processes import VERSIONS, programs, wait_for
from tests.integration.etcd.tls_members import TLSCluster, fresh, speak, written
from tests.unit.controllers.cluster.builders import NOW
from tests.unit.controllers.cluster.certificate_builders import authority, key, leaf

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module", params=VERSIONS)
def cluster(request, tmp_path_factory):
    """Three members of each version, started once."""
    made = TLSCluster(tmp_path_factory.mktemp(f"tls-{request.param}"), request.param)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def credentials(cluster):
    client = cluster.mounts / "client"
    return ClientTLS(
        ca=(client / "ca.crt").read_bytes(),
        cert=(client / "tls.crt").read_bytes(),
        key=(client / "tls.key").read_bytes(),
    )


@pytest.fixture
async def formed(cluster, pool):
    """The same once every member answers the operator's own client, by its pod's name."""
    pool.trust("prod/db", credentials(cluster))
    for member in cluster.members:
        client = pool.client(member.endpoint())
        listed = await wait_for(lambda c=client: c.cluster.member_list(timeout_s=2))
        assert len(listed.members) == 3
    return cluster


async def ask(*arguments, **more):
    return await asyncio.to_thread(speak, *arguments, **more)


async def test_application_with_the_client_secret_is_served(formed):
    for member in formed.members:
        answer = await ask(member, member.client_port, formed.context("client"))
        assert (answer.status, json.loads(answer.body)["etcdserver"]) == (200, formed.version)


async def test_json_gateway_is_served_too(formed):
    """It calls its own listener with the server's certificate, which must be a client's as well."""
    member = formed.members[0]
    answer = await ask(
        member,
        member.client_port,
        formed.context("client"),
        "/v3/maintenance/status",
        method="POST",
        body="{}",
    )

    assert answer.status == 200, answer


async def test_members_are_served_by_members(formed):
    for member in formed.members:
        caller = formed.context("peer", cert="client.crt")
        answer = await ask(member, member.peer_port, caller, "/members")
        assert (answer.status, len(json.loads(answer.body))) == (200, 3)


@pytest.mark.parametrize("port", ["client_port", "peer_port"])
async def test_nobody_is_served_without_a_certificate(formed, port):
    member = formed.members[0]
    trusted = "client" if port == "client_port" else "peer"
    answer = await ask(member, getattr(member, port), formed.stranger(trusted))

    assert "ALERT" in answer.refused


@pytest.mark.parametrize("port", ["client_port", "peer_port"])
async def test_nobody_is_served_in_plain_text(formed, port):
    member = formed.members[0]
    answer = await ask(member, getattr(member, port), None)

    assert answer.status != 200, answer


@pytest.mark.parametrize("port", ["client_port", "peer_port"])
@pytest.mark.parametrize("how", ["another authority", "the other authority of the cluster"])
async def test_certificate_of_another_authority_is_refused(formed, tmp_path, port, how):
    member = formed.members[0]
    is_client = port == "client_port"
    context = formed.stranger("client" if is_client else "peer")
    own = Role.CLIENT_CA if is_client else Role.PEER_CA
    other = Role.PEER_CA if is_client else Role.CLIENT_CA
    by = authority(own, name="another") if how == "another authority" else authority(other)
    folder = written(tmp_path / "theirs", fresh(by=by)[Role.CLIENT])
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    answer = await ask(member, getattr(member, port), context)

    assert "ALERT" in answer.refused


async def test_certificate_of_the_peer_authority_for_somebody_else_is_refused(formed, tmp_path):
    member = formed.members[0]
    subject = Subject(common_name="mallory", calls=True)
    life = (NOW, NOW + AUTHORITY_LIFE)
    made = new_leaf(authority(Role.PEER_CA), subject, key(Role.PEER), 7, life)
    folder = written(tmp_path / "mallory", leaf(Role.PEER))  # the key is theirs, the name is not
    (folder / "tls.crt").write_bytes(made.public_bytes(Encoding.PEM))
    context = formed.stranger("peer")
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    answer = await ask(member, member.peer_port, context, "/members")

    assert "ALERT" in answer.refused


async def test_operator_without_its_certificate_is_refused(formed, pool):
    pool.trust("prod/db", ClientTLS(ca=credentials(formed).ca))
    client = pool.client(formed.members[0].endpoint())
    with pytest.raises(UnavailableError):
        await client.maintenance.status(timeout_s=3)


async def test_probes_need_no_certificate(formed):
    def get(member):
        url = f"http://127.0.0.1:{member.metrics_port}/readyz"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status

    for member in formed.members:
        assert await asyncio.to_thread(get, member) == 200


async def test_etcdctl_needs_no_flag_for_its_certificates(formed):
    variables = {
        one["name"]: one["value"].replace(TLS_MOUNT_PATH, str(formed.mounts))
        for one in etcdctl_environment()
    }
    member = formed.members[0]
    command = [
        programs(formed.version) / "etcdctl",
        "--endpoints",
        f"127.0.0.1:{member.client_port}",
    ]
    run = await asyncio.to_thread(
        subprocess.run,
        [*command, "member", "list"],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 3


async def test_renewed_certificates_are_served_without_a_restart(formed, pool):
    """New handshakes get the new ones, members' among themselves too; what is open stays open."""
    processes = [member.process.pid for member in formed.members]
    member = formed.members[0]
    ports = {"server": member.client_port, "peer": member.peer_port}
    old = pool.client(member.endpoint())
    before = {
        "server": (await ask(member, member.client_port, formed.context("client"))).serial,
        "peer": (
            await ask(member, member.peer_port, formed.context("peer", cert="client.crt"))
        ).serial,
    }
    formed.mount(fresh(owner="renewed"))

    assert (await old.cluster.member_list(timeout_s=3)).members
    pool.trust("prod/db", credentials(formed))
    new = pool.client(member.endpoint())
    assert new is not old
    assert (await new.cluster.member_list(timeout_s=3)).members
    for name, port in ports.items():
        folder, cert = ("client", "tls.crt") if name == "server" else ("peer", "client.crt")
        answer = await ask(member, port, formed.context(folder, cert=cert))
        assert answer.status in {200, 404}
        assert answer.serial not in {0, before[name]}
    assert [m.process.pid for m in formed.members] == processes
    assert all(m.process.poll() is None for m in formed.members)
    follower = formed.members[1]
    follower.process.terminate()
    await asyncio.to_thread(follower.process.wait, 15)
    follower.start_with((follower.folder / "etcd.yaml").read_text())
    again = pool.client(follower.endpoint())
    assert await wait_for(lambda: again.cluster.member_list(timeout_s=2))


@pytest.mark.parametrize(("low", "high"), [("3.5.35", "3.6.16"), ("3.6.16", "3.7.3")])
async def test_members_of_two_releases_understand_each_other(tmp_path, pool, low, high):
    """In every mixture on the way up, each member calls and is called by the others."""
    mixed = TLSCluster(tmp_path, low)
    pool.trust("prod/db", credentials(mixed))

    async def all_follow():
        answers = [
            await pool.client(member.endpoint()).maintenance.status(timeout_s=2)
            for member in mixed.members
        ]
        indexes = {answer.raft_applied_index for answer in answers}
        return len({answer.leader for answer in answers} - {None}) == 1 and len(indexes) == 1

    try:
        mixed.start()
        assert await wait_for(all_follow)
        for member in mixed.members:
            await asyncio.to_thread(mixed.upgrade, member, high)
            client = pool.client(member.endpoint())
            assert await wait_for(lambda c=client: c.cluster.member_list(timeout_s=2))
            assert await wait_for(all_follow)
            caller = mixed.context("peer", cert="client.crt")
            for each in mixed.members:
                answer = await ask(each, each.peer_port, caller, "/members")
                assert answer.status == 200
    finally:
        mixed.kill()
