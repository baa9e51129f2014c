"""What the operator finds out about where it runs: the cluster's DNS domain."""

import os
import re
from pathlib import Path
from typing import Final

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
DEFAULT_DOMAIN: Final = "cluster.local"


def discover_cluster_domain(resolv_conf: Path = _RESOLV_CONF) -> str:
    """The domain in kubelet's search list (`svc.cluster.local`); outside a pod the usual one.

    Kubelet writes `search <namespace>.svc.<domain> svc.<domain> <domain> ...` into every pod
    (k8s.io/kubernetes pkg/kubelet/network/dns/dns.go).
    """
    try:
        text = resolv_conf.read_text()
    except OSError:
        return DEFAULT_DOMAIN
    for line in text.splitlines():
        match = re.match(r"search\s.*?\bsvc\.(\S+)", line)
        if match and "KUBERNETES_SERVICE_HOST" in os.environ:
            return match[1].rstrip(".")
    return DEFAULT_DOMAIN
