"""Options that several commands have in common."""

from __future__ import annotations

from pathlib import Path

import click

clickhouse_url = click.option("--clickhouse", "url", help="ClickHouse's HTTP URL.")
of_run = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write as the writer of the run of `up` with this data directory. Default: the run that "
    "holds .fundingstream/live or .fundingstream/demo now, unless a user is set.",
)
