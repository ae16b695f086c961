"""Who may come in: the API key, sessions and their access tokens, validation, and refusals on demand."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional

from .http1 import Body, Response, envelope

IN_USE = "session is already used"  # specification


@dataclass(frozen=True)
class Session:
    """The credentials of one session. Its representation shows none of them."""

    session_id: str = field(repr=False)
    access_token: str = field(repr=False)


class Refusals:
    """The refusals that one door still has to give, the oldest first."""

    def __init__(self) -> None:
        self._due: List[_Refusal] = []

    def add(
        self,
        status: int,
        message: str,
        times: Optional[int],
        body: Body = None,
        headers: Optional[Mapping[str, str]] = None,
        path: str = "",
    ) -> None:
        """Refuses the next `times` callers who want something whose path begins with `path`; None: all of them until
        `clear`."""
        response = envelope(status, message=message, headers=headers)
        if body is not None:
            response = Response(status, body, headers or {})
        if times is None or times > 0:
            self._due.append(_Refusal(response, times, path))

    def take(self, path: str = "") -> Optional[Response]:
        """The answer to the caller at the door who wants `path`, None when he may pass."""
        for refusal in self._due:
            if path.startswith(refusal.path):
                if refusal.times is not None:
                    refusal.times -= 1
                    if refusal.times == 0:
                        self._due.remove(refusal)
                return refusal.response
        return None

    def clear(self) -> None:
        """Forgets all refusals."""
        self._due.clear()


@dataclass(eq=False)
class _Refusal:
    response: Response
    times: Optional[int]
    path: str


@dataclass
class _State:
    """What the server knows about a session."""

    session: Session
    validated: bool = False  # since its last connection
    connections: int = 0  # open WebSockets
    revoked: bool = False
    expired: bool = False  # its access token alone

    def lets_in(self, token: str) -> bool:
        """Whether `token` is the session's, and still good."""
        return not (self.revoked or self.expired) and secrets.compare_digest(
            self.session.access_token.encode(), token.encode("utf-8", "surrogateescape")
        )


class Sessions:
    """Sessions and their rules.

    A session is validated by the POST of the specification; each validation admits one WebSocket. That an
    unvalidated handshake gets 401 is a rule of this simulator: the specification gives the order of the two
    steps and not what happens otherwise. While a session's WebSocket is open, or `held` is set, its
    validation is answered with "session is already used".
    """

    def __init__(
        self, session_id: Optional[str], access_token: Optional[str], api_key: Optional[str]
    ) -> None:
        self.api_key = secrets.token_urlsafe(24) if api_key is None else api_key
        self._states: Dict[str, _State] = {}
        self.held = False
        self.login_refusals = Refusals()
        self.validation_refusals = Refusals()
        self.handshake_refusals = Refusals()
        self.call_refusals = Refusals()
        self.current = self.add(session_id, access_token)

    def add(self, session_id: Optional[str] = None, access_token: Optional[str] = None) -> Session:
        """A new session, with random credentials where none are given."""
        session = Session(
            secrets.token_hex(16) if session_id is None else session_id,
            secrets.token_urlsafe(32) if access_token is None else access_token,
        )
        self._states[session.session_id] = _State(session)
        return session

    def revoke(self, session_id: str) -> None:
        """Ends a session: everything that shows it, or its token, is refused from now on."""
        if session_id in self._states:
            self._states[session_id].revoked = True

    def expire_token(self) -> None:
        """Ends the current session's access token, until the next login gives another; the session goes on."""
        self._states[self.current.session_id].expired = True

    def refuse_call(self, path: str, token: str) -> Optional[Response]:
        """The refusal of a call below the trader's API, None when it may go on."""
        refusal = self.call_refusals.take(path)
        if refusal is not None:
            return refusal
        if not any(state.lets_in(token) for state in self._states.values()):
            return envelope(401, message="unknown access token")
        return None

    def log_in(self, grant_type: Optional[str], api_key: Optional[str]) -> Response:
        """The login call. The session is the current one; a new one when that has been revoked. So is the token when
        that has expired."""
        refusal = self.login_refusals.take()
        if refusal is not None:
            return refusal
        if grant_type != "api_key":
            return envelope(400, message="grant_type must be api_key")
        if api_key != self.api_key:
            return envelope(401, message="unknown API key")
        if self._states[self.current.session_id].revoked:
            self.current = self.add()
        state = self._states[self.current.session_id]
        if state.expired:
            state.session = self.current = Session(self.current.session_id, secrets.token_urlsafe(32))
            state.expired = False
        data = {"access_token": self.current.access_token, "session_id": self.current.session_id}
        return envelope(200, data)

    def validate(self, session_id: str) -> Response:
        """The validation call (specification)."""
        refusal = self.validation_refusals.take()
        if refusal is not None:
            return refusal
        state = self._states.get(session_id)
        if state is None or state.revoked:
            return envelope(401, message="unknown session")
        if self.held or state.connections:
            return envelope(400, message=IN_USE)
        state.validated = True
        return envelope(200, message="session validated")

    def refuse_handshake(self, session_id: str, token: str) -> Optional[Response]:
        """The refusal of a WebSocket handshake, None when it may go on."""
        refusal = self.handshake_refusals.take()
        if refusal is not None:
            return refusal
        state = self._states.get(session_id)
        if state is None or not state.lets_in(token):
            return envelope(401, message="unknown session or access token")
        if not state.validated:
            return envelope(401, message="the session has not been validated")
        return None

    def entered(self, session_id: str) -> None:
        """A WebSocket of this session has opened."""
        state = self._states[session_id]
        state.validated = False
        state.connections += 1

    def left(self, session_id: str) -> None:
        """A WebSocket of this session is open no longer."""
        self._states[session_id].connections -= 1
