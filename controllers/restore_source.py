"""A restore's source → the backup in its store, or why there is none. Pure.

Shared by clusters that begin from a backup and by EtcdRestores.
"""

from dataclasses import dataclass
from typing import Any

from api.labels import ALLOW_RESTORE_ANNOTATION
from api.objects import Invalid, ParsedBackup, read_annotation
from api.reasons import Reason
from api.v1alpha1.backup import BackupSpec
from api.v1alpha1.restore_source import RestoreSource, StoreSource
from api.validation import parse_backup
from controllers.backup.order import Place
from controllers.backup.place import folder_of, path_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Where the backup is. store: with the names of all credentials. skip_hash_check: whether it
    is taken although its hash is wrong.
    """

    store: StoreSource
    skip_hash_check: bool = False

    @property
    def place(self) -> Place:
        one = self.store
        return Place(s3=one.s3, gcs=one.gcs, azure=one.azure, local=one.local)

    @property
    def storage_path(self) -> str:
        return path_in(self.place, self.store.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """Why there is none. may_come: whether that may change without a change of the source."""

    reason: Reason
    message: str
    may_come: bool = False


def resolve(
    source: RestoreSource, namespace: str, backup: dict[str, Any] | None
) -> Resolved | Unresolved:
    """backup: the EtcdBackup that the source names, None where there is none."""
    if source.store is not None:
        return Resolved(store=source.store)
    name, where = source.backup_name, source.backup_namespace or namespace
    if backup is None:
        message = f"There is no EtcdBackup {name} in namespace {where}"
        return Unresolved(reason=Reason.BACKUP_NOT_FOUND, message=message, may_come=True)
    parsed = parse_backup(backup)
    if isinstance(parsed, Invalid):
        message = f"EtcdBackup {name} has a spec that is not valid: {parsed.message}"
        return Unresolved(reason=Reason.BACKUP_NOT_COMPLETED, message=message)
    if where != namespace and (denial := _denial(backup, parsed, namespace)):
        return Unresolved(reason=Reason.BACKUP_NOT_SHARED, message=denial)
    if source.target and parsed.spec.schedule is not None:
        return _history(source, parsed)
    return _completed(parsed)


def _completed(backup: ParsedBackup) -> Resolved | Unresolved:
    spec, status = backup.spec, backup.status
    if status.phase == "Completed":
        return Resolved(store=_store(spec, folder_of(status.storage_path)))
    name = backup.identity.name
    message = f"EtcdBackup {name} is {status.phase or 'new'}: there is nothing to restore"
    may_come = status.phase in {"", "Pending", "Running"}
    return Unresolved(reason=Reason.BACKUP_NOT_COMPLETED, message=message, may_come=may_come)


def _history(source: RestoreSource, backup: ParsedBackup) -> Resolved | Unresolved:
    """A schedule that keeps changes: any backup of its windows names the history, and from which
    one it goes on to the target the pod finds out.
    """
    windows = backup.status.windows
    if windows:
        return Resolved(store=_store(backup.spec, windows[-1].base))
    message = (
        f"EtcdBackup {backup.identity.name} is a schedule without changes that lead to"
        f" {source.target}: name one of its backups"
    )
    return Unresolved(reason=Reason.TARGET_NOT_RESTORABLE, message=message)


def _denial(backup: dict[str, Any], parsed: ParsedBackup, namespace: str) -> str:
    """Why it can't be restored into another namespace; empty when it can."""
    name, where = parsed.identity.name, parsed.identity.namespace
    allowed = [one.strip() for one in read_annotation(backup, ALLOW_RESTORE_ANNOTATION).split(",")]
    if not {"*", namespace} & set(allowed):
        return (
            f"EtcdBackup {name} of namespace {where} does not allow namespace {namespace} to"
            f" restore it: annotate it with {ALLOW_RESTORE_ANNOTATION}={namespace}"
        )
    if parsed.spec.local is not None:
        return (
            f"EtcdBackup {name} is in a volume of namespace {where}, which no pod elsewhere can"
            " mount: copy it into one of this namespace, and name that in store"
        )
    return ""


def _store(spec: BackupSpec, folder: str) -> StoreSource:
    return StoreSource(
        storage_type=spec.storage_type,
        s3=spec.s3,
        gcs=spec.gcs,
        azure=spec.azure,
        local=spec.local,
        service_account_name=spec.service_account_name,
        path=folder,
        encryption=spec.encryption,
    )
