"""What must hold while members are given other resources: checked against the world itself.

1. A healthy member is only given other resources when all others are well and have theirs: what is
   too little for one leaves the others.
2. Nobody is restarted for what could be had in place.
3. What may wait is taken up in a window, or when somebody is down; what comes only from a newer
   operator, in a window or by consent.
"""

import json
from typing import TYPE_CHECKING

from api.labels import NOT_RESIZED_ANNOTATION, RESIZED_ANNOTATION, TEMPLATE_HASH_ANNOTATION
from controllers.cluster.observed import Observed
from controllers.cluster.plan.steps import DeletePod, Plan, RecordSpec
from controllers.cluster.plan.version_steps import ResizePod
from controllers.cluster.windows import is_open
from tests.simulation.etcd_process import Broken
from tests.simulation.template_model import Template, template_of

if TYPE_CHECKING:
    from tests.simulation.kubernetes_model import Pod
    from tests.simulation.world import World


def before_act(world: "World", observed: Observed, plan: Plan) -> None:
    match plan.step:
        case RecordSpec():
            _may_be_taken_up_now(world, observed, plan)
        case ResizePod(name=name, uid=uid, revision=revision):
            pod = _pod(world, name, uid)
            if pod is not None and pod.notes.get(RESIZED_ANNOTATION) != revision:
                _is_the_only_one(world, pod)
        case DeletePod(name=name, uid=uid) if plan.rule == "restart_next":
            pod = _pod(world, name, uid)
            if pod is not None:
                _has_to_be_restarted(world, pod)
        case _:
            pass


def _may_be_taken_up_now(world: "World", observed: Observed, plan: Plan) -> None:
    applied, pods = observed.applied, world.kubernetes.pods.values()
    if applied is None or is_open(applied.maintenance_windows, observed.now):
        return
    if plan.rule == "accept_operator_changes" and observed.status.rendered is not None:
        if not applied.accept_operator_changes:
            raise Broken("what a newer operator makes otherwise is taken up without consent")
        return
    waits = plan.rule == "accept_template" and applied.maintenance_windows and applied.size
    if waits and all(pod.process is not None for pod in pods):
        raise Broken("an edit that restarts members is taken up outside of a window")


def _pod(world: "World", name: str, uid: str) -> "Pod | None":
    pod = world.kubernetes.pods.get(int(name.rpartition("-")[2]))
    return pod if pod is not None and pod.uid == uid else None


def _is_the_only_one(world: "World", pod: "Pod") -> None:
    etcd = world.etcd
    healthy = {etcd.entries[member].ordinal for member in etcd.healthy_voters()}
    if pod.ordinal not in healthy:
        return
    voters = {entry.ordinal for entry in etcd.voters()} - {pod.ordinal}
    if voters - healthy:
        raise Broken(f"{pod.ordinal} is resized while {sorted(voters - healthy)} are down")
    waiting = [n for n in voters if _waits(world, world.kubernetes.pods[n])]
    if waiting:
        raise Broken(f"{pod.ordinal} is resized while {waiting} have not got theirs")


def _waits(world: "World", pod: "Pod") -> bool:
    """Whether kubelet has not given it yet what the newest template names."""
    newest = template_of(world.kubernetes.live["StatefulSet", "db"])
    return pod.answer is not None and pod.notes.get(RESIZED_ANNOTATION) == newest.revision


def _has_to_be_restarted(world: "World", pod: "Pod") -> None:
    newest = template_of(world.kubernetes.live["StatefulSet", "db"])
    if pod.process is None or NOT_RESIZED_ANNOTATION in pod.notes or not is_alike(pod, newest):
        return
    has, wanted = json.loads(pod.resources), json.loads(newest.resources)
    if all(has.get(kind, {}).keys() <= wanted.get(kind, {}).keys() for kind in has):
        raise Broken(f"{pod.ordinal} is restarted for what it could be given in place")


def is_alike(pod: "Pod", newest: Template) -> bool:
    """Whether the template that made it differs in nothing but resources."""
    key = TEMPLATE_HASH_ANNOTATION
    return dict(pod.template.annotations).get(key) == dict(newest.annotations).get(key)
