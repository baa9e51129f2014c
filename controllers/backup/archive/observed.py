"""What the caches tell of the Deployment that keeps the changes, and of its pod. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.labels import ARCHIVER_COMPONENT, COMPONENT_LABEL
from api.reasons import Reason
from controllers.backup.archive.order import ArchiverReport
from controllers.backup.order import Failed, read_answer
from controllers.pod_obstacles import obstacle_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """It was asked and gave no answer that can be understood; `why` is for people."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiverPod:
    """The pod. address: its IP, empty before it has one. started: when its container last was.

    obstacle: why it does not start. failure, last_words: what the run before this one ended with:
    an answer of ours, or else the last that was heard of it.
    """

    name: str
    uid: str
    address: str
    started: datetime | None = None
    obstacle: tuple[Reason, str] | None = None
    failure: Failed | None = None
    last_words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiver:
    """The Deployment as it is. refusal: why it has no pod. report: None where nobody could be
    asked.
    """

    live: Mapping[str, Any]
    refusal: str = ""
    pod: ArchiverPod | None = None
    report: ArchiverReport | Silence | None = None

    @property
    def name(self) -> str:
        return str(self.live["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.live["metadata"]["uid"])

    @property
    def terminating(self) -> bool:
        return "deletionTimestamp" in self.live["metadata"]


def read_archiver(
    deployments: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]
) -> Archiver | None:
    """The Deployment of one EtcdBackup among what carries its uid."""
    live = next(iter(deployments), None)
    if live is None:
        return None
    failure: Mapping[str, Any] = next(
        (
            one
            for one in live.get("status", {}).get("conditions") or ()
            if one.get("type") == "ReplicaFailure" and one.get("status") == "True"
        ),
        {},
    )
    mine = [one for one in pods if _is_archiver(one)]
    newest = max(mine, key=lambda one: str(one["metadata"]["creationTimestamp"]), default=None)
    return Archiver(
        live=live,
        refusal=str(failure.get("message", "")),
        pod=None if newest is None else _pod(newest),
    )


def _is_archiver(pod: Mapping[str, Any]) -> bool:
    metadata = pod["metadata"]
    of_archiver = (metadata.get("labels") or {}).get(COMPONENT_LABEL) == ARCHIVER_COMPONENT
    return of_archiver and "deletionTimestamp" not in metadata


def _pod(obj: Mapping[str, Any]) -> ArchiverPod:
    status = obj.get("status", {})
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    state, last = container.get("state") or {}, container.get("lastState") or {}
    running = state.get("running")
    ended = {} if running else state.get("terminated") or last.get("terminated") or {}
    words = str(ended.get("message", "")).strip()
    answer = read_answer(words)
    failure = answer if isinstance(answer, Failed) else None
    return ArchiverPod(
        name=obj["metadata"]["name"],
        uid=obj["metadata"]["uid"],
        address=str(status.get("podIP", "")),
        started=datetime.fromisoformat(running["startedAt"]) if running else None,
        obstacle=obstacle_of(status),
        failure=failure,
        last_words="" if failure else words[-500:],
    )
