"""Turns pod and claim objects into the planner's `Pod` and `Claim`, with the reason a pod is stuck.

Pure.  Called by `observe`.  The reasons are read from what kubelet and the scheduler write into the
pod's status; the words shown to the user are theirs.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from api.labels import (
    CLOSED_ANNOTATION,
    CLUSTER_UID_LABEL,
    ETCD_CONTAINER,
    MEMBERSHIP_ANNOTATION,
    RESIZED_ANNOTATION,
    ClaimPlace,
    claim_place,
)
from api.quantity import parse_quantity
from api.reasons import Reason
from controllers.cluster.observed import Claim, JsonObject, Pod, Probe, Problem
from controllers.cluster.render.tls import mounted_bundles
from controllers.pod_obstacles import obstacle_of

# What etcd writes as its last words when a member whose file is closed finds no data
# (server/etcdserver/bootstrap.go, bootstrapExistingClusterNoWAL): it can't ask anyone but itself.
# With a file that kubelet has not closed yet the others say that they know it (ibid.,
# bootstrapNewClusterNoWAL).
_EMPTY_DIRECTORY = re.compile(
    r"cannot fetch cluster info from peer urls|could not retrieve cluster information"
    r"|member count is unequal|has already been bootstrapped"
)

# What it writes when its log or its database can't be read, however often it is started
# (server/storage/wal, server/etcdserver/api/snap, raft/log.go; bbolt's own assertions).
_DATA_ERROR = re.compile(
    r"crc mismatch|failed to read WAL, cannot be repaired|wal: (file not found|slice bounds)"
    r"|tocommit\(\d+\) is out of range|failed to recover v3 backend from snapshot"
    r"|snap: (empty snapshot|no available snapshot)|invalid database|freepages: failed"
    r"|Page expected to be"
)

# What the scheduler writes on a claim whose volume is made where its first pod goes.
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
# A container that ended this often is in a loop, whether kubelet holds it back just now or not.
_LOOP = 2
_LONGEST_WORDS = 300


def claims_from(cluster: str, objects: Iterable[JsonObject]) -> tuple[Claim, ...]:
    """Those under names of the cluster's, of all epochs, in the order of epoch and ordinal."""
    named = ((obj, claim_place(cluster, obj["metadata"]["name"])) for obj in objects)
    found = (claim_from(obj, place) for obj, place in named if place is not None)
    return tuple(sorted(found, key=lambda claim: (claim.epoch, claim.ordinal)))


def of_epoch(claims: tuple[Claim, ...], epoch: int) -> tuple[tuple[Claim, ...], tuple[Claim, ...]]:
    """The claims of this epoch, and the others."""
    these = tuple(claim for claim in claims if claim.epoch == epoch)
    return these, tuple(claim for claim in claims if claim.epoch != epoch)


def claim_from(obj: JsonObject, place: ClaimPlace) -> Claim:
    """A claim as the planner sees it."""
    metadata, phase = obj["metadata"], obj.get("status", {}).get("phase")
    annotations = metadata.get("annotations") or {}
    return Claim(
        name=metadata["name"],
        ordinal=place.ordinal,
        epoch=place.epoch,
        uid=metadata["uid"],
        cluster_uid=(metadata.get("labels") or {}).get(CLUSTER_UID_LABEL),
        terminating="deletionTimestamp" in metadata,
        lost=phase == "Lost",
        unassigned=phase == "Pending" and _SELECTED_NODE not in annotations,
        membership=annotations.get(MEMBERSHIP_ANNOTATION, ""),
        **_volume(obj.get("spec", {}), obj.get("status", {})),
    )


def _volume(spec: JsonObject, status: JsonObject) -> dict[str, Any]:
    """Size and class of a claim's volume, and kubelet's and the resizer's words on a new size."""
    asked = (spec.get("resources") or {}).get("requests", {}).get("storage")
    has = status.get("capacity", {}).get("storage")
    told = [c for c in status.get("conditions", ()) if c.get("status") == "True"]
    return {
        "bound": status.get("phase") == "Bound",
        "size": parse_quantity(asked) if asked else None,
        "capacity": parse_quantity(has) if has else None,
        "storage_class": spec.get("storageClassName"),
        "resizing": "; ".join(_told(condition) for condition in told),
    }


def _told(condition: JsonObject) -> str:
    return ": ".join(str(condition[key]) for key in ("type", "message") if condition.get(key))


def pod_from(obj: JsonObject, *, ordinal: int) -> Pod:
    """A pod as the planner sees it."""
    metadata, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    container = _named(status.get("containerStatuses", ()), ETCD_CONTAINER)
    annotations = metadata.get("annotations") or {}
    return Pod(
        name=metadata["name"],
        ordinal=ordinal,
        uid=metadata["uid"],
        ip=status.get("podIP") or None,
        node=spec.get("nodeName") or None,
        running="running" in container.get("state", {}),
        ready=_condition(status, "Ready").get("status") == "True",
        terminating="deletionTimestamp" in metadata,
        revision=annotations.get(RESIZED_ANNOTATION)
        or (metadata.get("labels") or {}).get("controller-revision-hash", ""),
        config_file=_config_file(_named(spec.get("containers", ()), ETCD_CONTAINER)),
        restarts=container.get("restartCount", 0),
        problem=_problem(metadata, status, container),
        closed_for=annotations.get(CLOSED_ANNOTATION, ""),
        controlled=any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()),
        scheduled_since=_scheduled_since(status),
        created=_time(metadata.get("creationTimestamp")),
        annotations=annotations,
        resources=_named(spec.get("containers", ()), ETCD_CONTAINER).get("resources") or {},
        bundles=mounted_bundles(spec),
        **_resize(metadata, status),
    )


def _resize(metadata: JsonObject, status: JsonObject) -> dict[str, Any]:
    """How far new resources have come (KEP-1287: conditions PodResizePending, InProgress).

    What kubelet said of an earlier request counts no more.  Before it has looked at the newest one
    there is no condition, only a generation that it has not seen (KEP-5067: from Kubernetes 1.34 on
    it tells which it has).
    """
    pending = _condition(status, "PodResizePending")
    going = _condition(status, "PodResizeInProgress")
    newest = metadata.get("generation", 0)
    told = next(
        (
            condition
            for condition in (pending, going)
            if condition.get("status") == "True"
            and condition.get("observedGeneration", newest) >= newest
        ),
        {},
    )
    words = ": ".join(str(told[key]) for key in ("reason", "message") if told.get(key))
    seen = status.get("observedGeneration")
    unseen = bool(seen) and seen < metadata.get("generation", 0)
    return {
        "resizing": words
        or ("in progress" if told else "not seen by its node yet" if unseen else ""),
        "resizing_since": _time(told.get("lastTransitionTime")),
        "resize_failed": told.get("reason") in {"Infeasible", "Error"},
    }


def has_ended(obj: JsonObject) -> bool:
    """Whether a pod that is not restarted has run to its end, well or not."""
    return obj.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def probe_from(obj: JsonObject, output: str) -> Probe:
    """The probe as the planner sees it; `output` is what its container wrote."""
    metadata, status = obj["metadata"], obj.get("status", {})
    container = _named(status.get("containerStatuses", ()), ETCD_CONTAINER)
    problem = _problem(metadata, status, container)
    if problem is None and status.get("phase") == "Failed":
        # The pod as a whole was ended: evicted, or past its deadline.
        words = str(status.get("message") or status.get("reason") or "its container failed")
        problem = Problem(reason=Reason.PROBE_FAILED, message=words)
    return Probe(
        name=metadata["name"],
        uid=metadata["uid"],
        image=str(_named(obj["spec"].get("containers", ()), ETCD_CONTAINER).get("image", "")),
        created=_time(metadata.get("creationTimestamp")),
        ended=has_ended(obj),
        terminating="deletionTimestamp" in metadata,
        problem=problem,
        output=output,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _scheduled_since(status: JsonObject) -> datetime | None:
    scheduled = _condition(status, "PodScheduled")
    since = scheduled.get("lastTransitionTime")
    return datetime.fromisoformat(since) if since and scheduled.get("status") == "True" else None


def _config_file(container: JsonObject) -> str | None:
    for argument in container.get("args", ()):
        if argument.startswith("--config-file="):
            return str(argument.rpartition("/")[2])
    return None


def _named(items: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((item for item in items if item.get("name") == name), {})


def _condition(status: JsonObject, kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions", ()) if c.get("type") == kind), {})


def _problem(metadata: JsonObject, status: JsonObject, etcd: JsonObject) -> Problem | None:
    """What keeps the pod from serving; None when nothing is known to, or it is on its way out."""
    if "deletionTimestamp" in metadata or _condition(status, "Ready").get("status") == "True":
        return None
    obstacle = obstacle_of(status)
    if obstacle is not None:
        reason, message = obstacle
        return Problem(reason=reason, message=message)
    return _crash(etcd)


def _crash(etcd: JsonObject) -> Problem | None:
    """Why etcd keeps ending.  One end is no loop; between two ends the reason stays the same."""
    state = etcd.get("state", {})
    ended = state.get("terminated") or etcd.get("lastState", {}).get("terminated")
    if not ended:
        return None
    message = str(ended.get("message", ""))
    if ended.get("exitCode") and _EMPTY_DIRECTORY.search(message):
        return Problem(reason=Reason.EMPTY_DATA_DIRECTORY, message=_last_words(message))
    if ended.get("exitCode") and _DATA_ERROR.search(message):
        return Problem(reason=Reason.DATA_ERROR, message=_last_words(message))
    backs_off = state.get("waiting", {}).get("reason") == "CrashLoopBackOff"
    if not backs_off and etcd.get("restartCount", 0) < _LOOP:
        return None
    words = f"exit code {ended.get('exitCode')} ({ended.get('reason', 'unknown')})"
    last = _last_words(message)
    return Problem(reason=Reason.CRASH_LOOPING, message=f"{words}: {last}" if last else words)


def _last_words(text: str) -> str:
    """The last line with something on it, cut to a condition's size.

    etcd logs JSON; of its line the message and the error are what a person needs.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    try:
        entry = json.loads(lines[-1])
        words = ": ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key))
    except (ValueError, TypeError, AttributeError):
        words = lines[-1]
    return words[:_LONGEST_WORDS]
