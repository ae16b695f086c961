"""What opens a WebSocket, and keeping it out of what is shown."""

from __future__ import annotations

from typing import Optional
from urllib.parse import quote, quote_plus

import attrs


@attrs.frozen
class Credentials:
    """The secrets of one client: no repr shows them. Before the login there is an API key alone."""

    session_id: str = attrs.field(default="", repr=False)
    access_token: str = attrs.field(default="", repr=False)
    api_key: Optional[str] = attrs.field(default=None, repr=False)

    def hide_in(self, text: str) -> str:
        """``text`` without them, as they are or as they travel in an address. A server likes to quote requests."""
        spellings = set()
        for secret in (self.session_id, self.access_token, self.api_key):
            if secret:
                spellings |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
        # A short one may be part of a longer one, which would then be left in pieces.
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, "…")
        return text
