"""HTTP calls in the name of the session, beside the WebSocket."""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
from typing import Any, Callable, Mapping, Optional
from urllib.parse import urlencode

from ..config import ReconnectPolicy, Settings
from ..deadline import Condition, Deadline, in_words
from ..errors import (
    AnswerError,
    AuthenticationError,
    ConnectionEndedError,
    DecodeError,
    NetworkError,
    OneTradeError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    detached,
)
from ..protocol.codec import load_json
from ..protocol.structure import describe
from .answers import refusal
from .credentials import BEARER_TOKEN, Credentials
from .exchange import Answer, Exchange
from .routes import Routes
from .sign_in import SignIn

logger = logging.getLogger("onetrade_ws.connection")

# Bytes of an answer. The deals of years are some megabytes.
_LIMIT = 64 * 1024 * 1024


class Calls:
    """Calls of the trader's API (vendor SDK), one after the other on one thread; ``abort()`` on any other.

    A token that has expired is had anew, where there is an API key. What may pass is tried again until the deadline, of
    what only reads, as soon as the server would have it (``Retry-After``); what acts is asked for once.

    :param context: for ``https://``; None when there is none
    :param policy: when to try again; None: never
    :param passes: of which errors
    """

    def __init__(
        self,
        settings: Settings,
        sign_in: SignIn,
        context: Optional[ssl.SSLContext],
        routes: Routes,
        *,
        policy: Optional[ReconnectPolicy],
        passes: Callable[[OneTradeError], bool],
    ) -> None:
        self._settings = settings
        self._passes = passes
        self._policy = policy
        self._sign_in = sign_in
        self._context = context
        self._routes = routes
        # Guards the next two, so that abort() misses no request. Waited on for the abort.
        self._changed = Condition()
        self._exchange: Optional[Exchange] = None
        self._aborted: Optional[OneTradeError] = None
        # That of the call itself, not of a login for it.
        self._request: Optional[Exchange] = None

    def abort(self, error: OneTradeError) -> None:
        """End the call under way with ``error``, and every later one. Does not block."""
        with self._changed:
            self._aborted = self._aborted or error
            self._changed.notify_all()
            exchange = self._exchange
        if exchange is not None:
            exchange.abort(error)

    def get(self, step: str, path: str, deadline: Deadline, query: Optional[Mapping[str, Any]] = None) -> Any:
        """What a call reads: the ``data`` of its answer. Blocks until ``deadline``.

        :param step: what the call is for, in messages
        :param path: below ``/api/v1/trader/``
        :raises ServerError: when the server refuses (:exc:`.AuthenticationError`, :exc:`.NotFoundError`,
            :exc:`.RateLimitedError`)
        :raises AnswerError: when the answer is no envelope with data, or too large
        :raises NetworkError: when no answer comes in time
        :raises CertificateError: when the server's certificate is not accepted
        """
        url = self._url(path) + (f"?{urlencode(query)}" if query else "")
        policy, attempts = self._policy, 0
        while True:
            try:
                return _data(step, self._ask(step, "GET", url, None, deadline))
            except (NetworkError, ServerError) as error:
                problem = detached(error)
            attempts += 1
            if not self._passes(problem) or policy is None or policy.gives_up_after(attempts):
                raise problem
            delay = policy.delay_after(problem, attempts)
            remaining = deadline.remaining()
            if remaining is not None and delay >= remaining:
                raise problem
            with contextlib.suppress(Exception):
                logger.warning("%s; trying again %s", problem, in_words(delay))
            with self._changed:
                Deadline(delay).wait_for(self._changed, lambda: self._aborted is not None)

    def post(self, step: str, path: str, content: Mapping[str, Any], deadline: Deadline) -> None:
        """Have the server act. Blocks until ``deadline``. Asked for once; only a refused token is renewed, as the
        server has not acted then.

        :param step: what the call is for, in messages
        :param path: below ``/api/v1/trader/``
        :raises ServerError: when the server refuses; with another ``step``, it was not asked at all
        :raises OutcomeUnknownError: when it may have acted or not
        :raises NetworkError: when it cannot have acted
        """
        body = json.dumps(content).encode("ascii")
        problem: OneTradeError
        try:
            self._ask(step, "POST", self._url(path), body, deadline)
        except (NetworkError, AnswerError, ServerError, ConnectionEndedError) as error:
            if self._request is None or not self._request.is_sent:
                raise
            # Some proxy on the way gave up waiting, with 5xx: the server itself may go on.
            if isinstance(error, ServerError) and error.status < 500:
                raise
            problem = error
        else:
            return
        raise OutcomeUnknownError(step, detached(problem))

    def _url(self, path: str) -> str:
        return f"{self._settings.http_url}/api/v1/trader/{path}"

    def _begin_exchange(self) -> Exchange:
        with self._changed:
            if self._aborted is not None:
                raise detached(self._aborted)
            self._exchange = Exchange(self._context, self._routes.http)
            return self._exchange

    def _ask(
        self, step: str, method: str, url: str, content: Optional[bytes], deadline: Deadline
    ) -> Mapping[str, Any]:
        """The envelope of the answer, when it is none that refuses; of a token that is refused, that of the answer to
        the next one."""
        self._request = None
        before = self._sign_in.credentials
        credentials = self._sign_in.obtain(self._begin_exchange(), deadline)
        try:
            return self._ask_as(credentials, step, method, url, content, deadline)
        except AuthenticationError as error:
            # One that was had a moment ago is not renewed.
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
    ) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {BEARER_TOKEN}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        exchange = self._request = self._begin_exchange()
        answer = exchange.request(
            step, method, url, headers, credentials, deadline, content=content, limit=_LIMIT
        )
        accepted = 200 <= answer.status <= 299
        envelope = _envelope(step, answer) if accepted else {}
        if not accepted or envelope.get("success") is False:
            error = refusal(step, answer.status, answer.body, credentials, answer.retry_after)
            if isinstance(error, AuthenticationError):
                self._sign_in.spend(credentials)
            if error is not None:
                raise error
        return envelope


def may_pass(error: OneTradeError) -> bool:
    """Whether another attempt may succeed: the network, 5xx, 429."""
    if isinstance(error, ServerError):
        return error.status >= 500 or isinstance(error, RateLimitedError)
    return isinstance(error, NetworkError)


def asks_for_patience(error: OneTradeError) -> bool:
    """Whether the server says when the same call would be welcome."""
    return isinstance(error, RateLimitedError) and error.retry_after is not None


def _envelope(step: str, answer: Answer) -> Mapping[str, Any]:
    """The envelope of an answer (vendor SDK), and nothing else: what looks like one says nothing.

    :raises AnswerError: when it is none
    """
    try:
        content = load_json(answer.body)
    except DecodeError as error:
        problem = AnswerError(step, error.path, error.reason if answer.body else "nothing")
    else:
        if type(content) is not dict:
            problem = AnswerError(step, "$", f"expected an envelope, got {describe(content)}")
        elif type(content.get("success", True)) is not bool:
            problem = AnswerError(
                step, "$.success", f"expected a boolean, got {describe(content['success'])}"
            )
        else:
            return content
    raise problem


def _data(step: str, envelope: Mapping[str, Any]) -> Any:
    if "data" not in envelope:
        raise AnswerError(step, "$.data", "required field missing")
    return envelope["data"]
