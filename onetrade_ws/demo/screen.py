"""The demo as a live table. The only module that knows rich, and imported only where there is a terminal."""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Optional, Sequence, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from .. import (
    ClientEventType,
    ConnectionState,
    Deal,
    DirectionType,
    Event,
    EventMessageType,
    OneTradeClient,
    OrderStatus,
)
from . import figures, wording
from .board import Board, OrderSight, PositionSight, QuoteSight, View
from .catalogue import Catalogue
from .layout import Column, fitting, shares
from .scenario import Scenario

_REFRESH = 0.125  # seconds between two drawings
_FLASH = 0.5  # seconds for which a new quote is bold
_WIDE = 100  # columns from which on orders stand beside the quotes
_BESIDE = 12  # rows for quotes and what stands beside them
_LEAST = 5  # lines that each list must get, or there are too many of them

# The headings of the leading columns are left to the title.
_QUOTES = (
    Column("", 6),
    Column("", 1),
    Column("bid", 8, right=True),
    Column("ask", 8, right=True),
    Column("points", 6, rank=2, right=True),
    Column("time", 12, rank=1),
    Column("low", 8, rank=3, right=True),
    Column("high", 8, rank=3, right=True),
)
_ORDERS = (
    Column("", 11, rank=4),
    Column("", 6),
    Column("type", 10),
    Column("lots", 5, rank=2, right=True),
    Column("price", 8, right=True),
    Column("now", 8, rank=3, right=True),
    Column("status", 9, rank=1),
    Column("placed", 12, rank=5),
)
_POSITIONS = (
    Column("", 6, rank=4),
    Column("", 6),
    Column("side", 4),
    Column("lots", 6, rank=1, right=True),
    Column("open", 9, rank=2, right=True),
    Column("now", 9, rank=3, right=True),
    Column("profit", 10, right=True),
    Column("SL", 9, rank=5, right=True),
    Column("TP", 9, rank=5, right=True),
    Column("total", 10, rank=6, right=True),
    Column("opened", 12, rank=7),
    Column("comment", 14, rank=8),
)
_DEALS = (
    Column("", 12, rank=1),
    Column("", 6),
    Column("side", 4),
    Column("lots", 5, right=True),
    Column("price", 8, right=True),
    Column("way", 3),
    Column("profit", 9, right=True),
    Column("position", 8, rank=2),
    Column("deal", 17, rank=3),
)
_EVENTS = (Column("", 12, rank=2), Column("", 16), Column("", 20, rank=1, elastic=True))

# By the first word of what an event is called.
_EVENT_STYLES = {
    "order": "cyan",
    "position": "magenta",
    "deal": "green",
    "journal": "dim",
    "report": "bright_blue",
    "info": "bright_blue",
    "error": "red",
}


class _Cell(NamedTuple):
    text: str
    style: str = ""


class _Row(NamedTuple):
    cells: Sequence[_Cell]
    in_doubt: bool = False


class _List(NamedTuple):
    """One of the lists that the screen consists of.

    ``wish`` is how many rows it would like to have, ``weight`` its share of those that there are. When they are too
    few, the first are shown, or the last. An endless list does not say how long it is.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[_Row]
    wish: int
    weight: int
    last: bool = False
    endless: bool = False


def open_screen(out: TextIO, catalogue: Catalogue) -> Optional[Screen]:
    """A screen on ``out``; None when it is not a terminal whose cursor can be moved."""
    console = Console(file=out, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal or console.legacy_windows:
        return None
    return Screen(console, catalogue)


class Screen:
    """The whole terminal, drawn anew several times a second in whatever size it has then."""

    def __init__(self, console: Console, catalogue: Catalogue) -> None:
        self._console = console
        self._catalogue = catalogue

    def watch(self, client: OneTradeClient, board: Board, scenario: Scenario) -> None:
        """Show the board, until the scenario is over. On the calling thread; blocks.

        :raises OneTradeError: why the client ended before
        """
        # The alternate screen: nothing scrolls, and what was there before comes back afterwards.
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while scenario.proceed():
                clock = f"{min(scenario.elapsed, scenario.duration):.0f} of {scenario.duration:g} s"
                live.update(Drawing(board.view(), self._catalogue, clock), refresh=True)
                client.wait(_REFRESH)


class Drawing:
    """A view as rich draws it: exactly as many lines as the screen has, each exactly as wide."""

    def __init__(self, view: View, catalogue: Catalogue, clock: str) -> None:
        self._view = view
        self._catalogue = catalogue
        self._clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        pen = _Pen(options.encoding, colour=console.color_system is not None and not console.no_color)
        lines = [self._status(pen, width), *self._lists(pen, width, height - 1)]
        yield from lines[:height]

    # -- the status line ------------------------------------------------------------------------------------

    def _status(self, pen: _Pen, width: int) -> Text:
        view = self._view
        parts = [
            self._connection(pen),
            _Cell(f"{view.rate:.0f} events/s"),
            _Cell(figures.count(view.reconnects, "reconnect")),
            _Cell(f"heartbeat {figures.milliseconds(view.round_trip)}"),
        ]
        if any(sight.in_doubt for sight in (*view.quotes, *view.positions, *view.orders)):
            parts.append(_Cell("? maybe old"))
        parts.append(_Cell(f"profit {figures.money(view.profit)}"))
        clock = self._clock + (", Ctrl-C ends" if width >= _WIDE + 10 else "")
        room = width - 2
        while len(parts) > 1 and sum(len(part.text) + 2 for part in parts) + len(clock) > room:
            parts.pop()
        text = Text(" ", style=pen.status_bar, no_wrap=True)
        for part in parts:
            text.append(part.text, part.style)
            text.append("  ")
        text.append(clock.rjust(room - text.cell_len + 1))
        return _fitted(text, width)

    def _connection(self, pen: _Pen) -> _Cell:
        view, dot = self._view, pen.either("● ", "")
        if view.reconnecting is not None:
            attempt, delay = view.reconnecting.attempt, view.reconnecting.delay
            return _Cell(f"{dot}RECONNECTING, attempt {attempt} in {delay:.1f} s", pen.warning_on_bar)
        return _Cell(f"{dot}{view.state.name}", pen.good_on_bar if view.state is ConnectionState.OPEN else "")

    # -- the lists ------------------------------------------------------------------------------------------

    def _lists(self, pen: _Pen, width: int, height: int) -> List[Text]:
        view = self._view
        quotes = _List(
            "Quotes", _QUOTES, [self._quote(pen, sight) for sight in view.quotes], len(view.quotes), 6
        )
        positions = _List(
            "Positions", _POSITIONS, [self._position(sight) for sight in view.positions], 7, 5, last=True
        )
        orders = _List("Orders", _ORDERS, [self._order(sight) for sight in view.orders], 6, 3, last=True)
        deals = _List("Latest deals", _DEALS, [self._deal(deal) for deal in view.deals], 6, 2, endless=True)
        events = _List(
            "Latest events", _EVENTS, [self._event(event) for event in view.events], 999, 5, endless=True
        )
        if width < _WIDE:
            return _stacked(pen, [quotes, positions, orders, deals, events], width, height)
        rows = shares(height - 3, (max(quotes.wish, _BESIDE), positions.wish, events.wish), (12, 6, 8))
        left = width // 2 - 1
        beside = zip(
            _drawn(pen, quotes, left, rows[0]),
            _stacked(pen, [orders, deals], width - left - 1, rows[0] + 1),
        )
        return [
            *(Text.assemble(one, " ", other, no_wrap=True) for one, other in beside),
            *_drawn(pen, positions, width, rows[1]),
            *_drawn(pen, events, width, rows[2]),
        ]

    def _quote(self, pen: _Pen, sight: QuoteSight) -> _Row:
        name, quote = _Cell(self._catalogue.name(sight.symbol_id), "bold"), sight.quote
        if quote is None:
            return _Row([name, *(_Cell("") for _ in _QUOTES[1:])])
        style = {1: "green", -1: "red"}.get(sight.direction, "")
        arrow = {1: pen.either("▲", "+"), -1: pen.either("▼", "-")}.get(sight.direction, "")
        flash = f"bold {style}" if self._view.now - sight.received_at < _FLASH else style
        cells = [
            name,
            _Cell(arrow, style),
            _Cell(self._price(quote.symbol_id, quote.bid), flash),
            _Cell(self._price(quote.symbol_id, quote.ask), flash),
            _Cell(figures.points(quote.bid, quote.ask, self._catalogue.digits(quote.symbol_id))),
            _Cell(figures.clock(sight.received_at), "dim"),
            _Cell(self._price(quote.symbol_id, quote.low)),
            _Cell(self._price(quote.symbol_id, quote.high)),
        ]
        return _Row(cells, sight.in_doubt)

    def _order(self, sight: OrderSight) -> _Row:
        order = sight.order
        status = "part fill" if order.status == OrderStatus.PARTIALLY_FILLED else wording.words(order.status)
        cells = [
            _Cell(f"#{order.id}", "dim"),
            _Cell(self._catalogue.name(order.symbol_id), "bold"),
            _Cell(wording.order_type(order), _side_style(wording.order_type(order))),
            _Cell(figures.volume(order.volume_current)),
            _Cell(self._price(order.symbol_id, order.price_order)),
            _Cell(self._price(order.symbol_id, sight.price)),
            _Cell(status, "yellow" if order.status == OrderStatus.REQUOTED else ""),
            _Cell(figures.clock(order.created_at.timestamp()) if order.created_at else "", "dim"),
        ]
        return _Row(cells, sight.in_doubt)

    def _position(self, sight: PositionSight) -> _Row:
        position = sight.position
        side = wording.words(position.side)
        cells = [
            _Cell(f"#{position.id}", "dim"),
            _Cell(self._catalogue.name(position.symbol_id), "bold"),
            _Cell(side, _side_style(side)),
            _Cell(figures.volume(position.volume_current)),
            _Cell(self._price(position.symbol_id, position.price_open)),
            _Cell(self._price(position.symbol_id, sight.price)),
            _Cell(figures.money(position.profit), f"bold {_profit_style(position.profit)}"),
            _Cell(self._price(position.symbol_id, position.price_sl or None)),
            _Cell(self._price(position.symbol_id, position.price_tp or None)),
            _Cell(figures.money(position.total_profit), _profit_style(position.total_profit)),
            _Cell(figures.clock(position.created_at.timestamp()) if position.created_at else "", "dim"),
            _Cell(wording.printable(position.comment or "")),
        ]
        return _Row(cells, sight.in_doubt)

    def _deal(self, deal: Deal) -> _Row:
        side = wording.words(deal.side)
        leaves = deal.direction == DirectionType.OUT
        cells = [
            _Cell(figures.clock(deal.created_at.timestamp()) if deal.created_at else "", "dim"),
            _Cell(self._catalogue.name(deal.symbol_id), "bold"),
            _Cell(side, _side_style(side)),
            _Cell(figures.volume(deal.volume)),
            _Cell(self._price(deal.symbol_id, deal.price)),
            _Cell(wording.words(deal.direction)),
            _Cell(figures.money(deal.profit) if leaves else "", _profit_style(deal.profit)),
            _Cell(f"#{deal.position_id}", "dim"),
            _Cell(f"#{deal.id}", "dim"),
        ]
        return _Row(cells)

    def _event(self, event: Event) -> _Row:
        kind = wording.kind(event.type)
        if isinstance(event.type, ClientEventType):
            style = "bold yellow"
        elif event.type in (EventMessageType.ORDERS_REQUOTED, EventMessageType.ORDERS_REJECTED):
            style = "yellow"
        else:
            style = _EVENT_STYLES.get(kind.split(" ", 1)[0], "")
        what = style if style in ("dim", "bold yellow") else ""
        return _Row(
            [
                _Cell(figures.clock(event.received_at), "dim"),
                _Cell(kind, style),
                _Cell(wording.describe(event, self._catalogue), what),
            ]
        )

    def _price(self, symbol_id: int, value: Optional[float]) -> str:
        return self._catalogue.price(symbol_id, value)


class _Pen:
    """What the terminal can show.

    :param colour: without it, bars are drawn in reverse
    """

    def __init__(self, encoding: str, *, colour: bool) -> None:
        self.encoding = encoding
        self.status_bar = "bold white on blue" if colour else "reverse"
        self.title_bar = "bold white on grey30" if colour else "reverse"
        self.good_on_bar = "bright_green" if colour else "bold"
        self.warning_on_bar = "bright_yellow" if colour else "bold"

    def either(self, symbol: str, ascii_symbol: str) -> str:
        """The symbol, where the encoding can have it."""
        return symbol if self.encoding.startswith("utf") else ascii_symbol

    def cell(self, text: str, width: int) -> str:
        """``text`` cut to ``width`` cells, and to what the encoding has."""
        text = text.encode(self.encoding, "replace").decode(self.encoding)
        if cell_len(text) <= width:
            return text
        mark = self.either("…", "~")
        return set_cell_size(text, width - 1) + mark if width > 1 else set_cell_size(text, width)


def _stacked(pen: _Pen, parts: Sequence[_List], width: int, height: int) -> List[Text]:
    """Lists one below the other, in exactly ``height`` lines; without the least of them where it is too low for all."""
    parts = list(parts)
    while len(parts) > 1 and height < _LEAST * len(parts):
        parts.remove(min(parts, key=lambda part: part.weight))
    rows = shares(height - len(parts), [part.wish for part in parts], [part.weight for part in parts])
    return [line for part, share in zip(parts, rows) for line in _drawn(pen, part, width, share)]


def _drawn(pen: _Pen, part: _List, width: int, rows: int) -> List[Text]:
    """A list as its heading and exactly ``rows`` lines, cut where it is longer."""
    inner = max(1, width - 2)
    kept = fitting(part.columns, inner)
    columns = [part.columns[index] for index in kept]
    widths = [min(column.width, inner) for column in columns]
    if columns[-1].elastic:
        widths[-1] += max(0, inner - sum(widths) - len(widths) + 1)
    lines = [_fitted(Text(_heading(part, columns, widths, rows), style=pen.title_bar, no_wrap=True), width)]
    hidden = max(0, len(part.rows) - rows) if part.last else 0
    for row in part.rows[hidden : hidden + rows]:
        line = Text("?" if row.in_doubt else " ", no_wrap=True)
        for index, column, cells in zip(kept, columns, widths):
            content = pen.cell(row.cells[index].text, cells)
            padding = " " * (cells - cell_len(content))
            line.append(padding + content if column.right else content + padding, row.cells[index].style)
            line.append(" ")
        if row.in_doubt:
            line.stylize("dim")
        lines.append(_fitted(line, width))
    lines += [_fitted(Text(""), width) for _ in range(rows + 1 - len(lines))]
    return lines


def _heading(part: _List, columns: Sequence[Column], widths: Iterable[int], rows: int) -> str:
    headings = (
        column.title.rjust(cells) if column.right else column.title.ljust(cells)
        for column, cells in zip(columns, widths)
    )
    line = " " + " ".join(headings)
    total = len(part.rows)
    number = f"{rows} of {total}" if total > rows else str(total)
    # The longest title for which the headings leave room.
    titles = [f" {part.title} ", f" {part.title.split()[-1].capitalize()} ", f" {part.title[:5]}. "]
    if not part.endless:
        titles.insert(0, f" {part.title}, {number} ")
    for title in titles:
        if not line[: len(title)].strip():
            return title + line[len(title) :]
    return line


def _fitted(line: Text, width: int) -> Text:
    """Exactly ``width`` cells of a line."""
    line.truncate(width, pad=True)
    return line


def _side_style(what: str) -> str:
    return "green" if what.startswith("buy") else "red"


def _profit_style(amount: float) -> str:
    return "green" if amount > 0 else "red" if amount < 0 else ""
