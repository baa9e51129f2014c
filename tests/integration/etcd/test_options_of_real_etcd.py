"""The options table against real etcd: every key is known by name and type, and takes effect."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from etcd.kv_types import Put, Txn
from etcd.options import convert, typed_options
from etcd.options_table import (
    FEATURE_GATES,
    FLAG_OF_GATE,
    GATE_OF,
    file_types,
    flags,
    gates,
    has_gate,
    option,
    plain_name,
)
from etcd.owned_options import owned_because
from etcd.versions import parse_version
from tests.integration.etcd.processes import (
    VERSIONS,
    Cluster,
    logged,
    programs,
    run_etcd,
    wait_for,
)

PARSE_DEADLINE_S = 20
START = "starting an etcd server"
CHECK = "starting initial corruption check"
READY = "ready to serve client requests"
HISTOGRAM = "grpc_server_handling_seconds_bucket"
ON_BY_DEFAULT = {"TxnModeWriteWithSharedBuffer", "FastLeaseKeepAlive"}
# Go's types as etcd's refusal names them, for each of ours.
GO_TYPES = {
    "bool": {"bool"},
    "int": {"int", "int64"},
    "uint": {"uint", "uint32", "uint64"},
    "duration": {"time.Duration"},
    "string": {"string", "config.V2DeprecationEnum"},
    "strings": {"[]string"},
}
REFUSAL = re.compile(r"cannot unmarshal object into Go struct field (\S+) of type ([\w.\[\]]+)")

# A legal value for every option that a user may set, other than etcd's default where there is one.
LEGAL = {
    "auth-token": "simple",
    "auth-token-ttl": "200",
    "auto-compaction-mode": "revision",
    "auto-compaction-retention": "1000",
    "backend-batch-interval": "50ms",
    "backend-batch-limit": "5000",
    "backend-bbolt-freelist-type": "array",
    "bcrypt-cost": "5",
    "bootstrap-defrag-threshold-megabytes": "7",
    "cipher-suites": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "compact-hash-check-time": "2m",
    "compaction-batch-limit": "900",
    "compaction-sleep-interval": "20ms",
    "corrupt-check-time": "1h",
    "cors": "https://a.example:443",
    "distributed-tracing-address": "127.0.0.1:1",
    "distributed-tracing-instance-id": "one",
    "distributed-tracing-sampling-rate": "10",
    "distributed-tracing-service-name": "main",
    "downgrade-check-time": "6s",
    "election-timeout": "1500",
    "enable-distributed-tracing": "true",
    "enable-grpc-gateway": "false",
    "enable-log-rotation": "true",
    "enable-pprof": "true",
    "grpc-keepalive-interval": "1h30m",
    "grpc-keepalive-min-time": "4s",
    "grpc-keepalive-timeout": "19s",
    "heartbeat-interval": "150",
    "host-whitelist": "127.0.0.1,a.example",
    "initial-election-tick-advance": "false",
    "log-format": "json",
    "log-level": "debug",
    "log-outputs": "{folder}/rotated.log",
    "log-rotation-config-json": '{"maxsize": 50}',
    "logger": "zap",
    "max-concurrent-streams": "1000",
    "max-learners": "2",
    "max-request-bytes": "2000000",
    "max-snapshots": "6",
    "max-txn-ops": "200",
    "max-wals": "7",
    "memory-mlock": "false",
    "metrics": "extensive",
    "pre-vote": "false",
    "quota-backend-bytes": "5000000000",
    "snapshot-catchup-entries": "4000",
    "snapshot-count": "20000",
    "socket-reuse-address": "true",
    "socket-reuse-port": "true",
    "tls-max-version": "TLS1.3",
    "tls-min-version": "TLS1.2",
    "warning-apply-duration": "200ms",
    "warning-unary-request-duration": "400ms",
    "watch-progress-notify-interval": "5m",
}
# What etcd's first log line then says.
LOGGED = {
    "auto-compaction-mode": "revision",
    "compact-check-time-interval": "2m0s",
    "corrupt-check-time-interval": "1h0m0s",
    "cors": ["https://a.example:443"],
    "downgrade-check-interval": "6s",
    "election-timeout": "1.5s",
    "heartbeat-interval": "150ms",
    "host-whitelist": ["127.0.0.1", "a.example"],
    "initial-election-tick-advance": False,
    "max-concurrent-streams": 1000,
    "max-request-bytes": 2000000,
    "max-snapshots": 6,
    "max-wals": 7,
    "pre-vote": False,
    "quota-backend-bytes": 5000000000,
    "snapshot-catchup-entries": 4000,
    "snapshot-count": 20000,
}


def settable(version):
    """The options that this release's file takes and that users may set, by their plain names."""
    known = (f for f in flags() if (o := option(f, version)) and o.path and not owned_because(f))
    return sorted({plain_name(f) for f in known if f not in GATE_OF and f != FEATURE_GATES})


def refusal(version, path, folder):
    """What etcd says to a file with an object under that key: the field and the type it wanted."""
    content = {}
    for key in reversed(path):
        content = {key: content or {"not": "this"}}
    file = folder / f"{'.'.join(path)}.yaml"
    file.write_text(json.dumps(content))
    log = folder / f"{file.stem}.log"
    with log.open("wb") as output:
        process = run_etcd(str(version), file, output)
        try:
            process.wait(PARSE_DEADLINE_S)
        except subprocess.TimeoutExpired:
            return f"started with {path}"
        finally:
            process.kill()
            process.wait()
    found = REFUSAL.search(log.read_text())
    return (found[1].rpartition(".")[2], found[2]) if found else log.read_text()


@pytest.mark.parametrize("text", VERSIONS)
def test_every_key_is_known_to_etcd_with_its_type(text, tmp_path):
    """A value of the wrong type is refused by name; an unknown key would be ignored in silence."""
    version = parse_version(text)
    programs(text)
    types = file_types(version)

    with ThreadPoolExecutor(4) as at_once:
        found = at_once.map(lambda path: refusal(version, path, tmp_path), types)
        said = dict(zip(types, found, strict=True))

    wrong = {
        path: said[path]
        for path, kind in types.items()
        if said[path] not in [(path[-1], go_type) for go_type in GO_TYPES[kind]]
    }
    assert wrong == {}


async def test_unknown_keys_are_ignored_in_silence(tmp_path):
    """Why the table is needed, and that the test above can fail."""
    cluster = Cluster(tmp_path, "3.6.16", 1)
    member = cluster.members[0]
    member.start_with(json.dumps({**member.config(), "no-such-key": {"not": "this"}}))
    try:
        assert await wait_for(lambda: entry(member.log, READY))
    finally:
        cluster.kill()


async def entry(log, message):
    return logged(log, message)


async def serves(member, log):
    assert member.process.poll() is None, member.log.read_text()[:2000]
    return logged(log, READY)


def with_every_option(version, folder):
    """The keys for all that a user may set, through the conversion."""
    extra = {name: LEGAL[name].replace("{folder}", str(folder)) for name in settable(version)}
    known = [g for g in gates() if has_gate(g, version) or option(FLAG_OF_GATE.get(g, ""), version)]
    extra[FEATURE_GATES] = ",".join(f"{g}={str(g not in ON_BY_DEFAULT).lower()}" for g in known)
    return convert(extra, version)


@pytest.fixture(params=VERSIONS)
async def everything(request, tmp_path):
    """A member that serves, started with every option set."""
    keys = with_every_option(parse_version(request.param), tmp_path)
    cluster = Cluster(tmp_path, request.param, 1, extra=keys)
    try:
        cluster.start()
        await wait_for(lambda: serves(cluster.members[0], tmp_path / "rotated.log"))
        yield cluster.members[0]
    finally:
        cluster.kill()


async def test_every_option_at_once_takes_effect(everything, tmp_path, pool):
    start = logged(tmp_path / "rotated.log", START)
    client = pool.client(everything.endpoint())
    await wait_for(lambda: client.cluster.member_list(timeout_s=2))

    assert {key: start[key] for key in LOGGED} == LOGGED
    assert await asyncio.to_thread(http, everything, "/metrics", HISTOGRAM) == (200, True)
    assert await asyncio.to_thread(http, everything, "/debug/pprof/cmdline", "etcd") == (200, True)
    assert await asyncio.to_thread(http, everything, "/v3/kv/range", "header") == (404, False)
    more_than_128 = Txn(success=tuple(Put(key=bytes([n]), value=b"") for n in range(150)))
    assert (await client.kv.txn(more_than_128)).succeeded


async def test_feature_gates_take_effect(everything, tmp_path):
    """InitialCorruptCheck looks at data that are there, so at the second start."""
    log = tmp_path / "rotated.log"
    assert everything.extra.get(FEATURE_GATES) == logged(log, START).get(FEATURE_GATES)
    assert logged(log, CHECK) is None
    everything.kill()
    everything.start(state="existing")

    assert await wait_for(lambda: entry(log, CHECK))


def http(member, path, expected):
    """The HTTP status of a page, and whether it holds the expected text."""
    try:
        with urllib.request.urlopen(member.client_url + path, timeout=5) as answer:
            return answer.status, expected in answer.read().decode(errors="replace")
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, False


@pytest.mark.parametrize("text", VERSIONS)
async def test_typed_options_take_effect(text, tmp_path):
    keys = typed_options(
        version=parse_version(text),
        quota_backend_bytes=3 << 30,
        auto_compaction_mode="periodic",
        auto_compaction_retention="30m",
        snapshot_count=12_345,
        heartbeat_interval_ms=110,
        election_timeout_ms=1100,
    )
    cluster = Cluster(tmp_path, text, 1, extra=keys)
    cluster.start()
    try:
        start = await wait_for(lambda: entry(cluster.members[0].log, START))
    finally:
        cluster.kill()

    expected = {
        "quota-backend-bytes": 3 << 30,
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "30m0s",
        "snapshot-count": 12_345,
        "heartbeat-interval": "110ms",
        "election-timeout": "1.1s",
    }
    assert expected == {key: start[key] for key in expected}
