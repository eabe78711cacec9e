"""What faults do to single contracts: their terms, their states, their settlements, the lists.

`resolved` checks a fault against the state of an exchange and chooses a contract where none was
named; `begin` does what happens at once; `oddities` tells what the running faults make of the lists
and settlements of a feed; `ended` does what follows from an end. Pure but for the exchange's state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from infra.simulator.exchange import Exchange
from infra.simulator.faults.book import Running
from infra.simulator.faults.kinds import Fault
from infra.simulator.market.history import Lateness, Special
from infra.simulator.market.listings import Oddities, State
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import HOUR_MS, UNITS_PER_ONE
from schemas.errors import ConfigurationError

_ABOUT_ONE = frozenset({
    "interval-change", "clock-move", "cap-raise", "missing-settlement", "special-settlement",
    "halt", "zombie", "listed-twice", "bad-field",
})  # fmt: skip
"""Kinds about one listed perpetual."""


def resolved(exchange: Exchange, fault: Fault, now_ms: int) -> Fault:
    """The fault with its contract, and with the funding time that it is about.

    Raises:
        ConfigurationError: the exchange has no such contract, or nothing left to do it with.
    """
    parameters = dict(fault.parameters)
    if fault.kind in _ABOUT_ONE:
        parameters.setdefault("symbol", _chosen(exchange, fault.kind, now_ms))
        row = _perpetual(exchange, parameters["symbol"])
        if fault.kind == "missing-settlement":
            named_ms = parameters.get("funding_ms")
            parameters["funding_ms"] = (
                _funding_ms(exchange, row, parameters["which"], now_ms)
                if named_ms is None
                else _settled_ms(exchange, row, named_ms)
            )
    elif fault.kind in {"list", "delist", "relist"}:
        symbol = _listing_symbol(exchange, fault)
        if symbol is not None:
            parameters["symbol"] = symbol
    return replace(fault, parameters=parameters)


def begin(exchange: Exchange, fault: Fault, now_ms: int) -> str | None:
    """Do what happens at once; the symbol of a contract that is listed or delisted by it.

    Raises:
        ConfigurationError: it cannot be done in the present state.
    """
    symbol: str | None = fault.parameters.get("symbol")
    listings = exchange.listings
    if fault.kind in {"list", "delist", "relist"}:
        return _change_listing(exchange, fault.kind, symbol, now_ms)
    if symbol is None or fault.kind not in _ABOUT_ONE:
        return None
    row = _perpetual(exchange, symbol)
    if fault.kind == "special-settlement":
        after_ms = _funding_ms(exchange, row, fault.parameters["which"], now_ms)
        units = round(fault.parameters["rate"] * UNITS_PER_ONE)
        exchange.book.order(Special(row, after_ms, units))
    elif fault.kind == "zombie" and listings.state(symbol) is not None:
        raise ConfigurationError(f"{symbol} is halted already")
    else:
        terms = _new_terms(exchange, fault, row, now_ms)
        if terms is not None:
            exchange.market.change_terms(row, terms)
    return None


def oddities(exchange: Exchange, running: Sequence[Running]) -> Oddities:
    """What the running faults of a feed make of its lists, states and settlements."""
    rows = {contract.symbol: row for row, contract in enumerate(exchange.market.contracts)}
    states: dict[str, State] = {}
    for fault in running:
        if fault.kind == "halt":
            name = fault.get("state")
            states[fault.get("symbol")] = State(name, rated=exchange.wire.halts[name])
        elif fault.kind == "zombie":
            states[fault.get("symbol")] = State("", rated=False, dead=True)
    return Oddities(
        states,
        twice=frozenset(f.get("symbol") for f in running if f.kind == "listed-twice"),
        nameless=any(fault.kind == "empty-symbol" for fault in running),
        missing=frozenset(
            (rows[f.get("symbol")], f.get("funding_ms"))
            for f in running
            if f.kind == "missing-settlement"
        ),
    )


def lateness(running: Iterable[Running]) -> Lateness | None:
    """How late the running faults let settlements be shown."""
    fault = next((fault for fault in running if fault.kind == "settle-late"), None)
    if fault is None:
        return None
    return Lateness(
        since_ms=fault.began_us // 1_000,
        delay_ms=round(fault.get("delay_s") * 1_000),
        newest_first=fault.get("order") == "newest-first",
    )


def ended(exchange: Exchange, fault: Running) -> None:
    """Do what follows from the end of a fault: the exchange notices that a contract is dead."""
    symbol = fault.get("symbol")
    if fault.kind == "zombie" and not exchange.listings.is_delisted(symbol):
        exchange.listings.delist(symbol)


def _perpetual(exchange: Exchange, symbol: str) -> int:
    contracts = exchange.market.contracts
    row = next((row for row, c in enumerate(contracts) if c.symbol == symbol), None)
    listings = exchange.listings
    known = listings.is_listed(symbol) or listings.state(symbol) is not None
    if row is None or not known or not _settles(exchange, row):
        raise ConfigurationError(f"{exchange.name} has no listed perpetual {symbol!r}")
    return row


def _settles(exchange: Exchange, row: int) -> bool:
    contract = exchange.market.contracts[row]
    return contract.kind in {"crypto", "tradfi"} and not contract.frozen


def _chosen(exchange: Exchange, kind: str, now_ms: int) -> str:
    """A contract for a kind: the same one each time, another one for another kind."""
    market = exchange.market
    rows = [
        row
        for row in exchange.listings.rows()
        if _settles(exchange, row)
        and (kind != "clock-move" or market.interval_hours(row, now_ms) > 1)
    ]
    if not rows:
        raise ConfigurationError(f"{exchange.name} has no contract left for {kind}")
    digest = hashlib.blake2b(kind.encode(), digest_size=8).digest()
    return market.contracts[rows[int.from_bytes(digest, "big") % len(rows)]].symbol


def _funding_ms(exchange: Exchange, row: int, which: str, now_ms: int) -> int:
    """A contract's last or next funding time."""
    market = exchange.market
    last_ms, _ = market.settled_before(row, now_ms)
    return int(market.next_funding_ms(now_ms)[row]) if which == "next" else last_ms


def _settled_ms(exchange: Exchange, row: int, funding_ms: int) -> int:
    settled = exchange.book.all
    if not ((settled.row == row) & (settled.funding_ms == funding_ms)).any():
        symbol = exchange.market.contracts[row].symbol
        raise ConfigurationError(f"{symbol} has no settlement of {funding_ms}")
    return funding_ms


def _listing_symbol(exchange: Exchange, fault: Fault) -> str | None:
    """The contract to relist; what `list` and `delist` choose is known when it is done."""
    symbol: str | None = fault.parameters.get("symbol")
    if fault.kind != "relist":
        return symbol
    delisted = [
        contract.symbol
        for row, contract in enumerate(exchange.market.contracts)
        if exchange.listings.is_delisted(contract.symbol) and _settles(exchange, row)
    ]
    if symbol is None and not delisted:
        raise ConfigurationError(f"{exchange.name} has no contract left to relist")
    if symbol is not None and symbol not in delisted:
        raise ConfigurationError(f"{symbol} is not a delisted perpetual of {exchange.name}")
    return symbol or delisted[0]


def _change_listing(exchange: Exchange, kind: str, symbol: str | None, now_ms: int) -> str:
    listings, market = exchange.listings, exchange.market
    if kind == "relist":
        assert symbol is not None
        row = next(row for row, c in enumerate(market.contracts) if c.symbol == symbol)
        known = market.terms(row, now_ms)
        market.change_terms(
            row,
            replace(known, since_ms=now_ms, listed_ms=now_ms, life=known.life + 1,
                    onboard_ms=now_ms),
        )  # fmt: skip
        listings.list_symbol(symbol)
    elif symbol is None:
        symbol = listings.list_next() if kind == "list" else listings.delist_one()
        if symbol is None:
            raise ConfigurationError(f"{exchange.name} has no contract left to {kind}")
    elif kind == "list":
        listings.list_symbol(symbol)
    else:
        listings.delist(symbol)
    return symbol


def _new_terms(exchange: Exchange, fault: Fault, row: int, now_ms: int) -> Terms | None:
    """The terms of a contract after a fault; None: they stay."""
    known = exchange.market.terms(row, now_ms)
    symbol = exchange.market.contracts[row].symbol
    lag_ms = round(fault.parameters.get("list_lag_s", 0) * 1_000)
    changed = replace(known, since_ms=now_ms, listed_ms=now_ms + lag_ms)
    if fault.kind == "interval-change":
        hours: int = fault.parameters["interval_hours"]
        if known.interval_hours == hours:
            raise ConfigurationError(f"{symbol} settles every {hours} h already")
        offset_ms = known.offset_ms
        if fault.parameters["grid"] == "next-hour":
            offset_ms = now_ms // HOUR_MS * HOUR_MS + HOUR_MS
        return replace(changed, interval_hours=hours, offset_ms=offset_ms % (hours * HOUR_MS))
    if fault.kind == "clock-move":
        offset_ms = _moved(fault, known, symbol)
        return replace(changed, offset_ms=offset_ms)
    if fault.kind == "cap-raise":
        cap = round(known.cap_units * fault.parameters["factor"])
        # Between the old cap and the new one, with room for the rate to move.
        return replace(changed, cap_units=cap, lift_units=(known.cap_units + cap) // 2)
    return None


def _moved(fault: Fault, known: Terms, symbol: str) -> int:
    """The new offset of a settlement clock: half an interval away where none is named."""
    hours = fault.parameters.get("offset_hours")
    if hours is None:
        return (known.offset_ms + known.interval_hours // 2 * HOUR_MS) % known.interval_ms
    if hours >= known.interval_hours:
        raise ConfigurationError(f"{symbol} settles every {known.interval_hours} h: offset_hours "
                                 "must be below that")  # fmt: skip
    if known.offset_ms == hours * HOUR_MS:
        raise ConfigurationError(f"the clock of {symbol} is at {hours} h already")
    return int(hours) * HOUR_MS
