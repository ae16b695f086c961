"""Keeping one connection to the server alive."""

from __future__ import annotations

from .connection import Connection

__all__ = ["Connection"]
