"""Turns a step from one epoch of a cluster's data to another into what status remembers of it.

Pure.  Called by `records`.
"""

from api.v1alpha1.auth import AuthStatus
from api.v1alpha1.restore_request import FAILED
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Rejected
from controllers.cluster.plan.epoch_steps import RecordEpochs, SwitchEpoch


def recorded_epochs(observed: Observed, step: RecordEpochs | SwitchEpoch) -> dict[str, object]:
    """The fields that the step sets."""
    if isinstance(step, RecordEpochs):
        return {
            "restore": step.answer,
            "next_epoch": step.next_epoch,
            "set_aside": step.set_aside,
            "last_epoch": step.last_epoch,
        }
    begins = step.next_epoch
    kept = (one for one in observed.status.set_aside if one.epoch != begins.epoch)
    return {
        "bootstrap": begins.bootstrap,
        "cluster_id": begins.cluster_id,
        "voter_ordinals": begins.voter_ordinals,
        "joining": begins.joining,
        "rendered": step.rendered,
        "next_epoch": None,
        "set_aside": (step.former, *kept),
        "auth": _unknown(observed.status.auth),
        # What was known of members, their pods and volumes is known of others.
        "members": (),
        "replicas": 0,
        "ready_replicas": 0,
        "leader": "",
        "leader_id": "",
        "withdrawn": None,
        "replacements": (),
        "upgrade": None,
    }


def refused_preparation(observed: Observed, epoch: int, outcome: Rejected) -> dict[str, object]:
    """The API server does not take what fills the next epoch's volume: the members, which serve as
    before, are not to wait for it.
    """
    answer, coming = observed.status.restore, observed.status.next_epoch
    if answer is None or coming is None or coming.epoch != epoch:
        return {}
    said = {"phase": FAILED, "reason": outcome.reason.value, "message": outcome.message}
    return {"restore": answer.model_copy(update=said)}


def _unknown(auth: AuthStatus | None) -> AuthStatus | None:
    """Whose users are ours stays; which passwords they have in other data nobody knows."""
    if auth is None:
        return None
    users = tuple(user.model_copy(update={"password_from": ""}) for user in auth.users)
    return auth.model_copy(update={"users": users, "refused": None})
