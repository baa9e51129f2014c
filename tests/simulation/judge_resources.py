"""What must hold while members are given other resources: checked against the world itself.

1. A healthy member is only given other resources when all others are well and have theirs: what is
   too little for one leaves the others.
2. Nobody is restarted for what could be had in place.
"""

import json
from typing import TYPE_CHECKING

from api.labels import NOT_RESIZED_ANNOTATION, RESIZED_ANNOTATION, TEMPLATE_HASH_ANNOTATION
from controllers.cluster.plan.steps import DeletePod, Plan
from controllers.cluster.plan.version_steps import ResizePod
from tests.simulation.etcd_process import Broken
from tests.simulation.template_model import Template, template_of

if TYPE_CHECKING:
    from tests.simulation.kubernetes_model import Pod
    from tests.simulation.world import World


def before_act(world: "World", plan: Plan) -> None:
    match plan.step:
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
