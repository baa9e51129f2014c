"""One etcd configuration file per member, as `--config-file` reads it.

Pure.  A file says everything about a member; nothing comes from flags or the environment.  Its name
ends in a hash of all but membership, and the pod template names that hash: a pod that gets a stale
copy of the ConfigMap finds no file, never wrong options.

Membership in a file (etcd reads it only when there is no write-ahead log):
  open     `new`, all members: while the cluster has not formed.
  late     `existing`, all members: a first member that has never started, after the others formed.
  joining  `existing`, all that etcd lists: a member that was added, until it has started once.
  closed   `existing`, only itself: has started once.  With its log etcd ignores both; without it
           etcd exits, where an open file would let an emptied member vote again under its old ID.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from api.labels import DATA_MOUNT_PATH, pod_name
from api.v1alpha1.cluster import ClusterSpec
from controllers.cluster.membership import Membership
from controllers.cluster.options import file_keys
from controllers.cluster.render.identity import CLIENT_PORT, METRICS_PORT, PEER_PORT, Identity
from etcd.config_file import render_config
from etcd.versions import parse_version

# A subdirectory: a fresh file system has lost+found at its top, and restores want an empty
# directory.
DATA_DIRECTORY: Final = f"{DATA_MOUNT_PATH}/data"

_REMEMBERED: Final = 4096


def config_hash(spec: ClusterSpec) -> str:
    """Ten hex digits that change with any option of etcd, and never with membership."""
    return _config_hash(spec.model_dump_json())


def config_file_name(pod: str, digest: str) -> str:
    """`db-0-1a2b3c4d5e.yaml`: what the pod's `--config-file` ends in."""
    return f"{pod}-{digest}.yaml"


def config_files(
    identity: Identity, spec: ClusterSpec, membership: Membership
) -> Mapping[str, str]:
    """The files of all members, by file name."""
    return _config_files(identity, spec.model_dump_json(), membership)


# Writing YAML is by far the dearest part of a reconcile that changes nothing, and its inputs almost
# never change: both functions remember their answers, by the inputs' own JSON.
@lru_cache(maxsize=_REMEMBERED)
def _config_hash(spec_json: str) -> str:
    spec = ClusterSpec.model_validate_json(spec_json)
    text = render_config(_options(spec), parse_version(spec.version))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


@lru_cache(maxsize=_REMEMBERED)
def _config_files(identity: Identity, spec_json: str, membership: Membership) -> Mapping[str, str]:
    spec = ClusterSpec.model_validate_json(spec_json)
    digest, common = _config_hash(spec_json), _options(spec)
    files = {
        config_file_name(pod_name(identity.name, ordinal), digest): render_config(
            {
                **common,
                **_addresses(identity, ordinal),
                **_membership(identity, membership, ordinal),
            },
            parse_version(spec.version),
        )
        for ordinal in membership.ordinals
    }
    return MappingProxyType(files)


def _options(spec: ClusterSpec) -> dict[str, Any]:
    """What all members have in common: our settings, then the user's."""
    return {
        "data-dir": DATA_DIRECTORY,
        "listen-peer-urls": f"http://0.0.0.0:{PEER_PORT}",
        "listen-client-urls": f"http://0.0.0.0:{CLIENT_PORT}",
        "listen-metrics-urls": f"http://0.0.0.0:{METRICS_PORT}",
        "strict-reconfig-check": True,
        **file_keys(spec),
    }


def _addresses(identity: Identity, ordinal: int) -> dict[str, Any]:
    return {
        "name": pod_name(identity.name, ordinal),
        "initial-advertise-peer-urls": identity.peer_url(ordinal),
        "advertise-client-urls": identity.client_url(ordinal),
    }


def _membership(identity: Identity, membership: Membership, ordinal: int) -> dict[str, Any]:
    if ordinal == membership.opened:
        listed = membership.listed
    elif not membership.formed or ordinal in membership.late:
        listed = membership.ordinals
    else:
        listed = (ordinal,)
    names = (f"{pod_name(identity.name, n)}={identity.peer_url(n)}" for n in listed)
    return {
        "initial-cluster": ",".join(names),
        "initial-cluster-state": "existing" if membership.formed else "new",
        "initial-cluster-token": identity.token,
    }
