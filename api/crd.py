"""Turns the models into CustomResourceDefinitions, with and without CEL rules.

Called by hack/generate.py, which writes manifests/crds/, by whoever installs them, and by tests.
Pure: the same models give the same bytes. The second form is for Kubernetes before 1.25, which
knows no CEL; there the operator itself says what is wrong.
"""

from dataclasses import dataclass
from typing import Any, Final

import yaml

from api.labels import (
    CLUSTER_NAME_PATTERN,
    GROUP,
    MAX_CLUSTER_NAME_LENGTH,
    RESERVED_SUFFIXES,
    VERSION,
)
from api.schema import CEL_KEY, Schema, structural_schema, without_cel
from api.v1alpha1.backup import EtcdBackup
from api.v1alpha1.cluster import EtcdCluster
from api.v1alpha1.common import Model
from api.v1alpha1.restore import EtcdRestore

_READY_REASON: Final = '.status.conditions[?(@.type=="Ready")].reason'
_READY_MESSAGE: Final = '.status.conditions[?(@.type=="Ready")].message'


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; those that are not `wide` are what someone on call needs
    first.
    """

    name: str
    type: str
    path: str
    description: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One of our kinds, and all that its CRD says beyond the schema."""

    model: type[Model]
    short_name: str
    columns: tuple[Column, ...]
    categories: tuple[str, ...] = ()
    scalable: bool = False
    name_schema: Schema | None = None
    rules: tuple[Schema, ...] = ()

    @property
    def name(self) -> str:
        return self.model.__name__

    @property
    def plural(self) -> str:
        return f"{self.name.lower()}s"


_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "When the object was made.")
_REASON: Final = Column("Reason", "string", _READY_REASON, "Why it is ready, or why not.")
_MESSAGE: Final = Column("Message", "string", _READY_MESSAGE, "The reason in words.", wide=True)


def _suffix_rule() -> Schema:
    endings = "|".join(suffix.removeprefix("-") for suffix in RESERVED_SUFFIXES)
    return {
        "rule": f"!self.metadata.name.matches('-({endings})$')",
        "message": f"metadata.name must not end in {', '.join(RESERVED_SUFFIXES)}:"
        " objects of another cluster could have these names",
    }


CLUSTER: Final = Kind(
    model=EtcdCluster,
    short_name="etcd",
    # Of this kind alone: kubectl prefers categories to short names, so with backups and restores
    # in it, `kubectl get etcd NAME` would fail with "you must specify only one resource".
    categories=("etcd",),
    scalable=True,
    name_schema={
        "type": "string",
        "maxLength": MAX_CLUSTER_NAME_LENGTH,
        "pattern": CLUSTER_NAME_PATTERN,
    },
    rules=(_suffix_rule(),),
    columns=(
        Column("Ready", "integer", ".status.readyReplicas", "How many members are ready."),
        Column("Size", "integer", ".spec.size", "How many members are wanted."),
        Column("Version", "string", ".spec.version", "The version that is wanted."),
        Column("Status", "string", ".status.phase", "The summary in one word."),
        _REASON,
        Column("Leader", "string", ".status.leader", "The leader's name.", wide=True),
        Column("Cluster ID", "string", ".status.clusterID", "etcd's ID.", wide=True),
        _MESSAGE,
        _AGE,
    ),
)
BACKUP: Final = Kind(
    model=EtcdBackup,
    short_name="etcdbackup",
    columns=(
        Column("Cluster", "string", ".spec.clusterName", "What is saved."),
        Column("Storage", "string", ".spec.storageType", "Where to."),
        Column("Status", "string", ".status.phase", "The summary in one word."),
        _REASON,
        Column("Revision", "integer", ".status.etcdRevision", "The saved revision."),
        Column("Size", "integer", ".status.backupSize", "Bytes of the backup."),
        Column("Completed", "date", ".status.completionTime", "When it was completed."),
        Column("Schedule", "string", ".spec.schedule", "The cron expression.", wide=True),
        _MESSAGE,
        _AGE,
    ),
)
RESTORE: Final = Kind(
    model=EtcdRestore,
    short_name="etcdrestore",
    columns=(
        Column("Backup", "string", ".spec.backupName", "What is restored."),
        Column("Cluster", "string", ".spec.clusterName", "Which cluster it becomes."),
        Column("Type", "string", ".spec.restoreType", "New or Replace."),
        Column("Status", "string", ".status.phase", "The summary in one word."),
        _REASON,
        Column("Percent", "integer", ".status.percent", "How much of the way is done."),
        Column("Completed", "date", ".status.completionTime", "When it was completed."),
        Column("Revision", "integer", ".status.etcdRevision", "The backup's revision.", wide=True),
        _MESSAGE,
        _AGE,
    ),
)
KINDS: Final = (CLUSTER, BACKUP, RESTORE)


def render_crds(*, cel: bool) -> str:
    """Return the three definitions as one YAML file; `cel=False` for Kubernetes before 1.25."""
    return "".join(
        "---\n" + yaml.safe_dump(crd(kind, cel=cel), sort_keys=False, width=100, allow_unicode=True)
        for kind in KINDS
    )


def crd(kind: Kind, *, cel: bool) -> dict[str, Any]:
    """Return the definition of one kind as plain data."""
    schema = object_schema(kind)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                **({"categories": list(kind.categories)} if kind.categories else {}),
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "subresources": _subresources(kind),
                    "schema": {"openAPIV3Schema": schema if cel else without_cel(schema)},
                }
            ],
        },
    }


def object_schema(kind: Kind) -> Schema:
    """Return the schema of whole objects of the kind, CEL rules included."""
    fields = kind.model.model_fields
    description = str(kind.model.__doc__).partition("\n")[0]
    parts = {
        name: _part(kind.model, name, with_defaults=name == "spec") for name in ("spec", "status")
    }
    schema: Schema = {
        "description": description,
        "type": "object",
        "properties": {
            "apiVersion": {
                "description": "The version of this object's schema: etcd.etcd.io/v1alpha1.",
                "type": "string",
            },
            "kind": {"description": f"The kind of this object: {kind.name}.", "type": "string"},
            "metadata": _metadata(kind),
            **parts,
        },
    }
    if fields["spec"].is_required():
        schema["required"] = ["spec"]
    if kind.rules:
        schema[CEL_KEY] = list(kind.rules)
    return schema


def _part(model: type[Model], name: str, *, with_defaults: bool) -> Schema:
    field = model.model_fields[name]
    part_model: Any = field.annotation
    schema = structural_schema(part_model, name, with_defaults=with_defaults)
    schema["description"] = field.description
    if with_defaults and not field.is_required():
        schema = {**schema, "default": {}}
    return schema


def _metadata(kind: Kind) -> Schema:
    if kind.name_schema is None:
        return {"type": "object"}
    return {"type": "object", "properties": {"name": kind.name_schema}}


def _subresources(kind: Kind) -> dict[str, Any]:
    if not kind.scalable:
        return {"status": {}}
    scale = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return {"status": {}, "scale": scale}


def _column(column: Column) -> dict[str, Any]:
    priority = {"priority": 1} if column.wide else {}
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
        **priority,
    }
