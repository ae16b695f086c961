"""The HTTP side of connecting: login and session validation."""

from __future__ import annotations

import os
import ssl
from typing import Optional

from ..config import Settings
from ..deadline import Deadline
from ..errors import ConfigurationError, ServerError
from .answers import envelope, refusal
from .credentials import API_KEY, SESSION_ID, Credentials
from .exchange import Exchange

_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def tls_context(settings: Settings) -> Optional[ssl.SSLContext]:
    """The caller's context, or Python's default one, with the CA bundle that the environment names for requests.
    None when nothing is encrypted: loading the authorities takes a while.

    Both steps of connecting use it, so that they trust the same authorities.

    :raises ConfigurationError: when that CA bundle cannot be read
    """
    if settings.ssl_context is not None:
        return settings.ssl_context
    if not (settings.url.startswith("wss:") or settings.http_url.startswith("https:")):
        return None
    for name in _BUNDLE_VARIABLES:
        bundle = os.environ.get(name)
        if bundle:
            try:
                if os.path.isdir(bundle):
                    return _strict(ssl.create_default_context(capath=bundle))
                return _strict(ssl.create_default_context(cafile=bundle))
            except OSError:
                allowed = "the path of a file or directory with certificates"
                raise ConfigurationError(name, bundle, allowed) from None
    return _strict(ssl.create_default_context())


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    """What Python does by itself only since 3.10."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A name counts where a certificate states what it is for, not in its subject, which authorities do not check.
    if ssl.HAS_NEVER_CHECK_COMMON_NAME:
        context.hostname_checks_common_name = False
    return context


def log_in(settings: Settings, exchange: Exchange, deadline: Deadline) -> Credentials:
    """A session for the API key: ``POST {http}/api/v1/oauth2/login`` (vendor SDK). Blocks until ``deadline``.

    :raises ServerError: when the server refuses (:exc:`.AuthenticationError` for 401 and 403)
    :raises NetworkError: when no answer comes
    :raises CertificateError: when the server's certificate is not accepted
    """
    url = f"{settings.http_url}/api/v1/oauth2/login?remember_me=false&grant_type=api_key"
    key = Credentials(api_key=settings.api_key)
    status, body, retry_after = exchange.request("login", "POST", url, {"API-Key": API_KEY}, key, deadline)
    error = refusal("login", status, body, key, retry_after)
    if error is not None:
        raise error
    data = (envelope(body) or {}).get("data")
    session_id, access_token = (_text(data, name) for name in ("session_id", "access_token"))
    if session_id is None or access_token is None:
        raise ServerError("login", status, "the answer holds no session_id and access_token")
    return Credentials(session_id, access_token, settings.api_key)


def _text(data: object, name: str) -> Optional[str]:
    # Half of a surrogate pair could not be written into an address.
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) and value and value.isprintable() else None


def validate_session(
    settings: Settings, credentials: Credentials, exchange: Exchange, deadline: Deadline
) -> None:
    """Ask whether the session may be used: ``POST {http}/ws/v1/{session_id}`` (specification). Blocks until
    ``deadline``.

    :raises SessionInUseError: "session is already used"
    :raises ServerError: when the server refuses otherwise (:exc:`.AuthenticationError` for 401 and 403)
    :raises NetworkError: when no answer comes
    :raises CertificateError: when the server's certificate is not accepted
    """
    url = f"{settings.http_url}/ws/v1/{SESSION_ID}"
    step = "session validation"
    status, body, retry_after = exchange.request(step, "POST", url, {}, credentials, deadline)
    error = refusal(step, status, body, credentials, retry_after)
    if error is not None:
        raise error
