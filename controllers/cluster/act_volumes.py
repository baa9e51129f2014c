"""Carries out the steps on the size of volumes, and tries an edit of them on the server.

Called by `act`, which turns a conflict into `Changed`.  Claims are written to by uid.
"""

from api.reasons import Reason
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Done, Outcome, Rejected
from controllers.cluster.plan.volume_steps import ResizeClaims, VolumeTrial
from controllers.resources import CLAIMS, STORAGE_CLASSES
from controllers.writer import Writer, is_final
from informers.errors import NotFoundError, StatusError


async def try_volumes(trial: VolumeTrial, observed: Observed, writer: Writer) -> Outcome:
    """Whether the class exists, and the server would resize the claims. Raises KubeError."""
    if trial.storage_class and await _is_missing(trial.storage_class, writer):
        return Rejected(
            reason=Reason.VOLUME_REFUSED,
            message=f'There is no StorageClass "{trial.storage_class}"',
        )
    if trial.resize is None:
        return Done()
    return await _resize(trial.resize, observed, writer, dry_run=True)


async def resize_claims(step: ResizeClaims, observed: Observed, writer: Writer) -> Outcome:
    """Ask for the new size of each claim. Raises KubeError; claims before it have it then."""
    return await _resize(step, observed, writer, dry_run=False)


async def _is_missing(storage_class: str, writer: Writer) -> bool:
    """Whether there is no such class; who may not look believes the spec."""
    return await writer.outside.get(STORAGE_CLASSES, storage_class) is None


async def _resize(
    step: ResizeClaims, observed: Observed, writer: Writer, *, dry_run: bool
) -> Outcome:
    for name, uid in step.claims:
        patch = {
            "metadata": {"uid": uid},
            "spec": {"resources": {"requests": {"storage": step.size}}},
        }
        try:
            await writer.patch(CLAIMS, observed.namespace, name, patch, dry_run=dry_run)
        except NotFoundError:
            continue
        except StatusError as error:
            if not is_final(error):
                raise
            return Rejected(reason=Reason.VOLUME_REFUSED, message=error.message)
    return Done()
