"""What opens a WebSocket, and keeping it out of what is shown."""

from __future__ import annotations

import base64
import re
import sys
from collections import deque
from typing import Callable, Iterator, List, Optional, Tuple
from urllib.parse import quote, unquote

import attrs

#: What stands for a secret in a request until it is written, so that whoever sees, logs or keeps the request on its way
#: there knows none. Unreserved characters alone: no address that is normalised changes them.
SESSION_ID = "~session-id~"
ACCESS_TOKEN = "~access-token~"  # noqa: S105 - it stands for one
#: The access token in a header, where nothing is quoted.
BEARER_TOKEN = "~bearer-token~"  # noqa: S105 - likewise
API_KEY = "~api-key~"

_PLACEHOLDER = re.compile(b"~(?:session-id|access-token|bearer-token|api-key)~")
# What is shorter occurs by chance.
_SHORTEST = 8
# Texts, and characters in them, that are searched for the sake of one, however often it is escaped.
_TEXTS_AT_MOST = 100
_CHARACTERS_AT_MOST = 2_000_000

_BACKSLASH = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")
_ENTITY = re.compile(r"&(?:#[xX]([0-9a-fA-F]{1,8})|#([0-9]{1,8})|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_TO_URL_SAFE = str.maketrans("+/", "-_")


@attrs.frozen
class Credentials:
    """The secrets of one client: no repr shows them. Before the login there is an API key alone."""

    session_id: str = attrs.field(default="", repr=False)
    access_token: str = attrs.field(default="", repr=False)
    api_key: Optional[str] = attrs.field(default=None, repr=False)

    def fill_in(self, request: bytes) -> bytes:
        """``request`` with the secrets in place of what stands for them: those of an address quoted."""
        values = {
            SESSION_ID: quote(self.session_id, safe=""),
            ACCESS_TOKEN: quote(self.access_token, safe=""),
            BEARER_TOKEN: self.access_token,
            API_KEY: self.api_key or "",
        }
        # In one pass: a secret may look like a placeholder.
        return _PLACEHOLDER.sub(lambda found: values[found.group().decode("ascii")].encode("utf-8"), request)

    def hide_in(self, text: str) -> str:
        """``text`` without them, however they are written. A server likes to quote requests."""
        return _hide(text, [secret for secret in self._secrets() if secret])

    def hide_in_head(self, head: bytes) -> bytes:
        """The head of an HTTP answer without them, as far as they are long enough not to be in it by chance."""
        text = head.decode("utf-8", "surrogateescape")
        hidden = _hide(text, [secret for secret in self._secrets() if len(secret) >= _SHORTEST])
        return hidden.encode("utf-8", "surrogateescape")

    def _secrets(self) -> Tuple[str, ...]:
        return self.session_id, self.access_token, self.api_key or ""


def _hide(text: str, secrets: List[str]) -> str:
    # A short one may be part of a longer one, which would then be left in pieces.
    spellings = sorted({way for secret in secrets for way in _spellings(secret)}, key=len, reverse=True)
    while True:
        hidden = _hide_once(text, spellings)
        if hidden == text:
            return text
        text = hidden


def _hide_once(text: str, spellings: List[str]) -> str:
    """``text`` without the secrets that are found first, unpacked as far as it had to be for that."""
    # In every order: to take off what is no escape may take off a part of the secret.
    texts, seen, budget = deque([text]), {text}, _CHARACTERS_AT_MOST
    while texts and budget > 0:
        plain = hidden = texts.popleft()
        budget -= len(plain)
        for spelling in spellings:
            hidden = hidden.replace(spelling, "…")
        if hidden != plain:
            return hidden
        for unescape in _UNESCAPES:
            further = unescape(plain)
            if further not in seen and len(seen) < _TEXTS_AT_MOST:
                seen.add(further)
                texts.append(further)
    return text


def _spellings(secret: str) -> Iterator[str]:
    data = secret.encode("utf-8")
    # With a plus for a blank as forms have it, and as Python writes bytes.
    yield from (secret, secret.replace(" ", "+"), data.decode("latin-1"), data.hex(), data.hex().upper())
    # One that looks escaped itself would otherwise be unpacked past recognition.
    for unescape in 5 * _UNESCAPES:
        secret = unescape(secret)
        if len(secret) >= _SHORTEST:
            yield secret
    for before in range(3):
        # Inside of something longer, too: those characters that depend on nothing but the secret.
        code = base64.b64encode(bytes(before) + data).decode("ascii")
        code = code[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        if len(code) >= _SHORTEST:
            yield from (code, code.translate(_TO_URL_SAFE))


def _of_backslash(escape: re.Match[str]) -> str:
    four, two, character = escape.groups()
    return character or _chr(int(four or two, 16))


def _of_entity(escape: re.Match[str]) -> str:
    hexadecimal, decimal, name = escape.groups()
    if name:
        return _NAMED[name]
    return _chr(int(hexadecimal, 16) if hexadecimal else int(decimal))


def _chr(code: int) -> str:
    # Half of a surrogate pair cannot be printed.
    return "…" if 0xD800 <= code <= 0xDFFF or code > sys.maxunicode else chr(code)


def _without_entities(text: str) -> str:
    return _ENTITY.sub(_of_entity, text)


def _without_backslashes(text: str) -> str:
    return _BACKSLASH.sub(_of_backslash, text)


_UNESCAPES: Tuple[Callable[[str], str], ...] = (unquote, _without_entities, _without_backslashes)
