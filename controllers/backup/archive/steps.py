"""What a plan can ask for with the pod that keeps the changes. Pure data."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyArchiver:
    """Make the Deployment, or correct the one with this uid."""

    body: dict[str, Any]
    uid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteArchiver:
    """Delete the Deployment: nothing is to be kept for now."""

    name: str
    uid: str
    why: str
