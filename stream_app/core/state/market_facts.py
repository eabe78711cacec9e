"""What is known of a contract beside its rates and its listing, and when it was last published."""

from __future__ import annotations

import msgspec

from schemas.times import US_PER_MINUTE
from stream_app.model import InstrumentUpdate

LIQUIDITY_EVERY_US = 15 * US_PER_MINUTE
"""Liquidity alone is published at most so often for each contract."""


class MarketFacts(msgspec.Struct, array_like=True, gc=False):
    """Liquidity in the quote asset, with the receipt of each value (µs). Fields may be appended."""

    status_word: str = ""
    """The exchange's own word for the contract's state; empty: it has said none."""
    turnover_24h: float | None = None
    turnover_at: int = 0
    open_interest: float | None = None
    open_interest_at: int = 0
    published_at: int = 0
    """Receipt of the message with which the facts were published last; 0: they never were."""

    def note(self, update: InstrumentUpdate, mark_price: float | None, received_at: int) -> None:
        """Take over what an update says; what it does not say stays as it is."""
        if update.status_word is not None:
            self.status_word = update.status_word
        if update.turnover_24h is not None:
            self.turnover_24h, self.turnover_at = update.turnover_24h, received_at
        held, units = update.open_interest, update.open_interest_units
        if held is None and units is not None and mark_price is not None:
            held = units * mark_price
        if held is not None:
            self.open_interest, self.open_interest_at = held, received_at

    def forget_liquidity(self) -> None:
        """Forget the liquidity of an earlier contract with the same ticker."""
        self.turnover_24h = self.open_interest = None
        self.turnover_at = self.open_interest_at = 0

    def liquidity_due(self, received_at: int) -> bool:
        """Tell whether newer liquidity is to be published by itself.

        Turnover and open interest may come by two calls, one shortly after the other: the first of
        them waits for the second, for as long as another LIQUIDITY_EVERY_US.
        """
        times = [at for at in (self.turnover_at, self.open_interest_at) if at]
        if not times or max(times) <= self.published_at:
            return False
        waited_us = received_at - self.published_at
        is_whole = min(times) > self.published_at
        return waited_us >= (LIQUIDITY_EVERY_US if is_whole else 2 * LIQUIDITY_EVERY_US)
