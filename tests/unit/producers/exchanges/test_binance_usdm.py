"""The walk over settled history: every row at least once, whatever settles when, and an end."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.binance import HISTORY_LIMIT
from producers.exchanges.binance_usdm import WindowWalk
from producers.exchanges.spec import Slice
from schemas.errors import MalformedInputError

Row = tuple[int, str]
SYMBOLS = [f"S{number}USDT" for number in range(6)]
SINCE_MS, UNTIL_MS = 1_000, 1_060

settled = st.sets(st.tuples(st.integers(SINCE_MS, UNTIL_MS), st.sampled_from(SYMBOLS)))
# Few instants and many contracts: pages fill up within one timestamp.
crowded = st.sets(
    st.tuples(st.sampled_from([SINCE_MS, 1_030, 1_031, UNTIL_MS]), st.sampled_from(SYMBOLS))
)


def answer(rows: Iterable[Row], params: dict[str, str]) -> list[Row]:
    """Answer as docs/exchanges/binance-usdm.md §9b describes it, the slow way."""
    start, end = int(params["startTime"]), int(params["endTime"])
    found = [
        (at, symbol)
        for at, symbol in sorted(rows)
        if start <= at <= end and params.get("symbol") in {None, symbol}
    ]
    return found[: int(params["limit"])]


def text_of(row: Row) -> bytes:
    """The text of one row; no two are alike."""
    return json.dumps({"symbol": row[1], "fundingTime": row[0], "fundingRate": "1e-4"}).encode()


def page_of(rows: Iterable[Row]) -> bytes:
    """The body of a reply."""
    return b"[" + b", ".join(text_of(row) for row in rows) + b"]"


class Driven:
    """A walk driven to its end against a set of settlements."""

    def __init__(
        self, rows: set[Row], symbols: list[str] = SYMBOLS, limit: int = HISTORY_LIMIT
    ) -> None:
        self.taken: list[bytes] = []
        self.calls: list[dict[str, str]] = []
        walk = WindowWalk(symbols, SINCE_MS, UNTIL_MS, limit)
        progress = walk.progress
        # Each call of the slowest walk (each symbol apart) brings a row or ends a symbol.
        bound = 2 * (len(rows) + len(symbols)) + 4
        while (call := walk.next_call()) is not None:
            assert call.costs == {"funding": 1}
            self.calls.append(dict(call.params))
            assert len(self.calls) <= bound, "the walk does not come to an end"
            page = walk.take(page_of(answer(rows, self.calls[-1])))
            self.taken += [piece.payload for piece in page.slices]
            for piece in page.slices:
                assert json.loads(piece.payload)["symbol"] == piece.symbol
            assert progress <= walk.progress <= 1.0
            progress = walk.progress
            position = round(SINCE_MS + progress * (UNTIL_MS - SINCE_MS))
            before = {text_of(row) for row in rows if row[0] < position and row[1] in symbols}
            assert before <= set(self.taken), "the progress is ahead of what was taken"
        assert walk.progress == 1.0

    @property
    def by_symbol(self) -> bool:
        """Whether the walk had to ask for each symbol apart."""
        return any("symbol" in call for call in self.calls)


@given(settled | crowded, st.integers(1, 9))
def test_every_settlement_is_taken(rows: set[Row], limit: int) -> None:
    """At least once, byte for byte, for every page size."""
    assert set(Driven(rows, limit=limit).taken) == {text_of(row) for row in rows}


@given(settled, st.integers(7, 20))
def test_nothing_is_taken_twice_while_pages_outgrow_a_timestamp(rows: set[Row], limit: int) -> None:
    """With pages larger than the number of contracts, each row comes exactly once."""
    driven = Driven(rows, limit=limit)
    assert not driven.by_symbol
    assert sorted(driven.taken) == sorted(text_of(row) for row in rows)


def test_a_page_that_ends_inside_a_timestamp_loses_none_of_it() -> None:
    """The next page begins at that timestamp, without the rows that were taken."""
    rows = {(1_010, "S0USDT"), *((1_020, symbol) for symbol in SYMBOLS), (1_030, "S0USDT")}
    driven = Driven(rows, limit=4)
    assert [call["startTime"] for call in driven.calls[:2]] == ["1000", "1020"]
    assert {text_of(row) for row in rows} == set(driven.taken)


def test_a_page_of_a_single_timestamp_leads_to_each_symbol_apart() -> None:
    """And then nothing later is skipped: the symbols are walked up to the very end."""
    later = {(1_050, "S1USDT"), (UNTIL_MS, "S5USDT")}
    rows = {(1_010, "S0USDT"), *((1_020, symbol) for symbol in SYMBOLS), *later}
    driven = Driven(rows, limit=2)
    assert driven.by_symbol
    assert {call["symbol"] for call in driven.calls if "symbol" in call} == set(SYMBOLS)
    assert {call["endTime"] for call in driven.calls} == {str(UNTIL_MS)}
    assert {text_of(row) for row in rows} == set(driven.taken)


def test_a_symbol_with_more_rows_than_a_page_is_paged_too() -> None:
    """Apart from the others, a contract still has its own pages."""
    rows = {
        *((1_000, symbol) for symbol in SYMBOLS),
        *((at, "S3USDT") for at in range(1_001, 1_030)),
    }
    driven = Driven(rows, limit=3)
    assert driven.by_symbol
    assert {text_of(row) for row in rows} == set(driven.taken)


def settlement(symbol: str, at_ms: int, rate: str, kind: str) -> bytes:
    """A row as Binance sends it since it has two kinds."""
    row = {"symbol": symbol, "fundingTime": at_ms, "fundingRate": rate, "rateType": kind}
    return json.dumps(row).encode()


@pytest.mark.parametrize("limit", [2, 3, 4, 5])
@pytest.mark.parametrize("special_first", [False, True])
def test_two_settlements_of_one_contract_and_stamp_are_both_taken(
    limit: int,
    special_first: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """A regular and a special one, wherever a page ends between them; also symbol by symbol."""
    pair = [
        settlement("S1USDT", 1_020, "0.00003", "Regular"),
        settlement("S1USDT", 1_020, "-0.00171", "Special"),
    ]
    rows = [
        settlement("S0USDT", 1_010, "0.00001", "Regular"),
        *(pair[::-1] if special_first else pair),
        settlement("S2USDT", 1_020, "0.00004", "Regular"),
        settlement("S1USDT", 1_030, "0.00005", "Regular"),
    ]
    walk = WindowWalk(["S0USDT", "S1USDT", "S2USDT"], SINCE_MS, UNTIL_MS, limit)
    taken: list[bytes] = []
    for _ in range(30):
        if (call := walk.next_call()) is None:
            break
        found = [
            text
            for text in rows
            if int(call.params["startTime"]) <= json.loads(text)["fundingTime"] <= UNTIL_MS
            and call.params.get("symbol") in {None, json.loads(text)["symbol"]}
        ]
        page = walk.take(b"[" + b",".join(found[:limit]) + b"]")
        taken += [piece.payload for piece in page.slices]
    assert walk.next_call() is None
    assert set(taken) == set(rows)


@pytest.mark.parametrize("count", [999, 1_000, 1_001, 2_000])
def test_full_pages_of_the_real_size(count: int) -> None:
    """At the exchange's own limit a full page is followed by one more."""
    rows = [(SINCE_MS + number // 40, f"S{number % 40}USDT") for number in range(count)]
    driven = Driven(set(rows), sorted({symbol for _, symbol in rows}))
    assert len(driven.calls) == 1 + (count >= 1_000) + (count >= 2_000)
    assert len(driven.taken) == count


def test_an_empty_span_asks_nothing() -> None:
    """Since after until: there is nothing to ask for."""
    walk = WindowWalk(SYMBOLS, UNTIL_MS, SINCE_MS)
    assert walk.next_call() is None
    assert walk.progress == 1.0


def test_a_single_timestamp_without_known_symbols_ends() -> None:
    """Without a contract list there is nobody to ask for apart."""
    rows = {(1_020, symbol) for symbol in SYMBOLS}
    driven = Driven(rows, [], limit=2)
    assert not driven.by_symbol


def test_an_unreadable_page_changes_nothing() -> None:
    """The same page can be asked for again."""
    walk = WindowWalk(SYMBOLS, SINCE_MS, UNTIL_MS)
    call = walk.next_call()
    for body in (b"", b"<html>", b'[{"symbol":"A"}]', b'{"code":-1000}'):
        with pytest.raises(MalformedInputError):
            walk.take(body)
        assert walk.next_call() == call
    assert walk.progress == 0.0


def test_an_odd_row_costs_no_other() -> None:
    """It is cut out as it came, counts where the exchange counts, and the walk goes on."""
    walk = WindowWalk(SYMBOLS, SINCE_MS, UNTIL_MS, limit=3)
    odd = b'{"symbol":"B","fundingTime":null}'
    first, last = text_of((1_010, "S0USDT")), text_of((1_020, "S1USDT"))
    page = walk.take(b"[" + b",".join([first, last, odd]) + b"]")
    assert list(page.slices) == [
        Slice("S0USDT", first),
        Slice("S1USDT", last),
        Slice(None, odd, readable=False),
    ]
    call = walk.next_call()
    assert call is not None
    assert call.params["startTime"] == "1020"
