"""What came of an action.  Values, made by `act`, read by `status` and the reconciler."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from api.reasons import Reason
from api.v1alpha1.cluster_status import DataHash
from controllers.cluster.auth.changes import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The step was taken (or had been already)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Something is not as it was observed: nothing was done, plan again."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The server refuses what the spec asks for: wait for another spec.

    `name`: of the object, where that is of use; `others`: further refusals in the same step.
    """

    reason: Reason
    message: str
    name: str = ""
    others: tuple["Rejected", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """etcd, or an object in the way, says "not now": nothing was done, ask again soon."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """The step was taken: every voter gave this hash."""

    hash: DataHash


@dataclass(frozen=True, slots=True, kw_only=True)
class Altered:
    """These changes of users and roles were made; `refused` says why etcd refused the next one,
    empty when it did not.
    """

    changes: tuple[Change, ...]
    refused: str = ""


Outcome = Done | Changed | Rejected | NotYet | Hashed | Altered


def first_failure(outcomes: Iterable[Outcome]) -> Outcome:
    """What came of a step of several writes, each of them tried; a refusal before all else."""
    failed = [outcome for outcome in outcomes if not isinstance(outcome, Done)]
    refused = [outcome for outcome in failed if isinstance(outcome, Rejected)]
    if refused:
        return replace(refused[0], others=tuple(refused[1:]))
    return next(iter(failed), Done())
