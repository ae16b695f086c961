"""An embedded OneTrade server, for trying things out and for tests: yours, too.

It needs nothing but the standard library, and shares no decoding with the client.
"""

from __future__ import annotations

from .arrivals import Message, Request
from .sessions import Session
from .simulator import Simulator

__all__ = ["Message", "Request", "Session", "Simulator"]
