"""Servers with a bad certificate, or a protocol that is none: each is refused at both doors, the HTTP call and the
WebSocket, and is told nothing before. The library's own context decides, as it does by default."""

from __future__ import annotations

import os
import ssl
import tempfile
from functools import partial
from typing import Callable, Dict, List, Optional, Type
from unittest import mock

from onetrade_ws import CertificateError, NetworkError, OneTradeError, ReconnectPolicy
from tests.connection import certificates
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, client_of
from tests.scorecard.cases import FellShort, run_cases
from tests.scorecard.outcome import Outcome

PROMISE = "TLS is strict"
TARGET = "8 of 8 refused, no request byte before verification"
EXCLUSIVE = False
FULL_MINUTES = 1

Bad = Callable[[certificates.Authority], Optional[ssl.SSLContext]]

_DOORS = ("validation", "WebSocket")
# Twice, and soon.
_POLICY = ReconnectPolicy(initial_delay=0.01, max_delay=0.01, max_attempts=2)


def speaks_plain_text(authority: certificates.Authority) -> None:
    """No context: it does not know TLS."""


_CERTIFICATES: Dict[str, Bad] = {
    "expired": certificates.expired,
    "not valid yet": certificates.not_valid_yet,
    "of another name": certificates.of_another_name,
    "of another address": certificates.of_another_address,
    "named in its subject alone": certificates.named_in_its_subject_alone,
    "of an unknown authority": certificates.of_an_unknown_authority,
    "without its intermediate": certificates.without_its_intermediate,
    "self-signed": certificates.self_signed,
}
_PROTOCOLS: Dict[str, Bad] = {
    "TLS 1.1 alone": certificates.of_protocol_1_1_alone,
    "no encryption": certificates.without_encryption,
    "no certificate": certificates.without_a_certificate,
    "plain text": speaks_plain_text,
}


class _Listener:
    """Takes whatever it is told after the TLS handshake, or all of it when there is none."""

    def __init__(self, context: Optional[ssl.SSLContext]) -> None:
        self.received = b""
        self.server = HostileServer(tcp=self._listen, tls=context)

    def _listen(self, peer: Peer) -> None:
        while True:
            self.received += peer.receive()
            if self.received.startswith(b"\x16\x03"):
                # The hello of TLS, to a server that does not know it.
                peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                peer.finish()


def _is_refused(
    told: List[int],
    authority: certificates.Authority,
    bad: Bad,
    door: str,
    host: str,
    error: Type[OneTradeError],
) -> None:
    """Show a bad server to a client, and note how many bytes of a request it is sent."""
    listener = _Listener(bad(authority))
    with listener.server as server, HostileServer() as good:
        address = server.address.replace("127.0.0.1", host)
        client = client_of(
            server,
            url=f"wss://{address}",
            http_url=f"https://{address}" if door == "validation" else good.http_url,
            reconnect=_POLICY,
        )
        refusal: Optional[OneTradeError] = None
        try:
            client.connect(timeout=TIMEOUT)
        except OneTradeError as caught:
            refusal = caught
        client.disconnect()
    hello = listener.received.startswith(b"\x16\x03") and b"HTTP" not in listener.received
    told.append(0 if hello else len(listener.received))
    if type(refusal) is not error:
        raise FellShort(f"not refused as it should be: {refusal!r}")
    # A bad certificate is a final answer.
    if error is CertificateError and server.accepted != 1:
        raise FellShort(f"tried {server.accepted} times")


def _is_accepted(authority: certificates.Authority, host: str) -> None:
    """Nothing is proven by a client that refuses everybody."""
    with HostileServer(tls=certificates.good(authority)) as server:
        client = client_of(server, url=server.ws_url.replace("127.0.0.1", host), reconnect=None)
        with client:
            server.wait_for(lambda server: server.frames)


def measure(full: bool, seed: int) -> Outcome:
    """Show each bad server to both doors, by name and by address; and the good one, too."""
    authority = certificates.Authority()
    told: List[int] = []
    cases: Dict[str, Callable[[], None]] = {}
    for kind, error in ((_CERTIFICATES, CertificateError), (_PROTOCOLS, NetworkError)):
        for name, bad in kind.items():
            host = "127.0.0.1" if name == "of another address" else "localhost"
            for door in _DOORS:
                cases[f"{name}, {door}"] = partial(_is_refused, told, authority, bad, door, host, error)
    control = {
        f"a good one, {host}": partial(_is_accepted, authority, host) for host in ("localhost", "127.0.0.1")
    }
    failures: List[str] = []
    with tempfile.TemporaryDirectory() as directory:
        bundle = os.path.join(directory, "authority.pem")
        authority.cert_pem.write_to_path(bundle)
        # So that the context is the library's own, as it is by default.
        with mock.patch.dict(os.environ, {"REQUESTS_CA_BUNDLE": bundle}):
            for _ in range(10 if full else 1):
                for group in (cases, control):
                    failures += run_cases(group, at_once=4)[1]
    names = [*_CERTIFICATES, *_PROTOCOLS]
    refused = [name for name in names if not any(line.startswith(f"{name}, ") for line in failures)]
    figure = (
        f"{len(refused)} of {len(names)} refused at both doors, {sum(told)} request bytes before verification"
    )
    return Outcome(figure, not failures and not any(told), failures)
