"""What must hold of a restore in place in every world, whoever fails.

1. Members of two epochs never run at the same time, and no pod writes to a volume that members run
   on (`epoch_model`).
2. Members are stopped for other data only when these are ready: that is recorded, and nobody writes
   to them any more.
3. Data that members have run on are deleted only by the word, and only while all members serve
   others; what is current, or about to be, never.
4. The number of an epoch is never given twice.
"""

from typing import TYPE_CHECKING

from api.v1alpha1.restore_request import FAILED
from controllers.cluster.epochs import is_switching
from controllers.cluster.observed import Observed
from controllers.cluster.plan.epoch_steps import DeleteEpoch, RecordEpochs, SwitchEpoch
from controllers.cluster.plan.steps import Plan
from tests.simulation.etcd_process import Broken

if TYPE_CHECKING:
    from tests.simulation.epoch_world import EpochWorld


def before_act(world: "EpochWorld", observed: Observed, plan: Plan) -> None:
    if plan.rule == "stop_members":
        _may_stop(world, observed)
    match plan.step:
        case DeleteEpoch(epoch=epoch):
            _may_go(world, observed, epoch)
        case SwitchEpoch(next_epoch=coming, former=former):
            if coming.epoch == former.epoch:
                raise Broken(f"epoch {coming.epoch} is set aside for itself")
        case RecordEpochs(next_epoch=coming) if coming and coming.epoch != observed.epoch:
            known = observed.status.next_epoch
            is_new = known is None or known.epoch != coming.epoch
            aside = {one.epoch for one in observed.status.set_aside}
            if is_new and coming.epoch in world.kubernetes.epochs.keys() - aside:
                raise Broken(f"the number {coming.epoch} is given twice")
        case _:
            pass


def _may_stop(world: "EpochWorld", observed: Observed) -> None:
    coming = observed.status.next_epoch
    if coming is None or not is_switching(observed.status):
        raise Broken("members are stopped for other data, and that is not recorded")
    epoch, writer = world.kubernetes.epochs[coming.epoch], world.kubernetes.restoring
    if writer is not None and writer.epoch == coming.epoch:
        raise Broken(f"members are stopped while a pod writes to epoch {coming.epoch}")
    if not any(claim.log for claim in epoch.claims.values()):
        raise Broken(f"members are stopped for epoch {coming.epoch}, which has no data")


def _may_go(world: "EpochWorld", observed: Observed, epoch: int) -> None:
    coming, answer = observed.status.next_epoch, observed.status.restore
    if epoch == observed.epoch:
        raise Broken(f"the data of epoch {epoch} are to go, which is the current one")
    if not world.kubernetes.epochs[epoch].began:
        if coming is None or answer is None or answer.phase != FAILED:
            raise Broken(f"what is prepared as epoch {epoch} is to go, and has not failed")
        return
    if world.old_data != "Discard":
        raise Broken(f"the data of epoch {epoch} are to go, and nobody said so")
    if coming is not None and coming.epoch == epoch:
        raise Broken(f"the data of epoch {epoch} are to go, which are to be put back")
    etcd, size = world.etcd, observed.applied.size if observed.applied else 0
    if size and len(etcd.healthy_voters()) < size:
        raise Broken(f"the data of epoch {epoch} are to go while not all members serve")
