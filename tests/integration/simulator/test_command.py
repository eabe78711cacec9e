"""The simulator command as a process: ready line, orderly end, typed errors, TLS."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import websockets
from click.testing import CliRunner

from infra.cli.simulator import simulator
from schemas.errors import ConfigurationError, UnavailableError

pytestmark = pytest.mark.integration

RUN = ("-m", "infra.cli", "simulator")


@contextmanager
def process(data_dir: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running simulator and its URL; killed if the test leaves it."""
    if "--feeds" not in options:
        options = ("--feeds", "binance-usdm", "--contracts", "8", *options)
    arguments = ["--port", "0", "--tick-s", "0.1", "--data-dir", str(data_dir)]
    with subprocess.Popen(
        [sys.executable, *RUN, *arguments, *options], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            ready = child.stdout.readline()
            assert ready.startswith("simulator: ready on ")
            yield child, ready.split()[-1]
        finally:
            child.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_without_loss(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0; the client got every update of the truth and a close 1001."""
    received = 0
    with process(tmp_path) as (child, url):
        stream = url.replace("http", "ws") + "/binance-usdm/market/ws/!markPrice@arr@1s"
        async with websockets.connect(stream) as ws, asyncio.timeout(20):
            async for frame in ws:
                received += sum(bool(row["r"]) for row in json.loads(frame))
                if received == 24:
                    child.send_signal(number)
            assert ws.close_code == 1001
        assert child.wait(20) == 0
    truth = (tmp_path / "truth" / "binance-usdm.ndjson").read_text(encoding="utf-8")
    assert len(truth.splitlines()) == received >= 24


@pytest.mark.parametrize("options", [(), ("--aligned",)])
async def test_two_exchanges_push_at_moments_of_their_own(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """With `--aligned` both push at the same moment."""
    feeds = ("--feeds", "binance-usdm,binance-coinm", "--contracts", "16")
    moments: dict[str, set[int]] = {}
    with process(tmp_path, *feeds, *options) as (_, url):
        root = url.replace("http", "ws")
        for path in ("binance-usdm/market/ws/btcusdt", "binance-coinm/ws/btcusd_perp"):
            async with websockets.connect(f"{root}/{path}@markPrice@1s") as ws, asyncio.timeout(20):
                rows = [json.loads(await ws.recv()) for _ in range(3)]
            # A row is stamped up to 3 ms past its tick, of which there are ten a second.
            moments[path] = {row["E"] % 100 // 4 for row in rows}
    assert all(len(found) <= 2 for found in moments.values())
    first, second = moments.values()
    assert (first == second == {0}) is bool(options)


async def test_self_signed_tls(tmp_path: Path) -> None:
    """A client that is given the certificate connects by wss."""
    with process(tmp_path, "--tls-self-signed") as (_, url):
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "certificate.pem"))
        stream = url.replace("https", "wss") + "/binance-usdm/market/ws/!markPrice@arr@1s"
        async with websockets.connect(stream, ssl=context) as ws, asyncio.timeout(20):
            assert json.loads(await ws.recv())


async def test_several_feeds_share_the_contracts(tmp_path: Path) -> None:
    """`--feeds` as a list or repeated; all on one port; limits that are open stay so."""
    options = ("--feeds", "kucoin,binance-coinm", "--feeds", "hyperliquid", "--contracts", "16")
    with process(tmp_path, *options, "--open-limits") as (_, url):
        async with aiohttp.ClientSession() as session:
            stats = await (await session.get(f"{url}/stats")).json()
            assert set(stats["connections"]) == {"kucoin", "binance-coinm", "hyperliquid"}
            reply = await session.get(f"{url}/kucoin/api/v1/contracts/active")
            assert int(reply.headers["gw-ratelimit-limit"]) > 1_000_000
            perpetuals = [r for r in (await reply.json())["data"] if r["type"] == "FFWCSX"]
    truth = (tmp_path / "truth" / "settlements.ndjson").read_text(encoding="utf-8")
    contracts = {json.loads(line)["contract_id"] for line in truth.splitlines()}
    assert len(contracts) == 16
    assert len(perpetuals) == sum(name.startswith("kucoin:") for name in contracts) == 10


def test_an_unknown_feed_is_one_typed_error(tmp_path: Path) -> None:
    """The message names those that there are."""
    arguments = ["--feeds", "nosuch", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(simulator, arguments)
    assert isinstance(result.exception, ConfigurationError)
    assert "nosuch" in str(result.exception)
    assert "binance-coinm" in str(result.exception)


def test_a_busy_port_is_one_typed_error(tmp_path: Path) -> None:
    """The message names the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = [
            "--port",
            str(port),
            "--feeds",
            "binance-usdm",
            "--contracts",
            "4",
            "--data-dir",
            str(tmp_path),
        ]
        result = CliRunner().invoke(simulator, arguments)
    assert isinstance(result.exception, UnavailableError)
    assert str(port) in str(result.exception)
    assert "--port" in str(result.exception)


def test_a_host_that_is_none_is_one_typed_error(tmp_path: Path) -> None:
    """Also where the name is longer than any can be."""
    for host in ("no host", "a" * 80):
        arguments = ["--host", host, "--contracts", "4", "--data-dir", str(tmp_path)]
        result = CliRunner().invoke(simulator, [*arguments, "--feeds", "binance-usdm"])
        assert isinstance(result.exception, UnavailableError)
        assert "cannot listen" in str(result.exception)


def test_tls_files_belong_together(tmp_path: Path) -> None:
    """A certificate without its key is a mistake."""
    certificate = tmp_path / "c.pem"
    certificate.write_text("")
    result = CliRunner().invoke(simulator, ["--tls-cert", str(certificate)])
    assert isinstance(result.exception, ConfigurationError)
    arguments = ["--tls-cert", str(certificate), "--tls-key", str(certificate)]
    result = CliRunner().invoke(simulator, arguments)
    assert isinstance(result.exception, ConfigurationError)
