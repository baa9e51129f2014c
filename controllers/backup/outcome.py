"""What came of a step, made by `act`, read by `status` and the reconciler."""

from dataclasses import dataclass

from api.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The step was taken (or had been already)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The server refuses what the spec asks for, or somebody else's object has our name."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Something is not as it was observed: nothing was done, plan again."""


Outcome = Done | Rejected | Changed
