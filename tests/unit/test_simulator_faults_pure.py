"""The pure parts of fault control: kinds, book, frames, wire table, schedule, lateness."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator import fault_kinds, fault_replies, schedule
from infra.simulator.exchanges import EXCHANGES
from infra.simulator.fault_frames import FrameFaults, damaged
from infra.simulator.fault_kinds import KINDS, Fault
from infra.simulator.faults import MAX_RUNNING, FaultBook, Running, in_share
from infra.simulator.feed import Frame, RestCall, RestReply
from infra.simulator.history import Lateness, SettlementBook
from infra.simulator.market import HOUR_MS, Market
from infra.simulator.schedule import Resume
from infra.simulator.truth import Delivery, TickLedger, head
from infra.simulator.universe import Asset, Contract
from infra.simulator.wire_fields import WIRES
from schemas.errors import ConfigurationError

FEEDS = tuple(EXCHANGES)
USDM = WIRES["binance-usdm"]
NOW_MS = 1_790_000_000_000

symbols = st.text("ABCXYZ:_.", min_size=1, max_size=8)


def fault(kind: str, **arguments: Any) -> Fault:
    """A checked fault."""
    return fault_kinds.parse(kind, arguments, FEEDS)


def running(kind: str, **arguments: Any) -> Running:
    """A fault that runs."""
    return FaultBook().begin(fault(kind, **arguments), 0.0, 0)[0]


def frame_of(*names: str) -> Frame:
    """An array frame of some contracts, row numbers in their order."""
    rows = ",".join(f'{{"s":"{name}","E":{NOW_MS},"r":"0.00010000"}}' for name in names)
    ledger = TickLedger([head("f", n) for n in names], [1] * len(names), ["0.1"] * len(names))
    return Frame(f"[{rows}]".encode(), ledger=ledger, rows=range(len(names)))


def test_every_feed_has_a_wire() -> None:
    """One more exchange needs its line."""
    assert set(WIRES) == set(EXCHANGES)


def test_every_kind_can_be_asked_for() -> None:
    """With what is required alone; the rest has defaults."""
    required: dict[str, dict[str, Any]] = {
        "delay": {"delay_s": 1},
        "slow-rest": {"delay_s": 0.5},
        "settle-late": {"delay_s": 9},
        "bad-units": {"field": "rate"},
        "clock-skew": {"skew_s": -1.5},
        "interval-change": {"symbol": "X", "interval_hours": 4},
    }
    for kind in KINDS:
        asked = fault(kind, feed="kucoin", **required.get(kind, {}))
        assert (asked.kind, asked.feed, asked.seconds) == (kind, "kucoin", None)
    assert set(fault_kinds.described()) == set(KINDS)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    arguments=st.dictionaries(
        st.sampled_from(["feed", "seconds", "p", "how", "delay_s", "code", "share", "symbols"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.text(max_size=1), st.none(), max_size=1),
    ),
)
def test_any_arguments_are_taken_or_refused(kind: str, arguments: dict[str, Any]) -> None:
    """In one sentence, with no other exception."""
    try:
        asked = fault_kinds.parse(kind, arguments, FEEDS)
    except ConfigurationError:
        return
    assert set(asked.parameters) <= set(KINDS[kind].parameters)
    assert asked.seconds is None or asked.seconds > 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["silence", "drop", "refuse-ws"]),
            st.sampled_from([None, "kucoin", "backpack"]),
            st.none() | st.integers(1, 9),
        ),
        max_size=12,
    ),
    st.integers(0, 20),
)
def test_the_book_agrees_with_a_list(
    begun: Sequence[tuple[str, str | None, int | None]], at_s: int
) -> None:
    """Begun second by second, at a later second: the newest of each kind and feed, if not over."""
    book, expected = FaultBook(), {}
    for second, (kind, feed, seconds) in enumerate(begun):
        book.begin(fault(kind, feed=feed, seconds=seconds), second, 0)
        expected[kind, feed] = None if seconds is None else second + seconds
    now_s = len(begun) + at_s
    book.expire(now_s)
    alive = {key for key, until_s in expected.items() if until_s is None or until_s > now_s}
    assert set(book.names()) == {f"{kind}:{feed or '*'}" for kind, feed in alive}
    for feed in ("kucoin", "backpack", "hyperliquid"):
        of_feed = {(r.kind, r.fault.feed) for r in book.of(feed)}
        assert of_feed == {key for key in alive if key[1] in {None, feed}}
    next_s = book.next_end_s()
    assert next_s is None or next_s > now_s
    ended = book.end(feed="kucoin")
    assert {(r.kind, r.fault.feed) for r in ended} == {key for key in alive if key[1] == "kucoin"}
    book.end()
    assert book.names() == []


def test_the_book_is_bounded() -> None:
    """One too many is refused, one in the place of an equal one is not."""
    book = FaultBook()
    for number in range(MAX_RUNNING):
        book.begin(fault("drop", seed=number), 0, 0)
    with pytest.raises(ConfigurationError):
        book.begin(fault("drop", seed=MAX_RUNNING), 0, 0)
    _, replaced = book.begin(fault("drop", seed=5, seconds=3), 0, 0)
    assert [old.get("seed") for old in replaced] == [5]


@given(symbols, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_a_smaller_one(symbol: str, one: float, two: float) -> None:
    """And none and all are what they say."""
    low, high = sorted((one, two))
    assert in_share(symbol, low) <= in_share(symbol, high)
    assert in_share(symbol, 1)
    assert not in_share(symbol, 0)


def test_a_share_is_about_that_share() -> None:
    """Of many contracts."""
    chosen = sum(in_share(f"S{number}USDT", 0.3) for number in range(2_000))
    assert 500 < chosen < 700


def test_chance_is_seeded() -> None:
    """The same seed strikes the same frames, in about p of all cases."""
    one, two, other = (running("drop", p=0.3, seed=seed) for seed in (1, 1, 2))
    drawn = [one.strikes() for _ in range(500)]
    assert drawn == [two.strikes() for _ in range(500)]
    assert drawn != [other.strikes() for _ in range(500)]
    assert 100 < sum(drawn) < 200


@given(st.lists(symbols, min_size=1, max_size=5, unique=True), st.data())
def test_hidden_rows_leave_the_others_untouched(names: list[str], data: st.DataObject) -> None:
    """Byte for byte, in every form of a frame; without any row there is no frame."""
    hidden = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    frame = frame_of(*names)
    before, behind = data.draw(
        st.sampled_from([(b"", b""), (b'{"stream":"x","data":', b"}"), (b'{"d":', b',"P":1}')])
    )
    wrapped = Frame(before + frame.payload + behind, ledger=frame.ledger, rows=frame.rows)
    out = FrameFaults(USDM).pass_on(wrapped, [running("silence", symbols=hidden)])
    kept = [name for name in names if name not in hidden]
    if not kept:
        assert out == []
        return
    (left,) = out
    assert left.payload == before + frame_of(*kept).payload + behind
    assert list(left.rows) == [names.index(name) for name in kept]


@given(
    text=st.text(min_size=1), chance=st.floats(0, 1, exclude_max=True), cut=st.booleans()
)  # fmt: skip
def test_damaged_is_no_json_and_still_text(*, text: str, chance: float, cut: bool) -> None:
    """Wherever it is damaged, other letters than ASCII included."""
    clean = text.replace("\\", "").replace('"', "").strip() or "x"
    payload = msgspec.json.encode([{"s": "".join(c for c in clean if c.isprintable()), "E": 5}])
    broken = damaged(payload, chance, cut=cut)
    assert broken
    broken.decode()
    with pytest.raises(ValueError, match=r"."):
        json.loads(broken)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(broken)


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 99))
def test_reordering_loses_nothing(active: list[bool], seed: int) -> None:
    """Whenever it runs: each frame once, at most one place off; one may be held at the end."""
    stage, fault_ = FrameFaults(USDM), running("reorder", p=0.6, seed=seed)
    frames = [Frame(str(number).encode()) for number in range(len(active))]
    out: list[Frame] = []
    for frame, is_active in zip(frames, active, strict=True):
        out += stage.pass_on(frame, [fault_] if is_active else [])
    assert len(out) == len(frames) - (not stage.idle)
    assert len({f.payload for f in out}) == len(out)
    assert all(abs(int(f.payload) - place) <= 1 for place, f in enumerate(out))


@given(
    st.integers(1_500_000_000, 4_000_000_000), st.sampled_from([1, 10**3, 10**6, 10**9]),
    st.sampled_from([("s", 1), ("ms", 10**3), ("us", 10**6)]), st.integers(-86_400, 86_400),
)  # fmt: skip
def test_times_in_any_unit(at_s: int, scale: int, unit: tuple[str, int], skew_s: int) -> None:
    """Seen by their size, as numbers or as text; other numbers are left alone."""
    text = f'{{"E":{at_s * scale},"T":"{at_s * scale}","n":5,"r":"0.5","p":"{at_s}"}}'.encode()
    converted = json.loads(USDM.in_unit(text, unit[0]))
    assert converted["E"] == at_s * unit[1] == int(converted["T"])
    assert (converted["n"], converted["r"], converted["p"]) == (5, "0.5", str(at_s))
    moved = json.loads(USDM.shifted(text, skew_s * 1_000_000))
    assert moved["E"] == (at_s + skew_s) * scale
    assert moved["T"] == str(at_s * scale)


def test_a_time_of_kucoin_is_an_event_or_a_settlement_by_its_granularity() -> None:
    """A clock that is wrong moves estimates and prices; settled rows stay."""
    wire, at_ms, skew_us = WIRES["kucoin"], 1_791_273_600_000, 40_000_000
    frame = '{{"period":1,"granularity":{},"fundingRate":0.0001,"timestamp":{}}}'
    for granularity, moved_ms in (
        (60_000, 40_000),
        (1_000, 40_000),
        (28_800_000, 0),
        (3_600_000, 0),
    ):
        text = frame.format(granularity, at_ms).encode()
        assert wire.shifted(text, skew_us) == frame.format(granularity, at_ms + moved_ms).encode()
        in_s = frame.format(granularity, at_ms // 1_000).encode()
        assert wire.in_unit(text, "s") == in_s
    price = b'{"markPrice":7.5,"indexPrice":7.5,"granularity":1000,"timestamp":1791273600000}'
    assert wire.shifted(price, skew_us).endswith(b'"timestamp":1791273640000}')


def test_what_is_not_a_time_is_not_moved() -> None:
    """KuCoin's countdown and its settled rows; Hyperliquid's; a channel's name in `T`."""
    kucoin, hyperliquid = WIRES["kucoin"], WIRES["hyperliquid"]
    frame = b'{"T":"funding-fee","P":1790114460967760880,"d":{"s":"A","nt":1790121600000}}'
    assert kucoin.shifted(frame, 1_000_000) == frame.replace(b"60967760880", b"61967760880")
    for wire, text in (
        (kucoin, b'{"list":[{"ts":1790121600000,"fundingRate":1.5E-5}]}'),
        (kucoin, b'{"nextFundingRateTime":17752926}'),
        (hyperliquid, b'{"coin":"BTC","premium":"0.1","time":1790121600000}'),
    ):
        assert wire.shifted(text, 10**6) == text
    assert kucoin.in_unit(b'{"nextFundingRateTime":17752926}', "s").endswith(b":17752926}")


def test_rates_in_percent() -> None:
    """In exponent form too; a rate that is not there stays away, prices stay."""
    text = b'{"fundingFeeRate":6.1E-5,"lastTimeFundingRate":null,"markPrice":6.1}'
    found = WIRES["kucoin"].in_percent(text)
    assert json.loads(found) == {
        "fundingFeeRate": 0.0061, "lastTimeFundingRate": None, "markPrice": 6.1,
    }  # fmt: skip
    assert USDM.in_percent(b'{"r":"","p":"2.0"}') == b'{"r":"","p":"2.0"}'
    assert USDM.in_percent(b'{"r":"-0.00012300"}') == b'{"r":"-0.01230000"}'


def test_faults_add_up_in_an_order_that_works() -> None:
    """What is damaged comes last, whatever began first; what is silent goes nowhere."""
    book = FaultBook()
    for asked in (fault("corrupt"), fault("duplicate"), fault("silence", symbols=["B"])):
        book.begin(asked, 0, 0)
    out = FrameFaults(USDM).pass_on(frame_of("A", "B"), book.on_frames("kucoin", 3))
    assert [b'"B"' in frame.payload for frame in out] == [False, False]
    assert out[0].ledger is None
    book.begin(fault("silence"), 0, 0)
    assert FrameFaults(USDM).pass_on(frame_of("A"), book.on_frames("kucoin", 3)) == []


def test_a_fault_of_one_connection() -> None:
    """Leaves the others alone; delays of several faults add up."""
    book = FaultBook()
    book.begin(fault("delay", delay_s=2), 0, 0, frozenset({4}))
    book.begin(fault("delay", delay_s=3, feed="kucoin"), 0, 0)
    assert [book.delay_s("kucoin", n) for n in (4, 5)] == [5, 3]
    assert [book.delay_s("backpack", n) for n in (4, 5)] == [2, 0]
    book.begin(fault("drop"), 0, 0, frozenset({4}))
    assert [len(book.on_frames("kucoin", n)) for n in (4, 5)] == [1, 0]


@given(st.randoms(use_true_random=False), st.integers(1, 3), st.integers(1, 4))
def test_each_update_is_claimed_or_missed_once(
    chance: random.Random, ledgers: int, clients: int
) -> None:
    """However sends, losses and blames fall among the clients of a tick, and in what order."""
    names = ["A", "B", "C"]
    books = [
        TickLedger([head("f", n) for n in names], [number] * 3, ["0.1", "0.2", None])
        for number in range(ledgers)
    ]
    missed: list[str] = []
    delivery = Delivery(books, range(3), 77, "unsubscribed", missed.extend)
    frames = [
        Frame(b"", ledger=chance.choice(books), rows=[chance.randrange(3)]).taken()
        for _ in range(clients)
    ]
    delivery.released()
    chance.shuffle(frames)
    claimed, blamed = set(), set()
    for frame in frames:
        assert missed == []
        assert frame.ledger is not None
        if chance.random() < 0.5:
            if frame.ledger.claim(frame.rows, 5):
                claimed.add(frame.rows[0])
        else:
            frame.blame()
            blamed.add(frame.rows[0])
        frame.released()
    lines = [json.loads(line) for line in missed]
    assert {line["contract_id"] for line in lines} == {
        f"f:{names[row]}" for row in range(2) if row not in claimed
    }
    for line in lines:
        row = names.index(line["contract_id"][2:])
        assert line["why"] == ("fault" if row in blamed else "unsubscribed")
        assert (line["event_time"], line["sent_at"]) == (0, 77)


def test_a_moved_clock_is_in_the_truth() -> None:
    """A claim has the time that was sent."""
    ledger = TickLedger([head("f", "A")], [1_000], ["0.1"])
    (line,) = ledger.claim([0], 5, -400)
    assert json.loads(line)["event_time"] == 600


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("kind", ["http-429", "http-418", "http-403", "http-5xx", "maintenance"])
def test_every_feed_can_refuse(feed: str, kind: str) -> None:
    """With a status, and a body that is not the exchange's success."""
    call = RestCall("GET", "/x", {}, b"", "10.0.0.9", NOW_MS)
    reply = fault_replies.refusal(feed, running(kind), call)
    assert reply.status >= 400
    assert reply.body


def test_history_is_left_alone_by_bad_units() -> None:
    """Only calls for current rates are rewritten."""
    reply = RestReply(b'[{"fundingRate":"0.1","lastFundingRate":"0.1"}]')
    percent = [running("bad-units", field="rate")]
    for path, is_changed in (("/fapi/v1/premiumIndex", True), ("/fapi/v1/fundingRate", False)):
        call = RestCall("GET", path, {}, b"", "", NOW_MS)
        assert (fault_replies.changed(reply, USDM, percent, call) != reply) is is_changed


def test_a_schedule_in_any_order() -> None:
    """Sorted by time, equal times as written; `resume` is an entry."""
    document = [
        {"at_s": 9, "kind": "resume", "feed": "kucoin", "id": 4},
        {"at_s": 2.5, "kind": "drop", "p": 0.5, "seconds": 3},
        {"at_s": 2.5, "kind": "delist", "feed": "kucoin"},
    ]
    entries = schedule.parse(document, FEEDS)
    assert [entry.at_s for entry in entries] == [2.5, 2.5, 9]
    assert entries[0].what == fault("drop", p=0.5, seconds=3)
    assert entries[2].what == Resume("kucoin", None, 4)


def _contract(name: str, hours: int, offset_ms: int = 0) -> Contract:
    return Contract(
        name, Asset(name, tradfi=False), "USDT", "crypto", hours, 2_000_000, "active", 1.0,
        grid_offset_ms=offset_ms,
    )  # fmt: skip


@given(
    st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 24 * HOUR_MS - 1), st.integers(1, 30 * HOUR_MS),
)  # fmt: skip
def test_a_changed_interval(old: int, new: int, changed_after_ms: int, later_ms: int) -> None:
    """Ahead: the new grid. Until its first point: the last settlement of the old one."""
    day_ms = NOW_MS // (24 * HOUR_MS) * 24 * HOUR_MS
    changed_ms = day_ms + changed_after_ms
    changed, same = (Market(3, "kucoin", [_contract("A", old), _contract("B", 8)]) for _ in "12")
    last = int(changed.last_funding_ms(changed_ms)[0]), int(changed.settled_units(changed_ms)[0])
    changed.change_interval(0, new, changed_ms)
    first_ms = changed_ms // (new * HOUR_MS) * new * HOUR_MS + new * HOUR_MS
    assert int(changed.next_funding_ms(changed_ms)[0]) == first_ms
    at_ms = changed_ms + later_ms
    shown = int(changed.last_funding_ms(at_ms)[0]), int(changed.settled_units(at_ms)[0])
    if at_ms < first_ms:
        assert shown == last
    else:
        settled = changed.settlements(changed_ms, at_ms)
        own = settled.row == 0
        assert shown == (settled.funding_ms[own][-1], settled.rate_units[own][-1])
    other, untouched = changed.snapshot(at_ms), same.snapshot(at_ms)
    assert other.rate_units[1] == untouched.rate_units[1]
    assert changed.interval_hours(1) == 8


def test_lateness_hides_only_what_settles_later() -> None:
    """Late: all that is young. Newest first: the one before the newest that is young."""
    start_ms = NOW_MS // HOUR_MS * HOUR_MS + 1_000
    book = SettlementBook(Market(3, "backpack", [_contract("A", 1), _contract("B", 1)]), start_ms)
    known = book.positions(None, None, None)
    book.lateness = Lateness(start_ms, HOUR_MS // 2, newest_first=False)
    assert np.array_equal(book.positions(None, None, None), known)
    book.settle(start_ms + HOUR_MS)
    assert np.array_equal(book.positions(None, None, None), known)
    book.settle(start_ms + HOUR_MS + HOUR_MS // 2)
    assert len(book.positions(0, None, None)) == len(known) // 2 + 1
    book.lateness = Lateness(start_ms, HOUR_MS // 2, newest_first=True)
    book.settle(start_ms + 2 * HOUR_MS)
    shown = book.all.funding_ms[book.positions(0, None, None)].tolist()
    everything = np.unique(book.all.funding_ms).tolist()
    assert shown == [*everything[:-2], everything[-1]]
