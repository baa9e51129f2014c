"""What the operator would make of a spec, without an owner, for those who do its work by hand."""

from typing import Any

import orjson

from api.v1alpha1.cluster import ClusterSpec
from controllers.cluster.membership import Membership
from controllers.cluster.render import rendering
from controllers.cluster.render.config_files import config_files
from controllers.cluster.render.identity import Identity
from controllers.cluster.render.network import (
    client_service,
    config_map,
    disruption_budget,
    peer_service,
)
from controllers.cluster.render.pods import stateful_set


def unowned_objects(
    who: Identity, spec: ClusterSpec, membership: Membership
) -> list[dict[str, Any]]:
    """All objects, in the order in which they are needed; an owner would have them collected."""
    size, made = len(membership.ordinals), rendering(who, spec)
    files = config_files(who, orjson.dumps(made.options), made.digest, spec.version, membership)
    objects = [
        peer_service(who),
        client_service(who, spec.service),
        config_map(who, files),
        disruption_budget(who, voters=size, target=size),
        stateful_set(who, spec, made.pod_template, size=size, live_claim_templates=[]),
    ]
    present = [obj for obj in objects if obj is not None]
    for obj in present:
        del obj["metadata"]["ownerReferences"]
    return present
