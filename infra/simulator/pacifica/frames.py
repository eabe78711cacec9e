"""Texts of Pacifica: rates, rows of prices, frames (docs/exchanges/pacifica.md §3, §6)."""

from __future__ import annotations

from collections.abc import Iterable

from infra.simulator.market.liquidity import Liquidity
from infra.simulator.pacifica.universe import SPOTS

_UNITS = 10**8


def rate_text(rate_units: int) -> str:
    """A rate as printed: a fraction per hour, without zeros at its end."""
    whole, part = divmod(abs(rate_units), _UNITS)
    text = f"{whole}.{part:08d}".rstrip("0").rstrip(".")
    return f"-{text}" if rate_units < 0 else text


def price_text(value: float) -> str:
    """A price with up to 6 significant digits and no zeros at its end."""
    text = f"{value:.{max(0, 6 - len(str(int(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Values:
    """The numbers of one perpetual at a time, of which its texts are made."""

    __slots__ = ("event_ms", "index", "liquidity", "mark", "middle", "settle_units", "units")

    def __init__(
        self,
        event_ms: int,
        prices: tuple[float, float, float],
        units: tuple[int, int],
        liquidity: Liquidity,
    ) -> None:
        """`prices`: index, mark, middle. `units`: the last settled rate, and the estimate."""
        self.event_ms = event_ms
        self.index, self.mark, self.middle = prices
        self.settle_units, self.units = units
        self.liquidity = liquidity

    def rates(self) -> tuple[str, str]:
        """The last settled rate and the estimate, as printed."""
        return rate_text(self.settle_units), rate_text(self.units)


def price_row(symbol: str, values: Values) -> bytes:
    """A row of `prices`: open interest in units of the base, volume in USD."""
    settled, estimate = values.rates()
    held = values.liquidity
    return _row(
        symbol,
        (settled, estimate),
        (values.index, values.mark, values.middle),
        (held.open_interest / values.mark, held.turnover_24h),
        values.event_ms,
    )


def spot_rows(at_ms: int) -> list[bytes]:
    """The spot markets in the same arrays: their rates are 0."""
    return [
        _row(symbol, ("0", "0"), (140.2, 140.1, 140.15), (0.0, 63_265.87522), at_ms)
        for symbol in SPOTS
    ]


def prices_frame(rows: Iterable[bytes]) -> bytes:
    """A frame of the channel."""
    return b'{"channel":"prices","data":[%b]}' % b",".join(rows)


def reply(data: bytes) -> bytes:
    """The body of a REST reply that is a success."""
    return b'{"success":true,"data":%b,"error":null,"code":null}' % data


def _row(
    symbol: str,
    rates: tuple[str, str],
    prices: tuple[float, float, float],
    sizes: tuple[float, float],
    at_ms: int,
) -> bytes:
    index, mark, middle = map(price_text, prices)
    held, volume = (f"{size:.5f}" for size in sizes)
    return (
        f'{{"funding":"{rates[0]}","mark":"{mark}","mid":"{middle}","next_funding":"{rates[1]}",'
        f'"open_interest":"{held}","oracle":"{index}","symbol":"{symbol}","timestamp":{at_ms},'
        f'"volume_24h":"{volume}","yesterday_price":"{price_text(prices[1] * 0.98)}"}}'
    ).encode()
