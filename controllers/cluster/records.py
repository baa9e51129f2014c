"""Turns a step that records something into what status remembers of it.

Pure.  Called by `status`.  These are the only fields of the status that the planner reads back: the
intents that a restarted operator must find again.
"""

from datetime import datetime

from api.v1alpha1.cluster_status import RefusedCertificate, RefusedEdit, UpgradeStatus
from controllers.cluster.auth_records import recorded_auth
from controllers.cluster.epoch_records import recorded_epochs, refused_preparation
from controllers.cluster.epochs import bootstrap_of
from controllers.cluster.membership import late_of, voters_of
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Done, Hashed, NotYet, Outcome, Rejected
from controllers.cluster.plan.auth_steps import AuthStep
from controllers.cluster.plan.certificate_steps import (
    CopyCertificates,
    IssueCertificates,
    MakeNextAuthority,
    OrderCertificates,
    RecordAuthorities,
    RecordRotation,
    ReplaceAuthority,
    names_of,
)
from controllers.cluster.plan.epoch_steps import RecordEpochs, SwitchEpoch
from controllers.cluster.plan.repair import WITHIN
from controllers.cluster.plan.restore_steps import MakeRestorePod, MakeSeedClaim, RecordRestore
from controllers.cluster.plan.steps import (
    AcceptSpec,
    Action,
    RecordMembership,
    RecordSpec,
    RecordStarted,
    Wait,
)
from controllers.cluster.plan.switching_steps import RecordSwitch
from controllers.cluster.plan.version_steps import CompareHashes, RecordUpgrade
from controllers.cluster.plan.volume_steps import ResizeClaims
from controllers.cluster.render import identity

Fields = dict[str, object]


def recorded(observed: Observed, step: Action | Wait, outcome: Outcome | None) -> Fields:
    """The fields that the step sets, once act has found nothing against them."""
    if isinstance(outcome, Rejected):
        return _refused(observed, step, outcome)
    if isinstance(step, AuthStep):
        return {**recorded_auth(observed, step, outcome)}
    return _recorded(observed, step, outcome)


def _recorded(observed: Observed, step: Action | Wait, outcome: Outcome | None) -> Fields:
    fields: Fields = {}
    match step:
        case AcceptSpec() | RecordSpec():
            fields = _spec(observed, step)
        case RecordStarted():
            fields = _started(observed, step)
        case RecordMembership():
            fields = _membership(observed, step)
        case RecordEpochs() | SwitchEpoch():
            fields = recorded_epochs(observed, step)
        case RecordRestore():
            fields = _restore(observed, step)
        case RecordUpgrade(upgrade=upgrade):
            fields = {"upgrade": upgrade}
        case RecordSwitch():
            fields = _switch(step)
        case CompareHashes(then=then) if isinstance(outcome, Hashed):
            then = (
                then.model_copy(update={"before": outcome.hash, "comparing_since": None})
                if then
                else None
            )
            fields = {"upgrade": then}
        case CompareHashes(under_way=upgrade) if isinstance(outcome, NotYet):
            fields = {"upgrade": _comparing(upgrade, observed.now)}
        case _:
            fields = _of_certificates(observed, step, outcome)
    return fields


def _of_certificates(observed: Observed, step: Action | Wait, outcome: Outcome | None) -> Fields:
    match step:
        case IssueCertificates() | MakeNextAuthority() | CopyCertificates() | OrderCertificates():
            return _written(observed, step, outcome)
        case RecordAuthorities(authorities=authorities):
            return {"authorities": authorities}
        case RecordRotation(authorities=authorities, rendered=rendered):
            return {"authorities": authorities, **({"rendered": rendered} if rendered else {})}
        case ReplaceAuthority(then=authorities) if isinstance(outcome, Done):
            return {"authorities": authorities, **_written(observed, step, outcome)}
        case _:
            return {}


def _written(observed: Observed, step: Action | Wait, outcome: Outcome | None) -> Fields:
    """What is known of refusals after the step: those of its own are as new as it is."""
    if not isinstance(outcome, Done | Rejected):
        return {}
    refused = (outcome, *outcome.others) if isinstance(outcome, Rejected) else ()
    now = observed.now.replace(microsecond=0)
    before = observed.status.refused_certificates
    kept = [one for one in before if one.secret not in names_of(step)]
    new = [RefusedCertificate(secret=one.name, message=one.message, time=now) for one in refused]
    return {"refused_certificates": (*kept, *new)}


def _comparing(upgrade: UpgradeStatus, now: datetime) -> UpgradeStatus:
    since = upgrade.comparing_since or now.replace(microsecond=0)
    return upgrade.model_copy(update={"comparing_since": since})


def _refused(observed: Observed, step: Action | Wait, outcome: Rejected) -> Fields:
    if names_of(step):
        return _written(observed, step, outcome)
    if isinstance(step, MakeSeedClaim | MakeRestorePod):
        return refused_preparation(observed, step.epoch, outcome)
    if not isinstance(step, AcceptSpec | RecordSpec | ResizeClaims) or observed.applied is None:
        return {}
    return {
        "refused_edit": RefusedEdit(
            generation=observed.generation,
            reason=outcome.reason.value,
            message=outcome.message,
            time=observed.now.replace(microsecond=0),
        )
    }


def _spec(observed: Observed, step: AcceptSpec | RecordSpec) -> Fields:
    if isinstance(step, RecordSpec):
        tried = {"refused_edit": None} if step.dry_run or step.trial else {}
        made = {"rendered": step.rendered} if step.rendered else {}
        return {"applied_spec": step.spec, **made, **tried}
    who = identity(observed, step.bootstrap)
    members = step.bootstrap.members
    return {
        "applied_spec": step.spec,
        "rendered": step.rendered,
        "refused_edit": None,
        "bootstrap": step.bootstrap,
        "client_endpoints": who.client_endpoints(),
        "cluster_id": step.adopted or observed.status.cluster_id,
        "voter_ordinals": tuple(m.ordinal for m in members) if step.adopted else (),
    }


def _switch(step: RecordSwitch) -> Fields:
    return {
        "tls": step.tls,
        "client_endpoints": step.endpoints,
        **({"rendered": step.rendered} if step.rendered else {}),
        **({"authorities": None, "refused_certificates": ()} if step.without_authorities else {}),
    }


def _restore(observed: Observed, step: RecordRestore) -> Fields:
    bootstrap, coming = bootstrap_of(observed.status, step.epoch), observed.status.next_epoch
    assert bootstrap is not None
    after = bootstrap.model_copy(update={"restore": step.restore})
    if coming is not None and coming.epoch == step.epoch:
        return {"next_epoch": coming.model_copy(update={"bootstrap": after})}
    return {"bootstrap": after}


def _started(observed: Observed, step: RecordStarted) -> Fields:
    assert observed.status.bootstrap is not None
    bootstrap = observed.status.bootstrap.model_copy(update={"members": step.members})
    after = observed.status.model_copy(update={"bootstrap": bootstrap})
    return {
        "bootstrap": bootstrap.model_copy(update={"closed": not late_of(after)}),
        "cluster_id": step.cluster_id,
        "voter_ordinals": voters_of(after),
    }


def _membership(observed: Observed, step: RecordMembership) -> dict[str, object]:
    recent = tuple(r for r in observed.status.replacements if observed.now < r.time + WITHIN)
    return {
        "voter_ordinals": step.voters,
        "joining": step.joining,
        "withdrawn": step.withdrawn,
        "replacements": (*recent, step.replaced) if step.replaced else recent,
    }
