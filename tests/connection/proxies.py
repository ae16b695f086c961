"""Proxies whose every byte a test scripts, with relays behind those that do what they are for."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import struct
import threading
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from tests.connection.hostile import TIMEOUT


class Asked(NamedTuple):
    """What a client asked a proxy for, and with which credentials."""

    host: str
    port: int
    username: Optional[str] = None
    password: Optional[str] = None


class _GoneError(Exception):
    """The client has gone, or the proxy is told to stop."""


class Visitor:
    """One connection from a client, as a script sees it. Every method ends the script when the client has gone."""

    def __init__(self, proxy: ProxyServer, sock: socket.socket) -> None:
        self.proxy = proxy
        self._sock = sock
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, size: int) -> bytes:
        """So many bytes."""
        data = b""
        while len(data) < size:
            data += self._receive(size - len(data))
        return data

    def read_until(self, end: bytes) -> bytes:
        """Everything up to ``end``, which is left off."""
        data = b""
        while not data.endswith(end):
            data += self._receive(1)
        return data[: -len(end)]

    def read_until_gone(self) -> None:
        """Whatever comes, until the client has gone."""
        while True:
            self._receive(64 * 1024)

    def _receive(self, size: int) -> bytes:
        try:
            data = self._sock.recv(size)
        except OSError as error:
            raise _GoneError from error
        if not data:
            raise _GoneError
        self.proxy.heard(data)
        return data

    def send(self, data: bytes) -> None:
        """All of it."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise _GoneError from error

    def pause(self, seconds: float) -> None:
        """Be slow: not waiting for anything, but what a slow proxy does."""
        if self.proxy.stopping.wait(seconds):
            raise _GoneError

    def reset(self) -> None:
        """End the connection with RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def relay(self, asked: Asked, granted: bytes) -> None:
        """Connect with what was asked for, say so, and pass everything on, until either side ends."""
        self.proxy.note_asked(asked)
        host = self.proxy.hosts.get(asked.host, asked.host)
        try:
            upstream = socket.create_connection((host, asked.port))
        except OSError as error:
            raise _GoneError from error
        with upstream:
            self.proxy.adopt(upstream)
            self.send(granted)
            back = threading.Thread(target=_pass_on, args=(upstream, self._sock), name="proxy back")
            back.start()
            try:
                while True:
                    upstream.sendall(self._receive(64 * 1024))
            except (OSError, _GoneError):
                pass
            finally:
                _shut_down(upstream)
                back.join()


Script = Callable[[Visitor], None]


class ProxyServer:
    """Runs a script for each connection, each on a thread of its own.

    :param scripts: for the first connection, the second, …; the last one for all that follow
    :param hosts: names that this proxy alone knows, and their addresses
    """

    def __init__(self, *scripts: Script, hosts: Optional[Dict[str, str]] = None) -> None:
        self.hosts = {} if hosts is None else hosts
        #: What it was asked to connect with, in order.
        self.asked: List[Asked] = []
        #: Everything that clients sent, their tunnels included.
        self.received = b""
        self.accepted = 0
        self.stopping = threading.Event()
        self._scripts = scripts
        self._threads: List[threading.Thread] = []
        self._socks: Set[socket.socket] = set()
        self._failures: List[BaseException] = []
        # Guards everything that was noted. Waited on for more of it.
        self._changed = threading.Condition()
        self._wake_in, self._wake_out = socket.socketpair()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(50)
        #: ``host:port``.
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._thread = threading.Thread(target=self._run, name="proxy server")
        self._thread.start()

    def wait_for(self, predicate: Callable[[ProxyServer], object]) -> None:
        """Block until something is true of this proxy."""
        with self._changed:
            assert self._changed.wait_for(lambda: predicate(self), TIMEOUT), f"not in time; {self.asked}"

    def heard(self, data: bytes) -> None:
        """Note what a client sent."""
        with self._changed:
            self.received += data
            self._changed.notify_all()

    def note_asked(self, asked: Asked) -> None:
        """Note what a client wants."""
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()

    def adopt(self, sock: socket.socket) -> None:
        """Cut ``sock``, too, when this proxy stops."""
        with self._changed:
            self._socks.add(sock)
            if self.stopping.is_set():
                _shut_down(sock)

    def stop(self) -> None:
        """End everything; a failure in a script is raised here."""
        self.stopping.set()
        self._wake_in.send(b"\0")
        self._thread.join()
        with self._changed:
            for sock in self._socks:
                _shut_down(sock)
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, self._wake_in, self._wake_out):
            sock.close()
        if self._failures:
            raise self._failures.pop()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_out, selectors.EVENT_READ)
            while True:
                selector.select()
                if self.stopping.is_set():
                    return
                sock, _ = self._listener.accept()
                script = self._scripts[min(self.accepted, len(self._scripts) - 1)]
                self.adopt(sock)
                with self._changed:
                    self.accepted += 1
                    self._changed.notify_all()
                thread = threading.Thread(target=self._serve, args=(sock, script), name="proxy connection")
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, script: Script) -> None:
        try:
            script(Visitor(self, sock))
        except _GoneError:
            pass
        except BaseException as failure:  # noqa: BLE001 - raised again by stop()
            self._failures.append(failure)
        finally:
            with self._changed:
                self._socks.discard(sock)
            sock.close()


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while True:
            data = source.recv(64 * 1024)
            if not data:
                break
            sink.sendall(data)
    except OSError:
        pass
    _shut_down(sink)


# -- those that do what they are for ------------------------------------------------------------------------------


def http(visitor: Visitor) -> None:
    """HTTP CONNECT (RFC 9110, 9.3.6)."""
    target, credentials = read_connect(visitor)
    host, _, port = target.rpartition(":")
    # An IPv6 address stands in brackets, or nobody could tell where it ends.
    assert (":" in host) == host.startswith("["), target
    asked = Asked(host.strip("[]"), int(port), *credentials)
    visitor.relay(asked, b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n")


def read_connect(visitor: Visitor) -> Tuple[str, List[str]]:
    """The target of a CONNECT request, and the credentials that came with it."""
    first, *lines = visitor.read_until(b"\r\n\r\n").decode("ascii").split("\r\n")
    method, target, version = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert (method, version, headers["host"]) == ("CONNECT", "HTTP/1.1", target)
    scheme, _, encoded = headers.get("proxy-authorization", "").partition(" ")
    if not scheme:
        return target, []
    assert scheme == "Basic"
    return target, base64.b64decode(encoded).decode("latin-1").split(":", 1)


def socks5(visitor: Visitor) -> None:
    """SOCKS5 (RFC 1928), with user and password (RFC 1929) for who offers them."""
    credentials = greet_socks5(visitor)
    visitor.relay(read_socks5(visitor, credentials), b"\5\0\0\1\0\0\0\0\0\0")


def greet_socks5(visitor: Visitor) -> List[str]:
    """Agree on how to authenticate, and do it."""
    version, count = visitor.read(2)
    assert version == 5
    if 2 not in visitor.read(count):
        visitor.send(b"\5\0")
        return []
    visitor.send(b"\5\2")
    assert visitor.read(1) == b"\1"
    credentials = [visitor.read(visitor.read(1)[0]).decode("ascii") for _ in range(2)]
    visitor.send(b"\1\0")
    return credentials


def read_socks5(visitor: Visitor, credentials: List[str]) -> Asked:
    """What the client wants to be connected with."""
    assert visitor.read(3) == b"\5\1\0"
    kind = visitor.read(1)[0]
    if kind == 3:
        host = visitor.read(visitor.read(1)[0]).decode("ascii")
    elif kind == 4:
        host = socket.inet_ntop(socket.AF_INET6, visitor.read(16))
    else:
        host = socket.inet_ntoa(visitor.read(4))
    return Asked(host, int.from_bytes(visitor.read(2), "big"), *credentials)


def socks4(visitor: Visitor) -> None:
    """SOCKS4, and SOCKS4a for who sends a name."""
    visitor.relay(read_socks4(visitor), b"\0\x5a\0\0\0\0\0\0")


def read_socks4(visitor: Visitor) -> Asked:
    """What the client wants to be connected with."""
    assert visitor.read(2) == b"\4\1"
    port = int.from_bytes(visitor.read(2), "big")
    address = visitor.read(4)
    user = visitor.read_until(b"\0").decode("ascii")
    host = socket.inet_ntoa(address)
    if address[:3] == b"\0\0\0":
        host = visitor.read_until(b"\0").decode("ascii")
    return Asked(host, port, user or None)


RELAYS: Dict[str, Script] = {
    "http": http,
    "socks5": socks5,
    "socks5h": socks5,
    "socks4": socks4,
    "socks4a": socks4,
}


# -- those that are not -----------------------------------------------------------------------------------------


def asked_nothing(visitor: Visitor) -> None:
    """End the connection at once."""


def reset(visitor: Visitor) -> None:
    """End the connection with RST once the client has said something."""
    visitor.read(1)
    visitor.reset()


def hang(visitor: Visitor) -> None:
    """Listen, and say nothing."""
    visitor.read_until_gone()


def drip(data: bytes) -> Script:
    """One byte at a time, slowly and without an end: no single wait for one ever takes long."""

    def script(visitor: Visitor) -> None:
        for byte in data:
            visitor.send(bytes([byte]))
            visitor.pause(0.02)
        while True:
            visitor.send(b"x")
            visitor.pause(0.02)

    return script


def say(data: bytes) -> Script:
    """Say this, whatever was asked, and then listen."""

    def script(visitor: Visitor) -> None:
        visitor.read(1)
        visitor.send(data)
        visitor.read_until_gone()

    return script


def repeat(head: bytes, data: bytes) -> Script:
    """Say this without an end."""

    def script(visitor: Visitor) -> None:
        visitor.send(head)
        while True:
            visitor.send(data)

    return script
