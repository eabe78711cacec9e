"""What faults do to frames and replies, and what the truth says of them. Pure."""

from __future__ import annotations

import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.exchange import Frame, RestCall, RestReply
from infra.simulator.faults import replies as fault_replies
from infra.simulator.faults.book import FaultBook
from infra.simulator.faults.frames import FrameFaults, damaged
from infra.simulator.market.truth import Delivery, TickLedger, head
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import create_exchanges
from tests.support.faults import FEEDS, NOW_MS, USDM, WIRES, fault, frame_of, running, symbols


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
    (exchange,) = create_exchanges([feed], SimulatorOptions(), 4, NOW_MS)
    reply = fault_replies.refusal(exchange, running(kind), call)
    assert reply.status >= 400
    assert reply.body


def test_history_is_left_alone_by_bad_units() -> None:
    """Only calls for current rates are rewritten."""
    reply = RestReply(b'[{"fundingRate":"0.1","lastFundingRate":"0.1"}]')
    percent = [running("bad-units", field="rate")]
    for path, is_changed in (("/fapi/v1/premiumIndex", True), ("/fapi/v1/fundingRate", False)):
        call = RestCall("GET", path, {}, b"", "", NOW_MS)
        assert (fault_replies.changed(reply, USDM, percent, call) != reply) is is_changed


@pytest.mark.parametrize("feed", FEEDS)
def test_every_kind_of_bad_field_leaves_other_rows_and_rates_alone(feed: str) -> None:
    """Frames of many contracts and of one; text stays text, a number a number."""
    wire = WIRES[feed]
    for name, (fields, value) in wire.bad_fields.items():
        bad = value.strip('"')
        for field in fields.split("|"):
            rows = [f'{{"s":"{s}","symbol":"{s}","{field}":"1.5","r":"0.25"}}' for s in "AB"]
            found = json.loads(wire.with_bad_field(f"[{','.join(rows)}]".encode(), name, "B"))
            assert found[0] == {"s": "A", "symbol": "A", field: "1.5", "r": "0.25"}
            assert found[1] == {"s": "B", "symbol": "B", field: bad, "r": "0.25"}
            number = f'[{{"symbol":"B","{field}":1.5E-5,"r":0.25}}]'.encode()
            assert str(json.loads(wire.with_bad_field(number, name, "B"))[0][field]) == bad


@pytest.mark.parametrize("feed", FEEDS)
def test_nulls_in_optional_fields_alone(feed: str) -> None:
    """Texts, numbers, lists and nulls become null; rates and times stay."""
    wire = WIRES[feed]
    values = ['"1.5"', "1.5E-5", '["1","2"]', "null", "false"]
    for field in wire.optional:
        text = ",".join(f'{{"{field}":{value},"r":"0.25","s":"A"}}' for value in values)
        found = json.loads(wire.with_nulls(f"[{text}]".encode()))
        assert found == [{field: None, "r": "0.25", "s": "A"}] * len(values)
