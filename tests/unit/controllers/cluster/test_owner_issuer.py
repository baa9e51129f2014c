"""A running cluster whose certificates for clients are to be cert-manager's: they are ordered while
the operator's authority still signs, awaited, and only then another authority begins.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from controllers.cluster.certificates.facts import Role
from controllers.cluster.outcome import Done
from controllers.cluster.plan.certificate_steps import (
    OrderCertificates,
    RecordAuthorities,
    RecordRotation,
)
from controllers.cluster.plan.steps import RecordSpec
from tests.unit.controllers.cluster.builders import NOW
from tests.unit.controllers.cluster.certificate_builders import observed, secrets
from tests.unit.controllers.cluster.test_sources import ISSUER, World
from tests.unit.controllers.cluster.user_certificates import made, pair, root, server

pytestmark = pytest.mark.looptime
LATER = NOW + timedelta(minutes=6)


def issued(authority="root"):
    by = root(authority)
    app = made("etcd-client", by=by)
    return (pair("db-server-issued", server(by=by), by), pair("db-client-issued", app, by))


@pytest.fixture
async def world(api, server):
    """With the operator's certificates, and an edit that asks for cert-manager's."""
    found = World(api, server)
    found.put(*secrets().values())
    found.seen = observed()
    found.wants(**ISSUER)
    return found


async def accept(world):
    """Whose authorities they are is recorded, then the edit is in force."""
    assert isinstance(await world.look(), RecordAuthorities)
    await world.step()
    assert isinstance(await world.look(), RecordSpec)
    await world.step()
    world.seen = dataclasses.replace(world.seen, applied=world.seen.spec)


async def test_certificates_are_ordered_while_the_old_authority_signs(world):
    before = {role: world.stored(role)["data"] for role in (Role.SERVER, Role.CLIENT)}
    await accept(world)

    assert isinstance(await world.look(), OrderCertificates)
    assert await world.step() == Done()
    await world.look()
    status, reason, message = world.tls_ready()
    assert (status, reason) == ("False", "CertificatesPending")
    assert "cert-manager has not issued Certificate db-server-issued yet" in message
    assert {role: world.stored(role)["data"] for role in before} == before


async def test_another_authority_begins_when_they_are_issued(world):
    await accept(world)
    await world.look()
    await world.step()
    world.put(*issued())

    step = await world.look(LATER)
    assert isinstance(step, RecordRotation)
    assert (step.authorities.rotation.authority, step.authorities.given) == ("client", ())


async def test_one_by_another_issuer_is_told_until_the_other_follows(world):
    await accept(world)
    await world.look()
    await world.step()
    first, _ = issued()
    _, second = issued("another")
    world.put(first, second)

    await world.look(LATER)
    assert world.tls_ready()[:2] == ("False", "CertificateRefused")
    assert "have different authorities: use one" in world.tls_ready()[2]
    assert world.seen.status.authorities.rotation is None
    world.put(*issued("another"))
    assert isinstance(await world.look(LATER), RecordRotation)
