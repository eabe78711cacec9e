"""A contract is quiet while an open connection that brings others would bring its changes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pytest

from producers.policy.quiet import MAX_KNOWN, QuietContracts

ALIVE_S, PUSH_S = 60.0, 20.0
ALL = frozenset("ABCD")


def carry(quiet: QuietContracts, **sockets: str) -> None:
    """The exchange has taken these contracts on each connection of a socket."""

    def taken(identity: str) -> AbstractSet[str]:
        return frozenset(sockets.get(identity.split("/")[1].replace("-", "_"), ""))

    quiet.carry(taken)


@pytest.fixture
def quiet() -> QuietContracts:
    """Two sockets with two contracts each, both open."""
    made = QuietContracts(ALIVE_S, PUSH_S)
    carry(made, one="AB", two="CD")
    made.opened("one", "feed/one/1")
    made.opened("two", "feed/two/2")
    return made


def test_what_a_live_connection_has_brought_before_is_quiet(quiet: QuietContracts) -> None:
    """As long as it brings others; one that is not silent is not asked about."""
    quiet.data("feed/one/1", ["A", "B"], 10.0)
    quiet.data("feed/one/1", ["A"], 500.0)
    assert quiet.among(frozenset("BCD"), 500.0) == {"B"}
    assert quiet.among(ALL, 500.0 + ALIVE_S) == {"A", "B"}
    assert quiet.among(ALL, 500.1 + ALIVE_S) == frozenset()


def test_what_rest_has_shown_is_quiet_once_its_own_socket_brings_data(
    quiet: QuietContracts,
) -> None:
    """An open socket without data says nothing of its contracts, and another one's data neither."""
    quiet.shown(dict.fromkeys(["B", "D", "X"], b""), 0.0)
    assert quiet.among(ALL, 1.0) == frozenset()
    quiet.data("feed/one/1", ["A"], 2.0)
    assert quiet.among(ALL, 2.0) == {"A", "B"}


def test_what_has_changed_while_no_connection_was_open_is_not_known(quiet: QuietContracts) -> None:
    """Until REST has shown it again, or the new connection has brought it."""
    quiet.data("feed/one/1", ["A", "B"], 1.0)
    quiet.closed("feed/one/1", handed_over=False)
    quiet.closed("feed/one/1", handed_over=False)
    quiet.data("feed/one/1", ["A"], 2.0)
    assert quiet.among(ALL, 2.0) == frozenset()
    quiet.shown(dict.fromkeys(["A"], b""), 0.0)
    quiet.opened("one", "feed/one/3")
    quiet.data("feed/one/3", ["B"], 3.0)
    assert quiet.among(ALL, 3.0) == {"B"}
    quiet.shown(dict.fromkeys(["A"], b""), 0.0)
    assert quiet.among(ALL, 3.0) == {"A", "B"}


def test_a_spare_that_goes_on_knows_what_it_has_brought(quiet: QuietContracts) -> None:
    """The end of the other connection changes nothing."""
    carry(quiet, one="AB", one_spare_1="AB")
    quiet.opened("one-spare-1", "feed/one-spare-1/3")
    for identity in ("feed/one/1", "feed/one-spare-1/3"):
        quiet.data(identity, ["A", "B"], 1.0)
    quiet.closed("feed/one/1", handed_over=False)
    assert quiet.among(ALL, 1.0) == {"A", "B"}


def test_a_planned_successor_knows_what_the_connection_before_it_knew(
    quiet: QuietContracts,
) -> None:
    """Both were open for a while, so no change was missed. Another socket learns nothing."""
    quiet.data("feed/one/1", ["A", "B"], 1.0)
    quiet.opened("one", "feed/one/3")
    quiet.data("feed/one/3", ["A"], 2.0)
    quiet.data("feed/two/2", ["C"], 2.0)
    quiet.closed("feed/one/1", handed_over=True)
    assert quiet.among(ALL, 2.0) == {"A", "B", "C"}


def test_a_contract_that_is_not_on_the_socket_is_not_quiet(quiet: QuietContracts) -> None:
    """Made up by the exchange, or moved to another socket since."""
    quiet.data("feed/one/1", ["A", "B", "C", "X"], 1.0)
    assert quiet.among(ALL | {"X"}, 1.0) == {"A", "B"}
    carry(quiet, one="A")
    assert quiet.among(ALL, 1.0) == {"A"}
    carry(quiet, one="AB")
    assert quiet.among(ALL, 1.0) == {"A"}, "what has changed meanwhile is not known"


def test_late_data_makes_no_connection_older(quiet: QuietContracts) -> None:
    """A frame that was long on its way shows the past."""
    quiet.data("feed/one/1", ["A"], 100.0)
    quiet.data("feed/one/1", ["B"], 1.0)
    assert quiet.among(ALL, 100.0) == {"A", "B"}


def test_what_rest_has_shown_before_the_exchange_took_it_is_not_known(
    quiet: QuietContracts,
) -> None:
    """Its subscription was held back, or waited for its answer: a change would not have come."""
    carry(quiet, one="A")
    quiet.data("feed/one/1", ["A"], 1.0)
    quiet.shown(dict.fromkeys(["B"], b""), 0.0)
    carry(quiet, one="AB")
    assert quiet.among(ALL, 1.0) == {"A"}
    quiet.shown(dict.fromkeys(["B"], b""), 0.0)
    assert quiet.among(ALL, 1.0) == {"A", "B"}


def test_what_was_missed_is_not_known(quiet: QuietContracts) -> None:
    """Some contracts on one connection, or all of it; an unknown one changes nothing."""
    quiet.data("feed/one/1", ["A", "B"], 1.0)
    quiet.data("feed/two/2", ["C", "D"], 1.0)
    quiet.missed("feed/one/9", None)
    quiet.missed("feed/one/1", ["B", "D"])
    assert quiet.among(ALL, 1.0) == {"A", "C", "D"}
    quiet.missed("feed/two/2", None)
    assert quiet.among(ALL, 1.0) == {"A"}


def test_a_contract_whose_change_is_not_pushed_is_not_quiet(quiet: QuietContracts) -> None:
    """REST shows another rate than before, and no push of it follows; until one comes."""
    quiet.data("feed/one/1", ["A", "B"], 1.0)
    assert quiet.shown({"A": b"0.1", "B": b"0.2"}, 1.0) == frozenset()
    assert quiet.shown({"A": b"0.1", "B": b"0.3"}, 2.0) == frozenset()
    quiet.data("feed/one/1", ["A"], 20.0)
    assert quiet.among(ALL, 2.0 + PUSH_S) == {"A", "B"}
    assert quiet.among(ALL, 2.1 + PUSH_S) == {"A"}
    assert quiet.shown({"B": b"0.3"}, 30.0) == {"B"}
    quiet.data("feed/one/1", ["B"], 31.0)
    assert quiet.shown({"B": b"0.3"}, 60.0) == frozenset()
    assert quiet.among(ALL, 60.0) == {"A", "B"}


def test_a_change_that_is_pushed_proves_nothing(quiet: QuietContracts) -> None:
    """Before REST shows it or soon after; nor does a rate that cannot be compared."""
    quiet.data("feed/one/1", ["A", "B"], 1.0)
    quiet.shown({"A": b"0.1", "B": b"0.2"}, 1.0)
    quiet.data("feed/one/1", ["A"], 2.0)
    quiet.shown({"A": b"0.7", "B": b"0.8"}, 3.0)
    quiet.data("feed/one/1", ["B"], 4.0)
    quiet.shown({"A": b"", "B": b""}, 5.0)
    assert quiet.among(ALL, 6.0 + PUSH_S) == {"A", "B"}


def test_contracts_that_the_exchange_makes_up_are_not_kept(quiet: QuietContracts) -> None:
    """However many; those that it has taken stay."""
    quiet.data("feed/one/1", ["A"], 1.0)
    for number in range(3):
        quiet.data("feed/one/1", [f"{number}-{made_up}" for made_up in range(MAX_KNOWN)], 1.0)
        assert len(quiet._open["feed/one/1"].known) <= MAX_KNOWN
    assert quiet.among(ALL, 1.0) == {"A"}
