"""Rows of Binance USD-M from given numbers, as long as the real ones (190 bytes an update)."""

from __future__ import annotations

from collections.abc import Mapping


class UsdmRows:
    """The rows that the worker's benchmarks load it with."""

    stream = "!markPrice@arr@1s"
    history = "fundingRate"

    def update(self, symbol: str, event_ms: int, next_ms: int, rate: float, price: float) -> bytes:
        """Return a row of the mark-price stream."""
        return (
            f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{symbol}","p":"{price:.8f}",'
            f'"ap":"{price:.8f}","P":"{price:.8f}","i":"{price:.8f}","r":"{rate:.8f}",'
            f'"T":{next_ms},"st":1}}'
        ).encode()

    def settlement(self, symbol: str, funding_ms: int, rate: float) -> bytes:
        """Return a row of the settled rates."""
        return (
            f'{{"symbol":"{symbol}","fundingTime":{funding_ms},"fundingRate":"{rate:.8f}"}}'
        ).encode()

    def facts(self, symbol: str, quote: str, interval_hours: int) -> Mapping[str, bytes]:
        """Return the entries of exchangeInfo and fundingInfo."""
        listed = f'"status":"TRADING","contractType":"PERPETUAL","quoteAsset":"{quote}"'
        return {
            "exchangeInfo": f'{{"symbol":"{symbol}",{listed}}}'.encode(),
            "fundingInfo": (
                f'{{"symbol":"{symbol}","fundingIntervalHours":{interval_hours}}}'
            ).encode(),
        }
