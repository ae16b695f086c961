"""Every step times every misbehaviour: each comes to the error that the documentation names, in time."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, Dict, List, Mapping

from onetrade_ws import OneTradeError
from onetrade_ws.simulator import websocket as framing
from tests.connection.hostile import TIMEOUT, HostileServer, client_of, free_port
from tests.scorecard import misbehaviour
from tests.scorecard.cases import FellShort, run_cases
from tests.scorecard.full_listener import FullListener
from tests.scorecard.misbehaviour import Misbehaviour
from tests.scorecard.outcome import Outcome

PROMISE = "A hostile server gets a typed error in time"
TARGET = "60 of 60, none later than the deadline + 0.5 s"
EXCLUSIVE = True
FULL_MINUTES = 5
