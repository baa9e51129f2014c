"""What goes wrong in a world: pods, processes, volumes, data and nodes.

Each fault is possible in reality, and none makes recovery impossible: a majority of the voters
keeps its data, and nobody empties a directory in the minute in which a closed file has not yet
reached the node (docs/adr/0007-closed-files.md).  A fault that would is not done: it returns False.
"""

import math

from tests.simulation.etcd_model import EtcdModel
from tests.simulation.etcd_process import CORRUPT_WAL, Ending, Entry, quorum
from tests.simulation.kubernetes_model import Claim, KubernetesModel, foreign_log, is_open


class Faults:
    """The part of a world that breaks."""

    etcd: EtcdModel
    kubernetes: KubernetesModel
    seen: set[int]  # IDs of voters that the operator has seen since they started

    def kill_pod(self, ordinal: int) -> None:
        self.kubernetes.end_pod(ordinal)

    def crash(self, ordinal: int) -> None:
        self.kubernetes.crash(ordinal, Ending(137, "killed"))

    def fail_probe(self, ordinal: int) -> None:
        """This process serves, and kubelet never finds its pod ready: only another pod helps."""
        process = self.kubernetes.pods[ordinal].process
        assert process is not None
        process.looked_at = math.inf

    def empty_volume(self, ordinal: int) -> bool:
        claim = self._loses(ordinal, empty=True)
        if claim is None:
            return False
        self.crash(ordinal)
        claim.log = None
        claim.ids.clear()
        return True

    def delete_claim(self, ordinal: int, *, and_pod: bool) -> bool:
        claim = self._loses(ordinal, empty=True)
        if claim is None:
            return False
        claim.terminating = True
        if and_pod:
            self.kill_pod(ordinal)
            self.kubernetes.end_claims()
        return True

    def lose_volume(self, ordinal: int) -> bool:
        claim = self._loses(ordinal)
        if claim is None:
            return False
        self.kill_pod(ordinal)
        claim.lost, claim.log = True, None
        return True

    def corrupt(self, ordinal: int, *, noticed: bool) -> bool:
        """A member's data goes bad: etcd raises an alarm, or its process ends and says why."""
        claim = self._loses(ordinal)
        if claim is None or claim.log is None or self.etcd.at(ordinal) is None:
            return False
        claim.log.corrupt = True
        if noticed:
            self.etcd.alarms.add(claim.log.id)
        else:
            self.kubernetes.crash(ordinal, CORRUPT_WAL)
        return True

    def swap_data(self, ordinal: int) -> bool:
        """A volume of another cluster lies where a member's should."""
        claim = self._loses(ordinal)
        if claim is None:
            return False
        self.crash(ordinal)
        claim.log = foreign_log(ordinal)
        return True

    def lose_node(self, ordinal: int) -> bool:
        claim = self._loses(ordinal)
        if claim is None or not claim.node:
            return False
        self.kubernetes.lose(claim.node)
        return True

    def silence_node(self, ordinal: int) -> bool:
        claim = self.kubernetes.claims.get(ordinal)
        entry = self.etcd.at(ordinal)
        if claim is None or not claim.node or claim.node in self.kubernetes.gone:
            return False
        # Whoever stays away for long is replaced: to the operator that is a loss like any other.
        if entry is not None and not entry.learner and not self.bears(entry):
            return False
        self.kubernetes.silence(claim.node)
        return True

    def _loses(self, ordinal: int, *, empty: bool = False) -> Claim | None:
        """The claim, when its data may go: the other voters' is enough.

        `empty`: its member finds an empty directory then, which nobody does within the window.
        """
        claim, entry = self.kubernetes.claims.get(ordinal), self.etcd.at(ordinal)
        if claim is None or claim.log is None:
            return None
        if entry is None or entry.learner:
            return claim
        if entry.id != claim.log.id or not self.bears(entry):
            return None
        return None if empty and self._is_in_window(entry) else claim

    def bears(self, entry: Entry, *, removed: bool = False) -> bool:
        """Whether the voters can do without the data of this one."""
        intact = [v for v in self.etcd.voters() if v is not entry and self._is_intact(v)]
        return len(intact) >= quorum(len(self.etcd.voters()) - removed)

    def _is_intact(self, entry: Entry) -> bool:
        claim = self.kubernetes.claims.get(entry.ordinal)
        if claim is None or claim.log is None or claim.log.id != entry.id:
            return False
        nodes = self.kubernetes.gone | set(self.kubernetes.silent)
        bad = claim.lost or claim.terminating or claim.log.corrupt or claim.node in nodes
        return not bad and entry.id not in self.etcd.alarms

    def _is_in_window(self, entry: Entry) -> bool:
        """Whether an open file may still reach it that the operator closes, or has just closed."""
        kubernetes = self.kubernetes
        if is_open(kubernetes.files(), entry.ordinal):
            return entry.id not in self.seen
        pod = kubernetes.pods.get(entry.ordinal)
        copies = [kubernetes.old_files(), pod.files if pod else {}]
        return any(is_open(copy, entry.ordinal) for copy in copies)
