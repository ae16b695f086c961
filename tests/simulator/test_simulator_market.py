"""Symbols, prices, and the seeded walk."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Dict, List, Tuple

import pytest

from onetrade_ws.simulator import Simulator
from tests.simulator.plain_client import PlainClient


def walk(seed: int, steps: int = 20) -> List[Tuple[Any, ...]]:
    """Every price frame of a seeded walk."""
    with Simulator(live=False, seed=seed) as sim:
        client = PlainClient(sim)
        for symbol in sim.symbols:
            client.send("market_subscribe_symbol", symbol["id"])
        client.sync()
        sim.step_market(steps)
        frames = [tuple(event.data) for event in client.sync()]
        client.close()
    return frames


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    first = walk(5)
    assert len(first) == 20 * 12
    assert first == walk(5)
    assert first != walk(6)


def test_there_are_a_dozen_symbols_of_which_the_first_is_eurusd(sim: Simulator) -> None:
    symbols = sim.symbols
    assert [symbol["id"] for symbol in symbols] == list(range(1, 13))
    assert symbols[0]["symbol"] == "EURUSD"
    assert len({symbol["symbol"] for symbol in symbols}) == 12
    for symbol in symbols:
        assert symbol["tick_size"] == 10 ** -symbol["digits"]
        assert 0 < symbol["min_value"] < symbol["max_value"]
        assert symbol["spread"] > 0
        assert symbol["desc"]
    by_name: Dict[str, Any] = {symbol["symbol"]: symbol for symbol in symbols}
    assert by_name["EURUSD"]["tick_value"] == 1
    assert by_name["USDJPY"]["tick_value"] == round(100 / 151.243, 6)
    assert by_name["XAUUSD"]["contract_size"] == 100


def test_prices_keep_their_digits_and_stay_sensible() -> None:
    starts = {frame[0]: frame for frame in walk(1, 1)}
    digits = {str(symbol["id"]): symbol["digits"] for symbol in Simulator(live=False).symbols}
    for symbol_id, bid, ask, last, volume, high, low in walk(1, 300):
        for price in (bid, ask, last, high, low):
            assert len(price.partition(".")[2]) == digits[symbol_id]
        assert Decimal(low) <= Decimal(bid) <= Decimal(high)
        assert Decimal(bid) < Decimal(ask)
        assert last == bid
        assert int(volume) > 0
        assert abs(Decimal(bid) / Decimal(starts[symbol_id][1]) - 1) < Decimal("0.05")


def test_prices_can_be_set_in_any_notation(sim: Simulator, watcher: PlainClient) -> None:
    sim.quote(1, 1)
    sim.quote(1, Decimal("1.234565"), 1.3)
    sim.quote(1, 1.1, last=Decimal("1.15"), volume=2.5)
    frames = [",".join(event.data) for event in watcher.sync()]
    assert frames == [
        "1,1.00000,1.00008,1.00000,1,1.08512,1.00000",
        "1,1.23457,1.30000,1.23457,2,1.23457,1.00000",
        "1,1.10000,1.10008,1.15000,2.5,1.23457,1.00000",
    ]
    assert sim.symbols[0]["spread"] == 8


@pytest.mark.parametrize(
    ("bid", "ask", "last", "message"),
    [
        (0, None, None, "above zero"),
        (-1, None, None, "above zero"),
        (0.000001, None, None, "above zero"),
        (1, None, 0, "above zero"),
        (1, 0.9, None, "below the bid"),
        (float("inf"), None, None, "bid must be a number"),
        ("1.1", None, None, "bid must be a number"),
    ],
)
def test_an_impossible_price_is_a_value_error_and_nothing_happens(
    sim: Simulator, watcher: PlainClient, bid: Any, ask: Any, last: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sim.quote(1, bid, ask, last=last)
    assert watcher.sync() == []


def test_the_walk_goes_on_from_a_price_that_was_set(sim: Simulator, watcher: PlainClient) -> None:
    sim.quote(1, 2)
    sim.step_market(50)
    bids = [Decimal(event.data[1]) for event in watcher.sync()]
    assert len(bids) == 51
    assert all(abs(bid - 2) < Decimal("0.01") for bid in bids)


def test_a_walk_never_reaches_zero(sim: Simulator, watcher: PlainClient) -> None:
    sim.quote(1, 0.00001)
    sim.step_market(100)
    assert all(Decimal(event.data[1]) > 0 for event in watcher.sync())
