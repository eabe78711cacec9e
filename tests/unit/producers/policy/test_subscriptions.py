"""A refused text is asked for again without, or down to, the contract that is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.spec import Control, SubscribeFrame
from producers.policy.subscriptions import AGAIN_S, ANSWER_S, NOTHING, Consequence, Subscriptions

REFUSED = Control(refused=True)


def asked(*groups: str, identified: bool = False) -> Subscriptions:
    """Texts that were sent at 0 s, each for the contracts that are its letters."""
    subscriptions = Subscriptions()
    for group in groups:
        identity = group if identified else ""
        subscriptions.sent(SubscribeFrame("", tuple(group), identity), 0.0)
    return subscriptions


def refusal(*names: str, answers: str = "") -> Control:
    """A refusal that names contracts, and perhaps the text that it answers."""
    return Control(refused=True, refused_symbols=names, answers=answers)


def test_what_a_refusal_names_is_left_out_and_the_rest_asked_for_again() -> None:
    """Names that the text did not ask for are none."""
    again = asked("ABCD").answered(refusal("B", "Z", "B"), 1.0)
    assert again == Consequence((("A", "C", "D"),), ["B"])


def test_a_refusal_that_names_none_or_all_halves_the_text() -> None:
    """It says as much in both cases."""
    halves = Consequence((("A",), ("B", "C")))
    assert asked("ABC").answered(REFUSED, 1.0) == halves
    assert asked("ABC").answered(refusal("A", "B", "C"), 1.0) == halves
    assert asked("A").answered(refusal("A"), 1.0) == Consequence((), ["A"])


def test_one_that_is_refused_alone_without_its_name_is_asked_for_once_more() -> None:
    """The exchange may only have been asked too fast."""
    subscriptions = asked("A")
    assert subscriptions.answered(REFUSED, 1.0) == NOTHING
    assert subscriptions.next_due_s() == 1.0 + AGAIN_S
    assert subscriptions.due(0.5 + AGAIN_S) == []
    assert subscriptions.due(1.0 + AGAIN_S) == [("A",)]
    assert subscriptions.next_due_s() is None
    subscriptions.sent(SubscribeFrame("", ("A",)), 9.0)
    assert subscriptions.answered(REFUSED, 10.0) == Consequence(refused=("A",))


def test_one_that_was_taken_in_between_is_no_suspect_any_more() -> None:
    """Acknowledged, or delivered."""
    subscriptions = asked("A")
    subscriptions.answered(REFUSED, 1.0)
    subscriptions.confirmed(["A"])
    assert subscriptions.next_due_s() is None
    subscriptions.sent(SubscribeFrame("", ("A",)), 9.0)
    assert subscriptions.answered(REFUSED, 10.0) == NOTHING


def test_an_answer_is_matched_by_identity_by_name_or_in_order() -> None:
    """In this order of trust; one to a text that nobody waits for touches nothing."""
    by_identity = asked("AB", "CD", identified=True).answered(refusal(answers="CD"), 1.0)
    assert by_identity == Consequence((("C",), ("D",)))
    assert asked("AB", "CD", identified=True).answered(refusal("A", answers="x"), 1.0) == NOTHING
    assert asked("AB", "CD").answered(refusal("D"), 1.0) == Consequence((("C",),), ["D"])
    assert asked("AB", "CD").answered(refusal("Z"), 1.0) == Consequence((("A",), ("B",)))
    assert Subscriptions().answered(refusal("A"), 1.0) == NOTHING


def test_an_acknowledgement_names_many_some_or_its_text() -> None:
    """A part of a text may be taken; the rest still waits."""
    subscriptions = asked("ABC", "DE", identified=True)
    subscriptions.answered(Control(acknowledged=("A", "B")), 1.0)
    subscriptions.answered(Control(answers="DE"), 1.0)
    assert subscriptions.answered(refusal(answers="ABC"), 2.0) == NOTHING
    assert subscriptions.due(2.0 + AGAIN_S) == [("C",)]
    assert subscriptions.due(ANSWER_S) == []


def test_what_is_never_answered_is_asked_for_once_more() -> None:
    """And then believed to be subscribed: its silence is another matter."""
    subscriptions = asked("AB", "C")
    subscriptions.confirmed(["A"])
    assert subscriptions.next_due_s() == ANSWER_S
    assert subscriptions.due(ANSWER_S - 0.1) == []
    assert subscriptions.due(ANSWER_S) == [("B",), ("C",)]
    subscriptions.sent(SubscribeFrame("", ("B",)), ANSWER_S)
    subscriptions.sent(SubscribeFrame("", ("C",)), ANSWER_S)
    assert subscriptions.due(2 * ANSWER_S) == []
    assert subscriptions.next_due_s() is None


def test_a_refusal_of_asking_too_fast_has_everything_asked_for_once_more_later() -> None:
    """It says nothing about contracts: no halves, and no contract is held back for it."""
    too_fast = Control(refused=True, of_contracts=False)
    subscriptions = asked("ABCD", "E", identified=True)
    for answered in ("ABCD", "E", ""):
        assert subscriptions.answered(too_fast._replace(answers=answered), 1.0) == NOTHING
    assert subscriptions.next_due_s() == ANSWER_S
    assert subscriptions.due(ANSWER_S) == [("A", "B", "C", "D"), ("E",)]
    subscriptions.sent(SubscribeFrame("", tuple("ABCD"), "again"), ANSWER_S)
    assert subscriptions.answered(too_fast._replace(answers="again"), ANSWER_S) == NOTHING
    assert subscriptions.due(3 * ANSWER_S) == []


def test_what_is_given_up_is_not_waited_for() -> None:
    """Nor is a text that names no contract."""
    subscriptions = asked("AB")
    subscriptions.sent(SubscribeFrame("more", ()), 0.0)
    subscriptions.forget("AB")
    assert subscriptions.next_due_s() is None
    assert subscriptions.answered(REFUSED, 1.0) == NOTHING


class Refusing:
    """An exchange that takes no text with a bad contract in it, and one that asks it."""

    def __init__(self, bad: Iterable[str], *, names: bool, identified: bool) -> None:
        self.bad, self.names, self.identified = frozenset(bad), names, identified
        self.subscriptions = Subscriptions()
        self.taken, self.held = set[str](), list[str]()
        self.texts = 0

    def ask(self, symbols: Sequence[str], now_s: float) -> Control:
        """Send a text; the exchange's answer."""
        self.texts += 1
        identity = str(self.texts) if self.identified else ""
        self.subscriptions.sent(SubscribeFrame("", tuple(symbols), identity), now_s)
        wrong = tuple(symbol for symbol in symbols if symbol in self.bad)
        if wrong:
            return refusal(*(wrong[:1] if self.names else ()), answers=identity)
        self.taken.update(symbols)
        return Control(acknowledged=() if self.identified else tuple(symbols), answers=identity)

    def run(self, groups: Iterable[Sequence[str]]) -> None:
        """Ask for all, and for what the answers make due, until nothing is waited for."""
        now_s, texts = 0.0, list(groups)
        while texts or self.subscriptions.next_due_s() is not None:
            answers = [self.ask(text, now_s) for text in texts]
            texts = []
            for answer in answers:
                consequence = self.subscriptions.answered(answer, now_s)
                texts += consequence.again
                self.held += consequence.refused
            if not texts:
                now_s = self.subscriptions.next_due_s() or now_s
                texts += self.subscriptions.due(now_s)


contracts = st.lists(st.integers(0, 40).map(lambda n: f"C{n}"), unique=True, max_size=30)


@given(
    wanted=contracts,
    bad=contracts,
    size=st.integers(1, 12),
    names=st.booleans(),
    identified=st.booleans(),
)
def test_exactly_the_bad_ones_are_held_back(
    wanted: list[str], bad: list[str], size: int, *, names: bool, identified: bool
) -> None:
    """However the exchange says so, and with few texts."""
    exchange = Refusing(bad, names=names, identified=identified)
    exchange.run([wanted[at : at + size] for at in range(0, len(wanted), size)])
    assert sorted(exchange.held) == sorted(set(wanted) & set(bad))
    assert exchange.taken == set(wanted) - set(bad)
    assert exchange.texts <= 3 * len(wanted)


answers = st.builds(
    Control,
    acknowledged=st.lists(st.sampled_from("ABCDEXYZ"), max_size=3).map(tuple),
    refused=st.booleans(),
    refused_symbols=st.lists(st.sampled_from("ABCDEXYZ"), max_size=9).map(tuple),
    answers=st.sampled_from(["", "1", "2", "3", "nothing"]),
)


@given(st.lists(st.tuples(answers, st.floats(0, ANSWER_S))))
def test_a_lying_exchange_has_us_ask_a_bounded_number_of_times(
    script: list[tuple[Control, float]],
) -> None:
    """And nothing is held back that we did not ask for."""
    subscriptions, now_s, texts, held = Subscriptions(), 0.0, 0, list[str]()
    groups: list[tuple[str, ...]] = [("A", "B", "C"), ("D", "E")]
    for control, passed_s in script:
        now_s += passed_s
        for group in groups:
            texts += 1
            subscriptions.sent(SubscribeFrame("", group, str(texts)), now_s)
        consequence = subscriptions.answered(control, now_s)
        held += consequence.refused
        groups = [*consequence.again, *subscriptions.due(now_s)]
    assert set(held) <= set("ABCDE")
    assert len(held) == len(set(held))
    assert texts <= 4 * len("ABCDE")
