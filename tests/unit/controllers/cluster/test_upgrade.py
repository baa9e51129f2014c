"""A change of version is prepared, taken and completed step by step, and can be taken back."""

import dataclasses
from datetime import timedelta

import pytest

from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import DataHash, UpgradeStatus
from controllers.cluster.observed import Probe, Problem
from controllers.cluster.outcome import Done, Hashed
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import RecordMembership, RecordSpec
from controllers.cluster.plan.version_steps import (
    AdvanceLog,
    CancelDowngrade,
    CompareHashes,
    DeleteProbe,
    EnableDowngrade,
    MakeProbe,
    RecordUpgrade,
)
from controllers.cluster.status import next_status
from etcd.maintenance import Downgrade
from tests.unit.controllers.cluster.builders import (
    NOW,
    annotated,
    etcd,
    live_of,
    observed,
    pod,
    status_of,
)

HASH = DataHash(revision=7, compact_revision=-1, hash=42)


def running(
    *versions, wanted=None, applied=None, storage=None, downgrade=None, upgrade=None, **more
):
    """Members of these versions; the template names `applied`, the spec `wanted`."""
    applied = applied or f"v{versions[0]}"
    of = observed(len(versions), spec_fields={"version": applied, **more})
    statuses = {
        f"db-{n}": status_of(
            n,
            version=version,
            storage_version=storage or ("" if version < "3.6" else f"{version[:3]}.0"),
            downgrade=Downgrade(target_version=downgrade) if downgrade else None,
        )
        for n, version in enumerate(versions)
    }
    of = dataclasses.replace(of, etcd=etcd(len(versions), statuses=statuses))
    if upgrade is not None:
        of = dataclasses.replace(of, status=of.status.model_copy(update={"upgrade": upgrade}))
    return edited(of, version=wanted) if wanted else of


def edited(of, **fields):
    spec = ClusterSpec.model_validate({**of.applied.to_json(), **fields})
    return dataclasses.replace(of, spec=spec, generation=of.generation + 1)


def going(source, *path, **fields):
    return UpgradeStatus(
        from_version=source, path=path, repository="quay.io/coreos/etcd", since=NOW, **fields
    )


def probe(**changes):
    made = Probe(
        name="db-probe",
        uid="probe",
        image="quay.io/coreos/etcd:v3.6.16",
        created=NOW - timedelta(seconds=3),
        ended=True,
        terminating=False,
        problem=None,
        output="etcd Version: 3.6.16\nGit SHA: abc\n",
    )
    return dataclasses.replace(made, **changes)


def conditions(of):
    status = next_status(of, plan(of), None)
    return {c.type: (c.status, c.reason, c.message) for c in status.conditions}


THREE = ("3.5.35",) * 3
UP = going("v3.5.35", "v3.6.16")


class TestPath:
    def test_it_is_recorded_and_told_before_the_first_step(self):
        step = plan(running(*THREE, wanted="v3.7.3")).step

        assert step.upgrade.path == ("v3.6.16", "v3.7.3")
        assert str(step) == "Go from v3.5.35 to v3.6.16, then v3.7.3"

    def test_refused_path_says_why_and_touches_nobody(self):
        of = running("3.5.21", "3.5.21", "3.5.21", wanted="v3.6.16")

        step = plan(of).step

        assert step.reason is Reason.VERSION_REFUSED
        assert "3.5.26 or newer first" in step.message
        assert "set v3.5.35" in step.message
        assert conditions(of)["UpToDate"][:2] == ("False", "VersionRefused")
        assert conditions(of)["Stalled"][0] == "True"

    def test_refusal_covers_the_whole_edit(self):
        of = edited(running("3.5.21"), version="v3.6.16", size=3)

        assert plan(of).step.reason is Reason.VERSION_REFUSED

    def test_option_that_a_version_of_the_path_does_not_have_is_refused(self):
        of = running(*THREE, options={"extra": {"experimental-compaction-batch-limit": "500"}})
        refused = edited(of, version="v3.7.3")

        assert plan(refused).step.reason is not Reason.UPGRADING

    def test_repository_alone_goes_the_same_way(self):
        step = plan(edited(running(*THREE), repository="mirror/etcd")).step

        assert (step.upgrade.path, step.upgrade.repository) == (("v3.5.35",), "mirror/etcd")


class TestProbe:
    def test_no_member_is_touched_before_it(self):
        step = plan(running(*THREE, wanted="v3.6.16", upgrade=UP)).step

        assert isinstance(step, MakeProbe)
        (container,) = step.pod["spec"]["containers"]
        assert container["image"] == "quay.io/coreos/etcd:v3.6.16"

    def test_exactly_the_version_passes(self):
        of = running(*THREE, wanted="v3.6.16", upgrade=UP)

        step = plan(dataclasses.replace(of, probe=probe())).step

        assert step.upgrade.probed

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"output": "etcd Version: 3.6.1\n"}, "it reports version 3.6.1"),
            ({"output": "etcd Version: 3.6.16-rc.1\n"}, "it reports version 3.6.16-rc.1"),
            ({"output": "exec format error\n"}, "exec format error"),
            ({"output": ""}, "nothing"),
            (
                {
                    "ended": False,
                    "created": NOW - timedelta(seconds=30),
                    "problem": Problem(reason=Reason.IMAGE_PULL_FAILED, message="not found"),
                },
                "ImagePullFailed: not found",
            ),
        ],
    )
    def test_anything_else_stops_it(self, changes, says):
        of = running(*THREE, wanted="v3.6.16", upgrade=UP)
        of = dataclasses.replace(of, probe=probe(**changes))

        step = plan(of).step

        assert step.reason is Reason.PROBE_FAILED
        assert says in step.message
        shown = conditions(of)
        assert shown["UpToDate"][:2] == ("False", "ProbeFailed")
        assert shown["Stalled"][0] == "True"

    def test_it_goes_when_it_has_served(self):
        of = running(*THREE, wanted="v3.6.16", upgrade=UP.model_copy(update={"probed": True}))

        assert isinstance(plan(dataclasses.replace(of, probe=probe())).step, DeleteProbe)

    def test_failed_one_is_tried_again_and_one_of_another_image_goes(self):
        of = running(*THREE, wanted="v3.6.16", upgrade=UP)
        failed = probe(output="", created=NOW - timedelta(minutes=5))
        other = probe(image="quay.io/coreos/etcd:v3.6.15")

        assert isinstance(plan(dataclasses.replace(of, probe=failed)).step, DeleteProbe)
        assert isinstance(plan(dataclasses.replace(of, probe=other)).step, DeleteProbe)


class TestUp:
    probed = going("v3.5.35", "v3.6.16", probed=True)
    compared = going("v3.5.35", "v3.6.16", probed=True, before=HASH)

    def test_data_is_compared_first(self):
        of = running(*THREE, wanted="v3.6.16", upgrade=self.probed)
        planned = plan(of)

        assert isinstance(planned.step, CompareHashes)
        assert next_status(of, planned, Hashed(hash=HASH)).upgrade == self.compared

    def test_template_follows_the_comparison(self):
        step = plan(running(*THREE, wanted="v3.6.16", upgrade=self.compared)).step

        assert isinstance(step, RecordSpec)
        assert step.spec["version"] == "v3.6.16"

    def test_unhealthy_member_holds_it_up(self):
        of = running(*THREE, wanted="v3.6.16", upgrade=self.compared)
        of = dataclasses.replace(of, pods=(pod(0), pod(1), pod(2, ready=False)))

        step = plan(of).step

        assert not isinstance(step, RecordSpec)
        assert conditions(of)["UpToDate"][1] == "Upgrading"

    def test_step_is_over_when_all_run_it_and_etcd_has_followed(self):
        early = running("3.6.16", "3.6.16", "3.6.16", storage="3.5.0", upgrade=self.compared)
        done = running("3.6.16", "3.6.16", "3.6.16", upgrade=self.compared)

        assert plan(early).step.reason is Reason.UPGRADING
        planned = plan(done)
        assert (planned.step.known, planned.step.reached) == (HASH, "v3.6.16")
        assert next_status(done, planned, Hashed(hash=HASH)).upgrade is None

    def test_next_step_of_the_path_follows(self):
        path = going("v3.5.35", "v3.6.16", "v3.7.3", probed=True, before=HASH)
        of = running("3.6.16", "3.6.16", "3.6.16", upgrade=path, wanted="v3.7.3")

        upgrade = next_status(of, plan(of), Hashed(hash=HASH)).upgrade

        assert (upgrade.from_version, upgrade.path) == ("v3.6.16", ("v3.7.3",))
        assert (upgrade.probed, upgrade.before) == (False, HASH)

    def test_patch_needs_no_whole_cluster(self):
        patch = going("v3.5.35", "v3.5.36", probed=True)
        of = running(*THREE, wanted="v3.5.36", upgrade=patch)
        of = dataclasses.replace(of, pods=(pod(0), pod(1), pod(2, ready=False)))

        assert plan(of).step.spec["version"] == "v3.5.36"


class TestLogOf35:
    path = going("v3.6.16", "v3.7.3", probed=True, before=HASH)

    def test_every_member_snapshots_its_log_before_the_first_3_7(self):
        of = running("3.6.16", "3.6.16", "3.6.16", wanted="v3.7.3", upgrade=self.path)
        planned = plan(of)

        assert planned.step.upgrade.log_until == 10 + 10_000 + 1

        of = dataclasses.replace(of, status=next_status(of, planned, Done()))
        assert plan(of).step == AdvanceLog(until=10_011, missing=10_001)

    def test_then_it_is_taken(self):
        ready = self.path.model_copy(update={"log_until": 10})
        of = running("3.6.16", "3.6.16", "3.6.16", wanted="v3.7.3", upgrade=ready)

        assert plan(of).step.spec["version"] == "v3.7.3"

    def test_their_own_snapshot_count_is_respected(self):
        options = {"snapshotCount": 500}
        of = running("3.6.16", "3.6.16", "3.6.16", options=options, upgrade=self.path)

        assert plan(edited(of, version="v3.7.3")).step.upgrade.log_until == 511


class TestDown:
    path = going("v3.6.16", "v3.5.35", probed=True, before=HASH)
    three = ("3.6.16",) * 3

    def test_etcd_makes_its_data_fit_first(self):
        of = running(*self.three, wanted="v3.5.35", upgrade=self.path)

        assert plan(of).step == EnableDowngrade(target="3.5")

    def test_template_waits_for_every_members_data(self):
        of = running(*self.three, wanted="v3.5.35", upgrade=self.path, downgrade="3.5.0")

        step = plan(of).step

        assert step.reason is Reason.DOWNGRADING
        assert "make its data fit 3.5" in step.message

    def test_then_it_is_taken_when_that_has_lasted(self):
        of = running(
            *self.three, wanted="v3.5.35", upgrade=self.path, downgrade="3.5.0", storage="3.5.0"
        )
        planned = plan(of)
        assert planned.step.upgrade.fit_since == of.now

        of = dataclasses.replace(of, status=next_status(of, planned, Done()))
        assert "make its data fit 3.5" in plan(of).step.message
        of = dataclasses.replace(of, now=of.now + timedelta(seconds=6))
        assert plan(of).step.spec["version"] == "v3.5.35"

    def test_data_that_a_member_only_said_to_fit_is_waited_for_anew(self):
        said = self.path.model_copy(update={"fit_since": NOW - timedelta(minutes=1)})
        of = running(*self.three, wanted="v3.5.35", upgrade=said, downgrade="3.5.0")

        assert plan(of).step.upgrade.fit_since is None

    def test_it_is_cancelled_when_nobody_wants_it_any_more(self):
        of = running(*self.three, upgrade=self.path, downgrade="3.5.0")
        planned = plan(of)
        assert planned.step == RecordUpgrade(upgrade=None, why="spec.version is v3.6.16 again")

        of = dataclasses.replace(of, status=next_status(of, planned, Done()))
        assert plan(of).step == CancelDowngrade(
            target="3.5", why="spec.version does not ask for it any more"
        )

    def test_newer_one_is_put_back_half_way_before_it_is_cancelled(self):
        of = running(
            "3.5.35",
            "3.6.16",
            "3.6.16",
            applied="v3.5.35",
            storage="3.5.0",
            downgrade="3.5.0",
            upgrade=self.path,
            wanted="v3.6.16",
        )
        planned = plan(of)
        assert planned.step.upgrade.path == ("v3.6.16",)
        assert planned.step.upgrade.probed

        of = dataclasses.replace(of, status=next_status(of, planned, Done()))
        assert plan(of).step.spec["version"] == "v3.6.16"


class TestBack:
    taken = going("v3.5.35", "v3.6.16", probed=True, before=HASH)

    def mixed(self, *versions, storage="3.5.0", wanted="v3.5.35"):
        return running(
            *versions, applied="v3.6.16", storage=storage, upgrade=self.taken, wanted=wanted
        )

    def test_older_one_is_put_back_while_a_member_runs_it(self):
        of = self.mixed("3.6.16", "3.5.35", "3.5.35")
        planned = plan(of)
        assert planned.step.upgrade.path == ("v3.5.35",)

        of = dataclasses.replace(of, status=next_status(of, planned, Done()))
        assert plan(of).step.spec["version"] == "v3.5.35"

    def test_afterwards_only_etcds_downgrade_leads_back(self):
        of = self.mixed("3.6.16", "3.6.16", "3.6.16", storage=None)
        planned = plan(of)
        assert planned.step.upgrade.path == ("v3.5.35",)

        upgrade = planned.step.upgrade.model_copy(update={"probed": True, "before": HASH})
        of = dataclasses.replace(of, status=of.status.model_copy(update={"upgrade": upgrade}))
        assert plan(of).step == EnableDowngrade(target="3.5")

    def test_no_further_member_goes_up_while_it_is_decided(self):
        of = self.mixed("3.6.16", "3.5.35", "3.5.35", wanted="v3.5.34")
        of = dataclasses.replace(of, status=next_status(of, plan(of), Done()))
        behind = tuple(pod(n, revision="db-old" if n else "db-5d4f") for n in range(3))

        step = plan(dataclasses.replace(of, pods=behind, probe=probe(ended=False))).step

        assert isinstance(step, DeleteProbe)  # of the image before
        made = probe(ended=False, image="quay.io/coreos/etcd:v3.5.34")
        assert plan(dataclasses.replace(of, pods=behind, probe=made)).rule == "hold"
        other = dataclasses.replace(made, ended=True, output="etcd Version: 3.5.33")
        held = plan(dataclasses.replace(of, pods=behind, probe=other))
        assert (held.rule, held.step.reason) == ("hold", Reason.PROBE_FAILED)

    @pytest.mark.parametrize("wanted", ["v3.6.1", "v3.5.21"])
    def test_gate_holds_for_members_that_have_not_crossed_it_yet(self, wanted):
        """From 3.5.35 to 3.6.1, or from 3.6.16 to 3.5.21, no member may go, whoever else has."""
        of = self.mixed("3.6.16", "3.5.35", "3.5.35", wanted=wanted)

        assert plan(of).rule not in {"redirect", "accept_image_at_once"}
        assert conditions(of)["UpToDate"][1] == "VersionRefused"

    def test_further_target_waits_for_the_step_under_way(self):
        of = self.mixed("3.6.16", "3.5.35", "3.5.35", wanted="v3.7.3")

        assert plan(of).step.upgrade.path == ("v3.6.16", "v3.7.3")


class TestTwoVoters:
    """On the way from one size to another neither of two can be restarted."""

    def test_next_member_joins_before_the_version_goes_on(self):
        half_way = going("v3.5.35", "v3.6.16", probed=True, before=HASH)
        of = running("3.5.35", "3.5.35", "3.5.35", applied="v3.6.16", upgrade=half_way)
        told = {name: of.etcd.statuses[name] for name in ("db-0", "db-1")}
        two = dataclasses.replace(of.etcd, members=of.etcd.members[:2], statuses=told)
        of = dataclasses.replace(
            of,
            etcd=two,
            status=of.status.model_copy(update={"voter_ordinals": (0, 1)}),
            pods=tuple(pod(n, revision="db-old") for n in range(2)),
            claims=of.claims[:2],
        )
        of = dataclasses.replace(of, live=live_of(of), claims=annotated(of))

        step = plan(of).step

        assert isinstance(step, RecordMembership)
        assert step.joining.name == "db-2"


class TestTrouble:
    bad = Problem(reason=Reason.IMAGE_PULL_FAILED, message="no such tag")

    def down(self, **changes):
        of = running(*THREE, **changes)
        pods = tuple(pod(n, ready=False, running=False, problem=self.bad) for n in range(3))
        lost = dataclasses.replace(of.etcd, members=None, statuses={}, error="nobody answers")
        return dataclasses.replace(of, pods=pods, etcd=lost)

    def known(self, of):
        members = next_status(running(*THREE), plan(running(*THREE)), None).members
        return dataclasses.replace(of, status=of.status.model_copy(update={"members": members}))

    def test_another_patch_reaches_it_without_quorum_and_probe(self):
        step = plan(self.known(self.down(wanted="v3.5.36"))).step

        assert isinstance(step, RecordSpec)
        assert step.spec["version"] == "v3.5.36"

    def test_another_minor_version_does_not(self):
        step = plan(self.known(self.down(wanted="v3.6.16"))).step

        assert not isinstance(step, RecordSpec)
