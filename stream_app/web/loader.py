"""Fills a Fleet with what ClickHouse knows and the last minutes of the topics do not tell.

At the start: the newest z-score of each contract within a day, so that one which has been silent
for longer than the topics are read back is shown, and shown as old. From time to time: contracts
that are gone, and quote assets. Where ClickHouse does not answer, the page goes on without.
"""

from __future__ import annotations

import asyncio
import logging

from schemas.errors import FundingStreamError
from stream_app.web.fleet import Fleet
from stream_app.web.history.history import History

log = logging.getLogger(__name__)

AGAIN_S = 60.0
AGAIN_AFTER_FAILURE_S = 15.0


async def load_forever(fleet: Fleet, history: History) -> None:
    """Load until cancelled."""
    latest_loaded = False
    while True:
        try:
            if not latest_loaded:
                for zscore in await history.latest():
                    fleet.take_zscore(zscore, zscore["computed_at"])
                latest_loaded = True
            fleet.take_quotes(await history.quotes())
            for contract_id in await history.gone():
                fleet.remove(contract_id)
        except FundingStreamError as error:
            log.debug("the page goes on without what ClickHouse knows: %s", error)
            await asyncio.sleep(AGAIN_AFTER_FAILURE_S)
        except Exception:
            log.exception("what ClickHouse knows could not be taken over")
            await asyncio.sleep(AGAIN_S)
        else:
            await asyncio.sleep(AGAIN_S)
