"""The EtcdCluster that a restore is to make or to ask: which spec, whether it may be, and in which
words it is asked. Pure.
"""

from typing import Any, Final

from api.labels import API_VERSION, OLD_DATA_ANNOTATION, RESTORE_ANNOTATION
from api.objects import Invalid
from api.reasons import Reason
from api.v1alpha1.restore import RestoreSpec
from api.v1alpha1.restore_request import RestoreRequest, read_request, write_request
from api.validation import parse_cluster
from controllers.backup.order import Failed, failed
from controllers.restore.observed import Observed
from controllers.restore.render import attempt_of

# Of the recorded spec: where that cluster began, that somebody held it, whose volumes it took.
_NOT_COPIED: Final = frozenset({"bootstrap", "paused"})
_NOT_COPIED_OF_STORAGE: Final = "existingVolumes"


def target_refusal(observed: Observed, spec: RestoreSpec) -> Failed | None:
    """Why no cluster of that name can be made, or asked."""
    target, name = observed.target, spec.cluster_name
    if spec.restore_type == "New":
        if target is None:
            return None
        message = (
            f"spec.clusterName: EtcdCluster {name} exists, and was not made by this EtcdRestore:"
            " name another, or use restoreType Replace to give it the backup's data"
        )
        return failed(Reason.TARGET_EXISTS, message)
    if target is None or target.is_deleting:
        state = "there is no" if target is None else "there will soon be no"
        message = (
            f"spec.clusterName: {state} EtcdCluster {name} in the namespace, whose data could be"
            " replaced: name one, or use restoreType New to make it"
        )
        return failed(Reason.CLUSTER_NOT_FOUND, message)
    if target.spec is None:
        message = f"EtcdCluster {name} has a spec that is not valid: correct it first"
        return failed(Reason.INVALID_SPEC, message)
    return None


def wanted_spec(observed: Observed, spec: RestoreSpec) -> dict[str, Any] | Failed:
    """The spec of the new cluster, without what it begins from."""
    if spec.cluster_template is not None:
        wanted = spec.cluster_template.to_json()
    elif observed.recorded is not None:
        wanted = _copied(observed.recorded)
    else:
        message = (
            "spec.clusterTemplate is needed: only an EtcdBackup has recorded the spec of the"
            " cluster that it saved, and not one that was taken by an earlier version"
        )
        return failed(Reason.TEMPLATE_NEEDED, message)
    metadata = {"name": spec.cluster_name, "namespace": observed.namespace}
    parsed = parse_cluster(
        {"apiVersion": API_VERSION, "kind": "EtcdCluster", "metadata": metadata, "spec": wanted}
    )
    if isinstance(parsed, Invalid):
        words = "; ".join(map(str, parsed.errors))
        return failed(Reason.TEMPLATE_REFUSED, f"The new EtcdCluster would be refused: {words}")
    return wanted


def request_of(observed: Observed, spec: RestoreSpec) -> dict[str, str]:
    """The annotations by which the cluster is asked to begin anew."""
    request = RestoreRequest(
        restore=observed.name,
        uid=observed.uid,
        attempt=attempt_of(spec),
        source=spec.source,
        skip_hash_check=spec.skip_hash_check,
        asked_at=observed.now,
    )
    return {RESTORE_ANNOTATION: write_request(request), OLD_DATA_ANNOTATION: spec.old_data}


def standing_request(observed: Observed) -> RestoreRequest | None:
    """What the cluster was asked last, by whomever."""
    return None if observed.target is None else read_request(observed.target.request)


def _copied(recorded: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in recorded.items() if key not in _NOT_COPIED}
    storage = kept.get("storage")
    if isinstance(storage, dict):
        kept["storage"] = {k: v for k, v in storage.items() if k != _NOT_COPIED_OF_STORAGE}
    return kept
