"""The storage under the volume claims: its classes, how it makes volumes and how it enlarges them.

Modelled: a claim waits for a class that does not exist; a larger size comes after a while or never,
and its last part needs a pod that runs (the file system is grown by kubelet); the API server's word
on a new size (k8s.io/kubernetes pkg/apis/core/validation, ValidatePersistentVolumeClaimUpdate;
plugin/pkg/admission/storage/persistentvolume/resize).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.quantity import parse_quantity

STANDARD, FAST, RIGID = "standard", "fast", "rigid"
MISSING = "missing"  # a class that nobody has made
NEVER = math.inf


@dataclass(slots=True)
class Volume:
    """What a claim asks for, and has.  Sizes in bytes; `capacity` 0: it is pending."""

    size: int
    storage_class: str
    capacity: int = 0
    asked_at: float = 0.0

    @property
    def grows(self) -> bool:
        return 0 < self.capacity < self.size


@dataclass
class StorageModel:
    """`growth_s`: how long a larger size takes.  `full`: a quota is against anything larger.

    `recovers`: a size that has not come can be taken back (Kubernetes 1.32).  `unit`: volumes are
    made in multiples of it.
    """

    expandable: dict[str, bool] = field(
        default_factory=lambda: {STANDARD: True, FAST: True, RIGID: False}
    )
    growth_s: float = 0.0
    full: bool = False
    recovers: bool = True
    unit: int = 1
    tells_classes: bool = True  # the operator may read them

    def claimed(self, template: Mapping[str, Any]) -> Volume:
        """What a claim asks for that is made from this template."""
        spec = template["spec"]
        size = parse_quantity(spec["resources"]["requests"]["storage"]).whole
        return Volume(size, spec.get("storageClassName", STANDARD))

    def provides(self, volume: Volume) -> bool:
        """Whether the claim has a volume now that a pod wants it."""
        if not volume.capacity and volume.storage_class in self.expandable:
            volume.capacity = -(-volume.size // self.unit) * self.unit
        return bool(volume.capacity)

    def refusal(self, volume: Volume, size: int) -> str:
        """The server's words against another size; empty when it takes it."""
        if not volume.capacity:
            return "spec: Forbidden: spec is immutable after creation for claims that are not bound"
        if size < volume.size and not self.recovers:
            return "field can not be less than previous value"
        if size < volume.size and size <= volume.capacity:
            return "field can not be less than status.capacity"
        if size > volume.size and not self.expandable.get(volume.storage_class):
            return "only dynamically provisioned pvc can be resized"
        return "exceeded quota" if size > volume.size and self.full else ""

    def ask(self, volume: Volume, size: int, now: float) -> None:
        volume.size, volume.asked_at = size, now

    def grow(self, volume: Volume, now: float) -> None:
        """A pod runs on it."""
        if volume.grows and now >= volume.asked_at + self.growth_s:
            volume.capacity = -(-volume.size // self.unit) * self.unit
