"""OKX perpetual swaps (docs/exchanges/okx.md): a channel of rates, one subscription a contract.

A row has the estimate for the coming settlement and the rate of the last one beside it. The list of
contracts says neither interval nor cap: the current rates do, which are asked for as facts as well.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from producers.exchanges.history_paging import Backward, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    chunks,
    code_reader,
    decoder,
    envelope,
    json_text,
    micros,
    present,
    slices_of,
    time_of,
    time_or_none,
    values_of,
)
from producers.exchanges.spec import (
    NO_KEYS,
    ClientPing,
    Control,
    Exchange,
    Frame,
    HistoryWalk,
    Listing,
    PayloadFields,
    RateLimit,
    RestCall,
    Slice,
    SocketKind,
    SubscribeFrame,
    optional,
)
from schemas.errors import MalformedInputError
from schemas.venues.okx import FEED

HISTORY_LIMIT = 100
"""Newer documents allow 400 (§4b)."""
ARGS_PER_FRAME = 50
CONTRACTS_PER_SOCKET = 250
"""About 15 of the 64 KB that the channels of a connection may have (§1)."""
SILENT_S = 120.0
FALLBACK_S = 30.0
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§1)."""
PING_EVERY_S = 20.0
"""A connection that is idle for 30 s is closed (§1)."""
TOO_MANY_S = 60.0
"""How long nothing is asked after code 50011, which does not say it (§4)."""
CHANNEL = "funding-rate"
_SWAP = "SWAP"
_PONG = b"pong"
_TOO_MANY = "50011"
_UPGRADE = "64008"
"""The code of the notice that a connection will be closed (§1)."""
_NO_SUCH = "60018"
"""The code of an answer about a contract; others are about the request (§1)."""
_ANSWERS = frozenset({"subscribe", "unsubscribe", "notice", "channel-conn-count"})
_INSTRUMENT = re.compile(r"instId:\s*([^\s,]+)")
"""A contract in the text of a refusal."""


class _Arg(msgspec.Struct, gc=False, rename="camel"):
    channel: str | None = None
    inst_id: str | None = None


class _Message(msgspec.Struct, gc=False):
    """Any frame: data has an arg, an answer has an event."""

    arg: _Arg | None = None
    data: msgspec.Raw = ABSENT
    event: str | None = None
    id: object = None
    code: object = None
    msg: object = None


class _Row(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    ts: object = None


class _Instrument(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    inst_type: str | None = None
    state: str | None = None
    rule_type: str | None = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    funding_time: str


class _Reply(msgspec.Struct, gc=False):
    code: str
    data: msgspec.Raw = ABSENT


class _Terms(msgspec.Struct, gc=False, rename="camel"):
    """What of a row of current rates is a fact of its contract; as the exchange writes it."""

    inst_id: msgspec.Raw = ABSENT
    max_funding_rate: msgspec.Raw = ABSENT
    min_funding_rate: msgspec.Raw = ABSENT
    prev_funding_time: object = None
    funding_time: object = None
    next_funding_time: object = None


_message: Callable[[Any], _Message] = decoder(_Message)
_rows = Rows(_Row)
_instruments = Rows(_Instrument)
_instrument: Callable[[Any], _Instrument] = decoder(_Instrument)
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_code = code_reader(_Reply, lambda reply: reply.code)
_terms: Callable[[Any], _Terms] = decoder(_Terms)

_LASTING = (
    *("instType", "instId", "uly", "instFamily", "settleCcy", "ctVal", "ctMult", "ctValCcy"),
    *("ctType", "state", "ruleType", "listTime", "expTime"),
)
"""Keys of instruments that are facts of a contract; the others are rules of its orders."""


_settled = Rows(_Settled, check=lambda row: time_of(row.funding_time))


def _frames(op: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    frames = []
    for chunk in chunks(symbols, ARGS_PER_FRAME):
        # Letters and digits alone, 32 at most; the answer repeats it (§1).
        identity = f"{op[0]}{zlib.crc32(','.join(chunk).encode()):08x}n{len(chunk)}"
        args = [{"channel": CHANNEL, "instId": symbol} for symbol in chunk]
        text = json_text({"id": identity, "op": op, "args": args})
        frames.append(SubscribeFrame(text, chunk, identity))
    return frames


def _get(resource: str, path: str, *, every: int = 1, **params: str) -> RestCall:
    """Return a call; each has limits of its own."""
    return RestCall(resource, path, params, {resource: 1}, every=every)


_RATES = "public/funding-rate"
_HISTORY = "funding-rate-history"
_FACTS_EVERY = 2


def _call(symbol: str, span: Span) -> RestCall:
    # `after` is exclusive: what is older than it (§4b). What is older than the span costs nothing.
    params = {"instId": symbol, "after": str(span.to_ms + 1), "limit": str(HISTORY_LIMIT)}
    return RestCall(_HISTORY, "/api/v5/public/funding-rate-history", params, {_HISTORY: 1})


def _read(body: bytes) -> list[SettledRow]:
    return [
        SettledRow(time_of(row.funding_time) if row else None, piece)
        for row, piece in _settled(_reply(body).data)
    ]


def _answer(message: _Message, event: str) -> Frame:
    """Read an event: an answer to a request, or a notice about the connection (§1)."""
    answers = message.id if isinstance(message.id, str) else ""
    if event == "error":
        told = message.msg if isinstance(message.msg, str) else ""
        named = tuple(dict.fromkeys(_INSTRUMENT.findall(told)))
        is_theirs = bool(named) or message.code == _NO_SUCH
        control = Control(
            refused=True, refused_symbols=named, of_contracts=is_theirs, answers=answers
        )
    elif event == "channel-conn-count-error":
        control = Control(refused=True, of_contracts=False)
    elif event not in _ANSWERS:
        return Frame("control", (), unknown=event)
    elif event == "notice" and message.code == _UPGRADE:
        control = Control(ends=True)
    elif event == "subscribe" and message.arg is not None and message.arg.inst_id:
        control = Control(acknowledged=(message.arg.inst_id,), answers=answers)
    else:
        control = Control(answers=answers)
    return Frame("control", (), control)


class Okx(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://www.okx.com"
    silent_s = SILENT_S
    fallback_s = FALLBACK_S
    limits: Mapping[str, RateLimit] = {
        _RATES: RateLimit(10, 2.0),
        _HISTORY: RateLimit(10, 2.0),
        "instruments": RateLimit(20, 2.0),
        "tickers": RateLimit(20, 2.0),
        "open-interest": RateLimit(20, 2.0),
        "mark-price": RateLimit(10, 2.0),
    }
    limits_group = "okx"
    fact_calls = (
        _get("instruments", "/api/v5/public/instruments", instType=_SWAP),
        _get(_RATES, "/api/v5/public/funding-rate", every=_FACTS_EVERY, instId="ANY"),
        optional(_get("tickers", "/api/v5/market/tickers", every=_FACTS_EVERY, instType=_SWAP)),
        optional(
            _get(
                "open-interest", "/api/v5/public/open-interest", every=_FACTS_EVERY, instType=_SWAP
            )
        ),
        optional(
            _get("mark-price", "/api/v5/public/mark-price", every=_FACTS_EVERY, instType=_SWAP)
        ),
    )
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            (
                *("arg.channel", "arg.instId", "data[].instId", "data[].instType"),
                *("data[].fundingRate", "data[].fundingTime", "data[].nextFundingTime"),
                *("data[].settFundingRate", "data[].settState", "data[].ts"),
            ),
            sometimes=(
                *("data[].prevFundingTime", "data[].method", "data[].formulaType"),
                *("data[].maxFundingRate", "data[].minFundingRate", "data[].nextFundingRate"),
                *("data[].impactValue", "data[].interestRate", "data[].premium"),
            ),
            every_s=90.0,
        ),
        _RATES: PayloadFields(
            ("instId", "instType", "fundingRate", "fundingTime", "nextFundingTime", "ts"),
            sometimes=(
                *("prevFundingTime", "method", "formulaType", "maxFundingRate", "minFundingRate"),
                *("nextFundingRate", "settFundingRate", "settState"),
                *("impactValue", "interestRate", "premium"),
            ),
        ),
        _HISTORY: PayloadFields(
            ("instId", "instType", "fundingRate", "realizedRate", "fundingTime"),
            sometimes=("method", "formulaType"),
        ),
    }
    snapshot_at_start = True
    true_up_calls_per_hour = 6
    socket_kinds = (
        SocketKind(
            "public",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://ws.okx.com:8443/ws/v5/public",),
            capacity=CONTRACTS_PER_SOCKET,
            subscribe=lambda symbols: _frames("subscribe", symbols),
            unsubscribe=lambda symbols: _frames("unsubscribe", symbols),
            ping=ClientPing(PING_EVERY_S, lambda _number: "ping"),
            splits_refused=True,
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (§4a)."""
        del symbols
        return (_get(_RATES, "/api/v5/public/funding-rate", instId="ANY"),)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut an array into its rows, each in the frame's envelope; a single row is the frame."""
        if data == _PONG:
            return Frame("control", (), Control())
        message = _message(data)
        if message.event:
            return _answer(message, message.event)
        if message.arg is None or not message.arg.channel or not present(message.data):
            raise MalformedInputError("neither a channel's data nor an event")
        channel = message.arg.channel
        if channel != CHANNEL:
            return Frame(channel, (), unknown=channel)
        rows = _rows(message.data)
        times = [micros(time_or_none(row.ts), us_per=1_000) for row, _ in rows if row is not None]
        pieces = slices_of(rows, lambda row: row.inst_id)
        if len(pieces) == 1 and pieces[0].readable:
            pieces = [pieces[0]._replace(payload=data)]
        else:
            around = envelope(data, "data", bytes(message.data)).around
            pieces = [
                piece._replace(payload=around(piece.payload)) if piece.readable else piece
                for piece in pieces
            ]
        return Frame(channel, pieces, event_us=max(filter(None, times), default=None))

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut `data` into one piece per row."""
        data = _reply(body).data
        if call.resource == "instruments":
            return slices_of(_instruments(data), lambda entry: entry.inst_id)
        return slices_of(_rows(data), lambda row: row.inst_id)

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Swaps; neither test contracts nor those whose coin is not listed yet (§3)."""
        if call.resource != "instruments":
            return None
        entries = (_instrument(piece.payload) for piece in slices if piece.readable)
        return [
            Listing(entry.inst_id, FEED.status_of(entry.state))
            for entry in entries
            if entry.inst_type == _SWAP and entry.state != "test"
            and entry.rule_type != "pre_market"
        ]  # fmt: skip

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return the lasting keys of the list, and caps and interval of a row of current rates.

        Liquidity is published whenever it is asked for.
        """
        if resource == "instruments":
            return values_of(payload, _LASTING)
        if resource != _RATES:
            return payload
        terms = _terms(payload)
        times = (terms.prev_funding_time, terms.funding_time, terms.next_funding_time)
        before, at, after = (time_or_none(time) or 0 for time in times)
        interval_ms = at - before if before else after - at
        caps = (terms.inst_id, terms.max_funding_rate, terms.min_funding_rate)
        return b"\n".join([*map(bytes, caps), str(interval_ms).encode()])

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract, newest first (§4b)."""
        del keys
        (symbol,) = symbols
        span = Span(since_ms, until_ms)
        return PerSymbolWalk(symbol, span, Backward(HISTORY_LIMIT), _call, _read)

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """Too many calls may be told with HTTP 200 (§4)."""
        del call, headers
        return TOO_MANY_S if _code(body) == _TOO_MANY else None

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Errors come with HTTP 200 and a code (§4)."""
        del call, headers
        code = _code(body)
        return None if code in {None, "0"} else f"code {code:.20}"


EXCHANGE = Okx()
