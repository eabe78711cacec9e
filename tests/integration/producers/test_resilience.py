"""The running producer against an exchange that closes, falls silent and refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from schemas.audit_kinds import AuditKind
from schemas.clock import now_us
from tests.support.stack_fixture import RunningStack
from tests.support.stack_view import FEED
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def patient(stack: RunningStack) -> AsyncIterator[RunningStack]:
    """The stack with a producer that has failed twice at most, so that its delays are short."""
    if await stack.connects() > 2:
        await stack.restart_producer()
    yield stack
    await stack.control("resume")


async def states_since(stack: RunningStack, since: int) -> list[tuple[str, str, int]]:
    """State, detail and connects of each status published since a time."""
    rows = await stack.rows(
        "SELECT state, detail, connects FROM funding.feeds FINAL "
        f"WHERE toUnixTimestamp64Micro(reported_at) > {since} ORDER BY reported_at"
    )
    return [(str(state), str(detail), int(connects)) for state, detail, connects in rows]


async def seen(stack: RunningStack, since: int, state: str, detail: str = "") -> None:
    """Wait until a status with this state was published."""

    async def shown() -> bool:
        found = await states_since(stack, since)
        return any(s == state and detail in d for s, d, _connects in found)

    await eventually(shown, f"a status {state!r} with {detail!r}", 45)


async def noted(stack: RunningStack, since: int, kind: AuditKind, condition: str) -> None:
    """Wait until the audit has an event of the feed of which an SQL condition is true."""

    async def there() -> bool:
        rows = await stack.rows(
            f"SELECT count() FROM funding.audit WHERE subject = '{FEED}' AND kind = '{kind}' "
            f"AND toUnixTimestamp64Micro(last_event_time) > {since} AND {condition}"
        )
        return bool(rows[0][0])

    await eventually(there, f"{kind}: {condition}", 45)


async def opened(stack: RunningStack, more_than: int) -> None:
    """Wait for the exchange's next accepted socket."""

    async def more() -> bool:
        return (await stack.counts())[f"opened:{FEED}"] > more_than

    await eventually(more, "the producer connects again", 30)


async def test_a_cut_socket_is_opened_again(patient: RunningStack) -> None:
    """REST is asked at once; nothing that was sent is stored twice, and the gap is on record."""
    before, since = await patient.counts(), now_us()
    snapshots = f"rest:{FEED}/fapi/v1/premiumIndex"
    await patient.control("close", feed=FEED, abort=True)
    await opened(patient, before[f"opened:{FEED}"])

    async def snapshot_taken() -> bool:
        return (await patient.counts())[snapshots] > before[snapshots]

    await eventually(snapshot_taken, "the snapshot is fetched", 30)
    await patient.flowing()
    of_socket = "socket = 'mark-price' AND cause = 'closed'"
    await noted(patient, since, AuditKind.GAP_OPENED, of_socket)
    await noted(patient, since, AuditKind.GAP_CLOSED, f"{of_socket} AND rest_updates > 0")
    async with patient.quiet():
        await patient.check_rates()


async def test_silence_and_refusal_are_noticed_shown_and_outlived(patient: RunningStack) -> None:
    """A silent socket is REST's and replaced; where REST is refused as well it is down; then live.

    Nothing is stored twice, and nothing that was sent is missing.
    """
    before, connects = await patient.counts(), await patient.connects()
    since = now_us()
    await patient.control("silence", feed=FEED)
    await seen(patient, since, "fallback")
    await opened(patient, before[f"opened:{FEED}"])
    await noted(patient, since, AuditKind.GAP_OPENED, "cause = 'silent'")
    assert (await states_since(patient, since))[-1][0] == "fallback", "an open socket is no health"

    refused = await patient.counts()
    await patient.control("refuse", feed=FEED, target="all")
    await patient.control("close", feed=FEED)
    await seen(patient, since, "down", "1001")

    async def attempts() -> bool:
        return (await patient.counts())[f"refused:{FEED}"] > refused[f"refused:{FEED}"]

    await eventually(attempts, "refused attempts", 30)
    assert (await patient.counts())[f"opened:{FEED}"] == refused[f"opened:{FEED}"]

    resumed = now_us()
    await patient.control("resume")
    await seen(patient, resumed, "live")
    assert (await states_since(patient, since))[-1][2] == connects + 2
    await patient.flowing()
    alerts = await patient.rows(
        "SELECT kind, severity FROM funding.alerts FINAL "
        f"WHERE subject = '{FEED}' AND toUnixTimestamp64Micro(event_time) > {since} "
        "ORDER BY event_time"
    )
    assert alerts == [("feed_down", "critical"), ("feed_recovered", "info")]
    async with patient.quiet():
        await patient.check_rates()
