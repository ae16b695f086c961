"""HTTP calls in the name of the session, beside the WebSocket."""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
import threading
from typing import Any, Mapping, Optional
from urllib.parse import urlencode

from ..config import Settings
from ..deadline import Deadline
from ..errors import (
    AnswerError,
    AuthenticationError,
    DecodeError,
    NetworkError,
    OneTradeError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    detached,
)
from ..protocol.codec import load_json
from .answers import envelope, refusal
from .credentials import ACCESS_TOKEN, Credentials
from .exchange import Answer, Exchange
from .routes import Routes
from .sign_in import SignIn

logger = logging.getLogger("onetrade_ws.connection")

# Bytes of an answer. The deals of years are some megabytes.
_LIMIT = 64 * 1024 * 1024


class Calls:
    """Calls of the trader's API (vendor SDK), one after the other on one thread; ``abort()`` on any other.

    A token that has expired is had anew, where there is an API key. What may pass (the network, 5xx, 429) is tried
    again by the reconnect policy until the deadline, of what only reads; what acts is asked for once.

    :param context: for ``https://``; None when there is none
    """

    def __init__(
        self, settings: Settings, sign_in: SignIn, context: Optional[ssl.SSLContext], routes: Routes
    ) -> None:
        self._settings = settings
        self._sign_in = sign_in
        self._context = context
        self._routes = routes
        self._stop = threading.Event()
        # Guards that abort() misses no request.
        self._lock = threading.Lock()
        self._exchange: Optional[Exchange] = None
        # That of the call itself, not of a login for it.
        self._request: Optional[Exchange] = None
        self._aborted: Optional[OneTradeError] = None

    def abort(self, error: OneTradeError) -> None:
        """End the call under way with ``error``, and every later one. Does not block."""
        with self._lock:
            self._aborted = self._aborted or error
            self._stop.set()
            if self._exchange is not None:
                self._exchange.abort(error)

    def get(self, step: str, path: str, deadline: Deadline, query: Optional[Mapping[str, Any]] = None) -> Any:
        """What a call reads: the ``data`` of its answer. Blocks until ``deadline``.

        :param step: what the call is for, in messages
        :param path: below ``/api/v1/trader/``
        :raises ServerError: when the server refuses (:exc:`.AuthenticationError`, :exc:`.NotFoundError`,
            :exc:`.RateLimitedError`)
        :raises AnswerError: when the answer is no envelope with data
        :raises NetworkError: when no answer comes in time, or it is too large
        :raises CertificateError: when the server's certificate is not accepted
        """
        url = self._url(path) + (f"?{urlencode(query)}" if query else "")
        policy, attempts = self._settings.reconnect, 0
        while True:
            try:
                return _data(step, self._ask(step, "GET", url, None, deadline))
            except (NetworkError, ServerError) as error:
                problem = detached(error)
            attempts += 1
            if not _may_pass(problem) or policy is None or policy.gives_up_after(attempts):
                raise problem
            delay = policy.delay(attempts)
            if isinstance(problem, RateLimitedError) and problem.retry_after is not None:
                delay = max(delay, problem.retry_after)
            remaining = deadline.remaining()
            if remaining is not None and delay >= remaining:
                raise problem
            with contextlib.suppress(Exception):
                logger.warning("%s; trying again in %.1f s", problem, delay)
            self._stop.wait(delay)

    def post(self, step: str, path: str, content: Mapping[str, Any], deadline: Deadline) -> Any:
        """What came of a call that acts: the ``data`` of its answer, None where it holds none. Blocks until
        ``deadline``. Asked for once; only a refused token is renewed, as the server has not acted then.

        :param step: what the call is for, in messages
        :param path: below ``/api/v1/trader/``
        :raises ServerError: when the server refuses
        :raises OutcomeUnknownError: when it may have acted or not
        :raises NetworkError: when it cannot have acted
        """
        body = json.dumps(content).encode("ascii")
        problem: OneTradeError
        try:
            answer = self._ask(step, "POST", self._url(path), body, deadline)
        except NetworkError as error:
            if self._request is None or not self._request.is_sent:
                raise
            problem = error
        except ServerError as error:
            # Some proxy on the way gave up waiting: the server itself may go on.
            if error.status < 500:
                raise
            problem = error
        else:
            return (envelope(answer.body) or {}).get("data")
        raise OutcomeUnknownError(step, detached(problem))

    def _url(self, path: str) -> str:
        return f"{self._settings.http_url}/api/v1/trader/{path}"

    def _begin_exchange(self) -> Exchange:
        with self._lock:
            if self._aborted is not None:
                raise detached(self._aborted)
            self._exchange = Exchange(self._context, self._routes.http)
            return self._exchange

    def _ask(self, step: str, method: str, url: str, content: Optional[bytes], deadline: Deadline) -> Answer:
        """The answer, when it is none that refuses; of a token that is refused, the answer to the next one."""
        self._request = None
        before = self._sign_in.credentials
        credentials = self._sign_in.obtain(self._begin_exchange(), deadline)
        try:
            return self._ask_as(credentials, step, method, url, content, deadline)
        except AuthenticationError as error:
            if credentials is not before:
                raise
            self._request = None
            credentials = self._sign_in.renew(error, credentials, self._begin_exchange(), deadline)
        return self._ask_as(credentials, step, method, url, content, deadline)

    def _ask_as(
        self,
        credentials: Credentials,
        step: str,
        method: str,
        url: str,
        content: Optional[bytes],
        deadline: Deadline,
    ) -> Answer:
        headers = {"Authorization": f"Bearer {ACCESS_TOKEN}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        exchange = self._request = self._begin_exchange()
        answer = exchange.request(
            step, method, url, headers, credentials, deadline, content=content, limit=_LIMIT
        )
        error = refusal(step, answer.status, answer.body, credentials, answer.retry_after)
        if error is not None:
            raise error
        return answer


def _may_pass(error: OneTradeError) -> bool:
    if isinstance(error, ServerError):
        return error.status >= 500 or isinstance(error, RateLimitedError)
    return isinstance(error, NetworkError)


def _data(step: str, answer: Answer) -> Any:
    """The ``data`` of an envelope (vendor SDK)."""
    try:
        content = load_json(answer.body)
    except DecodeError as error:
        problem = AnswerError(step, error.path, error.reason)
    else:
        if type(content) is dict and "data" in content:
            return content["data"]
        problem = AnswerError(step, "$", "expected an envelope with data")
    raise problem
