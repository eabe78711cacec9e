"""Silent contracts are REST's; a few new ones make the list doubtful, an outage does not."""

from __future__ import annotations

from producers.policy.monitoring.events import ContractsSilent, FewSilent
from producers.policy.monitoring.silence import Silence

FEW, MANY = frozenset({"A", "B"}), frozenset(f"S{n}" for n in range(50))


def test_a_few_new_ones_make_the_list_doubtful_once() -> None:
    """Those that were silent before are no news; one more is."""
    silence = Silence()
    assert silence.observe(FEW, 100) == (ContractsSilent(FEW), FewSilent(FEW))
    assert silence.observe(FEW, 100) == (ContractsSilent(FEW),)
    more = FEW | {"C"}
    assert silence.observe(more, 100) == (ContractsSilent(more), FewSilent(more))


def test_an_outage_is_no_reason_to_doubt_the_list() -> None:
    """Nor is its end, when a few of the silent ones are left."""
    silence = Silence()
    assert silence.observe(MANY, 100) == (ContractsSilent(MANY),)
    left = frozenset({"S1"})
    assert silence.observe(left, 100) == (ContractsSilent(left),)


def test_quiet_ones_are_no_reason_to_doubt_the_list() -> None:
    """Beside them a few that are silent are; one that was quiet before is news."""
    silence = Silence()
    assert silence.observe(MANY, 100, MANY) == (ContractsSilent(MANY, MANY),)
    both = MANY | FEW
    assert silence.observe(both, 100, MANY) == (ContractsSilent(both, MANY), FewSilent(FEW))
    left = MANY - {"S1"}
    assert silence.observe(MANY, 100, left) == (ContractsSilent(MANY, left), FewSilent(MANY - left))


def test_that_nobody_is_silent_is_reported_too() -> None:
    """REST has to stop."""
    assert Silence().observe(frozenset(), 100) == (ContractsSilent(frozenset()),)
