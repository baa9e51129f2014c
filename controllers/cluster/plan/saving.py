"""Rules by which a cluster is saved before another version, before it sleeps, and before it is
deleted with all data.

An EtcdBackup like those of a schedule of this cluster is made and waited for.  It is nobody's: no
schedule deletes it, and it stays when the cluster goes.  Without a schedule there is nowhere to
save to: a change of version says so and goes on, a deletion keeps the data.  Sleep keeps the
volumes, so that it is never held up for longer than a backup takes to fail.
"""

from datetime import datetime
from typing import Any, Final

from api.labels import API_VERSION, UNSAVED_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import UpgradeStatus
from controllers.cluster.observed import KnownBackup, Observed
from controllers.cluster.plan.accepted import accepted_edit
from controllers.cluster.plan.steps import Wait
from controllers.cluster.plan.version_steps import MakeBackup, RecordUpgrade

_UID_LENGTH: Final = 8
_COMPLETED: Final = "Completed"
_FAILED: Final = "Failed"


def save_before_version(observed: Observed) -> MakeBackup | RecordUpgrade | None:
    """Once the image has proven to be what it should; of a path of several versions once."""
    upgrade = observed.status.upgrade
    if upgrade is None or not upgrade.probed or not unsaved(observed, upgrade):
        return None
    name = backup_name(observed, upgrade)
    made = _known(observed, name)
    if made is None:
        why = f"before the members go to {upgrade.path[-1]}"
        return MakeBackup(backup=_backup(observed, name), why=why)
    if made.phase != _COMPLETED:
        return None
    new = upgrade.model_copy(update={"saved": name})
    return RecordUpgrade(upgrade=new, why=f"EtcdBackup {name} is completed")


def wait_for_backup(observed: Observed) -> Wait | None:
    """It failed: no member is touched until somebody has looked, or says that it may go on."""
    upgrade = observed.status.upgrade
    if upgrade is None or not unsaved(observed, upgrade):
        return None
    made = _known(observed, backup_name(observed, upgrade))
    if made is None or made.phase != _FAILED:
        return None
    return Wait(
        reason=Reason.NOT_SAVED,
        message=f"The members stay as they are: EtcdBackup {made.name} failed: {made.message}."
        " Delete it to have it tried again, or go on without one by the annotation"
        f" {UNSAVED_ANNOTATION}={upgrade.path[-1]}",
        recheck_s=30.0,
    )


def unsaved(observed: Observed, upgrade: UpgradeStatus) -> bool:
    """Whether a backup is still to be taken before this change of version."""
    if upgrade.saved or observed.unsaved_asked == upgrade.path[-1]:
        return False
    return target(observed) is not None


def target(observed: Observed) -> KnownBackup | None:
    """The schedule whose place a backup goes to: the one that last had a good one."""
    schedules = [one for one in observed.backups if one.template is not None]
    good = [(one.completed, one.name, one) for one in schedules if one.completed is not None]
    return max(good)[2] if good else next(iter(schedules), None)


def backup_name(observed: Observed, upgrade: UpgradeStatus) -> str:
    """The same one as long as it is the same change."""
    version = upgrade.path[-1].replace(".", "-")
    return f"{observed.name}-before-{version}-{upgrade.since:%Y%m%d%H%M%S}"


def backup_in_words(observed: Observed, upgrade: UpgradeStatus) -> str:
    """Its name, and what it says of itself: it may be in trouble, and tried again, for long."""
    name = backup_name(observed, upgrade)
    made = _known(observed, name)
    return f"EtcdBackup {name}" + (f" ({made.message})" if made and made.message else "")


def save_before_sleep(observed: Observed) -> MakeBackup | None:
    """The last backup while somebody runs who can be asked for one."""
    if not is_awake_unsaved(observed) or _known(observed, _sleep_name(observed)) is not None:
        return None
    name = _sleep_name(observed)
    return MakeBackup(backup=_backup(observed, name), why="before the members are stopped")


def wait_to_sleep(observed: Observed) -> Wait | None:
    """The members serve until it is completed or has failed."""
    if not is_awake_unsaved(observed):
        return None
    return Wait(
        reason=Reason.RECONCILING,
        message=f"spec.size is 0: waiting for EtcdBackup {_sleep_name(observed)} before the members"
        " are stopped",
        recheck_s=30.0,
    )


def is_awake_unsaved(observed: Observed) -> bool:
    """Whether an edit asks for sleep, and a backup is still to be taken before."""
    wanted, applied = accepted_edit(observed), observed.applied
    if wanted is None or applied is None or wanted.size or not applied.size:
        return False
    if target(observed) is None or not observed.etcd.statuses:
        return False
    made = _known(observed, _sleep_name(observed))
    return made is None or made.phase not in {_COMPLETED, _FAILED}


def _sleep_name(observed: Observed) -> str:
    """The same one as long as it is the same edit."""
    return f"{observed.name}-before-sleep-{observed.uid[:_UID_LENGTH]}-{observed.generation}"


def save_before_deletion(observed: Observed) -> MakeBackup | Wait | None:
    """The last backup of a cluster that goes with its data."""
    if observed.deleting_since is None or not observed.saves_first or is_saved(observed):
        return None
    if observed.applied is None or not observed.status.cluster_id:
        return None  # there never was anything to save
    name, made = _last_name(observed), _known(observed, _last_name(observed))
    if made is None and target(observed) is not None:
        return MakeBackup(
            backup=_backup(observed, name), why="before the cluster is deleted with its data"
        )
    if made is not None and made.phase != _FAILED:
        return Wait(
            reason=Reason.DELETING,
            message=f"Waiting for EtcdBackup {name} before the data is deleted",
            recheck_s=30.0,
        )
    return None


def keep_unsaved(observed: Observed) -> Wait | None:
    """No last backup: nothing is deleted, and after a deadline the object is let go without it."""
    if observed.deleting_since is None or not observed.saves_first or is_saved(observed):
        return None
    if observed.applied is None or not observed.status.cluster_id:
        return None
    made = _known(observed, _last_name(observed))
    why = (
        f"EtcdBackup {made.name} failed: {made.message}. Delete it to have it tried again"
        if made is not None
        else "no EtcdBackup with a schedule says where to. Make one"
    )
    return Wait(
        reason=Reason.NOT_SAVED,
        message=f"The data is not deleted: {why}, or set storage.deletionPolicy to Delete or"
        " Retain; in the end the volumes are kept",
        recheck_s=30.0,
    )


def is_saved(observed: Observed) -> bool:
    """Whether the last backup of a cluster that is deleted is completed."""
    made = _known(observed, _last_name(observed))
    return made is not None and made.phase == _COMPLETED


def saved_at(observed: Observed) -> datetime | None:
    """When it was; None before."""
    made = _known(observed, _last_name(observed))
    return made.completed if made is not None else None


def _last_name(observed: Observed) -> str:
    return f"{observed.name}-last-{observed.uid[:_UID_LENGTH]}"


def _known(observed: Observed, name: str) -> KnownBackup | None:
    return next((one for one in observed.backups if one.name == name), None)


def _backup(observed: Observed, name: str) -> dict[str, Any]:
    like = target(observed)
    assert like is not None
    return {
        "apiVersion": API_VERSION,
        "kind": "EtcdBackup",
        "metadata": {"name": name, "namespace": observed.namespace},
        "spec": like.template,
    }
