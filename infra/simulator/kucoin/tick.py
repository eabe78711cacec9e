"""One tick of simulated KuCoin: every frame that it can bring, built when first asked for.

The texts are those of docs/exchanges/kucoin.md §A and §B. Each socket has a ledger of its own: they
send the same estimate with different event times. The sessions decide who gets what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, cast

from infra.simulator.exchange import Frame, Session
from infra.simulator.kucoin.estimates import (
    Shown,
    decimal_text,
    number_text,
    price_text,
    uses_exponents,
)
from infra.simulator.kucoin.state import KucoinState
from infra.simulator.market.market import Floats, Snapshot
from infra.simulator.market.truth import TickLedger

ANNOUNCEMENT = "/contract/announcement"
_END_AFTER_MS = 10_000  # funding.end comes 10 s after funding.begin
_RATE_SUBJECT = "funding.rate"
_MINUTE_GRANULARITY_MS = 60_000


class PushReceiver(Protocol):
    """A session of either socket, which picks its frames from a tick."""

    def due(self, tick: KucoinTick) -> Iterator[Frame]:
        """Return what a tick brings to these subscriptions."""
        ...


class KucoinTick:
    """A tick; `rows` of symbols without a rate, or not listed, bring nothing."""

    def __init__(
        self, exchange: KucoinState, at_ms: int, show: Callable[[KucoinTick], None]
    ) -> None:
        self._exchange = exchange
        self._show = show
        self.at_ms = at_ms
        self.is_push = exchange.estimates.is_push(at_ms)
        self.priced = exchange.priced_rows(at_ms)
        self._price_ms = at_ms // exchange.period_ms * exchange.period_ms
        # A push time: nanoseconds whose last digits a double cannot hold.
        self._push_ns = at_ms * 1_000_000 + (at_ms // 10 * 2_654_435_761 >> 7) % 499_979 * 2 + 1

    @property
    def event_ms(self) -> int:
        """Just after its push time."""
        return self.at_ms + 1

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        return cast("PushReceiver", session).due(self)

    def published(self) -> None:
        """REST shows prices of this tick."""
        self._show(self)

    def ledgers(self) -> Sequence[TickLedger]:
        """The ledgers of both sockets, which send the same estimates with their own times."""
        return (self._uta_ledger, self._classic_ledger)

    def rows(self) -> Sequence[int]:
        """What is pushed."""
        return self._exchange.rated_rows() if self.is_push else ()

    @cached_property
    def prices(self) -> Snapshot:
        """The market for its prices, which are those of the full second."""
        return self._exchange.prices_at(self._price_ms)

    @cached_property
    def all_estimates(self) -> Frame:
        """The push of `funding-fee-all-symbols`."""
        rows = self._exchange.rated_rows()
        body = ",".join(self._estimate(row) for row in rows)
        return self._uta("funding-fee-all-symbols", f"[{body}]", rows)

    def estimate(self, row: int) -> Frame:
        """The push of `funding-fee` for one contract."""
        return self._uta("funding-fee", self._estimate(row), (row,))

    def mark_price(self, row: int) -> Frame:
        """The push of `mark-price` for one contract."""
        body = (
            f'{{"s":"{self._symbol(row)}","mp":"{self._price(self.prices.mark, row)}",'
            f'"ip":"{self._price(self.prices.index, row)}",'
            f'"oi":"{10_000 + row * 37}","ts":{self._price_ms}}}'
        )
        return self._uta("mark-price", body, ())

    def instrument(self, row: int) -> Iterator[Frame]:
        """The messages of `/contract/instrument:` for one contract."""
        topic = self._exchange.instrument_topics[row]
        if row in self.priced:
            yield _classic(
                topic,
                "mark.index.price",
                f'{{"markPrice":{self._price(self.prices.mark, row)},'
                f'"indexPrice":{self._price(self.prices.index, row)},'
                f'"granularity":1000,"timestamp":{self._price_ms}}}',
            )
        if not (self.is_push or self._settled_now) or not self._exchange.is_rated(row):
            return
        if row in self._settled_now:
            funding_ms, rate = self._settled_now[row]
            granularity_ms = self._exchange.market.terms(row, funding_ms - 1).interval_ms
            yield _classic(topic, _RATE_SUBJECT, _rate(granularity_ms, rate, funding_ms))
        if self.is_push:
            rate = self._classic_rates[row]
            data = _rate(_MINUTE_GRANULARITY_MS, rate, self._shown.estimated_ms)
            frame = _classic(topic, _RATE_SUBJECT, '{"period":1,' + data[1:])
            yield Frame(frame.payload, ledger=self._classic_ledger, rows=(row,))

    @cached_property
    def instrument_rows(self) -> Sequence[int]:
        """The contracts of which `instrument` has something: most ticks bring some prices alone."""
        live = self._exchange.listings.rows()
        if self.is_push or self._settled_now:
            return live
        return [row for row in live if row in self.priced]

    @property
    def announces(self) -> bool:
        """Whether `announcements` has something."""
        return bool(self._announced)

    def announcements(self, topic: str) -> Iterator[Frame]:
        """`funding.begin` and `funding.end` of what has settled.

        The topic names one contract behind a colon, or all of them without one.
        """
        only = topic.partition(":")[2]
        for symbol, subject, data in self._announced:
            if not only or symbol == only:
                yield _classic(topic, subject, data)

    @cached_property
    def _announced(self) -> list[tuple[str, str, str]]:
        """Contract, subject and data of each announcement of the tick; most ticks have none."""
        return [
            (
                self._symbol(row),
                subject,
                (
                    f'{{"symbol":"{self._symbol(row)}","fundingTime":{funding_ms},'
                    f'"fundingRate":{rate},"timestamp":{funding_ms + ago_ms}}}'
                ),
            )
            for subject, ago_ms, settled in (
                ("funding.begin", 0, self._just_settled),
                ("funding.end", _END_AFTER_MS, self._settled_since(_END_AFTER_MS)),
            )
            for row, funding_ms, rate in settled
        ]

    @cached_property
    def _just_settled(self) -> list[tuple[int, int, str]]:
        return self._settled_since(0)

    @cached_property
    def _settled_now(self) -> dict[int, tuple[int, str]]:
        """Funding time and rate of what has just settled, by row."""
        return {row: (funding_ms, rate) for row, funding_ms, rate in self._just_settled}

    @cached_property
    def _shown(self) -> Shown:
        return self._exchange.estimates.at(self.at_ms)

    @cached_property
    def _uta_rates(self) -> list[str]:
        return [decimal_text(units) for units in self._shown.rate_units.tolist()]

    @cached_property
    def _classic_rates(self) -> list[str]:
        units = self._shown.rate_units.tolist()
        return [number_text(u, exponent=uses_exponents(row)) for row, u in enumerate(units)]

    @cached_property
    def _uta_ledger(self) -> TickLedger:
        return self._ledger(self._push_ns // 1_000, self._uta_rates)

    @cached_property
    def _classic_ledger(self) -> TickLedger:
        return self._ledger(self._shown.estimated_ms * 1_000, self._classic_rates)

    def _ledger(self, event_us: int, rates: Sequence[str]) -> TickLedger:
        return TickLedger(self._exchange.heads, [event_us] * len(rates), rates)

    def _estimate(self, row: int) -> str:
        shown, terms = self._shown, self._exchange.market.terms(row, self.at_ms)
        cap = terms.cap_units
        return (
            f'{{"s":"{self._symbol(row)}","fr":"{self._uta_rates[row]}",'
            f'"ft":{shown.start_ms[row]},"lfr":"{decimal_text(int(shown.last_units[row]))}",'
            f'"nt":{shown.next_ms[row]},"gl":{terms.interval_ms},'
            f'"fc":"{decimal_text(cap)}","ff":"{decimal_text(-cap)}"}}'
        )

    def _uta(self, channel: str, body: str, rows: Sequence[int]) -> Frame:
        payload = f'{{"T":"{channel}","P":{self._push_ns},"d":{body}}}'.encode()
        ledger = self._uta_ledger if rows else None
        return Frame(payload, binary=True, ledger=ledger, rows=rows)

    def _settled_since(self, ago_ms: int) -> list[tuple[int, int, str]]:
        """Row, funding time and rate of what settled between the last tick and this, or earlier."""
        until_ms = self.at_ms - ago_ms
        settled = self._exchange.market.settlements(until_ms - self._exchange.tick_ms, until_ms)
        return [
            (row, funding_ms, number_text(units, exponent=uses_exponents(row)))
            for row, funding_ms, units in zip(
                settled.row.tolist(),
                settled.funding_ms.tolist(),
                settled.rate_units.tolist(),
                strict=True,
            )
            if self._exchange.is_rated(row)
            and (row, funding_ms) not in self._exchange.listings.missing
        ]

    def _symbol(self, row: int) -> str:
        return self._exchange.contracts[row].symbol

    @staticmethod
    def _price(prices: Floats, row: int) -> str:
        return price_text(float(prices[row]))


def _rate(granularity_ms: int, rate: str, timestamp_ms: int) -> str:
    return f'{{"granularity":{granularity_ms},"fundingRate":{rate},"timestamp":{timestamp_ms}}}'


def _classic(topic: str, subject: str, data: str) -> Frame:
    text = f'{{"topic":"{topic}","type":"message","subject":"{subject}","data":{data}}}'
    return Frame(text.encode())
