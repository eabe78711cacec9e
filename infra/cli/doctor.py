"""`fundingstream doctor`: says what is wrong with this installation, and what to do."""

from __future__ import annotations

import json
import sys

import click

PROBLEM_EXIT = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def doctor(*, as_json: bool) -> None:
    """Say what is wrong with this installation, and what to do; problems come first.

    Asks Kafka (topics, reports of workers and feeds, what waits, dead letters), the registry,
    ClickHouse (database, clock) and the parts on this machine; looks at disks and versions. It
    takes some 12 s at most, and ends with 1 if there is a problem; a warning is none.
    """
    from infra.doctor.checks import examine_all
    from infra.doctor.finding import has_problem, lines_of, worst_first

    findings = examine_all()
    if as_json:
        click.echo(json.dumps([one._asdict() for one in worst_first(findings)]))
    else:
        click.echo("\n".join(lines_of(findings)))
    if has_problem(findings):
        sys.exit(PROBLEM_EXIT)
