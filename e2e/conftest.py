"""The node, the operator and namespaces for the tests; and what to print when one fails.

`--operator inside` (default) has the operator run in the cluster, as installed; `--operator
outside` as a process on this machine. Tests that make sense for one of them only are marked
`inside_only(reason)` or `outside_only(reason)`; all others hold for both.
"""

import re
import secrets
import time
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from e2e.harness import report
from e2e.harness.cluster import EtcdCluster
from e2e.harness.installation import Installation
from e2e.harness.kube import KUBECONFIG, Kube, path
from e2e.harness.operator import Operator
from e2e.harness.outside import OperatorOutside
from e2e.harness.report import Measure
from e2e.harness.wait import TimedOutError

TEST_LIMIT_S = 300
# Takes some 33 minutes on two cores.
SUITE_LIMIT_S = 40 * 60.0
PLACES = ("inside", "outside")
MARKERS = (
    "inside_only(reason): holds for the Deployment only, skipped with --operator outside",
    "outside_only(reason): holds for a process outside only, skipped with --operator inside",
    "essential: what shows that the operator works as well outside, in a few minutes",
    "long: takes two minutes and is left to `make test-all`",
)
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

_MEASURED = pytest.StashKey[list[str]]()
_BEGAN = pytest.StashKey[float]()
_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    described = "where the operator runs: in the cluster, or on this machine"
    parser.addoption("--operator", choices=PLACES, default=PLACES[0], help=described)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_MEASURED] = []
    config.stash[_BEGAN] = time.monotonic()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    elsewhere = next(place for place in PLACES if place != config.option.operator)
    for item in items:
        for only in item.iter_markers(f"{elsewhere}_only"):
            item.add_marker(pytest.mark.skip(reason=f"{elsewhere} only: {only.args[0]}"))
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(TEST_LIMIT_S))
        # One loop for all: the tests share connections and clusters.
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() - item.config.stash[_BEGAN] > SUITE_LIMIT_S:
        pytest.exit(f"the suite takes longer than {SUITE_LIMIT_S / 60:.0f} minutes", 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    outcome = yield
    if outcome.failed:
        item.stash[_FAILED] = True
    return outcome


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash[_MEASURED]:
        terminalreporter.section("measured")
        for line in config.stash[_MEASURED]:
            terminalreporter.write_line(line)
    seed = config.getoption("randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"order and moments again: --randomly-seed={seed}")


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Keeps a number, in seconds, for the end of the run."""

    def keep(what: str, seconds: float) -> None:
        request.config.stash[_MEASURED].append(f"{seconds:7.1f} s  {what}")

    return keep


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kube() -> AsyncIterator[Kube]:
    if not KUBECONFIG.exists():
        pytest.exit("no node: python3 hack/node/node.py up", 1)
    async with Kube() as kube:
        yield kube


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator(
    request: pytest.FixtureRequest, kube: Kube, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Operator]:
    """The operator at work, where this run wants it. A test that stops it starts it again."""
    if request.config.option.operator == "inside":
        inside = Installation(kube)
        await inside.start()
        yield inside
    else:
        outside = OperatorOutside(kube, tmp_path_factory.mktemp("operator"))
        async with outside.runs():
            yield outside


@pytest.fixture(scope="session")
def installation(operator: Operator) -> Installation:
    """The Deployment, for tests that are `inside_only`."""
    assert isinstance(operator, Installation)
    return operator


class Namespaces:
    """Makes namespaces that enforce restricted pod security, and knows which are in use."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.names: list[str] = []

    async def make(self, purpose: str) -> str:
        name = f"e2e-{purpose}-{secrets.token_hex(2)}"
        metadata = {"name": name, "labels": RESTRICTED}
        await self._kube.call("POST", path("Namespace", None), {"metadata": metadata})
        self.names.append(name)
        return name

    async def remove(self, name: str) -> None:
        """Does not wait: nothing has to do with it any more."""
        self.names.remove(name)
        await self._kube.delete("Namespace", None, name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def namespaces(kube: Kube) -> AsyncIterator[Namespaces]:
    made = Namespaces(kube)
    yield made
    for name in list(made.names):
        await made.remove(name)


async def explain_failure(test: pytest.Item, namespace: str, operator: Operator) -> None:
    """After a failure: prints the state of a namespace and of the operator."""
    if test.stash.get(_FAILED, False):
        print(await report.of_namespace(namespace))
        print(await operator.explain())


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(
    request: pytest.FixtureRequest,
    operator: Operator,
    namespaces: Namespaces,
) -> AsyncIterator[str]:
    """A namespace for this test alone, while the operator runs."""
    purpose = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    name = await namespaces.make(purpose[:40].strip("-"))
    yield name
    await explain_failure(request.node, name, operator)
    await namespaces.remove(name)


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(kube: Kube, namespace: str) -> EtcdCluster:
    """A cluster that is not applied yet, in a namespace of its own."""
    return EtcdCluster(kube, namespace)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared() -> list[EtcdCluster]:
    """The cluster that tests share, once there is one."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def db(
    request: pytest.FixtureRequest,
    kube: Kube,
    operator: Operator,
    namespaces: Namespaces,
    shared: list[EtcdCluster],
) -> AsyncIterator[EtcdCluster]:
    """A Ready cluster of three, shared: a test leaves it as it found it."""
    if shared:
        try:
            await shared[0].ready(within_s=45.0)
        except TimedOutError:
            # The test that broke it has failed; those after it get another one.
            await namespaces.remove(shared.pop().namespace)
    if not shared:
        cluster = EtcdCluster(kube, await namespaces.make("shared"))
        await cluster.apply(size=3)
        await cluster.ready()
        shared.append(cluster)
    yield shared[0]
    await explain_failure(request.node, shared[0].namespace, operator)
