"""Turns a recorded cluster into the Kubernetes objects that it consists of.

Pure: same input, same objects.  Only from what is recorded (the applied spec and the bootstrap), so
that an edit which was not accepted never leaks into an object that has to be put right.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final

import orjson

from api.labels import RESTART_ANNOTATION, config_map_name, stateful_set_name
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import AuthorityStatus, BootstrapStatus, Rendering
from controllers.cluster.certificates.trust import callers_have_names
from controllers.cluster.membership import (
    Membership,
    is_asleep,
    membership_of,
    voters_of,
)
from controllers.cluster.observed import JsonObject, Observed, derived
from controllers.cluster.render.config_files import (
    closed_anew,
    config_file_name,
    config_files,
    digest_of,
    options_of,
)
from controllers.cluster.render.identity import Identity, identity_of
from controllers.cluster.render.network import (
    client_service,
    config_map,
    disruption_budget,
    peer_service,
)
from controllers.cluster.render.pods import pod_template, stateful_set, with_restart
from controllers.cluster.render.policy import network_policy
from controllers.cluster.render.tls import mounted_bundles, with_bundles

_REMEMBERED: Final = 4096


def identity(observed: Observed, bootstrap: BootstrapStatus) -> Identity:
    """The names and addresses of the observed cluster."""
    status = observed.status
    return identity_of(observed.namespace, observed.name, observed.uid, bootstrap, status.tls)


@functools.lru_cache(maxsize=_REMEMBERED)
def _rendering(
    who: Identity,
    spec_json: str,
    restart: str,
    bundles: tuple[tuple[str, str], ...],
    *,
    named_callers: bool,
) -> Rendering:
    spec = ClusterSpec.model_validate_json(spec_json)
    options = options_of(spec, who.listeners, named_callers=named_callers)
    digest = digest_of(options, spec.version)
    template = pod_template(who, spec, digest, restart=restart, bundles=dict(bundles))
    return Rendering(pod_template=template, options=options, digest=digest)


def rendering(
    who: Identity,
    spec: ClusterSpec,
    *,
    restart: str = "",
    bundles: Mapping[str, str] | None = None,
    authorities: AuthorityStatus | None = None,
) -> Rendering:
    """What this version of the operator makes of a spec. Nobody may change it: it is shared."""
    mounted = tuple(sorted((bundles or {}).items()))
    named = spec.security.tls.peer_certificate_secret is not None
    return _rendering(
        who,
        spec.model_dump_json(),
        restart,
        mounted,
        named_callers=callers_have_names(authorities, named=named),
    )


def rendered_for(observed: Observed, spec: ClusterSpec, bootstrap: BootstrapStatus) -> Rendering:
    """The same for the observed cluster, with the restart that was asked for last, and with the
    authorities that its members trust.
    """
    recorded = observed.status.rendered
    bundles = mounted_bundles(recorded.pod_template["spec"]) if recorded else {}
    return rendering(
        identity(observed, bootstrap),
        spec,
        restart=restart_asked(observed),
        bundles=bundles,
        authorities=observed.status.authorities,
    )


def restart_asked(observed: Observed) -> str:
    """The newest request for a restart of all members; one that was taken back stays honoured."""
    recorded = observed.status.rendered
    if observed.restart_asked or recorded is None:
        return observed.restart_asked
    annotations = recorded.pod_template["metadata"].get("annotations") or {}
    asked: str = annotations.get(RESTART_ANNOTATION, "")
    return asked


def restarted(rendered: Rendering, asked: str) -> Rendering:
    """The same with another request for a restart in the template, and nothing else anew."""
    template = with_restart(rendered.pod_template, asked)
    return rendered.model_copy(update={"pod_template": template})


def trusting(rendered: Rendering, bundles: Mapping[str, str]) -> Rendering:
    """The same with these keys of the Secrets as ca.crt, by volume, and nothing else anew."""
    template = rendered.pod_template
    mounted = {**mounted_bundles(template["spec"]), **bundles}
    annotations = template["metadata"].get("annotations") or {}
    restart = annotations.get(RESTART_ANNOTATION, "")
    template = with_restart(with_bundles(template, mounted), restart)
    return rendered.model_copy(update={"pod_template": template})


@derived
def desired_objects(observed: Observed) -> tuple[JsonObject, ...]:
    """All objects, in the order in which they are needed; empty before acceptance."""
    bootstrap = observed.status.bootstrap
    if observed.applied is None or bootstrap is None:
        return ()
    rendered = observed.status.rendered or rendered_for(observed, observed.applied, bootstrap)
    who = identity(observed, bootstrap)
    membership = membership_of(observed.status)
    return _rendered(
        who,
        orjson.dumps(observed.status.applied_spec),
        orjson.dumps(rendered.to_json()),
        membership,
        voters=0 if is_asleep(observed) else len(voters_of(observed.status)),
        live_claim_templates=orjson.dumps(live_claim_templates(observed)),
        still_mounted=_still_mounted(observed),
        policed=bootstrap.network_policy,
        operator_namespace=observed.operator_namespace,
    )


# Nothing of this changes for hours, and every reconcile asks for it.
@functools.lru_cache(maxsize=_REMEMBERED)
def _rendered(
    who: Identity,
    spec_json: bytes,
    rendering_json: bytes,
    membership: Membership,
    *,
    voters: int,
    live_claim_templates: bytes,
    still_mounted: tuple[tuple[str, str, int], ...],
    policed: bool,
    operator_namespace: str,
) -> tuple[JsonObject, ...]:
    """`voters` 0: asleep.  `policed`: whether there is a NetworkPolicy unless the spec says.

    Nobody may change what is returned: it is shared.
    """
    spec = ClusterSpec.model_validate_json(spec_json)
    made = Rendering.model_validate_json(rendering_json)
    older = {name: closed_anew(text, who, membership, n) for name, text, n in still_mounted}
    objects = (
        peer_service(who),
        client_service(who, spec.service),
        config_map(
            who,
            {
                **older,
                **config_files(
                    who, orjson.dumps(made.options), made.digest, spec.version, membership
                ),
            },
        ),
        disruption_budget(who, voters=voters, target=spec.size),
        network_policy(
            who,
            spec.security.network_policy,
            made.pod_template,
            unless_said=policed,
            operator_namespace=operator_namespace,
        ),
        stateful_set(
            who,
            spec,
            made.pod_template,
            size=len(membership.ordinals) if voters else 0,
            live_claim_templates=orjson.loads(live_claim_templates),
        ),
    )
    return tuple(obj for obj in objects if obj is not None)


def stateful_set_for(
    observed: Observed,
    spec: ClusterSpec,
    bootstrap: BootstrapStatus,
    rendered: Rendering,
    *,
    size: int,
) -> dict[str, Any]:
    """The StatefulSet for a spec, with this many pods."""
    return stateful_set(
        identity(observed, bootstrap),
        spec,
        rendered.pod_template,
        size=size,
        live_claim_templates=live_claim_templates(observed),
    )


def live_claim_templates(observed: Observed) -> list[Any]:
    """Those of the StatefulSet that is there; empty without one."""
    live = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    templates: list[Any] = live.get("spec", {}).get("volumeClaimTemplates", [])
    return templates


def _still_mounted(observed: Observed) -> tuple[tuple[str, str, int], ...]:
    """Files of older options, or of members that leave, whose pods may still start from them: the
    name, the text as it stands, and the ordinal.
    """
    data = observed.live.get(("ConfigMap", config_map_name(observed.name)), {}).get("data", {})
    mounted = {
        config_file_name(pod.name, pod.config_file.removesuffix(".yaml").rpartition("-")[2]): pod
        for pod in observed.pods
        if pod.config_file
    }
    return tuple(
        sorted(
            (name, text, mounted[name].ordinal) for name, text in data.items() if name in mounted
        )
    )


__all__ = [
    "Identity",
    "desired_objects",
    "identity",
    "live_claim_templates",
    "rendered_for",
    "rendering",
    "restart_asked",
    "restarted",
    "stateful_set_for",
    "trusting",
]
