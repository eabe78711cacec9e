"""Sends a test message to targets, for `fundingstream alerts test`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from schemas.clock import Clock
from schemas.errors import ConfigurationError
from stream_app.notifier.rules_file.problems import meant
from stream_app.notifier.sending.services import Service


class Trial(NamedTuple):
    """What became of one target's message."""

    target: str
    service: str
    ok: bool
    reason: str
    seconds: float


def chosen(targets: Collection[str], named: Collection[str]) -> list[str]:
    """Return the named targets, or all.

    Raises:
        ConfigurationError: a name is none of a target.
    """
    for name in named:
        if name not in targets:
            raise ConfigurationError(f"there is no target {name!r}: {meant(name, targets)}")
    return list(named or targets)


def send_tests(services: Mapping[str, Service], clock: Clock) -> list[Trial]:
    """Send a message to each service at the same time, and wait for all of them."""

    def send(target: str) -> Trial:
        began_s, service = clock.monotonic_s(), services[target]
        result = service.send(
            "fundingstream: test",
            f"This is a test of the target {target}. There is nothing to do.",
            "info",
            f"test/{target}/{clock.now_us()}",
        )
        seconds = clock.monotonic_s() - began_s
        return Trial(target, service.name, result.ok, result.reason, seconds)

    with ThreadPoolExecutor(max_workers=max(1, len(services))) as pool:
        return list(pool.map(send, services))
