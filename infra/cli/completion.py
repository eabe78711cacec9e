"""`fundingstream completion SHELL`, and what the shell completes beside commands and options."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

COMPLETE_VARIABLE = "_FUNDINGSTREAM_COMPLETE"
"""The shell's script sets it when it asks the console script for completions."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete commands, options, feeds, topics and tables.

    \b
    bash: eval "$(fundingstream completion bash)"      in ~/.bashrc
    zsh:  eval "$(fundingstream completion zsh)"       in ~/.zshrc
    fish: fundingstream completion fish | source       in ~/.config/fish/config.fish
    """  # noqa: D301 - click keeps the lines below a backspace character as they are
    found = get_completion_class(shell)
    assert found is not None, "click has these three"
    script = found(ctx.find_root().command, {}, "fundingstream", COMPLETE_VARIABLE)
    click.echo(script.source())


def complete_topic(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the topics that begin so: their short names, or the full ones after `funding.`."""
    from schemas.topics import all_topics

    names = [spec.name for spec in all_topics()]
    names += [name.removeprefix("funding.") for name in names]
    full = incomplete.startswith("funding.")
    return [
        CompletionItem(name)
        for name in sorted(names)
        if name.startswith(incomplete) and name.startswith("funding.") == full
    ]


def complete_table(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the tables and views of the migrations that begin so."""
    from infra.clickhouse.expected import expected_of
    from infra.clickhouse.migrate import own_migrations

    ours = expected_of(part for migration in own_migrations() for part in migration.statements)
    names = (name.removeprefix("funding.") for name in (*ours.tables, *ours.views))
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def complete_feeds(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the lists that go on from `incomplete`, feeds with commas between."""
    from schemas.feeds import FEEDS

    given, comma, begun = incomplete.rpartition(",")
    return [
        CompletionItem(f"{given}{comma}{feed}")
        for feed in FEEDS
        if feed.startswith(begun) and feed not in given.split(",")
    ]
