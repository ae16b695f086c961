"""Certificates of a private authority: a good one for this machine, and bad ones of several kinds."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
import warnings
from typing import Optional, Sequence

with warnings.catch_warnings():
    # What trustme stands on warns of the oldest Python that we support.
    warnings.filterwarnings("ignore", message="Python 3.8 is no longer supported")
    import trustme
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

#: A private certificate authority.
Authority = trustme.CA

_LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
_FAR_AHEAD = dt.datetime(2100, 1, 1, tzinfo=dt.timezone.utc)
_DAY = dt.timedelta(days=1)


def trusting(authority: Authority) -> ssl.SSLContext:
    """A client's context that knows the authority, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def good(authority: Authority) -> ssl.SSLContext:
    return serving(authority.issue_cert("127.0.0.1", "localhost"))


# -- bad certificates: each is good but for one thing -------------------------------------------------------------


def expired(authority: Authority) -> ssl.SSLContext:
    return serving(authority.issue_cert("127.0.0.1", "localhost", not_after=_LONG_AGO))


def not_valid_yet(authority: Authority) -> ssl.SSLContext:
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return _own(_FAR_AHEAD, issuer.subject, key)


def of_another_name(authority: Authority) -> ssl.SSLContext:
    return serving(authority.issue_cert("127.0.0.1", "example.org", "*.localhost", "localhost.example.org"))


def of_another_address(authority: Authority) -> ssl.SSLContext:
    return serving(authority.issue_cert("127.0.0.2", "localhost"))


def named_in_its_subject_alone(authority: Authority) -> ssl.SSLContext:
    return serving(authority.issue_cert(common_name="localhost"))


def of_an_unknown_authority(authority: Authority) -> ssl.SSLContext:
    return good(Authority())


def without_its_intermediate(authority: Authority) -> ssl.SSLContext:
    certificate = authority.create_child_ca().issue_cert("127.0.0.1", "localhost")
    return _loaded([certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()])


def self_signed(authority: Authority) -> ssl.SSLContext:
    return _own(dt.datetime.now(dt.timezone.utc), None, None)


def _own(
    date: dt.datetime, issuer: Optional[x509.Name], issuers_key: Optional[ec.EllipticCurvePrivateKey]
) -> ssl.SSLContext:
    """What trustme does not make: a certificate for the days around a date, or without an issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(issuer or name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(date - _DAY)
        .not_valid_after(date + _DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuers_key or key, hashes.SHA256())
    )
    return _loaded(
        [
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            certificate.public_bytes(serialization.Encoding.PEM),
        ]
    )


def _loaded(pems: Sequence[bytes]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(pems))
        file.flush()
        context.load_cert_chain(file.name)
    return context


# -- protocols that nobody should speak -------------------------------------------------------------------------


def of_protocol_1_1_alone(authority: Authority) -> ssl.SSLContext:
    context = good(authority)
    with warnings.catch_warnings():
        # It is deprecated, and OpenSSL would not offer it without being told twice.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def without_encryption(authority: Authority) -> ssl.SSLContext:
    context = good(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("eNULL:@SECLEVEL=0")
    return context


def without_a_certificate(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context
