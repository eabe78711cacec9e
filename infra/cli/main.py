"""The console script `fundingstream`: one command for each part and tool.

Each command is imported when it is called, and imports its part when it runs, so that `--help` is
quick. Errors of ours become one line and an exit code (schemas/errors.py lists them).
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from importlib import import_module
from typing import Any, NoReturn

import click

from infra.cli.completion import COMPLETE_VARIABLE
from infra.cli.output import (
    READER_GONE_EXIT,
    ReaderGoneError,
    let_go_of_streams,
    output_errors_named,
)
from schemas import __version__
from schemas.errors import FundingStreamError

_COMMANDS = {
    "up": "up",
    "producer": "producer",
    "backfill": "backfill",
    "worker": "worker",
    "page": "page",
    "sink": "sink",
    "alerts": "alerts",
    "simulator": "simulator",
    "broker": "embedded",
    "registry": "embedded",
    "clickhouse": "embedded",
    "topics": "topics",
    "migrate": "migrate",
    "sql": "sql",
    "tail": "tail",
    "inspect": "inspect",
    "replay": "replay",
    "dead-letters": "dead_letters",
    "doctor": "doctor",
    "secrets": "secrets",
    "config": "config",
    "completion": "completion",
}
"""The module in this package that holds each command, in the order of `--help`."""


class _LazyGroup(click.Group):
    """Imports a command when it is called for; tells a reader that has gone from a failure.

    click itself would end with exit code 1 at any connection that breaks.
    """

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with output_errors_named():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with output_errors_named():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"{__package__}.{_COMMANDS[cmd_name]}"), cmd_name.replace("-", "_")
        )
        return command


_EXIT_CODES = """\b
Exit codes:
  0    it is done, or was stopped as asked
  1    it is done, and not as it should be: `replay` or `inspect` found differences, `alerts
       test` did not reach every target, `doctor` found a problem, a dead letter could not be
       sent again
  2    a setting, an option or a file that a person wrote is wrong
  3    a server, a port, a disk or Java is missing; later it may be there
  4    a schema does not fit its record or its predecessor
  5    bytes from outside cannot be read
  6    stored state that this version cannot use: newer, or damaged
  70   a running part could not go on; start it again
  130  stopped by Ctrl-C before its end
  141  the reader of the output has gone
"""


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_CODES,
)
@click.version_option(__version__, prog_name="fundingstream")
def cli() -> None:
    """Live perpetual-futures funding rates: exchanges to Kafka, z-scores, ClickHouse.

    `fundingstream up` runs everything on this machine; the other commands are its parts and tools.
    Settings come from FUNDING_... variables, of the environment or of a file `.env` in the working
    directory: `fundingstream config` shows them.
    """


def take_env_file(environment: MutableMapping[str, str]) -> frozenset[str]:
    """Put the settings of the `.env` file into the environment; what stands there already wins.

    Secrets that stand in files of their own follow.

    Every part, the options that read variables and the children of `up` then see the same.

    Returns:
        The variables that the file has set.

    Raises:
        ConfigurationError: a variable that no part reads, or a file that cannot be used.
    """
    from infra.settings import (
        SECRET_FILE_SUFFIX,
        check_variables,
        read_env_file,
        read_secret_files,
    )

    check_variables(set(environment), "the environment")
    settings = read_env_file(environment)
    environment.update(settings)
    for variable, secret in read_secret_files(environment).items():
        environment[variable] = secret
        # A child would find the secret and its file.
        del environment[f"{variable}{SECRET_FILE_SUFFIX}"]
    return frozenset(settings)


def main() -> None:
    """Run the console script; it ends quietly where the reader of its output has gone."""
    try:
        with output_errors_named():
            try:
                _run()
            finally:
                # Not when the interpreter ends, where an error could not be handled.
                if sys.stdout is not None:
                    sys.stdout.flush()
    except ReaderGoneError:
        let_go_of_streams()
        sys.exit(READER_GONE_EXIT)
    except FundingStreamError as error:
        _tell(error)


def _run() -> None:
    """Run the command of the command line, and end with the exit code of what it raised."""
    # A wrong setting is no reason to complete nothing.
    completing = COMPLETE_VARIABLE in os.environ
    try:
        from_file = frozenset[str]() if completing else take_env_file(os.environ)
        cli(standalone_mode=False, obj=from_file, complete_var=COMPLETE_VARIABLE)
    except FundingStreamError as error:
        _tell(error)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("fundingstream: stopped", err=True)
        sys.exit(130)


def _tell(error: FundingStreamError) -> NoReturn:
    """End with the one line and the exit code of an error of ours."""
    click.echo(f"fundingstream: {error}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
