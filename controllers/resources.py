"""The Kubernetes resources that the controllers read and write."""

from api.labels import GROUP, VERSION
from informers.resource import Resource

CLUSTERS = Resource(GROUP, VERSION, "etcdclusters", "EtcdCluster")
BACKUPS = Resource(GROUP, VERSION, "etcdbackups", "EtcdBackup")
RESTORES = Resource(GROUP, VERSION, "etcdrestores", "EtcdRestore")

STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
# Not in OWNED: Secrets are read by name, and never listed or watched.
SECRETS = Resource("", "v1", "secrets", "Secret")
# Of cert-manager, which may not be there; read by name like Secrets.
CERTIFICATES = Resource("cert-manager.io", "v1", "certificates", "Certificate")
# Of backups; a cluster has none.
JOBS = Resource("batch", "v1", "jobs", "Job")
# Of backups too: what keeps the changes.
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
PODS = Resource("", "v1", "pods", "Pod")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
STORAGE_CLASSES = Resource(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
WEBHOOK_CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
EVENTS = Resource("", "v1", "events", "Event")

# What the operator makes for a cluster and owns by a controller reference.
OWNED = (SERVICES, CONFIG_MAPS, DISRUPTION_BUDGETS, NETWORK_POLICIES, STATEFUL_SETS)
BY_KIND = {resource.kind: resource for resource in OWNED}
