"""How producers talk to the venue that sends what has changed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from producers.exchanges.decoding import gunzip
from producers.exchanges.json_slicing import (
    ABSENT,
    Envelope,
    Member,
    decoder,
    envelope,
    json_text,
    keyed_rows,
    micros,
    present,
)
from producers.exchanges.spec import Control, Frame, Partial, Slice, SocketKind, piece_of
from schemas.errors import MalformedInputError
from tests.support.made_up_changes.facts import FEED
from tests.support.made_up_venue.description import MadeUp


class _Message(msgspec.Struct):
    n: int | None = None
    ping: int | None = None
    whole: bool = False
    rows: msgspec.Raw = ABSENT


class _Row(msgspec.Struct):
    at: object = None


_message: Callable[[bytes], _Message] = decoder(_Message)
_row: Callable[[bytes], _Row] = decoder(_Row)


def _piece(member: Member, around: Envelope, *, whole: bool) -> Slice:
    partial = Partial(
        around.head + member.member.removesuffix(member.row), around.tail, whole=whole
    )
    event_us = micros(_row(member.row).at, us_per=1_000)
    piece = piece_of(member.key, member.row)
    return piece._replace(partial=partial, event_us=event_us) if piece.readable else piece


class MadeUpChanges(MadeUp):
    """The description."""

    feed = FEED.name
    limits_group = FEED.name
    row_fields = frozenset({"at", "fr", "next"})
    row_terms = ("fr", "next")
    socket_kinds = (
        SocketKind("all", 10.0, 80_000.0, urls=("wss://made-up.invalid/changes",), decode=gunzip),
    )

    def slice_frame(self, data: bytes) -> Frame:
        """Cut the rows of a message; a ping asks for an answer."""
        message = _message(data)
        if message.ping is not None:
            control = Control(reply=json_text({"pong": message.ping}))
            return Frame("control", (), control, sequence=message.n)
        if not present(message.rows):
            raise MalformedInputError("neither rows nor a ping")
        table = bytes(message.rows)
        around = envelope(data, "rows", table)
        members = [member for member in keyed_rows(table) if "/" in member.key]
        pieces = [_piece(member, around, whole=message.whole) for member in members]
        return Frame("changes", pieces, sequence=message.n)


EXCHANGE = MadeUpChanges()
