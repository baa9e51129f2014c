"""Resources and volumes of running members on the newest Kubernetes and on the oldest, which can't
resize a pod: that is noted, and the member keeps what it has until its turn to be restarted.

The steps are taken with the shipped rights.  Without nodes no pod runs; its status is written here.
"""

import asyncio

import pytest

from api.labels import NOT_RESIZED_ANNOTATION, RESIZED_ANNOTATION
from api.reasons import Reason
from controllers.cluster.act import perform
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan.steps import RecordSpec
from controllers.cluster.plan.version_steps import ResizePod
from controllers.cluster.plan.volume_steps import ResizeClaims, VolumeTrial
from controllers.writer import Writer
from informers.expectations import OwnWrites
from informers.wire import connect
from tests.integration.running import make_namespace
from tests.integration.test_operator import service_account  # noqa: F401 - a fixture, by name
from tests.unit.controllers.cluster.builders import observed
from tests.unit.controllers.cluster.steps import NO_ETCD

MERGE_PATCH = "application/merge-patch+json"
HAS = {"requests": {"cpu": "100m", "memory": "64Mi"}}
WANTED = {"requests": {"cpu": "200m", "memory": "96Mi"}}
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


@pytest.fixture
def namespace(apiserver):
    return make_namespace(apiserver)


@pytest.fixture
def take(service_account, namespace):  # noqa: F811
    """Takes a step on a cluster `db` in the namespace, as the operator would."""

    async def perform_it(step):
        async with await connect(kubeconfig=str(service_account), user_agent="tests") as api:
            own = OwnWrites(clock=asyncio.get_running_loop().time)
            writer = Writer(api, own, f"{namespace}/db", remaining_s=lambda: 60.0)
            return await perform(step, observed(namespace=namespace), writer, NO_ETCD)

    return perform_it


def make(apiserver, path, body, status=None):
    code, made = apiserver.request("POST", path, body)
    assert code == 201, made
    if status is not None:
        named = f"{path}/{body['metadata']['name']}/status"
        code, made = apiserver.request("PATCH", named, {"status": status}, content_type=MERGE_PATCH)
        assert code == 200, made
    return made


def read(apiserver, path):
    code, found = apiserver.request("GET", path)
    assert code == 200, found
    return found


# ---------------------------------------------------------------------- CPU and memory
@pytest.fixture
def pod(apiserver, namespace):
    """A member that runs, as far as the server knows."""
    container = {"name": "etcd", "image": "etcd", "resources": HAS}
    body = {"metadata": {"name": "db-0"}, "spec": {"containers": [container]}}
    runs = {
        "name": "etcd",
        "image": "etcd",
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {}},
        "resources": HAS,
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    return make(apiserver, path, body, {"phase": "Running", "containerStatuses": [runs]})


async def test_a_server_that_can_not_resize_pods_is_worked_without(apiserver, namespace, pod, take):
    can = apiserver.version != "old"
    step = ResizePod(name="db-0", uid=pod["metadata"]["uid"], resources=WANTED, revision="db-new")

    outcome = await take(step)

    stored = read(apiserver, f"/api/v1/namespaces/{namespace}/pods/db-0")
    notes = stored["metadata"]["annotations"]
    (container,) = stored["spec"]["containers"]
    if can:
        assert outcome == Done()
        assert (container["resources"], notes) == (WANTED, {RESIZED_ANNOTATION: "db-new"})
    else:
        assert isinstance(outcome, Changed)
        assert "db-0 can't be resized in place: the server could not find" in outcome.what
        assert (container["resources"], notes) == (HAS, {NOT_RESIZED_ANNOTATION: "db-new"})
    assert stored["metadata"]["uid"] == pod["metadata"]["uid"]


async def test_what_can_never_be_had_in_place_is_noted_on_every_server(
    apiserver, namespace, pod, take
):
    """Limits like that would put the pod into another class of service."""
    guaranteed = {"requests": WANTED["requests"], "limits": WANTED["requests"]}
    step = ResizePod(
        name="db-0", uid=pod["metadata"]["uid"], resources=guaranteed, revision="db-new"
    )

    assert isinstance(await take(step), Changed)

    stored = read(apiserver, f"/api/v1/namespaces/{namespace}/pods/db-0")
    assert stored["metadata"]["annotations"] == {NOT_RESIZED_ANNOTATION: "db-new"}
    assert stored["spec"]["containers"][0]["resources"] == HAS


# ---------------------------------------------------------------------- volumes
@pytest.fixture
def claims(apiserver, namespace):
    """Makes a bound claim whose class grows volumes or doesn't; returns its path and uid."""

    def bound(*, grows):
        fast = f"{namespace}-fast"
        storage_class = {
            "metadata": {"name": fast},
            "provisioner": "example.com/disks",
            "allowVolumeExpansion": grows,
        }
        make(apiserver, CLASSES, storage_class)
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": fast,
            "volumeName": "disk",
            "resources": {"requests": {"storage": "1Gi"}},
        }
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        status = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
        body = {"metadata": {"name": "data-db-0"}, "spec": spec}
        made = make(apiserver, path, body, status)
        return f"{path}/data-db-0", made["metadata"]["uid"]

    return bound


def size(apiserver, path):
    return read(apiserver, path)["spec"]["resources"]["requests"]["storage"]


def trial_of(step):
    return VolumeTrial(resize=step, storage_class="")


async def test_volumes_grow_where_their_class_can(apiserver, claims, take):
    path, uid = claims(grows=True)
    step = ResizeClaims(claims=(("data-db-0", uid),), size="2Gi")

    assert await take(RecordSpec(spec={}, why="", trial=trial_of(step))) == Done()
    assert size(apiserver, path) == "1Gi"

    assert await take(step) == Done()
    assert size(apiserver, path) == "2Gi"


async def test_volumes_that_can_not_grow_are_refused_before_anything_changes(
    apiserver, claims, take
):
    path, uid = claims(grows=False)
    step = ResizeClaims(claims=(("data-db-0", uid),), size="2Gi")

    outcome = await take(RecordSpec(spec={}, why="", trial=trial_of(step)))

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.VOLUME_REFUSED
    assert "must support resize" in outcome.message
    assert size(apiserver, path) == "1Gi"


async def test_a_volume_that_has_grown_is_not_made_smaller_by_any_server(apiserver, claims, take):
    path, uid = claims(grows=True)
    step = ResizeClaims(claims=(("data-db-0", uid),), size="512Mi")

    outcome = await take(RecordSpec(spec={}, why="", trial=trial_of(step)))

    assert isinstance(outcome, Rejected)
    assert size(apiserver, path) == "1Gi"
