"""The certificate by which the operator is root, where the user's authority signs for clients."""

from __future__ import annotations

import dataclasses
import functools
from datetime import timedelta

import pytest

from api.v1alpha1.cluster import TLS
from api.validation import validate_cluster
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.parse import fingerprint
from controllers.cluster.certificates.sources import SourceFacts, sources_of
from controllers.cluster.certificates.validate import examine
from controllers.cluster.observed import Certificates
from controllers.cluster.plan.auth import auth_trouble
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.sources import operators_trouble
from controllers.cluster.plan.steps import ApplyObjects
from tests.unit.api.manifests import cluster
from tests.unit.controllers.cluster.builders import NOW, spec
from tests.unit.controllers.cluster.certificate_builders import RECORDED, WHO, observed
from tests.unit.controllers.cluster.owner_world import WEB, OwnerWorld, web
from tests.unit.controllers.cluster.test_owner_of_certificates import (
    go,
    in_phase,
    is_over,
    look_again,
)
from tests.unit.controllers.cluster.test_sources import World
from tests.unit.controllers.cluster.user_certificates import (
    BOTH,
    GIVEN,
    authorities,
    given,
    key,
    made,
    pair,
    root,
)

FIELD = {"operatorCertificateSecret": "admin"}


@functools.cache
def admin(authority="root", **changes):
    """What the user's Secret holds; the same one each time."""
    how = {"by": root(authority), "uses": (BOTH[1],), "owner": key("admin"), **changes}
    return made(how.pop("common_name", "root"), **how)


# ------------------------------------------------------------------ the spec
@pytest.mark.parametrize(
    ("tls", "field", "words"),
    [
        (FIELD, "operatorCertificateSecret", "needs certificateSecret or issuerRef beside it"),
        (FIELD | {"certificateSecret": "admin"}, "operatorCertificateSecret", "is root"),
        (
            FIELD | {"certificateSecret": "web", "clientCertificateSecret": "admin"},
            "operatorCertificateSecret",
            "must not be the Secret that clients use",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(tls, field, words):
    (error,) = validate_cluster(cluster({"security": {"tls": {"enabled": True, **tls}}}))

    assert error.field == f"spec.security.tls.{field}"
    assert words in str(error)


@pytest.mark.parametrize("theirs", [WEB, {"issuerRef": {"name": "corporate"}}])
def test_users_need_it_where_another_authority_signs(theirs):
    security = {"tls": {"enabled": True, **theirs}, "auth": {"enabled": True}}
    (error,) = validate_cluster(cluster({"security": security}))

    assert error.field == "spec.security.auth.enabled"
    assert "Set spec.security.tls.operatorCertificateSecret" in str(error)
    security["tls"] |= FIELD
    assert validate_cluster(cluster({"security": security})) == ()


@pytest.mark.parametrize(
    ("tls", "places"),
    [
        (WEB, ("web",)),
        (WEB | {"caSecret": "ours"}, ("ours",)),
        ({"issuerRef": {"name": "corporate"}}, ("db-server-issued",)),
    ],
)
def test_its_authority_is_that_of_the_servers(tls, places):
    fields = TLS.model_validate({"enabled": True, **tls, **FIELD})
    source = next(one for one in sources_of("db", fields) if one.role is Role.OPERATOR)

    assert (source.secret, source.authorities) == ("admin", places)


# ------------------------------------------------------------------ what is in it
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"common_name": "admin"}, "its common name is not root: have it made with CN=root"),
        ({"uses": (BOTH[0],)}, "its extended key usages lack clientAuth"),
        ({"authority": "another"}, "no authority in its ca.crt has signed it"),
    ],
)
def test_one_by_which_the_operator_is_not_root_is_refused(changes, words):
    fields = TLS.model_validate({"enabled": True, **GIVEN, **FIELD})
    source = next(one for one in sources_of("db", fields) if one.role is Role.OPERATOR)
    secrets = {"admin": pair("admin", admin(**changes)), "ours": authorities("ours", root())}

    problem = examine(source, secrets, WHO, NOW).facts.problem

    assert problem.startswith("Secret admin (operatorCertificateSecret) can't be used: ")
    assert words in problem


# ------------------------------------------------------------------ its life
class TestItsLife:
    pytestmark = pytest.mark.looptime

    @pytest.fixture
    async def world(self, api, server):
        found = World(api, server)
        found.put(*given().values(), pair("admin", admin()))
        return found

    async def dialled(self, world, now=NOW):
        who, recorded = tls_identity(world.seen), world.seen.status.authorities
        return await world.reader.read(who, recorded, now=now)

    async def test_it_is_copied_before_the_first_object_and_the_operator_calls_with_it(self, world):
        world.begin(**GIVEN, **FIELD)
        assert isinstance(await world.settle(), ApplyObjects)
        assert world.served(Role.OPERATOR) == admin().pem

        read = await self.dialled(world)
        assert (read.borrowed, read.tls.cert) == (False, world.served(Role.OPERATOR))
        assert read.tls.cert != world.served(Role.CLIENT)

    async def test_a_renewal_is_taken_up(self, world):
        await world.run(**GIVEN, **FIELD)
        new = admin(since=NOW, life=timedelta(days=91))
        world.put(pair("admin", new))
        late = NOW + timedelta(minutes=6)
        await world.settle(late)

        assert (await self.dialled(world, late)).tls.cert == new.pem

    async def test_until_it_is_there_the_operator_is_a_client_like_the_others(self, world):
        await world.run(**GIVEN)
        wanted = spec(size=3, security={"tls": {"enabled": True, **GIVEN, **FIELD}})
        world.seen = dataclasses.replace(world.seen, applied=wanted, spec=wanted)

        read = await self.dialled(world)
        assert (read.borrowed, read.tls.cert) == (True, world.served(Role.CLIENT))

    async def test_one_of_another_time_is_not_used(self, world):
        """It was left when the operator's own authority signed."""
        await world.run(**GIVEN)
        left = admin("another", since=NOW - timedelta(days=2))
        await world.settle()
        world.put(
            {
                **world.stored(Role.CLIENT),
                **pair("db-operator-tls", left, root()),
                "metadata": {
                    **world.stored(Role.CLIENT)["metadata"],
                    "name": "db-operator-tls",
                    "uid": "left",
                },
            }
        )
        wanted = spec(size=3, security={"tls": {"enabled": True, **GIVEN, **FIELD}})
        world.seen = dataclasses.replace(world.seen, applied=wanted, spec=wanted)

        assert (await self.dialled(world)).borrowed
        await world.settle()
        read = await self.dialled(world)
        assert (read.borrowed, read.tls.cert) == (False, world.served(Role.OPERATOR))


# ------------------------------------------------------------------ authentication
def with_operator(**facts):
    """A cluster by the user's certificates, of which this is known of the operator's."""
    known = RECORDED.model_copy(update={"given": ("client",)})
    security = {
        "tls": {"enabled": True, **WEB, **(FIELD if facts else {})},
        "auth": {"enabled": True},
    }
    seen = observed(spec_fields={"security": security}, authorities=known)
    others = {Role.SERVER: SourceFacts(authority=known.client, copied=True)}
    sources = others | ({Role.OPERATOR: SourceFacts(**facts)} if facts else {})
    read = Certificates(facts=seen.certificates.facts, sources=sources)
    return dataclasses.replace(seen, certificates=read)


FIT = {"authority": RECORDED.client, "copied": True}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "spec.security.tls.operatorCertificateSecret does not name one"),
        ({"problem": "it expired"}, "it expired"),
        (FIT | {"authority": "e" * 64}, "its authority is not the one that signs yet"),
        (FIT | {"copied": False}, "it is being copied"),
    ],
    ids=["none", "bad", "of another authority", "not copied"],
)
def test_authentication_waits_for_it(facts, words):
    seen = with_operator(**facts)

    assert operators_trouble(seen, tls_identity(seen)) == words
    assert words in auth_trouble(seen).message


def test_authentication_has_all_it_needs_with_it():
    seen = with_operator(**FIT)

    assert operators_trouble(seen, tls_identity(seen)) == ""


# ------------------------------------------------------------------ another authority
@pytest.fixture
def moved():
    """A cluster of the operator's certificates, that is to have the user's, and an admin's."""
    world = OwnerWorld()
    world.put(web("one"))
    world.put(pair("admin", admin("one"), root("one")))
    world.edit(**WEB, **FIELD)
    return world


def dials_as(world):
    """By whose authority the operator calls now."""
    return world._facts(world.dials, Role.CLIENT_CA, Role.CLIENT).certificate.fingerprint


def test_the_operator_is_somebody_all_the_way_there_and_back(moved):
    go(moved)
    assert is_over(moved, client="one")
    assert dials_as(moved) == fingerprint(admin("one").certificate)

    moved.edit()
    go(moved)
    assert is_over(moved, client="operator")


def test_another_authority_waits_for_the_operators_certificate_as_well(moved):
    go(moved)
    moved.put(web("two"))
    look_again(moved)
    for _ in range(6):
        moved.step()
        assert moved.cut_off() == []
    assert moved.authorities.rotation is None

    moved.put(pair("admin", admin("two"), root("two")))
    look_again(moved)
    go(moved, in_phase("Issuing"))
    go(moved)
    assert is_over(moved, client="two")
