"""The webhook's certificate over its life: replicas share it, and what is served is trusted."""

import asyncio
import base64
import contextlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.admission.certificates import LIFE, SECRET
from controllers.admission.keeper import CONFIGURATION, CertificateKeeper, NoCertificateError
from informers.kubeconfig import Endpoint
from informers.wire import connect_to
from tests.unit.informers.api_faults import answer_status
from tests.unit.informers.api_server import running_server
from tests.unit.informers.conftest import FixedSource

NAMESPACE = "etcd-operator-system"
SECRET_PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}"
CONFIGURATION_PATH = (
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/" + CONFIGURATION
)


def real_time():
    """OpenSSL looks at this machine's clock."""
    return datetime.now(UTC)  # noqa: TID251


class World:
    """An API server with our configuration, a clock, and replicas of the operator."""

    def __init__(self, server, api):
        self.server = server
        self.api = api
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.replicas = []

    def replica(self, **options):
        keeper = CertificateKeeper(self.api, namespace=NAMESPACE, now=lambda: self.now, **options)
        self.replicas.append(keeper)
        return keeper

    def configure(self, bundle=""):
        webhook = {"name": "validate.etcd.etcd.io", "clientConfig": {"caBundle": bundle}}
        self.server.put(CONFIGURATION_PATH, {"metadata": {}, "webhooks": [webhook]})

    @property
    def secret(self):
        return self.server.objects("secrets")[f"{NAMESPACE}/{SECRET}"]["data"]

    @property
    def is_published(self):
        return f"{NAMESPACE}/{SECRET}" in self.server.objects("secrets") and self.bundle

    @property
    def bundle(self):
        found = self.server.objects("validatingwebhookconfigurations")[CONFIGURATION]
        return base64.b64decode(found["webhooks"][0]["clientConfig"]["caBundle"])


@contextlib.asynccontextmanager
async def a_world():
    async with running_server() as server:
        source = FixedSource(Endpoint(url=server.url, namespace=NAMESPACE, authorization=None))
        async with await connect_to(source, user_agent="tests") as api:
            world = World(server, api)
            world.configure()
            yield world


@pytest.fixture
async def world():
    async with a_world() as made:
        yield made


async def served(keeper, trust):
    """The certificate that a client who trusts this much sees. Raises ssl.SSLError."""
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=keeper.tls)
    context = ssl.create_default_context(cadata=trust.decode())
    # The API server's clock is the test's, not this machine's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=context,
            server_hostname=f"etcd-operator-webhook.{NAMESPACE}.svc",
        )
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
    return x509.load_der_x509_certificate(der)


def is_trusted(certificate, bundle):
    for authority in x509.load_pem_x509_certificates(bundle):
        with contextlib.suppress(ValueError):
            certificate.verify_directly_issued_by(authority)
            return True
    return False


def own(keeper):
    """The certificate that a replica serves now."""
    return x509.load_pem_x509_certificate(keeper._served)


async def test_the_first_replica_makes_a_certificate_and_says_whom_to_trust(world):
    world.now = real_time()
    first = world.replica()
    with pytest.raises(NoCertificateError):
        first.check()

    assert await first.keep() == ""

    first.check()
    seen = await served(first, world.bundle)
    assert seen.not_valid_after_utc - world.now <= LIFE
    names = seen.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)


async def test_the_others_serve_the_same_one_and_change_nothing(world):
    first, second = world.replica(), world.replica()
    await first.keep()
    writes = len(world.server.seen("patch")) + len(world.server.seen("create"))

    await second.keep()
    await first.keep()

    assert own(first) == own(second)
    assert len(world.server.seen("patch")) + len(world.server.seen("create")) == writes


async def test_what_somebody_edits_in_the_configuration_is_put_right(world):
    keeper = world.replica()
    await keeper.keep()
    trusted = world.bundle

    for edit in ("", base64.b64encode(b"another").decode()):
        world.configure(edit)
        await keeper.keep()
        assert world.bundle == trusted


async def test_a_certificate_is_renewed_in_time_and_was_trusted_before_it_is_served(world):
    keeper, other = world.replica(), world.replica()
    await keeper.keep()
    await other.keep()
    old, trusted = own(keeper), world.bundle

    world.now += LIFE * 2 / 3 + timedelta(hours=1)
    await keeper.keep()

    assert own(keeper) != old
    assert is_trusted(own(keeper), world.bundle)
    assert not is_trusted(own(keeper), trusted)
    # The other has not looked yet.
    assert own(other) == old
    assert is_trusted(old, world.bundle)
    await other.keep()
    assert own(other) == own(keeper)
    assert "next.key" not in world.secret


async def test_a_new_certificate_is_served_within_one_connections_time(world):
    """The context is the server's: nothing is restarted."""
    world.now = real_time() - LIFE * 2 / 3 - timedelta(hours=1)
    keeper = world.replica()
    await keeper.keep()
    before = await served(keeper, world.bundle)

    world.now = real_time()
    await keeper.keep()

    assert (await served(keeper, world.bundle)).serial_number != before.serial_number


async def test_nothing_is_served_that_is_not_trusted_while_it_cannot_be_published(world):
    keeper = world.replica()
    await keeper.keep()
    old = own(keeper)

    world.now += LIFE * 2 / 3 + timedelta(hours=1)
    refuse = answer_status(500, "InternalError")
    world.server.script("patch", None, refuse)
    with contextlib.suppress(Exception):
        await keeper.keep()

    assert own(keeper) == old
    await keeper.keep()
    assert own(keeper) != old


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"tls.crt": "", "tls.key": "", "ca.crt": ""},
        {"tls.crt": "!", "tls.key": "!", "ca.crt": "!"},
        {"tls.crt": "bm9uZQ==", "tls.key": "bm9uZQ==", "ca.crt": "bm9uZQ=="},
    ],
    ids=["nothing", "empty", "no base64", "no PEM"],
)
async def test_a_secret_of_no_use_is_filled_anew(world, data):
    world.server.put(SECRET_PATH, {"metadata": {}, "data": data})
    keeper = world.replica()

    assert await keeper.keep() == ""
    assert is_trusted(own(keeper), world.bundle)


@pytest.mark.parametrize("part", ["tls.crt", "tls.key", "ca.crt"])
async def test_a_secret_whose_parts_do_not_fit_is_filled_anew(world, part):
    keeper = world.replica()
    await keeper.keep()
    first = dict(world.secret)
    world.server.remove(SECRET_PATH)
    await keeper.keep()
    world.server.put(SECRET_PATH, {"metadata": {}, "data": {**world.secret, part: first[part]}})

    await keeper.keep()

    assert is_trusted(own(keeper), world.bundle)
    assert keeper._served == base64.b64decode(world.secret["tls.crt"])


async def test_a_certificate_that_ended_while_nobody_ran_is_replaced_at_once(world):
    await world.replica().keep()
    world.now += LIFE * 2

    keeper = world.replica()
    await keeper.keep()

    assert own(keeper).not_valid_after_utc > world.now
    assert len(x509.load_pem_x509_certificates(world.bundle)) == 1


async def test_without_a_configuration_it_serves_all_the_same_and_says_what_is_missing(world):
    world.server.remove(CONFIGURATION_PATH)
    keeper = world.replica()

    assert CONFIGURATION in await keeper.keep()
    keeper.check()


async def test_a_failure_is_survived(world):
    keeper = world.replica(interval_s=0.01)
    world.server.script("*", *[answer_status(500, "InternalError")] * 6)
    running = asyncio.get_running_loop().create_task(keeper.run())
    await asyncio.wait_for(world.server.wait_until(lambda: world.is_published), 10)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 90)), min_size=1, max_size=25))
async def test_whoever_looks_when_everything_that_is_served_is_trusted(turns):
    """Replicas look in any order, and none of them for longer than a third of a life."""
    async with a_world() as world:
        for _ in range(3):
            await world.replica().keep()
        for turn, days in turns:
            world.now += timedelta(days=days)
            await world.replicas[turn].keep()
            for keeper in world.replicas:
                certificate = own(keeper)
                if world.now < certificate.not_valid_after_utc:
                    assert is_trusted(certificate, world.bundle)
            assert own(world.replicas[turn]).not_valid_after_utc > world.now


async def test_replicas_that_start_together_agree(world):
    keepers = [world.replica() for _ in range(4)]
    await asyncio.gather(*(keeper.keep() for keeper in keepers))
    for keeper in keepers:
        await keeper.keep()

    assert len({keeper._served for keeper in keepers}) == 1
    assert is_trusted(own(keepers[0]), world.bundle)


async def test_no_key_is_logged(world, capsys):
    keeper = world.replica()
    await keeper.keep()

    said = capsys.readouterr()
    assert "PRIVATE KEY" not in said.out + said.err
    assert world.secret["tls.key"][:40] not in said.out + said.err
