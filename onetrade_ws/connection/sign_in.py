"""The session in whose name a client speaks: given, or had for an API key."""

from __future__ import annotations

import copy
from typing import Optional, Tuple

import attrs

from ..config import Settings, host_and_port
from ..deadline import Condition, Deadline
from ..errors import AuthenticationError, NetworkError, detached
from .credentials import Credentials
from .exchange import Exchange
from .session import log_in

# How many credentials that were in force before are kept out of sight, too: a connection may still use them.
_REMEMBERED = 10


@attrs.define(eq=False)
class _Login:
    """That somebody logs in, and what came of it."""

    fresh: Optional[Credentials] = None
    refused: Optional[AuthenticationError] = None


class SignIn:
    """Logs in where an API key was given, when it is needed. Every method on any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Guards the next seven, and that one thread logs in at a time, for two logins could give two sessions. The
        # others wait on it, up to their deadlines.
        self._changed = Condition()
        self._login: Optional[_Login] = None
        # How many logins have ended, and which refusal the last one ended with.
        self._logins = 0
        self._refused: Optional[AuthenticationError] = None
        self._earlier: Tuple[Credentials, ...] = ()
        #: The credentials in force, or the last that were; without a session before the first login.
        self.credentials = Credentials(api_key=settings.api_key)
        self._usable = False
        # Whether they were used for a connection, or refused.
        self._spent = False
        if settings.session_id is not None and settings.access_token is not None:
            self.credentials = Credentials(settings.session_id, settings.access_token)
            self._usable = True

    @property
    def can_log_in(self) -> bool:
        """Whether there is an API key, so that refused credentials can be had anew."""
        return self._settings.api_key is not None

    def hide_in(self, text: str) -> str:
        """``text`` without the secrets that are in force, or were."""
        for credentials in (self.credentials, *self._earlier):
            text = credentials.hide_in(text)
        return text

    def begin(self) -> None:
        """A life of the connection begins: log in anew, where that is possible, before the next use, unless the last
        login was for a call alone and has not been refused. Does not wait for a login that is under way, which is as
        good.
        """
        with self._changed:
            if self._spent:
                self.forget(self.credentials)

    def spend(self, credentials: Credentials) -> None:
        """These are used for a connection, or have been refused: no later life of the connection begins with them."""
        with self._changed:
            if credentials is self.credentials:
                self._spent = True

    def forget(self, credentials: Credentials) -> None:
        """Log in anew, where that is possible, before the next use, if these are still in force."""
        with self._changed:
            if self.can_log_in and credentials is self.credentials:
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
        exchange.on_abort = self._wake
        mine = _Login()
        # Not in a "finally": it may be the end itself that Ctrl-C interrupts, and would not be made up for.
        try:
            credentials = self._await_turn(mine, old, exchange, deadline)
            if credentials is None:
                credentials = mine.fresh = log_in(self._settings, exchange, deadline)
            self._end(mine)
        except BaseException as error:
            mine.refused = copy.copy(error) if isinstance(error, AuthenticationError) else None
            self._end(mine)
            raise
        return credentials

    def _await_turn(
        self, mine: _Login, old: Optional[Credentials], exchange: Exchange, deadline: Deadline
    ) -> Optional[Credentials]:
        """Wait for the login that is under way.

        :returns: the credentials that there are then; None where there are none, and the next login is ``mine``
        """
        with self._changed:
            # What the one that is under way ends with.
            shared = self._logins + 1 if self._login is not None else 0
            waited = deadline.wait_for(
                self._changed, lambda: self._login is None or exchange.aborted is not None
            )
            if exchange.aborted is not None:
                raise detached(exchange.aborted)
            if not waited:
                raise NetworkError("login", host_and_port(self._settings.http_url), "no answer in time")
            if self._usable and self.credentials is not old:
                return self.credentials
            if self._refused is not None and shared == self._logins:
                # Another attempt would get the same answer.
                raise copy.copy(self._refused)
            self._login = mine
        return None

    def _end(self, mine: _Login) -> None:
        # Any number of times, also where it was never its turn.
        with self._changed:
            if self._login is mine:
                self._logins += 1
                self._refused = mine.refused
                if mine.fresh is not None:
                    self._earlier = (self.credentials, *self._earlier)[:_REMEMBERED]
                    self.credentials, self._usable, self._spent = mine.fresh, True, False
                self._login = None
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
