"""Fills a Fleet with what ClickHouse knows and the last minutes of the topics do not tell.

At the start: the newest z-score of each contract within a day, so that one which has been silent
for longer than the topics are read back is shown, and shown as old. From time to time: contracts
that are gone, and quote assets. Where ClickHouse does not answer, the page goes on without.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from schemas.errors import FundingStreamError
from stream_app.web.fleet import Fleet
from stream_app.web.history.history import History

log = logging.getLogger(__name__)

AGAIN_S = 60.0
AGAIN_AFTER_FAILURE_S = 15.0


class Loader:
    """Asks for each of the three by itself, so that one which fails keeps no other away."""

    def __init__(self, fleet: Fleet, history: History) -> None:
        self._fleet = fleet
        self._history = history
        self._is_loaded = False
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Load until cancelled."""
        while True:
            parts = (
                await self._part("the newest rates", self._latest),
                await self._part("quote assets", self._quotes),
                await self._part("contracts that are gone", self._gone),
            )
            await asyncio.sleep(AGAIN_S if all(parts) else AGAIN_AFTER_FAILURE_S)

    async def _part(self, what: str, load: Callable[[], Awaitable[None]]) -> bool:
        """Load one of them; tell once when it begins to fail. Return whether it was loaded."""
        try:
            await load()
        except FundingStreamError as error:
            if what not in self._failing:
                self._failing.add(what)
                log.warning("the page goes on without %s of ClickHouse: %s", what, error)
            return False
        except Exception:
            log.exception("%s of ClickHouse could not be taken over", what)
            return False
        self._failing.discard(what)
        return True

    async def _latest(self) -> None:
        if not self._is_loaded:
            for zscore in await self._history.latest():
                self._fleet.take_zscore(zscore, zscore["computed_at"])
            self._is_loaded = True

    async def _quotes(self) -> None:
        self._fleet.take_quotes(await self._history.quotes())

    async def _gone(self) -> None:
        for contract_id in await self._history.gone():
            self._fleet.remove(contract_id)
