"""An HTTP server in front of the simulator's: a test may hold back or change what it answers."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Callable, Optional, Tuple, Type

from onetrade_ws.simulator import Simulator

#: Given the path, the status and the body of an answer, status and body to send in its place. It may block.
Change = Callable[[str, int, bytes], Tuple[int, bytes]]


class Relay:
    """Passes each request on at once, and its answer when ``change`` returns. Use as a context manager."""

    def __init__(self, simulator: Simulator, change: Change) -> None:
        relay = self
        self.change = change

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass_on()

            def do_POST(self) -> None:
                self._pass_on()

            def _pass_on(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                onward = http.client.HTTPConnection("127.0.0.1", simulator.port)
                headers = {name: value for name, value in self.headers.items() if name != "Host"}
                onward.request(self.command, self.path, content or None, headers)
                answer = onward.getresponse()
                status, body = relay.change(self.path, answer.status, answer.read())
                onward.close()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Nothing: the test's output is for its failure."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that has gone
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="relay")

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
