"""How a restore asks a cluster to take its data, and follows what comes of that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.labels import OLD_DATA_ANNOTATION, RESTORE_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.restore_request import read_request
from controllers.restore.plan import plan
from controllers.restore.render import attempt_of
from controllers.restore.steps import (
    AskCluster,
    Begin,
    Complete,
    Fail,
    MakeJob,
    PutBack,
    Rest,
    Wait,
)
from tests.unit.controllers.restore.builders import (
    READY,
    UID,
    after,
    asked_of,
    begun,
    in_place,
    target,
)


def test_replace_asks_the_cluster_once_the_backup_is_known_to_be_whole():
    seen = begun(in_place(), target=target())

    first = plan(seen)
    assert isinstance(first, MakeJob)
    step = plan(begun(in_place(), phase="Running", target=target()))

    assert isinstance(step, AskCluster)
    assert (step.name, step.uid, step.resource_version) == ("db", "cluster-uid", "5")
    request = read_request(step.annotations[RESTORE_ANNOTATION])
    assert request is not None
    assert (request.restore, request.uid, request.source) == ("again", UID, in_place().source)
    assert step.annotations[OLD_DATA_ANNOTATION] == "Keep"


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (None, Reason.CLUSTER_NOT_FOUND),
        (target(is_deleting=True), Reason.CLUSTER_NOT_FOUND),
        (target(spec=None), Reason.INVALID_SPEC),
    ],
)
def test_replace_needs_a_cluster(there, reason):
    step = plan(begun(in_place(), target=there))

    assert (type(step), step.answer.reason) == (Fail, reason)


def answered(phase, seen=None, **fields):
    seen = seen or begun(in_place(), phase="Running")
    status = fields.pop("status", {})
    return replace(seen, target=asked_of(seen, {"phase": phase, **fields}, status=status))


def test_replace_follows_the_answer():
    waiting = plan(answered("Preparing", message="the pod fetches"))
    assert (type(waiting), waiting.message) == (Wait, "EtcdCluster db: the pod fetches")
    assert waiting.cluster_uid == "cluster-uid"
    why = {"reason": "StoreForbidden", "message": "403"}
    assert plan(answered("Failed", **why)).answer.reason is Reason.STORE_FORBIDDEN
    assert isinstance(plan(answered("Completed")), Wait)
    ready = {"conditions": READY, "observedGeneration": 1}
    assert isinstance(plan(answered("Completed", status=ready)), Complete)
    assert plan(answered("PutBack")) == PutBack()


def test_an_answer_to_an_earlier_attempt_is_none():
    seen = begun(in_place(), phase="Running")
    old = asked_of(seen, {"phase": "Failed", "attempt": "before"})

    assert isinstance(plan(replace(seen, target=old)), Wait)


def test_after_a_failed_attempt_an_edit_asks_again():
    seen = answered("Failed", reason="StoreForbidden", message="403")
    status = after(seen, plan(seen))
    edited = in_place(bumpRevision=5)

    seen = replace(seen, status=status, spec=edited)
    assert plan(seen) == Begin()
    running = replace(seen, status=after(seen, Begin()).model_copy(update={"phase": "Running"}))
    step = plan(running)
    assert isinstance(step, AskCluster)
    assert read_request(step.annotations[RESTORE_ANNOTATION]).attempt == attempt_of(edited)


def test_while_another_restore_is_at_work_nothing_is_asked():
    other = replace(begun(in_place()), uid="other", name="first")
    mine = begun(in_place(), phase="Running")

    there = asked_of(other, {"uid": "other", "phase": "Preparing"})
    step = plan(replace(mine, target=there))
    assert (type(step), step.answer.reason) == (Fail, Reason.RESTORE_OVERTAKEN)
    assert "first" in step.answer.message

    there = asked_of(other, {"uid": "other", "phase": "Completed"})
    assert isinstance(plan(replace(mine, target=there)), AskCluster)


@pytest.mark.parametrize("wish", ["Discard", "PutBack"])
def test_what_becomes_of_the_old_data_may_be_decided_afterwards(wish):
    seen = begun(in_place(), phase="Completed")
    seen = replace(seen, target=asked_of(seen, {"phase": "Completed"}))
    assert plan(seen) == Rest()

    step = plan(replace(seen, spec=in_place(oldData=wish)))

    assert isinstance(step, AskCluster)
    assert step.annotations == {OLD_DATA_ANNOTATION: wish}
    assert after(seen, step).phase == "Completed"


def test_a_later_restores_old_data_is_not_touched():
    seen = begun(in_place(oldData="Discard"), phase="Completed")
    other = replace(begun(in_place()), uid="other", name="later")

    assert (
        plan(replace(seen, target=asked_of(other, {"uid": "other"} | {"phase": "Completed"})))
        == Rest()
    )


def test_going_back_is_told():
    seen = begun(in_place(oldData="PutBack"), phase="Completed")

    step = plan(replace(seen, target=asked_of(seen, {"phase": "PutBack"})))

    assert step == PutBack()
    status = after(seen, step)
    assert status.phase == "PutBack"
    assert plan(replace(seen, status=status)) == Rest()


def test_a_request_that_somebody_takes_away_is_not_made_again():
    """Before the cluster has answered; and with its answer, in its words."""
    asked = begun(in_place(), phase="Running", restored_cluster_uid="cluster-uid")

    step = plan(replace(asked, target=target()))
    assert (type(step), step.answer.reason) == (Fail, Reason.RESTORE_WITHDRAWN)

    there = asked_of(asked, {"phase": "Failed", "reason": "RestoreWithdrawn", "message": "gone"})
    step = plan(replace(asked, target=replace(there, request="")))
    assert (type(step), step.answer.message) == (Fail, "gone")


@pytest.mark.parametrize(
    ("answer", "stalled"),
    [
        ({"phase": "Switching", "message": "the members stop"}, False),
        ({"phase": "Completed", "reason": "OldDataUnusable", "message": "the volumes"}, True),
    ],
)
def test_the_way_back_is_followed(answer, stalled):
    seen = begun(in_place(oldData="PutBack"), phase="Completed")

    step = plan(replace(seen, target=asked_of(seen, answer)))

    assert (type(step), step.stalled) == (Wait, stalled)
    assert answer["message"] in step.message
    assert after(seen, step).phase == "Completed"
