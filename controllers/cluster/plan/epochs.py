"""Rules about which data a cluster is to have: a backup's in place of its own, or again what it had
before, and what becomes of those that it does not have any more.

While the next epoch's volume is prepared (`restoring`) the members serve as before, and until that
is done nothing has changed.  What must never happen: data that were set aside are deleted without
being asked for, or before all members serve the others.
"""

import dataclasses
from datetime import timedelta
from typing import Final

from api.labels import pod_name
from api.reasons import Reason, reason_of
from api.tls_decision import tls_of
from api.v1alpha1.cluster_status import (
    BootstrapMember,
    ClusterStatus,
    OtherEpoch,
    RestoreRecord,
)
from api.v1alpha1.restore_request import (
    COMPLETED,
    FAILED,
    PREPARING,
    PUT_BACK,
    SWITCHING,
    RestoreAnswer,
    RestoreRequest,
)
from controllers.cluster.claim_record import ClaimRecord
from controllers.cluster.epochs import answers, claims_of_epoch, is_switching, next_number
from controllers.cluster.listeners import scheme
from controllers.cluster.observed import Claim, Observed
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.epoch_steps import DeleteEpoch, RecordEpochs
from controllers.cluster.plan.restore_steps import DeleteRestorePod, RestoreStep
from controllers.cluster.plan.restoring import prepare, record_for
from controllers.cluster.plan.steps import Wait
from controllers.cluster.plan.switching import is_whole
from controllers.cluster.render.restore_pod import SEED
from controllers.restore_source import Resolved, Unresolved
from etcd.versions import parse_version, promotions_survive

# Far more than a cluster writes between a backup and its restore: watchers never go back in time.
_BUMP: Final = 1_000_000_000
# With their pauses half an hour: a store that is away for longer is for somebody to look at.
_MOST_ATTEMPTS: Final = 8
# As long as a backup's Job has.
_DEADLINE: Final = timedelta(hours=6)
# Far longer than a change of operators takes.
_UNHEARD: Final = timedelta(hours=1)


def take_restore_request(observed: Observed) -> RecordEpochs | None:
    """A backup's data are asked for: from now on they are prepared, or refused with a reason.

    One request after the other: the next is looked at when nothing of the last is left to do, or
    when its data serve no more, before they have ever done so with all members.
    """
    request, status = observed.restore_request, observed.status
    if request is None or answers(status, request) or observed.applied is None:
        return None
    if status.next_epoch is not None:
        return None
    if is_switching(status) and observed.etcd.members is not None:
        return None
    number = next_number(observed)
    answer = RestoreAnswer(
        restore=request.restore,
        uid=request.uid,
        attempt=request.attempt,
        phase=PREPARING,
        message=f"The backup's data are prepared as epoch {number}; the members serve as before",
        epoch=number,
    )
    found = observed.requested_source
    refusal = _forgotten(observed, request) or _against_restoring(observed)
    if refusal or not isinstance(found, Resolved):
        reason, message = Reason.RESTORE_REFUSED, refusal
        if not message and isinstance(found, Unresolved):
            reason, message = found.reason, found.message
        failed = {"phase": FAILED, "reason": reason.value, "message": message, "epoch": None}
        answer = answer.model_copy(update=failed)
        return _recorded(observed, answer, None, f"Refuse to restore: {message}")
    seen = dataclasses.replace(observed, restore_source=found)
    record = record_for(seen, request.source, default_bump=_BUMP)
    return RecordEpochs(
        answer=answer,
        next_epoch=_begun(observed, record, number),
        set_aside=status.set_aside,
        last_epoch=number,
        why=f"Prepare the backup that EtcdRestore {request.restore} names as epoch {number}",
    )


def put_back_old_data(observed: Observed) -> RecordEpochs | None:
    """Go back to the data that the cluster had before the restore, or say why that can't be."""
    target, status = _to_put_back(observed), observed.status
    if target is None or status.restore is None:
        return None
    problem = _against_putting_back(observed, target)
    if problem:
        why = f"The data of epoch {target.epoch} can't be put back: {problem}"
        said = {"reason": Reason.OLD_DATA_UNUSABLE.value, "message": why}
        told = status.restore.model_copy(update=said)
        return None if told == status.restore else _recorded(observed, told, None, why)
    why = f"The members stop, and go back to the data of epoch {target.epoch}"
    return _recorded(observed, _answer(observed, SWITCHING, why), target, why)


def give_up_restore(observed: Observed) -> RecordEpochs | None:
    """The next epoch's data can't be had, or are no longer asked for: all stays as it is."""
    status, coming = observed.status, _preparing(observed)
    if coming is None:
        return None
    request = observed.restore_request
    ended: tuple[Reason, str] | None
    if request is None or not answers(status, request):
        ended = (Reason.RESTORE_WITHDRAWN, "it is no longer asked for")
    else:
        ended = _in_vain(observed, coming)
    if ended is None:
        return None
    reason, why = ended
    return _recorded(observed, _answer(observed, FAILED, why, reason), coming, f"Give up: {why}")


def clear_failed_restore(
    observed: Observed,
) -> DeleteRestorePod | DeleteEpoch | RecordEpochs | None:
    """What was prepared in vain goes, the pod first: it never held anybody's data."""
    status = observed.status
    coming = status.next_epoch
    if coming is None or status.restore is None or status.restore.phase != FAILED:
        return None
    why = "its restore has failed"
    pod = observed.restore_pod(coming.epoch)
    if pod is not None and not pod.terminating:
        return DeleteRestorePod(name=pod.name, uid=pod.uid, why=why)
    claims = claims_of_epoch(observed, coming.epoch)
    going = tuple((claim.name, claim.uid) for claim in claims if not claim.terminating)
    if going:
        return DeleteEpoch(epoch=coming.epoch, claims=going, why=why)
    if claims or pod is not None:
        return None
    forget = f"Forget epoch {coming.epoch}, which never began"
    return _recorded(observed, status.restore, None, forget)


def prepare_epoch(observed: Observed) -> RestoreStep | None:
    """One step further with the next epoch's first volume, while the members serve as before."""
    coming = _preparing(observed)
    step = prepare(observed, coming.bootstrap) if coming else None
    return None if isinstance(step, Wait) else step


def wait_for_next_epoch(observed: Observed) -> Wait | None:
    """What the preparation waits for, where there is nothing else to say of the cluster."""
    coming = _preparing(observed)
    step = prepare(observed, coming.bootstrap) if coming else None
    if not isinstance(step, Wait):
        return None
    return dataclasses.replace(step, reason=Reason.PREPARING_DATA)


def begin_switch(observed: Observed) -> RecordEpochs | None:
    """The next epoch's data are ready, and no pod writes to them: from now on there is only the way
    ahead.
    """
    coming = _preparing(observed)
    if coming is None or coming.bootstrap.restore is None or not coming.bootstrap.restore.done:
        return None
    if prepare(observed, coming.bootstrap) is not None:
        return None
    why = f"The backup's data are ready as epoch {coming.epoch}: the members stop, and start on it"
    return _recorded(observed, _answer(observed, SWITCHING, why), coming, why)


def discard_old_data(observed: Observed) -> DeleteEpoch | RecordEpochs | None:
    """Delete what was set aside, as it was asked for, when all members serve what they have now."""
    status, answer = observed.status, observed.status.restore
    if not _asks(observed, "Discard") or answer is None or not status.set_aside:
        return None
    if answer.phase not in {COMPLETED, PUT_BACK} or not is_whole(observed):
        return None
    for epoch in (one.epoch for one in status.set_aside):
        claims = claims_of_epoch(observed, epoch)
        going = tuple((claim.name, claim.uid) for claim in claims if not claim.terminating)
        if going:
            return DeleteEpoch(epoch=epoch, claims=going, why="it is no longer needed")
    if any(claims_of_epoch(observed, one.epoch) for one in status.set_aside):
        return None
    return RecordEpochs(
        answer=answer,
        next_epoch=status.next_epoch,
        set_aside=(),
        last_epoch=status.last_epoch,
        why="The data that were set aside are gone",
    )


def _forgotten(observed: Observed, request: RestoreRequest) -> str:
    """A request that waited, for the end of a pause say, may not surprise whoever forgot it."""
    asked = request.asked_at
    if asked is None or observed.now < asked + _UNHEARD:
        return ""
    return (
        f"it was asked for at {asked:%Y-%m-%d %H:%M:%S} UTC, and could not be begun within an hour:"
        " edit the EtcdRestore to ask again"
    )


def _against_restoring(observed: Observed) -> str:
    """What speaks against it, and what would help; empty when nothing does.

    A cluster that has lost its quorum may be in the middle of anything: it is restored as it is.
    """
    assert observed.applied is not None
    status, applied = observed.status, observed.applied
    if not is_formed(observed) and not status.set_aside:
        return "it has not formed yet: to begin from a backup there is spec.bootstrap.restoreFrom"
    if not applied.size:
        return "spec.size is 0: set a size first"
    if not observed.image:
        return "the operator does not know its own image: start it with --image, or OPERATOR_IMAGE"
    if applied.size > 1 and not promotions_survive(parse_version(applied.version)):
        return (
            f"it would grow from one member again, and etcd {applied.version} can lose the"
            " promotion of a learner: upgrade to 3.5.20 or newer first"
        )
    return _under_way(status) if observed.etcd.members is not None else ""


def _under_way(status: ClusterStatus) -> str:
    if status.joining is not None:
        return f"{status.joining.name} is joining or being replaced: wait for its end"
    return "etcd's version is being changed: wait for its end" if status.upgrade else ""


def _begun(observed: Observed, record: RestoreRecord, number: int) -> OtherEpoch:
    """The epoch as it begins: of one member, with the addresses that the members have now."""
    current = observed.status.bootstrap
    assert current is not None
    # It has its log when it first starts: its file is closed from the beginning.
    seed = BootstrapMember(name=pod_name(observed.name, SEED), ordinal=SEED, started=True)
    bootstrap = current.model_copy(
        update={
            "token": f"{observed.uid}-{number}",
            "epoch": number,
            "size": 1,
            "closed": False,
            "members": (seed,),
            "restore": record,
        }
    )
    return OtherEpoch(epoch=number, since=record.since, bootstrap=bootstrap)


def _in_vain(observed: Observed, coming: OtherEpoch) -> tuple[Reason, str] | None:
    """Why the preparation has come to its end without data that can be used; None if it has not.

    A restore that waited for long might give a cluster old data on a day when nobody remembers it.
    """
    record, applied = coming.bootstrap.restore, observed.applied
    assert record is not None
    assert applied is not None
    restored = record.restored
    if restored is not None and restored.auth_enabled and not applied.security.auth.enabled:
        return Reason.AUTH_RESTORED, (
            "the backup has etcd ask who is calling, and spec.security.auth.enabled is false:"
            " set it to true first"
        )
    if record.failure and (record.stalled or record.attempts >= _MOST_ATTEMPTS):
        return reason_of(record.failure), record.message
    # Also with data that are ready, as long as their pod does not end: see `begin_switch`.
    if observed.now >= coming.since + _DEADLINE:
        hours = _DEADLINE // timedelta(hours=1)
        return Reason.RESTORE_FAILED, f"its data were not ready within {hours} hours"
    return None


def _preparing(observed: Observed) -> OtherEpoch | None:
    answer = observed.status.restore
    is_preparing = answer is not None and answer.phase == PREPARING
    return observed.status.next_epoch if is_preparing else None


def _asks(observed: Observed, what: str) -> bool:
    """Whether this is to become of the data that were set aside.  What was said together with a
    request is not meant for what came of another one.
    """
    request = observed.restore_request
    return observed.old_data_asked == what and (
        request is None or answers(observed.status, request)
    )


def _to_put_back(observed: Observed) -> OtherEpoch | None:
    """The epoch to go back to, from the one that the restore began."""
    status, answer = observed.status, observed.status.restore
    if not _asks(observed, "PutBack") or answer is None or status.next_epoch is not None:
        return None
    if answer.epoch != observed.epoch or answer.phase not in {SWITCHING, COMPLETED}:
        return None
    return next(iter(status.set_aside), None)


def _against_putting_back(observed: Observed, target: OtherEpoch) -> str:
    """What speaks against it, and what would help; empty when nothing does."""
    assert observed.applied is not None
    claims = {claim.ordinal: claim for claim in claims_of_epoch(observed, target.epoch)}
    lost = [
        pod_name(observed.name, n)
        for n in target.voter_ordinals
        if n not in claims or claims[n].terminating or claims[n].lost
    ]
    if lost:
        return f"the volumes of {', '.join(lost)} are gone"
    runs = parse_version(observed.applied.version)
    if parse_version(target.version).minor != runs.minor:
        return (
            f"etcd {target.version} wrote them, and the members run v{runs}: set spec.version to"
            " the same minor version first"
        )
    if observed.status.upgrade is not None:
        return "etcd's version is being changed: wait for its end"
    return _against_their_urls(observed, tuple(claims.values()))


def _against_their_urls(observed: Observed, claims: tuple[Claim, ...]) -> str:
    """Old members know each other by the URLs that they had, and are to listen as those say."""
    bootstrap = observed.status.bootstrap
    assert bootstrap is not None
    now = scheme(tls=tls_of(bootstrap, observed.status.tls).peer)
    records = filter(None, (ClaimRecord.parse(claim.membership) for claim in claims))
    others = [record.scheme for record in records if record.scheme != now]
    if not others:
        return ""
    return (
        f"their members called each other by {others[0]}, and those of now do by {now}: set"
        f" spec.security.tls.peerTLSEnabled to {'false' if now == 'https' else 'true'} first"
    )


def _answer(
    observed: Observed, phase: str, message: str, reason: Reason | None = None
) -> RestoreAnswer:
    """The answer as it is now, in another phase."""
    assert observed.status.restore is not None
    said = {"phase": phase, "message": message, "reason": reason.value if reason else ""}
    return observed.status.restore.model_copy(update=said)


def _recorded(
    observed: Observed, answer: RestoreAnswer, coming: OtherEpoch | None, why: str
) -> RecordEpochs:
    status = observed.status
    return RecordEpochs(
        answer=answer,
        next_epoch=coming,
        set_aside=status.set_aside,
        last_epoch=status.last_epoch,
        why=why,
    )
