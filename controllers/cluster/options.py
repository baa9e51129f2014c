"""Joins the two rooms that know about options: the spec's fields and etcd's table per version.

Pure.  `api` can't know which options a release of etcd has, and `etcd` knows nothing of a spec; the
errors here name the field of the spec, so that a refused option reads like any other refused field.
"""

from api.errors import FieldError
from api.v1alpha1.cluster import ClusterSpec
from etcd.option_errors import OptionError
from etcd.options import FileKeys, convert, merge, problems, typed_options
from etcd.versions import Version, parse_version


def option_errors(spec: ClusterSpec) -> tuple[FieldError, ...]:
    """What this version of etcd would not take; empty when it would start."""
    try:
        version = parse_version(spec.version)
    except ValueError:
        return (FieldError("spec.version", "must be a release such as v3.5.21"),)
    extra = tuple(
        FieldError(f"spec.options.extra[{found.option}]", found.message)
        for found in problems(spec.options.extra, version)
    )
    if extra:
        return extra
    try:
        file_keys(spec)
    except OptionError as error:
        return (FieldError(f"spec.options ({error.option})", error.message),)
    return ()


def file_keys(spec: ClusterSpec) -> FileKeys:
    """The options of a spec as keys of etcd's configuration file. Raises OptionError."""
    version = parse_version(spec.version)
    return merge(_typed(spec, version), convert(spec.options.extra, version))


def _typed(spec: ClusterSpec, version: Version) -> FileKeys:
    options = spec.options
    quota, compaction = options.quota_backend_bytes, options.auto_compaction
    return typed_options(
        version=version,
        quota_backend_bytes=quota.whole if quota else None,
        auto_compaction_mode=compaction.mode if compaction else None,
        auto_compaction_retention=compaction.retention if compaction else None,
        snapshot_count=options.snapshot_count,
        heartbeat_interval_ms=options.heartbeat_interval,
        election_timeout_ms=options.election_timeout,
    )
