"""What a plan can ask for when a cluster's data begin anew, or go back to what they were.

Pure data, like `steps`, where these belong to `Action`.
"""

from dataclasses import dataclass

from typing_extensions import override

from api.v1alpha1.cluster_status import OtherEpoch, Rendering
from api.v1alpha1.restore_request import RestoreAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEpochs:
    """Record what was asked for, how far that is, and which epochs of data there are beside the
    current one.
    """

    answer: RestoreAnswer | None
    next_epoch: OtherEpoch | None
    set_aside: tuple[OtherEpoch, ...]
    last_epoch: int | None
    why: str

    @override
    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchEpoch:
    """Record the next epoch as the current one, if no pod of the cluster is there any more.

    `former`: the current one, as it is set aside.
    """

    next_epoch: OtherEpoch
    former: OtherEpoch
    rendered: Rendering

    @override
    def __str__(self) -> str:
        former, begins = self.former.epoch, self.next_epoch.epoch
        return f"Set the data of epoch {former} aside, go on with epoch {begins}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteEpoch:
    """Delete the volume claims of an epoch that is not the current one."""

    epoch: int
    claims: tuple[tuple[str, str], ...]  # (name, uid)
    why: str

    @override
    def __str__(self) -> str:
        names = ", ".join(name for name, _ in self.claims)
        return f"Delete volume claims {names} of epoch {self.epoch}: {self.why}"


EpochStep = RecordEpochs | SwitchEpoch | DeleteEpoch
