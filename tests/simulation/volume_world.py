"""A world whose user edits its volumes, with what must hold of such edits and at their end.

1. An edit that the volumes can't follow is not accepted, nor one of a class that does not exist.
2. One that moves healthy members is not accepted outside of the maintenance windows.
3. The StatefulSet is not missing for longer than its way back takes.
At the end the claims and the StatefulSet's templates are as the accepted spec says, as far as its
policy lets them, or the edit is refused and says why.
"""

from typing_extensions import override

from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec, Storage
from api.v1alpha1.maintenance import MaintenanceWindow
from api.volume_claims import claim_class, claim_size
from controllers.cluster.plan.steps import Plan, Wait
from tests.simulation.etcd_process import Broken
from tests.simulation.kubernetes_model import Claim
from tests.simulation.operator_model import NOWHERE, CutOff
from tests.simulation.release import KEY, is_going
from tests.simulation.storage_model import MISSING, STANDARD
from tests.simulation.world import World

# It never opens in a simulated year.
CLOSED = (MaintenanceWindow(schedule="0 0 31 12 *", duration="1m"),)
_SMALL = 20480
# An edit of the spec and a change of the membership may be recorded first.
_LONGEST_WITHOUT = 6


class VolumeWorld(World):
    """`missing`: for how many reconciles in turn there was no StatefulSet."""

    missing: int = 0

    def edit_storage(self, **fields: object) -> None:
        self.edit(storage=self.spec.storage.model_copy(update=fields))

    def take_back(self) -> None:
        """The user gives up on an edit of the volumes: what is in force is what is wanted."""
        accepted = self._accepted()
        if accepted is not None:
            policy = {"migration_policy": self.spec.storage.migration_policy}
            self.edit(storage=accepted.storage.model_copy(update=policy))

    def evict(self, ordinal: int) -> None:
        """A pod is deleted, as when a node is drained: it ends when kubelet comes to it."""
        pod = self.kubernetes.pods.get(ordinal)
        if pod is not None:
            pod.terminating = True

    def fill(self, db_size: int) -> bool:
        """Clients write until the data has this size: not more than the volumes hold."""
        held = [claim.volume.capacity for claim in self.kubernetes.claims.values()]
        accepted = self._accepted()
        if accepted is None or min([claim_size(accepted.storage).whole, *held]) < db_size:
            return False
        self.etcd.db_size = db_size
        return True

    def _accepted(self) -> ClusterSpec | None:
        recorded = self.status.applied_spec
        return None if recorded is None else ClusterSpec.model_validate(recorded)

    # ------------------------------------------------------------------ at every step
    @override
    def reconcile(self, cut: CutOff = NOWHERE, *, stale: bool = False) -> Plan:
        before = self.status.applied_spec
        plan = super().reconcile(cut, stale=stale)
        after = self._accepted() if self.status.applied_spec is not before else None
        if before is not None and after is not None:
            self._may_be_accepted(ClusterSpec.model_validate(before).storage, after)
        if cut == NOWHERE and not stale:
            self._is_not_missing_for_long()
        return plan

    def _may_be_accepted(self, before: Storage, spec: ClusterSpec) -> None:
        storage = self.kubernetes.storage
        named, last = claim_class(spec.storage), claim_class(before)
        known = not storage.tells_classes or named in {None, last, *storage.expandable}
        if not known:
            raise Broken(f"accepted is a class that does not exist: {named}")
        if (named, claim_size(spec.storage)) == (last, claim_size(before)):
            return
        moving = [claim for claim in self._claims() if not _can_follow(claim, spec.storage)]
        if moving and spec.storage.migration_policy != "Replace":
            raise Broken("accepted is what the volumes can't follow, and nobody wants them moved")
        well = all(pod.process is not None for pod in self.kubernetes.pods.values())
        if moving and well and spec.maintenance_windows and spec.size:
            raise Broken("accepted is what moves members, and no window is open")

    def _claims(self) -> list[Claim]:
        members = {entry.ordinal for entry in self.etcd.entries.values()}
        claims = self.kubernetes.claims.items()
        return [c for n, c in claims if n in members and not c.terminating and not c.lost]

    def _is_not_missing_for_long(self) -> None:
        """Without it a pod that ends does not come back; old pods that end are waited for."""
        theirs = any(pod.owner is not None for pod in self.kubernetes.pods.values())
        here = KEY in self.kubernetes.live or theirs or not self.status.cluster_id
        self.missing = 0 if here else self.missing + 1
        if self.missing > _LONGEST_WITHOUT:
            raise Broken(f"there was no StatefulSet for {self.missing} reconciles")

    # ------------------------------------------------------------------ the end of all faults
    @override
    def heal(self) -> None:
        """The storage gives what it is asked for, and the data is compacted; windows are open."""
        storage = self.kubernetes.storage
        storage.growth_s, storage.full, storage.tells_classes = 0.0, False, True
        self.etcd.db_size = _SMALL
        accepted = self._accepted()
        if accepted is not None:
            self._correct_class(accepted)
        self.edit(maintenance_windows=())
        super().heal()

    def _correct_class(self, accepted: ClusterSpec) -> None:
        """Nobody but the user can mend a class that does not exist, and was accepted."""
        if claim_class(accepted.storage) in {None, *self.kubernetes.storage.expandable}:
            return
        wanted = {"storage_class_name": STANDARD, "migration_policy": "Replace"}
        storage = accepted.storage.model_copy(update=wanted)
        self.edit(storage=storage, size=max(3, accepted.size))

    @override
    def _person_helps(self, plan: Plan) -> None:
        super()._person_helps(plan)
        if plan.rule == "wait_to_migrate" and self.spec.size < 3:
            accepted = self._accepted()
            assert accepted is not None
            self.edit(size=3, storage=accepted.storage)

    @override
    def is_settled(self, plan: Plan) -> bool:
        if not self._is_as_accepted():
            return False
        if _is_refused(plan) and not self._has_ground():
            return False  # what the server refused a moment ago is tried again
        return self._keeps_sleeping(plan) or _is_refused(plan) or super().is_settled(plan)

    def _has_ground(self) -> bool:
        """Whether anything is against the edit, now that no fault is."""
        accepted, storage = self._accepted(), self.spec.storage
        assert accepted is not None
        named, last = claim_class(storage), claim_class(accepted.storage)
        if named != last and named not in self.kubernetes.storage.expandable:
            return True
        moving = [claim for claim in self._claims() if not _can_follow(claim, storage)]
        if moving and (storage.migration_policy == "Refuse" or self.spec.size < 3):
            return True
        size = claim_size(storage).whole
        rest = (c.volume for c in self._claims() if c.volume.capacity and c not in moving)
        return any(self.kubernetes.storage.refusal(v, size) for v in rest if v.size != size)

    def _keeps_sleeping(self, plan: Plan) -> bool:
        """It is not woken up by an edit that is refused."""
        return plan.rule == "sleep" and not self.kubernetes.pods

    def _is_as_accepted(self) -> bool:
        """The StatefulSet is there and owns its pods, and both they and the claims are right."""
        accepted, made = self._accepted(), self.kubernetes.live.get(KEY)
        if accepted is None or made is None or is_going(made):
            return False
        storage, pods = accepted.storage, self.kubernetes.pods
        if any(pod.owner != made["metadata"]["uid"] for pod in pods.values()):
            return False
        members = set(range(accepted.size))
        if accepted.size and not members == set(pods) == set(self.kubernetes.claims):
            return False
        template = self.kubernetes.storage.claimed(made["spec"]["volumeClaimTemplates"][0])
        named = claim_class(storage)
        if (template.size, named or template.storage_class) != (
            claim_size(storage).whole,
            template.storage_class,
        ):
            return False
        asleep = not accepted.size
        return all(self._is_right(c, storage, asleep=asleep) for c in self._claims())

    def _is_right(self, claim: Claim, storage: Storage, *, asleep: bool) -> bool:
        if not _can_follow(claim, storage):
            return storage.migration_policy == "Refuse" or asleep
        is_asked = claim.volume.size == claim_size(storage).whole
        return asleep or (is_asked and not claim.volume.grows)


def _can_follow(claim: Claim, storage: Storage) -> bool:
    """Whether the volume itself, if there is one, can become what the spec says."""
    if not claim.volume.capacity:
        return True
    named, size = claim_class(storage), claim_size(storage).whole
    if named and claim.volume.storage_class != named:
        return False
    return claim.volume.size <= size or claim.volume.capacity <= size


def _is_refused(plan: Plan) -> bool:
    return (
        plan.rule in {"refuse_edit", "refuse_edit_asleep"}
        and isinstance(plan.step, Wait)
        and plan.step.reason is Reason.VOLUME_REFUSED
        and bool(plan.step.message)
    )


__all__ = ["CLOSED", "MISSING", "VolumeWorld"]
