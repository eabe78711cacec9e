"""Messages that others captured from four exchanges mean what their sources expect.

They stay outside of the repository (tests/support/paths.py says where); without them the tests are
skipped. What a producer cuts out of a message is cut here by json, independently of ours.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Update,
)
from tests.fuzz.samples import normaliser_of
from tests.support.paths import SHARED_FIXTURES

FIXTURES = SHARED_FIXTURES
MESSAGES = FIXTURES / "messages"

pytestmark = pytest.mark.skipif(not MESSAGES.is_dir(), reason="the captured messages are not here")


def at_us(text: str) -> int:
    """A UTC time in µs."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


def message(name: str) -> Any:
    """A captured message, or the last one of a session."""
    text = (MESSAGES / name).read_text(encoding="utf-8")
    return json.loads(text.splitlines()[-1] if name.endswith(".jsonl") else text)


def expected(name: str) -> dict[str, Any]:
    """What index.tsv states of a message; of several entries the first."""
    with (FIXTURES / "index.tsv").open(encoding="utf-8", newline="") as lines:
        by_file = {row["file"]: row for row in csv.DictReader(lines, delimiter="\t")}
    stated: dict[str, Any] = json.loads(by_file[name]["expected"])
    for key in ("0", "tardis_derivative_ticker"):
        if key in stated:
            entry = stated[key]
            return dict(entry[0] if isinstance(entry, list) else entry)
    return stated


def read(
    feed: str, purpose: Purpose, channel: str, symbol: str, row: Any, received_at_us: int
) -> Sequence[Update]:
    """The readings of a row as it stands in a message."""
    payload = json.dumps(row).encode()
    return normaliser_of(feed)(purpose, channel, symbol, payload, received_at_us)


def stated_in(update: RateUpdate, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What a reading has for the keys that the index states, in the index's own terms."""
    time_ms = None if update.event_time is None else update.event_time // 1_000
    next_ms = None if update.next_funding_time is None else update.next_funding_time // 1_000
    ours: dict[str, Any] = {
        "symbol": update.symbol,
        "coin": update.symbol,
        "pair": update.symbol.replace("USD_PERP", "/USD"),
        "funding_rate": update.rate,
        "fundingRate": update.rate,
        "funding": update.rate,
        "mark_price": update.mark_price,
        "index_price": update.index_price,
        "oracle_px": update.index_price,
        "next_funding_ms": next_ms,
        "funding_time": next_ms,
        "interval_ms": update.interval_hours and update.interval_hours * 3_600_000,
        "timestamp": time_ms,
    }
    return {key: ours[key] for key in stated}


def in_numbers(stated: Mapping[str, Any]) -> dict[str, Any]:
    """The index's values as numbers, its ISO times in ms."""
    texts = {"symbol", "coin", "pair"}

    def value_of(value: Any) -> Any:
        if isinstance(value, str) and value.endswith("Z"):
            return round(datetime.fromisoformat(value).timestamp() * 1_000)
        return None if value is None else float(value)

    return {key: value if key in texts else value_of(value) for key, value in stated.items()}


RATES: tuple[tuple[str, str, Purpose, str, str, str], ...] = (
    # file, feed, purpose, channel, symbol, received at
    *(
        (f"binancecoinm/{name}.json", "binance-coinm", "stream", "markPrice", "BTCUSD_PERP", at)
        for name, at in (
            ("cmp_binance_inverse_swap", "2021-04-01T20:37:57.2"),
            ("qr_ws_mark_price_btcusd_perp", "2026-07-28T11:51:56.2"),
        )
    ),
    *(
        (
            f"kucoinfutures/{name}_rest.json",
            "kucoin",
            "fallback",
            "contracts/active",
            "XBTUSDTM",
            at,
        )
        for name, at in (
            ("go_contract_detail", "2026-04-07T21:00:00"),
            ("vm_contracts_active_row", "2026-08-19T17:00:00"),
        )
    ),
    *(
        (
            f"kucoinfutures/{name}.json",
            "kucoin",
            "stream",
            "instrument:funding.rate",
            symbol,
            "2026-09-22T22:01:01",
        )
        for name, symbol in (
            ("obs_classic_funding_rate", "XBTUSDTM"),
            ("tardis_kucoin-futures_02", "XBTUSDTM"),
            ("rust_instrument_all_funding_rate", "IDUSDTM"),
        )
    ),
    *(
        (
            f"hyperliquid/{name}",
            "hyperliquid",
            "stream",
            "activeAssetCtx",
            "BTC",
            "2026-09-24T10:20",
        )
        for name in (
            "kh_ws_session_excerpt.jsonl",
            "obs_ws_active_asset_ctx_BTC.json",
            "rs_ws_active_asset_ctx_BTC.json",
        )
    ),
    (
        "backpack/obs_ws_mark_price_AAPL.json",
        "backpack",
        "stream",
        "markPrice",
        "AAPL.US_USDC_PERP",
        "2026-09-23T03:32:37.9",
    ),
)


def row_of(name: str, feed: str) -> Any:
    """What the producer publishes of a message of one contract."""
    value = message(name)
    if feed == "binance-coinm":
        return value["data"]
    return value["data"] if name.endswith("detail_rest.json") else value


@pytest.mark.parametrize(
    ("name", "feed", "purpose", "channel", "symbol", "at"), RATES, ids=lambda value: value
)
def test_a_message_is_the_rate_that_its_source_expects(
    name: str, feed: str, purpose: Purpose, channel: str, symbol: str, at: str
) -> None:
    """Every value that the index states."""
    (update,) = read(feed, purpose, channel, symbol, row_of(name, feed), at_us(at))
    assert isinstance(update, RateUpdate)
    stated = expected(name)
    assert stated
    assert stated_in(update, stated) == in_numbers(stated)


def test_a_dated_coin_m_contract_has_no_rate() -> None:
    """Of 2020: neither r nor T; its source expects a price and no funding."""
    name = "binancecoinm/tardis_binance-delivery_01.json"
    stated = expected(name)
    assert "fundingRate" not in stated
    symbol = stated["symbol"]
    row = message(name)["data"]
    assert read("binance-coinm", "stream", "markPrice", symbol, row, 0) == (
        NoRate(symbol, "empty rate"),
    )


def test_hyperliquids_contexts_are_joined_by_index() -> None:
    """The first one is the one that its source states."""
    name = "hyperliquid/hummingbot_meta_and_asset_ctxs_rest.json"
    meta, contexts = message(name)
    stated = in_numbers(expected(name))
    received_at_us = at_us("2023-11-15T10:20:30")
    for entry, context in zip(meta["universe"], contexts, strict=True):
        symbol = entry["name"]
        (update,) = read(
            "hyperliquid", "fallback", "metaAndAssetCtxs", symbol, context, received_at_us
        )
        assert isinstance(update, RateUpdate)
        assert update.next_funding_time == at_us("2023-11-15T11:00:00")
        if symbol == stated["coin"]:
            assert stated_in(update, stated) == stated


def test_hyperliquids_settlements_are_those_of_the_reply() -> None:
    """34 rows of 2023, stamped up to 731 ms late, and three of 2026, one without a premium."""
    name = "hyperliquid/sdk_vcr_funding_history_BTC_end.json"
    stated = expected(name)
    rows = message(name)
    assert len(rows) == stated["rows"]
    assert (rows[0], rows[-1]) == (stated["first"], stated["last"])
    later = message("hyperliquid/nautilus_funding_history_rest.json")
    for row in rows + later:
        assert read("hyperliquid", "history", "fundingHistory", "BTC", row, 0) == (
            SettlementUpdate("BTC", row["time"] * 1_000, float(row["fundingRate"])),
        )


def test_hyperliquids_universe_gives_the_facts_of_each_asset() -> None:
    """28 assets of 2023, kPEPE among them."""
    entries = message("hyperliquid/sdk_vcr_meta.json")["universe"]
    facts = {}
    for entry in entries:
        (update,) = read("hyperliquid", "contract", "meta", entry["name"], entry, 0)
        assert isinstance(update, InstrumentUpdate)
        facts[update.symbol] = (update.base, update.multiplier, update.status)
    assert len(facts) == len(entries) == 28
    assert facts["kPEPE"] == ("PEPE", 1000.0, ContractStatus.TRADING)
    assert facts["BTC"] == ("BTC", 1.0, ContractStatus.TRADING)


def test_backpacks_snapshot_is_the_rate_that_its_source_expects() -> None:
    """Of 2025-04-02, the next funding within the eight hours of then."""
    name = "backpack/hummingbot_mark_prices_rest.json"
    stated = expected(name)
    (row,) = message(name)
    (update,) = read(
        "backpack", "fallback", "markPrices", stated["symbol"], row, at_us("2025-04-02T14:10:00")
    )
    assert isinstance(update, RateUpdate)
    assert stated_in(update, stated) == in_numbers(stated)


def test_backpacks_running_interval_is_no_settlement() -> None:
    """Read at 03:23: the first row ends at 04:00 and is an estimate, the second is settled."""
    running, settled = message("backpack/obs_funding_rates_rest.json")
    received_at_us = at_us("2026-09-23T03:23:00")
    symbol = "BTC_USDC_PERP"
    args = ("backpack", "history", "fundingRates", symbol)
    assert read(*args, running, received_at_us) == (NoRate(symbol, "interval still running"),)  # type: ignore[arg-type]
    assert read(*args, settled, received_at_us) == (  # type: ignore[arg-type]
        SettlementUpdate(symbol, at_us("2026-09-23T03:00:00"), 0.000010077),
    )


def test_a_backpack_frame_without_f_i_and_n_has_no_rate() -> None:
    """A frame whose f, i and n are null carries no rate, and its placeholder times are not
    judged.
    """
    name = "backpack/go_ws_mark_price_optional_fields.json"
    assert set(expected(name).values()) == {None}
    assert read("backpack", "stream", "markPrice", "X", message(name), 0) == (
        NoRate("X", "no funding rate"),
    )


@pytest.mark.parametrize(("number", "rate"), [("04", 0.000039), ("06", 0.000038)], ids=str)
def test_kucoins_classic_settled_rates_are_no_estimates(number: str, rate: float) -> None:
    """Granularity 28800000. Their source makes tickers of them: "do not copy"
    (docs/exchanges/kucoin.md §B).
    """
    name = f"kucoinfutures/tardis_kucoin-futures_{number}.json"
    stated = in_numbers(expected(name))
    assert stated["fundingRate"] == rate
    assert read("kucoin", "stream", "instrument:funding.rate", "XBTUSDTM", message(name), 0) == (
        SettlementUpdate(
            "XBTUSDTM",
            int(stated["timestamp"]) * 1_000,
            rate,
            source="stream",
            interval_hours=8.0,
        ),
    )


def test_kucoins_announcement_is_a_settlement() -> None:
    """Of the documentation of 2019."""
    name = "kucoinfutures/go_doc_funding_begin.json"
    stated = in_numbers(expected(name))
    assert read(
        "kucoin", "stream", "announcement:funding.begin", stated["symbol"], message(name), 0
    ) == (
        SettlementUpdate(
            stated["symbol"],
            int(stated["funding_ms"]) * 1_000,
            stated["funding_rate"],
            source="stream",
        ),
    )


def test_kucoins_history_is_read_in_its_notation() -> None:
    """-3.5E-5 and 6.5E-5, eight hours apart, byte for byte."""
    text = (MESSAGES / "kucoinfutures/vm_funding_rates_history_rest.json").read_text()
    pieces = text[text.index("[") + 1 : text.rindex("]")].replace("},{", "}\n{").splitlines()
    read_rows = [
        normaliser_of("kucoin")("history", "funding-rates", "XBTUSDTM", piece.encode(), 0)[0]
        for piece in pieces
    ]
    assert read_rows == [
        SettlementUpdate("XBTUSDTM", 1_787_155_200_000_000, -0.000035),
        SettlementUpdate("XBTUSDTM", 1_787_126_400_000_000, 0.000065),
    ]


def test_kucoins_contract_row_gives_the_facts() -> None:
    """Of 2026-08-19."""
    row = message("kucoinfutures/vm_contracts_active_row_rest.json")
    assert read("kucoin", "contract", "contracts/active", "XBTUSDTM", row, 0) == (
        InstrumentUpdate(
            "XBTUSDTM",
            base="BTC",
            quote="USDT",
            multiplier=1.0,
            status=ContractStatus.TRADING,
            status_word="Open",
            interval_hours=8.0,
            rate_cap=0.003,
            rate_floor=-0.003,
            turnover_24h=719993040.669,
            open_interest=28127482 * 0.001 * 67810.0,
        ),
    )


@pytest.mark.parametrize(
    ("name", "feed", "purpose", "channel"),
    [
        ("backpack/obs_ws_error_invalid_stream.json", "backpack", "stream", "markPrice"),
        ("hyperliquid/obs_ws_error_parse.json", "hyperliquid", "stream", "activeAssetCtx"),
        (
            "hyperliquid/rs_ws_error_already_unsubscribed.json",
            "hyperliquid",
            "stream",
            "activeAssetCtx",
        ),
        ("hyperliquid/rs_ws_subscription_response.json", "hyperliquid", "stream", "activeAssetCtx"),
        *(
            (f"kucoinfutures/{name}.json", "kucoin", "stream", "funding-fee-all-symbols")
            for name in ("obs_uta_ack", "obs_uta_mark_price", "obs_uta_refusal", "obs_uta_welcome")
        ),
        *(
            (f"kucoinfutures/{name}.json", "kucoin", "stream", "instrument:funding.rate")
            for name in (
                "obs_classic_error_404",
                "obs_classic_pong",
                "go_live_snapshot_24h",
                "sdkdoc_ws_instrument_mark",
            )
        ),
        (
            "kucoinfutures/obs_error_funding_not_supported_rest.json",
            "kucoin",
            "fallback",
            "contracts/active",
        ),
    ],
    ids=lambda value: value,
)
def test_a_message_without_a_rate_is_refused(
    name: str, feed: str, purpose: Purpose, channel: str
) -> None:
    """Acks, pongs, errors, prices: none is read as a rate, should one reach a contract's item."""
    with pytest.raises(MalformedInputError):
        read(feed, purpose, channel, "XBTUSDTM", message(name), 0)
