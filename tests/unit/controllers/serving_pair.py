"""Certificates for a server, as files that are replaced the way kubelet does it."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_pair(folder, name, *, password=None):
    """A new self-signed certificate for localhost with this CN, and its key; the PEM of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    encryption = serialization.BestAvailableEncryption(password) if password else plain
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    replace(folder / "tls.crt", signed.public_bytes(serialization.Encoding.PEM))
    replace(folder / "tls.key", text)


def replace(path, content):
    """As kubelet does: another file under the same name."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.rename(path)
