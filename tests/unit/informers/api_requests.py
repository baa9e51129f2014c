"""HTTP requests into what they mean to a Kubernetes API server: verb, resource, object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request the server has seen, before it was answered."""

    verb: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Target:
    """A path, taken apart. `prefix` is `/api/v1` or `/apis/group/version`."""

    prefix: str
    plural: str
    namespace: str
    name: str
    subresource: str

    @property
    def collection(self) -> tuple[str, str]:
        return self.prefix, self.plural

    @property
    def api_version(self) -> str:
        return self.prefix.removeprefix("/apis/").removeprefix("/api/")

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def parse(path: str) -> Target:
    parts = path.strip("/").split("/")
    cut = 2 if parts[0] == "api" else 3
    prefix, rest = "/" + "/".join(parts[:cut]), parts[cut:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = [*rest, "", ""][:3]
    return Target(prefix, plural, namespace, name, subresource)


def verb_of(method: str, target: Target, params: dict[str, str]) -> str:
    if method == "GET":
        if target.name:
            return "get"
        return "watch" if params.get("watch") in {"true", "1"} else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
