"""Where a backup is: an order's or a spec's store → its location, and the path that a status tells.

Pure. The pod writes there what the operator has recorded before, and deletes nothing elsewhere.
"""

from pathlib import PurePath

from api.v1alpha1.backup import BackupSpec
from controllers.backup.order import VOLUME_PATH, Order, Place
from etcd.ids import parse_cluster_id
from snapshots.errors import StoreConfigError
from snapshots.layout import BackupFolder
from snapshots.locations import AzureLocation, GCSLocation, LocalLocation, Location, S3Location


def store_of(spec: BackupSpec) -> Place:
    """The store that the spec names."""
    return Place(s3=spec.s3, gcs=spec.gcs, azure=spec.azure, local=spec.local)


def storage_path_of(order: Order) -> str:
    """Where the backup will be. Raises ValueError for an order that names no folder."""
    cluster_id = parse_cluster_id(order.cluster_id)
    folder = BackupFolder(cluster_id=cluster_id, epoch=order.epoch, name=order.backup)
    return path_in(order, folder.path)


def folder_of(storage_path: str) -> str:
    """The part that is the same in every store: `<cluster ID>-<epoch>/<backup>`."""
    return "/".join(storage_path.rsplit("/", 2)[1:])


def holds(place: Place, storage_path: str) -> bool:
    """Whether that path is one of this store, and of this place in it."""
    try:
        return path_in(place, folder_of(storage_path)) == storage_path
    except StoreConfigError:
        return False


def path_in(place: Place, folder: str) -> str:
    """Where a folder of the store is, in words that mean something outside of the pod."""
    if place.local is not None:
        inside = "/".join(filter(None, (place.local.path.strip("/"), folder)))
        return f"pvc://{place.local.claim_name}/{inside}"
    return f"{location_of(place, PurePath(VOLUME_PATH))}/{folder}"


def location_of(place: Place, volume: PurePath) -> Location:
    """Where the backup goes. Raises StoreConfigError for an order without a store."""
    if place.s3 is not None:
        return S3Location(
            bucket=place.s3.bucket,
            prefix=place.s3.path.strip("/"),
            region=place.s3.region,
            endpoint=place.s3.endpoint,
            path_style=place.s3.path_style,
        )
    if place.gcs is not None:
        prefix, endpoint = place.gcs.path.strip("/"), place.gcs.endpoint
        return GCSLocation(bucket=place.gcs.bucket, prefix=prefix, endpoint=endpoint)
    if place.azure is not None:
        return AzureLocation(
            account=place.azure.account,
            container=place.azure.container,
            prefix=place.azure.path.strip("/"),
            endpoint=place.azure.endpoint,
        )
    if place.local is not None:
        return LocalLocation(folder=volume / place.local.path.strip("/"))
    raise StoreConfigError("the order names no store", operation="open", where="nowhere")
