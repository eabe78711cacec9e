"""Liveness: contracts are live by their data, on connections that are open, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from producers.policy.liveness import MAX_CONTRACTS, Liveness

NEVER = float("-inf")


def test_nobody_is_live_before_data() -> None:
    """An expected contract is not live before its first data, and its silence counts from then
    on.
    """
    liveness = Liveness(10.0)
    liveness.expect(["A", "B"], 0.0)
    assert (liveness.expected, liveness.live(0.0)) == (2, 0)
    assert liveness.silent(10.0) == set()
    assert liveness.silent(10.001) == {"A", "B"}
    assert liveness.last_data_s is None


def test_a_contract_is_live_up_to_the_threshold_and_not_beyond() -> None:
    """At 10 s it still counts; just after, it does not."""
    liveness = Liveness(10.0)
    liveness.expect(["A", "B"], 100.0)
    assert liveness.data("c/1", ["A"], 100.0) == []
    assert liveness.live(110.0) == 1
    assert liveness.live(110.001) == 0
    liveness.data("c/1", ["B"], 111.0)
    assert liveness.live(112.0) == 1
    assert liveness.silent(112.0) == {"A"}


def test_unexpected_symbols_are_reported_and_do_not_count() -> None:
    """Neither do pieces without a symbol."""
    liveness = Liveness(10.0)
    liveness.expect(["A"], 0.0)
    assert liveness.data("c/1", ["NEW", None, "A", "NEW"], 1.0) == ["NEW", "NEW"]
    assert liveness.live(1.0) == 1
    assert liveness.last_data_s == 1.0


def test_a_new_list_keeps_what_is_known_and_forgets_the_rest() -> None:
    """A refresh of the registry does not make live contracts look silent, nor delisted ones."""
    liveness = Liveness(10.0)
    liveness.expect(["A", "B"], 0.0)
    liveness.data("c/1", ["A", "B"], 1.0)
    liveness.expect(["B", "C"], 1.0)
    assert (liveness.expected, liveness.live(1.0)) == (2, 1)
    assert liveness.data("c/1", ["A"], 2.0) == ["A"]
    liveness.expect(["A", "B", "C"], 2.0)
    assert liveness.live(2.0) == 2
    assert liveness.silent(20.0) == {"A", "B", "C"}


def test_a_new_contract_has_its_grace_and_its_stream_need_not_wait_for_the_list() -> None:
    """What was streamed before it was listed is live when it is."""
    liveness = Liveness(10.0)
    liveness.expect(["A"], 0.0)
    liveness.data("c/1", ["A", "EARLY"], 50.0)
    liveness.expect(["A", "EARLY", "NEW"], 52.0)
    assert liveness.live(52.0) == 2
    liveness.data("c/1", ["A", "EARLY"], 62.0)
    assert liveness.silent(62.0) == set()
    assert liveness.silent(62.001) == {"NEW"}


def test_where_the_stream_is_slow_nobody_has_a_grace() -> None:
    """KuCoin pushes once a minute: until then its contracts are REST's."""
    liveness = Liveness(75.0)
    liveness.expect(["A"], NEVER)
    assert liveness.silent(0.0) == {"A"}
    liveness.data("uta/1", ["A"], 30.0)
    assert liveness.silent(30.0) == set()


def test_the_end_of_a_connection_silences_at_once_what_it_alone_delivered() -> None:
    """Two shards and a spare of the first: only the second's contracts are gone."""
    liveness = Liveness(10.0)
    liveness.expect(["A", "B", "C"], 0.0)
    liveness.data("one/1", ["A", "B"], 5.0)
    liveness.data("two/1", ["C"], 5.0)
    liveness.data("one-spare/1", ["A", "B"], 4.0)
    liveness.closed("two/1")
    assert liveness.silent(5.0) == {"C"}
    liveness.closed("one/1")
    assert liveness.silent(5.0) == {"C"}
    assert liveness.silent(14.5) == {"A", "B", "C"}  # the spare's data was of 4.0
    liveness.data("two/2", ["C"], 6.0)
    assert liveness.silent(6.0) == set()
    liveness.closed("one-spare/1")
    liveness.closed("one-spare/1")
    assert liveness.silent(6.0) == {"A", "B"}
    assert liveness.live(6.0) == 1


def test_a_list_does_not_bring_back_what_is_gone() -> None:
    """A refresh while a socket is closed gives its contracts no new grace."""
    liveness = Liveness(10.0)
    liveness.expect(["A"], 0.0)
    liveness.data("c/1", ["A"], 1.0)
    liveness.closed("c/1")
    liveness.expect(["A", "B"], 2.0)
    assert liveness.silent(2.0) == {"A"}


def test_late_data_shows_what_was() -> None:
    """Frames that arrive with data of 11 s ago are no sign of life; neither do they undo one."""
    liveness = Liveness(10.0)
    liveness.expect(["A", "B"], 0.0)
    liveness.data("c/1", ["A"], 20.0)
    liveness.data("c/1", ["A", "B"], 9.5)
    assert liveness.silent(20.0) == {"B"}
    assert liveness.live(20.0) == 1
    assert liveness.last_data_s == 20.0
    liveness.data("c/2", ["A"], 1.0)
    liveness.closed("c/2")
    assert liveness.silent(20.0) == {"B"}


class Naive:
    """All that ever happened, looked through anew for each question."""

    def __init__(self, silent_s: float) -> None:
        self.silent_s = silent_s
        self.deliveries: list[tuple[str, str, float]] = []
        self.since: dict[str, float] = {}

    def expect(self, symbols: Iterable[str], since_s: float) -> None:
        self.since = {s: self.since.get(s, since_s) for s in symbols}

    def data(self, connection: str, symbols: Iterable[str], at_s: float) -> None:
        self.deliveries += [(connection, symbol, at_s) for symbol in symbols]

    def closed(self, connection: str) -> None:
        for gone, symbol, _ in self.deliveries:
            if gone == connection and symbol in self.since:
                self.since[symbol] = NEVER  # it was there: no grace any more
        self.deliveries = [entry for entry in self.deliveries if entry[0] != connection]

    def newest(self, symbol: str) -> float | None:
        return max((at_s for _, of, at_s in self.deliveries if of == symbol), default=None)

    def silent(self, now_s: float) -> set[str]:
        found = {symbol: self.newest(symbol) for symbol in self.since}
        return {
            symbol
            for symbol, at_s in found.items()
            if now_s - (self.since[symbol] if at_s is None else at_s) > self.silent_s
        }

    def live(self, now_s: float) -> int:
        found = [self.newest(symbol) for symbol in self.since]
        return sum(at_s is not None and now_s - at_s <= self.silent_s for at_s in found)


symbols_st = st.lists(st.sampled_from("ABCDE"), max_size=4)
connections_st = st.sampled_from(["one", "two", "three"])
Step = tuple[str, str, list[str], int]
steps_st: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("data"), connections_st, symbols_st, st.integers(0, 30)),
    st.tuples(st.just("closed"), connections_st, st.just([]), st.just(0)),
    st.tuples(st.just("expect"), st.just(""), symbols_st, st.just(0)),
)


@given(st.lists(st.tuples(steps_st, st.integers(0, 8)), max_size=40))
def test_it_says_what_a_list_of_all_deliveries_says(
    steps: list[tuple[Step, int]],
) -> None:
    """Whatever connections bring how late, and come and go, over any lists."""
    liveness, naive, now_s = Liveness(10.0), Naive(10.0), 0.0
    for (kind, connection, symbols, late_s), passed_s in steps:
        now_s += passed_s
        if kind == "data":
            unknown = liveness.data(connection, symbols, now_s - late_s)
            assert unknown == [s for s in symbols if s not in naive.since]
            naive.data(connection, symbols, now_s - late_s)
        elif kind == "closed":
            liveness.closed(connection)
            naive.closed(connection)
        else:
            liveness.expect(symbols, now_s)
            naive.expect(symbols, now_s)
        assert liveness.silent(now_s) == naive.silent(now_s)
        if naive.since:
            assert liveness.live(now_s) == naive.live(now_s)
        assert liveness.expected == len(naive.since)


def test_any_number_of_made_up_symbols_hides_no_new_contract() -> None:
    """The number of remembered symbols is bounded, and a new listed contract is still reported."""
    liveness = Liveness(10.0)
    liveness.expect(["A"], 0.0)
    made_up = [f"X{number}" for number in range(3 * MAX_CONTRACTS)]
    assert liveness.data("c/1", made_up, 1.0) == made_up
    assert liveness.data("c/1", ["A", "NEW"], 2.0) == ["NEW"]
    assert len(liveness._delivered["c/1"]) <= MAX_CONTRACTS + 1
    assert liveness.live(2.0) == 1
