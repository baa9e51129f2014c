"""An EtcdBackup as its owner handles it, and what is in the volume that it goes to."""

import json
import secrets

from e2e.harness.cluster import condition, manifest
from e2e.harness.kube import Kube, Object, apply, kubectl, path
from e2e.harness.wait import until

# The operator's own image: it has what reads a volume.
IMAGE = "ghcr.io/etcd-operator/etcd-operator:dev"
# Prints the manifest in that folder, the SHA-256 of its parts, put together, and all files of the
# cluster's backups.
_LOOK = """
import hashlib, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
parts = sorted((folder / manifest["attempt"]).iterdir())
whole = b"".join(part.read_bytes() for part in parts)
print(json.dumps({"manifest": manifest, "sha256": hashlib.sha256(whole[:-32]).hexdigest(),
                  "trailer": whole[-32:].hex(),
                  "files": [str(path) for path in folder.parent.rglob("*") if path.is_file()]}))
"""


# Changes one bit in the middle of the first part of the backup in that folder.
_FLIP = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
part = min((folder / json.loads((folder / "manifest.json").read_text())["attempt"]).iterdir())
data = bytearray(part.read_bytes())
data[len(data) // 2] ^= 1
part.write_bytes(data)
print("{}")
"""


class EtcdBackup:
    """A backup by name. Nothing is remembered: every answer is what the API server says now."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.name = name

    async def apply(self, **spec: object) -> None:
        ended = await apply(manifest("EtcdBackup", self.namespace, self.name, spec))
        assert ended.code == 0, ended.err

    async def get(self) -> Object:
        found = await self.kube.get("EtcdBackup", self.namespace, self.name)
        assert found is not None, f"EtcdBackup {self.name} is gone"
        return found

    async def shows(self, reason: str, *, within_s: float = 60.0) -> str:
        """Waits until Ready has this reason; returns its message."""

        async def message() -> str | None:
            seen = condition(await self.get(), "Ready")
            return str(seen["message"]) if seen.get("reason") == reason else None

        found = await until(
            f"EtcdBackup {self.name} to be Ready/{reason}", message, within_s=within_s
        )
        assert found is not None
        return found


async def make_claim(kube: Kube, namespace: str, name: str) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "256Mi"}}}
    await kube.create(
        "PersistentVolumeClaim", namespace, {"metadata": {"name": name}, "spec": spec}
    )


async def look_into(kube: Kube, namespace: str, claim: str, folder: str) -> Object:
    """What a pod with the volume finds in that folder of a backup."""
    return await _run(kube, namespace, claim, folder, _LOOK)


async def flip_a_byte(kube: Kube, namespace: str, claim: str, folder: str) -> None:
    """Damages the backup in that folder, behind everybody's back."""
    await _run(kube, namespace, claim, folder, _FLIP)


async def _run(kube: Kube, namespace: str, claim: str, folder: str, program: str) -> Object:
    """Runs the program in a pod with the volume; returns what it prints."""
    name = f"look-{secrets.token_hex(3)}"
    await kube.call("POST", path("Pod", namespace), _pod(name, claim, folder, program))

    async def ended() -> bool:
        phase = ((await kube.get("Pod", namespace, name)) or {}).get("status", {}).get("phase", "")
        return phase in {"Succeeded", "Failed"}

    await until(f"pod {name} to end", ended, within_s=60.0)
    found: Object = json.loads(await kubectl("logs", "-n", namespace, name))
    return found


def _pod(name: str, claim: str, folder: str, program: str) -> Object:
    return {
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "look",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", program, f"/backup/{folder}"],
                    "volumeMounts": [{"name": "backup", "mountPath": "/backup"}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": [{"name": "backup", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
