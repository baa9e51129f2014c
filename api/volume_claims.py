"""Reads what a spec says about the members' volumes: their size and class, and what is wrong with
the claim template.

Called by validation and by rendering; pure. `storage.size` and `storage.storageClassName` are the
usual way; a template may name the same again, or stand alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.errors import FieldError
from api.names import annotation_errors, label_errors
from api.quantity import Quantity, parse_quantity
from api.v1alpha1.cluster import DEFAULT_VOLUME_SIZE, Storage

_WRITABLE: Final = ("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany")
_REFUSED: Final[Mapping[str, str]] = {
    "volumeName": "is one volume, and every member needs its own",
    "dataSource": "would give new members old data",
    "dataSourceRef": "would give new members old data",
}


def claim_size(storage: Storage) -> Quantity:
    """Return the size of each volume: the template's if it names one, else `storage.size`.

    Raises ValueError when the template's is malformed; validation has refused such a spec.
    """
    template = storage.volume_claim_template
    named = _template_size(template.spec) if template else None
    return storage.size if named is None else parse_quantity(named)


def claim_class(storage: Storage) -> str | None:
    """Return the storage class; None for the default one, "" for none at all."""
    if storage.storage_class_name is not None or storage.volume_claim_template is None:
        return storage.storage_class_name
    named: str | None = storage.volume_claim_template.spec.get("storageClassName")
    return named


def storage_errors(storage: Storage, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the volumes' settings."""
    if not storage.size.is_whole:
        yield FieldError(f"{path}.size", "must be a whole number of bytes")
    template = storage.volume_claim_template
    if template is None:
        return
    here = f"{path}.volumeClaimTemplate"
    yield from label_errors(template.metadata.labels, f"{here}.metadata.labels")
    yield from annotation_errors(template.metadata.annotations, f"{here}.metadata.annotations")
    yield from _size_errors(storage, template.spec, f"{here}.spec")
    yield from _class_errors(storage, template.spec, f"{here}.spec")
    yield from _claim_errors(template.spec, f"{here}.spec")


def _size_errors(storage: Storage, claim: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    field = f"{path}.resources.requests.storage"
    try:
        named = _template_size(claim)
        size = None if named is None else parse_quantity(named)
    except ValueError as problem:
        yield FieldError(field, str(problem))
        return
    if size is None:
        return
    if size.value == 0 or not size.is_whole:
        yield FieldError(field, "must be a whole number of bytes, more than 0")
    elif storage.size not in (size, DEFAULT_VOLUME_SIZE):
        yield FieldError(field, f"must be {storage.size}, as storage.size says", "Name one only.")


def _class_errors(storage: Storage, claim: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    field = f"{path}.storageClassName"
    named = claim.get("storageClassName")
    if named is not None and not isinstance(named, str):
        yield FieldError(field, "must be a string")
    elif None not in (named, storage.storage_class_name) and named != storage.storage_class_name:
        yield FieldError(
            field,
            f"must be {storage.storage_class_name!r}, as storage.storageClassName says",
            "Name one only.",
        )


def _claim_errors(claim: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for key, reason in _REFUSED.items():
        if claim.get(key) is not None:
            yield FieldError(f"{path}.{key}", reason, "Leave it out.")
    modes = claim.get("accessModes")
    if modes is not None and not (
        isinstance(modes, list) and any(mode in _WRITABLE for mode in modes)
    ):
        yield FieldError(f"{path}.accessModes", "must be a list with ReadWriteOnce")
    if claim.get("volumeMode", "Filesystem") not in ("Filesystem", None):
        yield FieldError(f"{path}.volumeMode", "must be Filesystem")


def _template_size(claim: Mapping[str, Any]) -> str | int | None:
    requests: object = claim
    for key in ("resources", "requests", "storage"):
        if requests is None:
            return None
        if not isinstance(requests, dict):
            raise ValueError("must be below an object")  # noqa: TRY004 - the input's fault
        requests = requests.get(key)
    if requests is None or (isinstance(requests, str | int) and not isinstance(requests, bool)):
        return requests
    raise ValueError("must be a quantity such as 10Gi")
