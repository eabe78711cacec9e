"""Which contracts have gone silent, and whether it is time to doubt that they still trade. Pure."""

from __future__ import annotations

from producers.policy.monitoring.events import ContractsSilent, FewSilent
from producers.policy.polling import FEW_SHARE


class Silence:
    """The silent contracts of one feed."""

    def __init__(self) -> None:
        self._silent: frozenset[str] = frozenset()

    def observe(
        self, silent: frozenset[str], expected: int
    ) -> tuple[ContractsSilent | FewSilent, ...]:
        """Take the contracts that are silent now, of so many that should deliver.

        Many silent ones are an outage, which is no reason to doubt the list.
        """
        new = silent - self._silent
        self._silent = silent
        if new and len(silent) <= expected * FEW_SHARE:
            return ContractsSilent(silent), FewSilent(silent)
        return (ContractsSilent(silent),)
