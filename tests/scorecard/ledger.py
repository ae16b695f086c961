"""A server that notes every message it has read, connection by connection, and ends connections at a chosen byte."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from typing import Callable, Dict, List, NamedTuple, Optional

from onetrade_ws.simulator import websocket

_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{"success":true}'
_REFUSAL = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_MOST = 64 * 1024 * 1024

#: The ways in which a connection is ended: RST; FIN that becomes one where something is unread; FIN and reading on;
#: a close frame and reading on; no reading until the client has given up, and then reading what it had written: in
#: silence, or with signs of life.
RESET, CLOSE, FINISH, CLOSE_FRAME, STALL, DEAF = "reset", "close", "finish", "close frame", "stall", "deaf"
CUTS = (RESET, CLOSE, FINISH, CLOSE_FRAME, STALL, DEAF)

# Seconds between two signs of life of a server that reads nothing, and how many there are before it reads on.
_SIGN_INTERVAL = 0.05
_SIGNS = 60


class Cut(NamedTuple):
    """When and how a connection is to be ended: after so many bytes behind the handshake."""

    after: int
    how: str


class _Ended(Exception):
    """The client has gone."""


class _Stopped(Exception):
    """The server is to stop."""


class Conversation:
    """One WebSocket connection, on a thread of its own."""

    def __init__(self, ledger: Ledger, sock: socket.socket, number: int, cut: Optional[Cut]) -> None:
        #: The messages that were read, in their order, heartbeats left out.
        self.messages: List[bytes] = []
        #: Heartbeats that were read.
        self.beats = 0
        #: Bytes of a frame whose rest did not come.
        self.torn = 0
        #: What broke the protocol, or came first and was no heartbeat.
        self.violation: Optional[str] = None
        #: Whether it was ended by the server, not by the client.
        self.was_cut = False
        #: Whether it has ended.
        self.over = False
        self.number = number
        self._ledger = ledger
        self._sock = sock
        self._cut = cut
        self._read = 0
        self._taken = 0
        self._frames = websocket.FrameReader(_MOST)
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"ledger {number}")

    def start(self) -> None:
        self._thread.start()

    def cut(self, how: str) -> None:
        """End it now, when it has not been ended yet. On any thread."""
        if not self.was_cut:
            self._cut = Cut(0, how)
            self.wake()

    def wake(self) -> None:
        """Let it look at what has changed. On any thread."""
        # It may have ended already.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"\0")

    @property
    def how(self) -> Optional[str]:
        """How it is, or was, to be ended."""
        return None if self._cut is None else self._cut.how

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._converse()
        except (_Ended, _Stopped):
            pass
        except websocket.ProtocolViolation as violation:
            self.violation = violation.reason
        finally:
            self._sock.close()
            self._wake_in.close()
            self._wake_out.close()
            self.torn = self._read - self._taken
            self.over = True
            self._ledger.changed()

    def _converse(self) -> None:
        while True:
            cut = self._cut
            if cut is not None and self._read >= cut.after:
                break
            if self._wait():
                self._receive(64 * 1024 if cut is None else min(64 * 1024, cut.after - self._read))
        self.was_cut = True
        self._ledger.changed()
        if cut.how == RESET:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if cut.how == CLOSE:
            return
        if cut.how == FINISH:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        elif cut.how == CLOSE_FRAME:
            self._send(websocket.frame(websocket.CLOSE, websocket.close_payload(1012)))
        else:
            self._read_nothing(signs=cut.how == DEAF)
        while True:
            self._wait()
            self._receive(64 * 1024)

    def _read_nothing(self, signs: bool) -> None:
        for _ in range(_SIGNS):
            if self._ledger.newest > self.number:
                return
            self._wait(to_read=False, timeout=_SIGN_INTERVAL)
            # The client may have gone, and what it wrote may be there all the same.
            with contextlib.suppress(_Ended):
                if signs:
                    self._send(websocket.frame(websocket.TEXT, b'{"type":"info","data":{"message":"here"}}'))

    def _wait(self, to_read: bool = True, timeout: Optional[float] = None) -> bool:
        """Until there is something to read, something has been changed, or the time is over.

        :returns: whether there is something to read
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_out, selectors.EVENT_READ)
            if to_read:
                selector.register(self._sock, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(timeout)]
        if self._ledger.stopping:
            raise _Stopped
        if self._wake_out in ready:
            self._wake_out.recv(4096)
        return self._sock in ready

    def _receive(self, size: int) -> None:
        try:
            data = self._sock.recv(size)
        except OSError:
            raise _Ended from None
        if not data:
            raise _Ended
        self._read += len(data)
        for opcode, payload in self._frames.feed(data):
            # Every frame of a client has its mask, and those here have no fragments.
            self._taken += len(websocket.frame_header(opcode, len(payload))) + 4 + len(payload)
            if opcode == websocket.TEXT and payload == b"9":
                if not self.was_cut:
                    self._send(websocket.frame(websocket.TEXT, b"10"))
                self.beats += 1
                self._ledger.changed()
            elif opcode == websocket.TEXT:
                if not self.beats:
                    self.violation = "a message came before the first heartbeat"
                self.messages.append(payload)
            elif opcode == websocket.CLOSE and not self.was_cut:
                self.was_cut = True
                self._send(websocket.frame(websocket.CLOSE, payload[:2]))

    def _send(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError:
            raise _Ended from None


class Ledger:
    """Accepts everybody; each WebSocket is ended as planned.

    :param plan: how to end the connection of a number, from 1; None: not before it is told
    :param receive_buffer: bytes that the system may hold for a connection, about; clients write in parts to small ones
    """

    session_id = "ledger-session"
    access_token = "ledger-token"

    def __init__(self, plan: Callable[[int], Optional[Cut]], receive_buffer: int) -> None:
        self.conversations: List[Conversation] = []
        #: While set, session validations get 503.
        self.refusing = False
        #: How many validations were refused.
        self.refused = 0
        self.stopping = False
        self._plan = plan
        # Guards nothing but the waiting: everything else is written by one thread.
        self._condition = threading.Condition()
        self._wake_in, self._wake_out = socket.socketpair()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(50)
        self.ws_url = "ws://{}:{}".format(*self._listener.getsockname())
        self._thread = threading.Thread(target=self._run, name="ledger")
        self._thread.start()

    @property
    def newest(self) -> int:
        """The number of the newest connection."""
        return len(self.conversations)

    def changed(self) -> None:
        """Wake whoever waits for something of this server."""
        with self._condition:
            self._condition.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Block until something is true of this server.

        :returns: False when it was not in time
        """
        with self._condition:
            return self._condition.wait_for(predicate, timeout)

    def stop(self) -> None:
        """End everything. Idempotent."""
        if not self.stopping:
            self.stopping = True
            self._wake_in.send(b"\0")
            self._thread.join()
            for conversation in self.conversations:
                conversation.wake()
                conversation.join()
            for sock in (self._listener, self._wake_in, self._wake_out):
                sock.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_out, selectors.EVENT_READ)
            while True:
                selector.select()
                if self.stopping:
                    return
                sock, _ = self._listener.accept()
                # A client that has gone again.
                with contextlib.suppress(OSError):
                    self._greet(sock)

    def _greet(self, sock: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            # The request is all that comes before an answer.
            data = sock.recv(4096)
            if not data:
                sock.close()
                return
            head += data
        if head.startswith(b"POST"):
            self.refused += self.refusing
            sock.sendall(_REFUSAL if self.refusing else _ANSWER)
            sock.close()
            self.changed()
            return
        lines = head.decode("latin-1").split("\r\n")
        headers: Dict[str, str] = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        number = len(self.conversations) + 1
        conversation = Conversation(self, sock, number, self._plan(number))
        accept = websocket.accept_value(headers["sec-websocket-key"])
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode("ascii")
        )
        previous = self.conversations[-1:]
        self.conversations.append(conversation)
        conversation.start()
        for stalled in previous:
            stalled.wake()
        self.changed()
