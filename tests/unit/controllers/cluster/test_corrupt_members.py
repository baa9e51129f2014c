"""A member that the alarm CORRUPT names leaves first, and nobody relies on its data."""

import dataclasses

from controllers.cluster.members import keeps_quorum_without
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import MoveLeader, RecordMembership, RemoveMember
from etcd.ids import member_id_hex
from etcd.maintenance import Alarm, AlarmKind
from tests.unit.controllers.cluster.builders import etcd, member_id, observed
from tests.unit.controllers.cluster.test_membership import joining, known, recorded, sized


def corrupt(seen, ordinal, *, leader=0):
    alarm = Alarm(member_id=member_id(ordinal), kind=AlarmKind.CORRUPT)
    answers = etcd(len(seen.etcd.members))
    statuses = {
        name: dataclasses.replace(status, leader=member_id(leader))
        for name, status in answers.statuses.items()
    }
    return dataclasses.replace(
        seen, etcd=dataclasses.replace(answers, alarms=(alarm,), statuses=statuses)
    )


def test_the_corrupt_one_of_those_that_shrinking_takes_goes_first():
    step = plan(corrupt(sized(1), 1)).step

    assert isinstance(step, RemoveMember)
    assert step.name == "db-1"


def test_sound_members_are_not_taken_away_from_a_corrupt_one_that_stays():
    step = plan(corrupt(sized(1), 0, leader=1)).step

    assert isinstance(step, RecordMembership)
    assert step.voters is None or len(step.voters) == len(("db-0", "db-1", "db-2"))
    assert step.joining.name == "db-0"


def test_a_corrupt_member_is_no_part_of_the_quorum_of_those_who_stay():
    seen = corrupt(observed(), 0)

    assert keeps_quorum_without(seen, 0)
    assert not keeps_quorum_without(seen, 1)


def test_leadership_is_handed_to_a_sound_member():
    seen = recorded(
        corrupt(observed(5), 0, leader=4),
        members=known(*range(5)),
        joining=joining(
            4,
            reason="ReplacementRequested",
            old_id=member_id_hex(member_id(4)),
            old_claim="claim-4",
        ),
    )
    step = plan(seen).step

    assert isinstance(step, MoveLeader)
    assert step.target == "db-1"
