"""A request for admission → the verdict.

Pure, but for what only the API server knows: one question that a deletion may ask, and one about
Secrets that an edit begins to name.  What is refused is only what a request brings:
an edit of something else in an object that is wrong already passes, so that a rule of a newer
operator locks nobody out of an object that was stored before.  Always let through: whatever is
being deleted, edits that leave the spec alone (finalizers, annotations), and subresources.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from api.backup_rules import backup_not_supported_yet
from api.errors import FieldError
from api.etcdrestore_rules import etcdrestore_not_supported_yet, unconfirmed_errors
from api.labels import CONFIRM_DELETION_ANNOTATION, GROUP
from api.objects import (
    Invalid,
    ParsedBackup,
    ParsedCluster,
    ParsedRestore,
    read_annotation,
    read_deletion_policy,
    read_identity,
)
from api.v1alpha1.backup import BackupStatus
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore import RestoreStatus
from api.validation import parse_backup, parse_cluster, parse_restore
from webhooks.review import ALLOWED, JsonObject, Review, Verdict
from webhooks.secrets import missing_warnings, named_secrets
from webhooks.warnings import restore_warnings, spec_warnings

Parsed = (
    ParsedCluster
    | ParsedBackup
    | ParsedRestore
    | Invalid[ClusterStatus]
    | Invalid[BackupStatus]
    | Invalid[RestoreStatus]
)
PARSERS: Final[Mapping[str, Callable[[object], Parsed]]] = {
    "EtcdCluster": parse_cluster,
    "EtcdBackup": parse_backup,
    "EtcdRestore": parse_restore,
}

# How many are looked for, each by a request of its own, while kubectl waits.
_MOST_SECRETS: Final = 20


class Rules(Protocol):
    """What only the running operator can say, in the words of its reconciler."""

    def refusals(self, cluster: ParsedCluster, stored: JsonObject | None) -> tuple[FieldError, ...]:
        """What the reconciler would refuse of a valid EtcdCluster in the place of `stored`."""
        ...

    def advice(self, cluster: ParsedCluster, stored: JsonObject | None) -> tuple[str, ...]:
        """What it would do, and advise against."""
        ...

    async def is_ending(self, namespace: str) -> bool:
        """Whether the namespace is being deleted, with everything in it."""
        ...

    async def missing_secrets(self, namespace: str, names: frozenset[str]) -> frozenset[str]:
        """Those of the Secrets that are known not to be there."""
        ...


async def judge(review: Review, rules: Rules) -> Verdict:
    """The verdict. Raises nothing but what `rules` raise."""
    if review.group != GROUP or review.kind not in PARSERS or review.subresource:
        return ALLOWED
    match review.operation:
        case "CREATE" | "UPDATE":
            return await _on_writing(review, rules)
        case "DELETE":
            return await _on_deleting(review, rules)
        case _:
            return ALLOWED


async def _on_writing(review: Review, rules: Rules) -> Verdict:
    obj, stored = review.obj or {}, review.stored
    if read_identity(obj).is_deleting:
        return ALLOWED
    if stored is not None and obj.get("spec") == stored.get("spec"):
        return ALLOWED
    parse = PARSERS[review.kind]
    parsed = parse(obj)
    before = None if stored is None else parse(stored)
    known = () if before is None else _errors(before, stored, rules)
    errors = [error for error in _errors(parsed, stored, rules) if error not in known]
    if errors:
        return Verdict(message="; ".join(map(str, errors)))
    told = () if before is None else _warnings(before, stored, rules)
    warnings = [each for each in _warnings(parsed, stored, rules) if each not in told]
    warnings += await _of_secrets(parsed, before, rules)
    return Verdict(warnings=tuple(warnings))


async def _of_secrets(parsed: Parsed, before: Parsed | None, rules: Rules) -> tuple[str, ...]:
    """Warnings of Secrets that are named for the first time, and not there."""
    if isinstance(parsed, Invalid):
        return ()
    known = {} if before is None or isinstance(before, Invalid) else named_secrets(before.spec)
    named = {
        path: name for path, name in named_secrets(parsed.spec).items() if known.get(path) != name
    }
    if not named:
        return ()
    names = frozenset(list(named.values())[:_MOST_SECRETS])
    return missing_warnings(named, await rules.missing_secrets(parsed.identity.namespace, names))


def _errors(parsed: Parsed, stored: JsonObject | None, rules: Rules) -> tuple[FieldError, ...]:
    match parsed:
        case Invalid():
            return parsed.errors
        case ParsedCluster():
            return rules.refusals(parsed, stored)
        case ParsedBackup():
            return backup_not_supported_yet(parsed.spec, parsed.identity.namespace)
        case ParsedRestore():
            name, confirmed = parsed.identity.name, parsed.confirmed
            unconfirmed = unconfirmed_errors(name, parsed.spec, confirmed=confirmed)
            return (*etcdrestore_not_supported_yet(parsed.spec), *unconfirmed)
        case _:
            return ()


def _warnings(parsed: Parsed, stored: JsonObject | None, rules: Rules) -> tuple[str, ...]:
    match parsed:
        case ParsedCluster():
            return (*spec_warnings(parsed.spec, "spec"), *rules.advice(parsed, stored))
        case ParsedRestore():
            template = parsed.spec.cluster_template
            of_template = spec_warnings(template, "spec.clusterTemplate") if template else ()
            return (*restore_warnings(parsed.spec), *of_template)
        case _:
            return ()


async def _on_deleting(review: Review, rules: Rules) -> Verdict:
    stored = review.stored or {}
    if review.kind != "EtcdCluster" or not _needs_confirmation(stored):
        return ALLOWED
    identity = read_identity(stored)
    if await rules.is_ending(identity.namespace):
        return ALLOWED
    name, namespace = identity.name, identity.namespace
    error = FieldError(
        "spec.storage.deletionPolicy",
        f"is Delete: with {name} the volumes of its members and all data on them would be deleted",
        f'To confirm that, run "kubectl annotate -n {namespace} etcdcluster {name}'
        f' {CONFIRM_DELETION_ANNOTATION}={name}" and delete again; to keep the data, set it to'
        " Retain.",
    )
    return Verdict(message=str(error), is_invalid=False)


def _needs_confirmation(stored: JsonObject) -> bool:
    """Whether data would go that somebody may want: of a cluster that was started once."""
    identity, status = read_identity(stored), parse_cluster(stored).status
    return (
        not identity.is_deleting
        and read_deletion_policy(stored) == "Delete"
        and status.bootstrap is not None
        and read_annotation(stored, CONFIRM_DELETION_ANNOTATION) != identity.name
    )
