"""What a pod is made from: one revision of the StatefulSet's template, and the image in it.

The image that tries out a version is a pod of its own: it prints what the registry gave it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from controllers.cluster.render.normal import hash_of


@dataclass(frozen=True, slots=True)
class Template:
    """`file`: the end of the name of the configuration file; `resources`: as a pod gets them."""

    revision: str
    file: str
    image: str
    annotations: tuple[tuple[str, str], ...]
    resources: str

    @property
    def version(self) -> str:
        return self.image.rpartition(":")[2]


def template_of(stateful_set: Mapping[str, Any]) -> Template:
    return _template_from(json.dumps(stateful_set["spec"]["template"], sort_keys=True))


@lru_cache(maxsize=4096)
def _template_from(text: str) -> Template:
    template = json.loads(text)
    container = template["spec"]["containers"][0]
    return Template(
        revision=f"db-{hash_of(template)}",
        file=container["args"][0].rpartition("-")[2],
        image=container["image"],
        annotations=tuple(sorted(template["metadata"].get("annotations", {}).items())),
        resources=json.dumps(defaulted(container.get("resources") or {}), sort_keys=True),
    )


def defaulted(resources: Mapping[str, Any]) -> dict[str, Any]:
    """As the API server stores them in a pod: what is limited is requested as well."""
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    return {kind: named for kind, named in (("limits", limits), ("requests", requests)) if named}


@dataclass(slots=True)
class ProbePod:
    """The pod that tries out an image."""

    uid: str
    image: str
    created: float
    missing: bool = False  # its image
    printed: str | None = None  # once it has ended
    terminating: bool = False


@dataclass
class Registry:
    """Gives images: what their tag says, but for those that are missing or lie about themselves.

    `reported`: the images of which a probe or a member has shown that they are what they say.
    """

    missing: bool = False
    instead: str = ""  # the version that any image really holds
    reported: set[str] = field(default_factory=set)

    def run(self, probe: ProbePod) -> None:
        """The probe is pulled, prints its version and ends."""
        probe.missing = self.missing
        if self.missing or probe.printed is not None:
            return
        named = probe.image.rpartition(":")[2].removeprefix("v")
        version = self.instead or named
        probe.printed = f"etcd Version: {version}\nGit SHA: abc\n"
        if version == named:
            self.reported.add(probe.image)
