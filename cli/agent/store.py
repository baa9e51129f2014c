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
from controllers.backup.place import location_of
from snapshots.errors import StoreForbiddenError
from snapshots.locations import (
    AzureAccountKey,
    Credentials,
    GCSServiceAccount,
    LocalLocation,
    S3Keys,
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


def _make_folder(folder: Path, where: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        words = f"{failure.strerror}: {failure.filename}"
        raise StoreForbiddenError(words, operation="open", where=where) from failure
