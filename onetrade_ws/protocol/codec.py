"""From frames to events."""

from __future__ import annotations

import json
import logging
import math
from typing import Any, Callable, List, Mapping, NoReturn, Sequence, Set, Tuple, Union

from ..errors import DecodeError, detached
from .enums import EventMessageType
from .events import ClientEventType, Event, EventType
from .frames import Frame, Opcode
from .models import (
    Deal,
    Journal,
    Notification,
    NotificationText,
    Order,
    Position,
    Quote,
    Report,
    SessionLogout,
)
from .records import RecordError, parse_record, split_records
from .structure import StructureError, describe, structure

logger = logging.getLogger("onetrade_ws.protocol")

#: What the data of each incoming message is. Types that are not here have none, or whatever JSON the server sent.
_DATA: Mapping[EventMessageType, type] = {
    EventMessageType.INFO: Notification,
    EventMessageType.ERROR: Notification,
    EventMessageType.SESSION_LOGOUT: SessionLogout,
    EventMessageType.ORDERS_PLACE: Order,
    EventMessageType.ORDERS_UPDATE: Order,
    EventMessageType.ORDERS_CANCEL: Order,
    EventMessageType.ORDERS_EXPIRED: Order,
    EventMessageType.ORDERS_REJECTED: Order,
    EventMessageType.ORDERS_REQUOTED: Order,
    EventMessageType.POSITIONS_OPEN: Position,
    EventMessageType.POSITIONS_UPDATE: Position,
    EventMessageType.POSITIONS_CLOSE: Position,
    EventMessageType.DEALS_CREATE: Deal,
    EventMessageType.DEALS_UPDATE: Deal,
    EventMessageType.JOURNAL_CREATE: Journal,
    EventMessageType.REPORT_CREATE: Report,
}

_NEVER_JSON = frozenset({EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE})

_BY_NAME: Mapping[str, EventMessageType] = {member.value: member for member in EventMessageType}

# A server that makes up names, or errors, must not fill memory or the log.
_LOGGED_AT_MOST = 1000
_SHOWN = 100


def known_type(event_type: EventType) -> EventType:
    """The :class:`.EventMessageType` of a wire name where there is one; anything else as it is."""
    return _BY_NAME.get(event_type, event_type) if isinstance(event_type, str) else event_type


class Codec:
    """Decodes the frames of one client. Not thread-safe: the dispatcher's own.

    :param price_columns: the names of a price frame's columns, in their order
    :param hide: takes out of a text what must not show: the server makes up the names of unknown types
    """

    def __init__(self, price_columns: Sequence[str], hide: Callable[[str], str] = str) -> None:
        self._hide = hide
        self._price_columns: Tuple[str, ...] = tuple(price_columns)
        self._logged: Set[Tuple[str, ...]] = set()

    def decode(self, frame: Frame) -> List[Event]:
        """The events that a frame holds: one for a text frame, one a record for a binary frame.

        What cannot be decoded becomes an event of type ``DECODE_ERROR``. Never raises.
        """
        if frame.opcode == Opcode.TEXT:
            try:
                event_type, data = decode_message(frame.payload)
            except DecodeError as error:
                return [self._failed(error, frame.received_at)]
            if not isinstance(event_type, EventMessageType) and self._is_news("unknown", event_type):
                shown = self.shown(event_type)
                logger.warning("unknown message type %r: delivered under its name", shown)
            return [Event(event_type, data, frame.received_at, frame.payload)]
        return self._decode_records(frame)

    def shown(self, event_type: EventType) -> str:
        """An event's type as logs may show it."""
        if not isinstance(event_type, str) or isinstance(event_type, EventMessageType):
            return str(event_type)
        name = self._hide(event_type)
        return name if len(name) <= _SHOWN else name[:_SHOWN] + "…"

    def _decode_records(self, frame: Frame) -> List[Event]:
        events = []
        for record in split_records(frame.payload):
            try:
                data = parse_record(record, self._price_columns)
            except RecordError as error:
                path = f"$.{error.column}" if error.column else "$"
                events.append(self._failed(DecodeError(path, error.reason, record), frame.received_at))
            else:
                event_type = (
                    EventMessageType.MARKET_FEED
                    if isinstance(data, Quote)
                    else EventMessageType.PROFIT_UPDATE
                )
                events.append(Event(event_type, data, frame.received_at, record))
        if not events:
            events.append(self._failed(DecodeError("$", "an empty frame", frame.payload), frame.received_at))
        return events

    def _failed(self, error: DecodeError, received_at: float) -> Event:
        if self._is_news("undecodable", error.event_type or "", error.path, error.reason):
            logger.warning(
                "cannot decode a frame, delivered as DECODE_ERROR: %s (the same again will not be logged)",
                error,
            )
        # Its frames, and the JSON error behind it, hold the message once more.
        return Event(ClientEventType.DECODE_ERROR, detached(error), received_at, error.raw)

    def _is_news(self, *what: str) -> bool:
        """Whether it is to be logged: once each, and not without end."""
        what = tuple(word[:_SHOWN] for word in what)
        if what in self._logged or len(self._logged) >= _LOGGED_AT_MOST:
            return False
        self._logged.add(what)
        return True


def decode_message(raw: bytes) -> Tuple[Union[EventMessageType, str], Any]:
    """The type and the typed data of a text message.

    :raises DecodeError: when it is not what the protocol says
    """
    message = _load_json(raw)
    if type(message) is not dict:
        raise DecodeError("$", f"expected an object, got {describe(message)}", raw)
    if "type" not in message:
        raise DecodeError("$.type", "required field missing", raw)
    name = message["type"]
    if type(name) is not str:
        raise DecodeError("$.type", f"expected a string, got {describe(name)}", raw)
    event_type = _BY_NAME.get(name)
    if event_type is None:
        return name, message.get("data")
    if event_type in _NEVER_JSON:
        raise DecodeError("$.type", "a name that stands for binary frames", raw, name)
    model = _DATA.get(event_type)
    if model is None:
        return event_type, message.get("data")
    if "data" not in message:
        raise DecodeError("$.data", "required field missing", raw, name)
    try:
        if model is Notification:
            return event_type, _notification(event_type, message["data"])
        return event_type, structure(message["data"], model)
    except StructureError as error:
        raise DecodeError(f"$.data{error.path}", error.reason, raw, name) from None


def _notification(event_type: EventMessageType, data: object) -> Notification:
    # Whether it is an information or an error is said by the message's type, not by its data.
    words = structure(data, NotificationText)
    return Notification(type=event_type, message=words.message, extra=words.extra)


def is_logout_of(session_id: str, frame: Frame) -> bool:
    """Whether a frame says that the session ``session_id`` was logged out.

    This is the one message that concerns the connection itself, so the connection asks before it hands a frame
    on. It costs a search of the bytes; only a frame that mentions a logout, or may by escapes, is decoded.
    """
    payload = frame.payload
    if frame.opcode != Opcode.TEXT or (b"session_logout" not in payload and b"\\u" not in payload):
        return False
    try:
        event_type, data = decode_message(payload)
    except DecodeError:
        return False
    return event_type is EventMessageType.SESSION_LOGOUT and data.session_id == session_id


def _load_json(raw: bytes) -> Any:
    if not raw:
        raise DecodeError("$", "an empty frame", raw)
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
        # json pairs surrogates but lets a lone one through, which no UTF-8 output can hold.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("$", f"not UTF-8: {error.reason}", raw) from None
    except UnicodeEncodeError:
        raise DecodeError("$", "half of a surrogate pair", raw) from None
    except RecursionError:
        raise DecodeError("$", "nested too deeply", raw) from None
    except json.JSONDecodeError as error:
        raise DecodeError("$", f"malformed JSON: {error.msg} (char {error.pos})", raw) from None
    except _NumberError as error:
        raise DecodeError("$", str(error), raw) from None
    except ValueError:
        # Python refuses to read integers of thousands of digits.
        raise DecodeError("$", "an integer of too many digits", raw) from None
    return value


class _NumberError(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _NumberError(f"{name} is not a number that JSON knows")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NumberError("a number too large for a float")
    return number
