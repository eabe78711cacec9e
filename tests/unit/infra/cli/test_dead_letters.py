"""What `dead-letters replay` tells when it does not come to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import dead_letters as cli
from infra.dead_letters.replaying import Outcome
from schemas.errors import UnavailableError


def test_what_was_sent_is_told_when_kafka_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script has to know of the first letter, whatever became of the second."""

    @contextmanager
    def reader() -> Iterator[tuple[None, None]]:
        yield None, None

    def replayed(*_: Any, **__: Any) -> Iterator[Outcome]:
        yield Outcome("3:17", "sent", 1, "3:17 sent 1 record to funding.rates")
        raise UnavailableError("Kafka is away")

    monkeypatch.setattr(cli, "_reader", reader)
    monkeypatch.setattr(cli, "_replayed", replayed)
    result = CliRunner().invoke(cli.dead_letters, ["replay", "--all", "--json"])
    assert [one["place"] for one in json.loads(result.stdout)] == ["3:17"]
    assert isinstance(result.exception, UnavailableError)
