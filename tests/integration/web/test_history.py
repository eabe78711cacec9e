"""The questions to ClickHouse, on the real engine: rows in, answers that were computed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from infra.clickhouse.migrate import migrate
from schemas.clock import SystemClock, now_us
from schemas.errors import UnavailableError
from schemas.records import ZScore
from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S
from stream_app.settings import ClickHouseSettings
from stream_app.web.fleet import Fleet
from stream_app.web.history.clickhouse import ClickHouse
from stream_app.web.history.history import History
from stream_app.web.history.queries import MAX_POINTS, QUARTER_S
from stream_app.web.rest.feed_rows import quarters
from stream_app.web.rest.pairs import best_pairs
from tests.support.audit_rows import audit
from tests.support.clock import ManualClock
from tests.support.rest_scene import BTC, COIN, ETH, HYPER, alert, bar, report, settled, zscore
from tests.support.sink_stack import ClickHouseServer, facts, insert, rate

pytestmark = pytest.mark.integration

NOW = now_us() // US_PER_HOUR * US_PER_HOUR + 20 * US_PER_MINUTE
"""Of the clock of most tests: twenty minutes past an hour, in this hour or some minutes ahead."""
HOUR = NOW // US_PER_HOUR * US_PER_HOUR


@pytest.fixture(scope="module", autouse=True)
def _tables(server: ClickHouseServer) -> None:
    """The tables, empty."""
    migrate(server.settings)


@pytest.fixture
def clickhouse(server: ClickHouseServer) -> ClickHouseServer:
    """The server with empty tables."""
    server.empty()
    return server


@pytest_asyncio.fixture
async def history(clickhouse: ClickHouseServer) -> AsyncIterator[History]:
    """The questions, by the user who reads without a password, at a time that stands still."""
    clock = ManualClock(now_us=NOW)
    settings = ClickHouseSettings(clickhouse_url=clickhouse.settings.clickhouse_url)
    found = History(ClickHouse(settings, clock), clock)
    yield found
    await found.close()


def z_at(contract_id: str, at: int, rate_: float, z: float | None = 1.0, **changes: Any) -> ZScore:
    """A z-score of a time."""
    times = {"event_time": at, "received_at": at + 200, "computed_at": at + 300}
    return zscore(contract_id, rate_, z, **{**times, **changes})


async def test_a_contract_has_all_of_its_past(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """And nothing of others, or of other times; twice delivered rows are there once."""
    estimates = [
        z_at(BTC, NOW - n * US_PER_MINUTE, n / 1e5, None if n == 3 else n) for n in range(5)
    ]
    old = z_at(BTC, NOW - 169 * US_PER_HOUR, 1.0)
    insert(clickhouse, "zscores", *estimates, old, z_at(ETH, NOW, 9.0))
    insert(clickhouse, "zscores", estimates[1], token="again")
    insert(
        clickhouse, "bars",
        bar(BTC, HOUR - US_PER_HOUR, 1e-4, interval_hours=4.0, z_min=-1.0, covered_s=90.0),
        bar(BTC, HOUR - 2 * US_PER_HOUR, 3e-4), bar(ETH, HOUR - US_PER_HOUR, 9.0),
    )  # fmt: skip
    insert(
        clickhouse, "settlements",
        settled(BTC, HOUR, 2e-4), settled(BTC, HOUR - 8 * US_PER_HOUR, 1e-4, source="stream"),
        settled(BTC, HOUR, 5e-4, kind="special", interval_hours=None, rate_8h=None),
        settled(ETH, HOUR, 9.0),
    )  # fmt: skip
    insert(
        clickhouse, "audit",
        audit(BTC, "late", NOW - US_PER_MINUTE, NOW, count=7, detail="seven"),
        audit(BTC, "duplicate", NOW - US_PER_HOUR, NOW - US_PER_HOUR),
        audit(ETH, "late", NOW, NOW),
    )  # fmt: skip
    insert(clickhouse, "alerts", alert("a1", BTC, NOW - US_PER_S), alert("a2", ETH, NOW))
    past = await history.contract(BTC, 168)
    assert past.reason == ""
    assert (past.begin, past.end) == (NOW - 168 * US_PER_HOUR, NOW)
    assert past.estimates.time == [NOW - n * US_PER_MINUTE for n in (4, 3, 2, 1, 0)]
    assert past.estimates.rate_8h == [4e-5, 3e-5, 2e-5, 1e-5, 0.0]
    assert past.estimates.z == [4.0, None, 2.0, 1.0, 0.0]
    assert past.bars.hour == [HOUR - 2 * US_PER_HOUR, HOUR - US_PER_HOUR]
    assert past.bars.close == [3e-4, 2e-4]
    assert (past.bars.z_min, past.bars.covered_s) == ([None, -1.0], [3600.0, 90.0])
    assert past.settlements.funding_time == [HOUR - 8 * US_PER_HOUR, HOUR, HOUR]
    assert past.settlements.rate == [1e-4, 2e-4, 5e-4]
    assert past.settlements.rate_8h == [1e-4, 2e-4, None]
    assert past.settlements.kind == ["regular", "regular", "special"]
    assert past.settlements.source == ["stream", "history", "history"]
    assert [(each.kind, each.count, each.detail) for each in past.audit] == [
        ("late", 7, "seven"), ("duplicate", 1, ""),
    ]  # fmt: skip
    assert [each["alert_id"] for each in past.alerts] == ["a1"]
    assert past.alerts[0]["raw_offset"] is None


async def test_many_estimates_are_thinned_and_keep_their_extremes(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """In order, over the whole time; a spike of five seconds stays."""
    count = 20_000
    clickhouse.rows(
        "INSERT INTO funding.zscores (contract_id, rate_8h, z, event_time) "
        f"SELECT '{BTC}', if(number = 7777, 5, if(number = 9999, -5, number % 7 / 7)), 1, "
        f"fromUnixTimestamp64Micro({NOW} - 5000000 * number) FROM numbers({count})"
    )
    points = (await history.contract(BTC, 168)).estimates
    assert MAX_POINTS / 10 < len(points.time) <= MAX_POINTS
    assert points.time == sorted(set(points.time))
    assert points.time[-1] == NOW
    assert NOW - count * 5 * US_PER_S <= points.time[0] < NOW - (count - 300) * 5 * US_PER_S
    assert points.rate_8h[points.time.index(NOW - 7777 * 5 * US_PER_S)] == 5
    assert points.rate_8h[points.time.index(NOW - 9999 * 5 * US_PER_S)] == -5


async def test_the_distribution_is_of_the_baseline(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """Regular settlements of 30 days, of the newest life, whose interval is not in doubt."""
    insert(
        clickhouse, "settlements",
        settled(BTC, HOUR, 2e-4), settled(BTC, HOUR - 8 * US_PER_HOUR, 0.0),
        settled(BTC, HOUR - 30 * US_PER_DAY + 1, 1e-4, rate_8h=1e-4),
        settled(BTC, HOUR - 30 * US_PER_DAY, 9.0, rate_8h=9.0),
        settled(BTC, HOUR - 16 * US_PER_HOUR, 9.0, rate_8h=9.0, interval_doubtful=True),
        settled(BTC, HOUR - 24 * US_PER_HOUR, 9.0, kind="special", rate_8h=9.0),
        settled(COIN, HOUR, 9.0),
    )  # fmt: skip
    found = (await history.contract(BTC, 1)).distribution
    assert found is not None
    assert (found.low, found.high, found.samples) == (0.0, 2e-4, 3)
    assert (found.counts[0], found.counts[22], found.counts[43]) == (1, 1, 1)
    insert(
        clickhouse, "settlements",
        settled(ETH, HOUR, 9.0), settled(ETH, HOUR - 1, 1.0, generation=2, rate_8h=1.0),
    )  # fmt: skip
    reborn = (await history.contract(ETH, 1)).distribution
    assert reborn is not None
    assert (reborn.samples, reborn.counts[22]) == (1, 1)


async def test_gaps_that_overlap_are_shown(history: History, clickhouse: ClickHouseServer) -> None:
    """Of the contract and of its feed's connection; an open one has no end."""
    day, minute = 24 * US_PER_HOUR, US_PER_MINUTE
    spans = {
        (BTC, ""): [
            (NOW - 3 * day, NOW - 3 * day + minute),
            (NOW - day - minute, NOW - day + minute),
        ],
        (ETH, ""): [(NOW - minute, NOW)],
        ("binance-usdm", "s1"): [(NOW - 2 * minute, NOW - minute)],
        ("kucoin", "s1"): [(NOW - 2 * minute, NOW - minute)],
    }
    insert(
        clickhouse, "audit",
        *(audit(subject, "gap_opened", begin, begin, socket=socket or None, cause="silent")
          for (subject, socket), found in spans.items() for begin, _ in found),
        *(audit(subject, "gap_closed", begin, end, socket=socket or None, detail="filled",
                rest_filled_s=6.0)
          for (subject, socket), found in spans.items() for begin, end in found),
        audit(BTC, "gap_opened", NOW - 30 * US_PER_S, NOW - 30 * US_PER_S, cause="never_streamed"),
    )  # fmt: skip
    gaps = (await history.contract(BTC, 24)).gaps
    assert [(each.subject, each.opened_at, each.closed_at) for each in gaps] == [
        (BTC, NOW - 30 * US_PER_S, None),
        ("binance-usdm", NOW - 2 * minute, NOW - minute),
        (BTC, NOW - day - minute, NOW - day + minute),
    ]
    assert (gaps[0].cause, gaps[1].socket, gaps[1].seconds) == ("never_streamed", "s1", 60.0)
    assert (gaps[1].filled_by, gaps[1].rest_filled_s, gaps[0].closed_at_iso) == (
        "filled",
        6.0,
        None,
    )
    asked = {"feed": "", "subject": "", "state": "", "begin": NOW - 2 * day, "end": NOW, "limit": 9}
    for changes, count in (
        ({}, 5), ({"feed": "kucoin"}, 1), ({"subject": BTC}, 2), ({"state": "open"}, 1),
        ({"state": "closed"}, 4), ({"begin": 0}, 6), ({"limit": 2}, 2),
        ({"end": NOW - day}, 1), ({"subject": "binance-usdm"}, 1),
    ):  # fmt: skip
        assert len(await history.gaps(**{**asked, **changes})) == count, changes  # type: ignore[arg-type]


async def test_alerts_are_found_by_what_they_are(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """The newest first; a feed's are also those of its contracts, and not those of its namesake."""
    insert(
        clickhouse, "alerts",
        alert("a1", BTC, NOW - 9 * US_PER_S),
        alert("a2", ETH, NOW - 8 * US_PER_S, severity="warning"),
        alert("a3", "binance-usdm", NOW, kind="feed_down", value=None), alert("a4", COIN, NOW - 1),
        alert("a5", "binance-usdm2:X", NOW - 2),
    )  # fmt: skip
    asked = {"kinds": (), "severities": (), "subject": "", "begin": 0, "end": NOW, "limit": 9}
    for changes, expected in (
        ({}, "a3 a4 a5 a2 a1"), ({"kinds": ("feed_down", "mismatch")}, "a3"),
        ({"severities": ("warning",)}, "a2"), ({"subject": "binance-usdm"}, "a3 a2 a1"),
        ({"subject": BTC}, "a1"), ({"limit": 2}, "a3 a4"),
        ({"begin": NOW - 2 * US_PER_S}, "a3 a4 a5"), ({"end": NOW - 8 * US_PER_S}, "a2 a1"),
    ):  # fmt: skip
        found = await history.alerts(**{**asked, **changes})  # type: ignore[arg-type]
        assert " ".join(each["alert_id"] for each in found) == expected, changes


async def test_a_pair_has_paid_the_difference_of_what_settled(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """In windows of 24 hours up to the full hour; a corrected rate counts once, specials count."""
    day = US_PER_DAY
    insert(
        clickhouse, "settlements",
        settled(BTC, HOUR, 3e-4), settled(BTC, HOUR - 8 * US_PER_HOUR, 1e-4),
        settled(BTC, HOUR - day + 1, 1e-4), settled(BTC, HOUR - day, 5e-4),
        settled(BTC, HOUR, 7e-4, kind="special", interval_hours=None, rate_8h=None),
        settled(BTC, HOUR - 30 * day + 1, 2e-4), settled(BTC, HOUR - 30 * day, 9.0),
        settled(BTC, HOUR + 1, 9.0), settled(HYPER, HOUR - 3 * US_PER_HOUR, -1e-4),
    )  # fmt: skip
    insert(clickhouse, "settlements", settled(BTC, HOUR - 8 * US_PER_HOUR, 2e-4))
    paid = await history.daily_paid([BTC, HYPER, COIN], None)
    assert (paid.begin, paid.end) == (HOUR - 30 * day, HOUR)
    assert paid.days[BTC][-1] == pytest.approx(3e-4 + 2e-4 + 1e-4 + 7e-4)
    assert paid.days[BTC][-2] == pytest.approx(5e-4)
    assert paid.days[BTC][0] == pytest.approx(2e-4)
    assert np.isnan(paid.days[BTC][1:-2]).all()
    assert np.isnan(paid.days[HYPER][:-1]).all()
    assert paid.days[HYPER][-1] == -1e-4
    assert np.isnan(paid.days[COIN]).all()
    # What is known is not asked again, until something settles.
    insert(clickhouse, "settlements", settled(COIN, HOUR, 4e-4))
    assert np.isnan((await history.daily_paid([COIN], None)).days[COIN][-1])
    assert (await history.daily_paid([COIN], HOUR)).days[COIN][-1] == 4e-4
    high, low = await history.paid((BTC, HYPER), HOUR - day, HOUR)
    assert high.funding_time == [HOUR - day, HOUR - day + 1, HOUR - 8 * US_PER_HOUR, HOUR, HOUR]
    assert high.rate == [5e-4, 1e-4, 2e-4, 3e-4, 7e-4]
    assert (low.contract_id, low.rate) == (HYPER, [-1e-4])


async def test_a_quarter_without_a_stream_is_told(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """Two contracts: one is silent for ten minutes of a quarter, REST fills four of them."""
    quarter = (HOUR // US_PER_S) // QUARTER_S
    begin = HOUR - QUARTER_S * US_PER_S + US_PER_MINUTE
    end = begin + 10 * US_PER_MINUTE
    insert(
        clickhouse, "audit",
        audit(BTC, "gap_opened", begin, begin),
        audit(BTC, "gap_closed", begin, end, rest_filled_s=240.0),
        # Over the border of two quarters, three minutes and two.
        audit(ETH, "gap_opened", HOUR - 3 * US_PER_MINUTE, HOUR - 3 * US_PER_MINUTE),
        audit(ETH, "gap_closed", HOUR - 3 * US_PER_MINUTE, HOUR + 2 * US_PER_MINUTE),
        # A connection's own gap, and one of the day before yesterday, add nothing.
        audit("binance-usdm", "gap_opened", begin, begin, socket="s1"),
        audit("binance-usdm", "gap_closed", begin, end, socket="s1"),
        audit(ETH, "gap_opened", NOW - 2 * US_PER_DAY, NOW - 2 * US_PER_DAY),
        audit(ETH, "gap_closed", NOW - 2 * US_PER_DAY, NOW - 2 * US_PER_DAY + US_PER_HOUR),
        audit("binance-usdm", "matched", HOUR - US_PER_HOUR, HOUR - US_PER_HOUR, count=40),
        audit("binance-usdm", "mismatch", HOUR - US_PER_HOUR, HOUR - US_PER_HOUR, count=2),
        audit(BTC, "settled_differs", HOUR - US_PER_HOUR, HOUR - US_PER_HOUR, count=3),
        audit("binance-usdm", "matched", HOUR - 2 * US_PER_DAY, HOUR - 2 * US_PER_DAY, count=99),
    )  # fmt: skip
    insert(
        clickhouse, "feeds",
        report("binance-usdm", HOUR - 2 * US_PER_HOUR), report("binance-usdm", HOUR),
        report("binance-usdm", HOUR - 3 * US_PER_HOUR, state="connecting"),
    )  # fmt: skip
    past = (await history.feeds())["binance-usdm"]
    assert past.gaps_24h == 3
    assert past.missing_s == pytest.approx({quarter - 1: 600 - 240 + 180, quarter: 120})
    assert past.observed_from == quarter - 8
    assert (past.matched, past.mismatch, past.settled_matched, past.settled_differs) == (
        40,
        2,
        0,
        3,
    )
    told = quarters(past.missing_s, past.observed_from, 2, NOW)
    # Now is five minutes within the second quarter of the hour.
    assert told[-1] == 1.0
    assert told[-2] == pytest.approx(1 - 120 / 1_800)
    assert told[-3] == pytest.approx(1 - 540 / 1_800)
    assert told[-10:-3] == [1.0] * 7
    assert told[-11] is None


async def test_uptime_is_that_of_the_view(history: History, clickhouse: ClickHouseServer) -> None:
    """Of today and of seven days, weighted by the contracts' hours."""
    back = [HOUR - n * US_PER_HOUR for n in range(2, 40)]
    insert(
        clickhouse, "bars",
        *(bar(BTC, hour, 1e-4, covered_s=1800.0, ws_s=1800.0) for hour in back),
        *(bar(COIN, hour, 1e-4) for hour in back),
    )  # fmt: skip
    past = await history.feeds()
    rows = clickhouse.rows(
        "SELECT feed, sum(uptime * contract_hours) / sum(contract_hours), "
        "maxIf(uptime, day = toDate(now('UTC'))) FROM funding.uptime "
        "WHERE day > toDate(now('UTC')) - 7 GROUP BY feed ORDER BY feed"
    )
    assert [feed for feed, _, _ in rows] == ["binance-usdm", "kucoin"]
    for feed, week, day in rows:
        assert past[feed].uptime_week == pytest.approx(week)
        assert (past[feed].uptime_day or 0.0) == pytest.approx(day)
    assert past["binance-usdm"].uptime_week == pytest.approx(0.5, abs=0.02)


async def test_the_loader_gets_what_the_fleet_takes(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """The newest z-score of each contract of the last day, as it was published."""
    now = now_us()
    newest = z_at(BTC, now - 5, 3e-4, 2.5, stats_as_of=HOUR, generation=2, raw_offset=7)
    insert(
        clickhouse, "zscores",
        z_at(BTC, now - US_PER_S, 1e-4), newest, z_at(ETH, now - 2 * US_PER_DAY, 1e-4),
        z_at(COIN, now, 1e-4, None, mark_price=None, interval_source=None),
    )  # fmt: skip
    found = await history.latest()
    assert {each["contract_id"]: each for each in found} == {
        BTC: newest,
        COIN: z_at(COIN, now, 1e-4, None, mark_price=None, interval_source=None),
    }
    fleet = Fleet()
    for each in found:
        fleet.take_zscore(each, now)
    assert set(fleet.contracts) == {BTC, COIN}
    insert(clickhouse, "rates", rate(3), rate(4, quote="USDC"))
    assert await history.quotes() == {"binance-usdm:S3USDT": "USDT", "binance-usdm:S4USDT": "USDC"}
    insert(
        clickhouse, "audit",
        audit(BTC, "delisted", now - 9, now - 9), audit(ETH, "trading_ended", now - 9, now - 9),
        audit(ETH, "trading_began", now, now),
    )  # fmt: skip
    assert await history.gone() == {BTC}


async def test_pairs_are_those_of_the_view(clickhouse: ClickHouseServer) -> None:
    """`spreads` in SQL and best_pairs in Python say the same."""
    now = now_us()
    rates = [
        z_at(f"{feed}:{base}{number}", now - number * US_PER_S, ((number * 37) % 11 - 5) / 1e4,
             base=base, interval_hours=(1.0, 8.0)[number % 2], interval_doubtful=number == 3)
        for number in range(12)
        for feed, base in (
            (("binance-usdm", "kucoin", "backpack")[number % 3], "ABC"[number % 2]),
        )
    ]  # fmt: skip
    insert(clickhouse, "zscores", *rates)
    view = clickhouse.rows(
        "SELECT base, gap_8h, gap_apr, high_contract_id, low_contract_id FROM funding.spreads"
    )
    found = [
        (pair.base, pair.gap_8h, pair.gap_apr, pair.high["contract_id"], pair.low["contract_id"])
        for pair in best_pairs(rates, now)
    ]
    assert len(view) == 2
    assert [row[3:] for row in found] == [row[3:] for row in view]
    assert [row[1:3] for row in found] == [pytest.approx(row[1:3]) for row in view]


async def test_two_assets_of_one_name_are_in_unpaired(clickhouse: ClickHouseServer) -> None:
    """`spreads` has the widest of the others; one without a mark price is not checked."""
    now = now_us()
    legs = [
        ("kucoin:A", 9e-4, 0.5, 1.0, "USDT"),
        ("binance-usdm:1000A", 5e-4, 7.2, 1000.0, "USDC"),
        ("backpack:A", 1e-4, 0.0071, 1.0, "USDC"),
        ("kucoin:B", 3e-4, 10.0, 1.0, "USDT"),
        ("backpack:B", 1e-4, None, 1.0, "USDC"),
        ("kucoin:C", 3e-4, 10.0, 1.0, "USDT"),
        ("backpack:C", 2e-4, 10.1, 1.0, "USDC"),
        ("hyperliquid:C", 1e-4, None, 1.0, "USDC"),
    ]
    rows = [
        z_at(contract_id, now, eighth, base=contract_id[-1], mark_price=mark, quote=quote,
             multiplier=multiplier)
        for contract_id, eighth, mark, multiplier, quote in legs
    ]  # fmt: skip
    insert(clickhouse, "zscores", *rows)
    insert(
        clickhouse, "rates",
        *(
            rate(number, contract_id=row["contract_id"], feed=row["feed"], base=row["base"],
                 quote=row["quote"], multiplier=row["multiplier"])
            for number, row in enumerate(rows)
        ),
    )  # fmt: skip
    insert(clickhouse, "contract_facts", *(
        facts(contract_id, quote=quote, turnover_24h=turnover)
        for (contract_id, _, _, _, quote), turnover in zip(legs, (9e6, 4e6, 2e6, 1e6), strict=False)
    ))  # fmt: skip
    view = clickhouse.rows(
        "SELECT base, high_contract_id, low_contract_id, price_checked, min_turnover_24h "
        "FROM funding.spreads ORDER BY base"
    )
    assert view == [
        ("A", "binance-usdm:1000A", "backpack:A", True, 2e6),
        ("B", "kucoin:B", "backpack:B", False, None),
        ("C", "kucoin:C", "backpack:C", True, None),
    ]
    told = sorted(best_pairs(rows, now), key=lambda pair: pair.base)
    assert [(p.base, p.high["contract_id"], p.low["contract_id"]) for p in told] == [
        row[:3] for row in view
    ]
    unpaired = clickhouse.rows(
        "SELECT high_contract_id, high_price, low_contract_id, low_price FROM funding.unpaired"
    )
    assert [(row[0], row[2]) for row in unpaired] == [
        ("kucoin:A", "backpack:A"),
        ("kucoin:A", "binance-usdm:1000A"),
    ]
    assert unpaired[1][1::2] == pytest.approx((0.5, 0.0072))
    shown = clickhouse.rows(
        "SELECT contract_id, turnover_24h, open_interest, rate_kind FROM funding.latest "
        "WHERE base = 'B' ORDER BY contract_id"
    )
    assert shown == [("backpack:B", None, None, "estimate"), ("kucoin:B", 1e6, 3e5, "estimate")]
    (listed,) = clickhouse.rows(
        "SELECT status, status_word, listed_interval_hours, rate_cap FROM funding.contracts "
        "WHERE contract_id = 'kucoin:A'"
    )
    assert listed == ("trading", "TRADING", 8.0, 0.02)


NAMES = [
    "it's", '"', "\\", "\\'", "a\tb", "a\nb", "a\rb", "a\0b", "{x:String}", "%(x)s", "';--",
    "') OR 1=1 --", "../../etc", "x" * 5_000, "ü𝕏\u202e", "", "unhex('00')",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
async def test_a_name_finds_itself_and_nothing_else(
    history: History, clickhouse: ClickHouseServer, name: str
) -> None:
    """As a value it arrives unchanged, whatever a part of SQL it looks like."""
    contract_id = f"kucoin:{name}"
    times = [(HOUR - n * US_PER_HOUR, f"kucoin:{n}") for n in range(3)]
    insert(
        clickhouse, "settlements",
        settled(contract_id, HOUR, 7e-4), *(settled(other, at, 9.0) for at, other in times),
    )  # fmt: skip
    insert(
        clickhouse, "audit",
        audit(contract_id, "gap_opened", NOW - 9, NOW - 9),
        audit("kucoin:0", "gap_opened", NOW, NOW),
    )  # fmt: skip
    past = await history.contract(contract_id, 24)
    assert past.reason == ""
    assert past.settlements.rate == [7e-4]
    assert [each.subject for each in past.gaps] == [contract_id]
    (leg,) = await history.paid((contract_id,), HOUR - US_PER_DAY, NOW)
    assert leg.rate == [7e-4]
    assert (await history.daily_paid([contract_id], None)).days[contract_id][-1] == 7e-4
    found = await history.alerts(
        kinds=(contract_id,), severities=(), subject=contract_id, begin=0, end=NOW, limit=9
    )
    assert found == []


@pytest.mark.parametrize("by_writer", [False, True])
async def test_nothing_can_be_written(clickhouse: ClickHouseServer, *, by_writer: bool) -> None:
    """By the user who reads, and by the one who may write: every question says that it reads."""
    settings = ClickHouseSettings(clickhouse_url=clickhouse.settings.clickhouse_url)
    client = ClickHouse(clickhouse.settings if by_writer else settings, SystemClock())
    try:
        with pytest.raises(UnavailableError, match=r"readonly mode|Not enough privileges"):
            await client.ask("DROP TABLE funding.rates", tuple[list[int]])
    finally:
        await client.close()
    assert clickhouse.rows("SELECT count() FROM funding.rates") == [(0,)]


async def test_without_tables_the_reason_is_to_migrate(
    history: History, clickhouse: ClickHouseServer
) -> None:
    """The page shows what the topics tell, and this."""
    clickhouse.rows("DROP DATABASE funding")
    past = await history.contract(BTC, 1)
    assert "fundingstream migrate" in past.reason
    assert not history.state()["available"]
