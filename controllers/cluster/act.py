"""Carries out one action of the planner: the only place that writes a cluster's objects.

Each function is one visible step, idempotent, and re-checks what the planner assumed: objects are
updated and deleted by uid, created only where nothing is.  When the world has changed since it was
observed, the outcome is `Changed` and the next reconcile plans anew.  Errors of the API other than
those go up to the work queue, which retries with backoff.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from api.labels import (
    FIELD_MANAGER,
    FINALIZER,
)
from api.objects import DELETES_DATA, read_deletion_policy
from api.reasons import Reason
from controllers.cluster.act_claims import ClaimStep, perform_on_claims
from controllers.cluster.act_epochs import may_start_members, perform_on_epochs
from controllers.cluster.act_etcd import perform_in_etcd
from controllers.cluster.act_pods import PodStep, perform_on_pod
from controllers.cluster.act_restore import perform_for_restore
from controllers.cluster.act_sources import perform_on_secrets
from controllers.cluster.act_volumes import resize_claims, try_volumes
from controllers.cluster.ask_etcd import Clients
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome, Rejected, first_failure
from controllers.cluster.plan.auth_steps import ChangeAuth, RecordAuth, SwitchAuth
from controllers.cluster.plan.certificate_steps import (
    AnnounceCertificate,
    CopyCertificates,
    DropRotationRequest,
    IssueCertificates,
    MakeNextAuthority,
    OrderCertificates,
    RecordAuthorities,
    RecordRotation,
    ReplaceAuthority,
)
from controllers.cluster.plan.epoch_steps import DeleteEpoch, RecordEpochs, SwitchEpoch
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    DeleteSeedClaim,
    MakeRestorePod,
    MakeSeedClaim,
    RecordRestore,
)
from controllers.cluster.plan.steps import (
    AcceptSpec,
    Action,
    AddLearner,
    AdoptClaims,
    AnnotateClaims,
    ApplyObjects,
    DeleteClaims,
    DeletePod,
    DeleteStatefulSet,
    DeleteUnwanted,
    DisarmAlarm,
    DiscardClaim,
    DiscardLeftovers,
    DropRequest,
    MoveLeader,
    NudgeLearner,
    PromoteLearner,
    RecordMembership,
    RecordSpec,
    RecordStarted,
    RefreshFiles,
    RemoveMember,
    SetFinalizer,
)
from controllers.cluster.plan.switching_steps import NameMember, RecordSwitch
from controllers.cluster.plan.version_steps import (
    AdvanceLog,
    CancelDowngrade,
    CompareHashes,
    DeleteProbe,
    EnableDowngrade,
    MakeBackup,
    MakeProbe,
    RecordUpgrade,
    RefuseResize,
    ResizePod,
)
from controllers.cluster.plan.volume_steps import (
    ReleaseStatefulSet,
    ResizeClaims,
)
from controllers.cluster.render.normal import stamped
from controllers.resources import (
    BY_KIND,
    CLAIMS,
    CLUSTERS,
    STATEFUL_SETS,
)
from controllers.writer import Writer, is_final, namespace_is_going
from informers.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StatusError,
)
from informers.resource import Resource

# What one or more writes to the API server bring about, and no word of etcd's.
KubernetesStep = (
    ApplyObjects
    | DeleteClaims
    | PodStep
    | DeleteStatefulSet
    | ReleaseStatefulSet
    | ResizeClaims
    | DeleteUnwanted
    | ClaimStep
    | SetFinalizer
    | SwitchEpoch
    | DeleteEpoch
    | MakeSeedClaim
    | DeleteSeedClaim
    | MakeRestorePod
    | DeleteRestorePod
)


async def perform(action: Action, observed: Observed, writer: Writer, clients: Clients) -> Outcome:
    """Take the step. Raises KubeError when the server could not be asked."""
    try:
        return await _perform(action, observed, writer, clients)
    except ConflictError as error:
        return Changed(what=error.message)
    except ForbiddenError as error:
        # Kubernetes takes the namespace apart, and refuses what we would put back into it.
        if not namespace_is_going(error):
            raise
        return Changed(what=error.message)


async def _perform(action: Action, observed: Observed, writer: Writer, clients: Clients) -> Outcome:
    match action:
        case AcceptSpec() | RecordSpec():
            return await _try_spec(action, observed, writer)
        case (
            RecordStarted()
            | RecordMembership()
            | RecordUpgrade()
            | RecordAuthorities()
            | RecordRotation()
            | RecordSwitch()
            | RecordAuth()
            | RecordEpochs()
            | RecordRestore()
        ):
            return Done()  # their whole effect is the status that is written after this
        case (
            AddLearner()
            | PromoteLearner()
            | MoveLeader()
            | NameMember()
            | RemoveMember()
            | DisarmAlarm()
            | DiscardClaim()
            | CompareHashes()
            | AdvanceLog()
            | NudgeLearner()
            | EnableDowngrade()
            | CancelDowngrade()
            | ChangeAuth()
            | SwitchAuth()
        ):
            return await perform_in_etcd(action, observed, writer, clients)
        case (
            IssueCertificates()
            | MakeNextAuthority()
            | ReplaceAuthority()
            | AnnounceCertificate()
            | DropRotationRequest()
            | CopyCertificates()
            | OrderCertificates()
        ):
            return await perform_on_secrets(action, observed, writer)
        case MakeSeedClaim() | DeleteSeedClaim() | MakeRestorePod() | DeleteRestorePod():
            return await perform_for_restore(action, observed, writer)
        case _:
            return await _perform_in_kubernetes(action, observed, writer)


async def _perform_in_kubernetes(
    action: KubernetesStep, observed: Observed, writer: Writer
) -> Outcome:
    outcome: Outcome = Done()
    match action:
        case ApplyObjects(objects=objects):
            outcome = await _apply_all(objects, observed, writer)
        case DeleteClaims(claims=claims):
            outcome = await _delete_claims(claims, observed, writer)
        case DeleteStatefulSet() | ReleaseStatefulSet() | DeleteUnwanted():
            await _delete_object(action, observed, writer)
        case ResizeClaims():
            outcome = await resize_claims(action, observed, writer)
        case DiscardLeftovers() | AdoptClaims() | AnnotateClaims():
            outcome = await perform_on_claims(action, observed, writer)
        case SwitchEpoch() | DeleteEpoch():
            outcome = await perform_on_epochs(action, observed, writer)
        case MakeSeedClaim() | DeleteSeedClaim() | MakeRestorePod() | DeleteRestorePod():
            outcome = await perform_for_restore(action, observed, writer)
        case (
            DeletePod()
            | ResizePod()
            | RefuseResize()
            | MakeProbe()
            | MakeBackup()
            | DeleteProbe()
            | DropRequest()
            | RefreshFiles()
        ):
            outcome = await perform_on_pod(action, observed, writer)
        case SetFinalizer(present=present):
            await _set_finalizer(observed, writer, present=present)
        case _:
            assert_never(action)
    return outcome


async def _delete_object(
    action: DeleteStatefulSet | ReleaseStatefulSet | DeleteUnwanted,
    observed: Observed,
    writer: Writer,
) -> None:
    """Delete an object of ours by its uid; of a StatefulSet that is released the pods stay."""
    resource = BY_KIND[action.kind] if isinstance(action, DeleteUnwanted) else STATEFUL_SETS
    orphan = isinstance(action, ReleaseStatefulSet)
    await writer.delete(resource, observed.namespace, action.name, uid=action.uid, orphan=orphan)


async def _try_spec(step: AcceptSpec | RecordSpec, observed: Observed, writer: Writer) -> Outcome:
    """What the server has to say of it, before it is recorded."""
    if step.dry_run is not None:
        return await _try_out(step.dry_run, writer)
    if isinstance(step, RecordSpec) and step.trial is not None:
        return await try_volumes(step.trial, observed, writer)
    return Done()


async def _try_out(stateful_set: Mapping[str, Any], writer: Writer) -> Outcome:
    """Ask the server whether it would take the StatefulSet; nothing is stored."""
    try:
        await writer.dry_run(STATEFUL_SETS, stateful_set, field_manager=FIELD_MANAGER)
    except StatusError as error:
        if not is_final(error):
            raise
        return Rejected(reason=Reason.TEMPLATE_REFUSED, message=error.message)
    return Done()


async def _apply_all(
    objects: tuple[Mapping[str, Any], ...], observed: Observed, writer: Writer
) -> Outcome:
    """All of them, whatever becomes of one: a stranger's Service must not cost a ConfigMap."""
    outcomes = [await _apply(desired, observed, writer) for desired in objects]
    return first_failure(outcomes)


async def _apply(desired: Mapping[str, Any], observed: Observed, writer: Writer) -> Outcome:
    """Update our object by its uid, or create it where a live read finds nothing."""
    resource, name = BY_KIND[desired["kind"]], desired["metadata"]["name"]
    uid = await _uid_of_ours(resource, name, observed, writer)
    if isinstance(uid, Rejected):
        return uid
    if uid is None and resource is STATEFUL_SETS:
        outdated = await may_start_members(observed, writer)
        if not isinstance(outdated, Done):
            return outdated
    body = stamped(desired)
    if uid is not None:
        # With the uid, an object deleted meanwhile is an error and not created anew.
        body = {
            **body,
            "metadata": {**body["metadata"], "uid": uid, **_unless_scaled(desired, observed)},
        }
    try:
        # force only on what is ours: creating over an object that came up meanwhile is a conflict.
        await writer.apply(resource, body, field_manager=FIELD_MANAGER, force=uid is not None)
    except InvalidError as error:
        return Rejected(reason=Reason.TEMPLATE_REFUSED, message=error.message)
    return Done()


def _unless_scaled(desired: Mapping[str, Any], observed: Observed) -> dict[str, str]:
    """A StatefulSet is scaled only as it was observed: a late write of a former leader must not
    take away the pod of a member that joined since.
    """
    live = observed.live.get((desired["kind"], desired["metadata"]["name"]))
    wanted = desired.get("spec", {}).get("replicas")
    if live is None or wanted is None or live["spec"].get("replicas") == wanted:
        return {}
    return {"resourceVersion": live["metadata"]["resourceVersion"]}


async def _uid_of_ours(
    resource: Resource, name: str, observed: Observed, writer: Writer
) -> str | Rejected | None:
    """The uid of the live object, None when there is none, `Rejected` when it is not ours."""
    live = observed.live.get((resource.kind, name))
    if live is None:
        try:
            live = await writer.api.get(resource, namespace=observed.namespace, name=name)
        except NotFoundError:
            return None
    owners = live["metadata"].get("ownerReferences", ())
    if not any(o.get("controller") and o["uid"] == observed.uid for o in owners):
        return Rejected(
            reason=Reason.NAME_CONFLICT,
            message=f"{resource.kind} {name} exists and is not controlled by this EtcdCluster:"
            " delete or rename it",
        )
    return str(live["metadata"]["uid"])


async def _delete_claims(
    claims: tuple[tuple[str, str], ...], observed: Observed, writer: Writer
) -> Outcome:
    """Data goes for good, so the order to do it is read once more, from the server itself."""
    try:
        cluster = await writer.api.get(CLUSTERS, namespace=observed.namespace, name=observed.name)
    except NotFoundError:
        return Changed(what="the EtcdCluster is gone")
    metadata = cluster["metadata"]
    is_this_one = metadata["uid"] == observed.uid and "deletionTimestamp" in metadata
    if not is_this_one or read_deletion_policy(cluster) not in DELETES_DATA:
        return Changed(what="the EtcdCluster no longer asks for the deletion of its data")
    for name, uid in claims:
        await writer.delete(CLAIMS, observed.namespace, name, uid=uid)
    return Done()


async def _set_finalizer(observed: Observed, writer: Writer, *, present: bool) -> None:
    """Write the whole list under the resourceVersion it was read at: others have finalizers too."""
    others = [name for name in observed.finalizers if name != FINALIZER]
    metadata = {
        "finalizers": [*others, FINALIZER] if present else others,
        "resourceVersion": observed.resource_version,
        "uid": observed.uid,
    }
    await writer.patch(CLUSTERS, observed.namespace, observed.name, {"metadata": metadata})
