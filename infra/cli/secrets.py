"""`fundingstream secrets DIRECTORY NAME…`: makes random passwords, each in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", nargs=-1, required=True, metavar="NAME[=VARIABLE]...")
def secrets(directory: Path, names: Sequence[str]) -> None:
    """Write a random password to each DIRECTORY/NAME that does not exist yet.

    Where VARIABLE is set in the environment, its value is written instead, also over what is there.
    For containers that share DIRECTORY: everybody who can enter it can read the files.
    """
    from infra.secret_files import ensure_secret

    for name in names:
        file, _, variable = name.partition("=")
        if not file or Path(file).name != file:
            raise click.BadParameter(f"{file!r} is not the name of a file", param_hint="NAME")
        made = ensure_secret(directory / file, variable)
        click.echo(f"{directory / file}: {made}")
