"""The registry: only changes are published, and only of contracts that are listed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import pytest

from producers.exchanges.binance_usdm import EXCHANGE
from producers.exchanges.spec import Listing, Slice
from producers.policy.instruments import MAX_KEY_CHARS, Change, InstrumentRegistry, one_each
from schemas.contract_status import ContractStatus

INFO, FUNDING, _TICKERS = EXCHANGE.fact_calls


def entry(symbol: str, status: str = "TRADING", kind: str = "PERPETUAL") -> dict[str, Any]:
    """One symbol of exchangeInfo."""
    return {"symbol": symbol, "status": status, "contractType": kind}


def refresh(registry: InstrumentRegistry, *entries: dict[str, Any]) -> Change:
    """Take one exchangeInfo reply, as the feed does."""
    body = json.dumps({"timezone": "UTC", "symbols": entries}).encode()
    slices = EXCHANGE.slice_reply(INFO, body)
    return registry.update(INFO.resource, slices, EXCHANGE.listings(INFO, slices))


def funding(registry: InstrumentRegistry, **hours: int) -> list[str | None]:
    """Take one fundingInfo reply; the symbols whose facts are published."""
    rows = [{"symbol": name, "fundingIntervalHours": value} for name, value in hours.items()]
    slices = EXCHANGE.slice_reply(FUNDING, json.dumps(rows).encode())
    assert EXCHANGE.listings(FUNDING, slices) is None
    change = registry.update(FUNDING.resource, slices, None)
    assert not change.listed
    assert not change.delisted
    return [piece.symbol for piece in change.facts]


def symbols(change: Change) -> list[str | None]:
    """The symbols of the facts to publish."""
    return [piece.symbol for piece in change.facts]


def test_the_first_reply_publishes_everything_and_the_same_again_nothing() -> None:
    """Facts are published before the first rate and then on change."""
    registry = InstrumentRegistry()
    first = refresh(registry, entry("AUSDT"), entry("BUSDT"))
    assert symbols(first) == ["AUSDT", "BUSDT"]
    assert first.listed == {"AUSDT", "BUSDT"}
    again = refresh(registry, entry("AUSDT"), entry("BUSDT"))
    assert again == Change([], frozenset(), frozenset())


def test_facts_go_out_byte_for_byte() -> None:
    """What is published is the exchange's own text of that contract."""
    text = b'{ "contractType":"PERPETUAL", "symbol" :"A\\u0055SDT","status":"TRADING" }'
    slices = EXCHANGE.slice_reply(INFO, b'{"symbols":[' + text + b"]}")
    change = InstrumentRegistry().update("exchangeInfo", slices, EXCHANGE.listings(INFO, slices))
    assert list(change.facts) == [Slice("AUSDT", text)]


def test_only_what_changed_is_published() -> None:
    """A new status of one contract is one fact; interval and listing are facts of their own."""
    registry = InstrumentRegistry()
    refresh(registry, entry("AUSDT"), entry("BUSDT"))
    assert funding(registry, AUSDT=8, BUSDT=4) == ["AUSDT", "BUSDT"]
    assert funding(registry, AUSDT=8, BUSDT=1) == ["BUSDT"]
    changed = refresh(registry, entry("AUSDT", "SETTLING"), entry("BUSDT"))
    assert symbols(changed) == ["AUSDT"]
    assert funding(registry, AUSDT=8, BUSDT=1) == []


def test_contracts_come_and_go() -> None:
    """Listed and delisted are about streaming: a SETTLING contract stays in the list, silent."""
    registry = InstrumentRegistry()
    refresh(registry, entry("AUSDT"), entry("BUSDT"))
    change = refresh(registry, entry("AUSDT", "SETTLING"), entry("CUSDT"), entry("BUSDT"))
    assert change == Change(change.facts, frozenset({"CUSDT"}), frozenset({"AUSDT"}))
    assert registry.streaming == {"BUSDT", "CUSDT"}
    assert registry.listed == {"AUSDT", "BUSDT", "CUSDT"}
    change = refresh(registry, entry("BUSDT"))
    assert change == Change([], frozenset(), frozenset({"CUSDT"}))


def test_dated_contracts_are_left_out_and_tradfi_is_not() -> None:
    """A quarterly contract has no funding; a filter on PERPETUAL alone would lose equities."""
    registry = InstrumentRegistry()
    change = refresh(
        registry,
        entry("BTCUSDT"),
        entry("BTCUSDT_270326", kind="CURRENT_QUARTER"),
        entry("BTCUSDT_270625", kind="NEXT_QUARTER"),
        entry("TSLAUSDT", kind="TRADIFI_PERPETUAL"),
        entry("SOONUSDT", "PENDING_TRADING"),
    )
    assert symbols(change) == ["BTCUSDT", "TSLAUSDT", "SOONUSDT"]
    assert registry.streaming == {"BTCUSDT", "TSLAUSDT"}


def test_facts_that_arrive_before_the_listing_are_published_with_it() -> None:
    """The interval of an unlisted contract is held back, not swallowed."""
    registry = InstrumentRegistry()
    refresh(registry, entry("AUSDT"))
    assert funding(registry, AUSDT=8, NEWUSDT=4) == ["AUSDT"]
    refresh(registry, entry("AUSDT"), entry("NEWUSDT"))
    assert funding(registry, AUSDT=8, NEWUSDT=4) == ["NEWUSDT"]


def test_a_delisted_contract_has_no_current_rate() -> None:
    """Snapshots go on showing its last value: only who streams is taken from them."""
    registry = InstrumentRegistry()
    refresh(registry, entry("AUSDT"), entry("OLDUSDT", "SETTLING"))
    assert registry.listed == {"AUSDT", "OLDUSDT"}
    assert registry.streaming == {"AUSDT"}


def test_an_odd_row_in_the_list_delists_nobody() -> None:
    """The unreadable row may be that of the missing contract; the contracts that can be read are
    updated.
    """
    registry = InstrumentRegistry()
    refresh(registry, entry("AUSDT"), entry("BUSDT"))
    body = json.dumps({"symbols": [entry("AUSDT", "SETTLING"), {"odd": 1}]}).encode()
    slices = EXCHANGE.slice_reply(INFO, body)
    listings = EXCHANGE.listings(INFO, slices)
    change = registry.update(INFO.resource, slices, listings, partial=True)
    assert symbols(change) == ["AUSDT"]
    assert change.delisted == {"AUSDT"}
    assert registry.streaming == {"BUSDT"}
    assert registry.listed == {"AUSDT", "BUSDT"}


def test_a_list_that_loses_most_has_to_say_so_twice() -> None:
    """One empty list, as an exchange in maintenance sends it, unsubscribes no contract."""
    registry = InstrumentRegistry()
    names = [f"S{number}USDT" for number in range(30)]
    refresh(registry, *map(entry, names))
    assert refresh(registry).delisted == frozenset()
    assert refresh(registry, *map(entry, names)).delisted == frozenset()
    assert refresh(registry, *map(entry, names[:5])).delisted == frozenset()
    assert refresh(registry, *map(entry, names[:5])).delisted == set(names[5:])
    assert registry.listed == set(names[:5])


def test_a_list_in_which_nothing_trades_has_to_say_so_twice() -> None:
    """Maintenance may show as a status as well; the doubt is told: the list is asked for soon."""
    registry = InstrumentRegistry()
    names = [f"S{number}USDT" for number in range(30)]
    refresh(registry, *map(entry, names))
    halted = [entry(name, status="SETTLING") for name in names]
    change = refresh(registry, *halted)
    assert (change.delisted, change.doubtful) == (frozenset(), True)
    assert registry.streaming == set(names)
    change = refresh(registry, *halted)
    assert (change.delisted, change.doubtful) == (frozenset(names), False)
    assert registry.streaming == frozenset()


def test_facts_are_published_again_on_request() -> None:
    """The raw log forgets the first time in a week."""
    registry = InstrumentRegistry()
    assert symbols(refresh(registry, entry("AUSDT"))) == ["AUSDT"]
    assert symbols(refresh(registry, entry("AUSDT"))) == []
    registry.forget_published()
    change = refresh(registry, entry("AUSDT"))
    assert symbols(change) == ["AUSDT"]
    assert not change.listed


def capped(names: Iterable[str], registry: InstrumentRegistry) -> int:
    """Take a list of trading contracts; how many are left out."""
    return refresh(registry, *map(entry, names)).surplus


def test_a_list_that_is_too_long_is_cut() -> None:
    """To the same contracts each time: those known before, then the first by their symbols."""
    registry = InstrumentRegistry(max_contracts=3)
    assert capped(["D", "C"], registry) == 0
    assert capped(["D", "B", "C", "A", "E"], registry) == 2
    assert registry.listed == registry.streaming == {"A", "C", "D"}
    assert capped(["E", "D", "C", "B", "A"], registry) == 2
    assert registry.listed == {"A", "C", "D"}
    assert capped(["E", "D", "B"], registry) == 0
    assert registry.listed == {"B", "D", "E"}


def test_a_list_that_is_another_each_time_grows_nothing() -> None:
    """Neither the contracts, while a doubtful list waits to be confirmed, nor their facts."""
    registry = InstrumentRegistry(max_contracts=30)
    for turn in range(20):
        capped([f"S{turn}X{number}" for number in range(1_000)], registry)
        assert len(registry.listed) == 30
        assert registry.streaming <= registry.listed
        assert len(registry._facts) <= 30


def test_a_symbol_that_can_be_none_is_not_listed() -> None:
    """Its entry is an unreadable one."""
    registry = InstrumentRegistry()
    change = refresh(registry, entry("AUSDT"), entry("A B"), entry("X" * 65), entry(""))
    assert symbols(change) == ["AUSDT"]
    assert registry.listed == {"AUSDT"}


HALTED = "an unheard-of word"
"""A status that FeedSpec.statuses does not have: the contract is halted."""


def test_a_halted_contract_stays_subscribed_and_owes_nothing() -> None:
    """It is neither delisted, when it is halted, nor listed anew, when it trades again."""
    registry = InstrumentRegistry()
    refresh(registry, entry("AUSDT"), entry("BUSDT"))
    halted = refresh(registry, entry("AUSDT", HALTED), entry("BUSDT"))
    assert (halted.listed, halted.delisted) == (frozenset(), frozenset())
    assert symbols(halted) == ["AUSDT"], "the new status is a fact"
    assert (registry.streaming, registry.subscribed) == (
        frozenset({"BUSDT"}),
        frozenset({"AUSDT", "BUSDT"}),
    )
    again = refresh(registry, entry("AUSDT"), entry("BUSDT"))
    assert (again.listed, again.delisted) == (frozenset(), frozenset())
    assert registry.streaming == registry.subscribed == {"AUSDT", "BUSDT"}


def test_a_contract_before_its_launch_is_listed_and_owes_nothing() -> None:
    """It streams from when it trades; the end of a halted one is a delisting."""
    registry = InstrumentRegistry()
    refresh(registry, entry("AUSDT", HALTED))
    change = refresh(registry, entry("AUSDT", HALTED), entry("NEWUSDT", "PENDING_TRADING"))
    assert change.listed == {"NEWUSDT"}
    assert (registry.streaming, registry.subscribed) == (
        frozenset(),
        frozenset({"AUSDT", "NEWUSDT"}),
    )
    change = refresh(registry, entry("AUSDT", "CLOSE"), entry("NEWUSDT"))
    assert (change.listed, change.delisted) == (frozenset(), frozenset({"AUSDT"}))
    assert registry.streaming == registry.subscribed == {"NEWUSDT"}


def test_a_list_in_which_everything_is_halted_has_to_say_so_twice() -> None:
    """As one in which nothing trades: REST goes on meanwhile."""
    registry = InstrumentRegistry()
    names = [f"S{number}USDT" for number in range(30)]
    refresh(registry, *map(entry, names))
    halted = [entry(name, HALTED) for name in names]
    assert refresh(registry, *halted).doubtful
    assert registry.streaming == set(names)
    assert not refresh(registry, *halted).doubtful
    assert (registry.streaming, registry.subscribed) == (frozenset(), frozenset(names))


def test_a_list_that_loses_most_of_its_halted_contracts_has_to_say_so_twice() -> None:
    """They are subscribed, too."""
    registry = InstrumentRegistry()
    names = [f"S{number}USDT" for number in range(30)]
    refresh(registry, *(entry(name, HALTED) for name in names))
    closed = [entry(name, "CLOSE") for name in names]
    assert refresh(registry, *closed).doubtful
    assert registry.subscribed == set(names)
    assert refresh(registry, *closed).delisted == set(names)


def chosen(*entries: dict[str, Any]) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """The entries that count, and the symbols that were named more than once."""
    slices = EXCHANGE.slice_reply(INFO, json.dumps({"symbols": entries}).encode())

    def status(piece: Slice) -> ContractStatus | None:
        listings = EXCHANGE.listings(INFO, [piece])
        assert listings is not None
        return next((listing.status for listing in listings), None)

    found = one_each(slices, status, lambda piece: piece.payload)
    return [json.loads(piece.payload) for piece in found.slices], found.twice


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_entries_the_one_that_streams_counts(
    turned: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """Then one that is subscribed, then one that is listed, whatever their order."""
    ranks = [
        entry("AUSDT"),
        entry("AUSDT", HALTED),
        entry("AUSDT", "CLOSE"),
        entry("AUSDT", kind="NEXT_QUARTER"),
    ]
    for best, other in combinations(ranks, 2):
        pair = [other, best] if turned else [best, other]
        assert chosen(*pair, entry("BUSDT")) == ([best, entry("BUSDT")], frozenset({"AUSDT"}))


def test_among_equals_the_order_in_the_reply_does_not_matter() -> None:
    """Two that stream and differ elsewhere: the same one each time, else its fact would flip."""
    first, second = {**entry("AUSDT"), "note": "x"}, {**entry("AUSDT"), "note": "y"}
    assert chosen(first, second) == chosen(second, first)
    assert chosen(first, first) == ([first], frozenset({"AUSDT"}))


def test_without_a_second_entry_nothing_changes() -> None:
    """Unreadable rows have no symbol, and stay."""
    slices = [
        Slice("A", b"1"),
        Slice(None, b"?", readable=False),
        Slice(None, b"?"),
        Slice("B", b"2"),
    ]
    found = one_each(slices, lambda _: None, lambda piece: piece.payload)
    assert found == (slices, frozenset())


def test_the_keys_of_listed_contracts_are_kept() -> None:
    """What requests call them, for as long as they are listed; one that is no name is none."""
    trading, registry = ContractStatus.TRADING, InstrumentRegistry(max_contracts=3)
    registry.update("list", (), [Listing("A", trading, "7"), Listing("B", trading)])
    assert registry.keys == {"A": "7"}
    long = "1" * (MAX_KEY_CHARS + 1)
    listings = [Listing("A", trading, "8"), Listing("B", trading, long), Listing("C", trading, "9")]
    registry.update("list", (), [*listings, Listing("D", trading, "10")])
    assert registry.keys == {"A": "8", "C": "9"}
    registry.update("other", (), None)
    assert registry.keys == {"A": "8", "C": "9"}
    registry.update("list", (), [Listing("C", trading)])
    assert registry.keys == {"C": "9"}


def test_each_list_is_whole_for_its_own_contracts_alone() -> None:
    """An exchange with a list for each family: one says nothing of the contracts of another."""
    registry = InstrumentRegistry(max_contracts=3)
    trading = ContractStatus.TRADING
    first = registry.update("linear", (), [Listing("AUSDT", trading), Listing("BUSDT", trading)])
    second = registry.update("inverse", (), [Listing("AUSD", trading), Listing("BUSD", trading)])
    assert first.listed == {"AUSDT", "BUSDT"}
    assert second.listed == {"AUSD"}
    assert not second.delisted
    assert second.surplus == 1, "there is room for three in all"
    third = registry.update("linear", (), [Listing("AUSDT", ContractStatus.HALTED)])
    assert third.delisted == {"BUSDT"}
    assert registry.streaming == {"AUSD"}
    assert registry.subscribed == {"AUSDT", "AUSD"}


def test_an_empty_list_of_a_small_family_is_doubted() -> None:
    """It is measured by its own list, however long the others are."""
    registry = InstrumentRegistry()
    trading = ContractStatus.TRADING
    registry.update("linear", (), [Listing(f"{n}USDT", trading) for n in range(100)])
    small = [Listing(f"{n}USD", trading) for n in range(20)]
    registry.update("inverse", (), small)
    assert registry.update("inverse", (), []).doubtful
    assert len(registry.listed) == 120
    assert registry.update("linear", (), [Listing("0USDT", trading)]).doubtful
    assert registry.update("inverse", (), []).delisted == {entry.symbol for entry in small}
