"""Rules of a cluster whose data begin from a backup: its first member's volume is prepared by a pod
of its own, before that member exists.

What must never happen: a member that starts with an empty directory where a backup was asked for; a
preparation that still writes when the member runs; data that are given up once a member may have
started from them.  So the volume that counts is recorded before the pod is made, and the answer of
the pod before the member is; the pod has to be gone by then; and what is placed, no pod touches
(`snapshots.placing`).

`prepare` goes by a bootstrap's own record, whichever epoch of the data it is of.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from api.labels import volume_claim_name
from api.reasons import Reason, reason_of
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapStatus, RestoredData, RestoreRecord
from api.v1alpha1.restore_source import RestoreSource
from api.volume_claims import claim_class, claim_size
from controllers.cluster.observed import Claim, Observed, RestorePod
from controllers.cluster.plan.accepted import (
    edit,
    is_being_restored,
    is_formed,
    refused_by_server,
    refused_edit,
)
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    DeleteSeedClaim,
    MakeRestorePod,
    MakeSeedClaim,
    RecordRestore,
    RestoreStep,
)
from controllers.cluster.plan.steps import Wait
from controllers.cluster.render import identity
from controllers.cluster.render.restore_pod import SEED, restore_pod, seed_claim
from controllers.restore.order import Restored
from controllers.restore_source import Resolved, Unresolved

# A store that is away is asked again after 10, 20, 40, ... seconds, and never later than this.
_FIRST_PAUSE: Final = timedelta(seconds=10)
_LONGEST_PAUSE: Final = timedelta(minutes=10)
_MANY: Final = 16  # failures, after which the pause is the longest
_SPREAD: Final = 0.2
# Pods and claims are events; this is the insurance.
_RECHECK_S: Final = 10.0

_Rule = Callable[[Observed, BootstrapStatus, RestoreRecord], RestoreStep | Wait | None]


def wait_for_source(observed: Observed) -> Wait | None:
    """A cluster that is to begin from a backup never begins without."""
    if observed.status.bootstrap is not None or observed.spec is None:
        return None
    if observed.spec.bootstrap.restore_from is None:
        return None
    return _source_wait(observed) or _image_wait(observed)


def prepare_seed(observed: Observed) -> RestoreStep | Wait | None:
    """One step further with the first member's volume; an edit that may help comes first."""
    bootstrap = observed.status.bootstrap
    if bootstrap is None or bootstrap.restore is None:
        return None
    pod = observed.restore_pod(bootstrap.epoch)
    if is_formed(observed):
        return None if pod is None or pod.terminating else _delete(pod, "the cluster runs")
    if not is_being_restored(observed) or (pod and pod.restored) or not _is_edited(observed):
        return prepare(observed, bootstrap)
    if pod is None:
        return None  # the edit is taken up next
    return _drop(pod, "the spec has changed")


def prepare(observed: Observed, bootstrap: BootstrapStatus) -> RestoreStep | Wait | None:
    """The next step towards a volume with the backup's data; None when it is there, and nobody
    works on it any more.
    """
    record = bootstrap.restore
    if record is None:
        return None
    rules = _PREPARED if record.done else _TO_PREPARE
    steps = (rule(observed, bootstrap, record) for rule in rules)
    return next((step for step in steps if step is not None), None)


def wait_for_data(observed: Observed) -> Wait | None:
    """What a cluster is that has no data yet, whatever the next step towards them is."""
    bootstrap = observed.status.bootstrap
    if bootstrap is None or bootstrap.restore is None or is_formed(observed):
        return None
    step = prepare(observed, bootstrap)
    if step is None or isinstance(step, Wait):
        return step
    return _wait(Reason.RESTORING, f"Restoring {bootstrap.restore.source}: {step}")


def wait_for_auth(observed: Observed) -> Wait | None:
    """Data that has etcd ask who is calling, under a spec by which the operator is not root."""
    bootstrap, applied = observed.status.bootstrap, observed.applied
    if bootstrap is None or bootstrap.restore is None or applied is None or is_formed(observed):
        return None
    restored = bootstrap.restore.restored
    if restored is None or not restored.auth_enabled or applied.security.auth.enabled:
        return None
    message = (
        f"The data of {bootstrap.restore.source} have etcd ask who is calling, by the users and"
        " passwords of the backup, and spec.security.auth.enabled is false: nobody could look after"
        " the cluster"
    )
    return _wait(Reason.AUTH_RESTORED, message)


def record_for(observed: Observed, source: RestoreSource, *, default_bump: int) -> RestoreRecord:
    """What is recorded of a source that was found. `default_bump`: of revisions, where the source
    does not say.
    """
    found = observed.restore_source
    assert isinstance(found, Resolved)
    named, target = source.backup_name, source.target
    words = f"EtcdBackup {named}" if named else f"the backup {found.storage_path}"
    return RestoreRecord(
        source=f"{words}, up to {target}" if target else words,
        store=found.store.to_json(),
        revision=source.revision,
        point_in_time=source.point_in_time,
        bump_revision=default_bump if source.bump_revision is None else source.bump_revision,
        skip_hash_check=found.skip_hash_check,
        since=observed.now.replace(microsecond=0),
    )


def _record_claim(
    observed: Observed, bootstrap: BootstrapStatus, record: RestoreRecord
) -> RecordRestore | None:
    """The volume that counts, before anything is put on it; or that another one is wanted."""
    claim = _claim(observed, bootstrap)
    if claim is None or claim.terminating or claim.cluster_uid != observed.uid:
        return None
    if claim.uid == record.claim and not _fits(claim, observed.applied):
        given_up = record.model_copy(update={"claim": "", "given_up": claim.uid})
        why = f"Give volume claim {claim.name} up: the spec asks for another one"
        return RecordRestore(epoch=bootstrap.epoch, restore=given_up, why=why)
    if claim.uid in {record.claim, record.given_up}:
        return None
    counted = record.model_copy(update={"claim": claim.uid})
    why = f"Record volume claim {claim.name} as the one that {record.source} is restored to"
    return RecordRestore(epoch=bootstrap.epoch, restore=counted, why=why)


def _drop_stray_pod(
    observed: Observed, bootstrap: BootstrapStatus, record: RestoreRecord
) -> DeleteRestorePod | Wait | None:
    """A pod whose volume is not, or soon no longer, the one that counts."""
    pod, claim = observed.restore_pod(bootstrap.epoch), _claim(observed, bootstrap)
    if pod is None:
        return None
    if claim is not None and claim.uid == pod.claim == record.claim and not claim.terminating:
        return None
    return _drop(pod, "its volume is another one by now")


def _record_answer(
    observed: Observed, bootstrap: BootstrapStatus, record: RestoreRecord
) -> RecordRestore | None:
    pod = observed.restore_pod(bootstrap.epoch)
    if pod is None or pod.uid == record.failed_pod:
        return None
    if pod.restored is not None:
        done = record.model_copy(
            update={
                "done": True,
                "restored": _restored(pod.restored, record),
                "failure": "",
                "message": "",
                "not_before": None,
            }
        )
        revision = pod.restored.restored_revision
        why = f"Record that {record.source} was restored, at revision {revision}"
        return RecordRestore(epoch=bootstrap.epoch, restore=done, why=why)
    if pod.failure is None:
        return None
    reason, message = pod.failure
    stalled = pod.in_vain
    tries = record.attempts if not stalled else _MANY
    may_pass = not stalled or reason in _CURED_ELSEWHERE
    again = _next_try(observed.now, tries, pod.uid) if may_pass else None
    failed = record.model_copy(
        update={
            "attempts": record.attempts + 1,
            "failure": reason.value,
            "message": message,
            "failed_pod": pod.uid,
            "stalled": stalled,
            "not_before": again,
            "generation": observed.generation,
        }
    )
    why = f"Record that pod {pod.name} did not restore {record.source}: {reason.value}"
    return RecordRestore(epoch=bootstrap.epoch, restore=failed, why=why)


def _wait_for_retry(
    observed: Observed, _bootstrap: BootstrapStatus, record: RestoreRecord
) -> Wait | None:
    """After a failure: until it is tried again, or until somebody has edited the spec."""
    if not record.failure or record.generation != observed.generation:
        return None
    again = record.not_before
    if again is not None and observed.now >= again:
        return None
    words = f"{record.source} could not be restored ({record.failure}): {record.message}"
    reason = reason_of(record.failure) if record.stalled else Reason.RESTORING
    if again is None:
        return _wait(reason if reason in IN_VAIN else Reason.RESTORE_FAILED, words)
    return Wait(
        reason=reason,
        message=f"{words}. It is tried again after {again:%Y-%m-%d %H:%M:%S} UTC",
        not_before=again,
        recheck_s=max(1.0, (again - observed.now).total_seconds()),
    )


def _drop_failed_pod(
    observed: Observed, bootstrap: BootstrapStatus, record: RestoreRecord
) -> DeleteRestorePod | Wait | None:
    """Kept for whoever wants to look at it, until it is tried again."""
    pod = observed.restore_pod(bootstrap.epoch)
    if pod is None or not (pod.terminating or pod.uid == record.failed_pod):
        return None
    return _drop(pod, "the restore is tried again")


def _wait_for_pod(
    observed: Observed, bootstrap: BootstrapStatus, record: RestoreRecord
) -> Wait | None:
    pod = observed.restore_pod(bootstrap.epoch)
    if pod is None:
        return None
    if pod.problem is not None:
        return _wait(pod.problem.reason, f"Pod {pod.name}: {pod.problem.message}")
    return _wait(Reason.RESTORING, f"Restoring {record.source}: pod {pod.name} is {pod.doing}")


def _clear_claim(
    observed: Observed, bootstrap: BootstrapStatus, record: RestoreRecord
) -> DeleteSeedClaim | Wait | None:
    """What has the name that the claim is to have goes first."""
    claim = _claim(observed, bootstrap)
    if claim is None:
        return None
    if claim.cluster_uid != observed.uid:
        return _wait(
            Reason.LEFTOVER_VOLUMES,
            f"PersistentVolumeClaim {claim.name} is not of this cluster: delete it, or give the"
            " EtcdCluster another name",
        )
    if claim.terminating:
        return _wait(Reason.RESTORING, f"Waiting until volume claim {claim.name} is gone")
    if claim.uid == record.given_up:
        return DeleteSeedClaim(epoch=bootstrap.epoch, name=claim.name, uid=claim.uid)
    return None


def _make_claim(
    observed: Observed, bootstrap: BootstrapStatus, _record: RestoreRecord
) -> MakeSeedClaim | None:
    if _claim(observed, bootstrap) is not None or observed.applied is None:
        return None
    claim = seed_claim(identity(observed, bootstrap), observed.applied)
    return MakeSeedClaim(epoch=bootstrap.epoch, claim=claim)


def _make_pod(
    observed: Observed, bootstrap: BootstrapStatus, record: RestoreRecord
) -> MakeRestorePod | Wait | None:
    rendered, applied = observed.status.rendered, observed.applied
    assert rendered is not None
    assert applied is not None
    wait = _image_wait(observed)
    if wait is not None:
        return wait
    who = identity(observed, bootstrap)
    name = volume_claim_name(observed.name, SEED, bootstrap.epoch)
    pod = restore_pod(who, applied, rendered.pod_template, record, image=observed.image)
    return MakeRestorePod(epoch=bootstrap.epoch, claim=(name, record.claim), pod=pod)


def _drop_done_pod(
    observed: Observed, bootstrap: BootstrapStatus, _record: RestoreRecord
) -> DeleteRestorePod | Wait | None:
    """Whatever still runs in it is gone before the member starts."""
    pod = observed.restore_pod(bootstrap.epoch)
    return None if pod is None else _drop(pod, "the data are in their place")


_TO_PREPARE: Final[tuple[_Rule, ...]] = (
    _record_claim,
    _drop_stray_pod,
    _record_answer,
    _wait_for_retry,
    _drop_failed_pod,
    _wait_for_pod,
    _clear_claim,
    _make_claim,
    _make_pod,
)
_PREPARED: Final[tuple[_Rule, ...]] = (_drop_done_pod,)

# Said by the pod where another one would fare no better: someone has to change something, ...
_CURED_ELSEWHERE: Final = frozenset(
    {
        Reason.BACKUP_NOT_FOUND,
        Reason.BACKUP_INCOMPLETE,
        Reason.BACKUP_DAMAGED,
        Reason.CHANGES_DAMAGED,
        Reason.ENCRYPTION_KEY_MISSING,
        Reason.ENCRYPTION_KEY_REFUSED,
        Reason.STORE_FORBIDDEN,
        Reason.STORE_MISSING,
        Reason.STORE_REFUSED,
    }
)
# ... where the spec may be right as it is, or the spec.
IN_VAIN: Final = _CURED_ELSEWHERE | {
    Reason.BACKUP_UNREADABLE,
    Reason.BACKUP_TOO_NEW,
    Reason.TARGET_NOT_RESTORABLE,
    Reason.VOLUME_TOO_SMALL,
    Reason.TARGET_NOT_EMPTY,
    Reason.RESTORE_FAILED,
}


def _is_edited(observed: Observed) -> bool:
    """Whether the spec asks for something else by now that can be taken up."""
    wanted, applied = edit(observed), observed.applied
    if wanted is None or applied is None:
        return False
    if refused_edit(observed) or refused_by_server(observed):
        return False
    return wanted.bootstrap == applied.bootstrap or isinstance(observed.restore_source, Resolved)


def _source_wait(observed: Observed) -> Wait | None:
    found = observed.restore_source
    if isinstance(found, Unresolved):
        message = f"spec.bootstrap.restoreFrom: {found.message}. Nothing is started until then"
        return _wait(found.reason, message)
    assert found is not None
    return None


def _image_wait(observed: Observed) -> Wait | None:
    if observed.image:
        return None
    message = (
        "A pod with the operator's image restores the backup, and the operator does not know it:"
        " start it with --image, or OPERATOR_IMAGE in its environment"
    )
    return _wait(Reason.OPERATOR_IMAGE_UNKNOWN, message)


def _claim(observed: Observed, bootstrap: BootstrapStatus) -> Claim | None:
    """Whatever has the first member's claim's name, in that epoch."""
    claims = (*observed.claims, *observed.other_claims)
    named = (c for c in claims if (c.epoch, c.ordinal) == (bootstrap.epoch, SEED))
    return next(named, None)


def _fits(claim: Claim, applied: ClusterSpec | None) -> bool:
    """Whether it is as the spec asks; a volume may be larger than what was asked for."""
    assert applied is not None
    named = claim_class(applied.storage)
    other_class = bool(named) and claim.storage_class not in {None, named}
    return not other_class and claim.size in {None, claim_size(applied.storage)}


def _drop(pod: RestorePod, why: str) -> DeleteRestorePod | Wait:
    if pod.terminating:
        return _wait(Reason.RESTORING, f"Waiting for pod {pod.name} to end: {why}")
    return _delete(pod, why)


def _delete(pod: RestorePod, why: str) -> DeleteRestorePod:
    return DeleteRestorePod(name=pod.name, uid=pod.uid, why=why)


def _next_try(now: datetime, failed_before: int, seed: str) -> datetime:
    """Later each time, and not at the same moment for all clusters: spread by the pod's uid."""
    pause = min(_FIRST_PAUSE * 2 ** min(failed_before, _MANY), _LONGEST_PAUSE)
    share = crc32(seed.encode()) / 0xFFFFFFFF  # 0 to 1
    spread = timedelta(seconds=pause.total_seconds() * (1 - _SPREAD + 2 * _SPREAD * share))
    return (now + spread).replace(microsecond=0)


def _restored(answer: Restored, record: RestoreRecord) -> RestoredData:
    replayed = answer.replayed
    return RestoredData(
        base=answer.base,
        source_revision=None if replayed is None else replayed.revision,
        source_time=None if replayed is None else replayed.time,
        replayed=None if replayed is None else replayed.revisions,
        source_cluster_id=answer.source_cluster_id,
        source_name=f"{answer.source_namespace}/{answer.source_name}",
        saved_at=answer.started_at,
        etcd_version=f"v{answer.etcd_version}",
        revision=answer.restored_revision,
        compact_revision=answer.restored_compact_revision,
        bump_revision=record.bump_revision,
        keys=answer.keys,
        database_size=answer.restored_size,
        auth_enabled=answer.auth_enabled,
        alarms=answer.alarms,
        notes=answer.notes,
    )


def _wait(reason: Reason, message: str) -> Wait:
    return Wait(reason=reason, message=message, recheck_s=_RECHECK_S)
