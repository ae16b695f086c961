"""What is drawn on a terminal: from a real account, in any size."""

from __future__ import annotations

import io
import re
from typing import Iterator, List, NamedTuple, Sequence

import pytest
from rich.console import Console
from rich.segment import Segment

from onetrade_ws import (
    ClientEventType,
    EventMessageType,
    OneTradeClient,
    OrderType,
    ReconnectPolicy,
    SideType,
)
from onetrade_ws.demo.board import Board
from onetrade_ws.demo.catalogue import simulated
from onetrade_ws.demo.layout import Column, fitting, shares
from onetrade_ws.demo.screen import Drawing
from onetrade_ws.simulator import Simulator

CATALOGUE = simulated()
TIMEOUT = 20.0


class Desk(NamedTuple):
    server: Simulator
    client: OneTradeClient
    board: Board

    def wait_until_asked(self, connections: int) -> None:
        """Until the server has been asked, on that many connections, for the account and for both symbols."""
        self.server.wait_for(
            lambda server: (
                len([1 for message in server.messages if "type" in message.text]) == 3 * connections
            ),
            TIMEOUT,
        )

    def say(self, message: str) -> None:
        """Something at the end of what happens: when this returns, everything before it has arrived."""
        with self.client.expect(
            EventMessageType.INFO, lambda event: event.data.message == message, timeout=TIMEOUT
        ):
            self.server.info(message)


@pytest.fixture
def desk(simulator: Simulator) -> Iterator[Desk]:
    """A client of a market that stands still, and the board that watches EURUSD, USDJPY and a stranger."""
    client = OneTradeClient(
        simulator.ws_url,
        session_id=simulator.session_id,
        access_token=simulator.access_token,
        reconnect=ReconnectPolicy(initial_delay=0.01, max_delay=0.01),
    )
    board = Board(client, (1, 3, 77))
    client.subscribe(None, board.add)
    for symbol_id in (1, 3):
        client.subscribe_market(symbol_id)
    with client:
        desk = Desk(simulator, client, board)
        desk.wait_until_asked(1)
        yield desk


def draw(
    desk: Desk, width: int = 160, height: int = 48, *, encoding: str = "utf-8", colour: bool = False
) -> List[List[Segment]]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=stream,
        width=width,
        height=height,
        force_terminal=True,
        legacy_windows=False,
        color_system="truecolor" if colour else None,
        no_color=not colour,
    )
    options = console.options.update(width=width, height=height)
    return console.render_lines(Drawing(desk.board.view(), CATALOGUE, "1 of 2 s"), options, pad=False)


def text(desk: Desk, width: int = 160, height: int = 48, *, encoding: str = "utf-8") -> List[str]:
    lines = draw(desk, width, height, encoding=encoding)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


def line_with(lines: Sequence[str], pattern: str) -> str:
    (line,) = [line for line in lines if re.search(pattern, line)]
    return line


def fill(desk: Desk) -> None:
    """One of everything, and more than one of some."""
    desk.server.quote(1, 1.10000, 1.10010)
    desk.server.quote(1, 1.10020, 1.10030)
    desk.server.quote(3, 151.000, 151.010)
    desk.server.quote(3, 150.900, 150.910)
    desk.server.place_order(1, SideType.BUY, 0.5, price_sl=1.0, price_tp=1.2, comment="first\x1b[2J")
    desk.server.place_order(3, SideType.SELL, 1)
    desk.server.place_order(9, SideType.BUY, 1)
    desk.server.place_order(9, SideType.SELL, 1, type=OrderType.SELL_LIMIT, price=2500)
    for _ in range(20):
        desk.server.place_order(1, SideType.BUY, 0.25, type=OrderType.BUY_STOP, price=1.2)
    order = desk.server.place_order(1, SideType.BUY, 1, fill=False)
    desk.server.fill_order(order["id"], 0.4)
    other = desk.server.place_order(1, SideType.SELL, 1, fill=False)
    desk.server.requote_order(other["id"], 1.1)
    closed = desk.server.place_order(1, SideType.BUY, 1)
    desk.server.close_position(closed["position_id"])
    desk.server.quote(1, 1.10120, 1.10130)
    desk.server.quote(9, 2300)
    desk.server.deposit(1000)
    rejected = desk.server.place_order(1, SideType.SELL, 1, fill=False)
    desk.server.reject_order(rejected["id"], "off quotes")
    desk.server.emit("news", {"headline": "日本語 " * 60})
    desk.server.emit_text("not JSON")
    desk.say("that is all")


def test_quotes(desk: Desk) -> None:
    fill(desk)
    lines = text(desk)
    # Eight digits of spread are ten points; the bid went up last.
    assert re.search(r"EURUSD ▲  1\.10120  1\.10130     10 \d\d:\d\d:\d\d\.\d{3}", lines[2])
    assert re.search(r"USDJPY ▼  150\.900  150\.910     10 ", lines[3])
    assert lines[4].split()[0] == "#77"


def test_few_quotes_leave_room_for_others(desk: Desk) -> None:
    fill(desk)
    lines = text(desk, 80, 24)
    assert [lines.index(line_with(lines, f"^ {title}")) for title in ("Quotes", "Positions")] == [1, 5]


def test_positions_float_with_the_market(desk: Desk) -> None:
    fill(desk)
    line = line_with(text(desk), r"EURUSD buy +0\.50 .+ 1\.00000")
    # (1.10120 - 1.10030) x 0.5 lots x 100,000
    assert re.search(r"EURUSD buy +0\.50 +1\.10030 +1\.10120 +\+45\.00 +1\.00000 +1\.20000 +\+43\.25", line)
    assert "first [2J" in line
    # Nobody asked for quotes of gold: its position has the price that came with it.
    assert re.search(
        r"XAUUSD buy +1\.00 +\d+\.\d\d +\d+\.\d\d +-\d", line_with(text(desk), r"XAUUSD buy  .+ -\d")
    )


def test_orders_and_deals(desk: Desk) -> None:
    fill(desk)
    lines = text(desk, 160, 60)
    assert line_with(lines, "part fill").split()[-8:-3] == ["EURUSD", "buy", "0.60", "1.10030", "1.10130"]
    assert re.search(r"EURUSD sell +1\.00 +1\.10000 +1\.10120 requoted", line_with(lines, " requoted +\\d"))
    assert "Orders, " in lines[1]
    assert re.search(r"EURUSD sell +1\.00 +1\.10020 out +-\d+\.\d\d #\d+$", line_with(lines, r"\d out +-"))
    assert re.search(r"Orders, \d+ of 23", lines[1])


def test_events_are_safe_to_look_at(desk: Desk) -> None:
    fill(desk)
    lines = text(desk)
    for expected in (
        r"info +that is all$",
        r"decode error +\S",
        r"order rejected +#\d+ sell 1\.00 EURUSD at [\d.]+: off quotes$",
        r"deal +#\d+ balance \+1,000\.00$",
    ):
        line_with(lines, expected)
    assert line_with(lines, " news ").endswith("…")
    assert "\x1b" not in "".join(lines)


SIZES = [
    (1, 1),
    (3, 2),
    (12, 4),
    (30, 10),
    (40, 12),
    (60, 16),
    (80, 24),
    (99, 70),
    (100, 3),
    (100, 30),
    (200, 60),
]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fills_the_screen_exactly(desk: Desk, width: int, height: int) -> None:
    fill(desk)
    for colour in (True, False):
        lines = draw(desk, width, height, colour=colour)
        assert [Segment.get_line_length(line) for line in lines] == [width] * height


def test_what_does_not_fit_is_left_out_by_importance(desk: Desk) -> None:
    fill(desk)
    assert "EURUSD" in "".join(text(desk, 30, 4))
    low = "\n".join(text(desk, 80, 12))
    assert "Quotes" in low
    assert "events" in low
    assert "Orders" not in low
    assert "Latest deals" not in "\n".join(text(desk, 80, 24))
    assert "Latest deals" in "\n".join(text(desk, 80, 40))
    assert "time" not in text(desk, 30, 10)[1]


def test_without_unicode_and_without_colour(desk: Desk) -> None:
    fill(desk)
    lines = text(desk, encoding="ascii")
    assert "".join(lines).isascii()
    assert re.search(r"EURUSD \+ ", lines[2])
    assert re.search(r"USDJPY - ", lines[3])
    assert line_with(lines, " news ").endswith("~")
    assert {str(segment.style) for segment in draw(desk)[1]} == {"reverse", "none"}
    assert "reverse" not in {str(segment.style) for segment in draw(desk, colour=True)[1]}


def test_profits_have_a_colour_where_there_are_colours(desk: Desk) -> None:
    fill(desk)
    styles = {
        segment.text.strip(): str(segment.style) for line in draw(desk, colour=True) for segment in line
    }
    assert "green" in styles["+45.00"]
    assert "red" in styles[next(cell for cell in styles if re.fullmatch(r"-[\d,]+\.\d\d", cell))]


def test_after_a_loss_everything_is_in_doubt_until_it_is_heard_of(desk: Desk) -> None:
    fill(desk)
    assert "maybe old" not in text(desk)[0]
    desk.server.refuse_validation(503, "down for maintenance", times=None)
    with desk.client.expect(
        ClientEventType.RECONNECTING, lambda event: event.data.attempt == 2, timeout=TIMEOUT
    ):
        desk.server.drop()
    lines = text(desk, 80, 24)
    assert re.search(r"RECONNECTING, attempt \d+ in 0\.0 s", lines[0])
    assert line_with(lines, "^.EURUSD [▲▼]").startswith("?")
    assert any(re.match(r"\?#\d+ USDJPY sell", line) for line in lines)

    with desk.client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        desk.server.allow()
    desk.wait_until_asked(2)
    desk.server.quote(1, 1.10140, 1.10150)
    desk.say("back again")
    lines = text(desk)
    assert re.search(r"OPEN .+ 1 reconnect .+\? maybe old", lines[0])
    assert line_with(lines, "EURUSD [▲▼]").startswith(" EURUSD")
    # A quote moves a position, which tells its profit; the orders have not been heard of.
    assert line_with(lines, r"EURUSD buy +0\.50").startswith(" #")
    assert "?#" in line_with(lines, "part fill")


def test_the_rate_is_that_of_the_last_moments(simulator: Simulator) -> None:
    clock = [1000.0]
    client = OneTradeClient(simulator.ws_url, session_id="s", access_token="t")
    board = Board(client, (), now=lambda: clock[0])
    assert board.view().rate == 0.0
    clock[0] += 1.0
    client.disconnect()
    assert board.view().rate == 0.0
    for _ in range(10):
        clock[0] += 1.0
        assert board.view().rate == 0.0


# -- the arithmetic ---------------------------------------------------------------------------------------------


def test_columns_go_by_rank_and_the_last_of_a_rank_first() -> None:
    columns = (Column("a", 5), Column("b", 5, rank=2), Column("c", 5, rank=1), Column("d", 5, rank=2))
    assert fitting(columns, 23) == [0, 1, 2, 3]
    assert fitting(columns, 22) == [0, 1, 2]
    assert fitting(columns, 11) == [0, 2]
    assert fitting(columns, 5) == [0]
    assert fitting(columns, 1) == [0]


def test_rows_go_by_weight_and_what_nobody_wants_to_the_last() -> None:
    assert shares(19, (12, 10, 10, 99), (6, 5, 3, 5)) == [6, 5, 3, 5]
    assert shares(30, (3, 10, 99), (6, 5, 5)) == [3, 10, 17]
    assert shares(10, (2, 3), (1, 1)) == [2, 8]
    assert shares(-1, (2, 3), (1, 1)) == [0, 0]
