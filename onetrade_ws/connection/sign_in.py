"""The session in whose name a client speaks: given, or had for an API key."""

from __future__ import annotations

import threading
from typing import Optional

from ..config import Settings
from ..deadline import Deadline
from ..errors import AuthenticationError, NetworkError
from .credentials import Credentials
from .exchange import Exchange
from .session import log_in


class SignIn:
    """Logs in where an API key was given, when it is needed. Every method on any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Guards that one thread logs in at a time, which the others wait for, up to their deadlines: two logins could
        # give two sessions. Held while the server is asked.
        self._lock = threading.Lock()
        #: The credentials in force, or the last that were; without a session before the first login.
        self.credentials = Credentials(api_key=settings.api_key)
        self._usable = False
        if settings.session_id is not None and settings.access_token is not None:
            self.credentials = Credentials(settings.session_id, settings.access_token)
            self._usable = True

    @property
    def can_log_in(self) -> bool:
        """Whether there is an API key, so that refused credentials can be had anew."""
        return self._settings.api_key is not None

    def forget(self) -> None:
        """Log in anew, where that is possible, before the next use: a life of the connection begins. Does not wait for
        a login that is under way, which is as good."""
        if self.can_log_in:
            self._usable = False

    def obtain(self, exchange: Exchange, deadline: Deadline) -> Credentials:
        """The credentials; logs in first when there are none. Blocks until ``deadline``.

        :raises OneTradeError: why there are none
        """
        if self._usable:
            return self.credentials
        return self._log_in(None, exchange, deadline)

    def renew(
        self, refused: AuthenticationError, old: Credentials, exchange: Exchange, deadline: Deadline
    ) -> Credentials:
        """Other credentials than ``old``, which were refused: another thread's, or those of a new login.

        :raises AuthenticationError: ``refused``, without an API key or for another answer than 401
        :raises OneTradeError: why there are none
        """
        if refused.status != 401 or not self.can_log_in:
            raise refused
        return self._log_in(old, exchange, deadline)

    def _log_in(self, old: Optional[Credentials], exchange: Exchange, deadline: Deadline) -> Credentials:
        if not deadline.acquire(self._lock):
            raise NetworkError("login", self._settings.host, "no answer in time")
        try:
            if not self._usable or self.credentials is old:
                self.credentials = log_in(self._settings, exchange, deadline)
                self._usable = True
            return self.credentials
        finally:
            self._lock.release()
