"""The settings of a client: frozen, and checked when they are given."""

from __future__ import annotations

import ipaddress
import random
import ssl
from typing import Any, Callable, Optional, Tuple, Union
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import attrs

from .errors import ConfigurationError, OneTradeError, ServerError

#: The columns of a price frame (vendor SDK), in their order.
PRICE_COLUMNS = ("symbol_id", "bid", "ask", "last", "volume", "high", "low")

_REQUIRED_COLUMNS = frozenset({"symbol_id", "bid", "ask"})

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


# Eleven days. Locks cannot wait for ever on every system.
_MOST_SECONDS = 1_000_000

# Seconds that a server may have us wait.
_LONGEST_WAIT = 3600.0


def _number(minimum: float, maximum: float, *, above: bool = False, optional: bool = False) -> Validator:
    """A number from (or above) ``minimum`` to ``maximum``."""
    allowed = (
        f"a number {'above' if above else 'from'} {minimum:g} to {maximum:g}{', or None' if optional else ''}"
    )

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not minimum <= value <= maximum:
            raise ConfigurationError(attribute.name, value, allowed)
        if above and value == minimum:
            raise ConfigurationError(attribute.name, value, allowed)

    return check


def _seconds(*, optional: bool = False) -> Validator:
    return _number(0, _MOST_SECONDS, above=True, optional=optional)


def _whole_number(minimum: int, *, optional: bool = False) -> Validator:
    allowed = f"a whole number of at least {minimum}{', or None' if optional else ''}"

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ConfigurationError(attribute.name, value, allowed)

    return check


def _flag(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(attribute.name, value, "True or False")


def _header_value(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    _secret(instance, attribute, value)
    if value is not None and not value.isascii():
        raise ConfigurationError(attribute.name, "…", "ASCII, as it travels in an HTTP header")


def _secret(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    # The value itself must not reach the error's text.
    if value is None:
        return
    if not isinstance(value, str):
        raise ConfigurationError(attribute.name, type(value), "a string, or None")
    if not value:
        raise ConfigurationError(attribute.name, "", "a string that is not empty")
    if not value.isprintable() or value != value.strip():
        raise ConfigurationError(
            attribute.name, "…", "a string without line breaks, and without blanks around it"
        )


@attrs.frozen(kw_only=True)
class ReconnectPolicy:
    """When to try again, and when to give up: a pure object.

    The delay before attempt *n* (1, 2, …) is drawn evenly from 0 to ``initial_delay × multiplier^(n−1)``, at most
    ``max_delay`` ("full jitter"), so that a thousand clients that lost one server do not come back in step.
    A server that asks for more (``Retry-After``) gets it, up to an hour.

    :param initial_delay: seconds, the upper bound of the first delay
    :param max_delay: seconds, the upper bound of every delay but one that the server asks for
    :param multiplier: growth of the bound from attempt to attempt
    :param max_attempts: how many failed attempts in a row end the client; None: it never gives up
    :param session_in_use_attempts: how many answers "session is already used" in a row, after a connection of
        our own was lost, are put down to the server still holding that dead connection; one more, and it is
        taken for what it says, and the client ends with :exc:`.SessionInUseError`
    :param stable_after: seconds that a connection must have lasted for the counting to start from 1 again
    """

    initial_delay: float = attrs.field(default=1.0, validator=_seconds())
    max_delay: float = attrs.field(default=60.0, validator=_seconds())
    multiplier: float = attrs.field(default=2.0, validator=_number(1, 1000))
    max_attempts: Optional[int] = attrs.field(default=None, validator=_whole_number(1, optional=True))
    session_in_use_attempts: int = attrs.field(default=8, validator=_whole_number(0))
    stable_after: float = attrs.field(default=30.0, validator=_number(0, _MOST_SECONDS))

    def __attrs_post_init__(self) -> None:
        if self.max_delay < self.initial_delay:
            raise ConfigurationError("max_delay", self.max_delay, "not below initial_delay")

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        """Seconds to wait before attempt number ``attempt`` (from 1); ``draw`` gives a number in [0, 1)."""
        try:
            bound = min(self.max_delay, self.initial_delay * self.multiplier ** (attempt - 1))
        except OverflowError:
            bound = self.max_delay
        return draw() * bound

    def delay_after(self, error: Optional[OneTradeError], attempt: int) -> float:
        """Seconds to wait before attempt number ``attempt`` (from 1): :meth:`delay`, or what the server asks for where
        that is longer, an hour at most.

        :param error: why another attempt is made, where that is known
        """
        asked = error.retry_after if isinstance(error, ServerError) else None
        return max(self.delay(attempt), min(asked or 0.0, _LONGEST_WAIT))

    def gives_up_after(self, attempts: int) -> bool:
        """Whether ``attempts`` failed attempts in a row are the limit."""
        return self.max_attempts is not None and attempts >= self.max_attempts


def _url(name: str, value: object, schemes: Tuple[str, str]) -> SplitResult:
    example = f"an address like {schemes[0]}://host[:port][/path]"
    if not isinstance(value, str):
        raise ConfigurationError(name, None if value is None else type(value), example)
    # The address itself is not shown: what is wrong with it may be that it holds a credential. Nor is the cause
    # of a ValueError, which quotes it.
    problem = None
    try:
        parts = urlsplit(value)
        if parts.port == 0:
            problem = "the port is not between 1 and 65535"
    except ValueError:
        raise ConfigurationError(
            name, "…", f"{example}; the port, or the brackets of an IPv6 address, are wrong"
        ) from None
    if parts.scheme not in schemes:
        problem = f"it must begin with {schemes[0]}:// or {schemes[1]}://"
    elif not parts.hostname:
        problem = "it names no host"
    elif "@" in parts.netloc or "?" in value or "#" in value:
        problem = "without user, query or fragment"
    elif any(character.isspace() or not character.isprintable() for character in value):
        problem = "without blanks or control characters"
    if problem is not None:
        shown = f"{parts.scheme}://{parts.hostname or ''}" if parts.scheme else ""
        raise ConfigurationError(name, shown if shown == value else f"{shown}…", f"{example}; {problem}")
    return parts


_PROXY_PORTS = {"http": 80, "socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080}


@attrs.frozen
class Proxy:
    """A proxy, and what it wants to know of us, which no repr shows.

    :ivar scheme: how it is spoken to: ``"http"``, ``"socks5"``, ``"socks5h"``, ``"socks4"`` or ``"socks4a"``
    """

    scheme: str
    host: str
    port: int
    username: Optional[str] = attrs.field(default=None, repr=False)
    password: Optional[str] = attrs.field(default=None, repr=False)

    @property
    def address(self) -> str:
        """``host:port``, for messages."""
        return _host_and_port(self.host, self.port)

    @property
    def url(self) -> str:
        """The address without the credentials, for messages."""
        return f"{self.scheme}://{self.address}"


def read_proxy(address: str) -> Union[Proxy, str]:
    """The proxy at an address like ``socks5://user:password@host:port``; or what is wrong with it, in words without
    the address, which may hold a password."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "the port, or the brackets of an IPv6 address, are wrong"
    if parts.scheme not in _PROXY_PORTS:
        return "it must begin with http://, socks5://, socks5h://, socks4:// or socks4a://"
    if port == 0:
        return "the port is not between 1 and 65535"
    if not parts.hostname:
        return "it names no host"
    if parts.path not in ("", "/") or "?" in address or "#" in address:
        return "without path, query or fragment; such characters in a password as %2F, %3F and %23"
    if any(character.isspace() for character in address) or not unquote(address).isprintable():
        return "without blanks or control characters"
    username = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return _credentials_problem(parts.scheme, username, password) or Proxy(
        parts.scheme, parts.hostname, port or _PROXY_PORTS[parts.scheme], username, password
    )


_PROXY_EXAMPLE = (
    '"direct", None for what the environment says, or an address like http://[user:password@]host:port'
)


def _as_proxy(value: object) -> Union[str, Proxy, None]:
    if value is None or isinstance(value, Proxy):
        return value
    if value == "direct":
        return "direct"
    if not isinstance(value, str):
        raise ConfigurationError("proxy", type(value), _PROXY_EXAMPLE)
    proxy = read_proxy(value)
    if isinstance(proxy, str):
        raise ConfigurationError("proxy", "…", f"{_PROXY_EXAMPLE}; {proxy}")
    return proxy


def _credentials_problem(scheme: str, username: Optional[str], password: Optional[str]) -> Optional[str]:
    """What the proxy protocol cannot transport."""
    if username is None:
        return None
    if scheme.startswith("socks4"):
        return (
            None if password is None and username.isascii() else "SOCKS4 knows an ASCII user and no password"
        )
    if not username or not password:
        return "user and password together"
    if scheme == "http":
        fits = ":" not in username and max(username + password) <= "\xff"
        return None if fits else "the user without a colon, user and password in Latin-1"
    fits = all(part.isascii() and len(part) <= 255 for part in (username, password))
    return None if fits else "user and password in ASCII, at most 255 characters each"


def _is_loopback(host: Optional[str]) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _as_tuple(value: Any) -> Any:
    # Anything else is for the validator to refuse.
    return tuple(value) if isinstance(value, list) else value


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that can be set on a client. :class:`.OneTradeClient` documents each one."""

    url: str
    http_url: str
    session_id: Optional[str] = attrs.field(default=None, repr=False, validator=_secret)
    access_token: Optional[str] = attrs.field(default=None, repr=False, validator=_secret)
    api_key: Optional[str] = attrs.field(default=None, repr=False, validator=_header_value)
    account_updates: bool = attrs.field(default=True, validator=_flag)
    snapshot: bool = attrs.field(default=True, validator=_flag)
    dispatch: str = attrs.field(default="thread")
    heartbeat_interval: float = attrs.field(default=30.0, validator=_seconds())
    heartbeat_timeout: float = attrs.field(default=10.0, validator=_seconds())
    connect_timeout: float = attrs.field(default=10.0, validator=_seconds())
    reconnect: Optional[ReconnectPolicy] = attrs.field(factory=ReconnectPolicy)
    max_message_size: int = attrs.field(default=16 * 1024 * 1024, validator=_whole_number(125))
    strict_utf8: bool = attrs.field(default=False, validator=_flag)
    stale_after: Optional[float] = attrs.field(default=60.0, validator=_seconds(optional=True))
    queue_limit: int = attrs.field(default=64 * 1024 * 1024, validator=_whole_number(1))
    outgoing_limit: int = attrs.field(default=10_000, validator=_whole_number(1))
    events_limit: int = attrs.field(default=100_000, validator=_whole_number(1))
    history_limit: int = attrs.field(default=10_000, validator=_whole_number(1))
    price_columns: Tuple[str, ...] = attrs.field(default=PRICE_COLUMNS, converter=_as_tuple)
    ssl_context: Optional[ssl.SSLContext] = attrs.field(default=None)
    proxy: Union[str, Proxy, None] = attrs.field(default=None, converter=_as_proxy)
    allow_plaintext: bool = attrs.field(default=False, validator=_flag)

    @dispatch.validator
    def _check_dispatch(self, attribute: attrs.Attribute[str], value: object) -> None:
        if value not in ("thread", "manual"):
            raise ConfigurationError("dispatch", value, '"thread" or "manual"')

    @reconnect.validator
    def _check_reconnect(self, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is not None and not isinstance(value, ReconnectPolicy):
            raise ConfigurationError("reconnect", value, "a ReconnectPolicy, or None for never")

    @price_columns.validator
    def _check_price_columns(self, attribute: attrs.Attribute[Any], value: object) -> None:
        if (
            not isinstance(value, tuple)
            or not all(isinstance(name, str) and name and not name.isdigit() for name in value)
            or len(set(value)) != len(value)
            or not set(value) >= _REQUIRED_COLUMNS
        ):
            raise ConfigurationError(
                "price_columns",
                value,
                "different names, among them symbol_id, bid and ask, in the frame's order",
            )

    @ssl_context.validator
    def _check_ssl_context(self, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is not None and not isinstance(value, ssl.SSLContext):
            raise ConfigurationError("ssl_context", value, "an ssl.SSLContext, or None for the system's")

    def __attrs_post_init__(self) -> None:
        for name, address in (("url", self.url), ("http_url", self.http_url)):
            parts = urlsplit(address)
            if (
                parts.scheme in ("ws", "http")
                and not self.allow_plaintext
                and not _is_loopback(parts.hostname)
            ):
                raise ConfigurationError(
                    name,
                    address,
                    "credentials would travel in the clear: use wss:// and https://, or say allow_plaintext=True",
                )
        if self.api_key is not None:
            if self.session_id is not None or self.access_token is not None:
                raise ConfigurationError(
                    "api_key",
                    type(self.api_key),
                    "give one or the other",
                    "api_key together with session_id and access_token",
                )
        elif self.session_id is None or self.access_token is None:
            missing = "session_id" if self.session_id is None else "access_token"
            raise ConfigurationError(missing, None, "session_id and access_token together, or api_key")

    @property
    def host(self) -> str:
        """``host:port`` of the WebSocket server, for messages."""
        return host_and_port(self.url)


def make_settings(url: str, *, http_url: Optional[str] = None, **settings: Any) -> Settings:
    """Settings from what a user gives: addresses checked and completed.

    :raises ConfigurationError: for the first setting that is wrong
    """
    parts = _url("url", url, ("wss", "ws"))
    if http_url is None:
        http_parts = parts._replace(scheme="https" if parts.scheme == "wss" else "http")
    else:
        http_parts = _url("http_url", http_url, ("https", "http"))
    return Settings(url=_normalized(parts), http_url=_normalized(http_parts), **settings)


def _normalized(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(path=parts.path.rstrip("/")))


def host_and_port(url: str) -> str:
    """``host:port`` of an address, for messages: it holds no path, so no session id."""
    parts = urlsplit(url)
    return _host_and_port(parts.hostname or "", port_of(parts))


def port_of(parts: SplitResult) -> int:
    """The port of an address, or the usual one of its scheme."""
    return parts.port or (443 if parts.scheme in ("wss", "https") else 80)


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
