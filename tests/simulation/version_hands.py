"""What the operator asks of etcd when versions change, and what comes of it."""

from api.v1alpha1.cluster_status import DataHash
from controllers.cluster.outcome import Done, Hashed, NotYet, Outcome
from controllers.cluster.plan.steps import NudgeLearner
from controllers.cluster.plan.version_steps import (
    AdvanceLog,
    CancelDowngrade,
    CompareHashes,
    EnableDowngrade,
)
from etcd.versions import reports_storage_version
from tests.simulation.etcd_model import EtcdModel
from tests.simulation.etcd_process import Refused

VersionStep = AdvanceLog | CancelDowngrade | CompareHashes | EnableDowngrade | NudgeLearner
# Of one step, as in controllers/cluster/act_version.py; a part of it where it is cut off.
_ENTRIES = 2000
_PART = 500


def act_on_version(step: VersionStep, etcd: EtcdModel, parts: int | None) -> Outcome:
    try:
        match step:
            case CompareHashes():
                return _compare(etcd)
            case NudgeLearner():
                etcd.advance_log(1)
                return NotYet(message="it has not answered yet")
            case AdvanceLog(missing=missing):
                most = _ENTRIES if parts is None else parts * _PART
                etcd.advance_log(min(missing, most))
            case EnableDowngrade(target=target):
                etcd.enable_downgrade(int(target.rpartition(".")[2]))
            case CancelDowngrade():
                return _cancel(etcd)
    except Refused as error:
        return NotYet(message=f"etcd answers: {error}") if error.now else Done()
    return Done()


def _compare(etcd: EtcdModel) -> Outcome:
    if etcd.compacting or len(etcd.healthy_voters()) < len(etcd.voters()):
        return NotYet(message="members are compacting just now; asking for their hashes again")
    return Hashed(hash=DataHash(revision=etcd.acked + 1, compact_revision=1, hash=42))


def _cancel(etcd: EtcdModel) -> Outcome:
    """A leader of 3.5 does it and does not answer."""
    leader = etcd.cancel_downgrade()
    if reports_storage_version(leader.version):
        return Done()
    return NotYet(message="etcd answers: request timed out")
