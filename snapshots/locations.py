"""Where backups are kept, and with which credentials the store is opened: plain values.

The credentials are for one call of `stores.open_store`; nothing here prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import PurePath


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Location:
    """A bucket of S3, or of a store that speaks its protocol.

    prefix: before all object names, without slashes at its ends. endpoint: the store's URL, empty
    for Amazon's. path_style: `endpoint/bucket/...` instead of `bucket.endpoint/...`. ca: PEM of the
    authorities that a store with a certificate of its own is checked with, besides the usual ones.
    """

    bucket: str
    prefix: str = ""
    region: str = ""
    endpoint: str = ""
    path_style: bool = False
    ca: str = ""

    @override
    def __str__(self) -> str:
        return _url("s3", self.bucket, self.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class GCSLocation:
    """A bucket of Google Cloud Storage. endpoint: empty for Google's."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    ca: str = ""

    @override
    def __str__(self) -> str:
        return _url("gs", self.bucket, self.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureLocation:
    """A container of Azure Blob Storage. endpoint: empty for Azure's own."""

    account: str
    container: str
    prefix: str = ""
    endpoint: str = ""
    ca: str = ""

    @override
    def __str__(self) -> str:
        return _url("azure", f"{self.account}/{self.container}", self.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLocation:
    """A folder that is there already: a mounted volume."""

    folder: PurePath

    @override
    def __str__(self) -> str:
        return f"file://{self.folder}"


Location: TypeAlias = S3Location | GCSLocation | AzureLocation | LocalLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Keys:
    """An access key of S3. session_token: with temporary keys."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GCSServiceAccount:
    """The JSON file of a service account's key."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureAccountKey:
    """One of the storage account's two keys."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSharedAccess:
    """A token of a shared access signature: `sv=...&sig=...`."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadIdentity:
    """What the process has of its own: the cloud's identity of its pod, by environment variables,
    projected tokens or the machine's metadata service.
    """


Credentials: TypeAlias = (
    S3Keys | GCSServiceAccount | AzureAccountKey | AzureSharedAccess | WorkloadIdentity
)


def secrets_of(credentials: Credentials) -> tuple[str, ...]:
    """What must not appear in any text, the longest first."""
    return tuple(sorted(filter(None, _secrets(credentials)), key=len, reverse=True))


def _secrets(credentials: Credentials) -> tuple[str, ...]:
    match credentials:
        case S3Keys():
            return (credentials.secret_access_key, credentials.session_token)
        case GCSServiceAccount() | AzureAccountKey():
            return (credentials.key,)
        case AzureSharedAccess():
            return (credentials.token, *credentials.token.split("&"))
        case WorkloadIdentity():
            return ()


def _url(scheme: str, root: str, prefix: str) -> str:
    return f"{scheme}://{root}/{prefix}" if prefix else f"{scheme}://{root}"
