"""Certificates of a private authority: a good one, and bad ones."""

from __future__ import annotations

import datetime as dt
import ssl
import warnings

with warnings.catch_warnings():
    # What trustme stands on warns of the oldest Python that we support.
    warnings.filterwarnings("ignore", message="Python 3.8 is no longer supported")
    import trustme

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
FAR_AHEAD = dt.datetime(2100, 1, 1, tzinfo=dt.timezone.utc)


def authority() -> trustme.CA:
    """A new authority."""
    return trustme.CA()


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that knows the authority, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def good(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", "localhost")


def unknown_authority(authority: trustme.CA) -> trustme.LeafCert:
    return good(trustme.CA())


def wrong_name(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("example.org")


def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", not_after=LONG_AGO)
