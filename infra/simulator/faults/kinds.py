"""Which faults there are, and which parameters each takes: the only list of them. Pure.

`parse` turns a JSON object from a person, a test or a schedule into a checked `Fault`;
`described` lists the kinds for `GET /control`. What a fault does is in frames.py, replies.py and
control.py of this folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from infra.simulator.wire_fields import Wire
from schemas.errors import ConfigurationError

_MAX_SECONDS = 7 * 86_400.0
_MAX_DELAY_S = 3_600.0
_MAX_SYMBOLS = 5_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was asked for.

    Attributes:
        kind: a key of KINDS.
        feed: None: every feed.
        seconds: how long it lasts; None: until `resume`, or at once where it is `instant`.
        parameters: checked; defaults filled in.
    """

    kind: str
    feed: str | None
    seconds: float | None
    parameters: Mapping[str, Any]

    @property
    def instant(self) -> bool:
        """Whether it happens at once and has no end."""
        return KINDS[self.kind].instant


@dataclass(frozen=True, slots=True)
class _Parameter:
    """`valid` answers for JSON values; a parameter without a default may be left out."""

    text: str
    valid: Callable[[Any], bool]
    default: object = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class _Kind:
    parameters: Mapping[str, _Parameter]
    instant: bool = False
    needs_feed: bool = False


def _is_number(value: Any, low: float, high: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and low <= value <= high


def _is_integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_symbols(value: Any) -> bool:
    is_list = isinstance(value, list) and 0 < len(value) <= _MAX_SYMBOLS
    return is_list and all(map(_is_text, value))


def _one_of(*choices: object, default: object = None) -> _Parameter:
    text = "one of " + ", ".join(map(str, choices))
    # A bool equals an int in Python, and is not one in JSON.
    return _Parameter(
        text,
        lambda value: not isinstance(value, bool) and value in choices,
        default,
        required=default is None,
    )


_CONNECTION = {
    "connection": _Parameter(
        "an index of the feed's open sockets, the oldest is 0",
        lambda value: _is_integer(value, 0, 10_000),
    )
}
_CHANCE = {
    "p": _Parameter("a probability from 0 to 1", lambda value: _is_number(value, 0, 1), 1.0),
    "seed": _Parameter("an integer from 0", lambda value: _is_integer(value, 0, 2**63), 1),
    **_CONNECTION,
}
_CODE = _Parameter("a close code from 1000 to 4999", lambda value: _is_integer(value, 1000, 4999))
_DELAY = _Parameter(
    "seconds from 0 to 3600", lambda value: _is_number(value, 0, _MAX_DELAY_S), required=True
)
_HOW = {"how": _one_of("503", "cut", default="503")}
_RETRY = {
    "retry_after_s": _Parameter(
        "whole seconds from 0 to 86400", lambda value: _is_integer(value, 0, 86_400)
    )
}
_SYMBOL = _Parameter("a contract's symbol", _is_text)
_LIST_LAG = {
    "list_lag_s": _Parameter(
        "seconds from 0 to 3600", lambda value: _is_number(value, 0, _MAX_DELAY_S), 0
    )
}
_CHOSEN = {
    "symbol": _Parameter("a contract's symbol; without it the simulator chooses one", _is_text)
}
_FUNDING_MS = _Parameter(
    "a funding time in ms since the epoch", lambda value: _is_integer(value, 0, 2**53)
)
_STATE = _Parameter("one of the exchange's own states, see docs/faults.md", _is_text)
_FIELD = _Parameter("one of the exchange's fields, see docs/faults.md", _is_text)


def _code(default: int) -> _Parameter:
    return _Parameter(_CODE.text, _CODE.valid, default)


KINDS: Mapping[str, _Kind] = {
    "close": _Kind(
        {
            "code": _code(1001),
            "abort": _Parameter(
                "true or false", lambda value: isinstance(value, bool), default=False
            ),
            **_CONNECTION,
        },
        instant=True,
    ),
    "half-open": _Kind(_CONNECTION),
    "silence": _Kind(
        {
            "symbols": _Parameter("a list of contract symbols", _is_symbols),
            "share": _Parameter(
                "a share of the contracts from 0 to 1", lambda value: _is_number(value, 0, 1)
            ),
            **_CONNECTION,
        }
    ),
    "drop": _Kind(_CHANCE),
    "duplicate": _Kind(_CHANCE),
    "reorder": _Kind(_CHANCE),
    "corrupt": _Kind({**_CHANCE, "how": _one_of("flip", "cut", default="flip")}),
    "delay": _Kind({"delay_s": _DELAY, **_CONNECTION}),
    "bad-units": _Kind(
        {"field": _one_of("time", "rate"), "unit": _one_of("s", "ms", "us", default="s")}
    ),
    "clock-skew": _Kind(
        {
            "skew_s": _Parameter(
                "seconds from -86400 to 86400",
                lambda value: _is_number(value, -86_400, 86_400),
                required=True,
            )
        }
    ),
    "refuse-ws": _Kind(_HOW),
    "refuse-rest": _Kind(_HOW),
    "http-429": _Kind(_RETRY),
    "http-418": _Kind(_RETRY),
    "http-403": _Kind(_RETRY),
    "http-5xx": _Kind(
        {
            "status": _Parameter(
                "a status from 500 to 599", lambda value: _is_integer(value, 500, 599), 503
            ),
            **_RETRY,
        }
    ),
    "slow-rest": _Kind({"delay_s": _DELAY}),
    "settle-late": _Kind(
        {"delay_s": _DELAY, "order": _one_of("late", "newest-first", default="late")}
    ),
    "maintenance": _Kind({"code": _code(1012)}),
    "interval-change": _Kind(
        {
            "symbol": _Parameter(_SYMBOL.text, _is_text, required=True),
            "interval_hours": _one_of(1, 2, 4, 8),
            "grid": _one_of("full", "next-hour", default="full"),
            **_LIST_LAG,
        },
        instant=True,
        needs_feed=True,
    ),
    "clock-move": _Kind(
        {
            **_CHOSEN,
            "offset_hours": _Parameter(
                "whole hours from 0 to 7, below the interval",
                lambda value: _is_integer(value, 0, 7),
            ),
        },
        instant=True,
        needs_feed=True,
    ),
    "cap-raise": _Kind(
        {
            **_CHOSEN,
            "factor": _Parameter(
                "a number above 1, up to 10", lambda value: _is_number(value, 1.1, 10), 2.0
            ),
            **_LIST_LAG,
        },
        instant=True,
        needs_feed=True,
    ),
    "missing-settlement": _Kind(
        {**_CHOSEN, "which": _one_of("last", "next", default="last"), "funding_ms": _FUNDING_MS},
        needs_feed=True,
    ),
    "special-settlement": _Kind(
        {
            **_CHOSEN,
            "rate": _Parameter(
                "a fraction from -1 to 1", lambda value: _is_number(value, -1, 1), -0.0125
            ),
            "which": _one_of("last", "next", default="last"),
        },
        instant=True,
        needs_feed=True,
    ),
    "halt": _Kind({**_CHOSEN, "state": _STATE}, needs_feed=True),
    "zombie": _Kind(_CHOSEN, needs_feed=True),
    "relist": _Kind(
        {"symbol": _Parameter("the symbol of a delisted contract; without it any", _is_text)},
        instant=True,
        needs_feed=True,
    ),
    "listed-twice": _Kind(_CHOSEN, needs_feed=True),
    "empty-symbol": _Kind({}, needs_feed=True),
    "bad-field": _Kind({**_CHOSEN, "field": _FIELD}, needs_feed=True),
    "null-fields": _Kind({}),
    "unknown-event": _Kind(
        {"event": _Parameter("a name", _is_text, "serverShutdown"), **_CONNECTION},
        instant=True,
        needs_feed=True,
    ),
    "list": _Kind({"symbol": _SYMBOL}, instant=True, needs_feed=True),
    "delist": _Kind({"symbol": _SYMBOL}, instant=True, needs_feed=True),
}


def parse(kind: str, arguments: Mapping[str, Any], wires: Mapping[str, Wire]) -> Fault:
    """Check what was asked for.

    Args:
        kind: which fault.
        arguments: `feed`, `seconds` and the kind's parameters, as decoded from JSON.
        wires: of the feeds that are hosted.

    Raises:
        ConfigurationError: says in one sentence what is wrong and what would be right.
    """
    known = KINDS.get(kind)
    if known is None:
        raise ConfigurationError(f"unknown kind {kind!r}: use one of {', '.join(sorted(KINDS))}")
    feed = check_feed(arguments.get("feed"), wires)
    if feed is None and known.needs_feed:
        raise ConfigurationError(f"{kind} needs a feed: one of {', '.join(wires)}")
    _check_names(kind, known, arguments)
    parameters = {
        name: value
        for name, parameter in known.parameters.items()
        for value in (_value(kind, name, parameter, arguments.get(name)),)
        if value is not None
    }
    if "symbols" in parameters and "share" in parameters:
        raise ConfigurationError("silence takes symbols or share, not both")
    if kind == "bad-units" and parameters["field"] == "rate":
        del parameters["unit"]
    if feed is not None:
        _check_feed_can(kind, feed, wires[feed], parameters)
    return Fault(kind, feed, _seconds(kind, known, arguments.get("seconds")), parameters)


def check_feed(feed: Any, feeds: Collection[str]) -> str | None:
    """A hosted feed, or None.

    Raises:
        ConfigurationError: it is neither.
    """
    if feed is None:
        return None
    if not isinstance(feed, str) or feed not in feeds:
        raise ConfigurationError(f"unknown feed {feed!r}: use one of {', '.join(feeds)}")
    return feed


def described() -> dict[str, dict[str, str]]:
    """The kinds and what their parameters take, for `GET /control`."""
    return {
        kind: {
            name: parameter.text
            + (" (required)" if parameter.required else "")
            + ("" if parameter.default is None else f" (default {parameter.default})")
            for name, parameter in known.parameters.items()
        }
        for kind, known in KINDS.items()
    }


def _check_names(kind: str, known: _Kind, arguments: Mapping[str, Any]) -> None:
    common = ("feed",) if known.instant else ("feed", "seconds")
    allowed = (*common, *known.parameters)
    for name in arguments:
        if name not in allowed:
            raise ConfigurationError(f"{kind} has no {name!r}: it takes {', '.join(allowed)}")


def _value(kind: str, name: str, parameter: _Parameter, value: Any) -> Any:
    if value is None:
        if parameter.required:
            raise ConfigurationError(f"{kind} needs {name}: {parameter.text}")
        return parameter.default
    if not parameter.valid(value):
        raise ConfigurationError(f"{name} of {kind} must be {parameter.text}, not {value!r}")
    return value


def _seconds(kind: str, known: _Kind, seconds: Any) -> float | None:
    if seconds is None or known.instant:
        return None
    if not _is_number(seconds, 0, _MAX_SECONDS) or seconds == 0:
        raise ConfigurationError(
            f"seconds of {kind} must be a positive number up to {_MAX_SECONDS:.0f}, not {seconds!r}"
        )
    return float(seconds)


_OWN_KINDS = frozenset({"special-settlement", "zombie"})
"""What only some exchanges are known to do."""

_CLOCK_KINDS = frozenset({"interval-change", "clock-move"})
_CHOICES = {"halt": "state", "bad-field": "field"}


def can(kind: str, wire: Wire) -> str:
    """Why an exchange cannot show a kind of fault at all; empty: it can."""
    if kind in _OWN_KINDS and kind not in wire.own_kinds:
        return "it is not known to do that"
    if kind in _CLOCK_KINDS and wire.fixed_interval_hours:
        return f"it settles every {wire.fixed_interval_hours} h, always"
    if kind == "cap-raise" and not wire.lists_caps:
        return "its list tells no caps"
    if kind == "unknown-event" and not wire.unknown_event:
        return "no such event was seen"
    if (kind == "halt" and not wire.halts) or (kind == "bad-field" and not wire.bad_fields):
        return "nothing of that kind is known of it"
    return ""


def _check_feed_can(kind: str, feed: str, wire: Wire, parameters: dict[str, Any]) -> None:
    """Check what depends on the exchange, and fill in its usual choice."""
    if kind == "bad-units" and parameters["field"] == "time" and not wire.rates_have_times:
        raise ConfigurationError(f"the rates of {feed} name no time: use field rate")
    reason = can(kind, wire)
    if reason:
        raise ConfigurationError(f"no {kind} of {feed}: {reason}")
    name = _CHOICES.get(kind)
    if name is not None:
        choices = list(wire.halts if kind == "halt" else wire.bad_fields)
        chosen = parameters.setdefault(name, choices[0])
        if chosen not in choices:
            raise ConfigurationError(
                f"{name} of {kind} must be one of {', '.join(choices)} for {feed}, not {chosen!r}"
            )
