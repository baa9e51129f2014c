"""A cluster that is restored in place, as far as its data go: which are where, who serves which.

The planner and what status records are the operator's own; claims, pods, the pod that restores and
etcd's list of members are modelled.  What must never happen is looked at with each step.
"""

import copy
import dataclasses
import itertools

from api.labels import data_volume_name, volume_claim_name
from api.v1alpha1.restore_request import RestoreRequest
from api.v1alpha1.restore_source import RestoreSource, StoreSource
from controllers.cluster.observed import Etcd, Observed, RestorePod
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.epoch_steps import DeleteEpoch, SwitchEpoch
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    MakeRestorePod,
    MakeSeedClaim,
)
from controllers.cluster.plan.steps import (
    AddLearner,
    AnnotateClaims,
    ApplyObjects,
    DeletePod,
    DeleteStatefulSet,
    Plan,
    PromoteLearner,
)
from controllers.cluster.pods import of_epoch
from controllers.cluster.render import identity
from controllers.cluster.render.normal import stamped
from controllers.cluster.status import next_status
from controllers.restore.order import Restored
from controllers.restore_source import Resolved
from etcd.cluster import Member
from etcd.ids import ClusterID, MemberID, member_id_hex
from tests.unit.controllers.cluster.builders import (
    CLUSTER_ID,
    NOW,
    REVISION,
    UID,
    claim,
    observed,
    pod,
    status_of,
)

STATEFUL_SET = ("StatefulSet", "db")
STORE = StoreSource.model_validate(
    {
        "storageType": "Local",
        "local": {"claimName": "backups"},
        "path": "00000000deadbeef-1/nightly-0a1b2c3d",
    }
)
FOUND = Resolved(store=STORE)
REQUEST = RestoreRequest(
    restore="again",
    uid="restore-uid",
    attempt="first",
    source=RestoreSource.model_validate({"backupName": "nightly"}),
    asked_at=NOW,
)
BEFORE, FROM_BACKUP = "what it had before", "what was in the backup"


def answer(*, auth=False):
    """What the pod that restores says when the data are in their place."""
    return Restored.model_validate(
        {
            "token": f"{UID}-2",
            "folder": STORE.path,
            "sourceClusterID": "deadbeef",
            "sourceEpoch": 1,
            "sourceNamespace": "prod",
            "sourceName": "db",
            "etcdVersion": "3.5.21",
            "startedAt": "2026-01-01T00:00:00Z",
            "completedAt": "2026-01-01T00:01:00Z",
            "revision": 42,
            "compactRevision": 7,
            "databaseSize": 20480,
            "backupSize": 4096,
            "restoredRevision": 42,
            "restoredCompactRevision": 7,
            "restoredSize": 20480,
            "authEnabled": auth,
        }
    )


def running(size=3, **changes) -> Observed:
    """A healthy cluster whose operator knows its image."""
    return observed(size, **{"image": "operator:1", **changes})


def asked(seen=None, **request) -> Observed:
    """The same with the request on it, and its backup found."""
    wanted = REQUEST.model_copy(update=request)
    return dataclasses.replace(seen or running(), restore_request=wanted, requested_source=FOUND)


class World:
    """One cluster, whoever acts on it. `seen` is what the operator sees now."""

    def __init__(self, size=3, **changes):
        self.seen = running(size, **changes)
        self.status = self.seen.status
        self.claims = {one.name: one for one in self.seen.claims}
        self.data = {one.uid: BEFORE for one in self.seen.claims}  # by the claim's uid
        self.live = dict(self.seen.live)
        self.mounts = {f"db-{n}": volume_claim_name("db", n, 1) for n in range(size)}  # by pod
        self.ending = set()  # pods
        self.restoring = None
        self.voters = {1: list(range(size))}  # of each epoch, as etcd lists them
        self.learners = {1: []}
        self.lost = set()  # pods that do not serve
        self.rules = []
        self._uids = itertools.count(1)
        self._look()

    # ------------------------------------------------------------------ the user
    def ask(self, **request):
        self.seen = asked(self.seen, **request)

    def say(self, old_data):
        self.seen = dataclasses.replace(self.seen, old_data_asked=old_data)

    # ------------------------------------------------------------------ the operator
    def reconcile(self, *, dies=False) -> Plan:
        """One look and one step. `dies`: before what it did is recorded."""
        self._look()
        made = plan(self.seen)
        self._act(made.step)
        if not dies:
            self.status = next_status(self.seen, made, Done())
            self.rules.append(made.rule)
        self._look()
        return made

    def everybody_works(self):
        for name in list(self.ending):
            self._end(name)
        self.claims = {name: one for name, one in self.claims.items() if not one.terminating}
        self._make_pods()
        if self.restoring and self.restoring.terminating:
            self.restoring = None
        elif self.restoring and not self.restoring.restored:
            self.data[self.restoring.claim] = FROM_BACKUP
            self.restoring = dataclasses.replace(self.restoring, restored=answer())
        self._look()

    def goes_on_until(self, condition, *, dies_at=(), most=200):
        """Steps of everybody, one after the other; how many reconciles there were. `dies_at`: in
        which of them the operator does not come to record what it did.
        """
        for n in range(most):
            if condition():
                return n
            self.reconcile(dies=n in dies_at)
            self.everybody_works()
        raise AssertionError(f"not within {most} steps: {self.rules[-20:]}: {plan(self.seen)}")

    def phase_is(self, phase):
        return lambda: self.status.restore is not None and self.status.restore.phase == phase

    # ------------------------------------------------------------------ what there is
    def served(self):
        """Which data running members have."""
        return {self.data.get(self.claims[name].uid, "") for name in self.mounts.values()}

    def serving(self):
        """The epochs of which a pod runs."""
        return {self.claims[name].epoch for name in self.mounts.values()}

    def kept(self):
        """The claims that hold what was there before."""
        ours = self.claims.values()
        return sorted(one.name for one in ours if self.data.get(one.uid) == BEFORE)

    # ------------------------------------------------------------------ the model
    def _act(self, step):
        match step:
            case ApplyObjects(objects=objects):
                for desired in objects:
                    self._store(desired)
            case DeleteStatefulSet():
                self.live.pop(STATEFUL_SET, None)
                self.ending |= set(self.mounts)
            case DeletePod(name=name):
                self.ending.add(name)
            case SwitchEpoch():
                assert not self.mounts, "members of two epochs"
                assert STATEFUL_SET not in self.live
            case AddLearner(name=name):
                self._add(int(name.rpartition("-")[2]))
            case PromoteLearner(name=name):
                self._promote(int(name.rpartition("-")[2]))
            case MakeRestorePod() | DeleteRestorePod():
                self._act_on_restore_pod(step)
            case _:
                self._act_on_claims(step)

    def _act_on_claims(self, step):
        match step:
            case MakeSeedClaim(epoch=epoch, claim=body):
                assert body["metadata"]["name"] not in self.claims
                self._make_claim(0, epoch)
            case DeleteEpoch(epoch=epoch, claims=claims):
                assert epoch != self.seen.epoch
                for name, uid in claims:
                    one = self.claims[name]
                    assert (one.uid, one.epoch) == (uid, epoch)
                    self.claims[name] = dataclasses.replace(one, terminating=True)
            case AnnotateClaims(claims=claims, record=record):
                for name, _ in claims:
                    self.claims[name] = dataclasses.replace(self.claims[name], membership=record)

    def _act_on_restore_pod(self, step):
        match step:
            case MakeRestorePod(epoch=epoch, claim=(name, uid)):
                assert self.restoring is None
                assert self.claims[name].uid == uid
                assert name not in self.mounts.values(), "two write to one volume"
                self.restoring = RestorePod(
                    name=f"db-{epoch}-restore", uid=self._uid(), epoch=epoch, claim=uid
                )
            case DeleteRestorePod(uid=uid):
                if self.restoring and self.restoring.uid == uid:
                    self.restoring = dataclasses.replace(self.restoring, terminating=True)

    def _add(self, ordinal):
        learners = self.learners[self.seen.epoch]
        if ordinal not in learners:
            learners.append(ordinal)

    def _promote(self, ordinal):
        epoch = self.seen.epoch
        if ordinal in self.learners[epoch]:
            self.learners[epoch].remove(ordinal)
            self.voters[epoch].append(ordinal)

    def _store(self, desired):
        key = desired["kind"], desired["metadata"]["name"]
        body = copy.deepcopy(stamped(desired))
        uid = self.live[key]["metadata"]["uid"] if key in self.live else self._uid()
        stored = {**body, "metadata": {**body["metadata"], "uid": uid, "generation": 1}}
        if key == STATEFUL_SET:
            stored["status"] = {"observedGeneration": 1, "updateRevision": REVISION}
        self.live[key] = stored

    def _make_pods(self):
        made = self.live.get(STATEFUL_SET)
        if made is None:
            return
        (template,) = made["spec"]["volumeClaimTemplates"]
        for ordinal in range(made["spec"]["replicas"]):
            name = f"{template['metadata']['name']}-db-{ordinal}"
            if name not in self.claims:
                epoch = next(n for n in range(1, 99) if name.startswith(f"{data_volume_name(n)}-d"))
                self._make_claim(ordinal, epoch)
            if f"db-{ordinal}" not in self.mounts:
                self._start(ordinal, name)

    def _start(self, ordinal, claim_name):
        one = self.claims[claim_name]
        assert self.restoring is None or self.restoring.claim != one.uid, "two write to one volume"
        self.mounts[f"db-{ordinal}"] = claim_name
        assert len(self.serving()) == 1, "members of two epochs"
        if one.epoch not in self.voters:
            assert self.data[one.uid] == FROM_BACKUP, "a member without data"
            self.voters[one.epoch], self.learners[one.epoch] = [ordinal], []
        # Who joins gets from the others what they have.
        (seed,) = {self.data[self.claims[volume_claim_name("db", 0, one.epoch)].uid]}
        self.data.setdefault(one.uid, seed)

    def _end(self, name):
        self.ending.discard(name)
        self.mounts.pop(name, None)

    def _make_claim(self, ordinal, epoch):
        made = claim(ordinal, epoch=epoch, uid=self._uid())
        self.claims[made.name] = made

    def _uid(self):
        return f"made-{next(self._uids)}"

    # ------------------------------------------------------------------ the operator's eyes
    def _look(self):
        epoch = self.status.bootstrap.epoch
        ordered = sorted(self.claims.values(), key=lambda one: (one.epoch, one.ordinal))
        claims, other_claims = of_epoch(tuple(ordered), epoch)
        self.seen = dataclasses.replace(
            self.seen,
            status=self.status,
            claims=claims,
            other_claims=other_claims,
            live=dict(self.live),
            restore_pods=(self.restoring,) if self.restoring else (),
            pods=self._pods(epoch),
            etcd=self._etcd(epoch),
        )

    def _pods(self, epoch):
        def seen(name):
            n = int(name.rpartition("-")[2])
            well = name not in self.lost
            return pod(
                n,
                terminating=name in self.ending,
                closed_for=member_id_hex(_id(epoch, n)),
                running=well,
                ready=well,
            )

        return tuple(seen(name) for name in sorted(self.mounts))

    def _etcd(self, epoch):
        """What the members say that run on the current epoch's data."""
        names = [n for n, c in self.mounts.items() if self.claims[c].epoch == epoch]
        up = {int(name.rpartition("-")[2]) for name in names if name not in self.lost}
        voters, learners = self.voters.get(epoch, []), self.learners.get(epoch, [])
        who = identity(self.seen, self.status.bootstrap)
        if len(up & set(voters)) * 2 <= len(voters) or not voters:
            return Etcd(error="no member knows a leader")
        return Etcd(
            cluster_id=ClusterID(CLUSTER_ID + epoch - 1),
            members=tuple(
                Member(
                    id=_id(epoch, n),
                    name=f"db-{n}" if n in up or n in voters else "",
                    peer_urls=(who.peer_url(n),),
                    client_urls=(who.client_url(n),) if n in up or n in voters else (),
                    is_learner=n in learners,
                )
                for n in sorted((*voters, *learners))
            ),
            statuses={
                f"db-{n}": status_of(
                    n,
                    member_id=_id(epoch, n),
                    cluster_id=ClusterID(CLUSTER_ID + epoch - 1),
                    leader=_id(epoch, min(up & set(voters))),
                    is_learner=n in learners,
                )
                for n in sorted(up & {*voters, *learners})
            },
        )


def _id(epoch, ordinal):
    return MemberID(0xA0 + ordinal + 0x100 * (epoch - 1))
