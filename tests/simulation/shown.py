"""Pods and claims as the API server shows them: what the operator's real eyes are fed with."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.labels import CLOSED_ANNOTATION, CLUSTER_UID_LABEL, MEMBERSHIP_ANNOTATION
from tests.simulation import resize_model
from tests.simulation.etcd_process import Ending
from tests.simulation.template_model import Template
from tests.unit.controllers.cluster.builders import NOW


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPod:
    """All that the API server shows of a pod."""

    uid: str
    ordinal: int
    template: Template
    created: float
    node: str
    ready: bool
    running: bool
    terminating: bool
    controlled: bool
    pending: str
    image_missing: bool
    ending: Ending | None
    restarts: int
    closed_for: str
    notes: tuple[tuple[str, str], ...]
    resources: str
    answer: tuple[str, float] | None

    def to_object(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": f"db-{self.ordinal}",
            "uid": self.uid,
            "creationTimestamp": _time(self.created),
            "labels": {"controller-revision-hash": self.template.revision},
            "annotations": {
                **dict(self.template.annotations),
                **dict(self.notes),
                CLOSED_ANNOTATION: self.closed_for,
            },
            "ownerReferences": [{"controller": True}] if self.controlled else [],
        }
        if self.terminating:
            metadata["deletionTimestamp"] = "2026-01-01T12:00:00Z"
        container = {
            "name": "etcd",
            "args": [f"--config-file=/etc/etcd/$(POD_NAME)-{self.template.file}"],
            "resources": json.loads(self.resources),
        }
        conditions = [{"type": "Ready", "status": str(self.ready)}]
        if self.pending:
            conditions.append({"type": "PodScheduled", "status": "False", "message": self.pending})
        since = _time(self.answer[1]) if self.answer else ""
        conditions.extend(resize_model.conditions(self.answer, since))
        return {
            "metadata": metadata,
            "spec": {"nodeName": self.node, "containers": [container]},
            "status": {
                "podIP": f"10.0.0.{self.ordinal + 1}" if self.node else None,
                "conditions": conditions,
                "containerStatuses": [self._container()],
            },
        }

    def _container(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        last: dict[str, Any] = {}
        if self.ending is not None:
            last = {"terminated": {"exitCode": self.ending.code, "message": self.ending.words}}
        if self.image_missing:
            state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
        elif self.running:
            state = {"running": {}}
        elif self.ending is not None:
            state = {"waiting": {"reason": "CrashLoopBackOff"}}
        return {"name": "etcd", "state": state, "lastState": last, "restartCount": self.restarts}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownClaim:
    """All that the API server shows of a claim."""

    uid: str
    ordinal: int
    owner: str | None
    terminating: bool
    lost: bool
    size: int
    capacity: int
    storage_class: str
    membership: str

    def to_object(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": f"data-db-{self.ordinal}",
            "uid": self.uid,
            "labels": {CLUSTER_UID_LABEL: self.owner} if self.owner else {},
            "annotations": {MEMBERSHIP_ANNOTATION: self.membership},
        }
        if self.terminating:
            metadata["deletionTimestamp"] = "2026-01-01T12:00:00Z"
        return {
            "metadata": metadata,
            "spec": {
                "storageClassName": self.storage_class,
                "resources": {"requests": {"storage": str(self.size)}},
            },
            "status": self._status(),
        }

    def _status(self) -> dict[str, Any]:
        if not self.capacity:
            return {"phase": "Pending"}
        grows = self.capacity < self.size
        return {
            "phase": "Lost" if self.lost else "Bound",
            "capacity": {"storage": str(self.capacity)},
            "conditions": [{"type": "Resizing", "status": "True"}] if grows else [],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownProbe:
    """All that the API server shows of the pod that tries out an image."""

    uid: str
    image: str
    created: float
    missing: bool
    ended: bool
    terminating: bool

    def to_object(self) -> dict[str, Any]:
        metadata = {
            "name": "db-probe",
            "uid": self.uid,
            "creationTimestamp": _time(self.created),
        }
        if self.terminating:
            metadata["deletionTimestamp"] = "2026-01-01T12:00:00Z"
        waiting = {"reason": "ImagePullBackOff", "message": "not found"}
        state = {"waiting": waiting} if self.missing else {}
        return {
            "metadata": metadata,
            "spec": {"containers": [{"name": "etcd", "image": self.image}]},
            "status": {
                "phase": "Succeeded" if self.ended else "Pending",
                "containerStatuses": [{"name": "etcd", "state": state}],
            },
        }


def _time(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()
