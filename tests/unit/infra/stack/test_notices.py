"""What the console of `up` shows of its parts."""

from __future__ import annotations

from infra.embedded.supervision.supervisor import ServiceEnd
from infra.stack.notices import Ends, notice_in


def test_a_notice_is_shown_whether_printed_or_logged() -> None:
    """Without the time and the logger; a word within another line is none."""
    notice = "notice: nothing is stored: run `fundingstream migrate`"
    assert notice_in(notice) == notice
    assert notice_in(f"2026-11-27T21:29:23.176Z WARNING stream_app.sink.outage {notice}") == notice
    assert notice_in("2026-11-27T21:29:23.176Z INFO x a symbol named notice: is none") is None
    assert notice_in("INFO notice") is None


def test_a_part_that_others_do_not_need_is_told_once() -> None:
    """That it is down, that it is back; each end of a vital one."""
    shown: list[str] = []
    ends = Ends(shown.append)
    for _ in range(3):
        ends.ended(ServiceEnd("sink", 6, "sink ended: wrong table", restarting=True, vital=False))
    ends.back("sink")
    ends.back("sink")
    for _ in range(2):
        ends.ended(ServiceEnd("worker", 1, "worker ended", restarting=True))
    ends.back("worker")
    assert shown == [
        (
            "! sink ended: wrong table; it is started again and again, the other parts go on, and "
            "Kafka keeps what it owes"
        ),
        "! sink is back",
        "! worker ended",
        "! worker ended",
    ]
