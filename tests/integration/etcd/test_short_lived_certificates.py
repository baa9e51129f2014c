"""Certificates that last seconds, renewed three times in a row under a writer, on real etcd.

What is due and what is made is the operator's; the test mounts it as kubelet would, without delay.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from controllers.cluster.certificates.due import due_leaves, leaf_life
from controllers.cluster.certificates.facts import ISSUER, LEAVES
from controllers.cluster.certificates.parse import read_facts
from tests.integration.etcd.processes import wait_for
from tests.integration.etcd.tls_members import TLSCluster, fresh, speak
from tests.unit.controllers.cluster.certificate_builders import RECORDED, WHO, leaf

pytestmark = pytest.mark.timeout(90)

HOLDER = dataclasses.replace(WHO, leaf_life=timedelta(seconds=9))
RENEWALS = 3


def text(value):
    return base64.b64encode(value.encode()).decode()


class Renewing:
    """Three members whose certificates last seconds, and the operator's rules about them."""

    def __init__(self, folder):
        self.cluster = TLSCluster(folder, "3.5.21")
        self.found = fresh(who=HOLDER, life=HOLDER.leaf_life)
        self.cluster.mount(self.found)

    async def renew(self):
        """Makes and mounts what is due, until told to stop."""
        while True:
            now, facts = datetime.now(UTC), read_facts(self.found)  # noqa: TID251 - as etcd sees it
            due = due_leaves(HOLDER, facts, RECORDED, now)
            for role in due:
                begin, end = leaf_life(facts[ISSUER[role]].certificate, now, HOLDER.leaf_life)
                made = leaf(role, begins=begin, since=now, life=end - now)
                self.found = {**self.found, role: made}
            if due:
                assert set(due) == set(LEAVES)
                self.cluster.mount(self.found)
            await asyncio.sleep(0.1)

    async def request(self, member, path, body):
        """One request on a connection of its own: a handshake with what is mounted now."""
        context = self.cluster.context("client")
        return await asyncio.to_thread(
            speak, member, member.client_port, context, path, method="POST", body=json.dumps(body)
        )


async def test_certificates_of_seconds_are_renewed_three_times_under_a_writer(tmp_path):
    world = Renewing(tmp_path)
    members = world.cluster.members
    world.cluster.start()
    renewing = asyncio.ensure_future(world.renew())
    try:

        async def serves():
            return (await world.request(members[0], "/v3/maintenance/status", {})).status == 200

        assert await wait_for(serves)
        written, served = 0, set()
        while len(served) <= RENEWALS:
            member = members[written % len(members)]
            body = {"key": text(f"k{written}"), "value": text(str(written))}
            answer = await world.request(member, "/v3/kv/put", body)
            assert answer.status == 200, (written, answer)
            served.add(answer.serial)
            written += 1
        # Members too call each other by what was renewed: the first one's certificates are over.
        restarted = members[1]
        restarted.process.terminate()
        await asyncio.to_thread(restarted.process.wait, 15)
        world.cluster.start_member(restarted)
        asked = {"key": text("k"), "range_end": text("l"), "count_only": True}

        async def has_all():
            answer = await world.request(restarted, "/v3/kv/range", asked)
            return answer.status == 200 and int(json.loads(answer.body)["count"]) == written

        assert await wait_for(has_all)
        assert written > 10 * RENEWALS
        assert not renewing.done()
    finally:
        renewing.cancel()
        world.cluster.kill()
