"""Reads everything that one reconcile decides from, into one immutable `Observed`.

The only place that reads: informers' caches, etcd's own answers, and live reads where a cache can't
tell (before anything exists: what is there under our names that is not ours?).  No opinions here.
The wall clock is read once, by the caller.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.errors import FieldError
from api.labels import (
    ETCD_CONTAINER,
    FINALIZER,
    client_service_name,
    config_map_name,
    disruption_budget_name,
    network_policy_name,
    operator_secret_name,
    peer_service_name,
    pod_ordinal,
    probe_name,
    stateful_set_name,
    volume_claim_name,
)
from api.objects import DELETES_DATA, Invalid, ParsedCluster
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore_request import RestoreRequest
from api.v1alpha1.restore_source import RestoreSource
from api.validation import parse_cluster
from controllers.cluster.ask_etcd import ask_etcd
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.epochs import answers
from controllers.cluster.known_backups import BY_CLUSTER_NAME, known_backup
from controllers.cluster.lost_nodes import lost_nodes
from controllers.cluster.membership import voters_of
from controllers.cluster.observed import (
    Claim,
    Etcd,
    JsonObject,
    KnownBackup,
    Observed,
    Pod,
    Probe,
)
from controllers.cluster.options import option_errors
from controllers.cluster.pods import claims_from, has_ended, of_epoch, pod_from, probe_from
from controllers.cluster.read_auth import AuthReader, read_auth
from controllers.cluster.read_certificates import CertificateReader, read_certificates
from controllers.cluster.render.identity import Identity, identity_of
from controllers.cluster.requests import (
    asked_to_replace,
    asked_to_restart,
    asked_to_restore,
    asked_to_rotate,
    asked_unsaved,
    old_data_asked,
    skips_hash_check,
)
from controllers.cluster.restore_pods import restore_pods_of
from controllers.cluster.shown_certificates import shown_certificates
from controllers.cluster_scope import ClusterScope, NotAllowed
from controllers.refused_pods import newest_refusal
from controllers.resources import (
    BACKUPS,
    CLAIMS,
    CONFIG_MAPS,
    DISRUPTION_BUDGETS,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
)
from controllers.restore_source import Resolved, Unresolved, resolve
from etcd.pool import ChannelPool
from informers.errors import ForbiddenError, NotFoundError, StatusError
from informers.informer_set import ObjectReader
from informers.resource import Resource, object_key
from informers.wire import KubeApi

# The index of the informers by the label that every object of a cluster carries.
BY_CLUSTER_UID = "cluster-uid"
_MOST_OUTPUT: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where observations come from. `informers` has one for each resource that is watched."""

    api: KubeApi
    outside: ClusterScope
    informers: Mapping[Resource, ObjectReader]
    channels: ChannelPool
    certificates: CertificateReader
    auth: AuthReader
    cluster_domain: str
    operator_namespace: str  # of the operator's pods; empty when it runs elsewhere
    image: str  # the operator's own; empty when it is not known


async def observe(obj: JsonObject, sources: Sources, *, now: datetime) -> Observed:
    """What is there now. Raises KubeError when a live read fails; etcd's silence is a value."""
    metadata = obj["metadata"]
    parsed = parse_cluster(obj)
    status = parsed.status
    spec, errors = checked_spec(parsed)
    unborn = status.applied_spec is None
    live = await _live(metadata, sources, ask_server=unborn)
    pod_objects = _pod_objects(metadata, sources)
    pods = _pods(metadata, pod_objects)
    request = asked_to_restore(metadata)
    claims, other_claims = await _claims(metadata, status, sources, ask_server=unborn)
    applied = None if unborn else ClusterSpec.model_validate(status.applied_spec)
    who = _holder(metadata, status, applied)
    certificates = await read_certificates(
        sources.certificates, sources.channels, who, status, pods, now=now
    )
    etcd = await _etcd(metadata, status, pods, sources)
    auth = await read_auth(
        sources.auth,
        sources.channels,
        who,
        spec=applied,
        status=status,
        pods=pods,
        etcd=etcd,
        now=now,
    )
    shown = await shown_certificates(status, applied, pods, now=now)
    return Observed(
        now=now,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        resource_version=metadata["resourceVersion"],
        deleting_since=_time(metadata.get("deletionTimestamp")),
        namespace_terminating=await _namespace_terminating(metadata, sources),
        finalizers=tuple(metadata.get("finalizers") or ()),
        spec=spec,
        spec_errors=errors,
        deletes_data=_deletion_policy(parsed) in DELETES_DATA,
        saves_first=_deletion_policy(parsed) == "SnapshotThenDelete",
        applied=applied,
        status=status,
        cluster_domain=sources.cluster_domain,
        operator_namespace=sources.operator_namespace,
        image=sources.image,
        restore_source=await _restore_source(metadata, spec, applied, sources),
        restore_pods=restore_pods_of(metadata["name"], pod_objects),
        live=live,
        foreign=tuple(_foreign(live, metadata["uid"])),
        pods=pods,
        pods_refused=await _pods_refused(metadata, live, pods, sources),
        claims=claims,
        other_claims=other_claims,
        etcd=etcd,
        auth=auth,
        certificates=dataclasses.replace(certificates, shown=shown),
        probe=await _probe(metadata, pod_objects, sources),
        nodes_lost=await lost_nodes(sources.outside, pods, status),
        asked_to_replace=asked_to_replace(metadata, pod_objects),
        rotation_asked=asked_to_rotate(metadata),
        restart_asked=asked_to_restart(metadata),
        restore_request=request,
        requested_source=await _requested_source(metadata, status, request, sources),
        old_data_asked=old_data_asked(metadata),
        backups=_backups(metadata, sources),
        unsaved_asked=asked_unsaved(metadata),
    )


def checked_spec(
    parsed: ParsedCluster | Invalid[ClusterStatus],
) -> tuple[ClusterSpec | None, tuple[FieldError, ...]]:
    """The spec, or what is wrong with it, etcd's own options included."""
    if isinstance(parsed, Invalid):
        return None, parsed.errors
    errors = option_errors(parsed.spec)
    return (None, errors) if errors else (parsed.spec, ())


def _deletion_policy(parsed: ParsedCluster | Invalid[ClusterStatus]) -> str:
    """An otherwise invalid spec still says what is to become of the data."""
    if isinstance(parsed, Invalid):
        return parsed.deletion_policy
    return parsed.spec.storage.deletion_policy


def _identity(metadata: JsonObject, status: ClusterStatus) -> Identity | None:
    if status.bootstrap is None:
        return None
    return identity_of(
        metadata["namespace"], metadata["name"], metadata["uid"], status.bootstrap, status.tls
    )


def _holder(
    metadata: JsonObject, status: ClusterStatus, applied: ClusterSpec | None
) -> Holder | None:
    who = _identity(metadata, status)
    if who is None or applied is None:
        return None
    return Holder.of(who, applied.security.tls, status.authorities)


async def _etcd(
    metadata: JsonObject, status: ClusterStatus, pods: tuple[Pod, ...], sources: Sources
) -> Etcd:
    who = _identity(metadata, status)
    if who is None:
        return Etcd(error="the cluster has not been started")
    if who.serves_tls and not sources.channels.trusts(f"{who.namespace}/{who.name}"):
        why = f"Secret {operator_secret_name(who.name)} holds nothing to dial with"
        return Etcd(error=why, errors={pod.name: why for pod in pods if pod.running})
    return await ask_etcd(sources.channels, who, pods, cluster_id=status.cluster_id)


def _names(cluster: str) -> tuple[tuple[Resource, str], ...]:
    """Every object of a cluster by the one name it can have."""
    return (
        (SERVICES, peer_service_name(cluster)),
        (SERVICES, client_service_name(cluster)),
        (CONFIG_MAPS, config_map_name(cluster)),
        (DISRUPTION_BUDGETS, disruption_budget_name(cluster)),
        (NETWORK_POLICIES, network_policy_name(cluster)),
        (STATEFUL_SETS, stateful_set_name(cluster)),
    )


async def _live(
    metadata: JsonObject, sources: Sources, *, ask_server: bool
) -> dict[tuple[str, str], JsonObject]:
    """Our objects from the caches; before the first one exists also strangers under their names.

    The caches hold only objects with our label, so a stranger is seen by asking the server; and
    that the StatefulSet is gone, with what becomes of its pods, is not believed from a cache.
    """
    namespace = metadata["namespace"]
    found: dict[tuple[str, str], JsonObject] = {}
    for resource, name in _names(metadata["name"]):
        obj = sources.informers[resource].get(f"{namespace}/{name}")
        if obj is None and (ask_server or resource is STATEFUL_SETS):
            obj = await _get(sources.api, resource, namespace, name)
        if obj is not None:
            found[resource.kind, name] = obj
    return found


async def _get(
    api: KubeApi, resource: Resource, namespace: str, name: str
) -> dict[str, Any] | None:
    try:
        return await api.get(resource, namespace=namespace, name=name)
    except NotFoundError:
        return None


def _foreign(live: Mapping[tuple[str, str], JsonObject], uid: str) -> Iterable[str]:
    for (kind, name), obj in live.items():
        owners = obj["metadata"].get("ownerReferences") or ()
        if not any(owner.get("controller") and owner["uid"] == uid for owner in owners):
            yield f"{kind} {name}"


def _pod_objects(metadata: JsonObject, sources: Sources) -> list[dict[str, Any]]:
    return sources.informers[PODS].by_index(BY_CLUSTER_UID, metadata["uid"])


def _pods(metadata: JsonObject, objects: Iterable[JsonObject]) -> tuple[Pod, ...]:
    pods = [
        pod_from(obj, ordinal=ordinal)
        for obj in objects
        if (ordinal := pod_ordinal(metadata["name"], obj["metadata"]["name"])) is not None
    ]
    return tuple(sorted(pods, key=lambda pod: pod.ordinal))


def _backups(metadata: JsonObject, sources: Sources) -> tuple[KnownBackup, ...]:
    """By name; those of another cluster that had this name are left out once they are done."""
    key = object_key(metadata["namespace"], metadata["name"])
    made = datetime.fromisoformat(metadata["creationTimestamp"])
    found = map(known_backup, sources.informers[BACKUPS].by_index(BY_CLUSTER_NAME, key))
    ours = (one for one in found if one.completed is None or one.completed >= made)
    return tuple(sorted(ours, key=lambda one: one.name))


async def _probe(
    metadata: JsonObject, objects: Iterable[JsonObject], sources: Sources
) -> Probe | None:
    """The probe pod; what it wrote is read when it has ended, and a failure to read it is output
    that says so.
    """
    name = probe_name(metadata["name"])
    obj = next((obj for obj in objects if obj["metadata"]["name"] == name), None)
    if obj is None:
        return None
    output = ""
    if has_ended(obj):
        try:
            output = await sources.api.log(
                PODS,
                namespace=metadata["namespace"],
                name=name,
                container=ETCD_CONTAINER,
                most_bytes=_MOST_OUTPUT,
            )
        except StatusError as error:
            output = f"(its log can't be read: {error.message})"
    return probe_from(obj, output)


async def _restore_source(
    metadata: JsonObject, spec: ClusterSpec | None, applied: ClusterSpec | None, sources: Sources
) -> Resolved | Unresolved | None:
    """The backup that the spec names, while it is not accepted. One that the cache does not have is
    asked for: it may be in a namespace that is not watched.
    """
    source = spec.bootstrap.restore_from if spec else None
    if source is None or (applied is not None and source == applied.bootstrap.restore_from):
        return None
    found = await _resolved(metadata["namespace"], source, sources)
    return _skipping(found, skips=skips_hash_check(metadata))


async def _requested_source(
    metadata: JsonObject,
    status: ClusterStatus,
    request: RestoreRequest | None,
    sources: Sources,
) -> Resolved | Unresolved | None:
    """The backup that a request names, while it is not answered."""
    if request is None or answers(status, request):
        return None
    found = await _resolved(metadata["namespace"], request.source, sources)
    return _skipping(found, skips=request.skip_hash_check)


def _skipping(found: Resolved | Unresolved, *, skips: bool) -> Resolved | Unresolved:
    if isinstance(found, Resolved):
        return dataclasses.replace(found, skip_hash_check=skips)
    return found


async def _resolved(
    namespace: str, source: RestoreSource, sources: Sources
) -> Resolved | Unresolved:
    backup = None
    if source.backup_name is not None:
        where = source.backup_namespace or namespace
        backup = sources.informers[BACKUPS].get(f"{where}/{source.backup_name}")
        if backup is None:
            try:
                backup = await _get(sources.api, BACKUPS, where, source.backup_name)
            except ForbiddenError as error:
                message = f"The operator may not read EtcdBackups of namespace {where}"
                return Unresolved(reason=Reason.NOT_ALLOWED, message=f"{message} ({error.message})")
    return resolve(source, namespace, backup)


async def _pods_refused(
    metadata: JsonObject,
    live: Mapping[tuple[str, str], JsonObject],
    pods: tuple[Pod, ...],
    sources: Sources,
) -> str:
    """The newest complaint of the StatefulSet controller; asked for only while pods are missing."""
    made = live.get(("StatefulSet", stateful_set_name(metadata["name"])))
    if made is None or len(pods) >= made["spec"].get("replicas", 0):
        return ""
    return await newest_refusal(sources.api, metadata["namespace"], made["metadata"]["uid"])


async def _claims(
    metadata: JsonObject, status: ClusterStatus, sources: Sources, *, ask_server: bool
) -> tuple[tuple[Claim, ...], tuple[Claim, ...]]:
    """Claims with our uid, of the recorded epoch and of others; before the first start every claim
    under a name of ours as the first.

    A voter's claim that the cache does not have is asked for: that it is gone is proof of a loss.
    """
    namespace, name = metadata["namespace"], metadata["name"]
    if ask_server or status.bootstrap is None:
        return claims_from(name, await sources.api.list(CLAIMS, namespace=namespace)), ()
    epoch = status.bootstrap.epoch
    objects = sources.informers[CLAIMS].by_index(BY_CLUSTER_UID, metadata["uid"])
    known = {obj["metadata"]["name"] for obj in objects}
    expected = [volume_claim_name(name, n, epoch) for n in voters_of(status) if status.cluster_id]
    asked = [
        await _get(sources.api, CLAIMS, namespace, missing)
        for missing in expected
        if missing not in known
    ]
    claims = claims_from(name, [*objects, *filter(None, asked)])
    return of_epoch(claims, epoch)


async def _namespace_terminating(metadata: JsonObject, sources: Sources) -> bool:
    """Asked only when the answer matters: we are being deleted and hold a finalizer."""
    if "deletionTimestamp" not in metadata or FINALIZER not in (metadata.get("finalizers") or ()):
        return False
    match await sources.outside.get(NAMESPACES, metadata["namespace"]):
        case None:
            return True
        case NotAllowed():
            return False
        case namespace:
            return "deletionTimestamp" in namespace["metadata"]


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
