"""`agent archive` as its pod runs it: a real etcd, a folder, and the page that tells how it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager

import pytest

from api.reasons import Reason
from controllers.backup.archive.order import ArchiveOrder, read_report
from controllers.pod_pages import DirectPages, PageError
from etcd.kv_types import Put
from snapshots.changes.history import Base, Way, read_chains
from snapshots.changes.reading import read_changes
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.integration.etcd.processes import VERSIONS, free_ports, wait_for
from tests.integration.etcd.test_agent_snapshot import order, pod  # noqa: F401 - fixtures, by name

# What depends on the version of etcd is tested with the archiver itself, without its process.
pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.parametrize("single", VERSIONS[-1:], indirect=True),
]

WITHIN_S = 30
SOON = 1000
NEVER = 600_000


class Archiver:
    """A running pod's process, and its page."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    async def report(self):
        page = await DirectPages().get(
            namespace="ns",
            pod="changes",
            address="127.0.0.1",
            port=self.port,
            path="/status",
            timeout_s=3.0,
            max_bytes=2**18,
        )
        return read_report(page)

    async def told(self, seen):
        """The first report of which that is true."""

        async def report():
            try:
                found = await self.report()
            except PageError:
                return None
            return found if seen(found) else None

        return await wait_for(report, within_s=WITHIN_S)

    async def reached(self, revision):
        return await self.told(lambda report: (report.revision or 0) >= revision)

    async def ends(self):
        """Told to, as kubelet does. Returns its exit code and its log."""
        self.process.terminate()
        _, log = await asyncio.wait_for(self.process.communicate(), WITHIN_S)
        return self.process.returncode, log.decode()


@pytest.fixture
def archiver(order, pod):  # noqa: F811
    """Starts one; whatever still runs at the end is killed."""

    @asynccontextmanager
    async def running(flush_interval_ms):
        said = order().to_json()
        asked = ArchiveOrder.model_validate(
            {key: said[key] for key in said if key not in {"clusterUid", "backup"}}
            | {"name": "nightly", "flushIntervalMs": flush_interval_ms, "maxBytes": 1 << 20}
        )
        (port,) = free_ports(1)
        command = pod.command(asked.model_dump_json(by_alias=True), "archive")
        process = await asyncio.create_subprocess_exec(
            *command, "--port", str(port), stderr=PIPE, env=os.environ
        )
        try:
            yield Archiver(process, port)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    return running


@pytest.fixture
def stored(pod):  # noqa: F811
    """What is in the volume: the revisions of each chain after a base, as a restore reads them."""

    async def revisions(base):
        store = open_store(LocalLocation(folder=pod.volume / "etcd/nightly"), WorkloadIdentity())
        found = []
        for chain in await read_chains(store, ""):
            if chain.folder.first_revision - 1 <= base.revision <= chain.last.last_revision:
                way = Way(base=base, chain=chain, revision=chain.last.last_revision, time=None)
                bodies = [body async for body in read_changes(store, way, ())]
                found.append([one.revision for body in bodies for one in body.revisions])
        return found

    return revisions


async def backed_up(pod, order, name="base"):  # noqa: F811
    code, saved = await pod.run(order(backup=name))
    assert code == 0, pod.log
    return Base(path=f"x/{name}", revision=saved.etcd_revision, completed=saved.completed_at)


async def puts(client, count):
    """Returns the last revision."""
    for number in range(count):
        put = await client.kv.put(Put(key=b"key-%d" % number, value=b"v"))
    return put.header.revision


async def test_it_asks_for_a_backup_and_keeps_what_comes_after_it(
    archiver,
    stored,
    pod,  # noqa: F811
    order,  # noqa: F811
    client,
):
    async with archiver(SOON) as running:
        needy = await running.told(lambda report: report.base_needed)
        assert "no backup yet" in needy.base_needed
        assert (needy.windows, needy.failing) == ((), None)

        base = await backed_up(pod, order)
        last = await puts(client, 30)
        report = await running.reached(last)

        (window,) = report.windows
        assert (window.start_revision, window.end_revision) == (base.revision, last)
        assert window.base.endswith("/base")
        assert report.base_needed == ""
        assert report.unarchived_seconds < WITHIN_S
        assert await stored(base) == [[*range(base.revision + 1, last + 1)]]


async def test_told_to_stop_it_stores_what_it_holds(
    archiver,
    stored,
    pod,  # noqa: F811
    order,  # noqa: F811
    client,
):
    base = await backed_up(pod, order)
    async with archiver(NEVER) as running:
        await running.reached(base.revision)
        last = await puts(client, 5)
        await running.told(lambda report: report.cluster_revision == last)
        assert (await running.report()).revision == base.revision

        code, log = await running.ends()

    assert code == 0, log
    assert await stored(base) == [[*range(base.revision + 1, last + 1)]]


async def test_of_two_at_once_one_ends_and_nothing_is_lost_or_kept_twice(
    archiver,
    stored,
    pod,  # noqa: F811
    order,  # noqa: F811
    client,
):
    base = await backed_up(pod, order)
    async with archiver(SOON) as first, archiver(SOON) as second:
        both = (first, second)

        async def reports():
            with contextlib.suppress(PageError):
                return [await one.report() for one in both]
            return []  # one of them has just begun

        async def fenced():
            await puts(client, 1)
            failing = [report.failing for report in await reports()]
            return next((one for one in failing if one is not None), None)

        failing = await wait_for(fenced, within_s=WITHIN_S)
        assert failing.reason is Reason.ARCHIVER_FAILING
        assert "was written by another archiver" in failing.message
        last = await puts(client, 10)

        async def kept():
            return last in [report.revision for report in await reports()]

        await wait_for(kept, within_s=WITHIN_S)

    assert await stored(base) == [[*range(base.revision + 1, last + 1)]]


async def test_what_was_compacted_while_it_was_away_takes_another_backup(
    archiver,
    stored,
    pod,  # noqa: F811
    order,  # noqa: F811
    client,
):
    base = await backed_up(pod, order)
    async with archiver(SOON) as running:
        kept = await puts(client, 5)
        await running.reached(kept)
        await running.ends()
    missed = await puts(client, 5)
    await client.kv.compact(missed)

    async with archiver(SOON) as running:
        needy = await running.told(lambda report: report.base_needed)
        assert needy.base_needed == f"etcd has compacted what comes before revision {missed}"
        newer = await backed_up(pod, order, "newer")
        last = await puts(client, 5)
        report = await running.reached(last)

        assert [(one.start_revision, one.end_revision) for one in report.windows] == [
            (base.revision, kept),
            (newer.revision, last),
        ]
    assert await stored(newer) == [[*range(newer.revision + 1, last + 1)]]
