"""An edit reaches a running cluster part by part, when it may, or is refused as a whole."""

import dataclasses
from datetime import timedelta

from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import RefusedEdit
from controllers.cluster.observed import Problem
from controllers.cluster.outcome import Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import RecordSpec, Wait
from controllers.cluster.render import rendering
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import NOW, WHO, observed, pod

OPTIONS = {"options": {"snapshotCount": 7}}
# NOW is a Thursday at noon, UTC.
TONIGHT = [{"schedule": "0 23 * * *", "duration": "1h"}]
NOW_OPEN = [{"schedule": "0 11 * * *", "duration": "2h"}]


def edited(of, **fields):
    spec = ClusterSpec.model_validate({**of.applied.to_json(), **fields})
    return dataclasses.replace(of, spec=spec, generation=of.generation + 1)


def settled(of):
    """The next observation, after the step has been taken and recorded."""
    planned = plan(of)
    status = next_status(of, planned, Done())
    applied = ClusterSpec.model_validate(status.applied_spec)
    return dataclasses.replace(of, status=status, applied=applied)


def test_what_touches_no_member_is_in_force_at_once_and_makes_nothing_anew():
    of = edited(observed(), service={"labels": {"a": "b"}}, maintenanceWindows=TONIGHT, **OPTIONS)

    step = plan(of).step

    assert isinstance(step, RecordSpec)
    assert (step.rendered, step.dry_run) == (None, None)
    assert step.spec["service"]["labels"] == {"a": "b"}
    assert "snapshotCount" not in step.spec.get("options", {})


def test_what_restarts_members_is_tried_out_first():
    of = edited(observed(), **OPTIONS)

    step = plan(of).step

    assert step.spec == of.spec.to_json()
    assert step.rendered == rendering(WHO, of.spec)
    assert step.dry_run["spec"]["template"] == step.rendered.pod_template


def test_edit_that_the_server_refuses_is_shown_and_changes_nothing():
    of = edited(observed(), **OPTIONS)
    refusal = Rejected(reason=Reason.TEMPLATE_REFUSED, message="spec.template: bad")

    status = next_status(of, plan(of), refusal)
    after = dataclasses.replace(of, status=status)
    step = plan(after).step

    assert status.applied_spec == of.status.applied_spec
    assert status.rendered == of.status.rendered
    assert (step.reason, "spec.template: bad" in step.message) == (Reason.TEMPLATE_REFUSED, True)
    shown = {c.type: c for c in next_status(after, plan(after), None).conditions}
    assert (shown["UpToDate"].status, shown["UpToDate"].reason) == ("False", "TemplateRefused")


def test_refused_edit_is_tried_again_after_a_minute_and_another_one_at_once():
    of = edited(observed(), **OPTIONS)
    refused = RefusedEdit(
        generation=of.generation, reason="TemplateRefused", message="quota", time=NOW
    )
    of = dataclasses.replace(of, status=of.status.model_copy(update={"refused_edit": refused}))
    assert isinstance(plan(of).step, Wait)

    later = dataclasses.replace(of, now=NOW + timedelta(minutes=1))
    other = dataclasses.replace(of, generation=of.generation + 1)

    assert isinstance(plan(later).step, RecordSpec)
    assert isinstance(plan(other).step, RecordSpec)


class TestWindows:
    def test_edit_that_restarts_members_waits(self):
        of = edited(observed(spec_fields={"maintenanceWindows": TONIGHT}), **OPTIONS)

        step = plan(of).step

        assert step.reason is Reason.WAITING_FOR_WINDOW
        assert step.not_before == NOW.replace(hour=23)
        status = next_status(of, plan(of), None)
        shown = {c.type: (c.status, c.reason) for c in status.conditions}
        assert shown["Ready"][0] == "True"
        assert shown["UpToDate"] == ("False", "WaitingForWindow")

    def test_it_is_taken_up_when_one_opens(self):
        of = edited(observed(spec_fields={"maintenanceWindows": NOW_OPEN}), **OPTIONS)

        assert isinstance(plan(of).step, RecordSpec)

    def test_it_never_waits_while_a_pod_is_down_for_its_template(self):
        bad = Problem(reason=Reason.CRASH_LOOPING, message="bad option")
        of = observed(spec_fields={"maintenanceWindows": TONIGHT})
        statuses = {name: s for name, s in of.etcd.statuses.items() if name != "db-2"}
        of = dataclasses.replace(
            of,
            pods=(pod(0), pod(1), pod(2, ready=False, running=False, problem=bad)),
            etcd=dataclasses.replace(of.etcd, statuses=statuses),
        )

        assert isinstance(plan(edited(of, **OPTIONS)).step, RecordSpec)


class TestRestart:
    def test_the_annotation_changes_the_template_and_nothing_else(self):
        of = dataclasses.replace(observed(), restart_asked="now")

        step = plan(of).step

        annotations = step.rendered.pod_template["metadata"]["annotations"]
        assert annotations["etcd.etcd.io/restart"] == "now"
        assert step.rendered.options == of.status.rendered.options
        assert step.spec == of.status.applied_spec

    def test_it_is_honoured_once(self):
        of = settled(dataclasses.replace(observed(), restart_asked="now"))

        assert not isinstance(plan(of).step, RecordSpec)

    def test_taking_it_back_restarts_nobody(self):
        of = settled(dataclasses.replace(observed(), restart_asked="now"))
        of = dataclasses.replace(of, restart_asked="")

        assert not isinstance(plan(of).step, RecordSpec)

    def test_a_later_edit_keeps_it(self):
        of = settled(dataclasses.replace(observed(), restart_asked="now"))
        of = edited(dataclasses.replace(of, restart_asked=""), **OPTIONS)

        annotations = plan(of).step.rendered.pod_template["metadata"]["annotations"]

        assert annotations["etcd.etcd.io/restart"] == "now"


class TestOperatorChanges:
    @staticmethod
    def made_before(**fields):
        """An earlier operator rendered it with another grace period and one option less."""
        of = observed(spec_fields=fields)
        recorded = of.status.rendered
        template = {**recorded.pod_template}
        template["spec"] = {**template["spec"], "terminationGracePeriodSeconds": 10}
        options = {k: v for k, v in recorded.options.items() if k != "strict-reconfig-check"}
        older = recorded.model_copy(update={"pod_template": template, "options": options})
        return dataclasses.replace(of, status=of.status.model_copy(update={"rendered": older}))

    def test_they_wait_and_are_shown(self):
        of = self.made_before()

        assert not isinstance(plan(of).step, RecordSpec)
        assert next_status(of, plan(of), None).operator_changes == (
            "podTemplate.spec.terminationGracePeriodSeconds",
            "options.strict-reconfig-check",
        )

    def test_they_are_rolled_out_on_consent(self):
        of = self.made_before(acceptOperatorChanges=True)

        assert plan(of).step.rendered == rendering(WHO, of.applied)

    def test_they_are_rolled_out_in_a_window(self):
        waits = self.made_before(maintenanceWindows=TONIGHT)
        opened = self.made_before(maintenanceWindows=NOW_OPEN)

        assert not isinstance(plan(waits).step, RecordSpec)
        assert isinstance(plan(opened).step, RecordSpec)

    def test_objects_stay_as_they_were_made(self):
        of = self.made_before()

        step = plan(of).step  # the live objects are those of this operator

        (made,) = [o for o in step.objects if o["kind"] == "StatefulSet"]
        assert made["spec"]["template"] == of.status.rendered.pod_template
