"""What the server means when it does not say yes: to login, session validation, handshake and every other call."""

from __future__ import annotations

import json
import time
from email.utils import mktime_tz, parsedate_tz
from typing import Any, Mapping, Optional

from ..errors import (
    AuthenticationError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    SessionInUseError,
)
from .credentials import Credentials

_IN_USE = "session is already used"
_SHOWN = 200
# Characters of a message that are searched for what must not show.
_LOOKED_AT = 64 * 1024


def envelope(body: bytes) -> Optional[Mapping[str, Any]]:
    """The envelope ``{"success", "code", "data", "error", "message"}`` (vendor SDK), or None if it is none."""
    try:
        answer = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def refusal(
    step: str, status: int, body: bytes, credentials: Credentials, retry_after: str = ""
) -> Optional[ServerError]:
    """The error that an answer means, or None for a success.

    A status other than 2xx is a refusal. So is an envelope that says ``"success": false`` under status 200: the
    specification speaks of an error's message only, so both ways of saying it are understood, and the
    envelope's ``code`` then stands in for the status.

    :param credentials: what must not show in the message
    :param retry_after: the header ``Retry-After``
    """
    answer = envelope(body)
    refused = not 200 <= status <= 299
    if not refused and (answer is None or answer.get("success") is not False):
        return None
    if not refused and answer is not None:
        code = answer.get("code")
        if type(code) is int and not 200 <= code <= 299:
            status = code
    wait = _seconds(retry_after)
    message = _message(answer, body)[:_LOOKED_AT]
    if _IN_USE in " ".join(message.lower().split()) or _IN_USE.encode() in body.lower():
        return SessionInUseError(step, status, _IN_USE, wait)
    message = " ".join(credentials.hide_in(message).split())
    message = message if len(message) <= _SHOWN else message[:_SHOWN] + "…"
    if status in (401, 403):
        return AuthenticationError(step, status, message, wait)
    if status == 404:
        return NotFoundError(step, status, message, wait)
    if status == 429:
        return RateLimitedError(step, status, message, wait)
    return ServerError(step, status, message, wait)


def _seconds(retry_after: str) -> Optional[float]:
    """What ``Retry-After`` says (RFC 9110, 10.2.3): seconds, or a date."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        # However many digits: Python does not read integers of thousands of them.
        return float(text)
    try:
        date = parsedate_tz(text)
        return None if date is None else max(0.0, mktime_tz(date) - time.time())
    except (ValueError, OverflowError, IndexError):
        # What the standard library makes of dates that are none.
        return None


def _message(answer: Optional[Mapping[str, Any]], body: bytes) -> str:
    if answer is not None:
        for key in ("message", "error"):
            text = answer.get(key)
            if isinstance(text, str) and text.strip():
                return text
        return ""
    text = body.decode("utf-8", "replace")
    # An error page of a proxy or load balancer says nothing that its status does not.
    return "" if "<" in text else text
