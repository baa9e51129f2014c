"""A cluster comes to life whatever is cut off, killed, deleted or emptied on the way.

Invariants, checked after every step:
1. one bootstrap: the token, once recorded, never changes, and etcd never sees a second one;
2. no file of a formed cluster says `new`; the file of a member that has started names only itself;
3. a member that lost its data never votes again (the world itself asserts it);
4. claims go only when the cluster is deleted by policy.
And when the faults end, every cluster that did not lose data becomes whole.
"""

import pytest
import yaml
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec

ORDINALS = st.integers(0, 4)


class Bootstrap(RuleBasedStateMachine):
    """Faults in any order between the operator's steps."""

    @initialize(size=st.sampled_from([1, 3, 5]), policy=st.sampled_from(["Retain", "Delete"]))
    def begin(self, size, policy):
        self.size = size
        self.world = World(spec(size=size, storage={"deletionPolicy": policy}))
        self.tokens = set()
        self.old_files = {}

    @rule(before_act=st.booleans(), before_status=st.booleans())
    def operator_is_cut_off(self, before_act, before_status):
        if not self.world.gone:
            self.world.reconcile(dies_before_act=before_act, dies_before_status=before_status)

    @rule()
    def operator_reconciles(self):
        self.operator_is_cut_off(before_act=False, before_status=False)

    @rule(stale=st.booleans())
    def kubernetes_works(self, stale):
        if not self.world.gone:
            self.world.make_pods(stale=self.old_files if stale else None)
            self.old_files = dict(self._files())

    @rule()
    def kubelet_syncs(self):
        self.world.refresh_files()

    @rule()
    def etcd_runs(self):
        self.world.start_processes()
        self.world.publish()

    @rule(ordinal=ORDINALS)
    def pod_is_killed(self, ordinal):
        self.world.kill_pod(ordinal)

    @rule(ordinal=ORDINALS)
    def process_crashes(self, ordinal):
        self.world.crash(ordinal)

    @rule(ordinal=ORDINALS)
    def volume_is_emptied(self, ordinal):
        # At most a minority: what a majority has lost nobody can vote for.
        if len(self.world.lost_data) < (self.size - 1) // 2 and self._is_guarded(ordinal):
            self.world.empty_volume(ordinal)

    @rule(kind=st.sampled_from(["Service", "ConfigMap", "PodDisruptionBudget", "StatefulSet"]))
    def object_is_deleted(self, kind):
        self.world.delete_object(kind)

    @precondition(lambda self: self.world.status.bootstrap is not None)
    @rule()
    def cluster_is_deleted(self):
        self.world.deleted = True

    def _is_guarded(self, ordinal):
        """Whether no copy of its file is `existing` with all members.

        That is the file of a first member that joins late, from its start until the operator has
        recorded it: the one window that closing files leaves open (docs/adr/0007-closed-files.md).
        """
        texts = [
            text
            for copy in (self._files(), self.old_files)
            for name, text in copy.items()
            if name.startswith(f"db-{ordinal}-")
        ]
        files = [yaml.safe_load(text) for text in texts]
        return not any(
            file["initial-cluster-state"] == "existing" and file["initial-cluster"].count("=") > 1
            for file in files
        )

    def _files(self):
        return self.world.live.get(("ConfigMap", "db-config"), {"data": {}})["data"]

    @invariant()
    def token_is_recorded_once(self):
        bootstrap = self.world.status.bootstrap
        if bootstrap is not None:
            self.tokens.add(bootstrap.token)
        assert len(self.tokens) <= 1

    @invariant()
    def claims_go_only_by_policy(self):
        made = self.world.live.get(("StatefulSet", "db"))
        if made and self.world.pods and self.world.spec.storage.deletion_policy == "Retain":
            assert set(self.world.pods) <= set(self.world.volumes)

    @invariant()
    def finalizer_is_there_before_anything_is_made(self):
        if self.world.live and self.world.spec.storage.deletion_policy == "Delete":
            assert self.world.finalizers or self.world.gone

    def teardown(self):
        if not hasattr(self, "world"):
            return
        self._let_it_settle()
        world = self.world
        if world.deleted:
            keeps = world.spec.storage.deletion_policy == "Retain"
            assert world.gone or keeps
            assert keeps or not world.volumes
            return
        whole = set(range(self.size)) - world.lost_data
        assert {n for n, pod in world.pods.items() if pod.serves} == whole
        assert not set(world.lost_data) & {n for n, pod in world.pods.items() if pod.serves}
        self._check_files(whole)

    def _let_it_settle(self):
        for _ in range(40):
            self.operator_reconciles()
            self.kubernetes_works(stale=False)
            self.kubelet_syncs()
            self.etcd_runs()

    def _check_files(self, whole):
        assert self.world.status.bootstrap.closed or self.world.lost_data
        for name, text in self._files().items():
            file = yaml.safe_load(text)
            ordinal = int(file["name"].rpartition("-")[2])
            assert file["initial-cluster-state"] == "existing", name
            if ordinal in whole:
                assert file["initial-cluster"].count("=") == 1, name


Bootstrap.TestCase.settings = settings(stateful_step_count=30)
TestBootstrap = pytest.mark.timeout(180)(Bootstrap.TestCase)
