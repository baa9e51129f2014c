"""What must hold in every world while versions and templates change: checked against the world
itself, after everything that anybody does.

1. No template names a version that some voter could not start on if its pod restarted right now.
2. Members never run versions that are more than one minor version apart.
3. Only versions of recorded paths ever run; each step of a path is a safe one, or puts back what
   some member still runs.
4. A version is in force only after a probe has reported it, unless members ran it before or one is
   down.
5. Of healthy voters one at a time is restarted, when all others have nearly all of the log; who
   leads, only where nobody else could, and after everybody else has had a turn.
6. Nobody is restarted onto a version that is about to be put back.
7. A refused edit touches nobody: neither its version nor its template is ever in force.
"""

from typing import TYPE_CHECKING, Any

from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import refused_edit
from controllers.cluster.plan.steps import AcceptSpec, DeletePod, Plan, RecordSpec
from controllers.cluster.plan.version_steps import RecordUpgrade
from etcd.version_path import PathRefusedError, version_path
from etcd.versions import Version, parse_version
from tests.simulation.etcd_process import Broken
from tests.simulation.judge_resources import is_alike
from tests.simulation.template_model import template_of

if TYPE_CHECKING:
    from tests.simulation.world import World

# A voter that lacks no more than that is as good as one that has all.
_ENTRIES_BEHIND = 1000


def after_anything(world: "World") -> None:
    _can_all_start(world)
    healthy = world.etcd.healthy_voters()
    down = {entry.ordinal for entry in world.etcd.voters() if entry.id not in healthy}
    world.restarted &= down
    running = [pod for pod in world.kubernetes.pods.values() if pod.process]
    minors = {pod.process.version.minor for pod in running if pod.process}
    if minors and max(minors) - min(minors) > 1:
        raise Broken(f"members run minor versions {sorted(minors)}")
    world.kubernetes.registry.reported |= {pod.template.image for pod in running}
    strange = {pod.template.version for pod in running} - world.recorded_versions
    if strange:
        raise Broken(f"{sorted(strange)} run and were never recorded")


def _can_all_start(world: "World") -> None:
    stateful_set = world.kubernetes.live.get(("StatefulSet", "db"))
    if stateful_set is None:
        return
    version = parse_version(template_of(stateful_set).version)
    for entry in world.etcd.voters():
        claim = world.kubernetes.claims.get(entry.ordinal)
        if claim is None or claim.log is None or claim.log.id != entry.id:
            continue
        barred = world.etcd.version.bars(claim.log, version)
        if barred is not None:
            raise Broken(f"member {entry.ordinal} could not start on {version}: {barred.words}")


def before_act(world: "World", observed: Observed, plan: Plan) -> None:
    match plan.step:
        case RecordUpgrade(upgrade=upgrade) if upgrade is not None:
            _nothing_refused(observed, plan)
            _is_safe(world, upgrade.from_version, upgrade.path)
            world.recorded_versions |= {upgrade.from_version, *upgrade.path}
        case AcceptSpec(spec=spec):
            world.recorded_versions.add(spec["version"])
        case RecordSpec(spec=spec):
            _nothing_refused(observed, plan)
            _may_be_in_force(world, observed, spec)
        case DeletePod(name=name, uid=uid):
            _has_its_turn(world, observed, int(name.rpartition("-")[2]), uid)
        case _:
            pass


def _nothing_refused(observed: Observed, plan: Plan) -> None:
    """What is refused is as if it had not been written; what goes on is what was recorded."""
    if refused_edit(observed) and plan.rule in {"begin", "accept_template", "accept_live"}:
        raise Broken(f"{plan.rule} takes up an edit that is refused")


def _is_safe(world: "World", source: str, path: tuple[str, ...]) -> None:
    first = parse_version(path[0])
    for process in world.etcd.serving.values():
        if abs(process.version.minor - first.minor) == 1:
            _passes_gate(process.version, first)
    still = {process.version.minor for process in world.etcd.serving.values()}
    for before, after in zip((source, *path), path, strict=False):
        if parse_version(after).minor in still:
            continue
        _passes_gate(parse_version(before), parse_version(after))


def _passes_gate(before: Version, after: Version) -> None:
    try:
        hops = version_path(before, after).hops
    except PathRefusedError as refused:
        raise Broken(f"from {before} to {after}: {refused}") from refused
    if len(hops) > 1:
        raise Broken(f"from {before} to {after} in one step")


def _may_be_in_force(world: "World", observed: Observed, spec: Any) -> None:
    applied, image = observed.applied, f"{spec['repository']}:{spec['version']}"
    if applied is None or image == f"{applied.repository}:{applied.version}":
        return
    is_down = any(pod.process is None for pod in world.kubernetes.pods.values())
    if image not in world.kubernetes.registry.reported and not is_down:
        raise Broken(f"{image} is in force before a probe has reported it")
    if is_down:
        world.recorded_versions.add(spec["version"])


def _has_its_turn(world: "World", observed: Observed, ordinal: int, uid: str) -> None:
    pod, entry = world.kubernetes.pods.get(ordinal), world.etcd.at(ordinal)
    healthy = world.etcd.healthy_voters()
    if pod is None or pod.uid != uid or entry is None or entry.id not in healthy:
        return
    if not world.etcd.has_quorum():
        return
    if _is_put_back(world, pod.template.version):
        raise Broken(f"{ordinal} is restarted although its version is about to be put back")
    if world.restarted - {ordinal}:
        raise Broken(f"{ordinal} is restarted while {sorted(world.restarted)} come back")
    world.restarted.add(ordinal)
    lagging = [
        world.etcd.entries[member].ordinal
        for member in healthy - {entry.id}
        if world.etcd.acked - world.etcd.serving[member].log.index > _ENTRIES_BEHIND
    ]
    if lagging:
        raise Broken(f"{ordinal} is restarted while {lagging} have not caught up")
    if entry.id == world.etcd.leader:
        _leads_last(world, observed, ordinal)


def _leads_last(world: "World", observed: Observed, ordinal: int) -> None:
    newest = template_of(world.kubernetes.live["StatefulSet", "db"])
    ready = [p for p in observed.pods if p.ready]
    others = [p for p in ready if p.ordinal != ordinal and _can_lead(world, p.ordinal)]
    if any(p.revision == newest.revision for p in others):
        raise Broken(f"{ordinal} is restarted while it leads")
    behind = [p.ordinal for p in others if not is_alike(world.kubernetes.pods[p.ordinal], newest)]
    if behind and ordinal in {p.ordinal for p in ready}:
        raise Broken(f"{ordinal} leads, and is restarted before {behind}")


def _is_put_back(world: "World", version: str) -> bool:
    """Whether the template names another minor version than this one, which is wanted again."""
    going = world.status.upgrade
    named = template_of(world.kubernetes.live["StatefulSet", "db"]).version
    minor = parse_version(version).minor
    if going is None or minor == parse_version(named).minor:
        return False
    return minor == parse_version(going.path[0]).minor


def _can_lead(world: "World", ordinal: int) -> bool:
    entry = world.etcd.at(ordinal)
    return entry is not None and entry.id in world.etcd.healthy_voters()
