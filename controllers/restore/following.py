"""Follows the EtcdCluster that was made or asked, by what its own reconciler says of it. Pure."""

from typing import Final

from api.conditions import ConditionType, find_condition
from api.labels import OLD_DATA_ANNOTATION
from api.reasons import Reason, reason_of
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore import RestoreSpec
from api.v1alpha1.restore_request import (
    COMPLETED,
    FAILED,
    PREPARING,
    PUT_BACK,
    SWITCHING,
    RestoreAnswer,
    RestoreRequest,
)
from controllers.backup.order import failed
from controllers.restore.observed import Observed, Target
from controllers.restore.render import attempt_of
from controllers.restore.steps import AskCluster, Complete, Fail, PutBack, Step, Wait
from controllers.restore.target import standing_request

# Percent of the way (RestoreStatus.percent says what they mean).
TAKEN_UP: Final = 20
FILLED: Final = 60
SERVES: Final = 80
_OVER: Final = frozenset({COMPLETED, FAILED, PUT_BACK})


def follow(observed: Observed, spec: RestoreSpec) -> Step | None:
    """How the cluster is getting on; None where it was not asked for anything yet."""
    ours = _follow_the_new_one if spec.restore_type == "New" else _follow_the_answer
    return _lost(observed, spec) or ours(observed, spec)


def _lost(observed: Observed, spec: RestoreSpec) -> Step | None:
    """It was there, and is not any more: who took it away may not want it back."""
    if not _was_asked(observed):
        return None
    target, known = observed.target, observed.status.restored_cluster_uid
    if target is not None and target.uid == (known or target.uid):
        return None
    message = f"EtcdCluster {spec.cluster_name} was deleted before it was restored"
    return Fail(answer=failed(Reason.TARGET_GONE, message))


def _was_asked(observed: Observed) -> bool:
    """Whether the cluster was made, or asked, by this attempt: that is recorded at once."""
    return observed.status.phase == "Running" and bool(observed.status.restored_cluster)


def _follow_the_new_one(observed: Observed, spec: RestoreSpec) -> Step | None:
    target, name = observed.target, spec.cluster_name
    if target is None or target.maker != observed.uid:
        return None
    if target.attempt != attempt_of(spec):
        return _edited(
            f"EtcdCluster {name} was made before the spec was edited: take the edit back, or"
            f" delete the EtcdCluster, and its volume claims, to have another one made"
        )
    record = None if target.status.bootstrap is None else target.status.bootstrap.restore
    if record is None or not record.done:
        return _wait_for(name, target, TAKEN_UP)
    if not _is_ready(target):
        return _wait_for(name, target, SERVES if _serves(target.status) else FILLED)
    return _complete(target)


def _follow_the_answer(observed: Observed, spec: RestoreSpec) -> Step | None:
    """What became of the request, if the last one was this one's."""
    target, request = observed.target, standing_request(observed)
    if target is None:
        return None
    answer = _answer(observed, attempt_of(spec))
    if request is None:
        return _withdrawn(observed) if answer is None else _of_answer(answer, spec, target)
    if request.uid != observed.uid:
        return _other_request(observed, request)
    if request.attempt != attempt_of(spec):
        return _earlier_request(observed, spec, request)
    if answer is None:
        return _wait_for(spec.cluster_name, target, TAKEN_UP)
    return forward_old_data(observed, spec) or _of_answer(answer, spec, target)


def _answer(observed: Observed, attempt: str, uid: str = "") -> RestoreAnswer | None:
    """What the cluster says of that attempt; `uid`: of another EtcdRestore's."""
    answer = None if observed.target is None else observed.target.status.restore
    asked = (uid or observed.uid, attempt)
    return answer if answer is not None and (answer.uid, answer.attempt) == asked else None


def _earlier_request(observed: Observed, spec: RestoreSpec, request: RestoreRequest) -> Wait | None:
    """Once that has come to its end, this one may ask."""
    if _is_over(_answer(observed, request.attempt)):
        return None
    return _edited(
        f"EtcdCluster {spec.cluster_name} was asked before the spec was edited, and is at work:"
        " take the edit back, or wait until that has ended"
    )


def _is_over(answer: RestoreAnswer | None) -> bool:
    return answer is not None and answer.phase in _OVER


def _withdrawn(observed: Observed) -> Fail | None:
    """Whether it was asked once, and somebody took that back before it was heard."""
    if not _was_asked(observed):
        return None
    message = "The annotation that asked the EtcdCluster for the backup's data was taken away"
    return Fail(answer=failed(Reason.RESTORE_WITHDRAWN, message))


def _of_answer(answer: RestoreAnswer, spec: RestoreSpec, target: Target) -> Step:
    match answer.phase:
        case phase if phase == FAILED:
            return Fail(answer=failed(reason_of(answer.reason), answer.message))
        case phase if phase == PUT_BACK:
            return PutBack()
        case phase if phase == COMPLETED and _is_ready(target):
            return _complete(target)
        case phase:
            percent = {PREPARING: TAKEN_UP, SWITCHING: FILLED}.get(phase, SERVES)
            return _wait_for(spec.cluster_name, target, percent, answer.message)


def _complete(target: Target) -> Complete:
    record = None if target.status.bootstrap is None else target.status.bootstrap.restore
    return Complete(cluster_uid=target.uid, restored=None if record is None else record.restored)


def _other_request(observed: Observed, request: RestoreRequest) -> Fail | None:
    """None where that one has come to its end, and this one has not asked yet."""
    name = request.restore
    if _was_asked(observed):
        message = f"EtcdRestore {name} has asked the cluster for another backup since"
        return Fail(answer=failed(Reason.RESTORE_OVERTAKEN, message))
    if _is_over(_answer(observed, request.attempt, request.uid)):
        return None
    message = f"EtcdRestore {name} is replacing the cluster's data: wait for its end"
    return Fail(answer=failed(Reason.RESTORE_OVERTAKEN, message))


def forward_old_data(observed: Observed, spec: RestoreSpec) -> AskCluster | None:
    """An edit of `oldData`, as long as nobody has asked the cluster for anything else."""
    target, request = observed.target, standing_request(observed)
    if target is None or request is None or request.uid != observed.uid:
        return None
    if target.old_data == spec.old_data:
        return None
    return AskCluster(
        name=spec.cluster_name,
        uid=target.uid,
        resource_version=target.resource_version,
        annotations={OLD_DATA_ANNOTATION: spec.old_data},
    )


def going_back(observed: Observed, spec: RestoreSpec) -> PutBack | Wait | None:
    """How far the cluster is on its way back to the data that it had before."""
    answer = _answer(observed, observed.status.attempt)
    if spec.old_data != "PutBack" or answer is None:
        return None
    if answer.phase == PUT_BACK:
        return PutBack()
    return Wait(
        reason=reason_of(answer.reason) if answer.reason else Reason.RESTORING,
        message=f"EtcdCluster {spec.cluster_name}: {answer.message}",
        stalled=bool(answer.reason),
    )


def _wait_for(name: str, target: Target, percent: int, told: str = "") -> Wait:
    """In the cluster's own words."""
    ready = find_condition(target.status.conditions, ConditionType.READY)
    stalled = find_condition(target.status.conditions, ConditionType.STALLED)
    is_stalled = stalled is not None and stalled.status == "True"
    says = told or (ready.message if ready is not None else "it has just been made")
    return Wait(
        reason=reason_of(stalled.reason) if stalled and is_stalled else Reason.RESTORING,
        message=f"EtcdCluster {name}: {says}",
        stalled=is_stalled,
        percent=percent,
        cluster_uid=target.uid,
    )


def _edited(message: str) -> Wait:
    return Wait(reason=Reason.EDITED_TOO_LATE, message=message, stalled=True)


def _is_ready(target: Target) -> bool:
    ready = find_condition(target.status.conditions, ConditionType.READY)
    return (
        ready is not None
        and ready.status == "True"
        and target.status.observed_generation == target.generation
    )


def _serves(status: ClusterStatus) -> bool:
    found = find_condition(status.conditions, ConditionType.QUORUM_AVAILABLE)
    return found is not None and found.status == "True"
