"""Database sizes: the quota in force, and when a new size is worth a write of status.  Pure."""

from typing import Final

from api.v1alpha1.cluster import ClusterSpec

# etcd server/storage/quota.go, DefaultQuotaBytes: what a quota of 0 means.
_DEFAULT_QUOTA_BYTES: Final = 2 * 1024**3


def quota_bytes(spec: ClusterSpec | None) -> int:
    """The size at which a member accepts no more writes."""
    quota = spec.options.quota_backend_bytes if spec else None
    return quota.whole if quota else _DEFAULT_QUOTA_BYTES


def shown_size(old: int | None, new: int | None, quota: int) -> int | None:
    """The size to show: the old one until the new one tells something new, in bytes.

    New is a change by a tenth that is also a hundredth of the quota: a database that fills slowly
    would else cause a write of status every few seconds, in every cluster.
    """
    if old is None or new is None:
        return new if new is not None else old
    change = abs(new - old)
    crossed = (old >= quota * 0.9) != (new >= quota * 0.9)
    return new if crossed or (change >= old / 10 and change >= quota / 100) else old
