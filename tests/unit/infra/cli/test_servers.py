"""What a command tells within seconds of a server that does not answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.cli.servers import require_clickhouse, require_kafka, require_registry
from schemas.errors import UnavailableError
from stream_app.settings import SinkSettings

SERVERS = {
    "kafka_bootstrap": (require_kafka, "{}", "FUNDING_KAFKA_BOOTSTRAP"),
    "registry_url": (require_registry, "http://{}", "FUNDING_REGISTRY_URL"),
    "clickhouse_url": (require_clickhouse, "http://{}", "FUNDING_CLICKHOUSE_URL"),
}


@pytest.fixture(params=["silent", "refusing"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where somebody listens and never says a word, and where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        if request.param == "refusing":
            listening.close()
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize("setting", SERVERS)
@pytest.mark.timeout(20)
def test_a_server_that_does_not_answer_is_one_sentence(setting: str, address: str) -> None:
    """It says where the server was looked for and what to do; the exit code is 3."""
    check: Callable[..., None]
    check, form, way_out = SERVERS[setting]
    given: dict[str, Any] = {setting: form.format(address)}
    with pytest.raises(UnavailableError) as told:
        check(SinkSettings(**given), 1.0)
    message = str(told.value)
    assert address in message
    assert way_out in message
    assert "\n" not in message
    assert told.value.exit_code == 3
