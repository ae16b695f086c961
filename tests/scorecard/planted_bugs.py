"""Small realistic bugs, each as one replacement in the source or a few, and the tests that must notice it."""

from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Sequence

import attrs


class Change(NamedTuple):
    """One replacement.

    :ivar module: where, below the package
    :ivar source: what is there now, once
    :ivar replacement: what makes it wrong
    """

    module: str
    source: str
    replacement: str


@attrs.frozen
class Bug:
    """A bug to plant.

    :ivar name: what the library does wrong with it
    :ivar tests: arguments for pytest: the tests that should fail
    """

    name: str
    changes: Sequence[Change]
    tests: Sequence[str]

    def plant(self, root: Path) -> None:
        """Change the copy of the tree at ``root``.

        :raises LookupError: when what is to be replaced is not there, or not once: the table is out of date
        """
        self.check(root)
        for module, source, replacement in self.changes:
            path = root / "onetrade_ws" / module
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(source, replacement), encoding="utf-8")

    def check(self, root: Path) -> None:
        """See whether it can be planted in the tree at ``root``.

        :raises LookupError: when what is to be replaced is not there, or not once: the table is out of date
        """
        for module, source, _ in self.changes:
            text = (root / "onetrade_ws" / module).read_text(encoding="utf-8")
            if text.count(source) != 1:
                raise LookupError(f"{module} has {source!r} {text.count(source)} times, not once")


BUGS: List[Bug] = [
    Bug(
        "the first heartbeat waits for an interval",
        [
            Change(
                "connection/heartbeat.py",
                "        self._send_beat()\n        self._thread.start()\n",
                "        self._thread.start()\n",
            ),
        ],
        ["tests/connection/test_session_rules.py", "-k", "heartbeat_first"],
    ),
    Bug(
        "subscriptions are restored twice",
        [
            Change(
                "connection/outgoing.py",
                "in self._subscriptions.messages():",
                "in 2 * self._subscriptions.messages():",
            ),
        ],
        ["tests/connection/test_session_rules.py", "-k", "subscriptions_then_messages"],
    ),
    Bug(
        "a gap is announced without its beginning",
        [
            Change(
                "connection/supervisor.py", "started_at=loss.last_received_at,", "started_at=time.time(),"
            ),
        ],
        ["tests/connection/test_reconnect.py", "-k", "gap or busy_stream"],
    ),
    Bug(
        "a full event queue drops",
        [
            Change(
                "delivery/queue.py",
                "            current.add_text(batch)\n",
                "            if current.size < self._limit:\n                current.add_text(batch)\n",
            ),
        ],
        ["tests/client/test_backpressure.py"],
    ),
    Bug(
        "refused credentials are tried again",
        [
            Change(
                "connection/supervisor.py",
                "_FINAL = (AuthenticationError, CertificateError,",
                "_FINAL = (CertificateError,",
            ),
        ],
        ["tests/connection/test_connect.py", "-k", "final"],
    ),
    Bug(
        "the heartbeat's thread outlives its connection",
        [
            Change("connection/link.py", "            self._heartbeat.stop()\n", ""),
            Change("connection/link.py", "            self._heartbeat.join()\n", ""),
        ],
        ["tests/connection/test_heartbeat.py", "-k", "thread_ends"],
    ),
    Bug(
        "disconnect() says that it goes away",
        [
            Change(
                "connection/link.py", "close(CloseCode.NORMAL_CLOSURE, remaining,", "close(1001, remaining,"
            ),
        ],
        ["tests/connection/test_disconnect.py", "-k", "closing_handshake"],
    ),
    Bug(
        "redirects are followed",
        [
            Change("connection/exchange.py", "allow_redirects=False", "allow_redirects=True"),
            Change(
                "connection/exchange.py",
                '        """None: there is none."""\n',
                "        return super().get_redirect_target(resp)\n",
            ),
        ],
        ["tests/connection/test_http.py"],
    ),
    Bug(
        "a message goes on inside a torn frame",
        [
            Change(
                "connection/stream.py",
                "            raise self._fail(stalled) from None\n",
                "            raise stalled from None\n",
            ),
        ],
        [
            "tests/connection/test_outgoing.py",
            "tests/connection/test_heartbeat.py",
            "-k",
            "cut_off or takes_nothing",
        ],
    ),
    Bug(
        "the WebSocket's certificate is not checked",
        [
            Change(
                "connection/stream.py",
                "            sock = context.wrap_socket(",
                "            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n"
                "            sock = context.wrap_socket(",
            ),
        ],
        ["tests/connection/test_tls.py", "-k", "bad_certificate"],
    ),
    Bug(
        "an id goes through a float",
        [
            Change(
                "protocol/structure.py",
                '        raise _expected("an integer", value)\n    return value\n',
                '        raise _expected("an integer", value)\n    return int(float(value))\n',
            ),
        ],
        ["tests/protocol"],
    ),
    Bug(
        "unread orders are merged like quotes",
        [
            Change(
                "delivery/waiting.py",
                "        return event.type, event.data.position_id\n    return None\n",
                "        return event.type, event.data.position_id\n    return event.type, 0\n",
            ),
        ],
        ["tests/client/test_pull.py", "-k", "kept_in_order"],
    ),
    Bug(
        "callbacks run under the registry's lock",
        [
            Change(
                "delivery/dispatcher.py",
                "                try:\n                    callback(event)\n",
                "                try:\n                    with self._observers._lock:\n"
                "                        callback(event)\n",
            ),
            Change(
                "delivery/dispatcher.py",
                "None:\n        try:\n            callback(event)\n",
                "None:\n        try:\n            with self._observers._lock:\n                callback(event)\n",
            ),
        ],
        ["tests/client/test_observers.py", "-k", "no_lock_is_held_while_a_callback_runs"],
    ),
    Bug(
        "anybody's logout ends the client",
        [
            Change(
                "protocol/codec.py",
                "    return event_type is EventMessageType.SESSION_LOGOUT and data.session_id == session_id\n",
                "    return event_type is EventMessageType.SESSION_LOGOUT\n",
            ),
        ],
        ["tests/connection/test_session_rules.py", "-k", "another_session"],
    ),
    Bug(
        "what the server quotes is shown as it is",
        [
            Change(
                "connection/credentials.py",
                "        return _hide(text, [secret for secret in self._secrets() if secret])\n",
                "        return text\n",
            ),
        ],
        ["tests/connection/test_secrets.py"],
    ),
]
