"""Rules about what the operator takes on: pauses, refused specs, names that somebody else holds.

What the schema or a webhook refuses is refused here too: they may be off, or older than the spec.
Before a spec has been accepted a refusal stops everything; afterwards the accepted spec stays in
force and the refusal is only shown, so that a bad edit never stops the care for a running cluster.
"""

from api.changes import Kind, kind_of
from api.errors import FieldError
from api.reasons import Reason, reason_of
from controllers.cluster.membership import is_asleep
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import is_formed, refused_by_server, refused_edit
from controllers.cluster.plan.steps import Wait

# Nothing changes until the spec does, and that is an event; this is only the insurance.
_REFUSED_RECHECK_S = 300.0
_REFUSED_BY_SERVER_RECHECK_S = 20.0


def paused(observed: Observed) -> Wait | None:
    """A paused cluster gets no write of ours but its status."""
    if observed.spec is None or not observed.spec.paused:
        return None
    return Wait(
        reason=Reason.PAUSED,
        message="spec.paused is true: the operator only watches; set it to false to go on",
    )


def refuse_first_spec(observed: Observed) -> Wait | None:
    """A cluster that never had an accepted spec, and has none now."""
    if observed.applied is not None:
        return None
    return _refusal(observed)


def wait_for_names(observed: Observed) -> Wait | None:
    """Objects under our names that somebody else controls are never touched."""
    if not observed.foreign:
        return None
    names = ", ".join(observed.foreign)
    return Wait(
        reason=Reason.NAME_CONFLICT,
        message=f"{names} exists and is not controlled by this EtcdCluster: "
        "delete or rename it, or give the EtcdCluster another name",
        # Often an earlier cluster of the same name, which is being collected just now.
        recheck_s=3.0,
    )


def refuse_edit_too_early(observed: Observed) -> Wait | None:
    """The same while the first members still start: nothing else would mend a bad first spec."""
    return None if is_formed(observed) else refuse_edit(observed)


def refuse_edit_asleep(observed: Observed) -> Wait | None:
    """The same while nobody runs: whoever wants to wake the cluster up with this edit can't."""
    return refuse_edit(observed) if is_asleep(observed) and not observed.pods else None


def refuse_edit(observed: Observed) -> Wait | None:
    """An edit that is invalid, or that can't be rolled out: the accepted spec stays in force."""
    refusal = _refusal(observed)
    if refusal is not None:
        return refusal
    errors = refused_edit(observed)
    if errors:
        return _wait(_reason_for(errors), errors)
    refused = refused_by_server(observed)
    if refused is None:
        return None
    return Wait(
        reason=reason_of(refused.reason),
        message=f"The API server refuses the edit: {refused.message}",
        recheck_s=_REFUSED_BY_SERVER_RECHECK_S,
    )


def _refusal(observed: Observed) -> Wait | None:
    if observed.spec is None:
        return _wait(Reason.INVALID_SPEC, observed.spec_errors)
    return None


def _reason_for(errors: tuple[FieldError, ...]) -> Reason:
    if [error.field for error in errors] == ["spec.version"]:
        return Reason.VERSION_REFUSED
    volumes = all(kind_of(error.field.split(",")[0]) is Kind.VOLUME for error in errors)
    return Reason.VOLUME_REFUSED if volumes else Reason.NOT_SUPPORTED_YET


def _wait(reason: Reason, errors: tuple[FieldError, ...]) -> Wait:
    return Wait(reason=reason, message="; ".join(map(str, errors)), recheck_s=_REFUSED_RECHECK_S)
