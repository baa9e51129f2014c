"""The rotation of both authorities, phase by phase, on real etcd: members restart one by one and
let each other in, and clients are served with the files of a phase and of the one before.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from datetime import UTC, datetime

import pytest

from api.v1alpha1.cluster_status import AuthorityRotation
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER, LEAVES, Role
from controllers.cluster.certificates.issue import leaf_secret, trust_data
from controllers.cluster.certificates.parse import fingerprint, read_facts
from controllers.cluster.certificates.trust import NAMES, Phase, recorded, trust_of
from etcd.errors import UnavailableError
from etcd.handshake import shown_certificate
from etcd.tls import ClientTLS
from tests.integration.etcd.processes import STOP_DEADLINE_S, wait_for
from tests.integration.etcd.tls_members import TLSCluster, fresh
from tests.unit.controllers.cluster.builders import NOW
from tests.unit.controllers.cluster.certificate_builders import RECORDED, WHO, authority, leaf

pytestmark = pytest.mark.timeout(120)
NEXT = {role: authority(role, name="next") for role in AUTHORITIES}
KNOWN = [[made.certificate] for role in AUTHORITIES for made in (authority(role), NEXT[role])]
RESTARTS = {Phase.TRUSTING, Phase.DROPPING}
REFUSED = ("unknown authority", "bad certificate", "unknown certificate")


def decoded(secret):
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


def in_phase(phase, old, new):
    """The leaves' Secrets in this phase of both authorities' rotations."""
    found = {}
    for role in LEAVES:
        by = ISSUER[role]
        rotation = AuthorityRotation(
            authority=NAMES[by], phase=phase, since=NOW, next=fingerprint(NEXT[by].certificate)
        )
        status = RECORDED.model_copy(update={"rotation": rotation})
        signed = old if trust_of(status, by).signer == recorded(RECORDED, by) else new
        data = {k: v for k, v in decoded(signed[role]).items() if not k.startswith("ca")}
        found[role] = leaf_secret(WHO, role, {**data, **trust_data(role, status, KNOWN)})
    return found


def credentials(secrets):
    data = decoded(secrets[Role.CLIENT])
    return ClientTLS(ca=data["ca.crt"], cert=data["tls.crt"], key=data["tls.key"])


class Watched:
    """The cluster, and who has to be served by all of its members at any time."""

    def __init__(self, cluster, pool):
        self.cluster = cluster
        self.pool = pool

    async def serves(self, *clients):
        for tls in clients:
            self.pool.trust("prod/db", tls)
            for member in self.cluster.members:
                client = self.pool.client(member.endpoint())
                assert await wait_for(lambda c=client: c.cluster.member_list(timeout_s=2))

    async def follows(self):
        answers = [
            await self.pool.client(member.endpoint()).maintenance.status(timeout_s=2)
            for member in self.cluster.members
        ]
        indexes = {answer.raft_applied_index for answer in answers}
        return len({answer.leader for answer in answers} - {None}) == 1 and len(indexes) == 1

    async def restart(self, member):
        member.process.terminate()
        await asyncio.to_thread(member.process.wait, STOP_DEADLINE_S)
        member.start_with((member.folder / "etcd.yaml").read_text())

    def refusals(self):
        """What members have logged of certificates that they, or who they called, did not trust."""
        lines = (line for m in self.cluster.members for line in m.log.read_text().splitlines())
        return [line for line in lines if any(words in line for words in REFUSED)]


@pytest.mark.parametrize("version", ["3.5.35", "3.7.3"])
async def test_nobody_is_refused_in_any_phase(tmp_path, pool, version):
    now = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - as etcd sees it
    old = fresh()
    new = {role: leaf(role, since=now, by=NEXT[ISSUER[role]], owner="next") for role in LEAVES}
    cluster = TLSCluster(tmp_path, version)
    watched = Watched(cluster, pool)
    phases = {phase: in_phase(phase, old, new) for phase in Phase}
    cluster.mount(phases[Phase.PREPARING])
    try:
        cluster.start()
        await watched.serves(credentials(phases[Phase.PREPARING]))
        for before, after in itertools.pairwise(Phase):
            clients = [credentials(phases[phase]) for phase in (before, after)]
            cluster.mount(phases[after])
            await watched.serves(*clients)
            for member in cluster.members if after in RESTARTS else ():
                await watched.restart(member)
                await watched.serves(*clients)
                assert await wait_for(watched.follows)
        assert watched.refusals() == []
        made = read_facts(new)
        for member in cluster.members:
            for role, port in ((Role.SERVER, member.client_port), (Role.PEER, member.peer_port)):
                shown = await shown_certificate("127.0.0.1", port, timeout_s=3)
                assert shown == made[role].certificate.fingerprint

        # The control: who has stayed behind is refused, so that being served says something.
        pool.trust("prod/db", credentials(phases[Phase.TRUSTING]))
        with pytest.raises(UnavailableError):
            await pool.client(cluster.members[0].endpoint()).maintenance.status(timeout_s=3)
        assert watched.refusals()
    finally:
        cluster.kill()


async def test_where_nobody_listens_nothing_is_shown():
    assert not await shown_certificate("127.0.0.1", 1, timeout_s=1)
