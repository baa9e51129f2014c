"""Whose an authority is, by the record and by the spec; what is refused, and in which words."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from api.reasons import Reason
from api.v1alpha1.cluster_status import AuthorityRotation
from controllers.cluster.certificates.due import knows_members
from controllers.cluster.certificates.facts import AUTHORITIES, Role
from controllers.cluster.certificates.parse import read_facts
from controllers.cluster.certificates.sources import SourceFacts
from controllers.cluster.certificates.trust import (
    NAMES,
    Phase,
    callers_have_names,
    given_now,
    shown_by,
)
from controllers.cluster.observed import Certificates
from controllers.cluster.plan import plan
from controllers.cluster.plan.accepted import refused_edit
from controllers.cluster.plan.certificate_steps import RecordAuthorities, RecordRotation
from controllers.cluster.plan.certificates import certificate_trouble, record_owners
from controllers.cluster.plan.rotation import begin_rotation
from controllers.cluster.plan.rotation_waits import waits_for
from controllers.cluster.render import rendering
from tests.unit.controllers.cluster import builders
from tests.unit.controllers.cluster.builders import NOW, spec
from tests.unit.controllers.cluster.certificate_builders import (
    IDENTITY,
    RECORDED,
    accepted,
    authority,
    leaf,
    observed,
    secrets,
)

CLIENT, PEER = Role.CLIENT_CA, Role.PEER_CA
WEB = {"certificateSecret": "web"}
OLD_SIGNS = (Phase.PREPARING, Phase.SPREADING, Phase.TRUSTING)
NEXT_SIGNS = (Phase.ISSUING, Phase.REPLACING, Phase.DROPPING)
THEIRS = "f" * 64


def tls(**fields):
    return {"security": {"tls": {"enabled": True, **fields}}}


def rotating(phase, role=CLIENT, *, given, had=()):
    rotation = AuthorityRotation(
        authority=NAMES[role], phase=phase, since=NOW, next=THEIRS, given=given
    )
    return RECORDED.model_copy(update={"given": had, "rotation": rotation})


# ------------------------------------------------------------------ whose it is
@pytest.mark.parametrize("named", [set(), {CLIENT}, {PEER}, {CLIENT, PEER}])
def test_until_anything_is_recorded_it_is_as_the_spec_says(named):
    assert given_now(None, frozenset(named)) == named
    assert given_now(RECORDED, frozenset(named)) == named


@pytest.mark.parametrize("had", [(), ("client",), ("peer",), ("client", "peer")])
def test_what_is_recorded_holds_whatever_the_spec_says(had):
    recorded = RECORDED.model_copy(update={"given": had})

    for named in (set(), {CLIENT}, {CLIENT, PEER}):
        assert {NAMES[role] for role in given_now(recorded, frozenset(named))} == {*had}


@pytest.mark.parametrize("role", AUTHORITIES)
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("given", [False, True])
def test_it_changes_hands_when_the_next_one_signs(role, phase, given):
    had = () if given else (NAMES[role],)
    now = given_now(rotating(phase, role, given=given, had=had), frozenset())

    assert (role in now) is (given if phase in NEXT_SIGNS else not given)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("phase", "either"),
    [
        (Phase.PREPARING, False),
        (Phase.SPREADING, False),
        (Phase.TRUSTING, True),
        (Phase.ISSUING, True),
        (Phase.REPLACING, True),
    ],
)
def test_members_take_callers_with_names_as_long_as_either_kind_may_call(given, phase, either):
    """From the restart on that has them trust both, to the one that has them trust one."""
    had = () if given else ("peer",)
    found = callers_have_names(rotating(phase, PEER, given=given, had=had), named=given)

    assert found is (either or not given)
    after = rotating(Phase.DROPPING, PEER, given=given, had=had)
    assert callers_have_names(after, named=given) is given


def test_the_clients_authority_changes_nothing_for_callers_among_members():
    for phase in Phase:
        assert not callers_have_names(rotating(phase, CLIENT, given=True), named=False)


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.TRUSTING, Phase.DROPPING])
def test_the_file_says_so_where_etcd_can_be_told(phase):
    wanted = spec(version="v3.6.16", **tls(peerCertificateSecret="members"))
    made = rendering(IDENTITY, wanted, authorities=rotating(phase, PEER, given=True))

    told = "skip-client-san-verification" in made.options["peer-transport-security"]
    assert told is (phase != Phase.PREPARING)


@pytest.mark.parametrize("phase", Phase)
def test_who_may_be_shown_is_never_more_than_who_is_trusted(phase):
    shown = shown_by(rotating(phase, given=True), CLIENT)

    assert shown == {
        Phase.ISSUING: (RECORDED.client, THEIRS),
        Phase.REPLACING: (RECORDED.client, THEIRS),
        Phase.DROPPING: (THEIRS,),
    }.get(phase, (RECORDED.client,))


# ------------------------------------------------------------------ who may call
def test_a_certificate_that_was_kept_knows_members():
    assert knows_members(Role.OPERATOR, read_facts(secrets()), RECORDED)


@pytest.mark.parametrize("what", ["none", "spoilt", "of another time"])
def test_one_that_was_not_kept_can_not(what):
    found = secrets()
    match what:
        case "none":
            del found[Role.OPERATOR]
        case "spoilt":
            found[Role.OPERATOR]["data"] = {"tls.crt": "AAAA"}
        case "of another time":
            found[Role.OPERATOR] = leaf(Role.OPERATOR, by=authority(CLIENT, name="another"))

    assert not knows_members(Role.OPERATOR, read_facts(found), RECORDED)


# ------------------------------------------------------------------ the edit
def test_owners_are_recorded_for_an_edit_that_changes_them():
    seen = dataclasses.replace(observed(), spec=spec(size=3, **tls(**WEB)), generation=2)

    step = record_owners(seen)
    assert isinstance(step, RecordAuthorities)
    assert step.authorities == RECORDED.model_copy(update={"given": ()})
    assert plan(seen).step == step


@pytest.mark.parametrize(
    ("edit", "changes"),
    [
        ({}, False),
        ({"subjectAltNames": ["etcd.example.org"]}, False),
        ({"rotationGracePeriod": "5m"}, False),
        ({"peerCertificateSecret": "members"}, True),
        ({"issuerRef": {"name": "corporate"}}, True),
        (WEB | {"clientCertificateSecret": "app"}, True),
    ],
)
def test_only_for_such_an_edit(edit, changes):
    seen = dataclasses.replace(observed(), spec=spec(size=3, **tls(**edit)), generation=2)

    assert (record_owners(seen) is not None) is changes


def test_nothing_is_recorded_for_a_cluster_whose_authorities_are_not():
    seen = observed(authorities=None)

    assert record_owners(dataclasses.replace(seen, spec=spec(size=3, **tls(**WEB)))) is None


@pytest.mark.parametrize(
    ("edit", "field", "remedy"),
    [
        (WEB, "certificateSecret", "Leave it out, as it was."),
        ({"peerCertificateSecret": "members"}, "peerCertificateSecret", "Leave it out, as it was."),
        ({"issuerRef": {"name": "corporate"}}, "issuerRef", "Leave it out, as it was."),
    ],
)
def test_while_a_cluster_forms_nobody_else_signs(edit, field, remedy):
    forming = dataclasses.replace(accepted(), spec=spec(size=3, **tls(**edit)), generation=2)

    (error,) = refused_edit(forming)

    assert error.field == f"spec.security.tls.{field}"
    assert str(error).endswith(
        "can't be set or unset while the cluster forms: the members trust the authority that they"
        f" start with. {remedy}"
    )


def test_while_a_cluster_forms_the_users_can_not_be_taken_out():
    began = builders.accepted(spec_fields=tls(**WEB))
    status = began.status.model_copy(update={"authorities": RECORDED})
    forming = dataclasses.replace(began, status=status, spec=spec(size=3, **tls()), generation=2)

    (error,) = refused_edit(forming)

    assert str(error).endswith("Set it back to web.")


# ------------------------------------------------------------------ what begins, and what waits
def with_sources(edit, had=(), **facts):
    """A formed cluster whose spec names sources, of which this is known, by role."""
    recorded = RECORDED.model_copy(update={"given": had})
    seen = observed(spec_fields=tls(**edit), authorities=recorded)
    known = {Role(role): SourceFacts(**one) for role, one in facts.items()}
    read = Certificates(facts=seen.certificates.facts, sources=known)
    return dataclasses.replace(seen, certificates=read)


def test_another_authority_begins_when_every_secret_for_it_offers_it():
    both = {"server": {"authority": THEIRS}, "client": {"authority": THEIRS}}

    step = begin_rotation(with_sources(WEB, **both))

    assert isinstance(step, RecordRotation)
    assert str(step) == "Rotate the client authority: another one is to take its place"
    rotation = step.authorities.rotation
    assert (rotation.authority, rotation.phase, rotation.given) == ("client", "Preparing", True)


@pytest.mark.parametrize(
    "unfit",
    [
        {"server": {"authority": THEIRS}, "client": {"problem": "it expired"}},
        {"server": {"authority": THEIRS}, "client": {"authority": "e" * 64}},
        {},
    ],
    ids=["one can't be used", "they differ", "not read"],
)
def test_it_does_not_begin_before(unfit):
    assert begin_rotation(with_sources(WEB, **unfit)) is None


def test_the_same_authority_is_no_other():
    both = {role: {"authority": RECORDED.client} for role in ("server", "client")}

    assert begin_rotation(with_sources(WEB, had=("client",), **both)) is None


def test_secrets_with_different_authorities_are_told():
    """As cert-manager may issue them, where its issuer has become another one."""
    differ = {"server": {"authority": THEIRS}, "client": {"authority": "e" * 64}}
    wait = certificate_trouble(with_sources({"issuerRef": {"name": "corporate"}}, **differ))

    assert wait.reason is Reason.CERTIFICATE_REFUSED
    assert wait.message.startswith(
        "Secrets db-server-issued and db-client-issued have different authorities: use one"
    )


def test_both_restarts_wait_for_a_maintenance_window():
    windows = [{"schedule": "0 3 * * *", "duration": "1h"}]
    fields = tls(**WEB) | {"maintenanceWindows": windows}
    for phase in (Phase.SPREADING, Phase.REPLACING):
        seen = observed(spec_fields=fields, authorities=rotating(phase, given=True))
        seen = dataclasses.replace(seen, now=NOW + timedelta(hours=2))
        both = dict.fromkeys(("server", "client"), SourceFacts(authority=THEIRS, copied=True))
        facts = Certificates(facts={}, sources={Role(r): one for r, one in both.items()})
        seen = dataclasses.replace(seen, certificates=facts, pods=())

        assert waits_for(seen) == "members may be restarted in a maintenance window only"
