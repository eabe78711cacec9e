"""`fundingstream dead-letters`: lists what could not be read or stored, and sends it again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from infra.cli.completion import complete_topic
from infra.cli.times import TIME_HELP, TIME_METAVAR, time_us
from schemas.errors import ConfigurationError, FundingStreamError

if TYPE_CHECKING:
    from infra.dead_letters.letter import Chosen, Letter, Place
    from infra.dead_letters.replaying import Outcome
    from infra.kafka.record_reader import RecordReader
    from schemas.config.settings import SharedSettings

PROGRESS_EVERY = 100
DEFAULT_LIMIT = 20

F = TypeVar("F", bound=Callable[..., Any])


def _filters(command: F) -> F:
    """Add the options that say which letters are meant."""
    for option in reversed((
        click.option("--feed", metavar="FEED", help="Only letters of this feed."),
        click.option(
            "--topic", metavar="TOPIC", shell_complete=complete_topic,
            help="Only letters that were read from this topic, such as rates.",
        ),
        click.option(
            "--stage", metavar="STAGE",
            help="Only this stage: slice, decode, symbol, normalise, core, encode or sink.",
        ),
        click.option("--reason", metavar="TEXT", default="", help="Only with this in the reason."),
        click.option("--since", metavar=TIME_METAVAR, help=f"{TIME_HELP}. Default: all there is."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List what could not be read or stored, show it, and send it again.

    Whatever a producer, the worker or the sink cannot read is kept for 30 days in
    funding.dead-letters. When the cause is mended, `replay` sends it back the way it came.
    """


@dead_letters.command(name="list")
@_filters
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=DEFAULT_LIMIT, show_default=True,
    help="The newest so many.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For scripts: a JSON array.")
def list_letters(limit: int, *, as_json: bool, **filters: str | None) -> None:
    """List the letters, newest first.

    PLACE is what `show` and `replay` take.
    """
    from infra.dead_letters.replaying import newest_letters
    from infra.dead_letters.showing import HEADING, document_of, line_of

    chosen = _chosen(filters)
    with _reader() as (_settings, reader):
        (newest, replays), older = newest_letters(reader, chosen, limit)
    states = [(letter, replays.state(letter)) for letter in newest]
    if as_json:
        click.echo(json.dumps([document_of(*each) for each in states]))
    elif newest:
        click.echo("\n".join([HEADING, *(line_of(*each) for each in states)]))
    else:
        click.echo(_none_found(filters))
    if older:
        click.echo(f"{older:,} older ones: --limit shows more", err=True)


@dead_letters.command()
@click.argument("place", metavar="PARTITION:OFFSET")
@click.option("--all-bytes", is_flag=True, help="Show all bytes of the value, however many.")
@click.option("--json", "as_json", is_flag=True, help="For scripts; the bytes are in base64.")
def show(place: str, *, all_bytes: bool, as_json: bool) -> None:
    """Show one letter: where it came from, why it was given up, and its bytes.

    A value that is Avro is shown decoded, too.
    """
    from base64 import b64encode

    from infra.dead_letters.letter import Place
    from infra.dead_letters.replaying import find_letter
    from infra.dead_letters.showing import document_of, lines_of

    at = Place.read(place)
    with _reader() as (settings, reader):
        (letter,), replays = find_letter(reader, at)
    state = replays.state(letter)
    decoded = _decoded(settings, letter)
    if as_json:
        document = document_of(letter, state) | {
            "headers": letter.headers,
            "value_base64": b64encode(letter.value).decode(),
            "decoded": None if decoded is None else json.loads(decoded),
        }
        click.echo(json.dumps(document))
        return
    for line in lines_of(letter, state, decoded, whole=all_bytes):
        click.echo(line)


@dead_letters.command()
@click.argument("place", metavar="[PARTITION:OFFSET]", required=False)
@click.option("--all", "everything", is_flag=True, help="All letters that the options leave.")
@_filters
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: a JSON array.")
def replay(
    place: str | None, *, everything: bool, dry_run: bool, as_json: bool, **filters: str | None
) -> None:
    """Send letters back the way they came, oldest first, each once.

    Mend the cause first, and restart the part that gave them up with what mends it. A letter that
    was sent again is remembered and not sent another time. The exit code is 1 if one could not be
    sent, with the reason.
    """
    from infra.dead_letters.letter import Place

    if (place is None) != everything:
        raise ConfigurationError(
            "name one letter as PARTITION:OFFSET, or give --all, with options that say which: "
            "`fundingstream dead-letters replay --help`"
        )
    if place is not None and any(filters.values()):
        raise ConfigurationError("a single letter needs no options that choose: leave them out")
    at = None if place is None else Place.read(place)
    chosen = _chosen(filters)
    outcomes = []
    with _reader() as (settings, reader):
        try:
            for outcome in _replayed(settings, reader, at, chosen, dry_run=dry_run):
                outcomes.append(outcome)
                if not as_json:
                    click.echo(outcome.told)
        finally:
            # What was sent is told also when Kafka goes away before the end.
            if as_json:
                click.echo(json.dumps([outcome._asdict() for outcome in outcomes]))
    if not outcomes and not as_json:
        click.echo(f"{_none_found(filters)} that was not sent again")
    if any(outcome.outcome == "refused" for outcome in outcomes):
        sys.exit(FundingStreamError.exit_code)


def _replayed(
    settings: SharedSettings,
    reader: RecordReader,
    at: Place | None,
    chosen: Chosen,
    *,
    dry_run: bool,
) -> Iterator[Outcome]:
    """Replay one letter, or the chosen ones; tell the progress of many on standard error."""
    from infra.dead_letters.replaying import (
        Replayer,
        find_letter,
        letter_at,
        open_letters,
        replay_letter,
    )
    from schemas.kafka.admin import ANSWER_WITHIN_S
    from schemas.serde.registry import SchemaCatalog

    catalog = SchemaCatalog(settings, answer_within_s=ANSWER_WITHIN_S)
    replayer = Replayer(settings, reader, catalog)
    if at is not None:
        (letter,), replays = find_letter(reader, at)
        yield replay_letter(replayer, letter, replays, dry_run=dry_run)
        return
    places, replays = open_letters(reader, chosen)
    for number, place in enumerate(places, start=1):
        if number % PROGRESS_EVERY == 0:
            click.echo(f"  {number:,} of {len(places):,}", err=True)
        kept = letter_at(reader, place)
        if kept is not None:
            yield replay_letter(replayer, kept, replays, dry_run=dry_run)


def _none_found(filters: dict[str, str | None]) -> str:
    return "no dead letter" + (" like that" if any(filters.values()) else "")


def _chosen(filters: dict[str, str | None]) -> Chosen:
    """Return which letters the options mean.

    Raises:
        ConfigurationError: an option names no feed, topic, stage or time.
    """
    from infra.dead_letters.letter import Chosen, Stage
    from infra.kafka.tail import topic_named
    from schemas.clock import now_us
    from schemas.feeds import spec

    feed, topic, stage = filters["feed"], filters["topic"], filters["stage"]
    if stage is not None and stage not in set(Stage):
        raise ConfigurationError(f"unknown stage {stage!r}: known are {', '.join(Stage)}")
    return Chosen(
        None if feed is None else spec(feed).name,
        None if topic is None else topic_named(topic).name,
        stage,
        filters["reason"] or "",
        0 if filters["since"] is None else time_us(filters["since"], now_us()),
    )


@contextmanager
def _reader() -> Iterator[tuple[SharedSettings, RecordReader]]:
    """Connect to Kafka, which must have the topic of dead letters."""
    from infra.kafka.record_reader import RecordReader
    from schemas.config.settings import SharedSettings, load_settings
    from schemas.kafka.admin import ANSWER_WITHIN_S, require_topics
    from schemas.topics import DEAD_LETTERS

    settings = load_settings(SharedSettings)
    require_topics(settings, [DEAD_LETTERS.name], ANSWER_WITHIN_S)
    with RecordReader(settings) as reader:
        yield settings, reader


def _decoded(settings: SharedSettings, letter: Letter) -> str | None:
    """Return a value as JSON; None where it is no Avro that can be read here and now."""
    from infra.dead_letters.showing import decoded_json
    from schemas.errors import MalformedInputError, UnavailableError
    from schemas.kafka.admin import ANSWER_WITHIN_S
    from schemas.serde.registry import SchemaCatalog
    from schemas.topics import all_topics

    types = {spec.name: spec.record_type for spec in all_topics()}
    record_type = types.get(letter.source.topic)
    if record_type is None:
        return None
    catalog = SchemaCatalog(settings, answer_within_s=ANSWER_WITHIN_S)
    try:
        return decoded_json(catalog.decoder(record_type).decode(letter.value))
    except (MalformedInputError, UnavailableError):
        return None
