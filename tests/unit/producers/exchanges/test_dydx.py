"""dYdX's description: what the page of the indexer names as a trap."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from producers.exchanges.dydx import EXCHANGE
from producers.exchanges.spec import Slice
from producers.policy.merging import Merging
from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from stream_app.model import NoRate, RateUpdate, SettlementUpdate
from stream_app.normalise.dydx import normalise
from tests.support.paths import SHARED_FIXTURES
from tests.venues.samples import RECEIVED_AT_US

HOUR_MS = 3_600_000
NOW_MS = 1_790_000_000_000
WHOLE = {"ticker": "A-USD", "status": "ACTIVE", "oraclePrice": "2.5", "nextFundingRate": "0.00002"}


def message(contents: Any, number: int = 1, kind: str = "channel_data") -> bytes:
    """A message of the markets' channel."""
    told = {"type": kind, "message_id": number, "channel": "v4_markets", "contents": contents}
    return json.dumps(told).encode()


class Connection:
    """What a connection publishes of its messages."""

    def __init__(self) -> None:
        self.merging = Merging(EXCHANGE.row_fields, EXCHANGE.row_terms)
        self.incomplete: list[str] = []

    def take(self, text: bytes) -> list[Slice]:
        """The completed pieces of a message."""
        done = self.merging.complete("c", EXCHANGE.slice_frame(text).slices)
        self.incomplete += done.incomplete
        return done.slices

    def rates(self, text: bytes) -> list[Any]:
        """What they mean."""
        return [
            update
            for piece in self.take(text)
            for update in normalise(
                "stream", "v4_markets", piece.symbol or "", piece.payload, RECEIVED_AT_US
            )
        ]


def test_a_change_without_a_rate_keeps_the_rate() -> None:
    """It is no rate of 0, and the contract is heard all the same (§2)."""
    connection = Connection()
    (first,) = connection.rates(message({"markets": {"A-USD": WHOLE}}, kind="subscribed"))
    (second,) = connection.rates(
        message({"trading": {"A-USD": {"id": "7", "openInterest": "20716.853"}}})
    )
    assert isinstance(second, RateUpdate)
    assert second == first
    (third,) = connection.rates(message({"trading": {"A-USD": {"nextFundingRate": "-0.5"}}}))
    assert (third.rate, third.index_price) == (-0.5, 2.5)


def test_rates_and_oracle_prices_complete_each_other() -> None:
    """They come in parts of their own, several of them in an array where they are batched (§1)."""
    connection = Connection()
    connection.take(message({"markets": {"A-USD": WHOLE}}, kind="subscribed"))
    (update,) = connection.rates(
        message({"oraclePrices": {"A-USD": {"oraclePrice": "3", "marketId": 1}}})
    )
    assert (update.rate, update.index_price) == (0.00002, 3.0)
    batch = [
        {"trading": {"A-USD": {"nextFundingRate": "0.1"}}},
        {"oraclePrices": {"A-USD": {"oraclePrice": "4"}}},
    ]
    for kind in ("channel_data", "channel_batch_data"):
        found = connection.rates(message(batch, kind=kind))
        assert [(one.rate, one.index_price) for one in found][-1] == (0.1, 4.0)


def test_a_market_that_is_paused_has_no_rate_until_it_is_active() -> None:
    """The state comes with the changes (§3)."""
    connection = Connection()
    connection.take(message({"markets": {"A-USD": WHOLE}}, kind="subscribed"))
    paused = message({"trading": {"A-USD": {"status": "PAUSED", "nextFundingRate": "0.1"}}})
    assert connection.rates(paused) == [NoRate("A-USD", "the market is PAUSED", halted=True)]
    (update,) = connection.rates(message({"trading": {"A-USD": {"status": "ACTIVE"}}}))
    assert update.rate == 0.1


def test_a_change_of_a_market_that_was_not_in_the_snapshot_is_incomplete() -> None:
    """It is left out, and asked for again."""
    connection = Connection()
    connection.take(message({"markets": {"A-USD": WHOLE}}, kind="subscribed"))
    assert connection.take(message({"trading": {"B-USD": {"nextFundingRate": "0.1"}}})) == []
    assert connection.incomplete == ["B-USD"]


def test_a_row_that_names_every_field_is_whole() -> None:
    """A market that is new comes so with the changes."""
    connection = Connection()
    (piece,) = connection.take(message({"trading": {"A-USD": WHOLE}}))
    assert piece.symbol == "A-USD"
    (update,) = connection.rates(message({"oraclePrices": {"A-USD": {"oraclePrice": "3"}}}))
    assert update.mark_price == 3.0


@pytest.mark.parametrize("contents", [None, {}, []])
def test_a_message_without_contents_is_empty(contents: object) -> None:
    """Null and absent ones too."""
    assert EXCHANGE.slice_frame(message(contents)).slices == []
    absent = b'{"type":"channel_data","channel":"v4_markets","message_id":4}'
    assert EXCHANGE.slice_frame(absent).slices == []


def test_messages_are_counted() -> None:
    """Whatever they bring: a hole shows that one was lost (§1)."""
    texts = (
        b'{"type":"connected","connection_id":"c","message_id":0}',
        message({"markets": {}}, 1, "subscribed"),
        message({"trading": {}}, 2),
        b'{"type":"error","message":"no","message_id":3}',
        b'{"type":"channel_data","channel":"v4_trades","message_id":4,"contents":{}}',
    )
    assert [EXCHANGE.slice_frame(text).sequence for text in texts] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"type":5}',
        message([5]),
        message({"trading": []}),
        message("x"),
        message({"markets": {"A-USD": "x"}})[:-9],
    ],
)
def test_what_is_no_message_is_malformed(text: bytes) -> None:
    """It goes to the dead letters."""
    with pytest.raises(MalformedInputError):
        EXCHANGE.slice_frame(text)


def test_long_names_are_markets() -> None:
    """Anybody may list one; the path of the history call is escaped (§3)."""
    name = "BUFFI,uniswap_v3,0x4c1b1302220d7de5c22b495e78b72f2dd2457d45-USD"
    (piece,) = EXCHANGE.slice_frame(message({"trading": {name: {"nextFundingRate": "0"}}})).slices
    assert (piece.symbol, piece.readable) == (name, True)
    call = EXCHANGE.history([name], NOW_MS - HOUR_MS, NOW_MS).next_call()
    assert call is not None
    assert call.path == f"/v4/historicalFunding/{name.replace(',', '%2C')}"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, ContractStatus.TRADING),
        ({"status": "CANCEL_ONLY"}, ContractStatus.HALTED),
        ({"status": "INITIALIZING"}, ContractStatus.PRE_LAUNCH),
        ({"status": "FINAL_SETTLEMENT"}, ContractStatus.DELISTED),
        ({"status": "NEWS"}, ContractStatus.HALTED),
        ({"oraclePrice": None}, ContractStatus.HALTED),
        ({"oraclePrice": ""}, ContractStatus.HALTED),
        ({"oraclePrice": "0"}, ContractStatus.HALTED),
        ({"oraclePrice": "?"}, ContractStatus.TRADING),
        ({"status": 5}, ContractStatus.HALTED),
        ({"ticker": None}, ContractStatus.TRADING),
    ],
)
def test_only_an_active_market_with_a_price_trades(
    change: dict[str, Any], status: ContractStatus
) -> None:
    """Many are dead (§3)."""
    (call, _) = EXCHANGE.fact_calls
    body = json.dumps({"markets": {"A-USD": {**WHOLE, **change}}}).encode()
    listings = EXCHANGE.listings(call, EXCHANGE.slice_reply(call, body))
    assert [(one.symbol, one.status) for one in listings or ()] == [("A-USD", status)]


def test_volatile_fields_do_not_republish_the_list() -> None:
    """A price that moves is none, one that goes is a fact (§3)."""

    def identity(**change: Any) -> bytes:
        payload = json.dumps({**WHOLE, **change}).encode()
        return EXCHANGE.fact_identity("perpetualMarkets", payload)

    assert identity() == identity(oraclePrice="99", nextFundingRate="1", volume24H="5")
    assert identity() != identity(oraclePrice=None)
    assert identity(oraclePrice="0") == identity(oraclePrice=None)
    assert identity() != identity(status="PAUSED")


def test_a_month_of_history_is_one_call_newest_first() -> None:
    """And goes on before the oldest row where a page is full (§4b)."""
    since_ms = NOW_MS - 33 * 24 * HOUR_MS
    walk = EXCHANGE.history(["A-USD"], since_ms, NOW_MS)
    call = walk.next_call()
    assert call is not None
    assert call.params == {"limit": "795", "effectiveBeforeOrAt": "2026-09-21T14:13:20.000Z"}
    times_ms = range(NOW_MS // HOUR_MS * HOUR_MS + 391, since_ms, -HOUR_MS)
    rows = [
        {
            "ticker": "A-USD",
            "rate": "0",
            "effectiveAt": f"{datetime.fromtimestamp(at // 1_000, UTC):%Y-%m-%dT%H:%M:%S}.391Z",
        }
        for at in times_ms
    ]
    page = walk.take(json.dumps({"historicalFunding": rows}).encode())
    assert walk.next_call() is None
    stamps = [json.loads(piece.payload)["effectiveAt"] for piece in page.slices]
    assert stamps == sorted(stamps)
    assert len(stamps) == len(times_ms)


def test_captured_history_is_read() -> None:
    """Of 2025-12-08: 0.1 to 0.6 s late (§4b)."""
    path = SHARED_FIXTURES / "messages" / "dydx" / "nt_historical_funding_rest.json"
    if not path.exists():
        pytest.skip("the captured messages are not here")
    walk = EXCHANGE.history(["BTC-USD"], 1_765_100_000_000, 1_765_300_000_000)
    walk.next_call()
    pieces = walk.take(path.read_bytes()).slices
    found = [
        update
        for piece in pieces
        for update in normalise(
            "history", "historicalFunding", "BTC-USD", piece.payload, RECEIVED_AT_US
        )
    ]
    newest = found[-1]
    assert isinstance(newest, SettlementUpdate)
    assert (newest.rate, newest.funding_time_raw) == (0.000002375, 1_765_209_600_219_000)
    assert len(found) == 3
