"""EtcdBackups and EtcdRestores as their owner handles them, and what is in the volume that backups
go to.
"""

import json
import secrets
from typing import ClassVar

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


# Changes one byte in the middle of a backup's first part.
_DAMAGE = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
attempt = json.loads((folder / "manifest.json").read_text())["attempt"]
part = sorted((folder / attempt).iterdir())[0]
data = bytearray(part.read_bytes())
data[len(data) // 2] ^= 1
part.write_bytes(data)
print(json.dumps({"part": part.name}))
"""


class _Work:
    """An object by name. Nothing is remembered: every answer is what the API server says now."""

    kind: ClassVar[str]

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.name = name

    async def apply(self, **spec: object) -> None:
        ended = await apply(manifest(self.kind, self.namespace, self.name, spec))
        assert ended.code == 0, ended.err

    async def get(self) -> Object:
        found = await self.kube.get(self.kind, self.namespace, self.name)
        assert found is not None, f"{self.kind} {self.name} is gone"
        return found

    async def shows(self, reason: str, *, within_s: float = 60.0) -> str:
        """Waits until Ready has this reason; returns its message."""

        async def message() -> str | None:
            seen = condition(await self.get(), "Ready")
            return str(seen["message"]) if seen.get("reason") == reason else None

        found = await until(
            f"{self.kind} {self.name} to be Ready/{reason}", message, within_s=within_s
        )
        assert found is not None
        return found


class EtcdBackup(_Work):
    """A backup by name."""

    kind = "EtcdBackup"


class EtcdRestore(_Work):
    """A restore by name."""

    kind = "EtcdRestore"


async def make_claim(kube: Kube, namespace: str, name: str) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "256Mi"}}}
    await kube.create(
        "PersistentVolumeClaim", namespace, {"metadata": {"name": name}, "spec": spec}
    )


async def look_into(kube: Kube, namespace: str, claim: str, folder: str) -> Object:
    """What a pod with the volume finds in that folder of a backup."""
    return await _run(kube, namespace, _LOOK, claim, folder)


async def damage(kube: Kube, namespace: str, claim: str, folder: str) -> None:
    """Changes one byte of the backup in that folder of the volume."""
    await _run(kube, namespace, _DAMAGE, claim, folder)


async def _run(kube: Kube, namespace: str, script: str, claim: str, folder: str) -> Object:
    name = f"look-{secrets.token_hex(3)}"
    await kube.call("POST", path("Pod", namespace), _pod(name, script, claim, folder))

    async def ended() -> bool:
        phase = ((await kube.get("Pod", namespace, name)) or {}).get("status", {}).get("phase", "")
        return phase in {"Succeeded", "Failed"}

    await until(f"pod {name} to end", ended, within_s=60.0)
    found: Object = json.loads(await kubectl("logs", "-n", namespace, name))
    return found


def _pod(name: str, script: str, claim: str, folder: str) -> Object:
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
                    "command": ["python", "-c", script, f"/backup/{folder}"],
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
