"""What the user wants to receive: remembered across connections."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from ..protocol.enums import EventMessageType
from ..protocol.outgoing import check_symbol_id

Message = Tuple[EventMessageType, Any]

#: The messages that say whether account updates are wanted.
ACCOUNT_TYPES = frozenset({EventMessageType.START_ACCOUNT_ALL, EventMessageType.STOP_ACCOUNT_ALL})
#: The messages that say what is wanted. Harmless to repeat, and restored once per connection.
SUBSCRIPTION_TYPES = ACCOUNT_TYPES | {
    EventMessageType.MARKET_SUBSCRIBE_SYMBOL,
    EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL,
}


class Subscriptions:
    """The set of what is wanted: a pure object. The outgoing queue's lock guards it."""

    def __init__(self, account_updates: bool) -> None:
        #: Whether account updates are wanted.
        self.account_updates = account_updates
        # Ordered, so that they are restored in the order in which they were asked for.
        self._symbols: Dict[int, None] = {}

    def change(self, event_type: EventMessageType, data: Any) -> bool:
        """Take note of one of the :data:`SUBSCRIPTION_TYPES`.

        :returns: whether anything is different now
        :raises EncodeError: when ``data`` is not a symbol id where one belongs
        """
        if event_type in ACCOUNT_TYPES:
            wanted = event_type is EventMessageType.START_ACCOUNT_ALL
            changed = wanted != self.account_updates
            self.account_updates = wanted
            return changed
        symbol_id = check_symbol_id(event_type, data)
        if event_type is EventMessageType.MARKET_SUBSCRIBE_SYMBOL:
            changed = symbol_id not in self._symbols
            self._symbols[symbol_id] = None
            return changed
        return self._symbols.pop(symbol_id, self) is None

    @property
    def symbol_ids(self) -> Tuple[int, ...]:
        """The symbols that are subscribed to."""
        return tuple(self._symbols)

    def messages(self) -> List[Message]:
        """What to send on a new connection: account updates first, as the documented flow has it."""
        messages: List[Message] = []
        if self.account_updates:
            messages.append((EventMessageType.START_ACCOUNT_ALL, None))
        messages += [(EventMessageType.MARKET_SUBSCRIBE_SYMBOL, symbol_id) for symbol_id in self._symbols]
        return messages
