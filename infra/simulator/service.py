"""Runs the simulated exchanges as a server with a known truth, until a signal."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.simulator.faults import schedule
from infra.simulator.market.truth import TruthLog
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import ALL_CONTRACTS, SIMULATED, create_exchanges
from infra.simulator.server import tls
from infra.simulator.server.server import SimulatorServer
from schemas.config.settings import SharedSettings, load_settings
from schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TlsChoice:
    """How to serve TLS: with a certificate and its key (PEM), with a new one, or not at all."""

    certificate: Path | None = None
    key: Path | None = None
    self_signed: bool = False


def run_simulator(
    options: SimulatorOptions,
    *,
    host: str,
    port: int,
    feeds: Sequence[str],
    contracts: int | None,
    data_dir: Path,
    faults_file: Path | None,
    truth: bool,
    truth_missed: bool,
    tls_choice: TlsChoice,
    ready: Callable[[str], None],
) -> None:
    """Serve simulated exchanges until SIGTERM or SIGINT.

    Args:
        options: What can be varied for all feeds.
        host: The address to listen on.
        port: The port for all feeds; 0 takes a free one.
        feeds: The feeds to host; empty: all that can be simulated.
        contracts: Listed perpetuals of all feeds together; None: as many as the exchanges list.
        data_dir: The truth is written to `truth/` below it, a new certificate to `tls/`.
        faults_file: JSON list of faults with their times, see docs/faults.md.
        truth: Record every update that is sent; the settlements and faults always are.
        truth_missed: Record what nobody got as well.
        tls_choice: Whether and how to serve TLS.
        ready: Is called with the root URL once the server listens.

    Raises:
        ConfigurationError: the certificate, the feeds or the faults cannot be used.
        UnavailableError: the port is taken, or the data directory is in use.
    """
    context = _tls_context(tls_choice, data_dir, host)
    hosted = feeds or list(SIMULATED)
    listed = ALL_CONTRACTS if contracts is None else contracts
    exchanges = create_exchanges(hosted, options, listed, time.time_ns() // 1_000_000)
    wires = {exchange.name: exchange.wire for exchange in exchanges}
    faults = schedule.read(faults_file, wires) if faults_file is not None else ()
    with TruthLog(data_dir, options.seed, with_updates=truth) as truth_log:
        server = SimulatorServer(
            exchanges,
            truth_log,
            host=host,
            port=port,
            tls=context,
            faults=faults,
            truth_missed=truth_missed,
            allowed_hosts=load_settings(SharedSettings).allowed_hosts,
        )
        scheme = "https" if context else "http"
        with _runner() as runner:
            runner.run(_serve(server, lambda: ready(f"{scheme}://{server.host}:{server.port}")))


async def _serve(server: SimulatorServer, listening: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    listening()
    await server.run(stop)


def _runner() -> asyncio.Runner:
    try:
        import uvloop  # noqa: PLC0415 - absent on some platforms
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _tls_context(choice: TlsChoice, data_dir: Path, host: str) -> ssl.SSLContext | None:
    certificate, key = choice.certificate, choice.key
    if (certificate is None) != (key is None):
        raise ConfigurationError("--tls-cert and --tls-key belong together: give both or none")
    if certificate is not None and key is not None:
        if choice.self_signed:
            raise ConfigurationError("give either --tls-cert or --tls-self-signed, not both")
        return tls.server_context(certificate, key)
    if choice.self_signed:
        return tls.server_context(*tls.self_signed(data_dir / "tls", host))
    return None
