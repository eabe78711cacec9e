"""What real events did, made by the simulator on one running stack, and the right values in SQL.

docs/decisions/real-events.md has the events; each happens to a contract of its own, all at the same
time, and each test waits for what follows from one of them. The last tests are about what is right
again when everything is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.stack.parts import service
from schemas.clock import now_us
from schemas.feeds import spec
from tests.support.real_events import (
    BAD_FIELDS,
    CONTRACTS,
    EVENT_FEEDS,
    KUCOIN,
    LISTED_LATE,
    MISSING,
    POST_ONLY,
    RAISED,
    REFRESH_S,
    RELISTED,
    SPECIAL,
    SPECIAL_RATE,
    STATED,
    SUSPENDED,
    TWICE,
    USDM,
    ZOMBIE,
    Change,
    Events,
    dead_letters,
    faults_at_start,
)
from tests.support.stack_fixture import options_of, running_stack
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

SOON_S = 30.0
"""Two requests for a list and what follows from them: the first one meets a list that lags."""
SETTLED_S = SOON_S + spec(KUCOIN).settling_s
"""For so long after a full hour KuCoin's estimates may be noise, which is dropped."""
REGULAR_S = 2 * REFRESH_S + 30.0
"""What no stream contradicts is found by the regular requests, or told with the next minute."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def events(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Events]:
    """A stack of the feeds of the events, on which everything has been made to happen."""
    folder = tmp_path_factory.mktemp("events")
    faults = faults_at_start(folder, now_us() // 1_000)
    options = options_of(
        folder,
        feeds=EVENT_FEEDS,
        contracts=CONTRACTS,
        seed=13,
        simulator_arguments=("--kucoin-push-s", "2", "--faults", str(faults)),
        env={"FUNDING_PRODUCER_REGISTRY_REFRESH_S": str(REFRESH_S)},
    )
    async with running_stack(options) as stack:
        await stack.complete()
        made = Events(stack)
        await made.make()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def over(events: Events) -> Events:
    """Everything has ended, and producers that know nothing of before fetch the history again."""
    stack = events.stack
    await stack.supervisor.stop_service("producer")
    for bookmark in (stack.options.data_dir / "producer").glob("*.json"):
        bookmark.unlink()
    await stack.control("resume")
    await stack.supervisor.start(service(stack.options, "producer"))
    return events


def _since(events: Events, contract_id: str) -> str:
    return f"contract_id = '{contract_id}' AND toUnixTimestamp64Micro(received_at) > {events.began}"


@pytest.mark.parametrize("change", LISTED_LATE, ids=lambda change: change.contract_id)
async def test_a_change_that_the_list_tells_late_is_in_doubt_until_the_list_is_asked(
    events: Events, change: Change
) -> None:
    """No z and no alert of a scale in doubt; the list is asked at once, and again."""
    rates = f"funding.rates WHERE {_since(events, change.contract_id)}"

    async def listed() -> bool:
        row = await events.stack.rows(
            f"SELECT interval_hours, interval_source, interval_doubtful FROM {rates} "
            "ORDER BY event_time DESC LIMIT 1"
        )
        return row == [(change.after_hours, "exchange_info", False)]

    await eventually(listed, "the list tells the interval", SOON_S if events.shows else REGULAR_S)
    doubtful = await events.first(f"SELECT countIf(interval_doubtful) FROM {rates}")
    # Where it does not show at first, it may show after the full hour.
    assert doubtful > 0 or not events.shows
    # Of the changed rates none counts by the old interval; those from before may be on their way.
    changed = (
        f"SELECT countIf(NOT interval_doubtful AND interval_hours = {change.before_hours}) "
        f"FROM {rates} AND event_time >= "
        f"(SELECT min(event_time) FROM {rates} AND interval_doubtful)"
    )
    assert not events.shows or await events.first(changed) == 0
    in_doubt = (
        f"FROM funding.zscores WHERE {_since(events, change.contract_id)} AND interval_doubtful"
    )
    assert await events.first(f"SELECT countIf(z IS NOT NULL) {in_doubt}") == 0
    assert not events.shows or await events.first(f"SELECT count() {in_doubt}") > 0
    alerts = (
        f"SELECT count() FROM funding.alerts WHERE subject = '{change.contract_id}' "
        f"AND event_time IN (SELECT event_time FROM {rates} AND interval_doubtful)"
    )
    assert await events.first(alerts) == 0


async def test_the_lists_that_the_streams_contradict_are_asked_for_again(events: Events) -> None:
    """Beside the regular request, of which there is one at most in that time."""
    if events.shows:
        for path in ("binance-usdm/fapi/v1/fundingInfo", "backpack/api/v1/markets"):

            async def asked(path: str = path) -> bool:
                return await events.more_calls(path) >= 2

            await eventually(asked, f"{path} is asked for", SOON_S)


@pytest.mark.parametrize("change", STATED, ids=lambda change: change.contract_id)
async def test_a_change_that_the_stream_states_is_never_in_doubt(
    events: Events, change: Change
) -> None:
    """KuCoin tells the interval with each rate."""
    rates = f"funding.rates WHERE {_since(events, change.contract_id)} AND transport = 'ws'"

    async def changed() -> bool:
        newest = await events.first(
            f"SELECT interval_hours FROM {rates} ORDER BY event_time DESC LIMIT 1"
        )
        return bool(newest == change.after_hours)

    await eventually(changed, "the stream tells the interval", SETTLED_S)
    rows = await events.stack.rows(
        f"SELECT DISTINCT interval_source, interval_doubtful FROM {rates}"
    )
    assert rows == [("payload", False)]


async def test_a_special_settlement_is_paid_and_in_no_statistics(events: Events) -> None:
    """A special one of -20 % beside the regular one of the same minute."""
    rows = await events.stack.rows(
        "SELECT funding_time, rate, interval_hours, rate_8h FROM funding.settlements_once "
        f"WHERE contract_id = '{SPECIAL}' AND kind = 'special'"
    )
    assert [row[1:] for row in rows] == [(SPECIAL_RATE, None, None)]
    (found, *_rest) = rows[0]
    beside = await events.stack.rows(
        "SELECT kind, abs(rate) < 0.01 FROM funding.baseline_settlements "
        f"WHERE contract_id = '{SPECIAL}' AND funding_time = '{found:%Y-%m-%d %H:%M:%S}'"
    )
    assert beside == [("regular", True)]
    paid = await events.stack.rows(
        "SELECT special, special_count, abs(total - regular - special) < 1e-12 FROM funding.paid "
        f"WHERE contract_id = '{SPECIAL}' AND special_count > 0"
    )
    assert paid == [(SPECIAL_RATE, 1, True)]


async def test_a_missing_settlement_is_a_hole_and_no_longer_interval(events: Events) -> None:
    """Told as one that is missing; its neighbours are of 8 h as ever."""
    gaps = (
        "SELECT missing, interval_hours FROM funding.settlement_gaps "
        f"WHERE contract_id = '{MISSING}'"
    )
    assert await events.stack.rows(gaps) == [(1, 8)]
    hours = (
        "SELECT DISTINCT interval_hours FROM funding.settlements_once "
        f"WHERE contract_id = '{MISSING}' AND kind = 'regular'"
    )
    assert await events.stack.rows(hours) == [(8,)]


async def test_a_raised_cap_is_asked_for(events: Events) -> None:
    """Rates beyond the listed cap are stored and not traded on, until the list tells it anew."""
    rates = f"funding.rates WHERE {_since(events, RAISED)}"

    async def believed() -> bool:
        beyond = await events.first(f"SELECT countIf(out_of_range) FROM {rates}")
        newest = await events.first(
            f"SELECT out_of_range FROM {rates} ORDER BY event_time DESC LIMIT 1"
        )
        return bool(beyond > 0 and newest is False)

    await eventually(believed, "the new cap counts", SOON_S)
    assert await events.first(f"SELECT max(abs(rate)) > 0.03 FROM {rates} AND NOT out_of_range")


@pytest.mark.parametrize("contract_id", BAD_FIELDS)
async def test_a_bad_field_does_not_cost_the_rate(events: Events, contract_id: str) -> None:
    """The rate goes on, the item is in the dead letters."""

    async def both() -> bool:
        letters = await asyncio.to_thread(dead_letters, events.stack)
        return contract_id in {subject for subject, _error in letters}

    await eventually(both, "the items are dead letters", SOON_S)
    sql = (
        f"SELECT count() FROM funding.rates WHERE {_since(events, contract_id)} "
        "AND transport = 'ws'"
    )

    async def streams() -> bool:
        return bool(await events.first(sql) >= 5)

    await eventually(streams, "its rates go on", SETTLED_S)
    impossible = (
        "SELECT count() FROM funding.settlements "
        f"WHERE contract_id = '{contract_id}' AND abs(rate) > 0.1"
    )
    assert await events.first(impossible) == 0


async def test_nulls_are_absent_fields(events: Events) -> None:
    """With null in every optional field the rates of every feed go on; no contract is halted."""
    await events.stack.control("null-fields")
    since = now_us()
    sql = (
        "SELECT uniq(feed) FROM funding.rates WHERE transport = 'ws' "
        f"AND toUnixTimestamp64Micro(received_at) > {since}"
    )

    async def flows() -> bool:
        return bool(await events.first(sql) == len(EVENT_FEEDS))

    await eventually(flows, "rates of every feed", SETTLED_S)
    await events.stack.control("resume", kind="null-fields")
    halted = (
        "SELECT DISTINCT subject FROM funding.audit_once WHERE kind = 'trading_ended' "
        "AND to_state = 'halted' ORDER BY subject"
    )
    assert set(await events.stack.rows(halted)) <= {(SUSPENDED,), (POST_ONLY,)}


async def test_a_halt_that_the_stream_shows_is_no_gap(events: Events) -> None:
    """Hyperliquid: no rate of 0, no gap, and rates again when it is over."""
    rates = f"funding.rates WHERE {_since(events, SUSPENDED)}"

    async def resumed() -> bool:
        return await events.audited(SUSPENDED, "trading_began") == 1

    await eventually(resumed, "its rates are back", SOON_S)
    assert await events.audited(SUSPENDED, "trading_ended", "to_state = 'halted'") == 1
    assert await events.first(f"SELECT countIf(rate = 0) FROM {rates}") == 0
    assert await events.audited(SUSPENDED, "gap_opened") == 0


async def test_a_zombie_has_no_rate(events: Events) -> None:
    """REST, which fills in for a silent stream, lists it with zeros and the time of now."""
    polled = now_us()
    await events.begin_zombie()
    await events.silence(USDM)
    sql = (
        f"SELECT uniq(contract_id) FROM funding.rates WHERE feed = '{USDM}' AND transport = 'rest' "
        f"AND toUnixTimestamp64Micro(received_at) > {polled}"
    )

    async def filled() -> bool:
        return bool(await events.first(sql) > 10)

    await eventually(filled, "REST brings the rates", SOON_S)
    await events.stack.control("resume", feed=USDM, kind="silence")
    zeros = f"SELECT count() FROM funding.rates WHERE {_since(events, ZOMBIE)} AND rate = 0"
    assert await events.first(zeros) == 0
    alerts = (
        f"SELECT count() FROM funding.alerts WHERE subject = '{ZOMBIE}' "
        f"AND toUnixTimestamp64Micro(event_time) > {events.began}"
    )
    assert await events.first(alerts) == 0


async def test_silence_of_a_restricted_contract_is_no_gap(events: Events) -> None:
    """Backpack's PostOnly: what is rated goes on, what is silent is not missed."""
    feed, _, symbol = POST_ONLY.partition(":")

    async def halted() -> bool:
        return await events.audited(POST_ONLY, "trading_ended", "to_state = 'halted'") == 1

    await eventually(halted, "the list tells the restriction", REGULAR_S)
    rated = f"SELECT count() FROM funding.rates WHERE {_since(events, POST_ONLY)}"
    assert await events.first(rated) > 10
    await events.silence(feed, symbol)
    age = (
        "SELECT dateDiff('second', max(received_at), now64(6)) FROM funding.rates "
        f"WHERE {_since(events, POST_ONLY)}"
    )

    async def stale() -> bool:
        return bool(await events.first(age) > spec(feed).stale_s + 2)

    await eventually(stale, "it is silent for longer than is allowed", SOON_S)
    assert await events.audited(POST_ONLY, "gap_opened") == 0


async def test_a_ticker_that_is_used_again_begins_a_new_generation(events: Events) -> None:
    """The new contract is scored against its own settlements, of which there are none."""

    async def gone() -> bool:
        return await events.audited(RELISTED, "delisted") > 0

    await eventually(gone, "it is delisted", REGULAR_S)
    await events.relist()
    scores = f"funding.zscores WHERE {_since(events, RELISTED)} AND generation = 2"

    async def scored() -> bool:
        return bool(await events.first(f"SELECT count() FROM {scores}"))

    await eventually(scored, "the new contract is scored", REGULAR_S)
    assert await events.first(f"SELECT countIf(z IS NOT NULL OR samples > 1) FROM {scores}") == 0
    assert await events.audited(RELISTED, "relisted") == 1
    old = (
        "SELECT count() FROM funding.baseline_settlements "
        f"WHERE contract_id = '{RELISTED}' AND generation = 1"
    )
    assert await events.first(old) == 0


async def test_the_zeros_of_the_zombie_are_told_as_no_rate(events: Events) -> None:
    """They are counted by the minute."""

    async def told() -> bool:
        return await events.audited(ZOMBIE, "no_rate") > 0

    await eventually(told, "the minute is over", REGULAR_S)


async def test_odd_lists_change_no_contract(events: Events) -> None:
    """A contract that is listed twice keeps its state, an empty symbol is no contract."""

    async def asked() -> bool:
        return await events.more_calls("binance-usdm/fapi/v1/exchangeInfo") >= 2

    await eventually(asked, "the list has been asked for", REGULAR_S)
    sql = f"SELECT count() FROM funding.audit WHERE subject = '{TWICE}' AND kind = 'status_change'"
    assert await events.first(sql) == 0
    for table in ("rates", "settlements", "zscores"):
        assert await events.first(f"SELECT count() FROM funding.{table} WHERE symbol = ''") == 0
    assert await events.first(f"SELECT count() FROM funding.audit WHERE subject = '{USDM}:'") == 0


async def test_a_settlement_that_comes_later_fills_its_hole(over: Events) -> None:
    """Its neighbours stay as they are."""

    async def filled() -> bool:
        sql = f"SELECT count() FROM funding.settlement_gaps WHERE contract_id = '{MISSING}'"
        found = await over.first(
            "SELECT count() FROM funding.audit_once "
            f"WHERE subject = '{MISSING}' AND kind = 'settlement_found'"
        )
        return bool(found and await over.first(sql) == 0)

    await eventually(filled, "the missing settlement has come", 60)
    kinds = (
        "SELECT kind, sum(count) FROM funding.audit_once "
        f"WHERE subject = '{MISSING}' AND kind IN ('settlement_missing', 'settlement_found') "
        "GROUP BY kind ORDER BY kind"
    )
    assert await over.stack.rows(kinds) == [("settlement_found", 0), ("settlement_missing", 1)]


async def test_what_was_restricted_trades_again(over: Events) -> None:
    """Its list says so."""

    async def traded() -> bool:
        return await over.audited(POST_ONLY, "trading_began", "to_state = 'trading'") == 1

    await eventually(traded, "it trades again", REGULAR_S)
    assert await over.audited(POST_ONLY, "gap_opened") == 0


async def test_nothing_but_the_bad_fields_became_a_dead_letter(over: Events) -> None:
    """Nulls, unknown events and special settlements are none; a row without a name is one."""
    letters = await asyncio.to_thread(dead_letters, over.stack)
    assert {subject for subject, _error in letters} == {*BAD_FIELDS, f"{USDM}:"}, letters[:5]
    nameless = {error for subject, error in letters if subject == f"{USDM}:"}
    assert nameless == {"not a message of this exchange"}
