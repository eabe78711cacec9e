"""What the benchmark of exchanges counts, and that it can say no."""

from __future__ import annotations

from benchmarks.venue_parts import Captured, lines_of, outcomes
from benchmarks.venues import aims, cost_of, figures_of, messages_of, sockets_of, text
from producers.exchanges import exchange

REPORT = """<testsuites><testsuite>
<testcase name="test_read[kucoin-kucoinfutures/a.json-X]"/>
<testcase name="test_read[kucoin-kucoinfutures/a.json-Y]"><failure message="no"/></testcase>
<testcase name="test_read[binance-usdm-binanceusdm/b.jsonl-]"><skipped message="none"/></testcase>
<testcase name="test_of_something_else"/>
</testsuite></testsuites>"""


def test_captured_messages_are_counted_by_feed() -> None:
    """By what the test said of each, and in how many files."""
    assert outcomes(REPORT) == {
        "kucoin": Captured(files=1, read=1, failed=1, skipped=0),
        "binance-usdm": Captured(files=1, read=0, failed=0, skipped=1),
    }


def test_a_part_has_the_modules_of_its_family() -> None:
    """What both markets of an exchange share is counted with each."""
    usdm, backpack = lines_of("binance-usdm"), lines_of("backpack")
    assert min(usdm) > 100
    assert usdm.description > backpack.description
    assert lines_of("binance-coinm").simulator == usdm.simulator


def test_sockets_follow_from_what_one_carries() -> None:
    """A socket for all, or as many as are needed; those of a second source are left out."""
    symbols = [f"C{number}" for number in range(700)]
    assert sockets_of(exchange("binance-usdm"), symbols) == 1
    assert sockets_of(exchange("kucoin"), symbols) == 1
    assert sockets_of(exchange("hyperliquid"), symbols[:300]) >= 1


def test_frames_of_the_simulated_exchange_are_timed() -> None:
    """Each contract in its pieces, and none where it sends nothing."""
    messages = messages_of("backpack", 3)
    cost = cost_of("backpack", messages)
    assert cost is not None
    assert cost["pieces"] == len(messages) > 10
    assert min(cost["frame_us"], cost["piece_us"]) > 0
    assert cost_of("backpack", []) is None


def test_the_aims_can_be_missed() -> None:
    """By too many calls, and by one message that is read wrongly."""
    fine = {
        **figures_of("backpack", 2),
        "lines": {"description": 1, "normaliser": 2, "simulator": 3},
        "captured": {"files": 2, "read": 3, "failed": 0, "skipped": 0},
    }
    assert [aim.met for aim in aims({"feeds": {"backpack": fine}})] == [True, True]
    busy = fine | {"calls_an_hour": 48.5}
    wrong = fine | {"captured": {"files": 2, "read": 2, "failed": 1, "skipped": 0}}
    assert [aim.met for aim in aims({"feeds": {"a": busy, "b": wrong}})] == [False, False]
    shown = text({"feeds": {"backpack": wrong}})
    assert "2 of 3 right, 2 files" in shown
    assert "1 feeds, 91 contracts." in shown
