"""Binance USD-M payloads of the streams: each documented edge case of
docs/exchanges/binance-usdm.md §6-8 and README.md §8.3. Those of REST: test_binance_usdm_rest.py.

In every row each field has a value of its own, so that no field can be read for another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.errors import ConfigurationError, MalformedInputError
from schemas.records import Purpose
from stream_app.model import (
    NoRate,
    RateUpdate,
    Unreadable,
    Update,
)
from stream_app.normalise import normaliser
from stream_app.normalise.binance_usdm import normalise
from tests.venues.binance_usdm import INFO, LISTED, PREMIUM, SETTLED

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
