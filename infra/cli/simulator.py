"""`fundingstream simulator`: simulated exchanges with a known truth, until a signal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from infra.cli.completion import complete_feeds
from infra.simulator.options import OwnOption, SimulatorOptions
from infra.simulator.registry import SIMULATED


def _with_own_options(command: click.Command) -> click.Command:
    """Add the options that only one exchange has, behind the common ones."""
    for one in SIMULATED.values():
        for own in one.options:
            command.params.append(_option(own))
    return command


def _option(own: OwnOption) -> click.Option:
    kind: click.ParamType
    if isinstance(own.values[0], str):
        kind = click.Choice([str(value) for value in own.values])
    else:
        numbers = click.IntRange if isinstance(own.default, int) else click.FloatRange
        kind = numbers(*own.values)
    return click.Option(
        [f"--{own.name.replace('_', '-')}"],
        default=own.default,
        show_default=True,
        type=kind,
        help=own.help,
    )


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
    shell_complete=complete_feeds,
    help="Feeds to host: comma separated, or several times. Default: all that can be simulated.",
)
@click.option(
    "--contracts",
    type=click.IntRange(2, 20_000),
    help="Listed perpetuals of all feeds together, in the exchanges' real proportions; dated, "
    "delisted and held back ones come on top. Default: as many as the exchanges list.",
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
    "--aligned",
    is_flag=True,
    help="All exchanges and contracts push at the same moment, the worst case for a reader. "
    "Without it each has a phase of its own.",
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
    "--truth/--no-truth",
    default=True,
    help="Record every update that is sent: some GB a day of all contracts.  [default: truth]",
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
    host: str, port: int, seed: int, feed_lists: Sequence[str], contracts: int | None,
    data_dir: Path, tick_s: float, ping_s: float, faults_file: Path | None,
    tls_cert: Path | None, tls_key: Path | None, *,
    aligned: bool, truth: bool, truth_missed: bool, open_limits: bool, retry_after: bool,
    tls_self_signed: bool,
    **own: float | str,
) -> None:  # fmt: skip
    """Serve simulated exchanges and record the truth about what they sent.

    Each feed answers below its name, with the exchange's own paths behind it. Runs until SIGTERM
    or SIGINT.
    """
    from infra.simulator.service import TlsChoice, run_simulator

    run_simulator(
        SimulatorOptions(
            seed=seed,
            tick_ms=round(tick_s * 1_000),
            aligned=aligned,
            ping_every_s=ping_s,
            retry_after=retry_after,
            open_limits=open_limits,
            own=own,
        ),
        host=host,
        port=port,
        feeds=[feed for feeds in feed_lists for feed in feeds.split(",")],
        contracts=contracts,
        data_dir=data_dir,
        faults_file=faults_file,
        truth=truth,
        truth_missed=truth_missed,
        tls_choice=TlsChoice(tls_cert, tls_key, tls_self_signed),
        ready=lambda url: click.echo(f"simulator: ready on {url}"),
    )
