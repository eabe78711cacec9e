"""Binance USD-M payloads: each documented edge case of docs/exchanges/binance-usdm.md §6-9 and
README.md §8.3.

In every row each field has a value of its own, so that no field can be read for another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import ConfigurationError, MalformedInputError
from schemas.records import Purpose
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Unreadable,
    Update,
)
from stream_app.normalise import normaliser
from stream_app.normalise.binance_usdm import normalise

# binance-usdm.md §6, captured 2026-10-06, with `ap` moved away from `p`.
ROW: dict[str, Any] = {
    "e": "markPriceUpdate",
    "E": 1_791_269_856_000,
    "s": "BTCUSDT",
    "p": "85296.60260870",
    "ap": "85290.11111111",
    "P": "85321.91711993",
    "i": "85345.93826087",
    "r": "0.00000523",
    "T": 1_791_273_600_000,
    "st": 1,
}
RATE = RateUpdate(
    "BTCUSDT",
    0.00000523,
    event_time=1_791_269_856_000_000,
    mark_price=85296.6026087,
    index_price=85345.93826087,
    next_funding_time=1_791_273_600_000_000,
    interval_hours=None,
)
PREMIUM: dict[str, Any] = {
    "symbol": "ETHUSDT",
    "markPrice": "3793.63104562",
    "indexPrice": "3781.80495970",
    "estimatedSettlePrice": "3785.16138815",
    "lastFundingRate": "0.00038246",
    "interestRate": "0.00010000",
    "nextFundingTime": 1_791_302_400_000,
    "time": 1_791_280_495_002,
}
SETTLED: dict[str, Any] = {
    "symbol": "0GUSDT",
    "fundingTime": 1_791_273_600_001,
    "fundingRate": "-0.00005000",
    "markPrice": "0.30690000",
}
INFO: dict[str, Any] = {
    "symbol": "BLZUSDT",
    "adjustedFundingRateCap": "0.02500000",
    "adjustedFundingRateFloor": "-0.01500000",
    "fundingIntervalHours": 4,
    "disclaimer": False,
}
LISTED: dict[str, Any] = {
    "symbol": "1000PEPEUSDT",
    "pair": "PAIR",
    "contractType": "PERPETUAL",
    "deliveryDate": 4_133_404_800_000,
    "onboardDate": 1_683_500_400_000,
    "status": "SETTLING",
    "baseAsset": "1000PEPE",
    "quoteAsset": "USDT",
    "marginAsset": "USDC",
}


def without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The row without some keys."""
    return {key: value for key, value in row.items() if key not in keys}


RECEIVED_AT_US = 1_791_269_856_437_219
STREAM = "!markPrice@arr@1s"


def read_all(row: Any, purpose: Purpose = "stream", channel: str = STREAM) -> Sequence[Update]:
    """The readings of a row, in an item of the row's own symbol."""
    payload = json.dumps(row, ensure_ascii=False).encode()
    symbol = row.get("s") or row.get("symbol") or "BTCUSDT"
    return normalise(purpose, channel, symbol, payload, RECEIVED_AT_US)


def read(row: Any, purpose: Purpose = "stream", channel: str = STREAM) -> Update:
    """The one reading of a row."""
    (update,) = read_all(row, purpose, channel)
    return update


def test_a_mark_price_row_is_a_rate() -> None:
    """Each field from its own key: `P` and `ap` are prices of other things and are not read."""
    assert read(ROW) == RATE


def test_the_row_as_captured_from_the_wire_is_a_rate() -> None:
    """Byte for byte §6, where `ap` equals `p`."""
    payload = (
        b'{"e":"markPriceUpdate","E":1791269856000,"s":"BTCUSDT","p":"85296.60260870",'
        b'"ap":"85296.60260870","P":"85321.91711993","i":"85345.93826087","r":"0.00000523",'
        b'"T":1791273600000,"st":1}'
    )
    assert normalise("stream", STREAM, "BTCUSDT", payload, RECEIVED_AT_US) == (RATE,)


@pytest.mark.parametrize("absent", [("ap",), ("st",), ("ap", "st"), ("P",)])
def test_optional_keys_may_be_absent(absent: tuple[str, ...]) -> None:
    """Older documentation lacks `ap`, other sources lack `st` (docs/exchanges/README.md §8.3.2)."""
    assert read(without(ROW, *absent)) == RATE


def test_without_an_index_price_there_is_none() -> None:
    """A missing price is null, not another price."""
    update = read(without(ROW, "i"))
    assert isinstance(update, RateUpdate)
    assert (update.index_price, update.mark_price) == (None, RATE.mark_price)


@pytest.mark.parametrize(
    ("upper", "lower"), [("E", "e"), ("P", "p"), ("T", "t"), ("I", "i"), ("R", "r"), ("S", "s")]
)
def test_keys_differ_by_case(upper: str, lower: str) -> None:
    """A row that also has the other case of a key reads the same
    (docs/exchanges/README.md §3 rule 8).
    """
    extra = {key: "junk" for key in (upper, lower) if key not in ROW}
    assert read({**extra, **ROW}) == RATE
    assert read({**ROW, **extra}) == RATE


@pytest.mark.parametrize(("required", "wrong_case"), [("E", "e"), ("T", "t")])
def test_a_key_in_the_wrong_case_is_no_substitute(required: str, wrong_case: str) -> None:
    """`e` never stands in for `E`."""
    row = {**without(ROW, required), wrong_case: ROW[required]}
    with pytest.raises(MalformedInputError):
        read(row)


def test_the_settle_price_is_no_substitute_for_the_mark_price() -> None:
    """A row with `P` and without `p` has no mark price."""
    update = read(without(ROW, "p"))
    assert isinstance(update, RateUpdate)
    assert (update.mark_price, update.rate) == (None, RATE.rate)


@pytest.mark.parametrize(
    "row",
    [
        {**ROW, "r": "", "T": 0},
        {**ROW, "r": ""},
        {**ROW, "r": None},
        {**ROW, "r": "n/a"},
        without(ROW, "r"),
    ],
)
def test_a_row_without_a_rate_is_no_rate(row: dict[str, Any]) -> None:
    """Delivery contracts; an empty text, null and a missing key are never 0
    (docs/exchanges/README.md §3 rule 5, binance-usdm.md §8).
    """
    assert read(row) == NoRate("BTCUSDT", "empty rate")


def test_a_row_without_a_next_funding_time_is_no_rate() -> None:
    """Some delivery contracts carry a rate of zero, and T = 0 gives them away (§8)."""
    row = {**ROW, "s": "BTCUSDT_260925", "r": "0.00000000", "T": 0}
    assert read(row) == NoRate("BTCUSDT_260925", "no next funding time")


def test_a_rate_of_zero_is_a_rate() -> None:
    """With a next funding time, zero is what the exchange says."""
    update = read({**ROW, "r": "0.00000000"})
    assert isinstance(update, RateUpdate)
    assert update.rate == 0.0


def test_minus_zero_is_zero() -> None:
    """The sign would otherwise reach records and comparisons of their text."""
    update = read({**ROW, "r": "-0.00000000"})
    assert isinstance(update, RateUpdate)
    assert str(update.rate) == "0.0"


@pytest.mark.parametrize(("text", "rate"), [("6.1E-5", 6.1e-5), ("-1e-8", -1e-8), ("1E+0", 1.0)])
def test_exponents_are_read(text: str, rate: float) -> None:
    """Seen on other exchanges; the meaning is plain (docs/exchanges/README.md §3 rule 6)."""
    update = read({**ROW, "r": text})
    assert isinstance(update, RateUpdate)
    assert update.rate == rate


@pytest.mark.parametrize(
    "stamp", [-1, 5, 1_791_273_600, 1_791_266_255_999, 1_791_269_856_000 + 8 * 86_400_000 + 1]
)
def test_a_next_time_that_is_not_near_is_dropped(stamp: int) -> None:
    """In seconds, long past, or more than eight days ahead: the rate stands without it."""
    update = read({**ROW, "T": stamp})
    assert isinstance(update, RateUpdate)
    assert (update.next_funding_time, update.rate) == (None, RATE.rate)


@pytest.mark.parametrize("stamp", [1_791_266_256_000, 1_791_269_856_000 + 8 * 86_400_000])
def test_a_next_time_may_have_just_passed_or_be_days_ahead(stamp: int) -> None:
    """Around the settlement the old one may still be named."""
    update = read({**ROW, "T": stamp})
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time == stamp * 1_000


@pytest.mark.parametrize(
    ("row", "purpose", "channel"),
    [
        (ROW, "stream", STREAM),
        ({**ROW, "st": 2}, "stream", STREAM),
        (PREMIUM, "fallback", "premiumIndex"),
        (SETTLED, "history", "fundingRate"),
        (INFO, "contract", "fundingInfo"),
        (LISTED, "contract", "exchangeInfo"),
    ],
)
def test_a_row_of_another_symbol_is_malformed(
    row: dict[str, Any], purpose: Purpose, channel: str
) -> None:
    """The item's symbol decided on its partition: another contract's state is elsewhere."""
    with pytest.raises(MalformedInputError, match="in an item of 'XYZUSDT'"):
        normalise(purpose, channel, "XYZUSDT", json.dumps(row).encode(), RECEIVED_AT_US)


def test_a_coin_m_row_in_the_array_is_passed_over() -> None:
    """Since 2026-06 `st` 2 marks rows of the other market (§8)."""
    row = {**ROW, "s": "BTCUSD_PERP", "st": 2}
    assert read(row) == NoRate("BTCUSD_PERP", "a row of another market: st is 2")


def test_a_symbol_may_be_of_any_script() -> None:
    """`币安人生USDT` is listed (docs/exchanges/README.md §8.3.4), written raw or escaped."""
    for row in (
        json.dumps({**ROW, "s": "币安人生USDT"}),
        json.dumps({**ROW, "s": "币安人生USDT"}, ensure_ascii=False),
    ):
        symbol = "币安人生USDT"
        (update,) = normalise("stream", STREAM, symbol, row.encode(), RECEIVED_AT_US)
        assert update.symbol == symbol


def test_keys_that_nobody_knows_are_passed_over() -> None:
    """The exchange adds keys without notice."""
    assert read({**ROW, "zz": {"deep": [1, "2"]}, "rateType": "Regular"}) == RATE


@pytest.mark.parametrize("zero", ["0", "0.00000000", ""])
def test_a_price_that_is_not_there_is_null(zero: str) -> None:
    """The rate stands without its prices."""
    update = read({**ROW, "p": zero, "i": zero})
    assert isinstance(update, RateUpdate)
    assert (update.mark_price, update.index_price) == (None, None)
    assert update.rate == RATE.rate


@pytest.mark.parametrize("purpose", ["fallback", "reconcile"])
def test_a_premium_index_row_is_a_rate(purpose: Purpose) -> None:
    """The same reading as the stream's: `time` is its event time, and interestRate no rate."""
    assert read(PREMIUM, purpose, "premiumIndex") == RateUpdate(
        "ETHUSDT",
        0.00038246,
        event_time=1_791_280_495_002_000,
        mark_price=3793.63104562,
        index_price=3781.8049597,
        next_funding_time=1_791_302_400_000_000,
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lastFundingRate": "", "nextFundingTime": 0}, "empty rate"),
        ({"lastFundingRate": "", "interestRate": ""}, "empty rate"),
        ({"lastFundingRate": None}, "empty rate"),
        ({"lastFundingRate": "0.00000000", "nextFundingTime": 0}, "no next funding time"),
    ],
)
def test_a_delivery_row_of_the_premium_index_is_no_rate(
    change: dict[str, Any], reason: str
) -> None:
    """Documented for dapi, handled the same way here (§9a)."""
    row = {**PREMIUM, "symbol": "ETHUSDT_260925", **change}
    assert read(row, "fallback", "premiumIndex") == NoRate("ETHUSDT_260925", reason)


def test_a_history_row_is_a_settlement_with_its_raw_stamp() -> None:
    """The +1 ms of the exchange is kept (docs/exchanges/README.md §8.3.20); the mark price is not
    the rate.
    """
    assert read(SETTLED, "history", "fundingRate") == SettlementUpdate(
        "0GUSDT", 1_791_273_600_001_000, -0.00005, source="history", interval_hours=None
    )


@pytest.mark.parametrize("word", ["Regular", "", None])
def test_a_regular_history_row_is_the_same_settlement_as_one_without_a_type(
    word: str | None,
) -> None:
    """A newer key (docs/exchanges/README.md §8.3.19), empty or null as good as absent."""
    with_type = read({**SETTLED, "rateType": word}, "history", "fundingRate")
    assert with_type == read(without(SETTLED, "markPrice"), "history", "fundingRate")
    assert isinstance(with_type, SettlementUpdate)
    assert with_type.kind == "regular"


@pytest.mark.parametrize("word", ["Special", "special", "regular", "AWordOfTomorrow"])
def test_a_settlement_of_any_other_type_is_special(word: str) -> None:
    """What may be extra funding must not enter the statistics (§9b)."""
    assert read({**SETTLED, "rateType": word}, "history", "fundingRate") == SettlementUpdate(
        "0GUSDT", 1_791_273_600_001_000, -0.00005, kind="special"
    )


@pytest.mark.parametrize("junk", [True, 1, ["Regular"], {"is": "Regular"}])
def test_a_type_that_is_no_word_is_special_and_reported(junk: Any) -> None:
    """It costs neither the rate nor the statistics."""
    settlement, fault = read_all({**SETTLED, "rateType": junk}, "history", "fundingRate")
    assert isinstance(settlement, SettlementUpdate)
    assert (settlement.rate, settlement.kind) == (-0.00005, "special")
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("rateType is no text")


@pytest.mark.parametrize("zero", ["0.00000000", "0", 0, "-0.0"])
def test_a_rate_of_zero_without_a_settle_price_is_no_rate(zero: Any) -> None:
    """A delisted contract is listed on, with a current time (§9a)."""
    row = {**PREMIUM, "lastFundingRate": "0.00000000", "estimatedSettlePrice": zero}
    for purpose in ("fallback", "reconcile"):
        update = read(row, purpose, "premiumIndex")
        assert isinstance(update, NoRate)
        assert "trades no more" in update.reason


@pytest.mark.parametrize(
    ("rate", "settle_price"),
    [
        ("0.00000000", "3785.16138815"),
        ("0.00000000", None),
        ("0.00000000", ""),
        ("0.00000523", "0.00000000"),
        ("0.00000523", None),
    ],
)
def test_a_live_contract_has_a_settle_price_or_a_rate(rate: str, settle_price: Any) -> None:
    """Only both zeros together say that it trades no more."""
    row = {**PREMIUM, "lastFundingRate": rate, "estimatedSettlePrice": settle_price}
    update = read(row, "fallback", "premiumIndex")
    assert isinstance(update, RateUpdate)
    assert update.rate == float(rate)
    if settle_price is None:
        assert read(without(row, "estimatedSettlePrice"), "fallback", "premiumIndex") == update


@pytest.mark.parametrize("junk", [True, [], {}, "soon"])
def test_an_unreadable_settle_price_is_reported_beside_a_rate_of_zero(junk: Any) -> None:
    """It cannot say that the contract trades no more."""
    row = {**PREMIUM, "lastFundingRate": "0.00000000", "estimatedSettlePrice": junk}
    update, fault = read_all(row, "fallback", "premiumIndex")
    assert isinstance(update, RateUpdate)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("estimatedSettlePrice is ")


@pytest.mark.parametrize("row", [{**SETTLED, "fundingRate": ""}, without(SETTLED, "fundingRate")])
def test_a_settlement_without_a_rate_is_none(row: dict[str, Any]) -> None:
    """It never enters a baseline as 0."""
    assert read(row, "history", "fundingRate") == NoRate("0GUSDT", "empty settled rate")


def test_funding_info_gives_interval_and_bounds() -> None:
    """Cap and floor each from their own key."""
    assert read(INFO, "contract", "fundingInfo") == InstrumentUpdate(
        "BLZUSDT", interval_hours=4.0, rate_cap=0.025, rate_floor=-0.015
    )


@pytest.mark.parametrize("hours", [-8, 24.5, 28_800, "8h", True])
def test_an_interval_that_nothing_can_be_divided_by_costs_the_interval_alone(hours: Any) -> None:
    """Negative, or in another unit: a rate divided by it would be nonsense."""
    facts, fault = read_all({**INFO, "fundingIntervalHours": hours}, "contract", "fundingInfo")
    assert facts == InstrumentUpdate("BLZUSDT", rate_cap=0.025, rate_floor=-0.015)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("fundingIntervalHours is ")


@pytest.mark.parametrize(
    ("stated", "hours"), [(0, None), (None, None), ("", None), ("8", 8.0), (1, 1.0), (24, 24.0)]
)
def test_an_interval_may_be_text_or_not_stated(stated: Any, hours: float | None) -> None:
    """None leaves in force what is known; zero would be divided by."""
    facts = read({**INFO, "fundingIntervalHours": stated}, "contract", "fundingInfo")
    assert facts == InstrumentUpdate(
        "BLZUSDT", interval_hours=hours, rate_cap=0.025, rate_floor=-0.015
    )


def test_exchange_info_gives_status_and_assets() -> None:
    """The base is canonical, its unit the multiplier; interval and bounds stay as they were."""
    assert read(LISTED, "contract", "exchangeInfo") == InstrumentUpdate(
        "1000PEPEUSDT",
        base="PEPE",
        quote="USDT",
        multiplier=1000.0,
        status=ContractStatus.DELISTED,
        status_word="SETTLING",
        listed_at=1_683_500_400_000_000,
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", ContractStatus.TRADING),
        ("PENDING_TRADING", ContractStatus.PRE_LAUNCH),
        ("CLOSE", ContractStatus.DELISTED),
        ("AWordOfTomorrow", ContractStatus.HALTED),
        ("", None),
    ],
)
def test_the_exchanges_word_is_one_of_our_states(word: str, status: ContractStatus | None) -> None:
    """A word that nobody knows halts the contract: it is not gone."""
    facts = read({**LISTED, "status": word}, "contract", "exchangeInfo")
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.status, facts.status_word) == (status, word or None)


@pytest.mark.parametrize("nothing", [0, "0", "", None])
def test_without_a_date_of_listing_there_is_none(nothing: Any) -> None:
    """Never 1970."""
    facts = read({**LISTED, "onboardDate": nothing}, "contract", "exchangeInfo")
    assert facts == read(without(LISTED, "onboardDate"), "contract", "exchangeInfo")
    assert isinstance(facts, InstrumentUpdate)
    assert facts.listed_at is None


def test_exchange_info_without_assets_says_nothing_of_them() -> None:
    """None leaves in force what is known."""
    row = {"symbol": "BTCUSDT", "status": "TRADING"}
    assert read(row, "contract", "exchangeInfo") == InstrumentUpdate(
        "BTCUSDT", status=ContractStatus.TRADING, status_word="TRADING"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"e": "24hrTicker"},
        {"E": "1791269856000"},
        {"E": 0},
        {"E": 1_791_269_856},
        {"s": None},
        {"r": "five"},
        {"r": "1e999"},
        {"r": ["0.1"]},
        {"r": True},
    ],
)
def test_a_row_with_a_wrong_value_is_malformed(change: dict[str, Any]) -> None:
    """It goes to the dead letters instead of being guessed at."""
    with pytest.raises(MalformedInputError):
        read({**ROW, **change})


def test_numbers_may_stand_where_texts_did() -> None:
    """What they say is plain."""
    change = {"p": 85296.6026087, "i": 85345.93826087, "r": 0.00000523, "T": "1791273600000"}
    assert read({**ROW, **change, "st": "1"}) == RATE


@pytest.mark.parametrize("junk", ["one", True, [1], {}])
def test_an_unreadable_market_does_not_cost_the_rate(junk: Any) -> None:
    """Then, as without it, the symbol tells a contract of the other market."""
    update, fault = read_all({**ROW, "st": junk})
    assert update == RATE
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("st is not a number")
    nothing, _fault = read_all({**ROW, "s": "BTCUSD_PERP", "st": junk})
    assert nothing == NoRate("BTCUSD_PERP", "a COIN-M contract in a USD-M array")


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"null", b"[]", b"{}", b"7", b'"text"', b"{", b"\xff\xfe", b"\x00"),
        *(b'{"result":null,"id":1}', b"<html>502 Bad Gateway</html>", b"[" * 100_000),
        json.dumps(ROW).encode()[:-1],
        json.dumps(ROW).encode() * 2,
        json.dumps({**ROW, "s": "\ud800"}).encode(),
        json.dumps(ROW).encode().replace(b"BTC", b"\xc3\x28"),
        json.dumps(ROW).encode().replace(b"1791269856000", b"9" * 5_000),
        json.dumps(ROW).encode().replace(b"1791269856000", b"1e999"),
    ],
    ids=lambda p: repr(p[:24]),
)
def test_what_is_no_row_is_malformed(payload: bytes) -> None:
    """Acks, HTML, broken UTF-8, depth bombs, digit bombs and halves of rows."""
    with pytest.raises(MalformedInputError):
        normalise("stream", STREAM, "BTCUSDT", payload, RECEIVED_AT_US)


@pytest.mark.parametrize(
    ("purpose", "channel"),
    [
        ("fallback", "fundingRate"),
        ("history", "premiumIndex"),
        ("contract", "time"),
        ("history", ""),
    ],
)
def test_an_unknown_channel_is_malformed(purpose: Purpose, channel: str) -> None:
    """A reply to a call that this version does not make."""
    with pytest.raises(MalformedInputError, match="unknown channel"):
        read(PREMIUM, purpose, channel)


def test_the_normaliser_is_found_by_its_feed() -> None:
    """An unknown feed is a wrong setting, with the known ones named."""
    assert normaliser("binance-usdm") is normalise
    with pytest.raises(ConfigurationError, match="binance-usdm"):
        normaliser("binance_usdm")
