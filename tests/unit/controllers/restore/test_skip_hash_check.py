"""What is damaged is restored only by those who say so twice: in the spec, and by an annotation
with the EtcdRestore's own name. What is asked of clusters says so, and when it was asked.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.event_reasons import EventReason
from api.labels import (
    CONFIRM_SKIP_HASH_CHECK_ANNOTATION,
    RESTORE_ANNOTATION,
    SKIP_HASH_CHECK_ANNOTATION,
)
from api.reasons import Reason
from api.v1alpha1.restore_request import read_request
from controllers.backup.outcome import Done
from controllers.cluster.requests import skips_hash_check
from controllers.resources import BACKUPS, CLUSTERS, JOBS, PODS
from controllers.restore.happenings import happenings
from controllers.restore.observe import Sources, observe
from controllers.restore.order import ExamineOrder
from controllers.restore.plan import plan
from controllers.restore.steps import Accept, AskCluster, Begin, MakeCluster, MakeJob, Refuse
from tests.unit.controllers.restore.builders import (
    EXAMINED,
    NOW,
    READY,
    after,
    attempt,
    begun,
    in_place,
    job,
    observed,
    spec,
    target,
)
from tests.unit.controllers.restore.test_observe import META, SPEC, Cache
from tests.unit.controllers.restore.test_plan import DONE, made, restoring

SKIPS = spec(skipHashCheck=True)


def ready(conditions):
    return next(one for one in conditions if one.type == "Ready")


def test_without_the_annotation_it_is_refused_and_nothing_is_begun():
    asks = observed(spec=SKIPS)
    step = plan(asks)

    assert (type(step), step.reason) == (Refuse, Reason.NOT_CONFIRMED)
    assert "spec.skipHashCheck" in step.message
    assert f"{CONFIRM_SKIP_HASH_CHECK_ANNOTATION} to again" in step.message
    status = after(asks, step)
    assert (ready(status.conditions).reason, status.phase) == ("NotConfirmed", "Pending")
    # Nobody has to edit the spec: the annotation is enough.
    assert plan(replace(asks, status=status, confirmed=True)) == Begin()


@pytest.mark.parametrize(
    ("value", "confirmed"),
    [("again", True), (" again ", True), ("true", False), ("restored", False), ("", False)],
)
def test_the_annotation_has_the_restores_own_name(value, confirmed):
    annotations = {CONFIRM_SKIP_HASH_CHECK_ANNOTATION: value}
    obj = {"metadata": META | {"annotations": annotations}, "spec": SPEC}
    informers = dict.fromkeys((BACKUPS, CLUSTERS, JOBS, PODS), Cache())

    assert observe(obj, Sources(informers=informers, image="i"), now=NOW).confirmed is confirmed


def test_the_annotation_alone_asks_for_nothing():
    step = plan(begun(confirmed=True))

    order = ExamineOrder.model_validate_json(containers(step)[0]["args"][-1])
    assert not order.skip_hash_check


def containers(step):
    assert isinstance(step, MakeJob)
    return step.body["spec"]["template"]["spec"]["containers"]


def test_what_was_begun_goes_on_without_the_annotation():
    """It may be taken away, so that it confirms no later edit."""
    order = ExamineOrder.model_validate_json(containers(plan(begun(SKIPS)))[0]["args"][-1])

    assert order.skip_hash_check
    edited = spec(skipHashCheck=True, bumpRevision=5)
    assert isinstance(plan(replace(begun(SKIPS), spec=edited)), Refuse)


@pytest.mark.parametrize("asked", [spec(), SKIPS])
def test_the_cluster_that_is_made_is_told_the_same(asked):
    step = plan(begun(asked, phase="Running"))

    assert isinstance(step, MakeCluster)
    assert skips_hash_check(step.body["metadata"]) is asked.skip_hash_check


@pytest.mark.parametrize(
    ("value", "skips"), [("true", True), (" true ", True), ("false", False), ("again", False)]
)
def test_a_cluster_goes_by_the_word_true(value, skips):
    assert skips_hash_check({"annotations": {SKIP_HASH_CHECK_ANNOTATION: value}}) is skips


@pytest.mark.parametrize("skips", [False, True])
def test_a_cluster_that_is_there_is_asked_the_same_and_when(skips):
    step = plan(begun(in_place(skipHashCheck=skips), phase="Running", target=target()))

    assert isinstance(step, AskCluster)
    request = read_request(step.annotations[RESTORE_ANNOTATION])
    assert request is not None
    assert request.skip_hash_check is skips
    assert request.asked_at == NOW


def test_it_is_told_once_as_something_dangerous():
    asks = observed(spec=SKIPS, confirmed=True)
    (told,) = happenings(asks, Begin(), Done(), after(asks, Begin()))
    assert (told.reason, told.type) == (EventReason.HASH_CHECK_SKIPPED, "Warning")

    plain = observed()
    assert not happenings(plain, Begin(), Done(), after(plain, Begin()))
    going = begun(SKIPS)
    told = happenings(going, plan(going), Done(), after(going, plan(going)))
    assert EventReason.HASH_CHECK_SKIPPED not in {one.reason for one in told}


def test_a_backup_that_was_not_checked_is_not_called_whole():
    going = begun(SKIPS, phase="Examining")
    going = replace(going, jobs=(job(going),), attempts=(attempt(ended=True, answer=EXAMINED),))
    step = plan(going)
    assert isinstance(step, Accept)

    message = ready(after(going, step).conditions).message

    assert "whole" not in message
    assert "wrong hashes are only noted, as spec.skipHashCheck asks" in message


def test_also_in_the_end_it_says_that_hashes_may_be_wrong():
    going = begun(SKIPS, phase="Running")
    served = replace(going, target=made(going, **restoring(READY, **DONE)))

    status = after(served, plan(served))

    assert status.phase == "Completed"
    assert "whose hashes may be wrong" in ready(status.conditions).message
