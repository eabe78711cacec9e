"""Aster's description, where it differs from Binance's (docs/exchanges/aster.md)."""

from __future__ import annotations

from producers.exchanges.aster import EXCHANGE
from producers.exchanges.binance_usdm import EXCHANGE as BINANCE
from schemas.contract_status import ContractStatus
from tests.venues.aster import INFO, LISTED, text


def test_the_time_of_funding_info_is_no_change() -> None:
    """The interval and the caps are (§9c)."""
    known = EXCHANGE.fact_identity("fundingInfo", text(INFO))
    assert EXCHANGE.fact_identity("fundingInfo", text({**INFO, "time": 1})) == known
    for changed in ({"fundingIntervalHours": 8}, {"fundingFeeCap": 0.02}, {"fundingFeeFloor": 0}):
        assert EXCHANGE.fact_identity("fundingInfo", text({**INFO, **changed})) != known
    row = text(LISTED)
    assert EXCHANGE.fact_identity("exchangeInfo", row) == row


def test_perpetuals_of_both_types_are_listed() -> None:
    """By their status; dated contracts are not (§8)."""
    found = {
        kind: EXCHANGE.listing(text({**LISTED, "contractType": kind, "status": "SETTLING"}))
        for kind in ("PERPETUAL", "TRADIFI_PERPETUAL", "CURRENT_QUARTER")
    }
    assert found.pop("CURRENT_QUARTER") is None
    assert {one.status for one in found.values() if one} == {ContractStatus.DELISTED}
    assert None not in found.values()


def test_history_is_asked_for_at_its_own_path_and_pool() -> None:
    """All contracts in one walk (§9b)."""
    call = EXCHANGE.history(["A", "B"], 5, 9).next_call()
    assert call is not None
    assert call.path == "/fapi/v3/fundingRate"
    assert call.params == {"startTime": "5", "endTime": "9", "limit": "1000"}
    assert call.costs == {"weight": 1}


def test_nothing_is_shared_with_binance() -> None:
    """Another company: other limits."""
    assert EXCHANGE.limits_group != BINANCE.limits_group
    assert EXCHANGE.used({"X-MBX-USED-WEIGHT-1M": "77"}) == {"weight": 77}
