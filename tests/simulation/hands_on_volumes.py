"""What the operator does to volumes: the part of the hands that `act_volumes` is of `act`."""

from collections.abc import Iterator

from api.quantity import parse_quantity
from api.reasons import Reason
from controllers.cluster.outcome import Done, Outcome, Rejected
from controllers.cluster.plan.volume_steps import ResizeClaims, VolumeTrial
from tests.simulation.kubernetes_model import KubernetesModel
from tests.simulation.storage_model import Volume


def try_volumes(kubernetes: KubernetesModel, trial: VolumeTrial) -> Outcome:
    """Whether the class exists, and the server would take the new size."""
    storage, named = kubernetes.storage, trial.storage_class
    if named and storage.tells_classes and named not in storage.expandable:
        return _refused(f'There is no StorageClass "{named}"')
    if trial.resize is None:
        return Done()
    size = parse_quantity(trial.resize.size).whole
    words = (storage.refusal(volume, size) for volume in _volumes(kubernetes, trial.resize))
    said = next(filter(None, words), "")
    return _refused(said) if said else Done()


def resize(kubernetes: KubernetesModel, step: ResizeClaims, parts: int | None) -> Rejected | None:
    """Ask for each in turn, until one is refused."""
    size = parse_quantity(step.size).whole
    for volume in list(_volumes(kubernetes, step))[:parts]:
        words = kubernetes.storage.refusal(volume, size)
        if words:
            return _refused(words)
        kubernetes.storage.ask(volume, size, kubernetes.now)
    return None


def _volumes(kubernetes: KubernetesModel, step: ResizeClaims) -> Iterator[Volume]:
    """Those of the claims that still are who they were."""
    for name, uid in step.claims:
        claim = kubernetes.claims.get(int(name.rpartition("-")[2]))
        if claim is not None and claim.uid == uid:
            yield claim.volume


def _refused(words: str) -> Rejected:
    return Rejected(reason=Reason.VOLUME_REFUSED, message=words)
