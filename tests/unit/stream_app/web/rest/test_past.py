"""What is answered while ClickHouse does not: what the topics told, and that it is not all."""

from __future__ import annotations

from typing import Any

from schemas.times import US_PER_HOUR, US_PER_S
from tests.support.clock import START_US
from tests.support.fleet_records import contract_facts
from tests.support.rest_scene import (
    BTC,
    COIN,
    ETH,
    HYPER,
    STATUS,
    alert,
    bar,
    served,
    settled,
    small_market,
)

HOUR = START_US // US_PER_HOUR * US_PER_HOUR


async def get(path: str, **options: Any) -> Any:
    """The answer of a market with bars, settlements and alerts, and nothing behind it."""
    fleet = small_market()
    for back in range(1, 5):
        fleet.take_bar(bar(BTC, HOUR - back * US_PER_HOUR, back / 10_000))
    fleet.take_settlement(settled(BTC, HOUR, 2e-4))
    fleet.take_settlement(
        settled(BTC, HOUR, 5e-4, kind="special", interval_hours=None, rate_8h=None)
    )
    fleet.take_alert(alert("a1", BTC, START_US - 60 * US_PER_S))
    fleet.take_alert(alert("a2", ETH, START_US - 30 * US_PER_S, severity="warning"))
    fleet.take_alert(alert("a3", "kucoin", START_US - 10 * US_PER_S, kind="feed_down", value=None))
    async with served(fleet) as site:
        return await site.json(path, **options)


async def test_a_contract_has_what_the_topics_told() -> None:
    """And the reason why there is no more."""
    found = await get(f"/api/v1/contracts/{BTC}/history")
    assert not found["available"]
    assert "does not answer" in found["reason"]
    assert found["estimates"] == {"time": [START_US - US_PER_S], "rate_8h": [3e-4], "z": [2.5]}
    assert found["bars"]["hour"] == [HOUR - back * US_PER_HOUR for back in (4, 3, 2, 1)]
    assert found["bars"]["close"] == [4e-4, 3e-4, 2e-4, 1e-4]
    assert found["bars"]["z_min"] == [None] * 4
    assert found["settlements"] == {
        "funding_time": [HOUR, HOUR], "rate": [2e-4, 5e-4], "rate_8h": [2e-4, None],
        "interval_hours": [8.0, None], "kind": ["regular", "special"], "source": ["history"] * 2,
    }  # fmt: skip
    assert [each["alert_id"] for each in found["alerts"]] == ["a1"]
    assert (found["distribution"], found["gaps"], found["audit"]) == (None, [], [])
    assert (found["from"], found["to"]) == (START_US - 168 * US_PER_HOUR, START_US)
    shorter = await get(f"/api/v1/contracts/{BTC}/history?hours=3")
    assert shorter["bars"]["close"] == [2e-4, 1e-4]


async def test_alerts_are_those_of_the_topics() -> None:
    """Filtered like those of the table; a feed's are also those of its contracts."""
    found = await get("/api/v1/alerts")
    assert [each["alert_id"] for each in found["alerts"]] == ["a3", "a2", "a1"]
    assert found["alerts"][0]["created_at_iso"] == "2026-09-21T14:13:10.000000Z"
    for query, expected in (
        ("severity=warning", ["a2"]),
        ("kind=feed_down,mismatch", ["a3"]),
        ("subject=binance-usdm", ["a2", "a1"]),
        (f"subject={BTC}", ["a1"]),
        ("limit=1", ["a3"]),
        (f"from={START_US - 45 * US_PER_S}", ["a3", "a2"]),
        (f"to={START_US - 45 * US_PER_S}", ["a1"]),
    ):
        found = await get(f"/api/v1/alerts?{query}")
        assert [each["alert_id"] for each in found["alerts"]] == expected, query


async def test_feeds_have_their_present_alone() -> None:
    """Ages, and who is stale, by REST or silent."""
    found = await get("/api/v1/feeds")
    assert not found["available"]
    binance, kucoin = found["feeds"]
    assert (binance["feed"], kucoin["feed"]) == ("binance-usdm", "kucoin")
    assert (binance["contracts"], binance["by_rest"], binance["stale"]) == (2, 1, 1)
    assert binance["age_p50_s"] == (1 + 90) / 2
    assert binance["quarters"] == [None] * 96
    assert binance["uptime_day"] is None
    assert kucoin["transport"] is None
    assert kucoin["age_p50_s"] == 5.0
    assert binance["since_iso"] == "2026-09-21T13:13:20.000000Z"


async def test_spreads_are_of_now() -> None:
    """What they have paid is not known."""
    found = await get("/api/v1/spreads")
    assert (found["total"], found["available"]) == (1, False)
    (spread,) = found["spreads"]
    assert (spread["high"]["contract_id"], spread["low"]["contract_id"]) == (BTC, HYPER)
    assert spread["low"]["rate_8h"] == -8e-5
    assert (spread["paid_7d"], spread["sign_days"]) == (None, None)
    assert spread["days"] == [None] * 30
    assert (await get("/api/v1/spreads?base=ETH"))["spreads"] == []


async def test_spreads_are_filtered_by_what_is_traded() -> None:
    """Both legs must be traded for so much: the widest pair of those that remain is told."""
    fleet = small_market()
    for contract_id, turnover in ((BTC, 3e6), (COIN, 2e6), (HYPER, 1e5)):
        fleet.take_contract(b"", contract_facts(contract_id, turnover_24h=turnover))
    async with served(fleet) as site:
        (spread,) = (await site.json("/api/v1/spreads"))["spreads"]
        (liquid,) = (await site.json("/api/v1/spreads?min_turnover_24h=1e6"))["spreads"]
        none = await site.json("/api/v1/spreads?min_turnover_24h=2.5e6")
    assert (spread["low"]["contract_id"], spread["min_turnover_24h"]) == (HYPER, 1e5)
    assert (liquid["low"]["contract_id"], liquid["min_turnover_24h"]) == (COIN, 2e6)
    assert (liquid["high"]["turnover_24h"], liquid["price_checked"]) == (3e6, False)
    assert none["spreads"] == []


async def test_a_leg_of_which_nothing_is_traded_is_one_of_at_least_0() -> None:
    """One whose turnover is not known is none."""
    fleet = small_market()
    for contract_id, turnover in ((BTC, 3e6), (COIN, 0.0), (HYPER, None)):
        fleet.take_contract(b"", contract_facts(contract_id, turnover_24h=turnover))
    async with served(fleet) as site:
        (spread,) = (await site.json("/api/v1/spreads?min_turnover_24h=0"))["spreads"]
    assert (spread["low"]["contract_id"], spread["min_turnover_24h"]) == (COIN, 0.0)


async def test_what_settled_of_a_pair_is_what_the_topics_told() -> None:
    """Of one contract alone as well."""
    found = await get(f"/api/v1/spreads/paid?high={BTC}&low={COIN}&days=1")
    assert found["high"] == {"contract_id": BTC, "funding_time": [HOUR, HOUR], "rate": [2e-4, 5e-4]}
    assert found["low"] == {"contract_id": COIN, "funding_time": [], "rate": []}
    assert not found["available"]
    same = await get(f"/api/v1/spreads/paid?high={BTC}&low={BTC}")
    assert same["high"] == same["low"]


async def test_gaps_are_in_clickhouse_alone() -> None:
    """So there are none, and the reason."""
    found = await get("/api/v1/gaps?open=true")
    assert (found["gaps"], found["available"]) == ([], False)


async def test_sparklines_are_of_closed_hours() -> None:
    """A character for each; a dot where there is no bar."""
    found = await get("/api/v1/sparklines")
    assert (found["hour"], found["hours"]) == (HOUR - US_PER_HOUR, 48)
    assert (found["contract_id"], found["low"], found["high"]) == ([BTC], [1e-4], [4e-4])
    assert found["levels"] == ["." * 44 + "/qVA"]


async def test_the_summary_has_the_state_and_the_extremes() -> None:
    """On top what `/live` calls status."""
    found = await get("/api/v1/summary")
    assert {name: found[name] for name in STATUS} == STATUS
    assert (found["contracts"], found["rated"], found["high"], found["stale"]) == (5, 4, 2, 1)
    assert [(each["contract_id"], each["z"]) for each in found["top"]] == [
        (ETH, -3.5), (BTC, 2.5), (HYPER, -1.0), (COIN, 0.25),
    ]  # fmt: skip
    assert [(each["feed"], each["state"]) for each in found["feeds"]] == [
        ("binance-usdm", "live"), ("kucoin", "down"),
    ]  # fmt: skip
    assert (found["alerts_24h"], found["newest_hour"]) == (3, HOUR - US_PER_HOUR)
