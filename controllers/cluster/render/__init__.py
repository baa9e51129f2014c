"""Turns a recorded cluster into the Kubernetes objects that it consists of.

Pure: same input, same objects.  Only from what is recorded (the applied spec and the bootstrap), so
that an edit which was not accepted never leaks into an object that has to be put right.
"""

from typing import Any

from api.labels import config_map_name, stateful_set_name
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapStatus
from controllers.cluster.membership import is_asleep, membership_of, voters_of
from controllers.cluster.observed import JsonObject, Observed
from controllers.cluster.render.config_files import config_files
from controllers.cluster.render.identity import Identity, identity_of
from controllers.cluster.render.network import (
    client_service,
    config_map,
    disruption_budget,
    peer_service,
)
from controllers.cluster.render.pods import stateful_set


def identity(observed: Observed, bootstrap: BootstrapStatus) -> Identity:
    """The names and addresses of the observed cluster."""
    return identity_of(observed.namespace, observed.name, observed.uid, bootstrap)


def desired_objects(observed: Observed) -> tuple[JsonObject, ...]:
    """All objects, in the order in which they are needed; empty before acceptance."""
    spec, bootstrap = observed.applied, observed.status.bootstrap
    if spec is None or bootstrap is None:
        return ()
    who = identity(observed, bootstrap)
    membership = membership_of(observed.status)
    voters = len(voters_of(observed.status))
    asleep = is_asleep(observed)
    objects = (
        peer_service(who),
        client_service(who, spec.service),
        config_map(who, {**_still_mounted(observed), **config_files(who, spec, membership)}),
        disruption_budget(who, voters=0 if asleep else voters, target=spec.size),
        stateful_set_for(observed, spec, bootstrap, size=0 if asleep else len(membership.ordinals)),
    )
    return tuple(obj for obj in objects if obj is not None)


def stateful_set_for(
    observed: Observed, spec: ClusterSpec, bootstrap: BootstrapStatus, *, size: int
) -> dict[str, Any]:
    """The StatefulSet for a spec, with this many pods."""
    live = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    return stateful_set(
        identity(observed, bootstrap),
        spec,
        size=size,
        live_claim_templates=live.get("spec", {}).get("volumeClaimTemplates", []),
    )


def _still_mounted(observed: Observed) -> dict[str, str]:
    """Files of older options, or of members that leave, whose pods may still start from them."""
    data = observed.live.get(("ConfigMap", config_map_name(observed.name)), {}).get("data", {})
    mounted = {
        f"{pod.name}-{pod.config_file.rpartition('-')[2]}"
        for pod in observed.pods
        if pod.config_file
    }
    return {name: text for name, text in data.items() if name in mounted}


__all__ = ["Identity", "desired_objects", "identity", "stateful_set_for"]
