"""Which contracts have gone silent, and whether it is time to doubt that they still trade. Pure."""

from __future__ import annotations

from producers.policy.monitoring.events import ContractsSilent, FewSilent
from producers.policy.polling import FEW_SHARE


class Silence:
    """The silent contracts of one feed, apart from those that are quiet."""

    def __init__(self) -> None:
        self._silent: frozenset[str] = frozenset()

    def observe(
        self, silent: frozenset[str], expected: int, quiet: frozenset[str] = frozenset()
    ) -> tuple[ContractsSilent | FewSilent, ...]:
        """Take the contracts that are silent now, of so many that should deliver.

        Many silent ones are an outage, which is no reason to doubt the list; nor are `quiet` ones,
        a part of them.
        """
        odd = silent - quiet
        new = odd - self._silent
        self._silent = odd
        if new and len(odd) <= expected * FEW_SHARE:
            return ContractsSilent(silent, quiet), FewSilent(odd)
        return (ContractsSilent(silent, quiet),)
