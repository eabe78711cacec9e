"""Which contracts change with a step, of a simulated exchange that pushes only what has changed."""

from __future__ import annotations

from collections.abc import Sequence

from infra.simulator.options import OwnOption

_BUSY_EVERY = 10  # one contract in so many changes with each step
_RESTING_EVERY = 25
_RESTING = 9  # of so many contracts this one rests
_RESTING_STEPS = 20  # and changes once in so many steps


class Activity:
    """How often each row of an exchange changes, and how often a change is pushed."""

    def __init__(self, steps: int, step_ms: int, quiet_ms: int) -> None:
        """With one step a second everything changes with each.

        `quiet_ms`: resting contracts are pushed once in so long, whatever REST shows; 0: with each
        of their changes.
        """
        self._everything = steps == 1
        self._step_ms = step_ms
        self._quiet_ms = quiet_ms

    def changed(self, rows: Sequence[int], at_ms: int) -> Sequence[int]:
        """Return those of the rows that change with the step at a time."""
        if self._everything:
            return rows
        step = at_ms // self._step_ms
        return [row for row in rows if _changes(row, step)]

    def pushed(self, changed: Sequence[int], at_ms: int) -> Sequence[int]:
        """Return those of the rows that have changed of which the change is pushed."""
        if not self._quiet_ms:
            return changed
        turn_ms = at_ms % self._quiet_ms
        is_turn = turn_ms < _RESTING_STEPS * self._step_ms
        return changed if is_turn else [row for row in changed if not _rests(row)]


def quiet_option(feed: str, name: str) -> OwnOption:
    """Return the option of an exchange that leaves its resting contracts unpushed."""
    return OwnOption(
        f"{feed}_quiet_s",
        default=0.0,
        values=(0.0, 86_400.0),
        help=f"Seconds for which {name} does not push a few contracts that REST shows; 0: none.",
    )


def _rests(row: int) -> bool:
    return row % _RESTING_EVERY == _RESTING


def _changes(row: int, step: int) -> bool:
    """Whether a row changes: the busiest with each step, most each second or two."""
    if row % _BUSY_EVERY == 0:
        return True
    if _rests(row):
        return (step + row) % _RESTING_STEPS == 0
    return (step + row) % (2 + row % 3) == 0
