"""`fundingstream doctor`: says what is wrong with this installation, and what to do."""

from __future__ import annotations

import json
import sys

import click

PROBLEM_EXIT = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def doctor(*, as_json: bool) -> None:
    """Ask Kafka, registry and ClickHouse whether they have all; problems come first.

    Ends with 1 if there is a problem.
    """
    from infra.doctor.checks import examine
    from infra.doctor.finding import has_problem, lines_of, worst_first

    findings = examine()
    if as_json:
        click.echo(json.dumps([one._asdict() for one in worst_first(findings)]))
    else:
        click.echo("\n".join(lines_of(findings)))
    if has_problem(findings):
        sys.exit(PROBLEM_EXIT)
