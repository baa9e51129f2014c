"""What is planned and said about certificates, from a new cluster to an authority that is lost."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from api.conditions import find_condition
from api.reasons import Reason
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION as LEAF_LIFE
from controllers.cluster.certificates.due import AUTHORITY_LIFE
from controllers.cluster.certificates.facts import AUTHORITIES, LEAVES, Role
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.claim_record import ClaimRecord
from controllers.cluster.happenings import happenings
from controllers.cluster.observed import Certificates, Etcd
from controllers.cluster.outcome import Done, Rejected, first_failure
from controllers.cluster.plan import plan
from controllers.cluster.plan.certificate_steps import IssueCertificates, RecordAuthorities
from controllers.cluster.plan.steps import AcceptSpec, ApplyObjects, Wait
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import NOW, claim, pod, spec, unborn
from tests.unit.controllers.cluster.certificate_builders import (
    RECORDED,
    TLS,
    accepted,
    leaf,
    observed,
    secrets,
    without,
)


def issued(of):
    step = plan(of).step
    assert isinstance(step, IssueCertificates), step
    return {one.role: one for one in step.certificates}


def tls_ready(of):
    step = plan(of)
    status = next_status(of, step, None if isinstance(step.step, Wait) else Done())
    found = find_condition(status.conditions, "TLSReady")
    return found.status, found.reason, found.message


def refusal(*roles):
    """What comes of a step in which the Secrets of these roles can't be written."""
    names = [secret_name("db", role) for role in roles]
    return first_failure(
        Rejected(reason=Reason.NOT_ALLOWED, message=f"Secret {name}: quota", name=name)
        for name in names
    )


class TestBirth:
    def test_scheme_is_recorded_with_the_first_spec(self):
        plain, secure = (plan(unborn(spec=spec(**fields))).step for fields in ({}, TLS))

        assert isinstance(secure, AcceptSpec)
        assert (plain.bootstrap.scheme, secure.bootstrap.scheme) == ("http", "https")

    def test_authorities_come_first(self):
        assert set(issued(accepted({}, authorities=None))) == set(AUTHORITIES)

    def test_crash_between_the_two_is_gone_on_from(self):
        half = without(secrets(), Role.PEER_CA, *LEAVES)

        assert set(issued(accepted(half, authorities=None))) == {Role.PEER_CA}

    def test_they_are_recorded_before_they_sign(self):
        made = accepted(without(secrets(), *LEAVES), authorities=None)
        step = plan(made).step

        assert step == RecordAuthorities(authorities=RECORDED)
        assert next_status(made, plan(made), Done()).authorities == RECORDED

    def test_certificates_come_before_the_first_object(self):
        assert set(issued(accepted(without(secrets(), *LEAVES)))) == set(LEAVES)
        assert isinstance(plan(accepted()).step, ApplyObjects)

    def test_events_name_the_secret_and_the_end(self):
        made = accepted(without(secrets(), Role.CLIENT))
        (told,) = happenings(made, plan(made), Done(), made.status)

        assert told.reason == "CertificateIssued"
        assert "db-client-tls" in told.message
        assert "2027-01-01 12:00 UTC" in told.message

    def test_adopted_volumes_get_new_authorities_before_their_members_start(self):
        """The old ones went with the earlier cluster; all members start at once, on the new."""
        record = ClaimRecord(
            cluster_id="cafe",
            voters=(0,),
            namespace="prod",
            cluster_domain="cluster.local",
            scheme="https",
            version="v3.5.21",
        )
        left = unborn(
            spec=spec(size=1, storage={"existingVolumes": "Adopt"}, **TLS),
            claims=(claim(0, membership=record.text),),
        )
        planned = plan(left)
        status = next_status(left, planned, Done())
        adopted = dataclasses.replace(
            left, status=status, applied=left.spec, certificates=Certificates()
        )

        assert isinstance(planned.step, AcceptSpec)
        assert status.bootstrap.scheme == "https"
        assert set(issued(adopted)) == set(AUTHORITIES)

    @pytest.mark.parametrize("role", Role)
    def test_secrets_of_somebody_else_are_not_touched(self, role):
        found = secrets()
        found[role]["metadata"] = {"name": "db-x", "uid": "x"}
        recorded = None if role in AUTHORITIES else RECORDED
        step = plan(accepted(found, authorities=recorded)).step

        assert step.reason is Reason.NAME_CONFLICT

    def test_no_right_to_read_is_said(self):
        barred = dataclasses.replace(accepted(), certificates=Certificates(unread="grant it get"))
        step = plan(barred).step

        assert (step.reason, step.message) == (Reason.NOT_ALLOWED, "grant it get")


class TestLife:
    def test_all_is_well(self):
        status, reason, message = tls_ready(observed())

        assert plan(observed()).step.settled
        assert (status, reason) == ("True", "CertificatesValid")
        assert "valid until 2027-01-01 12:00 UTC" in message
        assert "renewed after 2026-09-01" in message

    def test_status_lists_every_certificate(self):
        made = observed()
        shown = next_status(made, plan(made), None).certificates

        assert [one.secret for one in shown] == [
            "db-ca",
            "db-peer-ca",
            "db-server-tls",
            "db-peer-tls",
            "db-client-tls",
            "db-operator-tls",
        ]
        assert shown[0].not_after == NOW + AUTHORITY_LIFE
        assert shown[0].renew_after == shown[1].renew_after > shown[2].renew_after

    @pytest.mark.parametrize("role", LEAVES)
    def test_deleted_certificate_comes_back(self, role):
        gone = observed(without(secrets(), role))

        assert set(issued(gone)) == {role}
        assert tls_ready(gone)[:2] == ("False", "CertificatesPending")

    def test_renewal_names_what_is_there(self):
        later = dataclasses.replace(observed(), now=NOW + LEAF_LIFE * 0.7)

        assert {one.uid for one in issued(later).values()} == {
            "uid-db-server-tls",
            "uid-db-peer-tls",
            "uid-db-client-tls",
            "uid-db-operator-tls",
        }

    def test_expired_certificates_are_renewed_while_nobody_answers(self):
        lost = dataclasses.replace(
            observed(secrets(since=NOW - LEAF_LIFE)), etcd=Etcd(error="no member answers")
        )

        assert set(issued(lost)) == set(LEAVES)

    @pytest.mark.parametrize("role", AUTHORITIES)
    @pytest.mark.parametrize("how", ["missing", "spoilt", "another"])
    def test_lost_authority_is_never_replaced(self, role, how):
        found = secrets()
        if how == "missing":
            found = without(found, role)
        elif how == "spoilt":
            found[role] = {**found[role], "data": {}}
        else:
            other = Role.PEER_CA if role is Role.CLIENT_CA else Role.CLIENT_CA
            found[role] = {**found[role], "data": found[other]["data"]}
        lost = observed(found)
        status, reason, message = tls_ready(lost)

        assert isinstance(plan(lost).step, Wait)
        assert (status, reason) == ("False", "CertificateAuthorityLost")
        assert f"Secret {found[role]['metadata']['name'] if role in found else 'db-'}" in message
        assert "last until 2027-01-01" in message

    def test_authority_that_was_restored_without_its_owner_will_do(self):
        found = secrets()
        del found[Role.PEER_CA]["metadata"]["ownerReferences"]

        assert plan(observed(found)).step.settled

    def test_lost_authority_does_not_stop_the_care_for_a_cluster(self):
        lost = observed(without(secrets(), Role.PEER_CA))
        live = {key: obj for key, obj in lost.live.items() if key[0] != "ConfigMap"}

        assert isinstance(plan(dataclasses.replace(lost, live=live)).step, ApplyObjects)

    def test_lost_authority_is_told_once_with_what_to_do(self):
        lost = observed(without(secrets(), Role.CLIENT_CA))
        first = next_status(lost, plan(lost), None)
        told = happenings(lost, plan(lost), None, first)
        again = dataclasses.replace(lost, status=first)

        (one,) = [one for one in told if one.reason == "CertificateAuthorityLost"]
        assert "Restore the Secret" in one.message
        assert not [
            one
            for one in happenings(again, plan(again), None, next_status(again, plan(again), None))
            if one.reason == "CertificateAuthorityLost"
        ]

    def test_authority_is_not_made_while_pods_trust_one(self):
        """Status was lost, and the Secret too: who knows what the pods have read."""
        running = dataclasses.replace(
            accepted(without(secrets(), *AUTHORITIES), authorities=None), pods=(pod(0),)
        )

        assert plan(running).step.reason is Reason.AUTHORITY_LOST

    def test_refused_renewal_is_told_and_does_not_stop_the_care_for_a_cluster(self):
        due = dataclasses.replace(observed(), now=NOW + LEAF_LIFE * 0.7)
        refused = dataclasses.replace(due, status=next_status(due, plan(due), refusal(*LEAVES)))
        live = {key: obj for key, obj in refused.live.items() if key[0] != "ConfigMap"}
        later = dataclasses.replace(refused, now=refused.now + timedelta(minutes=1))

        assert tls_ready(refused) == ("False", "NotAllowed", "Secret db-server-tls: quota")
        assert isinstance(plan(dataclasses.replace(refused, live=live)).step, ApplyObjects)
        assert set(issued(later)) == set(LEAVES)
        assert next_status(later, plan(later), Done()).refused_certificates == ()

    def test_refused_renewal_keeps_back_no_other_one(self):
        due = dataclasses.replace(observed(), now=NOW + LEAF_LIFE * 0.7)
        answer = refusal(Role.PEER)
        refused = dataclasses.replace(due, status=next_status(due, plan(due), answer))
        others = set(LEAVES) - {Role.PEER}

        assert set(issued(refused)) == others
        done = dataclasses.replace(refused, status=next_status(refused, plan(refused), Done()))
        (kept,) = done.status.refused_certificates
        assert (kept.secret, kept.time) == ("db-peer-tls", due.now)

    def test_refused_certificate_of_a_new_cluster_is_tried_again_at_once(self):
        new = accepted(without(secrets(), *LEAVES))
        refused = dataclasses.replace(new, status=next_status(new, plan(new), refusal(*LEAVES)))

        assert find_condition(refused.status.conditions, "Ready").reason == "NotAllowed"
        assert set(issued(refused)) == set(LEAVES)

    def test_end_of_an_authority_is_told_long_before(self):
        late = NOW + AUTHORITY_LIFE - timedelta(days=60)
        found = secrets(since=late, life=timedelta(days=60))
        ending = dataclasses.replace(observed(found), now=late)

        assert tls_ready(ending)[:2] == ("False", "CertificateAuthorityExpiring")

    def test_after_the_end_of_an_authority_nothing_is_made(self):
        over = dataclasses.replace(observed(), now=NOW + AUTHORITY_LIFE + timedelta(days=1))

        assert isinstance(plan(over).step, Wait)
        assert tls_ready(over)[:2] == ("False", "CertificateAuthorityExpiring")

    def test_peer_urls_say_https(self):
        made = observed()

        assert {url for m in made.etcd.members for url in m.peer_urls} == {
            f"https://db-{n}.db-peer.prod.svc.cluster.local:2380" for n in range(3)
        }
        assert leaf(Role.PEER)["metadata"]["name"] == "db-peer-tls"
