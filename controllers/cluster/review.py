"""What the reconciler would say of an EtcdCluster that is about to be stored.

For the admission server: the planner's own functions, asked with what the request and the caches
hold and without a word from etcd.  Where only members could tell, nothing is refused here.  Pure
but for reading a cache.
"""

from datetime import UTC, datetime
from typing import Final

from api.errors import FieldError
from api.objects import DELETES_DATA, ParsedCluster
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from api.validation import parse_cluster
from controllers.cluster.observe import BY_CLUSTER_UID, checked_spec
from controllers.cluster.observed import Claim, Etcd, JsonObject, Observed
from controllers.cluster.plan.accepted import edit, is_formed, refused_for_good
from controllers.cluster.plan.versions import path
from controllers.cluster.pods import claims_from, of_epoch
from etcd.version_path import VersionPath, newer_patch
from etcd.versions import parse_version
from informers.informer_set import ObjectReader

# No rule that is asked here looks at the clock.
_NO_MOMENT: Final = datetime(1970, 1, 1, tzinfo=UTC)


def refusals(
    cluster: ParsedCluster, stored: JsonObject | None, claims: ObjectReader
) -> tuple[FieldError, ...]:
    """What would be refused of `cluster` in the place of `stored` (None: it is new), in the words
    of the conditions; empty when it would be taken up, sooner or later.
    """
    observed = _observed(cluster, stored, claims)
    if observed.spec is None:
        return observed.spec_errors
    return refused_for_good(observed)


def advice(
    cluster: ParsedCluster, stored: JsonObject | None, claims: ObjectReader
) -> tuple[str, ...]:
    """What would be taken up, and is not advised: a version with a newer patch, a step of an
    upgrade that had better start elsewhere.
    """
    try:
        version = parse_version(cluster.spec.version)
    except ValueError:  # a pre-release
        return ()
    newer = newer_patch(version)
    patch = f"spec.version is v{version}: v{newer} is newer, with corrections to etcd only"
    observed = _observed(cluster, stored, claims)
    found = path(observed) if edit(observed) is not None and is_formed(observed) else None
    step = found.warnings if isinstance(found, VersionPath) else ()
    return (*([patch] if newer else []), *step)


def _observed(cluster: ParsedCluster, stored: JsonObject | None, claims: ObjectReader) -> Observed:
    spec, errors = checked_spec(cluster)
    # What a new object says of its status is not stored.
    status = ClusterStatus() if stored is None else parse_cluster(stored).status
    applied, who = status.applied_spec, cluster.identity
    return Observed(
        now=_NO_MOMENT,
        namespace=who.namespace,
        name=who.name,
        uid=who.uid,
        generation=who.generation,
        resource_version=who.resource_version,
        deleting_since=None,
        namespace_terminating=False,
        finalizers=who.finalizers,
        spec=spec,
        spec_errors=errors,
        deletes_data=cluster.spec.storage.deletion_policy in DELETES_DATA,
        applied=None if applied is None else ClusterSpec.model_validate(applied),
        status=status,
        cluster_domain="",
        live={},
        foreign=(),
        pods=(),
        pods_refused="",
        claims=_claims(cluster, status, claims) if applied is not None else (),
        etcd=Etcd(error="it was not asked"),
    )


def _claims(
    cluster: ParsedCluster, status: ClusterStatus, claims: ObjectReader
) -> tuple[Claim, ...]:
    who = cluster.identity
    found = claims_from(who.name, claims.by_index(BY_CLUSTER_UID, who.uid))
    return of_epoch(found, status.bootstrap.epoch)[0] if status.bootstrap else found
