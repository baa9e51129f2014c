"""The pod template of the members, and the StatefulSet around it.

Pure.  The template is the same for every member and does not change with the size.  It meets the
restricted pod security standard; the user's podTemplate is merged over it last.
"""

from collections.abc import Mapping
from typing import Any

from api.labels import (
    CLUSTER_UID_LABEL,
    CONFIG_MOUNT_PATH,
    CONFIG_VOLUME,
    DATA_MOUNT_PATH,
    DATA_VOLUME,
    ETCD_CONTAINER,
    FIRST_EPOCH,
    RESTART_ANNOTATION,
    TEMPLATE_HASH_ANNOTATION,
    config_map_name,
    data_volume_name,
    object_labels,
    peer_service_name,
    selector_labels,
    stateful_set_name,
)
from api.strategic_merge import merge_pod_template
from api.v1alpha1.cluster import ClusterSpec
from api.volume_claims import claim_class, claim_size
from controllers.cluster.render.identity import CLIENT_PORT, METRICS_PORT, PEER_PORT, Identity
from controllers.cluster.render.meta import metadata
from controllers.cluster.render.normal import hash_of, holds
from controllers.cluster.render.tls import (
    etcdctl_environment,
    tls_mounts,
    tls_volumes,
    with_bundles,
)
from controllers.pod_security import container_security_context, pod_security_context
from etcd.versions import parse_version, probes_of

# The number that distroless images call nonroot; etcd's image sets no user of its own.
_HOST = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"


def pod_template(
    identity: Identity,
    spec: ClusterSpec,
    digest: str,
    *,
    restart: str = "",
    bundles: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The pod template for a spec; `digest` is that of the members' files.

    `restart` is the last value of the annotation that asks for a restart of all members, `bundles`
    which keys of their Secrets they have as ca.crt.
    """
    template = {
        "metadata": {"labels": object_labels(identity.name, identity.uid)},
        "spec": _pod_spec(identity, spec, digest),
    }
    merged = merge_pod_template(template, spec.pod_template.to_json())
    merged = _on_data_of(identity.epoch, merged)
    return with_restart(with_bundles(merged, bundles or {}), restart)


def with_restart(template: Mapping[str, Any], restart: str) -> dict[str, Any]:
    """The template with this request in an annotation, and with its hash beside it."""
    ours = {RESTART_ANNOTATION, TEMPLATE_HASH_ANNOTATION}
    annotations = template["metadata"].get("annotations") or {}
    annotations = {key: value for key, value in annotations.items() if key not in ours}
    if restart:
        annotations[RESTART_ANNOTATION] = restart
    plain = {**template, "metadata": {**template["metadata"], "annotations": annotations}}
    annotations = {**annotations, TEMPLATE_HASH_ANNOTATION: _hash_but_resources(plain)}
    return {**plain, "metadata": {**plain["metadata"], "annotations": annotations}}


def stateful_set(
    identity: Identity,
    spec: ClusterSpec,
    template: Mapping[str, Any],
    *,
    size: int,
    live_claim_templates: list[Any],
) -> dict[str, Any]:
    """The StatefulSet. Claim templates can't be changed: where they differ, the live ones stay."""
    claim_templates = [claim_template(identity, spec)]
    if live_claim_templates and not holds(claim_templates, live_claim_templates):
        claim_templates = live_claim_templates
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(identity, stateful_set_name(identity.name)),
        "spec": {
            "serviceName": peer_service_name(identity.name),
            "replicas": size,
            "selector": {"matchLabels": selector_labels(identity.name)},
            # All members at once: a bootstrap waits for all, and after a power cut so does quorum.
            "podManagementPolicy": "Parallel",
            # Only we restart pods, in an order that keeps quorum.
            "updateStrategy": {"type": "OnDelete"},
            "template": template,
            "volumeClaimTemplates": claim_templates,
        },
    }


def _on_data_of(epoch: int, template: dict[str, Any]) -> dict[str, Any]:
    """The template with this epoch's data wherever it mounts data: a container of the user's says
    `data` in every epoch.
    """
    if epoch == FIRST_EPOCH:
        return template
    pod = template["spec"]
    renamed = {
        kind: [_renamed_mounts(container, data_volume_name(epoch)) for container in pod[kind]]
        for kind in ("containers", "initContainers")
        if pod.get(kind)
    }
    return {**template, "spec": {**pod, **renamed}}


def _renamed_mounts(container: Mapping[str, Any], volume: str) -> dict[str, Any]:
    mounts = [
        {**mount, "name": volume} if mount.get("name") == DATA_VOLUME else mount
        for mount in container.get("volumeMounts") or ()
    ]
    return {**container, "volumeMounts": mounts} if mounts else {**container}


def _hash_but_resources(template: Mapping[str, Any]) -> str:
    """A hash of all that only a restart can change: the etcd container's resources are left out."""
    containers = [
        {**container, "resources": None} if container["name"] == ETCD_CONTAINER else container
        for container in template["spec"]["containers"]
    ]
    return hash_of({**template, "spec": {**template["spec"], "containers": containers}})


def claim_template(identity: Identity, spec: ClusterSpec) -> dict[str, Any]:
    """What claims of this epoch are made from. They carry the cluster's uid and no owner: by
    default they outlive the cluster.
    """
    custom = spec.storage.volume_claim_template
    claim_spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        **(custom.spec if custom else {}),
    }
    resources = claim_spec.get("resources") or {}
    requests = {**(resources.get("requests") or {}), "storage": claim_size(spec.storage).text}
    claim_spec["resources"] = {**resources, "requests": requests}
    storage_class = claim_class(spec.storage)
    if storage_class is not None:
        claim_spec["storageClassName"] = storage_class
    labels = {**(custom.metadata.labels if custom else {})}
    labels |= {**selector_labels(identity.name), CLUSTER_UID_LABEL: identity.uid}
    meta: dict[str, Any] = {"name": data_volume_name(identity.epoch), "labels": labels}
    if custom and custom.metadata.annotations:
        meta["annotations"] = dict(custom.metadata.annotations)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": claim_spec,
    }


def _pod_spec(identity: Identity, spec: ClusterSpec, digest: str) -> dict[str, Any]:
    return {
        "affinity": {
            "podAntiAffinity": _apart(identity, required=spec.placement.spread == "Required")
        },
        # Two zones can't hold a majority each, so this is never more than a wish.
        "topologySpreadConstraints": [
            {
                "topologyKey": _ZONE,
                "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector_labels(identity.name)},
            }
        ],
        # Leadership is handed over first, which takes up to 7 s; the log is then synced and closed.
        "terminationGracePeriodSeconds": 30,
        "automountServiceAccountToken": False,
        # A Service named etcd would put ETCD_... variables into the pod, which etcd takes for
        # flags.
        "enableServiceLinks": False,
        "securityContext": pod_security_context(),
        "containers": [_container(identity, spec, digest)],
        "volumes": [
            {"name": CONFIG_VOLUME, "configMap": {"name": config_map_name(identity.name)}},
            *(tls_volumes(identity.name) if identity.listeners.mounts else ()),
        ],
    }


def _apart(identity: Identity, *, required: bool) -> dict[str, Any]:
    """No two members on one node: as the strongest wish, or as a condition."""
    term = {
        "topologyKey": _HOST,
        "labelSelector": {"matchLabels": selector_labels(identity.name)},
    }
    if required:
        return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    wish = {"weight": 100, "podAffinityTerm": term}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}


def _container(identity: Identity, spec: ClusterSpec, digest: str) -> dict[str, Any]:
    listeners = identity.listeners
    container: dict[str, Any] = {
        "name": ETCD_CONTAINER,
        "image": f"{spec.repository}:{spec.version}",
        "command": ["/usr/local/bin/etcd"],
        "args": [f"--config-file={CONFIG_MOUNT_PATH}/$(POD_NAME)-{digest}.yaml"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *(etcdctl_environment() if "https" in listeners.client else ()),
        ],
        "ports": [
            {"name": "client", "containerPort": CLIENT_PORT, "protocol": "TCP"},
            {"name": "peer", "containerPort": PEER_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "volumeMounts": [
            {"name": DATA_VOLUME, "mountPath": DATA_MOUNT_PATH},
            # Whole, not by subPath: a subPath never sees the files that are closed later.
            {"name": CONFIG_VOLUME, "mountPath": CONFIG_MOUNT_PATH, "readOnly": True},
            *(tls_mounts() if listeners.mounts else ()),
        ],
        # The condition of a member that ends quotes etcd's last words.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security_context(),
        **_probes(spec),
    }
    resources = spec.resources.to_json()
    if any(resources.values()):
        container["resources"] = {key: value for key, value in resources.items() if value}
    return container


def _probes(spec: ClusterSpec) -> dict[str, Any]:
    """Liveness never depends on quorum: a lost quorum must not restart the survivors."""
    paths = probes_of(parse_version(spec.version))
    live, ready = paths.liveness_path, paths.readiness_path
    return {
        # Reading a large log takes minutes; nothing else may end the process meanwhile (20
        # minutes).
        "startupProbe": _probe(live, period_s=1, timeout_s=3, failures=1200),
        "livenessProbe": _probe(live, period_s=10, timeout_s=5, failures=6),
        # Ready means: reads through quorum work. A member that lost it leaves the client Service.
        # Every second, because the next change of membership waits for it.
        "readinessProbe": _probe(ready, period_s=1, timeout_s=3, failures=5),
    }


def _probe(path: str, *, period_s: int, timeout_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": METRICS_PORT, "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": timeout_s,
        "failureThreshold": failures,
    }
