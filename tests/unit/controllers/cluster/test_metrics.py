"""What Prometheus is told of each cluster, and of changes of membership over all of them."""

import dataclasses
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from api.v1alpha1.cluster_status import JoiningMember, WithdrawnMember
from controllers.cluster.metrics import ClusterMetrics
from controllers.cluster.observed import Etcd
from controllers.cluster.plan import plan
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import (
    NOW,
    accepted,
    etcd,
    member_id,
    observed,
    spec,
    status_of,
)

CLUSTER = {"namespace": "prod", "name": "db"}
SILENT = Etcd(error="no member answers")


class Scrape:
    """Metrics that are fed with observations, and asked as Prometheus does."""

    def __init__(self) -> None:
        self.metrics = ClusterMetrics()
        self.registry = CollectorRegistry()
        self.registry.register(self.metrics)

    def see(self, of, status=None, *, after_s=0):
        of = dataclasses.replace(of, now=NOW + timedelta(seconds=after_s))
        self.metrics.observe(of, status or next_status(of, plan(of), None))

    def value(self, metric, /, **labels):
        return self.registry.get_sample_value(f"etcd_operator_{metric}", labels)

    def operations(self, kind, outcome):
        return self.value("membership_operations_total", kind=kind, outcome=outcome)


@pytest.fixture
def scrape():
    return Scrape()


def led_by(ordinal):
    statuses = {f"db-{n}": status_of(n, leader=member_id(ordinal)) for n in range(3)}
    return observed(etcd=dataclasses.replace(etcd(3), statuses=statuses))


class TestQuorum:
    def seconds(self, scrape):
        return scrape.value("cluster_seconds_since_quorum", **CLUSTER)

    def test_time_without_quorum_is_counted_from_the_last_answer(self, scrape):
        scrape.see(observed())
        scrape.see(observed(etcd=SILENT), after_s=90)

        assert self.seconds(scrape) == 90
        assert scrape.value("cluster_has_quorum", **CLUSTER) == 0

    def test_answer_sets_it_back(self, scrape):
        scrape.see(observed(etcd=SILENT))
        scrape.see(observed(), after_s=90)

        assert self.seconds(scrape) == 0

    def test_new_operator_counts_from_its_first_look(self, scrape):
        scrape.see(observed(etcd=SILENT))

        assert self.seconds(scrape) == 0

    def test_cluster_that_has_not_formed_has_none_to_lose(self, scrape):
        scrape.see(accepted())

        assert self.seconds(scrape) is None

    def test_sleep_is_not_counted(self, scrape):
        asleep = observed(spec=spec(size=0), applied=spec(size=0), etcd=SILENT)
        scrape.see(observed())
        scrape.see(asleep, after_s=60)
        assert self.seconds(scrape) is None

        scrape.see(observed(etcd=SILENT), after_s=70)
        assert self.seconds(scrape) == 10


class TestLeader:
    def changes(self, scrape):
        return scrape.value("cluster_leader_changes_total", **CLUSTER)

    def test_first_leader_is_no_change(self, scrape):
        scrape.see(led_by(0))

        assert self.changes(scrape) == 0

    def test_another_leader_counts_also_after_a_time_without_one(self, scrape):
        for of in (led_by(0), led_by(1), observed(etcd=SILENT), led_by(2), led_by(2)):
            scrape.see(of)

        assert self.changes(scrape) == 2


class TestMembership:
    def joining(self, ordinal, reason, joined_as="abc"):
        return JoiningMember(
            name=f"db-{ordinal}", ordinal=ordinal, reason=reason, since=NOW, id=joined_as
        )

    def ends(self, scrape, reason, *, ordinal=1, size=3, joined_as="abc", **after):
        """A change that was under way ends 12 s after it was decided."""
        of = observed(applied=spec(size=size))
        status = of.status.model_copy(update={"voter_ordinals": (0, 1, 2)})
        under_way = status.model_copy(update={"joining": self.joining(ordinal, reason, joined_as)})
        scrape.see(of, under_way)
        scrape.see(of, status.model_copy(update=after), after_s=12)

    def test_every_series_is_there_from_the_start(self, scrape):
        for kind in ("scale-out", "replace"):
            for outcome in ("succeeded", "withdrawn", "canceled"):
                assert scrape.operations(kind, outcome) == 0
        assert scrape.operations("scale-in", "succeeded") == 0

    def test_growth_is_counted_and_timed(self, scrape):
        self.ends(scrape, "ScaleOut", ordinal=3, size=5, voter_ordinals=(0, 1, 2, 3))

        assert scrape.operations("scale-out", "succeeded") == 1
        assert scrape.value("membership_duration_seconds_sum", kind="scale-out") == 12

    def test_growth_that_goes_on_at_once_is_counted_for_each_member(self, scrape):
        following = self.joining(4, "ScaleOut", joined_as="")
        self.ends(
            scrape, "ScaleOut", ordinal=3, size=5, voter_ordinals=(0, 1, 2, 3), joining=following
        )

        assert scrape.operations("scale-out", "succeeded") == 1
        assert scrape.value("membership_duration_seconds_sum", kind="scale-out") == 12

    def test_replacement_is_counted_and_timed(self, scrape):
        self.ends(scrape, "VolumeLost")

        assert scrape.operations("replace", "succeeded") == 1
        assert scrape.value("membership_duration_seconds_count", kind="replace") == 1

    def test_withdrawal_is_counted_and_not_timed(self, scrape):
        withdrawn = WithdrawnMember(name="db-3", message="no", not_before=NOW, generation=1)
        self.ends(scrape, "ScaleOut", ordinal=3, size=5, withdrawn=withdrawn)

        assert scrape.operations("scale-out", "withdrawn") == 1
        assert scrape.value("membership_duration_seconds_count", kind="scale-out") == 0

    @pytest.mark.parametrize(("reason", "kind"), [("ScaleOut", "scale-out"), ("x", "replace")])
    def test_what_is_no_longer_wanted_is_canceled(self, scrape, reason, kind):
        self.ends(scrape, reason, ordinal=3, size=3)

        assert scrape.operations(kind, "canceled") == 1

    def test_replacement_that_never_began_is_canceled(self, scrape):
        self.ends(scrape, "VolumeMigration", joined_as="")

        assert scrape.operations("replace", "canceled") == 1

    def test_member_that_leaves_is_counted(self, scrape):
        of = observed()
        scrape.see(of, of.status)
        scrape.see(of, of.status.model_copy(update={"voter_ordinals": (0, 1)}))

        assert scrape.operations("scale-in", "succeeded") == 1

    def test_status_that_had_to_be_written_twice_counts_once(self, scrape):
        self.ends(scrape, "VolumeLost")
        of = observed()
        unwritten = of.status.model_copy(update={"joining": self.joining(1, "VolumeLost")})
        scrape.see(dataclasses.replace(of, status=unwritten), of.status)

        assert scrape.operations("replace", "succeeded") == 1

    def test_operator_that_took_over_half_way_counts_the_end(self, scrape):
        of = observed()
        half_way = of.status.model_copy(update={"joining": self.joining(1, "VolumeLost")})
        scrape.see(dataclasses.replace(of, status=half_way), of.status)

        assert scrape.operations("replace", "succeeded") == 1


def test_roles_of_members_are_counted(scrape):
    scrape.see(observed())

    assert scrape.value("cluster_members", role="leader", **CLUSTER) == 1
    assert scrape.value("cluster_members", role="follower", **CLUSTER) == 2
    assert scrape.value("cluster_members", role="learner", **CLUSTER) == 0


def test_deleted_cluster_leaves_no_series(scrape):
    scrape.see(observed())
    scrape.metrics.forget("prod/db")

    assert scrape.value("cluster_size", **CLUSTER) is None
    assert scrape.value("cluster_leader_changes_total", **CLUSTER) is None
    assert scrape.value("cluster_seconds_since_quorum", **CLUSTER) is None
