"""`fundingstream alerts`: takes alerts to webhooks, chats and e-mail, by the rules of a file."""

from __future__ import annotations

import json
import os
import sys

import click

from schemas.errors import FundingStreamError, UnavailableError


@click.group()
def alerts() -> None:
    """Tell people: alerts to webhooks, Slack, Telegram, e-mail and others.

    A rules file says what is told to whom (docs/alerts-out.md); FUNDING_ALERT_RULES names it.
    """


@alerts.command()
def run() -> None:
    """Run the notifier until a signal.

    Of several with the same group one works, and the others stand by.
    """
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging
    from stream_app.notifier.service import run_notifier
    from stream_app.settings import AlertSettings

    settings = load_settings(AlertSettings)
    setup_logging(settings.log_level)
    sys.exit(run_notifier(settings))


@alerts.command()
@click.argument("file", required=False)
@click.option("--without-variables", is_flag=True, help="The targets' variables need not be set.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def check(file: str | None, *, without_variables: bool, as_json: bool) -> None:
    """Check a rules file (default: FUNDING_ALERT_RULES) and say what each rule does.

    Every mistake is told with its line and column; the exit code is 2 then.
    """
    from schemas.config.settings import load_settings
    from schemas.feeds import FEEDS
    from stream_app.notifier.rules_file.problems import RulesFileError
    from stream_app.notifier.rules_file.reader import load_rules
    from stream_app.notifier.rules_file.words import rule_words
    from stream_app.settings import AlertSettings

    path = file or load_settings(AlertSettings).alert_rules
    try:
        found = load_rules(path, FEEDS, None if without_variables else os.environ)
    except RulesFileError as error:
        if not as_json:
            raise
        rows = [{"line": p.line, "column": p.column, "problem": p.text} for p in error.problems]
        click.echo(json.dumps({"file": path, "problems": rows}))
        sys.exit(error.exit_code)
    if as_json:
        told = [{"rule": rule.name, "says": rule_words(rule)} for rule in found.rules]
        document = {"file": path, "problems": [], "targets": found.targets, "rules": told}
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    for target, variable in found.targets.items():
        click.echo(f"target {target}: the URL is in {variable}")
    for rule in found.rules:
        click.echo(f"\n{rule.name}")
        for sentence in rule_words(rule):
            click.echo(f"  {sentence}")


@alerts.command()
@click.argument("targets", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def test(targets: tuple[str, ...], *, as_json: bool) -> None:
    """Send a test message to targets of the rules file (default: to all).

    The exit code is 1 when some of them did not take it, and 3 when none did.
    """
    from schemas.clock import SystemClock
    from schemas.config.settings import load_settings
    from schemas.feeds import FEEDS
    from stream_app.notifier.rules_file.reader import load_rules
    from stream_app.notifier.service import services_of
    from stream_app.notifier.trial import chosen, send_tests
    from stream_app.settings import AlertSettings

    settings = load_settings(AlertSettings)
    rules = load_rules(settings.alert_rules, FEEDS, os.environ)
    services = services_of(rules, os.environ, settings.alert_timeout_s)
    names = chosen(services, targets)
    trials = send_tests({name: services[name] for name in names}, SystemClock())
    if as_json:
        click.echo(json.dumps([trial._asdict() for trial in trials]))
    else:
        for trial in trials:
            outcome = "has it" if trial.ok else f"does not have it: {trial.reason}"
            click.echo(f"{trial.target} ({trial.service}, {trial.seconds:.2f} s) {outcome}")
    if not any(trial.ok for trial in trials):
        sys.exit(UnavailableError.exit_code)
    if not all(trial.ok for trial in trials):
        sys.exit(FundingStreamError.exit_code)
