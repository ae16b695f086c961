"""Looking a host name up without being at its mercy: ``getaddrinfo`` can be neither timed nor aborted."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any, Optional, Sequence, Tuple

from ..deadline import start

Address = Tuple[int, int, int, str, Tuple[Any, ...]]


class LookUp:
    """One look-up, which begins at once: literal addresses here, names on a thread of their own.

    A selector may wait for it: it is ready to be read when the answer is there. Nobody can stop the thread; who does
    not want to wait any more calls ``close()``, and the thread ends by itself.

    :raises OSError: when ``host`` looks like an IPv6 address and is none
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._addresses: Sequence[Address] = ()
        self._error: Optional[Exception] = None
        self._receiver, self._sender = socket.socketpair()
        try:
            if _is_literal(host):
                # Never asks anybody.
                self._addresses = socket.getaddrinfo(
                    host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST
                )
                self._sender.close()
            else:
                start(threading.Thread(target=self._run, name="onetrade-ws resolver", daemon=True))
        except BaseException:
            # There is no such address, or no thread left: nobody will call close().
            self._sender.close()
            self._receiver.close()
            raise

    def _run(self) -> None:
        try:
            self._addresses = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001 - raised again by addresses()
            self._error = error
        finally:
            # The other end sees it.
            self._sender.close()

    def fileno(self) -> int:
        """What a selector waits for."""
        return self._receiver.fileno()

    def addresses(self) -> Sequence[Address]:
        """The answer, once it is there.

        :raises OSError: when there is none
        :raises UnicodeError: when ``host`` is no host name
        """
        if self._error is not None:
            raise self._error
        return self._addresses

    def close(self) -> None:
        """Wait no more."""
        self._receiver.close()


def _is_literal(host: str) -> bool:
    # No name holds a colon. An address with a scope, fe80::1%eth0, is one that ipaddress does not know everywhere.
    if ":" in host:
        return True
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
