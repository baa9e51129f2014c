"""What must hold of an EtcdRestore beyond the form of its fields, and what can't be done yet.

Of its source, see `api.restore_rules`.

Called by validation and by the reconciler's plan; pure.
"""

from collections.abc import Iterator
from typing import Final

from api.cluster_rules import spec_errors
from api.errors import FieldError
from api.labels import CONFIRM_SKIP_HASH_CHECK_ANNOTATION, DATA_MOUNT_PATH
from api.names import cluster_name_errors
from api.restore_rules import restore_source_errors
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.restore import RestoreSpec

# Where the members keep their data (controllers/cluster/render/config_files.py), and etcd its log.
DATA_DIRECTORY: Final = f"{DATA_MOUNT_PATH}/data"
WAL_DIRECTORY: Final = f"{DATA_DIRECTORY}/member/wal"


def restore_errors(spec: RestoreSpec) -> Iterator[FieldError]:
    """Yield what is wrong with the spec as a whole."""
    yield from restore_source_errors(spec, "spec")
    yield from cluster_name_errors(spec.cluster_name, "spec.clusterName")
    if spec.restore_type == "New":
        if spec.old_data != "Keep":
            yield FieldError(
                "spec.oldData",
                "says what becomes of a cluster's old data, and restoreType New makes another one",
                "Leave it out, or set restoreType to Replace.",
            )
    elif spec.cluster_template is not None:
        yield FieldError(
            "spec.clusterTemplate",
            "is for a new cluster, and restoreType Replace keeps the spec of the one that there is",
            "Leave it out, or set restoreType to New.",
        )
    if spec.cluster_template is not None:
        yield from _template_errors(spec.cluster_template)


def _template_errors(template: ClusterSpec) -> Iterator[FieldError]:
    yield from spec_errors(template, "spec.clusterTemplate")
    if template.size == 0:
        yield FieldError(
            "spec.clusterTemplate.size", "must be at least 1: without members nothing is restored"
        )
    if template.paused:
        yield FieldError(
            "spec.clusterTemplate.paused", "must be false: a paused cluster is not restored"
        )
    if template.bootstrap.restore_from is not None:
        yield FieldError(
            "spec.clusterTemplate.bootstrap",
            "says what the cluster begins from, and this EtcdRestore does that already",
            "Leave it out.",
        )


def etcdrestore_not_supported_yet(spec: RestoreSpec) -> tuple[FieldError, ...]:
    """Return the fields of a valid spec that ask for what this version cannot do."""
    return tuple(_not_supported(spec))


def _not_supported(spec: RestoreSpec) -> Iterator[FieldError]:
    for field, asked, ours in (
        ("dataDir", spec.data_dir, DATA_DIRECTORY),
        ("walDir", spec.wal_dir, WAL_DIRECTORY),
    ):
        if asked.rstrip("/") not in {"", ours}:
            yield FieldError(
                f"spec.{field}",
                f"is {asked}, and the members of every cluster keep it at {ours}",
                "Leave it out.",
            )


def unconfirmed_errors(name: str, spec: RestoreSpec, *, confirmed: str) -> tuple[FieldError, ...]:
    """Return what only an annotation allows, whose value is `confirmed`, and it does not."""
    if not spec.skip_hash_check or confirmed == name:
        return ()
    return (
        FieldError(
            "spec.skipHashCheck",
            "asks to restore a backup although its hash is wrong: what is damaged is served then",
            f"To confirm that, set the annotation {CONFIRM_SKIP_HASH_CHECK_ANNOTATION} to"
            f" {name}; otherwise leave it out.",
        ),
    )
