"""The local mirror of the account."""

from __future__ import annotations

from .mirror import Account

__all__ = ["Account"]
