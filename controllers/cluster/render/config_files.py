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

import orjson
import yaml

from api.labels import DATA_MOUNT_PATH, pod_name
from api.v1alpha1.cluster import ClusterSpec
from controllers.cluster.listeners import Listeners
from controllers.cluster.membership import Membership
from controllers.cluster.options import file_keys
from controllers.cluster.render.identity import (
    CLIENT_PORT,
    METRICS_PORT,
    PEER_PORT,
    Identity,
)
from controllers.cluster.render.tls import client_tls_keys, peer_tls_keys
from etcd.config_file import render_config, yaml_text
from etcd.versions import parse_version

# A subdirectory: a fresh file system has lost+found at its top, and restores want an empty
# directory.
DATA_DIRECTORY: Final = f"{DATA_MOUNT_PATH}/data"

_REMEMBERED: Final = 4096


def options_of(spec: ClusterSpec, listeners: Listeners, *, named_callers: bool) -> dict[str, Any]:
    """What all members have in common, as keys of the file: our settings, then the user's.

    `named_callers`: members may be called by certificates with names in them.
    """
    version = parse_version(spec.version)
    client_urls = (f"{scheme}://0.0.0.0:{CLIENT_PORT}" for scheme in listeners.client)
    return {
        "data-dir": DATA_DIRECTORY,
        "listen-peer-urls": f"{listeners.peer}://0.0.0.0:{PEER_PORT}",
        "listen-client-urls": ",".join(client_urls),
        # Always plain: kubelet has no certificate for its probes.
        "listen-metrics-urls": f"http://0.0.0.0:{METRICS_PORT}",
        "strict-reconfig-check": True,
        **file_keys(spec),
        **(client_tls_keys() if "https" in listeners.client else {}),
        **(peer_tls_keys(version, named_callers=named_callers) if listeners.calls_by_tls else {}),
    }


def digest_of(options: Mapping[str, Any], version: str) -> str:
    """Ten hex digits that change with any option of etcd, and never with membership."""
    text = render_config(options, parse_version(version))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def config_file_name(pod: str, digest: str) -> str:
    """`db-0-1a2b3c4d5e.yaml`: what the pod's `--config-file` ends in."""
    return f"{pod}-{digest}.yaml"


# Writing YAML is by far the dearest part of a reconcile that changes nothing, and its inputs almost
# never change: the answers are remembered, by the inputs' own JSON.
@lru_cache(maxsize=_REMEMBERED)
def config_files(
    identity: Identity, options: bytes, digest: str, version: str, membership: Membership
) -> Mapping[str, str]:
    """The files of all members, by file name. `options`: JSON of what they have in common."""
    common: dict[str, Any] = orjson.loads(options)
    files = {
        config_file_name(pod_name(identity.name, ordinal), digest): render_config(
            {
                **common,
                **_addresses(identity, ordinal),
                **_membership(identity, membership, ordinal),
            },
            parse_version(version),
        )
        for ordinal in membership.ordinals
    }
    return MappingProxyType(files)


def closed_anew(text: str, identity: Identity, membership: Membership, ordinal: int) -> str:
    """A file of older options with the membership of now: what it once said must not come back.

    Its options are not looked at: they may be of a release that has other ones.  What somebody made
    unreadable stays so: no member starts from it.
    """
    try:
        keys = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if not isinstance(keys, dict):
        return text
    return yaml_text({**keys, **_membership(identity, membership, ordinal)})


def _addresses(identity: Identity, ordinal: int) -> dict[str, Any]:
    return {
        "name": pod_name(identity.name, ordinal),
        "initial-advertise-peer-urls": ",".join(identity.peer_urls(ordinal)),
        "advertise-client-urls": identity.client_url(ordinal),
    }


def _membership(identity: Identity, membership: Membership, ordinal: int) -> dict[str, Any]:
    if ordinal == membership.opened:
        listed = membership.listed
    elif not membership.formed or ordinal in membership.late:
        listed = membership.ordinals
    else:
        listed = (ordinal,)
    names = (f"{pod_name(identity.name, n)}={url}" for n in listed for url in identity.peer_urls(n))
    return {
        "initial-cluster": ",".join(names),
        "initial-cluster-state": "existing" if membership.formed else "new",
        "initial-cluster-token": identity.token,
    }
