"""Whether a cluster speaks TLS: as is recorded, and as is meant where its spec leaves that open.

Called when an EtcdCluster is read, and by whoever goes to its members; pure.  The CRD has no
default for it, because the server would give it to objects that were stored, and to clusters that
run, before there was one.
"""

from collections.abc import Mapping
from typing import Any

from api.v1alpha1.cluster import TLS, ClusterSpec
from api.v1alpha1.cluster_status import BootstrapStatus, ClusterStatus, TLSStatus


def with_tls_decided(spec: ClusterSpec, status: ClusterStatus) -> ClusterSpec:
    """Return the spec with `security.tls.enabled` said: what was accepted last or, where the status
    has not that, what the cluster was made with; and TLS for a new one.
    """
    if spec.security.tls.enabled is not None:
        return spec
    said = {**_so_far(status), **spec.security.tls.to_json()}
    security = spec.security.model_copy(update={"tls": TLS.model_validate(said)})
    return spec.model_copy(update={"security": security})


def _so_far(status: ClusterStatus) -> Mapping[str, Any]:
    security = (status.applied_spec or {}).get("security") or {}
    accepted = security.get("tls") or {}
    if "enabled" in accepted:
        names = ("enabled", "clientTLSEnabled", "peerTLSEnabled")
        return {name: accepted[name] for name in names if name in accepted}
    made = status.bootstrap
    return {"enabled": made is None or made.scheme == "https"}


def tls_of(bootstrap: BootstrapStatus, recorded: TLSStatus | None) -> TLSStatus:
    """Return with whom members speak TLS: what is recorded of it, or how the cluster was made."""
    if recorded is not None:
        return recorded
    made, among = bootstrap.scheme, bootstrap.peer_scheme or bootstrap.scheme
    return TLSStatus(client=made == "https", peer=among == "https")
