"""`fundingstream up`: everything in one command, with a live summary."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import click

from infra.runs import DEMO_CONTRACTS, FEEDS_PER_PRODUCER, RUN_DIRECTORIES
from schemas.feeds import FEEDS, limits_groups


@click.command()
@click.option("--live", is_flag=True, help="The real exchanges instead of simulated ones.")
@click.option("--contracts", type=click.IntRange(2, 20_000),
              help="Simulated contracts of all feeds together, in the proportions of the real "
              f"exchanges.  [default: {DEMO_CONTRACTS}]")  # fmt: skip
@click.option("--all", "every_contract", is_flag=True,
              help="As many simulated contracts as the real exchanges list, pushed as often as "
              "they push them.")  # fmt: skip
@click.option("--producers", type=click.IntRange(1, len(FEEDS)),
              help="Processes that share the feeds, where there are as many.  [default: 1; of all "
              f"contracts one for each {FEEDS_PER_PRODUCER} feeds]")  # fmt: skip
@click.option("--feed", "feeds", multiple=True, type=click.Choice(FEEDS), metavar="FEED",
              help="Only this feed; may be given again. Default: all.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True,
              help="The same seed gives the same simulated market.")  # fmt: skip
@click.option("--aligned", is_flag=True,
              help="All simulated exchanges push at the same moment: the worst case.")  # fmt: skip
@click.option("--duration", "duration_s", type=click.FloatRange(1),
              help="Stop by itself after this many seconds.")  # fmt: skip
@click.option("--data-dir", type=click.Path(path_type=Path),
              help="Where all data lives. Default: .fundingstream/live, or .fundingstream/demo, "
              "which each simulated run begins anew.")  # fmt: skip
@click.option("--kafka", metavar="HOST:PORT", help="Use this broker instead of an embedded one.")
@click.option("--clickhouse", "clickhouse_url", metavar="URL",
              help="Use this ClickHouse instead of the embedded one.")  # fmt: skip
@click.option("--kafka-port", type=int, default=9092, show_default=True)
@click.option("--registry-port", type=int, default=8081, show_default=True)
@click.option("--clickhouse-port", type=int, default=8123, show_default=True)
@click.option("--web-port", type=int, default=6066, show_default=True,
              envvar="FUNDING_WEB_PORT", show_envvar=True)  # fmt: skip
@click.option("--producer-metrics-port", type=int, default=9101, show_default=True,
              envvar="FUNDING_PRODUCER_METRICS_PORT", show_envvar=True)  # fmt: skip
@click.option("--sink-metrics-port", type=int, default=9102, show_default=True,
              envvar="FUNDING_SINK_METRICS_PORT", show_envvar=True)  # fmt: skip
@click.option("--simulator-port", type=int, default=9443, show_default=True)
@click.option("--verbose", is_flag=True, help="Show what every part logs.")
def up(**given: Any) -> None:
    """Run everything on this machine: exchanges, Kafka, worker, sink, ClickHouse, page."""
    from infra.cli.servers import require_clickhouse, require_kafka
    from infra.stack.parts import Ports, StackOptions
    from infra.stack.up import Terminal, run_up
    from stream_app.settings import SinkSettings, WorkerSettings

    verbose, duration_s = given.pop("verbose"), given.pop("duration_s")
    asked_for = given.pop("data_dir")
    feeds = given.pop("feeds") or FEEDS
    every_contract, contracts = given.pop("every_contract"), given.pop("contracts")
    if every_contract and (given["live"] or contracts is not None):
        raise click.UsageError("--all is for simulated contracts: without --live and --contracts")
    if every_contract:
        from infra.simulator.registry import listed_contracts

        contracts = listed_contracts(feeds)
    is_whole = every_contract or given["live"]
    producers = ceil(len(feeds) / FEEDS_PER_PRODUCER) if is_whole else 1
    options = StackOptions(
        data_dir=asked_for or RUN_DIRECTORIES["live" if given["live"] else "demo"],
        ports=Ports(**{name: given.pop(f"{name}_port") for name in Ports.__dataclass_fields__}),
        feeds=feeds,
        contracts=contracts or DEMO_CONTRACTS,
        producers=min(given.pop("producers") or producers, len(limits_groups(feeds))),
        **given,
    )
    if options.kafka is not None:
        require_kafka(options.settings(WorkerSettings))
    if options.clickhouse_url is not None:
        require_clickhouse(options.settings(SinkSettings))
    run_up(
        options,
        Terminal(tell=click.echo, warn=lambda line: click.echo(line, err=True)),
        duration_s,
        begin_anew=asked_for is None and not options.live,
        verbose=verbose,
    )
