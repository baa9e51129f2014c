"""Turns the pod that restores a backup into the planner's `RestorePod`.

Pure.  Called by `observe`.  The pod has three steps, each a container
(`controllers.restore.order`); what came of them is in the termination messages of the first and the
last.  The etcd that changes are replayed into is no step: its end says nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from api.labels import CLAIM_ANNOTATION, ETCD_CONTAINER, restore_pod_epoch
from api.reasons import Reason
from controllers.backup.order import GIVE_UP, USAGE, Failed
from controllers.cluster.observed import JsonObject, Problem, RestorePod
from controllers.cluster.pods import has_ended
from controllers.pod_obstacles import obstacle_of
from controllers.restore.order import (
    ALREADY_DONE,
    FETCH_CONTAINER,
    FINISH_CONTAINER,
    RESTORE_CONTAINER,
    Restored,
    read_restored,
)

_DOING: Final = {
    FETCH_CONTAINER: "fetching and checking the backup",
    RESTORE_CONTAINER: "making a data directory of it",
    FINISH_CONTAINER: "checking the data directory",
}
_REPLAYING: Final = "replaying the changes after the backup, and checking the data directory"
_LONGEST_WORDS: Final = 500


def restore_pods_of(cluster: str, objects: Iterable[JsonObject]) -> tuple[RestorePod, ...]:
    """Those among a cluster's pods, of all epochs."""
    named = ((obj, restore_pod_epoch(cluster, obj["metadata"]["name"])) for obj in objects)
    found = (restore_pod_from(obj, epoch=epoch) for obj, epoch in named if epoch is not None)
    return tuple(sorted(found, key=lambda pod: pod.epoch))


def restore_pod_from(obj: JsonObject, *, epoch: int) -> RestorePod:
    """The pod as the planner sees it."""
    metadata, status = obj["metadata"], obj.get("status", {})
    restored = _restored(status)
    # What is left of it then is an etcd that nobody ends any more.
    ended = has_ended(obj) or _end_of(status, FINISH_CONTAINER) is not None
    obstacle = None if ended else obstacle_of(status)
    return RestorePod(
        name=metadata["name"],
        uid=metadata["uid"],
        epoch=epoch,
        claim=(metadata.get("annotations") or {}).get(CLAIM_ANNOTATION, ""),
        terminating="deletionTimestamp" in metadata,
        doing=_doing(status, replays=_replays(obj)),
        restored=restored,
        failure=_failure(status) if ended and restored is None else None,
        in_vain=_in_vain(status),
        problem=Problem(reason=obstacle[0], message=obstacle[1]) if obstacle else None,
    )


def _restored(status: JsonObject) -> Restored | None:
    """The answer of the step that placed the data, whatever became of the others."""
    for name, code in ((FETCH_CONTAINER, ALREADY_DONE), (FINISH_CONTAINER, 0)):
        end = _end_of(status, name)
        if end is not None and end.get("exitCode") == code:
            answer = read_restored(str(end.get("message", "")))
            if isinstance(answer, Restored):
                return answer
    return None


def _failure(status: JsonObject) -> tuple[Reason, str]:
    """Why it ended without: in the words of the step that failed, or of who ended the pod."""
    for name in _DOING:
        end = _end_of(status, name)
        if end is None or not end.get("exitCode"):
            continue
        message = str(end.get("message", ""))
        answer = read_restored(message)
        if isinstance(answer, Failed):
            return answer.reason, answer.message
        words = f"{name}: exit code {end.get('exitCode')} ({end.get('reason', 'unknown')})"
        last = message.strip()[-_LONGEST_WORDS:]
        return Reason.RESTORE_FAILED, f"{words}: {last}" if last else words
    words = str(status.get("message") or status.get("reason") or "it ended without an answer")
    return Reason.RESTORE_FAILED, words[:_LONGEST_WORDS]


def _in_vain(status: JsonObject) -> bool:
    """Whether a step has said that trying again is of no use."""
    ends = (_end_of(status, name) for name in (FETCH_CONTAINER, FINISH_CONTAINER))
    return any(end is not None and end.get("exitCode") in {GIVE_UP, USAGE} for end in ends)


def _doing(status: JsonObject, *, replays: bool) -> str:
    running = (name for name in _DOING if "running" in _state_of(status, name))
    name = next(running, None)
    if name == FINISH_CONTAINER and replays:
        return _REPLAYING
    return _DOING[name] if name else "starting"


def _replays(obj: JsonObject) -> bool:
    containers = obj.get("spec", {}).get("containers", ())
    return any(one.get("name") == ETCD_CONTAINER for one in containers)


def _end_of(status: JsonObject, name: str) -> Mapping[str, Any] | None:
    end: Mapping[str, Any] | None = _state_of(status, name).get("terminated")
    return end


def _state_of(status: JsonObject, name: str) -> Mapping[str, Any]:
    statuses = (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    )
    found = (one for one in statuses if one.get("name") == name)
    container: Mapping[str, Any] = next(found, {})
    return container.get("state") or {}
