"""The health check of the containers, against servers on loopback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from infra.embedded.ports import free_port
from schemas.http.metrics_server import serve_metrics
from schemas.http.probe import probe
from schemas.process.heartbeat import Heartbeat
from tests.support.clock import ManualClock


def test_health_is_that_of_the_loop_not_of_the_server() -> None:
    """The server answers from a thread of its own: that it answers proves nothing."""
    clock, port = ManualClock(), free_port()
    heartbeat = Heartbeat(clock, within_s=15)
    url = f"http://127.0.0.1:{port}/healthz"
    stop = serve_metrics(CollectorRegistry(), "127.0.0.1", port, (), "X", heartbeat.trouble)
    try:
        clock.advance(15)
        assert probe(url) == (True, '{"status": "ok"}')
        clock.advance(1)
        assert probe(url) == (False, '{"status": "the process has done nothing for 16 s"}')
        heartbeat.beat()
        assert probe(url)[0]
        assert probe(f"http://127.0.0.1:{port}/metrics")[0]
    finally:
        stop()
    healthy, said = probe(url)
    assert not healthy
    assert "does not answer" in said


@pytest.mark.parametrize("url", ["127.0.0.1:80", "http://127.0.0.1/healthz", "http://a:b/c"])
def test_what_is_no_url_is_told(url: str) -> None:
    """With what it should be."""
    assert probe(url) == (False, f"HEALTH_URL {url!r} is not http://HOST:PORT/PATH")


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:{}/x", 1), ("", 0), (None, 0)])
def test_the_exit_code_is_what_docker_understands(url: str | None, code: int) -> None:
    """0 and 1; 2 is reserved. What has nothing to ask is healthy."""
    given = {} if url is None else {"HEALTH_URL": url.format(free_port())}
    ended = subprocess.run(
        [sys.executable, "-m", "schemas.http.probe"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
