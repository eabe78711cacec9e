"""The ownership transition table: its odd cases, and that docs/ownership.md shows the same
table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from producers.exchanges import exchange
from producers.policy.ownership import (
    NOTHING_SHARE,
    TRANSITIONS,
    WHOLE_SHARE,
    Ownership,
    Rest,
    Stream,
    transport,
)
from producers.policy.polling import FAILING_S, TOLERATED_PERIODS
from schemas.feeds import FEEDS, spec
from schemas.records import FeedState
from tests.support.paths import ROOT

STATES: tuple[FeedState, ...] = get_args(FeedState)
DOCUMENT = ROOT / "docs" / "ownership.md"

WHO: Mapping[FeedState, tuple[str, str]] = {
    "connecting": ("nothing has arrived since the start", "nobody"),
    "live": (
        "the stream brings at least 95 % of the contracts",
        "the stream; REST the few that are silent",
    ),
    "stalled": (
        "the stream brings less, and REST has brought nothing yet",
        "the stream what it has",
    ),
    "fallback": (
        "REST serves what the stream does not bring",
        "REST the silent, the stream the rest",
    ),
    "recovering": (
        "the stream brings more and more again",
        "the stream what is back, REST the others",
    ),
    "down": ("neither brings anything", "nobody"),
}
OBSERVED: Mapping[Stream | Rest, str] = {
    Stream.WHOLE: f"it brings at least {WHOLE_SHARE * 100:g} % of the expected contracts",
    Stream.RETURNING: "it brings some, and more than it did",
    Stream.PART: "it brings some, and no more than it did",
    Stream.NONE: f"it brings nothing, or less than {NOTHING_SHARE * 100:g} %",
    Rest.IDLE: "not asked, or it has not answered yet",
    Rest.SERVING: f"it has brought rates within {FAILING_S:g} s and {TOLERATED_PERIODS:g} periods",
    Rest.FAILING: f"nothing for longer, or for {FAILING_S:g} s from when it was needed",
}


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as the document has it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def page_of(feed: str) -> Path:
    """The page of an exchange; the feeds of other packages have none here."""
    return ROOT / "docs" / "exchanges" / f"{feed}.md"


def states() -> str:
    """What each state means."""
    heads = ("state", "meaning", "who delivers", "`transport`")
    rows = ((f"`{s}`", *WHO[s], f"`{transport(s)}`" if transport(s) else "null") for s in STATES)
    return table(heads, rows)


def observations() -> str:
    """What each observation means."""
    rows = ((type(seen).__name__, f"`{seen}`", text) for seen, text in OBSERVED.items())
    return table(("of", "observation", "meaning"), rows)


def transitions() -> str:
    """All 72."""
    heads = ("state", "stream", *(f"REST {rest}" for rest in Rest))
    rows = (
        (f"`{state}`", stream, *(TRANSITIONS[state, stream, rest] for rest in Rest))
        for state, stream in product(STATES, Stream)
    )
    return table(heads, rows)


def thresholds(feed: str) -> str:
    """How soon what happens to a feed, as its page says it."""
    found, known = exchange(feed), spec(feed)
    kinds = ", ".join(f"{kind.name} {kind.silent_s:g}" for kind in found.socket_kinds)
    numbers = {
        "pushed every": f"{known.cadence_s:g}",
        "silent": f"{found.silent_s:g}",
        "REST every": f"{found.fallback_s:g}",
        **({"quiet ones every": f"{found.quiet_every_s:g}"} if found.quiet_every_s else {}),
        "stale": f"{known.stale_s:g}",
        "socket silent": kinds or "-",
    }
    return table(list(numbers), [list(numbers.values())])


@pytest.mark.parametrize("feed", [feed for feed in FEEDS if page_of(feed).exists()])
def test_the_page_of_a_feed_says_its_thresholds(feed: str) -> None:
    """Else the message shows the table that belongs there."""
    assert thresholds(feed) in page_of(feed).read_text(encoding="utf-8")


@pytest.mark.parametrize("part", [states, observations, transitions])
def test_the_document_says_what_the_code_does(part: object) -> None:
    """Else the message shows the table that belongs there."""
    assert callable(part)
    assert part() in DOCUMENT.read_text(encoding="utf-8")


def test_every_state_and_observation_is_told_of() -> None:
    """A new one needs a line in the document."""
    assert WHO.keys() == set(STATES)
    assert OBSERVED.keys() == {*Stream, *Rest}


def test_the_table_is_whole() -> None:
    """Each state meets each observation, and leads to a state."""
    assert TRANSITIONS.keys() == set(product(STATES, Stream, Rest))
    assert set(TRANSITIONS.values()) == set(STATES)


NONE, SOME = (Stream.NONE,), (Stream.RETURNING, Stream.PART)
BEGUN: tuple[FeedState, ...] = ("stalled", "fallback", "recovering", "down")
Case = tuple[Iterable[FeedState], Iterable[Stream], Iterable[Rest], FeedState]
CASES: Sequence[Case] = (
    # Whatever was: a whole stream is live; live ends in stalled, so that the loss is told.
    (STATES, (Stream.WHOLE,), Rest, "live"),
    (("live",), (*SOME, *NONE), Rest, "stalled"),
    # A start is no outage before REST has failed as well.
    (("connecting",), (*SOME, *NONE), (Rest.IDLE,), "connecting"),
    (("connecting",), SOME, (Rest.FAILING,), "connecting"),
    (("connecting",), NONE, (Rest.FAILING,), "down"),
    (("connecting",), (*SOME, *NONE), (Rest.SERVING,), "fallback"),
    # REST serves: it is fallback, or recovering while the stream comes back.
    (BEGUN, (Stream.PART, *NONE), (Rest.SERVING,), "fallback"),
    (BEGUN, (Stream.RETURNING,), Rest, "recovering"),
    # REST does not: what the stream has is too little, and nothing of either is down.
    (BEGUN, (Stream.PART,), (Rest.IDLE, Rest.FAILING), "stalled"),
    (BEGUN, NONE, (Rest.FAILING,), "down"),
    # An idle REST says nothing: nobody is newly down by it, nobody ceases to be.
    (("stalled", "fallback", "recovering"), NONE, (Rest.IDLE,), "stalled"),
    (("down",), NONE, (Rest.IDLE,), "down"),
)


@pytest.mark.parametrize(("state", "stream", "rest"), list(product(STATES, Stream, Rest)))
def test_every_transition(state: FeedState, stream: Stream, rest: Rest) -> None:
    """Each of the 72 is one of the cases for which there is a reason, and of one only."""
    reasons = [
        following
        for states_, streams, rests, following in CASES
        if state in states_ and stream in streams and rest in rests
    ]
    assert [TRANSITIONS[state, stream, rest]] == reasons


def test_every_state_can_be_reached_and_left() -> None:
    """From connecting; only connecting is never come back to."""
    reached: set[FeedState] = {"connecting"}
    for _ in STATES:
        reached |= {
            following for (state, _, _), following in TRANSITIONS.items() if state in reached
        }
    assert reached == set(STATES)
    assert {state for (state, _, _), to in TRANSITIONS.items() if to != state} == set(STATES)
    assert {state for (state, _, _), to in TRANSITIONS.items() if to == "connecting"} == {
        "connecting"
    }


def test_nobody_delivers_in_connecting_stalled_and_down() -> None:
    """The transport of the status, which the page and the alerts show."""
    assert {state: transport(state) for state in STATES} == {
        "connecting": None,
        "live": "ws",
        "stalled": None,
        "fallback": "rest",
        "recovering": "rest",
        "down": None,
    }


def test_an_outage_from_its_begin_to_its_end() -> None:
    """Closed; REST serves; a first shard is back, then all."""
    ownership = Ownership()
    assert ownership.state == "connecting"
    seen = [
        ((100, 0, Rest.IDLE), "connecting"),
        ((100, 95, Rest.IDLE), "live"),
        ((100, 94, Rest.IDLE), "stalled"),
        ((100, 50, Rest.SERVING), "fallback"),
        ((100, 51, Rest.SERVING), "fallback"),
        ((100, 52, Rest.SERVING), "recovering"),
        ((100, 51, Rest.SERVING), "recovering"),
        ((100, 50, Rest.SERVING), "fallback"),
        ((100, 0, Rest.FAILING), "down"),
        ((100, 0, Rest.IDLE), "down"),
        ((100, 60, Rest.FAILING), "recovering"),
        ((100, 100, Rest.FAILING), "live"),
    ]
    assert [ownership.observe(*observation) for observation, _ in seen] == [to for _, to in seen]


def test_a_feed_of_few_contracts_turns_by_one() -> None:
    """A step is at least one contract."""
    ownership = Ownership()
    for streamed, expected in ((3, "live"), (1, "stalled"), (2, "recovering"), (1, "fallback")):
        assert ownership.observe(3, streamed, Rest.SERVING) == expected


def test_without_a_stream_rest_delivers_while_all_is_well() -> None:
    """In every other state it is the same."""
    differ = [state for state in STATES if transport(state, "rest") != transport(state)]
    assert differ == ["live"]
    assert transport("live", "rest") == "rest"
