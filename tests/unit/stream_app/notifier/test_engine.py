"""When a rule fires: each condition, hysteresis, hold, cool-down, facts, selection."""

from __future__ import annotations

from stream_app.notifier.rules.engine import Engine
from stream_app.notifier.rules.firing import Firing
from tests.support.rules import START_US, S, alert, audit, engine_of, leg, score, status


def fired(engine: Engine, *values: tuple[float, float | None]) -> list[float]:
    """The seconds at which z-scores of one contract make a rule fire."""
    found = [firing for at, z in values for firing in engine.on_zscore(score(at, z))]
    return [(firing.event_time - START_US) / S for firing in found]


def test_an_excursion_is_told_once_until_it_is_over() -> None:
    """Between 3 and 2.5 it goes on; then it is over, and the next one is told."""
    engine = engine_of("name: a, when: {z: {abs: 3}}")
    values = [(0, 1.0), (1, 3.1), (2, 2.9), (3, 3.5), (4, 2.5), (5, 3.2), (6, -3.2), (7, -2.6)]
    assert fired(engine, *values) == [1, 5, 6]


def test_the_id_follows_from_the_event_that_began_it() -> None:
    """So it is the same whenever and by whomever the records are read."""
    ids = set()
    for extra in ((), (5.0, 7.0)):
        engine = engine_of("name: a, when: {z: {above: 3}}, hold: 10s")
        seconds = [0.0, *extra, 10.0, 12.0]
        (firing,) = [f for at in seconds for f in engine.on_zscore(score(at, 4.0))]
        ids.add(firing.alert_id)
        assert firing.event_time == START_US + 10 * S
    assert ids == {f"rule/a/binance-usdm:S0USDT/{START_US}"}


def test_hold_and_cool_down() -> None:
    """It must last; and what is still out when the cool-down ends is told then."""
    engine = engine_of("name: a, when: {z: {below: -2}}, hold: 10s, cool_down: 100s")
    values = [
        *((0, -3.0), (9, -3.0), (9.5, 0.0)),  # too short
        *((20, -3.0), (30, -3.0)),  # told at 30
        *((40, 0.0), (50, -3.0), (65, -3.0), (129, -3.0), (130, -3.0), (140, -3.0)),
    ]
    assert fired(engine, *values) == [30, 130]


def test_z_and_apr_together() -> None:
    """Both must be beyond; one that is inside ends it."""
    engine = engine_of("name: a, when: {z: {above: 2}, apr: {above: 50}}")
    records = [
        score(0, 3.0, apr=0.4), score(1, 3.0, apr=0.6), score(2, 3.0, apr=0.48),
        score(3, 3.0, apr=0.6), score(4, 3.0, apr=0.44), score(5, 1.9, apr=0.9),
        score(6, 2.1, apr=0.9),
    ]  # fmt: skip
    found = [firing for record in records for firing in engine.on_zscore(record)]
    assert [(f.event_time - START_US) // S for f in found] == [1, 6]
    assert found[0].title == "binance-usdm:S0USDT: z +3.00"
    assert "(+60.0 % a year)" not in found[0].message, "APR of the rate, not the record's"


def test_the_first_z_is_a_fact() -> None:
    """Of a fresh rule, of a new contract, and where z was not known before."""
    fresh = engine_of("name: a, when: {z: {abs: 3}}", fresh=("a",))
    assert fired(fresh, (0, 4.0), (1, 4.5), (2, 0.0), (3, 4.0)) == [3]
    engine = engine_of("name: a, when: {z: {abs: 3}}")
    assert engine.on_zscore(score(0, 4.0, trigger="first")) == []
    other = engine_of("name: a, when: {z: {abs: 3}}")
    assert fired(other, (0, None), (1, 4.0), (2, 0.0), (3, 4.0)) == [3]
    again = engine_of("name: a, when: {z: {abs: 3}}")
    assert fired(again, (0, 4.0)) == [0], "a rule that has looked before: it was inside"


def test_low_confidence_counts_as_not_known() -> None:
    """It neither begins nor ends anything."""
    engine = engine_of("name: a, when: {z: {abs: 3}}, confidence: high")
    assert engine.on_zscore(score(0, 4.0, confidence="medium")) == []
    assert fired(engine, (1, 4.0)) == [1]
    assert engine.on_zscore(score(2, 0.0, confidence="low")) == []
    assert fired(engine, (3, 4.0)) == []


def test_selection() -> None:
    """Contracts, bases and feeds, in and out; a feed's event only where no contract is named."""
    engine = engine_of(
        "name: a, when: {z: {abs: 3}}, contracts: {include: ['*:S*'], exclude: ['*:S1*']}",
        "name: b, when: {z: {abs: 3}}, bases: [ETH], feeds: kucoin",
        "name: c, kinds: all, bases: [BTC]",
        "name: d, kinds: [feed_down], feeds: 'kuc*'",
    )

    def rules(firings: list[Firing]) -> list[str]:
        return [firing.rule.name for firing in firings]

    assert rules(engine.on_zscore(score(0, 4.0))) == ["a"]
    assert rules(engine.on_zscore(score(0, 4.0, contract_id="binance-usdm:S1USDT"))) == []
    eth = {"contract_id": "kucoin:ETH", "feed": "kucoin", "base": "ETH"}
    assert rules(engine.on_zscore(score(0, 4.0, **eth))) == ["b"]
    assert rules(engine.on_alert(alert(1, 0))) == ["d"]
    assert rules(engine.on_alert(alert(2, 0, subject="binance-usdm"))) == []
    assert rules(engine.on_alert(alert(3, 0, subject="kucoin:BTCUSDTM", kind="z_cross"))) == ["c"]


def test_a_spread_of_two_feeds() -> None:
    """Intervals are made comparable; the gap is between feeds and not within one."""
    engine = engine_of("name: a, when: {spread: {rate_8h: 0.1}}")
    assert engine.on_zscore(leg(0, "kucoin", 1e-3)) == []
    same_feed = leg(1, "kucoin", 5e-3) | {"contract_id": "kucoin:BTCUSDC"}
    assert engine.on_zscore(same_feed) == []
    engine = engine_of("name: a, when: {spread: {rate_8h: 0.1}}")
    engine.on_zscore(leg(0, "kucoin", 1e-4))
    (firing,) = engine.on_zscore(leg(1, "binance-usdm", 1e-3, interval_hours=4.0))
    assert (firing.subject, firing.kind) == ("BTC", "spread")
    assert "0.1900 % per 8 h" in firing.message
    assert firing.contract_id == "binance-usdm:BTC"
    assert engine.on_zscore(leg(2, "binance-usdm", 1.05e-3)) == [], "still apart by more than 0.09"
    assert engine.on_zscore(leg(3, "binance-usdm", 9e-4)) == [], "over"
    assert len(engine.on_zscore(leg(4, "binance-usdm", 2e-3))) == 1
    stale = engine.on_zscore(leg(2_000, "kucoin", -1e-3))
    assert stale == [], "a rate that is half an hour old is no leg"


def test_two_assets_of_one_name_make_no_spread() -> None:
    """Their prices lie apart by more than 5 %; where one is not known, nothing tells."""
    engine = engine_of("name: a, when: {spread: {rate_8h: 0.1}}")
    engine.on_zscore(leg(0, "kucoin", 1e-4, mark_price=5e4))
    assert engine.on_zscore(leg(1, "binance-usdm", 2e-3, mark_price=5.3e4)) == []
    priced = leg(2, "binance-usdm", 2e-3, mark_price=5.3e7, multiplier=1000.0)
    assert engine.on_zscore(priced) == []
    assert len(engine.on_zscore(leg(3, "binance-usdm", 2e-3, mark_price=None))) == 1


def test_a_spread_goes_on_over_a_restart() -> None:
    """As long as the legs that began it have not come again, nothing is over."""
    before = engine_of("name: a, when: {spread: {rate_8h: 0.1}}")
    before.on_zscore(leg(0, "kucoin", 0.0))
    assert len(before.on_zscore(leg(1, "binance-usdm", 2e-3))) == 1
    after = engine_of("name: a, when: {spread: {rate_8h: 0.1}}")
    for key, track in before.tracks.take_changes().items():
        assert track is not None
        after.tracks.restore(key, track)
    assert after.on_zscore(leg(2, "kucoin", 0.0)) == []
    assert after.on_zscore(leg(3, "hyperliquid", 0.0)) == []
    assert after.on_zscore(leg(4, "binance-usdm", 2.1e-3)) == []


def test_a_fresh_spread_is_a_fact_while_feeds_still_come() -> None:
    """Two minutes later it is news."""
    engine = engine_of("name: a, when: {spread: {rate_8h: 0.1}}", fresh=("a",))
    engine.on_zscore(leg(0, "kucoin", 0.0))
    engine.on_zscore(leg(1, "binance-usdm", 0.0))
    assert engine.on_zscore(leg(2, "hyperliquid", 2e-3)) == []
    engine.on_zscore(leg(200, "hyperliquid", 0.0))
    assert len(engine.on_zscore(leg(201, "hyperliquid", 2e-3))) == 1


def test_a_sign_flip() -> None:
    """The first sign is known; less than 0.1 bp has none; it must last as long as `hold`."""
    engine = engine_of("name: a, when: {sign_flip: true}, hold: 60s")
    rates = [(0, 1e-4), (10, -1e-4), (50, 1e-4), (60, 0.0), (70, -1e-4), (100, 5e-6), (130, -2e-4)]
    found = [f for at, rate in rates for f in engine.on_zscore(score(at, 0.0, rate=rate))]
    (firing,) = found
    assert firing.event_time == START_US + 130 * S
    assert firing.title == "binance-usdm:S0USDT: shorts pay longs now"
    assert engine.on_zscore(score(200, 0.0, rate=-1e-4)) == []
    assert engine.on_zscore(score(300, 0.0, rate=1e-4)) == []
    assert len(engine.on_zscore(score(360, 0.0, rate=1e-4))) == 1


def test_a_feeds_state_that_lasts() -> None:
    """Told by a report or by the clock, once; a change within the list is the same."""
    engine = engine_of("name: a, when: {feed_state: {states: [down, stalled], for: 60s}}")
    assert engine.on_feed_status(status(0, "live", 0)) == []
    assert engine.on_feed_status(status(10, "stalled", 10)) == []
    assert engine.on_feed_status(status(50, "down", 50)) == []
    assert engine.tick(START_US + 69 * S) == []
    (firing,) = engine.tick(START_US + 70 * S)
    assert firing.message == "kucoin has been down for 1 min: no frames."
    assert firing.alert_id == f"rule/a/kucoin/{START_US + 10 * S}"
    assert engine.tick(START_US + 100 * S) == []
    engine.on_feed_status(status(110, "live", 110))
    engine.on_feed_status(status(120, "down", 120))
    assert len(engine.tick(START_US + 180 * S)) == 1


def test_a_feed_that_reports_no_more_is_silent() -> None:
    """Only where a rule asks for it; a feed that was down stays so meanwhile."""
    engine = engine_of(
        "name: a, when: {feed_state: {states: [silent], for: 30s}}",
        "name: b, when: {feed_state: {states: [down]}}",
    )
    (down,) = engine.on_feed_status(status(0, "down", 0))
    assert down.rule.name == "b"
    assert engine.tick(START_US + 60 * S) == []
    (silent,) = engine.tick(START_US + 61 * S)
    assert silent.rule.name == "a"
    assert engine.on_feed_status(status(90, "down", 0)) == []


def test_a_status_of_before_a_restart_moves_nothing() -> None:
    """It is known, so that silence can be told, and fires nothing."""
    engine = engine_of("name: a, when: {feed_state: {states: [down]}}")
    assert engine.on_feed_status(status(0, "down", 0), known=True) == []
    assert len(engine.tick(START_US + 1 * S)) == 1, "it is still so: the clock tells it"


def test_a_feed_that_was_taken_out_is_in_no_state() -> None:
    """It is not silent; what was under way is over, and its cool-down goes on."""
    engine = engine_of(
        "name: a, when: {feed_state: {states: [silent, down]}}, cool_down: 1h",
        "name: b, when: {feed_state: {states: [down], for: 30s}}",
    )
    assert len(engine.on_feed_status(status(0, "down", 0))) == 1
    engine.on_feed_gone("kucoin", START_US + 10 * S)
    assert engine.tick(START_US + 100 * S) == []
    assert engine.on_feed_status(status(200, "down", 200)) == []
    (again,) = engine.tick(START_US + 230 * S)
    assert again.alert_id == f"rule/b/kucoin/{START_US + 200 * S}"


def test_a_feed_that_was_taken_out_before_a_restart_ends_nothing_later() -> None:
    """What has begun since then goes on, and is told once."""
    engine = engine_of("name: a, when: {feed_state: {states: [down]}}")
    assert len(engine.on_feed_status(status(50, "down", 50))) == 1
    engine.on_feed_gone("kucoin", START_US + 60 * S, known=True)
    engine.on_feed_status(status(50, "down", 50), known=True)
    assert engine.tick(START_US + 61 * S) == []


def test_gaps_are_told_while_they_are_open() -> None:
    """Of contracts and of sockets; what ends them, ends them."""
    engine = engine_of("name: a, when: {gap: {longer_than: 60s}}")
    opened = {"cause": "silent"}
    engine.on_audit(audit("gap_opened", "kucoin:X", 0, 10, **opened))
    engine.on_audit(audit("gap_opened", "kucoin", 0, 10, socket="s1"))
    engine.on_audit(audit("gap_opened", "kucoin:SHORT", 0, 10, **opened))
    engine.on_audit(audit("gap_closed", "kucoin:SHORT", 0, 50))
    engine.on_audit(audit("gap_opened", "kucoin:GONE", 0, 10, **opened))
    engine.on_audit(audit("delisted", "kucoin:GONE", 50, 50))
    assert engine.tick(START_US + 59 * S) == []
    found = engine.tick(START_US + 60 * S)
    assert sorted(f.subject for f in found) == ["kucoin", "kucoin:X"]
    assert found[0].message == (
        "kucoin:X: the stream has brought nothing since 2026-09-21 14:13:20 UTC (silent)."
    )
    assert engine.tick(START_US + 90 * S) == []
    engine.on_audit(audit("started", "kucoin", 100, 100))
    assert {key[1] for key in engine.tracks._tracks} == {"kucoin:X"}


def test_gaps_of_feeds_alone() -> None:
    """`of` says whose."""
    engine = engine_of("name: a, when: {gap: {of: feed, longer_than: 0s}}")
    engine.on_audit(audit("gap_opened", "kucoin:X", 0, 10))
    engine.on_audit(audit("gap_opened", "kucoin", 0, 10, socket="s1"))
    assert [f.subject for f in engine.tick(START_US + S)] == ["kucoin"]


def test_mismatches_beyond_a_share() -> None:
    """Of our own alerts of that kind."""
    engine = engine_of("name: a, when: {mismatch: {share_above: 0.3}}, severity: critical")
    assert engine.on_alert(alert(1, 0, kind="mismatch", value=0.3, severity="warning")) == []
    (firing,) = engine.on_alert(alert(2, 0, kind="mismatch", value=0.4, severity="warning"))
    assert firing.severity == "critical"


def test_own_alerts_cool_down_by_subject_and_kind() -> None:
    """`feed_recovered` is not held back by `feed_down`."""
    engine = engine_of("name: a, kinds: all, cool_down: 60s")
    kinds = [(0, "feed_down"), (10, "feed_recovered"), (20, "feed_down"), (60, "feed_down")]
    found = [f for at, kind in kinds for f in engine.on_alert(alert(int(at), at, kind=kind))]
    assert [(f.event_time - START_US) // S for f in found] == [0, 10, 60]
    assert engine.counts["cool_down"] == 1


def test_names_of_exchanges_are_harmless() -> None:
    """No markup, mention or link gets into a message."""
    name = "binance-usdm:<b>@all</b>[x](http://evil)`*_~|"
    engine = engine_of("name: a, when: {z: {abs: 3}}")
    (firing,) = engine.on_zscore(score(0, 4.0, contract_id=name))
    for text in (firing.title, firing.message):
        assert not set("<>@[]`*~|#") & set(text)
        assert "://" not in text
    (own,) = engine_of("name: a, kinds: all").on_alert(alert(1, 0))
    assert own.message == "kucoin: feed_down b everyone /b"


def test_idle_tracks_are_forgotten() -> None:
    """What is inside and cooled down is neither kept nor stored."""
    engine = engine_of("name: a, when: {z: {abs: 3}}, cool_down: 60s")
    fired(engine, (0, 4.0), (1, 0.0))
    assert [track.told_at for track in engine.tracks.take_changes().values() if track]
    engine.tick(START_US + 59 * S)
    assert len(engine.tracks) == 1
    engine.tick(START_US + 60 * S)
    assert engine.tracks.take_changes() == {("a", "binance-usdm:S0USDT"): None}
