"""Keeping one connection to the server alive."""

from __future__ import annotations

from .connection import Connection
from .outgoing import MessageStatus, OutgoingMessage

__all__ = ["Connection", "MessageStatus", "OutgoingMessage"]
