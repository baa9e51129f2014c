"""Debian's packages that the throwaway Kubernetes and the object stores of tests stand on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

from lib import cache
from lib.process import SetupError, run

# Package: a program of it. A machine that has the program from elsewhere (containerd from
# Docker's own packages, for one) keeps that one: installing Debian's would remove it.
PACKAGES = {
    "buildah": "buildah",
    "busybox-static": "busybox",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "ebtables": "ebtables",
    "ethtool": "ethtool",
    "iproute2": "ip",
    "iptables": "iptables",
    "npm": "npm",
    "openssl": "openssl",
    "runc": "runc",
    "socat": "socat",
    "util-linux": "nsenter",
    "xfsprogs": "mkfs.xfs",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "libc6-dev": f"/usr/lib/{platform.machine()}-linux-gnu/libc.a",
}
APT_TIMEOUT_S = 15 * 60.0
# Packages bring services of their own (containerd); the node starts what it needs by itself.
NO_SERVICES = "/usr/sbin/policy-rc.d"


def _missing() -> list[str]:
    # The programs of an administrator are not on every user's path.
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [
        package
        for package, program in PACKAGES.items()
        if shutil.which(program, path=search) is None and not Path(program).exists()
    ]


def _as_root(command: list[str]) -> list[str]:
    if os.geteuid() == 0:
        return command
    if shutil.which("sudo"):
        return ["sudo", *command]
    raise SetupError(f"root is needed for: {' '.join(command)}")


def install(quiet: bool = False) -> None:
    """Installs those packages that are missing."""
    with cache.lock("packages"):
        missing = _missing()
        if not missing:
            if not quiet:
                cache.say("packages: all there")
            return
        started = time.monotonic()
        cache.say(f"packages: installing {' '.join(missing)}")
        environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
        apt = [*environment, "apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
        run(_as_root([*apt, "update"]), timeout_s=APT_TIMEOUT_S)
        _install_without_services([*apt, "install", "-y", "--no-install-recommends", *missing])
        left = _missing()
        if left:
            raise SetupError(f"packages: installed, but no program of {', '.join(left)} is there")
        cache.say(f"packages: installed in {time.monotonic() - started:.1f} s")


def _install_without_services(command: list[str]) -> None:
    # 101 is the policy script's word for "do not start it". A policy that is there already wins.
    mine = not Path(NO_SERVICES).exists()
    if mine:
        script = f"printf '#!/bin/sh\\nexit 101\\n' > {NO_SERVICES} && chmod 755 {NO_SERVICES}"
        run(_as_root(["sh", "-c", script]))
    try:
        run(_as_root(command), timeout_s=APT_TIMEOUT_S)
    finally:
        if mine:
            subprocess.run(_as_root(["rm", "-f", NO_SERVICES]), check=False, timeout=30)
