"""A restore that nobody remembers does nothing: requests, preparations and their pods have an end,
and until then, and after it, the members serve as before.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from api.labels import CLAIM_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import RestoredData
from api.v1alpha1.restore_request import RestoreRequest
from api.v1alpha1.restore_source import StoreSource
from controllers.cluster.observed import RestorePod
from controllers.cluster.outcome import Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.epoch_steps import RecordEpochs
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    MakeRestorePod,
    MakeSeedClaim,
    RecordRestore,
)
from controllers.cluster.restore_pods import restore_pod_from
from controllers.cluster.status import next_status
from controllers.restore_source import Resolved
from tests.unit.controllers.cluster.builders import NOW, claim, observed

STORE = StoreSource.model_validate(
    {"storageType": "Local", "local": {"claimName": "backups"}, "path": "abc-1/once-0123abcd"}
)
CLAIM = claim(0, epoch=2)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def asked(asked_at=NOW, **fields):
    """A healthy cluster that an EtcdRestore asks to take a backup's data."""
    request = RestoreRequest.model_validate(
        {
            "restore": "again",
            "uid": "restore-uid",
            "attempt": "one",
            "source": {"backupName": "once"},
            "askedAt": asked_at,
        }
    )
    found = Resolved(store=STORE, **fields)
    return observed(restore_request=request, requested_source=found, image="operator:1")


def after(seen, outcome=None, **changes):
    status = next_status(seen, plan(seen), outcome or Done())
    return dataclasses.replace(seen, status=status, **changes)


def preparing(**fields):
    seen = after(asked(**fields))
    assert seen.status.restore.phase == "Preparing"
    return seen


def with_claim(**fields):
    """The next epoch's volume claim is there, and recorded as the one that counts."""
    seen = preparing(**fields)
    return after(dataclasses.replace(seen, other_claims=(CLAIM,)))


# ------------------------------------------------------------------ requests
@pytest.mark.parametrize("waited", [timedelta(0), HOUR - SECOND])
def test_a_request_is_taken_within_an_hour(waited):
    step = plan(dataclasses.replace(asked(), now=NOW + waited)).step

    assert isinstance(step, RecordEpochs)
    assert (step.answer.phase, step.next_epoch.epoch) == ("Preparing", 2)
    assert step.next_epoch.since == NOW + waited


def test_a_request_that_was_not_heard_for_an_hour_is_refused_with_what_to_do():
    seen = dataclasses.replace(asked(), now=NOW + HOUR)
    step = plan(seen).step

    assert isinstance(step, RecordEpochs)
    assert (step.answer.phase, step.answer.reason) == ("Failed", Reason.RESTORE_REFUSED.value)
    assert step.answer.message == (
        "it was asked for at 2026-01-01 12:00:00 UTC, and could not be begun within an hour: edit"
        " the EtcdRestore to ask again"
    )
    assert (step.next_epoch, step.answer.epoch) == (None, None)
    # Said once, and the next attempt of the same restore is heard.
    again = after(seen)
    assert not isinstance(plan(again).step, RecordEpochs)
    request = again.restore_request.model_copy(update={"attempt": "two", "asked_at": again.now})
    heard = plan(dataclasses.replace(again, restore_request=request)).step
    assert heard.answer.phase == "Preparing"


def test_a_request_of_an_earlier_operator_has_no_time_and_stands():
    step = plan(dataclasses.replace(asked(asked_at=None), now=NOW + timedelta(days=300))).step

    assert step.answer.phase == "Preparing"


# ------------------------------------------------------------------ preparations
@pytest.mark.parametrize("late", [-SECOND, timedelta(0)])
def test_a_preparation_has_six_hours(late):
    seen = dataclasses.replace(with_claim(), now=NOW + 6 * HOUR + late)
    step = plan(seen).step

    if late:
        assert isinstance(step, MakeRestorePod)
        return
    assert isinstance(step, RecordEpochs)
    assert (step.answer.phase, step.answer.reason) == ("Failed", Reason.RESTORE_FAILED.value)
    assert step.answer.message == "its data were not ready within 6 hours"


def test_data_that_are_ready_but_held_by_a_pod_that_does_not_end_are_given_up_as_well():
    """A node that is gone never says that its pod has ended."""
    seen = with_claim()
    restored = RestoredData.model_validate(
        {
            "sourceClusterID": "abc",
            "sourceName": "prod/db",
            "savedAt": "2026-01-01T00:00:00Z",
            "etcdVersion": "v3.5.21",
            "revision": 7,
            "compactRevision": 2,
            "databaseSize": 90,
        }
    )
    coming = seen.status.next_epoch
    record = coming.bootstrap.restore.model_copy(update={"done": True, "restored": restored})
    bootstrap = coming.bootstrap.model_copy(update={"restore": record})
    done = coming.model_copy(update={"bootstrap": bootstrap})
    held = RestorePod(name="db-2-restore", uid="p", epoch=2, claim=CLAIM.uid, terminating=True)
    seen = dataclasses.replace(
        seen,
        status=seen.status.model_copy(update={"next_epoch": done}),
        restore_pods=(held,),
    )

    assert not isinstance(plan(seen).step, RecordEpochs)
    step = plan(dataclasses.replace(seen, now=NOW + 6 * HOUR)).step
    assert step.answer.phase == "Failed"
    # Without the pod they are switched to, however short before the end.
    free = dataclasses.replace(seen, restore_pods=(), now=NOW + 6 * HOUR - SECOND)
    assert plan(free).step.answer.phase == "Switching"


def test_a_store_that_stays_away_ends_it_after_eight_pods():
    seen = with_claim()
    for n in range(8):
        assert isinstance(plan(seen).step, MakeRestorePod), n
        failed = RestorePod(
            name="db-2-restore",
            uid=f"p{n}",
            epoch=2,
            claim=CLAIM.uid,
            failure=(Reason.STORE_UNAVAILABLE, "no answer"),
        )
        seen = after(dataclasses.replace(seen, restore_pods=(failed,)))
        again = seen.status.next_epoch.bootstrap.restore.not_before
        if n < 7:
            seen = dataclasses.replace(seen, now=again)
            assert isinstance(plan(seen).step, DeleteRestorePod)
            seen = dataclasses.replace(seen, restore_pods=())

    step = plan(seen).step
    assert isinstance(step, RecordEpochs)
    assert (step.answer.phase, step.answer.reason) == ("Failed", Reason.STORE_UNAVAILABLE.value)
    assert seen.now < NOW + 6 * HOUR


@pytest.mark.parametrize("kind", [MakeSeedClaim, MakeRestorePod])
def test_what_the_server_does_not_take_ends_the_restore_and_not_the_care_for_the_members(kind):
    seen = preparing() if kind is MakeSeedClaim else with_claim()
    assert isinstance(plan(seen).step, kind)

    outcome = Rejected(reason=Reason.PODS_REFUSED, message="exceeded quota")
    status = after(seen, outcome).status

    assert (status.restore.phase, status.restore.reason) == ("Failed", "PodsRefused")
    assert status.restore.message == "exceeded quota"
    assert status.bootstrap == seen.status.bootstrap


# ------------------------------------------------------------------ the pod
def test_its_pod_has_as_long_as_the_whole_preparation():
    step = plan(with_claim()).step

    assert step.pod["spec"]["activeDeadlineSeconds"] == 6 * 3600
    assert step.pod["spec"]["restartPolicy"] == "Never"


def test_a_pod_past_its_deadline_is_told_in_the_servers_words_and_tried_again():
    obj = {
        "metadata": {
            "name": "db-2-restore",
            "uid": "p",
            "annotations": {CLAIM_ANNOTATION: CLAIM.uid},
        },
        "spec": {},
        "status": {
            "phase": "Failed",
            "reason": "DeadlineExceeded",
            "message": "Pod was active on the node longer than the specified deadline",
        },
    }
    seen = dataclasses.replace(with_claim(), restore_pods=(restore_pod_from(obj, epoch=2),))

    step = plan(seen).step

    assert isinstance(step, RecordRestore)
    assert "longer than the specified deadline" in step.restore.message
    assert (step.restore.stalled, step.restore.attempts) == (False, 1)
    assert step.restore.not_before is not None


# ------------------------------------------------------------------ wrong hashes
@pytest.mark.parametrize("skips", [False, True])
def test_wrong_hashes_are_overlooked_only_where_that_was_asked_for(skips):
    seen = with_claim(skip_hash_check=skips)
    fetch, etcdutl = plan(seen).step.pod["spec"]["initContainers"]

    assert seen.status.next_epoch.bootstrap.restore.skip_hash_check is skips
    assert ('"skipHashCheck":true' in fetch["args"][-1]) is skips
    assert ("--skip-hash-check" in etcdutl["args"]) is skips
