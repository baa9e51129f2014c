"""When TLS is switched, what each phase asks for and waits for, and what is said of it.

That nobody is cut off in any order of events is shown by `test_tls_dance.py`.
"""

import dataclasses
from datetime import timedelta

import pytest

from api.conditions import find_condition
from api.reasons import Reason
from api.v1alpha1.auth import AuthStatus
from api.v1alpha1.cluster_status import (
    AuthorityRotation,
    ClusterStatus,
    JoiningMember,
    OtherEpoch,
    TLSChange,
    TLSStatus,
    UpgradeStatus,
)
from api.v1alpha1.restore_request import COMPLETED, PREPARING, SWITCHING, RestoreAnswer
from controllers.cluster.auth.facts import Authentication, AuthStore
from controllers.cluster.happenings import happenings
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.auth import auth_trouble, switch_auth_on
from controllers.cluster.plan.epochs import put_back_old_data
from controllers.cluster.plan.rotation import begin_rotation
from controllers.cluster.plan.steps import ApplyObjects, RecordSpec, Wait
from controllers.cluster.plan.switching_steps import NameMember, RecordSwitch
from controllers.cluster.plan.tls_switching import switch, wait_for_switch
from controllers.cluster.status import next_status
from etcd.cluster import Member
from tests.unit.controllers.cluster.builders import NOW, bootstrap, claim, member_id
from tests.unit.controllers.cluster.owner_world import members, print_of, web
from tests.unit.controllers.cluster.tls_world import GRACE, SIZE, World, tls_of_spec

# How a whole switch goes, by what is switched: its phases, in order.
CLIENT_PHASES = ["client Certifying", "client Opening", "client Serving", "client Closing"]
PEER_PHASES = ["peer Certifying", "peer Preparing", "peer Switching", "peer Settling"]
WAYS = {
    "on, with clients": ((False, False), (True, False), CLIENT_PHASES, 2),
    "on, among members": ((False, False), (False, True), PEER_PHASES, 2),
    "on, both": ((False, False), (True, True), [*PEER_PHASES, *CLIENT_PHASES], 4),
    "off, with clients": ((True, False), (False, False), CLIENT_PHASES, 2),
    "off, among members": ((False, True), (False, False), PEER_PHASES, 2),
    "off, both": ((True, True), (False, False), [*PEER_PHASES, *CLIENT_PHASES], 4),
    "the other half": ((True, False), (False, True), [*PEER_PHASES, *CLIENT_PHASES], 4),
}


def going(listener="peer", *, on=True, until=""):
    """A world in which that is being switched on or off, and has come to a phase."""
    world = World(**{listener: not on})
    world.wish(**{"client": False, "peer": False, listener: on})
    world.until(f"{listener} {until or 'Certifying'}")
    return world


def done(listener="peer", *, on=True, phase):
    """The same, and all that the phase asks for is done but what a client has to do."""
    world = going(listener, on=on, until=phase)
    for _ in range(40):
        seen = world.look()
        if isinstance(plan(seen).step, RecordSwitch | Wait) and not switching_pods(world):
            return world
        world.goes_on()
    raise AssertionError(world.plans[-5:])


def switching_pods(world):
    return any(process is None for process in world.pods.values())


def with_status(seen, **changes):
    status = seen.status.model_copy(update=changes)
    return dataclasses.replace(seen, status=status)


def recorded(seen):
    """The record that is to be written next."""
    step = switch(seen)
    assert isinstance(step, RecordSwitch), step
    return step


def said(seen):
    planned = plan(seen)
    status = next_status(seen, planned, None if isinstance(planned.step, Wait) else Done())
    return find_condition(status.conditions, "UpToDate")


class TestTheWay:
    @pytest.mark.parametrize("way", WAYS)
    def test_every_phase_comes_in_its_turn_and_the_end_is_as_wished(self, way):
        (client, peer), wished, phases, restarts = WAYS[way]
        world = World(client=client, peer=peer)
        world.wish(client=wished[0], peer=wished[1])

        world.settle()

        assert world.phases == phases
        assert world.status.tls == TLSStatus(client=wished[0], peer=wished[1])
        assert set(world.starts.values()) == {restarts}

    def test_cluster_that_is_as_wished_is_left_alone(self):
        world = World(client=True, peer=True)

        world.settle()

        assert world.status.tls is None
        assert set(world.starts.values()) == {0}

    def test_members_come_first_because_clients_take_long(self):
        world = World()
        world.wish(client=True, peer=True)
        world.step()

        assert recorded(world.look()).tls.change.listener == "peer"

    def test_spec_is_accepted_at_once_and_touches_nobody(self):
        world = World()
        world.wish(client=True, peer=True)
        planned = world.step()

        assert isinstance(planned.step, RecordSpec)
        assert planned.step.rendered is None
        assert world.status.rendered == World().status.rendered

    def test_half_that_is_left_out_follows_the_whole(self):
        world = World()
        world.spec = world.spec.model_validate(
            {**world.spec.to_json(), "security": {"tls": {"enabled": True}}}
        )
        world.generation += 1

        world.settle()

        assert world.status.tls == TLSStatus(client=True, peer=True)

    def test_record_of_an_operator_that_knew_no_tls_begins_nothing(self):
        """It has never said whether there is to be any."""
        world = World()
        accepted = {**world.status.applied_spec}
        accepted["security"] = {"tls": {}}
        seen = with_status(world.look(), applied_spec=accepted)
        applied = seen.applied.model_validate(accepted)
        seen = dataclasses.replace(seen, applied=applied)

        assert switch(seen) is None
        assert wait_for_switch(seen) is None

    def test_template_stays_where_nothing_of_it_is_changed(self):
        """Certificates are made, and URLs taken away, without a restart."""
        for phase, is_rolled in [
            ("Certifying", False),
            ("Preparing", True),
            ("Switching", True),
            ("Settling", False),
        ]:
            before = going(until=phase).plans[-1].step
            assert isinstance(before, RecordSwitch)
            assert (before.rendered is not None) is is_rolled, phase

    def test_switched_off_among_members_the_second_url_restarts_nobody(self):
        """They can call by either way already."""
        world = going(on=False, until="Preparing")

        assert world.plans[-1].step.rendered is None
        assert set(world.starts.values()) == {0}


class TestEndpoints:
    @pytest.mark.parametrize("on", [True, False])
    def test_clients_are_told_of_both_when_all_members_serve_both(self, on):
        told = {}
        world = World(client=not on)
        world.wish(client=on, peer=False)
        for phase in ("Opening", "Serving", "Closing"):
            world.until(f"client {phase}")
            told[phase] = [url.partition("://")[0] for url in world.status.client_endpoints]
        new, old = ("https", "http") if on else ("http", "https")

        assert told == {"Opening": [old], "Serving": [old, new], "Closing": [new]}

    def test_events_tell_of_each_phase_with_the_endpoints(self):
        world = going("client", until="Serving")
        ends = f"{world.now + GRACE:%Y-%m-%d %H:%M} UTC"

        assert world.told[-1] == (
            f"Clients are served by http and https until {ends}: have them use https. Endpoints:"
            " http://db.prod.svc.cluster.local:2379, https://db.prod.svc.cluster.local:2379"
        )

    @pytest.mark.parametrize(
        ("phase", "reason"), [("Preparing", "TLSSwitching"), ("Settling", "TLSSwitched")]
    )
    def test_its_end_is_another_event(self, phase, reason):
        world = done(phase=phase)
        seen = world.look()
        planned = plan(seen)
        if phase == "Preparing":
            assert isinstance(planned.step, RecordSwitch)

        after = next_status(seen, planned, Done())
        assert [one.reason for one in happenings(seen, planned, Done(), after)] == [reason]

    def test_members_are_shown_under_the_url_that_they_are_called_by_now(self):
        world = done(phase="Switching")

        assert {one.peer_url.partition("://")[0] for one in world.status.members} == {"https"}


class TestNames:
    def test_voters_get_their_urls_one_after_the_other(self):
        world = going(until="Preparing")
        named = []
        for _ in range(12):
            planned = world.goes_on()
            if isinstance(planned.step, NameMember):
                named.append(planned.step)

        assert [one.name for one in named] == ["db-0", "db-1", "db-2"]
        assert str(named[0]) == (
            "Have db-0 called by http://db-0.db-peer.prod.svc.cluster.local:2380 and"
            " https://db-0.db-peer.prod.svc.cluster.local:2380"
        )
        assert named[0].id == member_id(0)

    def test_members_that_are_down_get_theirs_as_well(self):
        world = going(until="Preparing")
        world.step()
        world.pods[2] = None
        for _ in range(6):
            world.step()

        assert len(world.urls[2]) == 2

    def test_nobody_is_renamed_while_a_member_joins(self):
        """Its file says under which URLs the others are listed."""
        seen = going(until="Preparing").look()
        joins = JoiningMember(name="db-3", ordinal=3, reason="ScaleOut", since=NOW)

        planned = plan(with_status(seen, joining=joins))

        assert not isinstance(planned.step, NameMember | RecordSwitch)

    def test_nobody_loses_the_only_url_that_it_is_called_by(self):
        """Its own word counts: under what is recorded nobody would find it."""
        world = World(peer=True)
        world.urls = {
            n: {f"http://db-{n}.db-peer.prod.svc.cluster.local:2380"} for n in range(SIZE)
        }

        assert not isinstance(plan(world.look()).step, NameMember)

    def test_stranger_under_the_same_address_is_not_named(self):
        world = going(until="Preparing")
        seen = world.look()
        url = "https://db-0.db-peer.prod.svc.cluster.local:2380"
        other = Member(id=member_id(9), name="", peer_urls=(url,), client_urls=(), is_learner=False)
        etcd = dataclasses.replace(seen.etcd, members=(*seen.etcd.members, other))
        planned = plan(dataclasses.replace(seen, etcd=etcd))

        assert isinstance(planned.step, ApplyObjects)
        world.step()
        seen = dataclasses.replace(world.look(), etcd=etcd)
        assert plan(seen).step.name != "db-0"


# What else goes on, and what is said of a switch meanwhile.
OTHERS = {
    "asleep": "waiting for the cluster to be woken",
    "unhealthy": "waiting for all members to be well",
    "silent": "waiting for etcd to answer",
    "joining": "waiting for a member to have joined",
    "upgrade": "waiting for the change of version to end",
    "rotation": "waiting for an authority to have been replaced",
    "preparing": "waiting for the restore to end",
    "restoring": "waiting for the restore to end",
    "controller": "waiting for the members to be restarted",
    "window": "members may be restarted in a maintenance window only",
}


def busy(seen, why):
    """The same while something else goes on."""
    match why:
        case "asleep":
            return with_spec(seen, size=0)
        case "window":
            return with_spec(
                seen, maintenanceWindows=[{"schedule": "0 0 31 12 *", "duration": "1m"}]
            )
        case "unhealthy":
            down = dataclasses.replace(seen.pods[1], ready=False)
            return dataclasses.replace(seen, pods=(seen.pods[0], down, seen.pods[2]))
        case "silent":
            return dataclasses.replace(seen, etcd=dataclasses.replace(seen.etcd, members=None))
        case "controller":
            made = seen.live["StatefulSet", "db"]
            late = {**made, "status": {**made["status"], "observedGeneration": 0}}
            return dataclasses.replace(seen, live={**seen.live, ("StatefulSet", "db"): late})
        case _:
            return with_status(seen, **recorded_of_others(seen.status)[why])


def recorded_of_others(status):
    """What status has of them."""
    rotation = AuthorityRotation(authority="client", phase="Trusting", since=NOW)
    authorities = status.authorities and status.authorities.model_copy(
        update={"rotation": rotation}
    )
    upgrade = UpgradeStatus.model_validate(
        {"from": "v3.5.20", "path": ["v3.5.21"], "repository": "etcd", "since": NOW}
    )
    return {
        "joining": {"joining": JoiningMember(name="db-3", ordinal=3, reason="ScaleOut", since=NOW)},
        "upgrade": {"upgrade": upgrade},
        "rotation": {"authorities": authorities},
        "preparing": {"restore": answer(PREPARING), "next_epoch": other_epoch(2)},
        "restoring": {"restore": answer(SWITCHING)},
    }


def with_spec(seen, **fields):
    """With another spec, that is in force."""
    applied = seen.applied.model_validate({**seen.applied.to_json(), **fields})
    return dataclasses.replace(seen, applied=applied, spec=applied)


def answer(phase, epoch=2):
    return RestoreAnswer(
        restore="r", uid="u", attempt="1", phase=phase, message="as it is", epoch=epoch
    )


def other_epoch(number, **fields):
    return OtherEpoch(epoch=number, since=NOW, bootstrap=bootstrap(SIZE, epoch=number), **fields)


class TestWaiting:
    @pytest.mark.parametrize("why", OTHERS)
    def test_what_else_goes_on_goes_first_and_is_said(self, why):
        seen = done(phase="Preparing").look()
        assert recorded(seen).tls.change.phase == "Switching"

        found = busy(seen, why)

        assert switch(found) is None
        waits = wait_for_switch(found)
        assert (waits.reason, waits.not_before) == (Reason.SWITCHING_TLS, None)
        assert waits.message == (
            f"TLS among the members is being switched on (Preparing): {OTHERS[why]}"
        )

    @pytest.mark.parametrize("why", sorted(OTHERS.keys() - {"window", "rotation"}))
    def test_nothing_begins_meanwhile(self, why):
        world = World()
        world.wish(client=True, peer=True)
        world.step()

        found = busy(world.look(), why)

        assert switch(found) is None
        assert wait_for_switch(found).message.endswith(f"switched on: {OTHERS[why]}")

    def test_certificates_are_waited_for_before_any_pod_needs_them(self):
        seen = going().look()

        assert switch(seen) is None
        assert wait_for_switch(seen).message == (
            "TLS among the members is being switched on (Certifying): The certificate authorities"
            " are being made"
        )

    def test_certificates_that_are_lost_keep_nobody_from_switching_tls_off(self):
        world = done(on=False, phase="Preparing")
        world.api.objects.clear()
        world.restart_operator()

        assert recorded(world.look()).tls.change.phase == "Switching"

    @pytest.mark.parametrize("phase", ["Certifying", "Switching"])
    def test_what_restarts_nobody_does_not_wait_for_a_window(self, phase):
        world = going(until=phase)
        while phase == "Switching" and not isinstance(plan(world.look()).step, RecordSwitch):
            world.goes_on()
        while phase == "Certifying" and switch(world.look()) is None:
            world.goes_on()
        found = busy(world.look(), "window")

        if phase == "Certifying":
            assert wait_for_switch(found).message.endswith("in a maintenance window only")
        else:
            assert recorded(found).tls.change.phase == "Settling"

    def test_pod_of_an_older_template_is_named(self):
        seen = done(phase="Switching").look()
        pods = tuple(
            dataclasses.replace(pod, config_file="db-1-0000000000.yaml") for pod in seen.pods[:1]
        )
        seen = dataclasses.replace(seen, pods=(*pods, *seen.pods[1:]))

        assert switch(seen) is None
        assert "waiting for db-0 to be restarted" in wait_for_switch(seen).message

    def test_member_that_is_listed_otherwise_is_named(self):
        world = done(phase="Settling")
        world.urls[1].add("http://db-1.db-peer.prod.svc.cluster.local:2380")
        seen = world.look()

        assert switch(seen) is None
        assert "waiting for db-1 to have other peer URLs" in wait_for_switch(seen).message

    def test_clients_have_the_whole_grace_period(self):
        world = done("client", phase="Serving")
        since = world.change.since
        world.api.now = since + GRACE - timedelta(seconds=1)
        waits = wait_for_switch(world.look())

        assert switch(world.look()) is None
        assert waits.not_before == since + GRACE
        assert waits.message == (
            "TLS with clients is being switched on (Serving): clients have until"
            f" {since + GRACE:%Y-%m-%d %H:%M} UTC to go over"
        )
        world.api.now = since + GRACE
        assert recorded(world.look()).tls.change.phase == "Closing"

    def test_longer_grace_period_counts_at_once(self):
        world = done("client", phase="Serving")
        world.api.now = world.change.since + GRACE
        seen = world.look()
        longer = tls_of_spec(client=True, peer=False) | {"rotationGracePeriod": "2h"}

        assert switch(with_spec(seen, security={"tls": longer})) is None

    @pytest.mark.parametrize(("auth", "waits"), [(None, True), (True, True), (False, False)])
    def test_authentication_is_off_before_nobody_can_show_who_he_is(self, auth, waits):
        """`auth`: whether it is on in etcd; None: nobody knows."""
        world = done("client", on=False, phase="Serving")
        world.api.now += GRACE
        store = None if auth is None else AuthStore(enabled=auth, revision=1)
        seen = dataclasses.replace(
            with_status(world.look(), auth=AuthStatus()), auth=Authentication(store=store)
        )

        assert (switch(seen) is None) is waits
        if waits:
            assert "waiting for authentication to be off" in wait_for_switch(seen).message

    @pytest.mark.parametrize("phase", ["Opening", "Serving"])
    def test_users_come_when_the_operator_can_show_who_it_is(self, phase):
        """It goes over in the last phase: before that etcd would not know it as root."""
        seen = done("client", phase=phase).look()
        security = seen.applied.security.to_json() | {"auth": {"enabled": True}}
        store = AuthStore(enabled=False, revision=1)
        seen = dataclasses.replace(
            with_spec(seen, security=security), auth=Authentication(store=store)
        )

        assert switch_auth_on(seen) is None
        assert auth_trouble(seen).message == (
            "The operator can't show its certificate, for clients don't speak TLS"
        )

    def test_no_authority_is_replaced_meanwhile(self):
        """Both restart members, and each is told apart by what they mount."""
        world = World(client=True)
        world.wish(client=True, peer=True)
        world.until("peer Preparing")
        seen = dataclasses.replace(done_with(world).look(), rotation_asked="client")

        assert begin_rotation(seen) is None


def done_with(world):
    while not isinstance(plan(world.look()).step, RecordSwitch):
        world.goes_on()
    return world


class TestTurningRound:
    @pytest.mark.parametrize("phase", ["Certifying", "Preparing"])
    def test_it_is_undone_at_once_where_nobody_listens_otherwise_yet(self, phase):
        world = done(phase=phase) if phase == "Preparing" else going(until=phase)
        world.wish(client=False, peer=False)
        world.settle()

        assert world.phases[-1] == f"peer {phase}"
        assert "TLS among the members is to stay off after all" in " ".join(world.told)
        assert world.status.tls == TLSStatus(client=False, peer=False)
        assert world.status.authorities is None

    @pytest.mark.parametrize("phase", ["Opening", "Serving"])
    def test_clients_that_went_over_have_all_their_time_to_come_back(self, phase):
        world = done("client", phase=phase)
        world.api.now += GRACE / 2
        world.wish(client=False, peer=False)
        while world.change.enabled:
            world.goes_on()

        assert world.phase == f"client {phase}"
        assert world.change.since == world.now
        world.until("client Serving")
        assert len(world.status.client_endpoints) == 2
        assert wait_for_switch(world.look()) is not None
        world.settle()
        assert world.status.tls == TLSStatus(client=False, peer=False)

    @pytest.mark.parametrize(
        ("listener", "phase"),
        [("peer", "Switching"), ("peer", "Settling"), ("client", "Closing")],
    )
    def test_later_it_is_brought_to_its_end_first(self, listener, phase):
        world = going(listener, until=phase)
        world.wish(client=False, peer=False)
        world.settle()

        phases = PEER_PHASES if listener == "peer" else CLIENT_PHASES
        assert world.phases == [*phases, *phases]
        assert world.status.tls == TLSStatus(client=False, peer=False)

    def test_the_other_half_waits_for_the_first(self):
        world = going(until="Switching")
        world.wish(client=True, peer=True)
        world.settle()

        assert world.phases == [*PEER_PHASES, *CLIENT_PHASES]


class TestTheOperatorDies:
    @pytest.mark.parametrize("dies", ["before", "within", "after"])
    @pytest.mark.parametrize("way", ["on, both", "off, both"])
    def test_between_any_two_writes_it_goes_on(self, way, dies):
        """Before each step that is taken, it is begun in vain once."""
        (client, peer), wished, phases, _ = WAYS[way]
        world = World(client=client, peer=peer)
        world.wish(client=wished[0], peer=wished[1])
        for _ in range(200):
            if not isinstance(plan(world.look()).step, Wait):
                world.step(dies=dies)
                assert world.cut_off() == []
            planned = world.round()
            assert world.cut_off() == []
            if isinstance(planned.step, Wait) and planned.step.settled:
                break

        assert world.phases == phases
        assert world.status.tls == TLSStatus(client=wished[0], peer=wished[1])


class TestAuthorities:
    def test_those_of_before_sign_again_when_tls_comes_back(self):
        world = World(client=True, peer=True)
        before = world.status.authorities
        world.wish(client=False, peer=False)
        world.settle()
        assert world.status.authorities is None
        assert {"db-ca", "db-peer-ca"} <= world.api.objects.keys()

        world.wish(client=True, peer=False)
        world.settle()

        assert world.status.authorities == before

    def test_half_of_it_keeps_them(self):
        world = World(client=True, peer=True)
        world.wish(client=True, peer=False)
        world.settle()

        assert world.status.authorities == World(client=True, peer=True).status.authorities

    def test_pods_without_tls_mount_nothing_of_it(self):
        world = World(client=True, peer=True)
        world.wish(client=False, peer=False)
        world.settle()

        volumes = world.template["spec"]["volumes"]
        assert [one for one in volumes if "secret" in one] == []


class TestCertificatesOfTheUser:
    """They are examined and copied before anything depends on them, and never waited for to go."""

    def named(self):
        world = World(certificateSecret="web", peerCertificateSecret="members")
        world.wish(client=True, peer=True)
        return world

    def test_it_is_switched_on_and_off_by_them(self):
        world = self.named()
        world.put(web("one"))
        world.put(members("two"))
        world.settle()

        assert world.status.tls == TLSStatus(client=True, peer=True)
        assert world.status.authorities.client == print_of("one")
        assert world.status.authorities.peer == print_of("two")
        assert set(world.starts.values()) == {4}

        world.wish(client=False, peer=False)
        world.settle()
        assert world.status.tls == TLSStatus(client=False, peer=False)

    def test_until_they_are_there_nothing_is_begun_and_it_is_said(self):
        world = self.named()
        for _ in range(20):
            world.goes_on()

        assert world.phase == "peer Certifying"
        assert set(world.starts.values()) == {0}
        assert "Secret web" in wait_for_switch(world.look()).message

        world.put(web("one"))
        world.put(members("one"))
        world.settle()
        assert world.status.tls == TLSStatus(client=True, peer=True)

    def test_other_ones_are_taken_when_it_comes_back(self):
        world = self.named()
        world.put(web("one"))
        world.put(members("one"))
        world.settle()
        world.wish(client=False, peer=False)
        world.settle()
        world.put(web("two"))
        world.wish(client=True, peer=True)
        world.settle()

        assert world.status.authorities.client == print_of("two")
        assert world.status.authorities.peer == print_of("one")
        assert world.status.authorities.rotation is None


class TestWhatIsShown:
    def test_up_to_date_says_how_far_it_is(self):
        world = done("client", phase="Serving")
        shown = said(world.look())

        assert (shown.status, shown.reason) == ("False", "SwitchingTLS")
        assert (
            "TLS with clients is being switched on (Serving): clients have until" in shown.message
        )

    def test_cluster_is_as_ready_as_its_members(self):
        world = done("client", phase="Serving")
        seen = world.look()
        status = next_status(seen, plan(seen), None)

        assert find_condition(status.conditions, "Ready").status == "True"
        assert status.phase == "Running"

    def test_at_its_end_nothing_is_said_any_more(self):
        world = going()
        world.settle()

        assert said(world.look()).status == "True"
        assert wait_for_switch(world.look()) is None


class TestRestores:
    """Data name the members that they are of by URL: those that members have when it begins."""

    def test_data_that_were_set_aside_are_put_back_under_the_urls_that_they_name(self):
        refused = put_back_old_data(set_aside(peer=True, named="http"))

        assert refused.answer.reason == Reason.OLD_DATA_UNUSABLE
        assert refused.answer.message == (
            "The data of epoch 1 can't be put back: their members called each other by http, and"
            " those of now do by https: set spec.security.tls.peerTLSEnabled to false first"
        )

    @pytest.mark.parametrize(("peer", "named"), [(False, "http"), (True, "https"), (True, "")])
    def test_under_the_same_urls_they_are(self, peer, named):
        """Empty: nothing is written on their claims, as a person may have made them anew."""
        step = put_back_old_data(set_aside(peer=peer, named=named))

        assert step.answer.phase == SWITCHING


def set_aside(*, peer, named):
    """A restored cluster that is asked to go back; `named`: how its old members were called."""
    now = World(peer=peer).look()
    record = next(one.membership for one in World(peer=named == "https").claims) if named else ""
    old = tuple(claim(n, epoch=1, membership=record) for n in range(SIZE))
    made = now.status.bootstrap.model_copy(update={"epoch": 2})
    seen = with_status(
        now,
        restore=answer(COMPLETED),
        bootstrap=made,
        set_aside=(other_epoch(1, version=now.applied.version, voter_ordinals=tuple(range(SIZE))),),
    )
    return dataclasses.replace(seen, other_claims=old, old_data_asked="PutBack")


def test_record_survives_the_api_server():
    """Status is all that is left of an operator that ends."""
    change = TLSChange(listener="peer", enabled=True, phase="Preparing", since=NOW)
    status = ClusterStatus(tls=TLSStatus(client=True, peer=False, change=change))

    assert ClusterStatus.model_validate(status.to_json()).tls == status.tls
