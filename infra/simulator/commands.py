"""The `simulator` command: simulated exchanges with a known truth, until a signal.

Options that only one exchange has come from its folder (`Simulated.options`).
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from infra.simulator.faults import schedule
from infra.simulator.market.truth import TruthLog
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import ALL_CONTRACTS, SIMULATED, create_exchanges
from infra.simulator.server import tls
from infra.simulator.server.server import SimulatorServer
from schemas.config.settings import SharedSettings, load_settings
from schemas.errors import ConfigurationError


def _with_own_options(command: click.Command) -> click.Command:
    """Add the options that only one exchange has, behind the common ones."""
    command.params += [option for one in SIMULATED.values() for option in one.options]
    return command


@_with_own_options
@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=9443,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port for all feeds; 0 takes a free one and prints it.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="The same seed gives the same market, also after a restart.",
)
@click.option(
    "--feeds",
    "feed_lists",
    multiple=True,
    help="Feeds to host: comma separated, or several times. Default: all that can be simulated.",
)
@click.option(
    "--contracts",
    default=ALL_CONTRACTS,
    show_default=True,
    type=click.IntRange(2, 20_000),
    help="Listed perpetuals of all feeds together, in the exchanges' real proportions; dated, "
    "delisted and held back ones come on top.",
)
@click.option(
    "--data-dir",
    default=Path(".fundingstream"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The truth is written to truth/ below it.",
)
@click.option(
    "--tick-s",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.02, 60.0),
    help="Seconds between two ticks of the @1s streams.",
)
@click.option(
    "--ping-s",
    default=180.0,
    show_default=True,
    type=click.FloatRange(0.0),
    help="Seconds between two protocol PINGs; 0 never.",
)
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON list of faults with their times; docs/faults.md.",
)
@click.option(
    "--truth-missed",
    is_flag=True,
    help="Record what nobody got as well, in truth/<feed>.missed.ndjson.",
)
@click.option("--open-limits", is_flag=True, help="No rate limits on REST.")
@click.option("--retry-after", is_flag=True, help="Send Retry-After with 429 and 418.")
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Serve TLS with this certificate (PEM).",
)
@click.option(
    "--tls-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The key (PEM) of --tls-cert.",
)
@click.option(
    "--tls-self-signed",
    is_flag=True,
    help="Serve TLS with a new certificate, written to tls/ below --data-dir.",
)
def simulator(
    host: str, port: int, seed: int, feed_lists: Sequence[str], contracts: int, data_dir: Path,
    tick_s: float, ping_s: float,
    faults_file: Path | None, truth_missed: bool,  # noqa: FBT001
    open_limits: bool, retry_after: bool,  # noqa: FBT001 - click passes flags so
    tls_cert: Path | None, tls_key: Path | None, tls_self_signed: bool,  # noqa: FBT001
    **own: Any,
) -> None:  # fmt: skip
    """Serve simulated exchanges and record the truth about what they sent.

    Each feed answers below its name, with the exchange's own paths behind it. Runs until SIGTERM
    or SIGINT.
    """
    context = _tls_context(data_dir, host, tls_cert, tls_key, self_signed=tls_self_signed)
    options = SimulatorOptions(
        seed=seed,
        tick_ms=round(tick_s * 1_000),
        ping_every_s=ping_s,
        retry_after=retry_after,
        open_limits=open_limits,
        own=own,
    )
    feeds = [feed for feeds in feed_lists for feed in feeds.split(",")] or list(SIMULATED)
    exchanges = create_exchanges(feeds, options, contracts, time.time_ns() // 1_000_000)
    wires = {exchange.name: exchange.wire for exchange in exchanges}
    faults = schedule.read(faults_file, wires) if faults_file is not None else ()
    with TruthLog(data_dir, seed) as truth:
        server = SimulatorServer(
            exchanges,
            truth,
            host=host,
            port=port,
            tls=context,
            faults=faults,
            truth_missed=truth_missed,
            allowed_hosts=load_settings(SharedSettings).allowed_hosts,
        )
        with _runner() as runner:
            runner.run(_serve(server, "https" if context else "http"))


async def _serve(server: SimulatorServer, scheme: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    click.echo(f"simulator: ready on {scheme}://{server.host}:{server.port}")
    await server.run(stop)


def _runner() -> asyncio.Runner:
    try:
        import uvloop  # noqa: PLC0415 - absent on some platforms
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _tls_context(
    data_dir: Path,
    host: str,
    certificate: Path | None,
    key: Path | None,
    *,
    self_signed: bool,
) -> ssl.SSLContext | None:
    if (certificate is None) != (key is None):
        raise ConfigurationError("--tls-cert and --tls-key belong together: give both or none")
    if certificate is not None and key is not None:
        if self_signed:
            raise ConfigurationError("give either --tls-cert or --tls-self-signed, not both")
        return tls.server_context(certificate, key)
    if self_signed:
        return tls.server_context(*tls.self_signed(data_dir / "tls", host))
    return None
