"""Contracts as rows: which are asked for, in which order, with which fields. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from stream_app.web.fleet import Published
from stream_app.web.history.times_told import iso
from stream_app.web.rest.answers import ContractRow

_OF_CONTRACT = frozenset({"quote", "published_at", "turnover_24h", "open_interest"})
"""Fields of a row that are none of the z-score."""
Getter = Callable[[Published], Any]

FIELDS = tuple(field.name for field in msgspec.structs.fields(ContractRow))
_BY_SIZE = "abs_z"
SORTS = tuple(sign + name for name in (*FIELDS, _BY_SIZE) for sign in ("", "-"))
"""What rows may be sorted by; `-` before it: the largest first."""
DEFAULT_SORT = f"-{_BY_SIZE}"


def size_of_z(contract: Published) -> float:
    """Return |z|; −1 where there is no z."""
    z = contract.zscore["z"]
    return -1.0 if z is None else abs(z)


def _size_of_z(contract: Published) -> float | None:
    return None if contract.zscore["z"] is None else size_of_z(contract)


def _getter(name: str) -> Getter:
    """Return what reads a field of a row from a contract."""
    if name in _OF_CONTRACT:
        return attrgetter(name)
    if name.endswith("_iso"):
        time_of = _getter(name.removesuffix("_iso"))
        return lambda contract: iso(time_of(contract))

    def of_record(contract: Published) -> object:
        record: Mapping[str, object] = contract.zscore
        return record[name]

    return of_record


_GETTERS: dict[str, Getter] = {name: _getter(name) for name in FIELDS}


def row(contract: Published, fields: Sequence[str] = FIELDS) -> dict[str, Any]:
    """Return a contract's fields."""
    return {name: _GETTERS[name](contract) for name in fields}


def wanted(contracts: Iterable[Published], asked: Mapping[str, Any]) -> list[Published]:
    """Return the contracts that a request asks for; None in `asked` leaves nothing out."""
    found = list(contracts)
    for name in ("contract_id", "feed", "base", "zone", "interval_hours", "confidence"):
        if asked[name] is not None:
            values = set(asked[name])
            found = [each for each in found if each.zscore[name] in values]
    if asked["quote"] is not None:
        values = set(asked["quote"])
        found = [each for each in found if each.quote in values]
    if asked["min_abs_z"] is not None:
        least = asked["min_abs_z"]
        found = [each for each in found if size_of_z(each) >= least]
    if asked["min_turnover_24h"] is not None:
        least = asked["min_turnover_24h"]
        found = [each for each in found if each.trades_at_least(least)]
    if asked["q"] is not None:
        text = asked["q"].casefold()
        found = [
            each
            for each in found
            if text in each.zscore["contract_id"].casefold()
            or text in each.zscore["base"].casefold()
        ]
    return found


def in_order(contracts: Sequence[Published], sort: str) -> list[Published]:
    """Return contracts sorted by a field, those without a value last, equal ones by contract id."""
    name = sort.removeprefix("-")
    value_of = _size_of_z if name == _BY_SIZE else _GETTERS[name]
    with_value, without = [], []
    for contract in sorted(contracts, key=lambda each: each.zscore["contract_id"]):
        value = value_of(contract)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            without.append(contract)
        else:
            with_value.append((value, contract))
    # `reverse` keeps the order of equal ones, too.
    with_value.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [contract for _, contract in with_value] + without
