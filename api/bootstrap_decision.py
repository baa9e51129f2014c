"""What a cluster began from when its spec leaves that out by now.

Called when an EtcdCluster is read; pure.  `spec.bootstrap.restoreFrom` has done its work once the
cluster runs, and may be taken out of the manifest: that is no edit.
"""

from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore_source import Bootstrap


def with_bootstrap_decided(spec: ClusterSpec, status: ClusterStatus) -> ClusterSpec:
    """Return the spec with `bootstrap` as the cluster was made with, unless it says something."""
    made = (status.applied_spec or {}).get("bootstrap")
    if spec.bootstrap.restore_from is not None or not made:
        return spec
    return spec.model_copy(update={"bootstrap": Bootstrap.model_validate(made)})
