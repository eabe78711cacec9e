"""Estimates whose interval the stream contradicts are scored by nobody; when the doubt ends.

Cases C and D of docs/decisions/real-events.md, by the exchanges' own payloads.
"""

from __future__ import annotations

import pytest

from tests.support.partitions import of
from tests.support.venue_messages import Backpack, Binance, scored, us


class TestEstimates:
    """C and D: an interval that the stream contradicts is scored by nobody."""

    def test_a_funding_time_that_comes_sooner(self) -> None:
        """Listed 8 h, and the coming funding time jumps to the next hour."""
        feed = scored(8)
        feed.frame("0.0001", us("16:00"), us("09:05"))
        assert feed.newest("zscores")["z"] is not None
        feed.frame("-0.0031", us("10:00"), us("09:10"))
        rate, score = feed.newest("rates"), feed.newest("zscores")
        assert (rate["interval_hours"], rate["interval_doubtful"]) == (1.0, True)
        assert (score["z"], score["zone"], score["interval_doubtful"]) == (None, "unrated", True)
        assert feed.partition.contradicted_at == us("09:10") + 50_000
        assert of(feed.outputs, "alerts") == []
        feed.listed(1, us("09:10:20"))
        feed.frame("-0.0031", us("10:00"), us("09:10:21"))
        rate = feed.newest("rates")
        assert (rate["interval_source"], rate["interval_doubtful"]) == ("exchange_info", False)
        assert rate["rate_8h"] == pytest.approx(-0.0248)
        assert feed.newest("zscores")["z"] < -3
        assert [a["severity"] for a in of(feed.outputs, "alerts")] == ["critical"]

    def test_a_funding_time_that_comes_later(self) -> None:
        """Listed 1 h, and 4 h by the stream: no false alert of a rate that is 4 × too large."""
        feed = scored(1)
        feed.frame("0.0000125", us("09:00"), us("08:30"))
        feed.frame("0.00005", us("12:00"), us("09:00:01"))
        score = feed.newest("zscores")
        assert (score["z"], score["interval_hours"]) == (None, 4.0)
        assert of(feed.outputs, "alerts") == []
        feed.listed(4, us("09:00:30"))
        feed.frame("0.00005", us("12:00"), us("09:00:31"))
        feed.frame("0.00005", us("12:00"), us("09:00:40"))
        assert feed.newest("rates")["rate_8h"] == pytest.approx(0.0001)
        assert abs(feed.newest("zscores")["z"]) < 1

    def test_the_doubt_stays_when_times_coincide_again(self) -> None:
        """Listed 8 h, really 4 h: 16:00 is of both, and 12:00 has shown it."""
        feed = scored(8)
        feed.frame("0.0001", us("12:00"), us("09:00"))
        feed.frame("0.0001", us("16:00"), us("12:00:01"))
        assert feed.newest("rates")["interval_doubtful"] is True

    @pytest.mark.parametrize("between", ["older", "rest", "beyond the cap", "no time", "odd time"])
    def test_no_single_update_lifts_the_doubt(self, between: str) -> None:
        """One of an older state of the exchange, or one that says nothing of the funding time."""
        feed = scored(8)
        feed.frame("0.0001", us("16:00"), us("09:05"))
        feed.frame("-0.0031", us("10:00"), us("09:10"))
        if between == "older":
            feed.frame("0.0001", us("16:00"), us("09:09:59"))
        elif between == "beyond the cap":
            feed.frame("-0.2", us("16:00"), us("09:10:01"))
        elif between == "no time":
            feed.frame("-0.0031", us("10:00"), us("09:10:01"), T="soon")
        elif between == "odd time":
            feed.frame("-0.0031", us("10:00", 9), us("09:10:01"))
        else:
            row = {
                "symbol": feed.symbol,
                "time": us("09:10:00") // 1_000 + 500,
                "markPrice": "3.1",
                "lastFundingRate": "-0.0031",
                "nextFundingTime": us("16:00") // 1_000,
            }
            feed.send("fallback", "premiumIndex", [(feed.symbol, row)], us("09:10:01"))
        feed.frame("-0.0031", us("10:00"), us("09:10:02"))
        feed.frame("-0.0032", us("10:00"), us("09:10:08"))
        doubtful = [r["interval_doubtful"] for r in of(feed.outputs, "rates")]
        assert doubtful == [False, True, True, True, True]
        assert of(feed.outputs, "alerts") == []
        assert feed.newest("zscores")["z"] is None

    def test_while_no_clock_is_known_only_a_funding_time_that_moves_contradicts(self) -> None:
        """The first one may be anywhere; the list is all that is known."""
        feed = Binance()
        feed.info(us("00:10"))
        feed.listed(8, us("00:10"))
        feed.frame("0.0001", us("06:00"), us("05:43"))
        assert feed.newest("rates")["interval_doubtful"] is False
        other = Binance()
        other.info(us("00:10"))
        other.listed(8, us("00:10"))
        other.frame("0.0001", us("16:00"), us("09:05"))
        other.frame("-0.0025", us("10:00"), us("09:10"))
        other.frame("-0.0025", us("10:00"), us("09:11"))
        doubtful = [r["interval_doubtful"] for r in of(other.outputs, "rates")]
        assert doubtful == [False, True, True]

    def test_a_doubt_ends_with_its_funding_time(self) -> None:
        """A list that is not read meanwhile keeps it no longer: the stream was wrong once."""
        feed = scored(8)
        feed.frame("0.0001", us("16:00"), us("09:05"))
        feed.frame("0.0001", us("10:00"), us("09:10"))
        feed.frame("0.0001", us("16:00"), us("09:20"))
        feed.frame("0.0001", us("16:00"), us("10:00:01"))
        doubtful = [r["interval_doubtful"] for r in of(feed.outputs, "rates")]
        assert doubtful == [False, True, True, False]

    def test_a_list_that_is_read_ends_a_doubt(self) -> None:
        """If it is not contradicted again; the same value is an answer, too."""
        feed = scored(8)
        feed.frame("0.0001", us("10:00"), us("09:10"))
        feed.frame("0.0001", us("16:00"), us("09:10:10"))
        feed.listed(8, us("09:10:20"))
        feed.frame("0.0001", us("16:00"), us("09:10:21"))
        feed.frame("0.0001", us("10:00"), us("09:10:22"))
        feed.frame("0.0001", us("16:00"), us("09:10:30"))
        doubtful = [r["interval_doubtful"] for r in of(feed.outputs, "rates")]
        assert doubtful == [True, True, False, True, True]

    def test_an_older_update_has_the_interval_of_its_time(self) -> None:
        """It came after the list of a change."""
        feed = scored(1)
        feed.frame("0.00001", us("16:00"), us("15:40:55"))
        feed.listed(8, us("15:41"))
        feed.frame("0.00008", us("16:00"), us("15:41:02"))
        feed.frame("0.000012", us("16:00"), us("15:40:58"))
        assert [r["interval_hours"] for r in of(feed.outputs, "rates")] == [1.0, 8.0, 1.0]

    @pytest.mark.parametrize("left", ["07:59", "03:30", "00:10"])
    def test_a_clock_beside_the_grid_is_no_contradiction(self, left: str) -> None:
        """The first coming funding time was too far ahead for any shorter interval."""
        feed = Backpack()
        feed.market(us("00:10"), fundingInterval="28800000")
        feed.estimate("0.00011", 8, us("09:20"), us("01:21"))
        feed.estimate("0.00012", 8, us("09:20"), us("09:20") - us(left) + us("00:00"))
        rates = of(feed.outputs, "rates")
        assert {(r["interval_source"], r["interval_doubtful"]) for r in rates} == {
            ("exchange_info", False)
        }

    def test_backpack_states_the_interval_of_each_market(self) -> None:
        """In milliseconds; the stream does not say it."""
        feed = Backpack()
        feed.market(us("00:10"), fundingInterval="28800000")
        feed.estimate("0.00011", 8, us("08:00"), us("01:00"))
        rate = feed.newest("rates")
        assert (rate["interval_hours"], rate["interval_source"]) == (8.0, "exchange_info")
        assert (rate["rate_8h"], rate["apr"]) == (0.00011, pytest.approx(0.12045))
