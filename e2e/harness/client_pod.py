"""An application's pod: it mounts a Secret, calls etcd once and ends; what it said is its log."""

import secrets

from e2e.harness.kube import Kube, Object, kubectl, path
from e2e.harness.wait import until

IMAGE = "quay.io/coreos/etcd:v3.5.21"
MOUNT = "/certificates"
CREDENTIALS = (
    f"--cacert={MOUNT}/ca.crt",
    f"--cert={MOUNT}/tls.crt",
    f"--key={MOUNT}/tls.key",
)
ONLY_TRUST = CREDENTIALS[:1]


async def call_from_a_pod(
    kube: Kube, namespace: str, secret: str, endpoint: str, *arguments: str
) -> tuple[bool, str]:
    """Whether `etcdctl` in a pod of its own, with that Secret, succeeded, and its words."""
    name = f"client-{secrets.token_hex(3)}"
    await kube.call("POST", path("Pod", namespace), _pod(name, secret, endpoint, arguments))

    async def ended() -> str:
        found = await kube.get("Pod", namespace, name)
        phase = (found or {}).get("status", {}).get("phase", "")
        return phase if phase in {"Succeeded", "Failed"} else ""

    phase = await until(f"pod {name} to end", ended, within_s=60.0)
    return phase == "Succeeded", await kubectl("logs", "-n", namespace, name)


def _pod(name: str, secret: str, endpoint: str, arguments: tuple[str, ...]) -> Object:
    command = ["/usr/local/bin/etcdctl", f"--endpoints={endpoint}", "--command-timeout=4s"]
    return {
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "client",
                    "image": IMAGE,
                    "command": [*command, *arguments],
                    "volumeMounts": [{"name": "certificates", "mountPath": MOUNT}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": [{"name": "certificates", "secret": {"secretName": secret}}],
        },
    }
