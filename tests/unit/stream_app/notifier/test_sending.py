"""Threads that send: one message of a target at a time, none that is too late, no secret told."""

from __future__ import annotations

import logging
import threading
from typing import Any, cast

import pytest

from schemas.errors import ConfigurationError
from schemas.records import Notification
from stream_app.notifier.rules.firing import Firing
from stream_app.notifier.rules.ledger import Ledger
from stream_app.notifier.sending.pool import Done, Order, SenderPool
from stream_app.notifier.sending.services import Result, Service, message_of
from tests.support.clock import START_S, ManualClock
from tests.support.rules import START_US, rules_of
from tests.support.waiting import until

SECRET = "hunter2-hunter2"


def record(target: str = "desk", **changes: Any) -> Notification:
    """A notification that is to be sent."""
    book = Ledger("g", ["desk"], 10**12, "")
    (rule,) = rules_of("name: a, kinds: all").rules
    subject, kind, told = "kucoin", "feed_down", ("title 1", "message")
    book.take(Firing(rule, "id-1", subject, kind, "info", None, *told, START_US), START_US)
    (made,) = book.take_changes()
    return cast("Notification", {**made, "target": target, **changes})


class Slow:
    """A service that answers when it is let."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.got: list[str] = []

    def send(self, title: str, body: str, severity: str, alert_id: str) -> Result:
        """Wait, and accept."""
        assert self.go.wait(10)
        self.got.append(alert_id)
        return Result(ok=True)


def results(pool: SenderPool, count: int) -> list[Done]:
    """Wait for some results."""
    found: list[Done] = []

    def enough() -> bool:
        found.extend(pool.results())
        return len(found) >= count

    until(enough, f"{count} results")
    return found


def test_a_target_that_hangs_holds_up_no_other() -> None:
    """It stays busy; the other's message is sent meanwhile."""
    hanging, quick = Slow(), Slow()
    quick.go.set()
    pool = SenderPool(cast("Any", {"desk": hanging, "spare": quick}), ManualClock())
    pool.submit(Order(record("desk"), START_S + 1))
    pool.submit(Order(record("spare"), START_S + 1))
    (done,) = results(pool, 1)
    assert done.key == ("id-1", "spare")
    assert set(pool.busy) == {"desk"}
    hanging.go.set()
    assert results(pool, 1)[0].result.ok
    assert not pool.busy
    pool.close()


def test_an_attempt_that_does_not_end_is_told() -> None:
    """Until it ends."""
    service, clock = Slow(), ManualClock()
    pool = SenderPool(cast("Any", {"desk": service}), clock)
    pool.submit(Order(record(), START_S + 100))
    clock.advance(60)
    assert pool.trouble(60) == ""
    clock.advance(1)
    assert pool.trouble(60) == "target desk: an attempt has not ended for 61 s"
    service.go.set()
    assert results(pool, 1)[0].result.ok
    assert pool.trouble(60) == ""
    pool.close()


def test_what_is_too_late_is_not_sent() -> None:
    """The process stood still: another notifier may have taken over."""
    service, clock = Slow(), ManualClock()
    service.go.set()
    pool = SenderPool(cast("Any", {"desk": service}), clock)
    clock.advance(10)
    pool.submit(Order(record(), START_S + 9))
    (done,) = results(pool, 1)
    assert (done.result.tried, service.got) == (False, [])
    pool.close()


def test_an_error_of_ours_is_a_failure_and_ends_no_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next message is sent."""

    class Broken(Slow):
        def send(self, title: str, body: str, severity: str, alert_id: str) -> Result:
            if not self.go.is_set():
                raise RuntimeError
            return super().send(title, body, severity, alert_id)

    service = Broken()
    pool = SenderPool(cast("Any", {"desk": service}), ManualClock())
    with caplog.at_level(logging.CRITICAL):
        pool.submit(Order(record(), START_S + 1))
        assert not results(pool, 1)[0].result.ok
    service.go.set()
    pool.submit(Order(record(), START_S + 1))
    assert results(pool, 1)[0].result.ok
    pool.close()


def test_a_failure_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in its reason nor in any log, however verbose."""
    with caplog.at_level(logging.DEBUG):
        service = Service("desk", "FUNDING_ALERT_URL_DESK", f"json://u:{SECRET}@127.0.0.1:1/", 1.0)
        result = service.send("title", "body", "info", "id")
        assert result == Result(ok=False, reason="no connection, no answer in time, or a refusal")
        with pytest.raises(ConfigurationError) as error:
            Service("desk", "FUNDING_ALERT_URL_DESK", f"nothing://{SECRET}", 1.0)
    assert SECRET not in caplog.text + str(error.value)


def test_a_message_ends_with_its_id_and_says_when_it_may_be_a_repetition() -> None:
    """So that a receiver can drop it."""
    title, body = message_of(record())
    assert (title, body) == ("title 1", "message\nid id-1")
    title, body = message_of(record(in_doubt=True))
    assert title == "(repeated?) title 1"
    assert "you may have it already" in body
    assert body.endswith("\nid id-1")
