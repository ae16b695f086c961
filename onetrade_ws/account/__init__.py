"""The local mirror of the account."""

from __future__ import annotations

from .figures import Figures
from .frames import to_frame
from .mirror import Account
from .symbols import Directory, Symbols
from .synchronizer import Synchronizer

__all__ = ["Account", "Directory", "Figures", "Symbols", "Synchronizer", "to_frame"]
