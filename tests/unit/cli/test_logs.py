"""What is logged of an exception: where and what, never the values at hand."""

import base64
import io
import logging
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.logs import configure_logging
from cli.settings import Settings
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.issue import new_authority
from controllers.cluster.observed import Certificates
from controllers.cluster.read_certificates import ReadCertificates
from etcd.tls import ClientTLS
from informers.kubeconfig import Endpoint
from informers.transport import Request


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = before


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variable(log_format, root_logger, capsys):
    configure_logging(Settings(log_format=log_format))
    for handler in root_logger.handlers:
        handler.flush()

    def fails():
        key = "".join(["hunter", "2"])
        raise RuntimeError("it failed", len(key))

    try:
        fails()
    except RuntimeError:
        logging.getLogger("test").exception("told")
    logged = capsys.readouterr().err

    assert "told" in logged
    assert "it failed" in logged
    assert "fails" in logged
    assert "hunter2" not in logged


NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def holders(secret):
    """One of each of our values that hold something secret."""
    cert = b"-----BEGIN CERTIFICATE-----\n"
    tls = ClientTLS(ca=cert, cert=cert, key=b"-----BEGIN PRIVATE KEY-----\n" + secret.encode())
    return (
        tls,
        ReadCertificates(certificates=Certificates(), tls=tls),
        Endpoint(url="https://x", namespace="n", authorization=f"Bearer {secret}", proxy=secret),
        Request(method="PUT", path="/x", verb="update", resource="secrets", body=secret.encode()),
    )


@given(
    secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12).map("sk-{}".format),
    log_format=st.sampled_from(["json", "console"]),
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_that_hold_a_secret_show_nothing_of_it(root_logger, secret, log_format):
    configure_logging(Settings(log_format=log_format))
    output = io.StringIO()
    root_logger.handlers[0].setStream(output)

    for value in holders(secret):
        structlog.get_logger("test").warning("seen", value=value, nested=[value, {"x": value}])
        try:
            raise RuntimeError(value)
        except RuntimeError:
            logging.getLogger("test").exception("failed with %s", value)

    assert "seen" in output.getvalue()
    assert "failed with" in output.getvalue()
    assert secret not in output.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_authority_shows_nothing_of_its_key(root_logger, capsys, log_format):
    configure_logging(Settings(log_format=log_format))
    life = (NOW, NOW + timedelta(days=1))
    authority = new_authority("db", Role.CLIENT_CA, KEY, x509.random_serial_number(), life)
    structlog.get_logger("test").warning("seen", authority=authority, key=authority.key)
    logged = capsys.readouterr().err

    assert "seen" in logged
    number = KEY.private_numbers().private_value
    assert str(number) not in logged
    assert base64.b64encode(PEM).decode()[40:80] not in logged
