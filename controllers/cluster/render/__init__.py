"""Turns a recorded cluster into the Kubernetes objects that it consists of.

Pure: same input, same objects.  Only from what is recorded (the applied spec and the bootstrap), so
that an edit which was not accepted never leaks into an object that has to be put right.
"""

import functools
from typing import Any, Final

import orjson

from api.labels import config_map_name, stateful_set_name
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapStatus
from controllers.cluster.membership import (
    Membership,
    is_asleep,
    membership_of,
    voters_of,
)
from controllers.cluster.observed import JsonObject, Observed, derived
from controllers.cluster.render.config_files import config_files
from controllers.cluster.render.identity import Identity, identity_of
from controllers.cluster.render.network import (
    client_service,
    config_map,
    disruption_budget,
    peer_service,
)
from controllers.cluster.render.pods import stateful_set

_REMEMBERED: Final = 4096


def identity(observed: Observed, bootstrap: BootstrapStatus) -> Identity:
    """The names and addresses of the observed cluster."""
    return identity_of(observed.namespace, observed.name, observed.uid, bootstrap)


@derived
def desired_objects(observed: Observed) -> tuple[JsonObject, ...]:
    """All objects, in the order in which they are needed; empty before acceptance."""
    bootstrap = observed.status.bootstrap
    if observed.applied is None or bootstrap is None:
        return ()
    return _rendered(
        identity(observed, bootstrap),
        orjson.dumps(observed.status.applied_spec),
        membership_of(observed.status),
        voters=0 if is_asleep(observed) else len(voters_of(observed.status)),
        live_claim_templates=orjson.dumps(_live_claim_templates(observed)),
        still_mounted=_still_mounted(observed),
    )


# Nothing of this changes for hours, and every reconcile asks for it.
@functools.lru_cache(maxsize=_REMEMBERED)
def _rendered(
    who: Identity,
    spec_json: bytes,
    membership: Membership,
    *,
    voters: int,
    live_claim_templates: bytes,
    still_mounted: tuple[tuple[str, str], ...],
) -> tuple[JsonObject, ...]:
    """`voters` 0: asleep.  Nobody may change what is returned: it is shared."""
    spec = ClusterSpec.model_validate_json(spec_json)
    objects = (
        peer_service(who),
        client_service(who, spec.service),
        config_map(who, {**dict(still_mounted), **config_files(who, spec, membership)}),
        disruption_budget(who, voters=voters, target=spec.size),
        stateful_set(
            who,
            spec,
            size=len(membership.ordinals) if voters else 0,
            live_claim_templates=orjson.loads(live_claim_templates),
        ),
    )
    return tuple(obj for obj in objects if obj is not None)


def stateful_set_for(
    observed: Observed, spec: ClusterSpec, bootstrap: BootstrapStatus, *, size: int
) -> dict[str, Any]:
    """The StatefulSet for a spec, with this many pods."""
    return stateful_set(
        identity(observed, bootstrap),
        spec,
        size=size,
        live_claim_templates=_live_claim_templates(observed),
    )


def _live_claim_templates(observed: Observed) -> list[Any]:
    live = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    templates: list[Any] = live.get("spec", {}).get("volumeClaimTemplates", [])
    return templates


def _still_mounted(observed: Observed) -> tuple[tuple[str, str], ...]:
    """Files of older options, or of members that leave, whose pods may still start from them."""
    data = observed.live.get(("ConfigMap", config_map_name(observed.name)), {}).get("data", {})
    mounted = {
        f"{pod.name}-{pod.config_file.rpartition('-')[2]}"
        for pod in observed.pods
        if pod.config_file
    }
    return tuple(sorted((name, text) for name, text in data.items() if name in mounted))


__all__ = ["Identity", "desired_objects", "identity", "stateful_set_for"]
