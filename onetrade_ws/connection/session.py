"""The HTTP side of connecting: login and session validation. The only module that knows ``requests``."""

from __future__ import annotations

import os
import ssl
from typing import Any, List, Mapping, Optional, Tuple
from urllib.parse import quote

import attrs
import requests
from requests.adapters import HTTPAdapter

from ..config import Settings, host_and_port
from ..deadline import Deadline
from ..errors import CertificateError, NetworkError, OneTradeError, ServerError
from .answers import envelope, refusal

_BODY_LIMIT = 64 * 1024


@attrs.frozen
class Credentials:
    """What opens a WebSocket."""

    session_id: str = attrs.field(repr=False)
    access_token: str = attrs.field(repr=False)


def tls_context(settings: Settings) -> ssl.SSLContext:
    """The caller's context, or Python's default one, with the CA bundle that the environment names for requests.

    Both steps of connecting use it, so that they trust the same authorities.
    """
    if settings.ssl_context is not None:
        return settings.ssl_context
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if bundle and os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle or None)


def log_in(settings: Settings, context: ssl.SSLContext, deadline: Deadline) -> Credentials:
    """A session for the API key: ``POST {http}/api/v1/oauth2/login`` (vendor SDK). Blocks until ``deadline``.

    :raises ServerError: when the server refuses (:exc:`.AuthenticationError` for 401 and 403)
    :raises NetworkError: when no answer comes
    :raises CertificateError: when the server's certificate is not accepted
    """
    url = f"{settings.http_url}/api/v1/oauth2/login?remember_me=false&grant_type=api_key"
    status, body = _post("login", url, {"API-Key": settings.api_key or ""}, context, deadline)
    error = refusal("login", status, body, [settings.api_key])
    if error is not None:
        raise error
    data = (envelope(body) or {}).get("data")
    session_id = data.get("session_id") if isinstance(data, dict) else None
    access_token = data.get("access_token") if isinstance(data, dict) else None
    if not (isinstance(session_id, str) and session_id and isinstance(access_token, str) and access_token):
        raise ServerError("login", status, "the answer holds no session_id and access_token")
    return Credentials(session_id, access_token)


def validate_session(
    settings: Settings, credentials: Credentials, context: ssl.SSLContext, deadline: Deadline
) -> None:
    """Ask whether the session may be used: ``POST {http}/ws/v1/{session_id}`` (specification). Blocks until
    ``deadline``.

    :raises SessionInUseError: "session is already used"
    :raises ServerError: when the server refuses otherwise (:exc:`.AuthenticationError` for 401 and 403)
    :raises NetworkError: when no answer comes
    :raises CertificateError: when the server's certificate is not accepted
    """
    url = f"{settings.http_url}/ws/v1/{quote(credentials.session_id, safe='')}"
    status, body = _post("session validation", url, {}, context, deadline)
    secrets = [credentials.session_id, credentials.access_token, settings.api_key]
    error = refusal("session validation", status, body, secrets)
    if error is not None:
        raise error


def _post(
    step: str, url: str, headers: Mapping[str, str], context: ssl.SSLContext, deadline: Deadline
) -> Tuple[int, bytes]:
    """The status and the first bytes of the answer."""
    host = host_and_port(url)
    problem: OneTradeError
    try:
        with requests.Session() as http:
            http.mount("https://", _TLSAdapter(context))
            # Without one, a matching entry in ~/.netrc would be sent along.
            http.auth = _no_credentials
            remaining = deadline.remaining()
            with http.post(
                url, headers=headers, timeout=(remaining, remaining), allow_redirects=False, stream=True
            ) as response:
                return response.status_code, _body(response, step, host, deadline)
    except requests.exceptions.SSLError as error:
        problem = _tls_problem(step, host, error)
    except requests.exceptions.Timeout:
        problem = NetworkError(step, host, "no answer in time")
    except requests.exceptions.RequestException as error:
        problem = NetworkError(step, host, _words(error))
    # Outside of the handler: the exception above quotes the address, and with it the session id.
    raise problem


def _body(response: requests.Response, step: str, host: str, deadline: Deadline) -> bytes:
    chunks: List[bytes] = []
    size = 0
    for chunk in response.iter_content(4096):
        chunks.append(chunk)
        size += len(chunk)
        if deadline.expired:
            raise NetworkError(step, host, "no whole answer in time")
        if size > _BODY_LIMIT:
            break
    return b"".join(chunks)[:_BODY_LIMIT]


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _TLSAdapter(HTTPAdapter):
    """Uses our TLS context, and adds no authority to it: requests would load its own bundle into it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["verify"] = True
        return super().send(request, *args, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        pass


def _causes(error: BaseException) -> List[BaseException]:
    """Everything that requests and urllib3 wrapped into an error."""
    found: List[BaseException] = []
    todo: List[Any] = [error]
    while todo:
        current = todo.pop(0)
        if isinstance(current, BaseException) and current not in found:
            found.append(current)
            todo += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return found


def _tls_problem(step: str, host: str, error: BaseException) -> OneTradeError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateError(host, cause.verify_message or str(cause))
    return NetworkError(step, host, _words(error))


def _words(error: BaseException) -> str:
    """The system's words; those of requests and urllib3 quote the address."""
    reason: Optional[str] = None
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror
    return reason or type(error).__name__
