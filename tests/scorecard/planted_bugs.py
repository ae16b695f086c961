"""Small realistic bugs, each as one replacement in the source, and the tests that must notice it."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

import attrs


@attrs.frozen
class Bug:
    """A bug to plant.

    :ivar name: what the library does wrong with it
    :ivar module: where, below the package
    :ivar source: what is there now, once
    :ivar replacement: what makes it wrong
    :ivar tests: files or single tests that should fail
    """

    name: str
    module: str
    source: str
    replacement: str
    tests: Sequence[str]

    def plant(self, root: Path) -> None:
        """Change the copy of the tree at ``root``.

        :raises LookupError: when what is to be replaced is not there, or not once: the table is out of date
        """
        path = root / "onetrade_ws" / self.module
        text = path.read_text(encoding="utf-8")
        if text.count(self.source) != 1:
            raise LookupError(f"{self.module} has {self.source!r} {text.count(self.source)} times, not once")
        path.write_text(text.replace(self.source, self.replacement), encoding="utf-8")


BUGS: List[Bug] = [
    Bug(
        "the first heartbeat waits for an interval",
        "connection/heartbeat.py",
        "                self._send_beat()\n                self._restore()\n",
        "                self._restore()\n",
        ["tests/connection/test_session_rules.py", "-k", "heartbeat_first"],
    ),
    Bug(
        "subscriptions are restored twice",
        "connection/outgoing.py",
        "in self._subscriptions.messages():",
        "in 2 * self._subscriptions.messages():",
        ["tests/connection/test_session_rules.py", "-k", "subscriptions_then_messages"],
    ),
    Bug(
        "a gap is announced without its beginning",
        "connection/supervisor.py",
        "started_at=loss.last_received_at,",
        "started_at=time.time(),",
        ["tests/connection/test_reconnect.py", "-k", "gap or busy_stream"],
    ),
    Bug(
        "a full event queue drops",
        "delivery/queue.py",
        "            self._add(frames, size)\n        if say_slow:",
        "            if not full:\n                self._add(frames, size)\n        if say_slow:",
        ["tests/client/test_backpressure.py"],
    ),
    Bug(
        "refused credentials are tried again",
        "connection/supervisor.py",
        "_FINAL = (AuthenticationError, CertificateError,",
        "_FINAL = (CertificateError,",
        ["tests/connection/test_connect.py", "-k", "final"],
    ),
    Bug(
        "the heartbeat's thread outlives its connection",
        "connection/link.py",
        "                self._heartbeat.stop()\n                self._heartbeat.join(Deadline(None))\n",
        "                pass\n",
        ["tests/connection/test_heartbeat.py", "-k", "thread_ends"],
    ),
    Bug(
        "disconnect() says that it goes away",
        "connection/transport.py",
        "NORMAL_CLOSURE = 1000",
        "NORMAL_CLOSURE = 1001",
        ["tests/connection/test_disconnect.py", "-k", "closing_handshake"],
    ),
    Bug(
        "redirects are followed",
        "connection/exchange.py",
        "allow_redirects=False",
        "allow_redirects=True",
        ["tests/connection/test_http.py"],
    ),
    Bug(
        "a message goes on inside a torn frame",
        "connection/stream.py",
        "            raise self._fail(stalled) from None\n",
        "            raise stalled from None\n",
        [
            "tests/connection/test_outgoing.py",
            "tests/connection/test_heartbeat.py",
            "-k",
            "cut_off or takes_nothing",
        ],
    ),
    Bug(
        "the WebSocket's certificate is not checked",
        "connection/stream.py",
        "            sock = context.wrap_socket(",
        "            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n"
        "            sock = context.wrap_socket(",
        ["tests/connection/test_tls.py", "-k", "bad_certificate"],
    ),
    Bug(
        "an id goes through a float",
        "protocol/structure.py",
        '        raise _expected("an integer", value)\n    return value\n',
        '        raise _expected("an integer", value)\n    return int(float(value))\n',
        ["tests/protocol"],
    ),
    Bug(
        "unread orders are merged like quotes",
        "delivery/waiting.py",
        "        return event.type, event.data.position_id\n    return None\n",
        "        return event.type, event.data.position_id\n    return event.type, 0\n",
        ["tests/client/test_pull.py", "-k", "kept_in_order"],
    ),
    Bug(
        "callbacks run under the registry's lock",
        "delivery/dispatcher.py",
        "            callback(event)\n",
        "            with self._observers._lock:\n                callback(event)\n",
        ["tests/client/test_observers.py", "-k", "no_lock_is_held_while_a_callback_runs"],
    ),
    Bug(
        "anybody's logout ends the client",
        "protocol/codec.py",
        "    return event_type is EventMessageType.SESSION_LOGOUT and data.session_id == session_id\n",
        "    return event_type is EventMessageType.SESSION_LOGOUT\n",
        ["tests/connection/test_session_rules.py", "-k", "another_session"],
    ),
    Bug(
        "what the server quotes is shown as it is",
        "connection/credentials.py",
        '            text = text.replace(spelling, "…")\n',
        "            text = str(text)\n",
        ["tests/connection/test_secrets.py"],
    ),
]
