"""A Kubernetes resource type into the paths its API server serves.

Used by everything that speaks to the API server; pure, and knows no resource by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource type, e.g. `Resource("apps", "v1", "statefulsets", "StatefulSet")`.

    `group` is "" for the core group; `plural` is the lower-case name used in paths and RBAC.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What objects of this type carry as `apiVersion`: "v1", "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
    ) -> str:
        """The path below the server's address; without `name` that of the collection.

        `namespace=None` on a namespaced type means all namespaces, which only collections have.
        Raises ValueError for a path no server serves.
        """
        if namespace is not None and not self.namespaced:
            msg = f"{self.plural} is not namespaced"
            raise ValueError(msg)
        if name is not None and namespace is None and self.namespaced:
            msg = f"{self.plural}/{name} needs a namespace"
            raise ValueError(msg)
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
            if subresource is not None:
                parts.append(subresource)
        return "/".join(parts)


def object_key(namespace: str, name: str) -> str:
    """The key caches and queues use: "namespace/name", or "name" for cluster-scoped objects."""
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name) of an `object_key`; the namespace of a cluster-scoped object is ""."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def compare_resource_versions(left: str, right: str) -> int | None:
    """Order two resourceVersions of one resource type: -1, 0, 1, or None if they have no order.

    They are opaque to the protocol and comparable only as unbounded decimals (KEP-5504); whoever
    gets None must carry on as if the comparison had come out in its favour.
    """
    if left == right:
        return 0
    if not (_is_number(left) and _is_number(right)):
        return None
    a, b = (len(left), left), (len(right), right)
    return -1 if a < b else 1


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and (version[0] != "0" or version == "0")
