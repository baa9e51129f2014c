"""Finds the way from a certificate to an authority that is trusted, as Go's crypto/x509 does.

Pure.  Not the library's own verifier: it checks the profile of the web's authorities, which private
ones often do not follow and Go does not ask for, and it does not say what is wrong.
"""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from controllers.cluster.certificates.parse import FAILURES, UnfitSecretError, is_authority

Chain = tuple[x509.Certificate, ...]


def chain_above(leaf: x509.Certificate, others: Chain, trusted: Chain, now: datetime) -> Chain:
    """The certificates above a leaf, up to a trusted one; of several ways the shortest whose
    authorities are all valid. Raises UnfitSecretError.
    """
    valid = _shortest(leaf, _valid(others, now), _valid(trusted, now))
    if valid:
        return valid
    over = [one for one in _shortest(leaf, others, trusted) if one not in _valid((one,), now)]
    if not over:
        raise UnfitSecretError(
            "no authority in its ca.crt has signed it: put the authority's certificate into ca.crt,"
            " and certificates in between into tls.crt, after its own"
        )
    first, last = over[0].not_valid_before_utc, over[0].not_valid_after_utc
    message = (
        f"an authority above it is valid only from {first:%Y-%m-%d} to {last:%Y-%m-%d}: renew that"
        " one, and then what it has signed"
    )
    raise UnfitSecretError(message)


def _valid(certificates: Chain, now: datetime) -> Chain:
    return tuple(
        one for one in certificates if one.not_valid_before_utc <= now < one.not_valid_after_utc
    )


def _shortest(leaf: x509.Certificate, others: Chain, trusted: Chain) -> Chain:
    """Empty where no way leads up. Each certificate is looked at once, however they are tangled."""
    ways: list[Chain] = [(leaf,)]
    left = list(others)
    while ways:
        way = ways.pop(0)
        below = len(way) - 1  # authorities between the leaf and the next one
        for one in trusted:
            if _signed(way[-1], one, below):
                return (*way[1:], one)
        above = [one for one in left if _signed(way[-1], one, below)]
        left = [one for one in left if one not in above]
        ways += [(*way, one) for one in above]
    return ()


def _signed(certificate: x509.Certificate, by: x509.Certificate, below: int) -> bool:
    try:
        if not is_authority(by) or not _may_sign(by, below):
            return False
        certificate.verify_directly_issued_by(by)
    except (*FAILURES, InvalidSignature):
        return False
    return True


def _may_sign(authority: x509.Certificate, below: int) -> bool:
    """Whether its own limits let it sign, with so many authorities between it and the leaf."""
    limit = authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    if limit is not None and below > limit:
        return False
    try:
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.key_cert_sign
