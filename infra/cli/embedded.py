"""The embedded parts: `fundingstream broker`, `registry` and `clickhouse`.

Each runs in the foreground until SIGTERM or SIGINT and then exits 0.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

_LOOPBACK = "127.0.0.1"
_F = TypeVar("_F", bound=Callable[..., Any])


def _common(port: int, directory: str) -> Callable[[_F], _F]:
    """The options that all parts have."""

    def add(command: _F) -> _F:
        for option in (
            click.option(
                "--data-dir",
                type=click.Path(path_type=Path),
                default=f".fundingstream/{directory}",
                show_default=True,
                help="Where the data lives; made when missing.",
            ),
            click.option(
                "--port",
                type=click.IntRange(1, 65_535),
                default=port,
                show_default=True,
                help="The port to listen on.",
            ),
            click.option(
                "--host",
                default=_LOOPBACK,
                show_default=True,
                help="The address to listen on.",
            ),
        ):
            command = option(command)
        return command

    return add


_allow_host = click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A further host name that clients use, beside those of FUNDING_HTTP_ALLOWED_HOSTS."
    " Addresses and localhost always work; other names are refused because a web page could use"
    " them (DNS rebinding).",
)


def _allowed(allow_host: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the option and of the setting that all parts share."""
    from schemas.config.settings import SharedSettings, load_settings

    shared = load_settings(SharedSettings).allowed_hosts
    return (*(name.lower() for name in allow_host), *sorted(shared))


@click.command()
@_common(9092, "kafka")
@click.option(
    "--advertised-host",
    help="The address that clients are sent to, where it is not the one to listen on.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "kafka", "noida"]),
    default="auto",
    show_default=True,
    help="kafka: Apache Kafka on Java, its jars brought once by Maven. noida: a small broker for a"
    " look only, from a wheel. auto: Kafka where it can run.",
)
@click.option(
    "--heap-mb",
    type=click.IntRange(128, 32_768),
    default=384,
    show_default=True,
    help="Java's heap for Kafka.",
)
def broker(
    host: str,
    port: int,
    data_dir: Path,
    advertised_host: str | None,
    engine: str,
    heap_mb: int,
) -> None:
    """Run the Kafka broker (one node) until SIGTERM or Ctrl-C."""
    from infra.embedded.kafka import broker as part

    part.run(
        part.BrokerOptions(
            data_dir=data_dir,
            host=host,
            port=port,
            advertised_host=advertised_host,
            engine=part.Engine(engine),
            heap_mb=heap_mb,
        )
    )


@click.command()
@_common(8081, "registry")
@_allow_host
def registry(host: str, port: int, data_dir: Path, allow_host: tuple[str, ...]) -> None:
    """Run the schema registry (Confluent's REST API, Avro) until SIGTERM or Ctrl-C."""
    _exit_cleanly_on_signals()
    from infra.embedded.registry import server as part

    part.run(
        part.RegistryOptions(
            data_dir=data_dir, host=host, port=port, allowed_hosts=_allowed(allow_host)
        )
    )


@click.command()
@_common(8123, "clickhouse")
@_allow_host
@click.option(
    "--max-memory-mb",
    type=click.IntRange(64, 1_048_576),
    help="The memory that one statement may use; all together may use twice that. Default: a"
    " quarter of the machine, at most 1024.",
)
@click.option(
    "--reader-password",
    envvar="FUNDING_CLICKHOUSE_READER_PASSWORD",
    default="",
    show_envvar=True,
    help="The password of the user `default`, who reads; none by default. Prefer the variable:"
    " others can see arguments.",
)
@click.option(
    "--password",
    "writer_password",
    envvar="FUNDING_CLICKHOUSE_PASSWORD",
    default="",
    show_envvar=True,
    help="The password of the user `fundingstream`, who writes. Default: a random one, kept in the"
    " data directory as writer.secret.",
)
@click.option(
    "--sandbox/--no-sandbox",
    default=True,
    show_default=True,
    help="Confine the process to its own files, where the system can (Linux's Landlock).",
)
def clickhouse(
    host: str,
    port: int,
    data_dir: Path,
    allow_host: tuple[str, ...],
    max_memory_mb: int | None,
    reader_password: str,
    writer_password: str,
    *,
    sandbox: bool,
) -> None:
    """Run the ClickHouse server (HTTP interface over chdb) until SIGTERM or Ctrl-C."""
    _exit_cleanly_on_signals()
    from infra.embedded.clickhouse import server as part

    part.run(
        part.ClickHouseOptions(
            data_dir=data_dir,
            host=host,
            port=port,
            reader_password=reader_password,
            writer_password=writer_password,
            max_memory_bytes=max_memory_mb * 1024 * 1024 if max_memory_mb else None,
            sandbox=sandbox,
            allowed_hosts=_allowed(allow_host),
        )
    )


def _exit_cleanly_on_signals() -> None:
    """For the time until the server's own handlers are in place."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
