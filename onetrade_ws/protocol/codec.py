"""From messages to events."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Container,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
    cast,
)

from ..errors import DecodeError, detached
from .enums import EventMessageType
from .events import ClientEventType, Event, EventType
from .filler import Fillers
from .frames import Batch, Opcode
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
from .parsers import MsgspecParser, Parser, Refused, fastest_parser
from .records import RecordError, parse_record
from .rows import RowDecoder
from .structure import StructureError, describe, structure

if TYPE_CHECKING:
    from .twins import Twins

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

# An ``info`` is too rare to be worth it, and made of more than its data.
_TWINNED = {event_type: model for event_type, model in _DATA.items() if model is not Notification}

_NEVER_JSON = frozenset({EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE})

_BY_NAME: Mapping[str, EventMessageType] = {member.value: member for member in EventMessageType}

# A server that makes up names, or errors, must not fill memory or the log.
_LOGGED_AT_MOST = 1000
_SHOWN = 100


def known_type(event_type: EventType) -> EventType:
    """The :class:`.EventMessageType` of a wire name where there is one; anything else as it is."""
    return _BY_NAME.get(event_type, event_type) if isinstance(event_type, str) else event_type


class Undecoded(NamedTuple):
    """A message of a type that nobody asks for: it is JSON, and of that type. Whether its numbers are too large for
    Python has not been looked at."""

    type: EventType
    raw: bytes
    received_at: float


class Codec:
    """Decodes the messages of one client. Not thread-safe: the dispatcher's own.

    It takes a short way (:mod:`.twins`, :mod:`.filler`, :mod:`.rows`) and, with what that refuses, the long one, which
    has the last word: :func:`decode_message`, :func:`.parse_record`.

    :param price_columns: the names of a price frame's columns, in their order
    :param hide: takes out of a text what must not show: the server makes up the names of unknown types
    :param parser: what the short way reads JSON with; None: the fastest that is installed
    """

    def __init__(
        self,
        price_columns: Sequence[str],
        hide: Callable[[str], str] = str,
        parser: Optional[Parser] = None,
    ) -> None:
        self._hide = hide
        self._price_columns: Tuple[str, ...] = tuple(price_columns)
        self._logged: Set[Tuple[str, ...]] = set()
        self._parser = fastest_parser() if parser is None else parser
        self._fillers = Fillers(self._parser)
        self._twins = _twins(self._parser)
        self._rows = RowDecoder(self._parser, price_columns)

    def decode(self, batch: Batch) -> List[Event]:
        """The events that messages hold: one for a text message, one a record for a binary one.

        What cannot be decoded becomes an event of type ``DECODE_ERROR``. Never raises.
        """
        return cast("List[Event]", self.decode_wanted(batch, None))

    def decode_wanted(
        self, batch: Batch, wanted: Optional[Container[EventType]]
    ) -> List[Union[Event, Undecoded]]:
        """As :meth:`decode`, but for messages that nobody asks for and that no model is made of: they may stay
        undecoded.

        :param wanted: the types that somebody asks for; None: everything
        """
        payloads, received_at = batch.payloads, batch.received_at
        if batch.opcode == Opcode.TEXT and self._twins is None:
            return [self._decode_text(raw, received_at) for raw in payloads]
        short_way = self._rows if self._twins is None or batch.opcode != Opcode.TEXT else self._twins
        decoded, refused = short_way.decode(payloads, received_at)
        events = cast("List[Union[Event, Undecoded]]", decoded)
        for place, raw in refused:
            if short_way is self._rows:
                events[place] = self._decode_record(raw, received_at)
            else:
                unwanted = None if wanted is None else self._unwanted(raw, received_at, wanted)
                events[place] = unwanted or self._decode_text(raw, received_at)
        return events

    def decode_after_all(self, undecoded: Undecoded) -> Event:
        """The event that was not worth decoding, for somebody who has asked for it since."""
        return self._decode_text(undecoded.raw, undecoded.received_at)

    def _decode_text(self, raw: bytes, received_at: float) -> Event:
        event_type: EventType
        try:
            event_type, data = self._decode_shortly(raw)
            if self._twins is not None:
                self._twins.learn(raw, data)
        except (ValueError, KeyError, OverflowError):
            try:
                event_type, data = decode_message(raw)
            except DecodeError as error:
                return self._failed(error, received_at)
        if type(event_type) is str:
            self._mention(event_type)
        return Event(event_type, data, received_at, raw)

    def _unwanted(self, raw: bytes, received_at: float, wanted: Container[EventType]) -> Optional[Undecoded]:
        name = None if self._twins is None else self._twins.name_of_other(raw)
        event_type = None if name is None else known_type(name)
        if event_type is None or event_type in wanted or event_type in _DATA or event_type in _NEVER_JSON:
            return None
        if type(event_type) is str:
            self._mention(event_type)
        return Undecoded(event_type, raw, received_at)

    def _mention(self, name: str) -> None:
        if self._is_news("unknown", name):
            _warn("unknown message type %r: delivered under its name", self.shown(name))

    def _decode_shortly(self, raw: bytes) -> Tuple[EventType, Any]:
        """As :func:`decode_message`.

        :raises ValueError, KeyError, OverflowError: when it does not know what to make of it
        """
        message = self._parser.parse(raw)
        if type(message) is not dict:
            raise Refused
        name = message["type"]
        if type(name) is not str:
            raise Refused
        event_type = _BY_NAME.get(name)
        if event_type is not None and event_type in _DATA:
            model, data = _DATA[event_type], message["data"]
            if model is Notification:
                words = self._fillers.get(NotificationText)(data)
                return event_type, Notification(type=event_type, message=words.message, extra=words.extra)
            return event_type, self._fillers.get(model)(data)
        if event_type in _NEVER_JSON:
            raise Refused
        return event_type or name, message.get("data")

    def shown(self, event_type: EventType) -> str:
        """An event's type as logs may show it."""
        if not isinstance(event_type, str) or isinstance(event_type, EventMessageType):
            return str(event_type)
        name = self._hide(event_type)
        return name if len(name) <= _SHOWN else name[:_SHOWN] + "…"

    def _decode_record(self, record: bytes, received_at: float) -> Event:
        if not record.strip(b"\r\n "):
            # A frame without any.
            return self._failed(DecodeError("$", "an empty frame", record), received_at)
        try:
            data = parse_record(record, self._price_columns)
        except RecordError as error:
            path = f"$.{error.column}" if error.column else "$"
            return self._failed(DecodeError(path, error.reason, record), received_at)
        is_quote = isinstance(data, Quote)
        event_type = EventMessageType.MARKET_FEED if is_quote else EventMessageType.PROFIT_UPDATE
        return Event(event_type, data, received_at, record)

    def _failed(self, error: DecodeError, received_at: float) -> Event:
        if self._is_news("undecodable", error.event_type or "", error.path, error.reason):
            _warn(
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


def _warn(message: str, argument: object) -> None:
    # A log handler of the program's that raises must not cost the batch.
    with contextlib.suppress(Exception):
        logger.warning(message, argument)


def _twins(parser: Parser) -> Optional[Twins]:
    if not isinstance(parser, MsgspecParser):
        return None
    # What it imports may not be installed.
    from .twins import Twins

    return Twins(_TWINNED, parser)


def decode_message(raw: bytes) -> Tuple[Union[EventMessageType, str], Any]:
    """The type and the typed data of a text message.

    :raises DecodeError: when it is not what the protocol says
    """
    message = load_json(raw)
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


# An escape that stands for one of the letters of "session_logout".
_HIDES_LOGOUT = re.compile(rb"\\u00(?:5[fF]|6[579cCeEfF]|7[345])")
# How messages begin whose type begins with neither its first letter nor an escape.
_BEGIN_OTHERS = frozenset(b'{"type":"' + bytes([letter]) for letter in range(256) if letter not in b's\\"')


def holds_logout_of(session_id: str, batch: Batch) -> bool:
    """Whether one of the messages says that the session ``session_id`` was logged out.

    This is the one message that concerns the connection itself, so the connection asks before it hands them
    on. It costs a look at how they begin: one whose type comes first, as this server writes it, and begins with another
    letter is taken for none (a type that comes twice is not looked for). Else it costs a search; and only a message
    that mentions a logout, or may by escapes of letters of it, is decoded: Go escapes "<", ">" and "&" in any comment.
    """
    if batch.opcode != Opcode.TEXT:
        return False
    for payload in batch.payloads:
        if (
            payload[:10] not in _BEGIN_OTHERS
            and (b"session_logout" in payload or _HIDES_LOGOUT.search(payload))
            and _is_logout_of(session_id, payload)
        ):
            return True
    return False


def _is_logout_of(session_id: str, payload: bytes) -> bool:
    try:
        event_type, data = decode_message(payload)
    except DecodeError:
        return False
    return event_type is EventMessageType.SESSION_LOGOUT and data.session_id == session_id


def load_json(raw: bytes) -> Any:
    """What a text of the server's holds: strictly JSON, and nothing in it that Python could not hold.

    :raises DecodeError: when it is not
    """
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
