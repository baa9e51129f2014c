"""Where certificates lie in a member's pod, and the options and volumes that point to them.  Pure.

Every release of etcd takes these keys in its file, `peer-cert-allowed-cn` from 3.5.14 on: before,
that only members have a certificate of the peer CA is what keeps others out.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.labels import (
    CLIENT_TLS_VOLUME,
    PEER_TLS_VOLUME,
    SERVER_TLS_VOLUME,
    TLS_MOUNT_PATH,
    client_secret_name,
    peer_secret_name,
    server_secret_name,
)
from etcd.options import FileKeys
from etcd.options_table import option
from etcd.versions import Version

# No FQDN: a CN takes 64 characters.
PEER_COMMON_NAME: Final = "etcd-peer"

# The keys in our Secrets: those that Kubernetes names, and a member's certificate as a caller.
CERTIFICATE_KEY: Final = "tls.crt"
PRIVATE_KEY_KEY: Final = "tls.key"
AUTHORITY_KEY: Final = "ca.crt"
CALLER_KEY: Final = "client.crt"
# In the Secret of an authority that is being replaced: the next one.
NEXT_CERTIFICATE_KEY: Final = "next-tls.crt"
NEXT_PRIVATE_KEY_KEY: Final = "next-tls.key"

_SERVER: Final = f"{TLS_MOUNT_PATH}/server"
_PEER: Final = f"{TLS_MOUNT_PATH}/peer"
_CLIENT: Final = f"{TLS_MOUNT_PATH}/client"
_MOUNTS: Final = {SERVER_TLS_VOLUME: _SERVER, PEER_TLS_VOLUME: _PEER, CLIENT_TLS_VOLUME: _CLIENT}
# Whose ca.crt a member reads at its start.
BUNDLE_VOLUMES: Final = (SERVER_TLS_VOLUME, PEER_TLS_VOLUME)
# For the group, which fsGroup makes the process's own.
_MODE: Final = 0o440


def client_tls_keys() -> FileKeys:
    """The keys of a configuration file for a client port that speaks TLS."""
    return {
        "client-transport-security": {
            "cert-file": f"{_SERVER}/{CERTIFICATE_KEY}",
            "key-file": f"{_SERVER}/{PRIVATE_KEY_KEY}",
            "trusted-ca-file": f"{_SERVER}/{AUTHORITY_KEY}",
            "client-cert-auth": True,
        },
    }


def peer_tls_keys(version: Version, *, named_callers: bool) -> FileKeys:
    """Those for members that speak TLS among themselves. `named_callers`: they call with names in
    their certificates, which is so only where these are the user's.
    """
    return {
        "peer-transport-security": {
            "cert-file": f"{_PEER}/{CERTIFICATE_KEY}",
            "key-file": f"{_PEER}/{PRIVATE_KEY_KEY}",
            "client-cert-file": f"{_PEER}/{CALLER_KEY}",
            "client-key-file": f"{_PEER}/{PRIVATE_KEY_KEY}",
            "trusted-ca-file": f"{_PEER}/{AUTHORITY_KEY}",
            "client-cert-auth": True,
            **_only_peers(version),
            **(_without_dns(version) if named_callers else {}),
        },
    }


def tls_volumes(cluster: str) -> list[dict[str, Any]]:
    """The volumes of a pod."""
    secrets = {
        SERVER_TLS_VOLUME: server_secret_name(cluster),
        PEER_TLS_VOLUME: peer_secret_name(cluster),
        CLIENT_TLS_VOLUME: client_secret_name(cluster),
    }
    return [
        {"name": name, "secret": {"secretName": secret, "defaultMode": _MODE}}
        for name, secret in secrets.items()
    ]


def tls_mounts() -> list[dict[str, Any]]:
    """Where they are mounted: whole, because a subPath never sees a renewed certificate."""
    return [{"name": name, "mountPath": path, "readOnly": True} for name, path in _MOUNTS.items()]


def bundle_key(fingerprints: Sequence[str]) -> str:
    """Under which key a leaf's Secret holds a bundle of these authorities, for ever the same."""
    return f"ca-{hashlib.sha256(','.join(fingerprints).encode()).hexdigest()[:10]}.crt"


def is_bundle_key(key: str) -> bool:
    """Whether a Secret holds a bundle under that key."""
    return re.fullmatch(r"ca-[0-9a-f]{10}\.crt", key) is not None


def mounted_bundles(pod_spec: Mapping[str, Any]) -> dict[str, str]:
    """Which key of its Secret a pod has as ca.crt, by volume; none where it mounts all as it is."""
    return {
        volume["name"]: item["key"]
        for volume in pod_spec.get("volumes", ())
        if volume["name"] in BUNDLE_VOLUMES
        for item in (volume.get("secret") or {}).get("items") or ()
        if item.get("path") == AUTHORITY_KEY
    }


def with_bundles(template: Mapping[str, Any], bundles: Mapping[str, str]) -> dict[str, Any]:
    """The template with these keys as ca.crt, by volume.

    Under a key of its own, a copy of the Secret that is too old for it means that the pod waits,
    never that it trusts less than was thought; and a container that restarts finds what it had.
    """
    volumes = [
        {**volume, "secret": {**volume["secret"], "items": _items(volume["name"], bundles)}}
        if volume["name"] in bundles
        else volume
        for volume in template["spec"].get("volumes", ())
    ]
    return {**template, "spec": {**template["spec"], "volumes": volumes}}


def _items(volume: str, bundles: Mapping[str, str]) -> list[dict[str, str]]:
    own = [CERTIFICATE_KEY, PRIVATE_KEY_KEY, *([CALLER_KEY] if volume == PEER_TLS_VOLUME else ())]
    return [
        *({"key": key, "path": key} for key in own),
        {"key": bundles[volume], "path": AUTHORITY_KEY},
    ]


def etcdctl_environment() -> list[dict[str, str]]:
    """What `etcdctl` in the pod needs. Endpoints are not set: it refuses a flag that is a variable
    as well.
    """
    return [
        {"name": "ETCDCTL_CACERT", "value": f"{_CLIENT}/{AUTHORITY_KEY}"},
        {"name": "ETCDCTL_CERT", "value": f"{_CLIENT}/{CERTIFICATE_KEY}"},
        {"name": "ETCDCTL_KEY", "value": f"{_CLIENT}/{PRIVATE_KEY_KEY}"},
    ]


def _without_dns(version: Version) -> FileKeys:
    """From 3.6 on a caller's names need not resolve to its address: the CN is what counts."""
    found = option("peer-skip-client-san-verification", version)
    return {found.path[-1]: True} if found is not None and found.path else {}


def _only_peers(version: Version) -> FileKeys:
    """Of a certificate's names the CN, which members as callers have and SANs they have not."""
    found = option("peer-cert-allowed-cn", version)
    if found is None or not found.path:
        return {}
    names: str | list[str] = [PEER_COMMON_NAME] if found.type == "strings" else PEER_COMMON_NAME
    return {found.path[-1]: names}
