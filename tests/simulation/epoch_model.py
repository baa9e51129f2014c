"""Kubernetes with several epochs of a cluster's data, of each the claims and the etcd on them; and
the pod that makes a first member's data of a backup.

The members of one epoch run at a time: the one whose claims the StatefulSet's template names.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from api.labels import FIRST_EPOCH, ClaimPlace, claim_place
from tests.simulation.etcd_model import EtcdModel
from tests.simulation.etcd_process import FIRST_ID, Broken, Entry, Log
from tests.simulation.kubernetes_model import Claim, KubernetesModel
from tests.simulation.release import KEY

SEED = 0
# How many acknowledged entries a backup has.
_SAVED = 40


@dataclass(slots=True)
class Epoch:
    """One beginning of the cluster's data. `began`: members have run on it."""

    etcd: EtcdModel
    claims: dict[int, Claim] = field(default_factory=dict)
    began: bool = False


@dataclass(slots=True)
class RestorePod:
    """`works`: for so many rounds more. `came`: data, away (may pass) or vain."""

    uid: str
    epoch: int
    claim: str
    works: int = 2
    came: str = ""
    terminating: bool = False


@dataclass
class EpochKubernetes(KubernetesModel):
    """`mounted`: the epoch whose StatefulSet was made last. `backup`: what comes of the next pod
    that restores. `on_mount`: told of another epoch's etcd.
    """

    epochs: dict[int, Epoch] = field(default_factory=dict)
    mounted: int = FIRST_EPOCH
    restoring: RestorePod | None = None
    backup: str = "data"
    on_mount: Callable[[EtcdModel], None] = lambda _: None

    def __post_init__(self) -> None:
        self.epochs[FIRST_EPOCH] = Epoch(self.etcd, self.claims, began=True)

    def at(self, place: ClaimPlace | None) -> Claim | None:
        """The claim of that epoch and ordinal."""
        epoch = self.epochs.get(place.epoch) if place else None
        return epoch.claims.get(place.ordinal) if epoch and place else None

    @override
    def store(self, obj: dict[str, Any]) -> None:
        super().store(obj)
        if obj["kind"] != KEY[0]:
            return
        (template,) = obj["spec"]["volumeClaimTemplates"]
        place = claim_place("db", f"{template['metadata']['name']}-db-{SEED}")
        assert place is not None
        if place.epoch != self.mounted:
            self._mount(place.epoch)

    def _mount(self, number: int) -> None:
        if self.pods:
            raise Broken(f"members of epoch {number} beside those of epoch {self.mounted}")
        epoch = self.epochs.get(number)
        if epoch is None:
            raise Broken(f"members are to start on epoch {number}, which has no data")
        self.mounted, self.claims, self.etcd = number, epoch.claims, epoch.etcd
        epoch.began = True
        self.on_mount(epoch.etcd)

    @override
    def work(self, *, stale: bool = False) -> None:
        super().work(stale=stale)
        self._restore()

    @override
    def end_claims(self) -> None:
        super().end_claims()
        for number, epoch in self.epochs.items():
            for ordinal, claim in list(epoch.claims.items()):
                is_used = self.restoring is not None and self.restoring.claim == claim.uid
                if number != self.mounted and claim.terminating and not is_used:
                    del epoch.claims[ordinal]

    # ------------------------------------------------------------------ the first member's volume
    def make_seed(self, number: int, body: dict[str, Any]) -> None:
        epoch = self.epochs.setdefault(number, Epoch(EtcdModel(now=self.now)))
        if SEED not in epoch.claims:
            volume = self.storage.claimed(body)
            epoch.claims[SEED] = Claim(uid=self.uid(), owner=self.owner, volume=volume)

    def make_restore_pod(self, number: int, claim: str) -> None:
        if self.restoring is not None:
            return
        if number == self.mounted:
            raise Broken(f"a pod is to write to a volume of epoch {number}, which members run on")
        self.restoring = RestorePod(self.uid(), number, claim)

    def _restore(self) -> None:
        pod = self.restoring
        if pod is None:
            return
        if pod.terminating:
            self.restoring = None
            return
        pod.works -= 1
        if pod.works <= 0 and not pod.came:
            pod.came = self.backup
            if pod.came == "data":
                self._fill(pod)

    def _fill(self, pod: RestorePod) -> None:
        """As `etcdutl snapshot restore` does it: one voter, with a log of what was saved."""
        epoch = self.epochs[pod.epoch]
        claim = epoch.claims.get(SEED)
        if claim is None or claim.uid != pod.claim:
            return
        if pod.epoch == self.mounted:
            raise Broken(f"the volume of epoch {pod.epoch} is filled while members run on it")
        claim.log = Log(FIRST_ID, index=_SAVED)
        claim.ids = {FIRST_ID}
        epoch.etcd = dataclasses.replace(
            EtcdModel(now=self.now),
            entries={FIRST_ID: Entry(FIRST_ID, SEED)},
            history=[(0, frozenset({FIRST_ID}))],
            had_data={FIRST_ID},
            acked=_SAVED,
            token=f"restored-{pod.epoch}",
        )
