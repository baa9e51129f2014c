"""Whether a cluster speaks TLS when its spec leaves that open.

Called when an EtcdCluster is read; pure.  The CRD has no default for it, because the server would
give it to objects that were stored, and to clusters that run, before there was one.
"""

from api.v1alpha1.cluster import TLS, ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus


def with_tls_decided(spec: ClusterSpec, status: ClusterStatus) -> ClusterSpec:
    """Return the spec with `security.tls.enabled` said: what the cluster was made with, where the
    status has that, and TLS for a new one.
    """
    if spec.security.tls.enabled is not None:
        return spec
    made = status.bootstrap
    said = {**spec.security.tls.to_json(), "enabled": made is None or made.scheme == "https"}
    security = spec.security.model_copy(update={"tls": TLS.model_validate(said)})
    return spec.model_copy(update={"security": security})
