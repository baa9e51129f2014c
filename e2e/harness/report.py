"""What a run tells: the numbers it measured, and all that is needed to understand a failure."""

from collections.abc import Callable

from e2e.harness.kube import KUBECTL, run

LINES_OF_ETCD = 25

# Takes what was measured, and the seconds.
Measure = Callable[[str, float], None]


async def _show(*arguments: object) -> str:
    try:
        ended = await run(KUBECTL, *arguments, limit_s=20.0)
    except TimeoutError:
        return f"$ kubectl {' '.join(map(str, arguments))}\n(no answer)"
    return f"$ kubectl {' '.join(map(str, arguments))}\n{ended.out}{ended.err}"


async def of_namespace(namespace: str) -> str:
    everything = "etcdclusters,etcdbackups,etcdrestores,statefulsets,services,configmaps,pdb,pvc"
    parts = [
        await _show("get", "-n", namespace, "etcdclusters", "-o", "yaml"),
        await _show("get", "-n", namespace, f"{everything},pods", "-o", "wide"),
        await _show("get", "-n", namespace, "events", "--sort-by=.lastTimestamp"),
    ]
    names = await run(KUBECTL, "get", "-n", namespace, "pods", "-o", "name", limit_s=20.0)
    for pod in names.out.split():
        last = ("logs", "-n", namespace, pod, f"--tail={LINES_OF_ETCD}")
        parts += [await _show(*last), await _show(*last, "--previous")]
    return "\n".join(parts)
