"""When a rotation of an authority begins, what each phase waits for, and what is said of it.

That nobody is cut off in any order of events is shown by `test_rotation_dance.py`.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from api.conditions import find_condition
from api.labels import pod_name
from api.reasons import Reason
from api.v1alpha1.cluster_status import AuthorityRotation, UpgradeStatus
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION as LEAF_LIFE
from controllers.cluster.certificates.due import AUTHORITY_LIFE, rotate_after
from controllers.cluster.certificates.facts import AUTHORITIES, Role
from controllers.cluster.certificates.trust import Phase
from controllers.cluster.happenings import happenings
from controllers.cluster.outcome import Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.certificate_steps import (
    AnnounceCertificate,
    DropRotationRequest,
    IssueCertificates,
    MakeNextAuthority,
    RecordAuthorities,
    RecordRotation,
    ReplaceAuthority,
)
from controllers.cluster.plan.rotation import wait_for_rotation
from controllers.cluster.plan.steps import ApplyObjects, DeletePod, RecordSpec, Wait
from controllers.cluster.pods import pod_from
from controllers.cluster.render.tls import bundle_key, mounted_bundles
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import NOW, live_of, spec
from tests.unit.controllers.cluster.certificate_builders import RECORDED, TLS, observed, secrets
from tests.unit.controllers.cluster.rotation_world import World


def asked(which="client", **changes):
    return dataclasses.replace(observed(), rotation_asked=which, **changes)


def recorded_rotation(of):
    step = plan(of).step
    assert isinstance(step, RecordRotation), step
    return step.authorities.rotation


def in_phase(phase, which="client", *, until=None):
    """A world in which the rotation has come to that phase, and all that it asks for is done."""
    world = World()
    world.controller_looks()
    world.asked = which
    for _ in range(300):
        rotation = world.authorities.rotation
        if rotation is not None and rotation.phase == phase and (until is None or until(world)):
            return world
        planned = world.step()
        world.controller_looks()
        for n in range(3):
            world.controller_makes(n, stale=False)
        if isinstance(planned.step, Wait):
            world.time_passes(timedelta(minutes=10))
    raise AssertionError(world.rules)


def said(of):
    planned = plan(of)
    status = next_status(of, planned, None if isinstance(planned.step, Wait) else Done())
    return find_condition(status.conditions, "TLSReady")


# What else goes on, and what is said of a rotation meanwhile.
OTHERS = {
    "asleep": "waiting for the cluster to be woken",
    "unhealthy": "waiting for all members to be well",
    "upgrade": "waiting for the change of version to end",
    "lost": "Secret db-peer-ca is missing",
}


def busy(seen, why):
    """The same while something else goes on."""
    match why:
        case "asleep":
            applied = seen.applied.model_copy(update={"size": 0})
            return dataclasses.replace(seen, spec=applied, applied=applied)
        case "unhealthy":
            down = dataclasses.replace(seen.pods[1], ready=False)
            return dataclasses.replace(seen, pods=(seen.pods[0], down, seen.pods[2]))
        case "upgrade":
            under_way = UpgradeStatus.model_validate(
                {"from": "v3.5.20", "path": ["v3.5.21"], "repository": "etcd", "since": NOW}
            )
            status = seen.status.model_copy(update={"upgrade": under_way})
            return dataclasses.replace(seen, status=status)
        case "lost":
            found = seen.certificates.facts
            less = {role: one for role, one in found.items() if role is not Role.PEER_CA}
            read = dataclasses.replace(seen.certificates, facts=less)
            return dataclasses.replace(seen, certificates=read)


class TestBeginning:
    @pytest.mark.parametrize(
        ("which", "first", "then"),
        [("client", "client", ""), ("peer", "peer", ""), ("all", "client", "peer")],
    )
    def test_annotation_names_the_authorities(self, which, first, then):
        rotation = recorded_rotation(asked(which))

        assert (rotation.authority, rotation.phase, rotation.then) == (first, "Preparing", then)

    def test_request_is_recorded_before_it_is_taken_away(self):
        before = asked("all")
        after = dataclasses.replace(before, status=next_status(before, plan(before), Done()))

        assert plan(after).step == DropRotationRequest(asked="all")

    def test_request_that_comes_meanwhile_is_done_afterwards(self):
        world = in_phase(Phase.TRUSTING)
        seen = dataclasses.replace(world.look(), rotation_asked="peer")

        assert recorded_rotation(seen).then == "peer"
        assert recorded_rotation(seen).phase == "Trusting"

    def test_unknown_request_is_told_and_does_nothing(self):
        seen = asked("everything")

        assert plan(seen).step.settled
        assert "says 'everything': set it to client, peer or all" in said(seen).message

    @pytest.mark.parametrize(("share", "begins"), [(0.79, False), (0.81, True)])
    def test_it_begins_by_itself_at_four_fifths(self, share, begins):
        now = NOW + AUTHORITY_LIFE * share
        seen = dataclasses.replace(observed(secrets(since=now)), now=now)

        assert isinstance(plan(seen).step, RecordRotation) is begins
        if begins:
            assert recorded_rotation(seen).then == "peer"

    def test_end_of_a_leaf_never_has_to_be_earlier_for_it(self):
        authority = observed().certificates.facts[Role.CLIENT_CA].certificate

        assert authority.not_after - rotate_after(authority) > timedelta(days=2 * 365 - 1)

    def test_new_authority_is_not_rotated_at_once(self):
        """What the operator remembers of the Secrets is older than the record of their end."""
        world = in_phase(Phase.DROPPING)
        world.api.now = NOW + AUTHORITY_LIFE * 0.81
        world.settle()

        assert world.rules.count("begin_rotation") == 1 + 1  # the peer authority's, for its age

    @pytest.mark.parametrize("why", OTHERS)
    def test_it_waits_for_everything_else(self, why):
        assert not isinstance(plan(busy(asked(), why)).step, RecordRotation)


class TestPhases:
    def test_next_authority_is_made_beside_the_old_one(self):
        world = in_phase(Phase.PREPARING)
        world.step()
        old = dict(world.api.objects["db-ca"]["data"])
        assert isinstance(world.step().step, MakeNextAuthority)
        new = world.api.objects["db-ca"]["data"]

        assert old.items() < new.items()
        assert new.keys() - old.keys() == {"next-tls.crt", "next-tls.key"}

    def test_leaves_stay_while_the_next_one_is_spread(self):
        world = in_phase(Phase.SPREADING)
        before = {name: dict(obj["data"]) for name, obj in world.api.objects.items()}
        step = world.step().step

        assert isinstance(step, IssueCertificates)
        assert {one.role: one.keeps for one in step.certificates} == {
            Role.SERVER: True,
            Role.CLIENT: True,
            Role.OPERATOR: True,
        }
        for name in ("db-server-tls", "db-client-tls", "db-operator-tls"):
            after = world.api.objects[name]["data"]
            assert after["tls.crt"] == before[name]["tls.crt"]
            assert after["tls.key"] == before[name]["tls.key"]
            assert after["ca.crt"] != before[name]["ca.crt"]
        assert "CertificateIssued" not in world.events

    def test_template_names_the_bundle_and_so_members_restart(self):
        world = in_phase(Phase.TRUSTING)
        rotation = world.authorities.rotation
        key = bundle_key((RECORDED.client, rotation.next))
        mounted = mounted_bundles(world.status.rendered.pod_template["spec"])

        assert mounted == {"etcd-server-tls": key}
        assert isinstance(world.step().step, ApplyObjects)
        world.controller_looks()
        assert isinstance(world.step().step, DeletePod)

    def test_edit_of_the_template_keeps_what_is_mounted(self):
        world = in_phase(Phase.TRUSTING)
        seen = world.look()
        edited = spec(size=3, options={"snapshotCount": 5000}, **TLS)
        step = plan(dataclasses.replace(seen, spec=edited, generation=2)).step

        assert isinstance(step, RecordSpec)
        assert mounted_bundles(step.rendered.pod_template["spec"]) == mounted_bundles(
            seen.status.rendered.pod_template["spec"]
        )

    def test_members_restart_in_a_window_only(self):
        def is_spread(world):
            return world.rules[-1] == "issue_leaves"

        world = in_phase(Phase.SPREADING, until=is_spread)
        closed = {"maintenanceWindows": [{"schedule": "0 3 * * *", "duration": "1h"}]}
        applied = spec(size=3, **TLS, **closed)
        seen = dataclasses.replace(world.look(), spec=applied, applied=applied)
        seen = dataclasses.replace(
            seen, status=seen.status.model_copy(update={"applied_spec": applied.to_json()})
        )
        step = plan(seen).step

        assert isinstance(step, Wait)
        assert "maintenance window" in step.message
        opened = dataclasses.replace(seen, now=NOW + timedelta(hours=15, minutes=30))
        assert recorded_rotation(opened).phase == "Trusting"

    def test_applications_have_an_hour_to_follow(self):
        def is_waiting(world):
            return world.rules[-1] == "wait_for_rotation"

        world = in_phase(Phase.TRUSTING, until=is_waiting)
        rotation = world.authorities.rotation
        ends = rotation.since + timedelta(hours=1)
        early = dataclasses.replace(world.look(), now=ends - timedelta(seconds=1))
        step = plan(early).step

        assert step.reason is Reason.ROTATING_AUTHORITY
        assert f"applications have until {ends:%Y-%m-%d %H:%M}" in step.message
        assert step.not_before == ends
        assert recorded_rotation(dataclasses.replace(early, now=ends)).phase == "Issuing"

    def test_grace_is_the_users(self):
        world = in_phase(Phase.TRUSTING, until=lambda w: w.rules[-1] == "wait_for_rotation")
        tls = {"security": {"tls": {"enabled": True, "rotationGracePeriod": "48h"}}}
        applied = spec(size=3, **tls)
        later = world.authorities.rotation.since + timedelta(hours=47)
        seen = dataclasses.replace(world.look(), spec=applied, applied=applied, now=later)

        assert isinstance(plan(seen).step, Wait)

    def test_peers_need_no_time(self):
        world = in_phase(Phase.ISSUING, "peer")

        assert world.now - NOW < timedelta(minutes=30)

    def test_kubelet_is_told_of_new_certificates(self):
        world = in_phase(Phase.REPLACING, "peer")
        step = world.step().step
        shown = world.look().certificates.facts[Role.PEER].certificate.fingerprint

        assert isinstance(step, AnnounceCertificate)
        assert [name for name, _ in step.pods] == [pod_name("db", n) for n in range(3)]
        assert step.fingerprint == shown
        assert not isinstance(world.step().step, AnnounceCertificate)

    def test_member_that_shows_its_old_certificate_is_waited_for(self):
        world = in_phase(Phase.REPLACING, "peer", until=lambda w: bool(w.announced))
        world.kubelet_looks(0)
        world.kubelet_looks(2)

        assert plan(world.look()).step.message.endswith("db-1 to show the new certificate")
        world.kubelet_looks(1)
        assert recorded_rotation(world.look()).phase == "Dropping"

    def test_member_that_can_not_be_asked_is_given_ten_minutes(self):
        world = in_phase(Phase.REPLACING, "peer", until=lambda w: bool(w.announced))
        world.reachable = False
        since = world.authorities.rotation.since
        early = dataclasses.replace(world.look(), now=since + timedelta(minutes=9, seconds=59))

        assert isinstance(plan(early).step, Wait)
        late = dataclasses.replace(early, now=since + timedelta(minutes=10))
        assert recorded_rotation(late).phase == "Dropping"

    def test_old_key_goes_at_the_end(self):
        world = in_phase(Phase.DROPPING)
        old = world.api.objects["db-ca"]["data"]["tls.key"]
        world.settle()
        secret = world.api.objects["db-ca"]["data"]

        assert old not in secret.values()
        assert secret.keys() == {"tls.crt", "tls.key", "ca.crt"}
        assert "AuthorityRotated" in world.events

    def test_crash_between_the_two_last_writes_is_gone_on_from(self):
        world = in_phase(Phase.DROPPING)
        while not isinstance(plan(world.look()).step, ReplaceAuthority):
            world.step()
            world.controller_looks()
            for n in range(3):
                world.controller_makes(n, stale=False)
        world.step(dies_after=0)
        assert world.authorities.rotation is not None
        world.settle()

        assert world.authorities.rotation is None


class TestTrouble:
    def test_next_authority_that_is_lost_before_it_signs_is_made_again(self):
        world = in_phase(Phase.TRUSTING)
        data = world.api.objects["db-ca"]["data"]
        world.api._store(
            "db-ca",
            {
                **world.api.objects["db-ca"],
                "data": {k: v for k, v in data.items() if not k.startswith("next")},
            },
        )
        world.restart_operator()
        world.settle()

        assert "forget_lost_authority" in world.rules
        assert world.authorities.client != RECORDED.client
        assert world.cut_off() == []

    def test_next_authority_that_is_lost_after_it_signed_is_not_replaced(self):
        world = in_phase(Phase.REPLACING)
        old = world.api.versions["db-ca"][0][1]
        world.api._store("db-ca", {**world.api.objects["db-ca"], "data": dict(old)})
        world.restart_operator()
        seen = world.look()

        assert isinstance(plan(seen).step, Wait | AnnounceCertificate)
        assert said(seen).reason == "CertificateAuthorityLost"

    def test_of_two_authorities_none_is_recorded_anew_once_the_next_one_alone_is_trusted(self):
        """Status was lost, and the EtcdCluster adopts what there is."""
        world = in_phase(
            Phase.DROPPING,
            until=lambda w: len(w.look().certificates.facts[Role.SERVER].trusts) == 1,
        )
        status = world.status.model_copy(update={"authorities": None})
        lost = dataclasses.replace(world.look(), status=status)

        assert not isinstance(plan(lost).step, RecordAuthorities)
        assert said(lost).reason == "CertificateAuthorityLost"
        assert "Secret db-ca holds two authorities" in said(lost).message

    @pytest.mark.parametrize("phase", [Phase.TRUSTING, Phase.REPLACING])
    def test_old_authority_is_recorded_anew_while_everybody_trusts_it(self, phase):
        world = in_phase(phase)
        status = world.status.model_copy(update={"authorities": None})
        step = plan(dataclasses.replace(world.look(), status=status)).step

        assert isinstance(step, RecordAuthorities)
        assert step.authorities.client == world.authorities.client

    def test_old_authority_is_not_missed_once_the_next_one_signs(self):
        world = in_phase(Phase.REPLACING)
        data = world.api.objects["db-ca"]["data"]
        spoilt = {**data, "tls.crt": data["next-tls.crt"], "tls.key": data["next-tls.key"]}
        world.api._store("db-ca", {**world.api.objects["db-ca"], "data": spoilt})
        world.restart_operator()
        world.settle()

        assert world.authorities.rotation is None

    def test_refusal_to_write_the_next_authority_is_told_and_stops_nothing_else(self):
        world = in_phase(Phase.PREPARING)
        world.step()
        seen = world.look()
        message = "Secret db-ca can't be written: quota"
        answer = Rejected(reason=Reason.NOT_ALLOWED, message=message, name="db-ca")
        refused = next_status(seen, plan(seen), answer)
        after = dataclasses.replace(seen, status=refused)

        assert message in said(after).message
        assert isinstance(plan(after).step, Wait)
        later = dataclasses.replace(after, now=after.now + timedelta(minutes=1))
        assert isinstance(plan(later).step, MakeNextAuthority)

    def test_next_authority_that_can_not_be_written_keeps_no_leaf_from_its_renewal(self):
        world = in_phase(Phase.PREPARING)
        world.step()
        late = dataclasses.replace(world.look(), now=NOW + LEAF_LIFE * 0.7)

        assert isinstance(plan(late).step, IssueCertificates)

    def test_pod_of_another_trust_holds_the_next_phase(self):
        world = in_phase(Phase.TRUSTING, until=lambda w: w.rules[-1] == "wait_for_rotation")
        late = world.authorities.rotation.since + timedelta(hours=2)
        seen = dataclasses.replace(world.look(), now=late)
        behind = dataclasses.replace(seen.pods[2], bundles={})
        other = dataclasses.replace(seen, pods=(*seen.pods[:2], behind))

        assert recorded_rotation(seen).phase == "Issuing"
        assert "db-2 to be restarted with another trust" in plan(other).step.message


class TestShown:
    def test_cluster_is_ready_meanwhile(self):
        world = in_phase(Phase.TRUSTING, until=lambda w: w.rules[-1] == "wait_for_rotation")
        conditions = world.status.conditions
        tls = find_condition(conditions, "TLSReady")

        assert find_condition(conditions, "Ready").status == "True"
        assert find_condition(conditions, "Reconciling").reason == "RotatingAuthority"
        assert tls.status == "True"
        assert "The client authority is being replaced (Trusting)" in tls.message
        assert "(Trusting)" in world.status.plan.waits_for

    @pytest.mark.parametrize("why", OTHERS)
    def test_what_else_it_waits_for_is_told(self, why):
        seen = in_phase(Phase.SPREADING, until=lambda w: plan(w.look()).rule == "rotate").look()
        wait = wait_for_rotation(busy(seen, why))

        assert OTHERS[why] in wait.message

    def test_refusal_to_drop_the_old_authority_is_told(self):
        world = in_phase(Phase.DROPPING, until=lambda w: plan(w.look()).rule == "rotate")
        seen = world.look()
        message = "Secret db-ca can't be written: quota"
        answer = Rejected(reason=Reason.NOT_ALLOWED, message=message, name="db-ca")
        refused = dataclasses.replace(seen, status=next_status(seen, plan(seen), answer))

        assert plan(refused).step.message.endswith(message)

    def test_each_phase_is_told_once(self):
        world = World()
        world.controller_looks()
        world.asked = "peer"
        world.settle()

        assert world.events.count("AuthorityRotating") == 6
        assert world.events.count("AuthorityRotated") == 1

    def test_back_up_is_asked_for_at_the_end(self):
        then = RECORDED.model_copy(update={"client": "f" * 64})
        step = ReplaceAuthority(role=Role.CLIENT_CA, secret="db-ca", by="f" * 64, then=then)
        seen = observed()
        planned = dataclasses.replace(plan(seen), step=step)
        (told,) = [
            one
            for one in happenings(seen, planned, Done(), next_status(seen, planned, Done()))
            if one.reason == "AuthorityRotated"
        ]

        assert "db-ca" in told.message
        assert "back it up anew" in told.message


class TestPods:
    def test_pod_says_which_bundles_it_mounts(self):
        rotation = AuthorityRotation(authority="peer", phase="Trusting", since=NOW, next="e" * 64)
        world = in_phase(rotation.phase, "peer")
        template = world.status.rendered.pod_template
        made = pod_from(
            {"metadata": {"name": "db-0", "uid": "x"}, "spec": template["spec"]}, ordinal=0
        )

        assert made.bundles.keys() == {"etcd-peer-tls"}

    def test_pod_of_a_cluster_that_never_rotated_mounts_all_as_it_is(self):
        template = observed().status.rendered.pod_template

        assert mounted_bundles(template["spec"]) == {}

    def test_members_call_each_other_with_their_second_certificate_still(self):
        world = in_phase(Phase.TRUSTING, "peer")
        volumes = world.status.rendered.pod_template["spec"]["volumes"]
        (items,) = [v["secret"]["items"] for v in volumes if v["name"] == "etcd-peer-tls"]

        assert {one["path"] for one in items} == {"tls.crt", "tls.key", "client.crt", "ca.crt"}

    def test_what_was_rotated_stays_as_it_is(self):
        """A settled cluster after a rotation: nothing differs, and no operator change waits."""
        world = World()
        world.controller_looks()
        world.asked = "all"
        world.settle()

        assert world.status.operator_changes == ()
        assert {Role.CLIENT_CA, Role.PEER_CA} == set(AUTHORITIES)
        assert live_of(world.look()).keys() == world.live.keys()
