"""Liveness: contracts are live by their data, within the threshold, and by nothing else."""

from __future__ import annotations

from producers.liveness import Liveness


def test_nobody_is_live_before_data() -> None:
    """Being expected is not being alive; the feed's silence has no length yet."""
    liveness = Liveness(10.0)
    liveness.expect(["A", "B"])
    assert (liveness.expected, liveness.live(0.0)) == (2, 0)
    assert liveness.silent_for_s(5.0) is None


def test_a_contract_is_live_up_to_the_threshold_and_not_beyond() -> None:
    """At 10 s it still counts; just after, it does not."""
    liveness = Liveness(10.0)
    liveness.expect(["A", "B"])
    assert liveness.data(["A"], 100.0) == []
    assert liveness.live(110.0) == 1
    assert liveness.live(110.001) == 0
    liveness.data(["B"], 111.0)
    assert liveness.live(112.0) == 1
    assert liveness.silent_for_s(112.0) == 1.0


def test_unexpected_symbols_are_reported_and_do_not_count() -> None:
    """Neither do pieces without a symbol; both end the feed's silence."""
    liveness = Liveness(10.0)
    liveness.expect(["A"])
    assert liveness.data(["NEW", None, "A", "NEW"], 1.0) == ["NEW", "NEW"]
    assert liveness.live(1.0) == 1
    assert liveness.last_data_s == 1.0


def test_a_new_list_keeps_what_is_known_and_forgets_the_rest() -> None:
    """A refresh of the registry does not make live contracts look silent."""
    liveness = Liveness(10.0)
    liveness.expect(["A", "B"])
    liveness.data(["A", "B"], 1.0)
    liveness.expect(["B", "C"])
    assert (liveness.expected, liveness.live(1.0)) == (2, 1)
    assert liveness.data(["A"], 2.0) == ["A"]
    liveness.expect(["A", "B", "C"])
    assert liveness.live(2.0) == 1
