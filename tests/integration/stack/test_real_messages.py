"""Messages that others captured from Binance, served as they are, through the whole pipeline.

They stay outside of the repository (tests/support/paths.py says where); without them the tests are
skipped. The replay server knows nothing but their bytes; what they mean is asserted from the
values that index.tsv gives for each file.
"""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from aiohttp import WSCloseCode, web
from aiohttp.test_utils import TestServer

from benchmarks.evidence import EVERY_DUPLICATE
from tests.support.paths import SHARED_FIXTURES
from tests.support.stack_fixture import RunningStack, options_of, running_stack
from tests.support.stack_view import FEED
from tests.support.waiting import eventually

FIXTURES = SHARED_FIXTURES
MESSAGES = FIXTURES / "messages"

# In the order of their event times, 2019 to 2026: the snapshot of 2024 comes with a reconnect.
BEFORE = (
    "binanceusdm/nautilus_mark_price_stream.json",
    "binanceusdm/tardis_binance-futures_02.json",
    "binanceusdm/tardis_binance-futures_04.json",
    "binanceusdm/cmp_binance_linear_swap_all.json",
)
SNAPSHOT = "binanceusdm/bitvigil_premium_index_full_rest.json"
AFTER = (
    "binancecoinm/qr_ws_mark_price_btcusd_perp.json",
    "binanceusdm/cffork_ws_mark_price_btcusdt.json",
    "binanceusdm/md_ws_mark_price_arr_1s_1row.json",
    "binanceusdm/rs_ws_mark_price_arr_2rows.json",
)
FRAMES = (*BEFORE, *AFTER)
FUNDING_INFO = "binanceusdm/kh_funding_info_rest.json"
HISTORY = "binanceusdm/nautilus_funding_rate_history_rest.json"
WITHOUT_RATE = {"BTCBUSD_210129", "BTCUSD_PERP"}
"""A dated contract (T 0, rate 0.00000000), and a COIN-M row (st 2) in a USD-M stream."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not MESSAGES.is_dir(), reason="the captured messages are not here"),
]


def captured(name: str) -> bytes:
    """The bytes of a message."""
    return (MESSAGES / name).read_bytes()


def rows_in(frame: bytes) -> list[dict[str, Any]]:
    """The rows of a stream message, read independently of our code."""
    value = json.loads(frame)
    data = value.get("data", value) if isinstance(value, dict) else value
    return data if isinstance(data, list) else [data]


def symbols_of_all() -> list[str]:
    """Every symbol that occurs in a message."""
    found = {row["s"] for name in FRAMES for row in rows_in(captured(name))}
    return sorted(found | {row["symbol"] for row in json.loads(captured(SNAPSHOT))})


def exchange_info() -> bytes:
    """A contract list for these symbols; the one reply that nobody captured."""
    symbols = [
        {
            "symbol": symbol,
            "status": "TRADING",
            "contractType": "CURRENT_QUARTER" if "_" in symbol else "PERPETUAL",
            "baseAsset": symbol.removesuffix("USDT"),
            "quoteAsset": "USDT",
        }
        for symbol in symbols_of_all()
    ]
    return json.dumps({"timezone": "UTC", "symbols": symbols}).encode()


class Replay:
    """Binance as far as the messages go. The first socket is closed when it has told its part."""

    def __init__(self) -> None:
        self.begin = asyncio.Event()
        self.go_on = asyncio.Event()
        self.snapshots = 0
        self.sockets = 0
        self.late_sent = 0
        self.app = web.Application()
        rest = f"/{FEED}/fapi/v1"
        self.app.router.add_get(f"/{FEED}/market/ws/{{stream}}", self._socket)
        self.app.router.add_get(f"{rest}/premiumIndex", self._premium_index)
        for path, body in (
            ("exchangeInfo", exchange_info()),
            ("fundingInfo", captured(FUNDING_INFO)),
            ("fundingRate", captured(HISTORY)),
            ("time", b'{"serverTime":1791201678000}'),
        ):
            self.app.router.add_get(f"{rest}/{path}", self._fixed(body))

    def _fixed(self, body: bytes) -> Any:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(body=body, content_type="application/json")

        return answer

    async def _premium_index(self, _request: web.Request) -> web.Response:
        self.snapshots += 1
        return web.Response(body=captured(SNAPSHOT), content_type="application/json")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets += 1
        await self.begin.wait()
        if self.sockets == 1:
            for name in BEFORE:
                await socket.send_str(captured(name).decode())
            await socket.close(code=WSCloseCode.GOING_AWAY)
            return socket
        await self.go_on.wait()
        for name in AFTER:
            await socket.send_str(captured(name).decode())
        self.late_sent += 1
        await socket.receive()
        return socket


class Outcome(NamedTuple):
    """What the run left behind."""

    rates: list[dict[str, Any]]
    settlements: list[tuple[Any, ...]]
    dead_letters: float
    no_rate: float
    snapshots: int
    late_sent: int
    duplicates: list[tuple[Any, ...]]


_COLUMNS = (
    "symbol", "rate", "mark_price", "index_price", "next_funding_ms", "event_ms", "interval_hours",
    "interval_source", "rate_8h", "transport", "late",
)  # fmt: skip
_RATES = """
SELECT symbol, rate, mark_price, index_price,
    intDiv(toUnixTimestamp64Micro(next_funding_time), 1000),
    intDiv(toUnixTimestamp64Micro(event_time), 1000),
    interval_hours, interval_source, rate_8h, transport, late
FROM funding.rates FINAL ORDER BY event_time, symbol
"""


async def _count(stack: RunningStack, condition: str) -> int:
    rows = await stack.rows(f"SELECT count() FROM funding.rates FINAL WHERE {condition}")
    return int(rows[0][0])


@asynccontextmanager
async def _replayed(data_dir: Path) -> AsyncIterator[Outcome]:
    replay = Replay()
    async with TestServer(replay.app) as server:
        options = options_of(data_dir, exchange_base_url=str(server.make_url("")).rstrip("/"))
        async with running_stack(options) as stack:
            # The table keeps a week; these are years old.
            await stack.rows("ALTER TABLE funding.rates REMOVE TTL")
            replay.begin.set()

            async def snapshot_stored() -> bool:
                return await _count(stack, "transport = 'rest'") >= 300

            await eventually(snapshot_stored, "the snapshot after the reconnect is stored", 60)
            await stack.drained()
            replay.go_on.set()
            newest = max(row["E"] for name in AFTER for row in rows_in(captured(name)))

            async def newest_stored() -> bool:
                at = f"toUnixTimestamp64Micro(event_time) = {newest * 1_000}"
                return await _count(stack, at) == 2

            await eventually(newest_stored, "the last frame is stored", 60)
            await stack.supervisor.stop_service("producer")
            await stack.drained()
            yield Outcome(
                [dict(zip(_COLUMNS, row, strict=True)) for row in await stack.rows(_RATES)],
                await stack.rows(
                    "SELECT symbol, toUnixTimestamp64Milli(funding_time), rate, interval_hours "
                    "FROM funding.settlements FINAL ORDER BY funding_time"
                ),
                await stack.metric("fundingstream_worker_events_total", "dead_letter"),
                await stack.metric("fundingstream_worker_events_total", "no_rate"),
                replay.snapshots,
                replay.late_sent,
                await stack.rows(EVERY_DUPLICATE),
            )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcome(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outcome]:
    """One run with all messages."""
    async with _replayed(tmp_path_factory.mktemp("replay")) as found:
        yield found


def expectations(name: str) -> list[dict[str, Any]]:
    """What index.tsv expects of a file, one entry a row, in our columns' names and units."""
    with (FIXTURES / "index.tsv").open(encoding="utf-8", newline="") as lines:
        by_file = {row["file"]: row for row in csv.DictReader(lines, delimiter="\t")}
    expected = json.loads(by_file[name]["expected"])
    if "tardis_derivative_ticker" in expected:
        entries = expected["tardis_derivative_ticker"]
    elif "0" in expected:
        entries = [expected[key] for key in sorted(expected) if key.isdigit()]
    else:
        entries = [expected]
    return [_in_our_terms(entry) for entry in entries]


def _in_our_terms(entry: dict[str, Any]) -> dict[str, Any]:
    readers: dict[str, tuple[str, Any]] = {
        "symbol": ("symbol", str),
        "pair": ("symbol", lambda text: text.replace("/", "")),
        "funding_rate": ("rate", float),
        "fundingRate": ("rate", float),
        "mark_price": ("mark_price", float),
        "markPrice": ("mark_price", float),
        "index_price": ("index_price", float),
        "indexPrice": ("index_price", float),
        "next_funding_ms": ("next_funding_ms", int),
        "next_funding_s": ("next_funding_ms", lambda seconds: round(seconds * 1_000)),
        "funding_time": ("next_funding_ms", int),
        "fundingTimestamp": ("next_funding_ms", _iso_ms),
        "timestamp": ("event_ms", _event_ms),
        "event_ms": ("event_ms", int),
    }
    return {readers[k][0]: readers[k][1](v) for k, v in entry.items() if k in readers}


def _iso_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def _event_ms(text: str) -> int:
    return int(text) if text.isdigit() else _iso_ms(text)


@pytest.mark.parametrize("name", FRAMES)
def test_each_frame_gives_the_values_that_its_source_expects(outcome: Outcome, name: str) -> None:
    """Rate, prices and times as the capturing project reads them; no row where there is no rate."""
    sent = rows_in(captured(name))
    wanted = expectations(name)
    assert len(wanted) == len(sent)
    for row, want in zip(sent, wanted, strict=True):
        got = [
            rate
            for rate in outcome.rates
            if (rate["symbol"], rate["event_ms"]) == (row["s"], row["E"])
        ]
        if row["s"] in WITHOUT_RATE:
            assert got == []
            continue
        assert len(got) == 1
        assert {key: got[0][key] for key in want} == want
        assert (got[0]["transport"], got[0]["late"]) == ("ws", False)
        # Beyond what the index states: the frame's own text, to the last digit.
        assert got[0]["rate"] == float(row["r"])
        assert got[0]["mark_price"] == float(row["p"])
        assert got[0]["index_price"] == float(row["i"])
        assert got[0]["next_funding_ms"] == row["T"]


def test_the_snapshot_gives_each_contracts_rate_and_none_for_dated_ones(outcome: Outcome) -> None:
    """379 rows over REST after a reconnect: 375 rates, 4 dated contracts without one."""
    rows = json.loads(captured(SNAPSHOT))
    with (FIXTURES / "index.tsv").open(encoding="utf-8", newline="") as lines:
        by_file = {row["file"]: row for row in csv.DictReader(lines, delimiter="\t")}
    stated = json.loads(by_file[SNAPSHOT]["expected"])
    assert stated["rows"] == len(rows)
    perpetual = {row["symbol"]: row for row in rows if row["nextFundingTime"]}
    got = {rate["symbol"]: rate for rate in outcome.rates if rate["transport"] == "rest"}
    assert len(got) == sum(rate["transport"] == "rest" for rate in outcome.rates)
    assert got.keys() == perpetual.keys()
    for symbol, row in perpetual.items():
        rate = got[symbol]
        assert rate["rate"] == float(row["lastFundingRate"])
        assert rate["mark_price"] == (float(row["markPrice"]) or None)
        assert rate["next_funding_ms"] == row["nextFundingTime"]
        assert (rate["event_ms"], rate["late"]) == (stated["time"], False)


def test_intervals_come_from_funding_info_and_are_else_marked_as_assumed(outcome: Outcome) -> None:
    """BTCUSDT and ETHUSDT are in the captured reply; the others are not."""
    listed = {row["symbol"] for row in json.loads(captured(FUNDING_INFO))}
    assert expectations(FUNDING_INFO)
    sources = {(rate["symbol"] in listed, rate["interval_source"]) for rate in outcome.rates}
    assert sources == {(True, "exchange_info"), (False, "assumed")}
    assert {rate["interval_hours"] for rate in outcome.rates} == {8.0}
    assert all(rate["rate_8h"] == rate["rate"] for rate in outcome.rates)


def test_settled_rates_are_those_of_the_reply(outcome: Outcome) -> None:
    """−3.75 % and 0.01 %, eight hours apart."""
    assert outcome.settlements == [
        ("BTCUSDT", 1570608000000, -0.0375, 8.0),
        ("BTCUSDT", 1570636800000, 0.0001, 8.0),
    ]


def test_rows_without_a_rate_are_counted_and_nothing_is_unreadable(outcome: Outcome) -> None:
    """The dated contract and the COIN-M row; snapshots leave the dated rows out."""
    assert outcome.snapshots >= 1
    assert outcome.late_sent >= 1
    assert outcome.no_rate == 1 + outcome.late_sent
    assert outcome.dead_letters == 0
    assert outcome.duplicates == []


def test_nothing_else_is_stored(outcome: Outcome) -> None:
    """One row for each rate that was sent, and not one more."""
    streamed = sum(
        row["s"] not in WITHOUT_RATE for name in FRAMES for row in rows_in(captured(name))
    )
    rest = sum(bool(row["nextFundingTime"]) for row in json.loads(captured(SNAPSHOT)))
    assert len(outcome.rates) == streamed + rest
