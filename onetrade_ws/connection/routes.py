"""Which way a connection goes: directly, or through which proxy."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import urllib.request
from typing import TYPE_CHECKING, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import urlsplit

from ..config import Proxy, Settings, host_and_port, read_proxy
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .proxy import Tunnel

_HTTP_SCHEME = {"wss": "https", "ws": "http"}


class Routes(NamedTuple):
    """The ways of one client; None: directly."""

    websocket: Optional[Tunnel] = None
    http: Optional[Tunnel] = None


def find_routes(settings: Settings) -> Routes:
    """The ways that the setting ``proxy`` or the environment says.

    :raises ConfigurationError: when the environment's proxy makes no sense, or the extra ``proxy`` is missing
    """
    return Routes(_route(settings, settings.url), _route(settings, settings.http_url))


def _route(settings: Settings, url: str) -> Optional[Tunnel]:
    if isinstance(settings.proxy, Proxy):
        return _tunnel("proxy", settings.proxy)
    found = None if settings.proxy == "direct" else _from_environment(url)
    if found is None:
        return None
    name, proxy = found
    if isinstance(proxy, str):
        raise ConfigurationError(name, "…", f"an address like http://[user:password@]host:port; {proxy}")
    return _tunnel(name, proxy)


def _tunnel(name: str, proxy: Proxy) -> Tunnel:
    try:
        from .proxy import Tunnel
    except ImportError:
        pass
    else:
        return Tunnel(proxy)
    raise ConfigurationError(
        name, proxy.url, 'it needs python-socks, this library\'s extra "proxy": pip install python-socks'
    )


def _from_environment(url: str) -> Optional[Tuple[str, Union[Proxy, str]]]:
    """The variable that names a proxy for ``url``, and the proxy, or what is wrong with it; on Windows and macOS,
    without any such variable, what the system says."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    for scheme in (parts.scheme, _HTTP_SCHEME.get(parts.scheme, parts.scheme), "all"):
        address = proxies.get(scheme)
        if address:
            break
    else:
        return None
    if _is_bypassed(url, parts.hostname or "", proxies):
        return None
    if "://" not in address:
        address = f"http://{address}"
    elif address.startswith("https:") and os.name == "nt" and not urllib.request.getproxies_environment():
        # Windows means a proxy for https://. Python before 3.10 says it like this.
        address = f"http:{address[6:]}"
    return f"{scheme}_proxy", read_proxy(address)


def _is_bypassed(url: str, host: str, proxies: Mapping[str, str]) -> bool:
    if urllib.request.proxy_bypass(host) or urllib.request.proxy_bypass(host_and_port(url)):
        return True
    # Networks, which requests understands and Python does not.
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        for entry in proxies.get("no", "").split(","):
            with contextlib.suppress(ValueError):
                if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                    return True
    return False
