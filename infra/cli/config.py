"""`fundingstream config`: shows every setting of every part, without secrets."""

from __future__ import annotations

import json
import os

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def config(from_file: frozenset[str] | None, *, as_json: bool) -> None:
    """Show every setting: its variable, its value now, where that comes from, who reads it.

    Secrets stay hidden.
    """
    from infra.settings import shown_settings

    rows = shown_settings(os.environ, from_file or frozenset())
    if as_json:
        click.echo(json.dumps(rows))
        return
    for variable, row in sorted(rows.items()):
        source = f"from {row['source']}; " if row["source"] else ""
        click.echo(f"{variable}={row['value']}   # {source}{', '.join(row['parts'])}")
