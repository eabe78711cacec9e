"""KuCoin payloads: each documented edge case of docs/exchanges/kucoin.md and README.md §8.3."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    Unreadable,
    Update,
)
from stream_app.normalise.kucoin import normalise
from tests.venues.kucoin import BEGIN, CONTRACT, END, INSTRUMENT, KUCOIN_SETTLED, UTA_FRAME, UTA_ROW
from tests.venues.samples import RECEIVED_AT_US

SYMBOL = "XBTUSDTM"
NEXT_US = 1_790_006_400_000_000
SETTLED_US = 1_789_977_600_000_000
ESTIMATE = RateUpdate(
    SYMBOL,
    0.000072,
    event_time=1_790_000_121_214_267,
    next_funding_time=NEXT_US,
    interval_hours=8.0,
)
SETTLEMENT = SettlementUpdate(SYMBOL, SETTLED_US, -0.000069, source="stream")


def read_all(payload: Any, purpose: Purpose, channel: str) -> Sequence[Update]:
    """The readings of a payload."""
    return normalise(purpose, channel, SYMBOL, json.dumps(payload).encode(), RECEIVED_AT_US)


def read_uta(*without: str, **change: Any) -> Sequence[Update]:
    """The readings of the all-symbols frame of one row with other values."""
    row = {key: value for key, value in {**UTA_ROW, **change}.items() if key not in without}
    return read_all({**UTA_FRAME, "d": [row]}, "stream", "funding-fee-all-symbols")


def read_instrument(**change: Any) -> Update:
    """The reading of a classic frame with other data."""
    frame = {**INSTRUMENT, "data": {**INSTRUMENT["data"], **change}}
    (update,) = read_all(frame, "stream", "instrument:funding.rate")
    return update


def read_contract(purpose: Purpose = "fallback", **change: Any) -> Update:
    """The reading of a row of contracts/active with other values."""
    (update,) = read_all({**CONTRACT, **change}, purpose, "contracts/active")
    return update


def test_a_row_is_an_estimate_and_the_settlement_before() -> None:
    """`fr` for `nt`, `lfr` at `ft`; the push time without a double between
    (docs/exchanges/README.md §8.3.6).
    """
    assert read_uta() == (ESTIMATE, SETTLEMENT)


def test_the_form_of_one_contract_reads_the_same() -> None:
    """`funding-fee` has an object where the other channel has an array."""
    assert read_all({**UTA_FRAME, "d": UTA_ROW}, "stream", "funding-fee-all-symbols") == (
        ESTIMATE,
        SETTLEMENT,
    )
    frame = {**UTA_FRAME, "T": "funding-fee", "d": UTA_ROW}
    assert read_all(frame, "stream", "funding-fee") == (ESTIMATE, SETTLEMENT)


def test_the_order_of_the_keys_is_free() -> None:
    """`P` behind the rows: then it stands in the piece's tail."""
    frame = {"d": [dict(reversed(UTA_ROW.items()))], "P": UTA_FRAME["P"], "T": UTA_FRAME["T"]}
    assert read_all(frame, "stream", "funding-fee-all-symbols") == (ESTIMATE, SETTLEMENT)


def test_the_frame_as_captured_from_the_wire() -> None:
    """Byte for byte §A, 2026-09-22."""
    payload = (
        b'{"T":"funding-fee","P":1790114460967760880,"d":{"s":"XBTUSDTM","fr":"-0.000076",'
        b'"ft":1790092800000,"lfr":"-0.000019","nt":1790121600000,"gl":28800000,"fc":"0.003",'
        b'"ff":"-0.003"}}'
    )
    assert normalise("stream", "funding-fee", SYMBOL, payload, RECEIVED_AT_US) == (
        RateUpdate(
            SYMBOL,
            -0.000076,
            event_time=1_790_114_460_967_760,
            next_funding_time=1_790_121_600_000_000,
            interval_hours=8.0,
        ),
        SettlementUpdate(SYMBOL, 1_790_092_800_000_000, -0.000019, source="stream"),
    )


@pytest.mark.parametrize("push_time", ["1790000121214267234", 1_790_000_121_214_267])
def test_the_push_time_may_be_text_or_in_microseconds(push_time: Any) -> None:
    """Digits are read as digits, the unit by magnitude."""
    frame = {**UTA_FRAME, "P": push_time}
    assert read_all(frame, "stream", "funding-fee-all-symbols") == (ESTIMATE, SETTLEMENT)


def test_values_may_be_text_or_numbers_or_exponents() -> None:
    """docs/exchanges/README.md §3 rule 6: 6.1E-5 and the like in any field."""
    change = {"fr": 7.2e-5, "lfr": "-6.9E-5", "ft": "1789977600000", "nt": 1.7900064e12}
    assert read_uta(**change, gl="28800000") == (ESTIMATE, SETTLEMENT)


@pytest.mark.parametrize("hours", [8, 4, 1])
def test_the_interval_is_in_milliseconds(hours: int) -> None:
    """`gl` is of the estimate: at a change the settlement before had another one."""
    estimate, settlement = read_uta(gl=hours * 3_600_000)
    assert isinstance(estimate, RateUpdate)
    assert isinstance(settlement, SettlementUpdate)
    assert (estimate.interval_hours, settlement.interval_hours) == (float(hours), None)


@pytest.mark.parametrize("interval", [8, 28_800, 60_000, 28_800_000_000, -28_800_000, "8h"])
def test_an_interval_in_another_unit_costs_the_interval_alone(interval: Any) -> None:
    """Hours, seconds, a minute's granularity, µs: rates are divided by it."""
    without, _ = read_uta(gl=None)
    estimate, settlement, fault = read_uta(gl=interval)
    assert (estimate, settlement) == (without, SETTLEMENT)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("gl is ")


@pytest.mark.parametrize("nothing", [{"gl": None}, {"gl": 0}, {"gl": ""}])
def test_without_an_interval_the_payload_does_not_say(nothing: dict[str, Any]) -> None:
    """Then the contract's facts do."""
    estimate, _ = read_uta(**nothing)
    assert isinstance(estimate, RateUpdate)
    assert estimate.interval_hours is None


@pytest.mark.parametrize("change", [{"lfr": ""}, {"lfr": None}, {"ft": 0}, {"ft": "0"}, {"ft": -1}])
def test_a_contract_that_has_not_settled_has_an_estimate_only(change: dict[str, Any]) -> None:
    """Newly listed: never a settlement in 1970."""
    assert read_uta(**change) == (ESTIMATE,)
    assert read_uta("lfr", "ft") == (ESTIMATE,)


def test_without_an_estimate_the_settlement_stands() -> None:
    """An empty `fr` is no rate of 0."""
    nothing = NoRate(SYMBOL, "no funding rate")
    assert read_uta(fr="") == (nothing, SETTLEMENT)
    assert read_uta("fr", "lfr") == (nothing,)


def test_a_rate_of_zero_is_a_rate() -> None:
    """Pre-market contracts really carry it (docs/exchanges/README.md §3 rule 5), −0 being 0."""
    estimate, settlement = read_uta(fr="0", lfr="-0.0")
    assert isinstance(estimate, RateUpdate)
    assert isinstance(settlement, SettlementUpdate)
    assert (repr(estimate.rate), repr(settlement.rate)) == ("0.0", "0.0")


@pytest.mark.parametrize("stamp", [0, None, 28_800_000, 1_791_000_000, 1_780_000_000_000])
def test_a_next_time_out_of_place_is_dropped(stamp: Any) -> None:
    """A countdown, seconds, months ago."""
    estimate, settlement = read_uta(nt=stamp)
    assert isinstance(estimate, RateUpdate)
    assert estimate.next_funding_time is None
    assert settlement == SETTLEMENT


def test_a_next_time_off_the_epoch_grid_is_kept() -> None:
    """TRUSTUSDTM settles on an offset grid (§3)."""
    estimate, _ = read_uta(nt=1_790_003_700_000, gl=14_400_000)
    assert isinstance(estimate, RateUpdate)
    assert estimate.next_funding_time == 1_790_003_700_000_000


@pytest.mark.parametrize(
    "frame",
    [
        {**UTA_FRAME, "T": "mark-price"},
        {**UTA_FRAME, "d": []},
        {**UTA_FRAME, "d": [UTA_ROW, UTA_ROW]},
        {**UTA_FRAME, "d": None},
        {**UTA_FRAME, "P": 0},
        {**UTA_FRAME, "P": "soon"},
        {**UTA_FRAME, "P": None},
        {**UTA_FRAME, "d": [{**UTA_ROW, "fr": "1e999", "lfr": None}]},
        {**UTA_FRAME, "d": [{**UTA_ROW, "fr": "x", "ft": 0}]},
        {**UTA_FRAME, "d": [{**UTA_ROW, "fr": True, "lfr": "x"}]},
        {**UTA_FRAME, "d": [{**UTA_ROW, "s": "ETHUSDTM"}]},
        {"id": "1", "result": True},
        {"T": "funding-fee-all-symbols", "P": UTA_FRAME["P"]},
    ],
)
def test_another_frame_is_malformed(frame: dict[str, Any]) -> None:
    """Other channels, several rows, another contract's row, absurd times."""
    with pytest.raises(MalformedInputError):
        read_all(frame, "stream", "funding-fee-all-symbols")


@pytest.mark.parametrize(
    "change", [{"lfr": "x"}, {"lfr": True}, {"lfr": {}}, {"ft": 5}, {"ft": "soon"}, {"ft": []}]
)
def test_a_bad_settlement_does_not_cost_the_estimate(change: dict[str, Any]) -> None:
    """It is left out and reported."""
    estimate, fault = read_uta(**change)
    assert estimate == ESTIMATE
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith(f"{next(iter(change))} is ")


@pytest.mark.parametrize("rate", ["1e999", "x", True, [0.1]])
def test_a_bad_estimate_does_not_cost_the_settlement(rate: Any) -> None:
    """Nor the other way round; without a settlement the row is malformed."""
    settlement, fault = read_uta(fr=rate)
    assert settlement == SETTLEMENT
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("fr is not")


def test_all_faults_of_a_row_are_named_at_once() -> None:
    """In one update, in the order of reading."""
    estimate, fault = read_uta(lfr="x", gl="y")
    assert isinstance(estimate, RateUpdate)
    assert estimate.interval_hours is None
    assert fault == Unreadable(SYMBOL, "lfr is not a number: 'x'; gl is not a number: 'y'")


def test_a_minutes_granularity_is_an_estimate() -> None:
    """Neither next time nor interval (docs/exchanges/README.md §8.3.9); the symbol only in the
    topic.
    """
    assert read_instrument() == RateUpdate(SYMBOL, -0.000076, event_time=1_790_000_100_000_000)


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_the_intervals_granularity_is_a_settled_rate(hours: int) -> None:
    """The two kinds are never one series (§B)."""
    assert read_instrument(granularity=hours * 3_600_000) == SettlementUpdate(
        SYMBOL, 1_790_000_100_000_000, -0.000076, source="stream", interval_hours=float(hours)
    )


@pytest.mark.parametrize("granularity", [1_000, 59_999, 60_001, 3_599_999, 90_000_000, 0, "minute"])
def test_another_granularity_is_malformed(granularity: Any) -> None:
    """Whether it is an estimate or settled cannot be known."""
    with pytest.raises(MalformedInputError, match="granularity"):
        read_instrument(granularity=granularity)


def test_a_topic_of_all_names_the_symbol_in_the_data() -> None:
    """Seen for `/contract/instrument:ALL`."""
    frame = {
        **INSTRUMENT,
        "topic": "/contract/instrument:ALL",
        "data": {**INSTRUMENT["data"], "symbol": SYMBOL},
    }
    assert read_all(frame, "stream", "instrument:funding.rate") == (
        RateUpdate(SYMBOL, -0.000076, event_time=1_790_000_100_000_000),
    )
    with pytest.raises(MalformedInputError, match="'ALL' in an item of"):
        read_all({**frame, "data": INSTRUMENT["data"]}, "stream", "instrument:funding.rate")


def test_a_frame_without_a_rate_is_no_rate() -> None:
    """Never 0."""
    assert read_instrument(fundingRate=None) == NoRate(SYMBOL, "no funding rate")


def test_a_mark_price_frame_is_no_rate() -> None:
    """The other subject of the same topic."""
    with pytest.raises(MalformedInputError, match="subject is"):
        read_all({**INSTRUMENT, "subject": "mark.index.price"}, "stream", "instrument:funding.rate")


def test_both_announcements_tell_the_same_settlement() -> None:
    """`fundingTime`, not the message's own timestamp, which is later (§B)."""
    expected = SettlementUpdate(SYMBOL, SETTLED_US, -0.002966, source="stream")
    assert read_all(BEGIN, "stream", "announcement:funding.begin") == (expected,)
    assert read_all(END, "stream", "announcement:funding.end") == (expected,)
    empty = {**BEGIN, "data": {**BEGIN["data"], "fundingRate": ""}}
    assert read_all(empty, "stream", "announcement:funding.begin") == (
        NoRate(SYMBOL, "no settled rate"),
    )
    with pytest.raises(MalformedInputError, match="subject is"):
        read_all({**BEGIN, "subject": "funding.rate"}, "stream", "announcement:funding.begin")


@pytest.mark.parametrize("purpose", ["fallback", "reconcile"])
def test_a_contract_row_is_a_rate_stamped_on_receipt(purpose: Purpose) -> None:
    """`fundingFeeRate`, neither the predicted nor the last one; the interval in force (§3)."""
    assert read_contract(purpose) == RateUpdate(
        SYMBOL,
        0.000052,
        event_time=None,
        mark_price=86378.69,
        index_price=86382.64,
        next_funding_time=NEXT_US,
        interval_hours=4.0,
    )


def test_the_hourly_snapshot_tells_liquidity_too() -> None:
    """Turnover as it stands; open interest in lots of so many coins, at the mark price."""
    traded = {"turnoverOf24h": 512_345.5, "openInterest": "4000", "multiplier": 0.001}
    row = {**CONTRACT, **traded, "markPrice": 86378.69}
    rate, facts = read_all(row, "reconcile", "contracts/active")
    assert isinstance(rate, RateUpdate)
    assert facts == InstrumentUpdate(
        SYMBOL, turnover_24h=512_345.5, open_interest=4000 * 0.001 * 86378.69
    )
    (listed,) = read_all(row, "contract", "contracts/active")
    assert isinstance(listed, InstrumentUpdate)
    assert (listed.turnover_24h, listed.open_interest) == (512_345.5, facts.open_interest)


def test_of_an_inverse_contract_the_lots_are_dollars() -> None:
    """No source says in what its turnover is counted."""
    row = {
        **CONTRACT,
        "isInverse": True,
        "multiplier": -1,
        "openInterest": "70",
        "turnoverOf24h": 9,
    }
    _, facts = read_all(row, "reconcile", "contracts/active")
    assert facts == InstrumentUpdate(SYMBOL, open_interest=70.0)


def test_the_interval_may_stand_in_one_field_only() -> None:
    """Older rows lack currentFundingRateGranularity."""
    update = read_contract(currentFundingRateGranularity=None)
    assert isinstance(update, RateUpdate)
    assert update.interval_hours == 8.0


@pytest.mark.parametrize("date_time", [None, 0, "", 6_276_500])
def test_a_countdown_is_no_time(date_time: Any) -> None:
    """docs/exchanges/README.md §8.3.8: 6,276,500 ms after 14:15:23.457 is 16:00, rounded to the
    minute.
    """
    update = read_contract(nextFundingRateDateTime=date_time)
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time == NEXT_US


@pytest.mark.parametrize("countdown", [None, -5, "", 10**12, 1e300, 9 * 86_400_000])
def test_without_a_plausible_countdown_there_is_no_next_time(countdown: Any) -> None:
    """The rate stands without it."""
    update = read_contract(nextFundingRateDateTime=None, nextFundingRateTime=countdown)
    assert isinstance(update, RateUpdate)
    assert (update.next_funding_time, update.rate) == (None, 0.000052)


def test_a_time_in_the_countdowns_field_is_a_time() -> None:
    """Should KuCoin mend it."""
    update = read_contract(nextFundingRateDateTime=None, nextFundingRateTime=1_790_006_400_000)
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time == NEXT_US


def test_a_dated_contract_has_no_rate() -> None:
    """No funding fields at all (§4), in whatever purpose."""
    row = {"symbol": SYMBOL, "type": "FFICSX", "status": "Open", "markPrice": 86378.69}
    nothing = (NoRate(SYMBOL, "no funding rate"),)
    assert read_all(row, "fallback", "contracts/active") == nothing
    nulls = {**row, "fundingFeeRate": None, "fundingRateGranularity": None}
    assert read_all(nulls, "reconcile", "contracts/active") == nothing
    assert read_all(nulls, "contract", "contracts/active") == (
        InstrumentUpdate(SYMBOL, status=ContractStatus.TRADING, status_word="Open"),
    )


@pytest.mark.parametrize("text", ["6.1E-5", 6.1e-5, "0.000061"])
def test_a_rate_in_any_notation_is_read(text: Any) -> None:
    """docs/exchanges/README.md §8.3.7."""
    update = read_contract(fundingFeeRate=text)
    assert isinstance(update, RateUpdate)
    assert update.rate == 0.000061


def test_a_number_as_kucoin_writes_it_is_read() -> None:
    """The literal 6.1E-5, and 28800000 as 2.88E7."""
    payload = json.dumps(CONTRACT).replace("5.2e-05", "6.1E-5").replace("28800000", "2.88E7")
    (update,) = normalise("fallback", "contracts/active", SYMBOL, payload.encode(), RECEIVED_AT_US)
    assert isinstance(update, RateUpdate)
    assert update.rate == 0.000061


def test_a_contract_row_gives_the_facts() -> None:
    """XBT is BTC. 0.001 coins a lot is no multiplier of the price."""
    assert read_contract("contract") == InstrumentUpdate(
        SYMBOL,
        base="BTC",
        quote="USDT",
        multiplier=1.0,
        status=ContractStatus.TRADING,
        status_word="Open",
        interval_hours=4.0,
        rate_cap=0.003,
        rate_floor=-0.004,
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Init", ContractStatus.PRE_LAUNCH),
        ("BeingSettled", ContractStatus.SETTLING),
        ("Closed", ContractStatus.DELISTED),
        ("AWordOfTomorrow", ContractStatus.HALTED),
        ("", None),
        (None, None),
    ],
)
def test_the_exchanges_word_is_one_of_our_states(
    word: str | None, status: ContractStatus | None
) -> None:
    """A word that nobody knows halts the contract: it is not gone."""
    facts = read_contract("contract", status=word)
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.status, facts.status_word) == (status, word or None)


@pytest.mark.parametrize(
    ("stated", "listed_at"),
    [
        (1_585_555_200_000, 1_585_555_200_000_000),
        ("1585555200000", 1_585_555_200_000_000),
        (0, None),
        ("", None),
        (None, None),
    ],
)
def test_the_first_open_date_is_that_of_the_listing(stated: Any, listed_at: int | None) -> None:
    """Of this contract, should the ticker have been another's before; never 1970."""
    facts = read_contract("contract", firstOpenDate=stated)
    assert isinstance(facts, InstrumentUpdate)
    assert facts.listed_at == listed_at


@pytest.mark.parametrize(("lot", "base"), [(-1, "XBT"), (10, "1000PEPE")])
def test_the_multiplier_is_that_of_the_coins_name(lot: int, base: str) -> None:
    """An inverse contract's −1 says 1 USD a lot (§4)."""
    facts = read_contract("contract", multiplier=lot, baseCurrency=base, isInverse=lot < 0)
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.base, facts.multiplier) == {"XBT": ("BTC", 1.0), "1000PEPE": ("PEPE", 1e3)}[base]


def test_a_history_row_is_a_settlement() -> None:
    """1.33e-4 at `timepoint`; its interval follows from the one before (§5b)."""
    assert read_all(KUCOIN_SETTLED, "history", "funding-rates") == (
        SettlementUpdate(SYMBOL, SETTLED_US, 0.000133),
    )
    assert read_all({**KUCOIN_SETTLED, "fundingRate": None}, "history", "funding-rates") == (
        NoRate(SYMBOL, "no settled rate"),
    )


@pytest.mark.parametrize(
    ("row", "purpose", "channel"),
    [
        ({**INSTRUMENT, "topic": "/contract/instrument:A"}, "stream", "instrument:funding.rate"),
        ({**BEGIN, "data": {**BEGIN["data"], "symbol": "A"}}, "stream", "announcement:funding.end"),
        ({**CONTRACT, "symbol": "A"}, "fallback", "contracts/active"),
        ({**CONTRACT, "symbol": "A"}, "contract", "contracts/active"),
        ({**KUCOIN_SETTLED, "symbol": ".XBTUSDTMFPI8H"}, "history", "funding-rates"),
    ],
)
def test_a_row_of_another_symbol_is_malformed(row: Any, purpose: Purpose, channel: str) -> None:
    """The item's symbol decided on its partition; rate symbols are none of contracts."""
    with pytest.raises(MalformedInputError):
        read_all(row, purpose, channel)


def test_an_error_reply_is_malformed() -> None:
    """Business errors come as HTTP 200 (§5)."""
    with pytest.raises(MalformedInputError, match="not a Contract"):
        read_all(
            {"msg": "funding rate is not supported", "code": "415000"},
            "fallback",
            "contracts/active",
        )
