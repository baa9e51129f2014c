"""An order and the environment of the pod → the store that the backup goes to."""

from collections.abc import Mapping
from pathlib import Path

from controllers.backup.order import (
    AZURE_KEY,
    GCS_KEY,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
    VOLUME_PATH,
    Place,
)
from snapshots.errors import StoreConfigError, StoreForbiddenError
from snapshots.locations import (
    AzureAccountKey,
    AzureLocation,
    Credentials,
    GCSLocation,
    GCSServiceAccount,
    LocalLocation,
    Location,
    S3Keys,
    S3Location,
    WorkloadIdentity,
)
from snapshots.stores import Store, open_store


def open_ordered_store(
    order: Place, environ: Mapping[str, str], volume: Path = Path(VOLUME_PATH)
) -> Store:
    """The store; the folder of a volume is made if need be. Raises StoreError."""
    location = location_of(order, volume)
    if isinstance(location, LocalLocation):
        _make_folder(Path(location.folder), str(location))
    return open_store(location, credentials_of(order, environ))


def location_of(order: Place, volume: Path) -> Location:
    """Where the backup goes. Raises StoreConfigError for an order without a store."""
    if order.s3 is not None:
        return S3Location(
            bucket=order.s3.bucket,
            prefix=order.s3.path.strip("/"),
            region=order.s3.region,
            endpoint=order.s3.endpoint,
            path_style=order.s3.path_style,
        )
    if order.gcs is not None:
        prefix, endpoint = order.gcs.path.strip("/"), order.gcs.endpoint
        return GCSLocation(bucket=order.gcs.bucket, prefix=prefix, endpoint=endpoint)
    if order.azure is not None:
        return AzureLocation(
            account=order.azure.account,
            container=order.azure.container,
            prefix=order.azure.path.strip("/"),
            endpoint=order.azure.endpoint,
        )
    if order.local is not None:
        return LocalLocation(folder=volume / order.local.path.strip("/"))
    raise StoreConfigError("the order names no store", operation="open", where="nowhere")


def credentials_of(order: Place, environ: Mapping[str, str]) -> Credentials:
    """What the pod was given, or else whatever identity it has."""
    if order.s3 is not None and S3_ACCESS_KEY in environ:
        return S3Keys(
            access_key_id=environ[S3_ACCESS_KEY].strip(),
            secret_access_key=environ.get(S3_SECRET_KEY, "").strip(),
        )
    if order.gcs is not None and GCS_KEY in environ:
        return GCSServiceAccount(key=environ[GCS_KEY])
    if order.azure is not None and AZURE_KEY in environ:
        return AzureAccountKey(key=environ[AZURE_KEY].strip())
    return WorkloadIdentity()


def place_of(order: Place, path: str, volume: Path = Path(VOLUME_PATH)) -> str:
    """Where a folder of the store is, in words that mean something outside of the pod."""
    if order.local is not None:
        inside = "/".join(filter(None, (order.local.path.strip("/"), path)))
        return f"pvc://{order.local.claim_name}/{inside}"
    return f"{location_of(order, volume)}/{path}"


def _make_folder(folder: Path, where: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        words = f"{failure.strerror}: {failure.filename}"
        raise StoreForbiddenError(words, operation="open", where=where) from failure
