"""`fundingstream migrate`: brings the ClickHouse database to the version of this code."""

from __future__ import annotations

import json
from pathlib import Path

import click

from infra.cli.options import clickhouse_url, of_run


@click.command()
@clickhouse_url
@of_run
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def migrate(url: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Create or upgrade the tables and views in ClickHouse, and make again what is missing."""
    from infra.cli.servers import require_clickhouse
    from infra.clickhouse.migrate import migrate as run_migrations
    from infra.clickhouse.migrate import own_migrations
    from infra.clickhouse.writer import as_writer
    from schemas.config.settings import load_settings
    from stream_app.settings import SinkSettings
    from stream_app.sink.tables import DATABASE

    settings = as_writer(load_settings(SinkSettings, clickhouse_url=url), data_dir)
    require_clickhouse(settings)
    done = run_migrations(settings)
    version = own_migrations()[-1].version
    applied = [f"{migration.version:04d}_{migration.name}" for migration in done.applied]
    if as_json:
        click.echo(json.dumps({"version": version, "applied": applied, "made": done.made}))
        return
    for name in applied:
        click.echo(f"applied {name}")
    for name in done.made:
        click.echo(f"made {name} (was missing)")
    if not applied:
        click.echo(f"database {DATABASE} is at version {version:04d}")
