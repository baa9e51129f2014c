"""The steps that change the size and the class of the members' volumes.  Part of `steps.Action`.

Pure data, under the same rules as those in `steps`.
"""

from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeClaims:
    """Ask for another size of volumes that are in use; the storage follows on its own."""

    claims: tuple[tuple[str, str], ...]  # (name, uid)
    size: str

    @override
    def __str__(self) -> str:
        names = ", ".join(name for name, _ in self.claims)
        return f"Resize volume claims {names} to {self.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeTrial:
    """What the server must take before an edit of the volumes is recorded."""

    resize: ResizeClaims | None  # tried in a dry run
    storage_class: str  # must exist; empty when it stays as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStatefulSet:
    """Delete the StatefulSet and leave its pods alone: made anew, it takes them up again."""

    name: str
    uid: str

    @override
    def __str__(self) -> str:
        return f"Renew the claim templates of StatefulSet {self.name}, around its running pods"
