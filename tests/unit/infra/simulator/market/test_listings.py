"""Which contracts are listed, and how contracts are shared among feeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.market.listings import Listings, Oddities, State
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import (
    ALL_CONTRACTS,
    MIN_CONTRACTS,
    SIMULATED,
    create_exchanges,
    listed_contracts,
    shares,
)
from schemas.errors import ConfigurationError

SYMBOLS = ["A", "B", "C", "D"]


def test_the_last_ones_are_held_back() -> None:
    """Listed one by one, in order, until none is left."""
    listings = Listings(SYMBOLS, held_back=2)
    assert listings.rows() == listings.known_rows() == [0, 1]
    assert not listings.is_listed("C")
    assert not listings.is_delisted("C")
    assert [listings.list_next() for _ in range(3)] == ["C", "D", None]
    assert listings.rows() == [0, 1, 2, 3]


def test_a_delisted_contract_stays_known() -> None:
    """It is not listed, but was; listing it again is possible."""
    listings = Listings(SYMBOLS)
    listings.delist("B")
    assert listings.rows() == [0, 2, 3]
    assert listings.known_rows() == [0, 1, 2, 3]
    assert listings.is_delisted("B")
    listings.list_symbol("B")
    assert listings.is_listed("B")
    assert not listings.is_delisted("B")


def test_impossible_changes_are_refused() -> None:
    """Twice the same, or a contract that nobody has."""
    listings = Listings(SYMBOLS, held_back=1)
    for change, symbol in (
        (listings.list_symbol, "A"),
        (listings.list_symbol, "X"),
        (listings.delist, "D"),
        (listings.delist, "X"),
    ):
        version = listings.version
        with pytest.raises(ConfigurationError, match=symbol):
            change(symbol)
        assert listings.version == version


def test_a_halted_contract_is_known_and_not_delisted() -> None:
    """Without rates it counts as not listed; with rates it does; delisting ends its state."""
    listings = Listings(SYMBOLS, held_back=1)
    before = listings.version
    states = {"A": State("Paused", rated=False), "B": State("CancelOnly", rated=True)}
    listings.set_oddities(Oddities({**states, "D": State("Paused", rated=False)}))
    assert listings.version > before
    assert listings.rows() == [1, 2]
    assert listings.known_rows() == [0, 1, 2]
    assert not listings.is_delisted("A")
    assert [listings.state(symbol) for symbol in SYMBOLS] == [
        states["A"], states["B"], None, None,
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="listed already"):
        listings.list_symbol("A")
    listings.delist("A")
    assert listings.state("A") is None
    listings.set_oddities(Oddities({}))
    assert listings.rows() == [1, 2]


def test_without_a_name_the_newest_is_delisted_first() -> None:
    """Then one from the middle, until nothing is left."""
    listings = Listings(SYMBOLS, held_back=1)
    listings.list_next()
    assert [listings.delist_one() for _ in range(5)] == ["D", "B", "C", "A", None]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(SYMBOLS)), max_size=30), st.integers(0, 4))
def test_each_contract_is_in_one_state(changes: list[tuple[bool, str]], held_back: int) -> None:
    """Held back, listed or delisted; the version grows with each change and only then."""
    listings = Listings(SYMBOLS, held_back)
    for to_list, symbol in changes:
        before, was = listings.version, listings.is_listed(symbol)
        if to_list is was:
            with pytest.raises(ConfigurationError):
                (listings.list_symbol if to_list else listings.delist)(symbol)
        else:
            (listings.list_symbol if to_list else listings.delist)(symbol)
            assert listings.is_listed(symbol) is to_list
        assert (listings.version > before) is (to_list is not was)
        assert listings.rows() == [n for n, s in enumerate(SYMBOLS) if listings.is_listed(s)]
        gone = {n for n, s in enumerate(SYMBOLS) if listings.is_delisted(s)}
        assert set(listings.known_rows()) == gone | set(listings.rows())
        assert not gone & set(listings.rows())


def test_all_contracts_are_shared_as_on_the_real_exchanges() -> None:
    """As many as all exchanges list give each feed exactly what it has."""
    real = {feed: one.perpetuals for feed, one in SIMULATED.items()}
    assert shares(list(SIMULATED), ALL_CONTRACTS) == real
    assert listed_contracts(["kucoin", "binance-usdm"]) == real["kucoin"] + real["binance-usdm"]
    with pytest.raises(ConfigurationError, match="nobody"):
        listed_contracts(["nobody"])
    assert shares(["binance-usdm"], 24) == {"binance-usdm": 24}


@given(
    st.lists(st.sampled_from(list(SIMULATED)), min_size=1, unique=True),
    st.integers(min_value=1, max_value=20_000),
)
def test_shares_add_up(feeds: list[str], contracts: int) -> None:
    """They add up to the number asked for, each at least two and close to its proportion."""
    found = shares(feeds, contracts)
    assert list(found) == feeds
    assert min(found.values()) >= MIN_CONTRACTS
    assert sum(found.values()) == max(contracts, MIN_CONTRACTS * len(feeds))
    total = sum(SIMULATED[feed].perpetuals for feed in feeds)
    for feed, share in found.items():
        exact = contracts * SIMULATED[feed].perpetuals / total
        assert share == MIN_CONTRACTS or abs(share - exact) < len(feeds) * MIN_CONTRACTS


@pytest.mark.parametrize("feeds", [["nosuch"], ["kucoin", "kucoin"]])
def test_feeds_are_known_and_named_once(feeds: list[str]) -> None:
    """Everything else is a mistake that is said."""
    with pytest.raises(ConfigurationError, match=feeds[0]):
        shares(feeds, 10)


@pytest.mark.parametrize("feed", list(SIMULATED))
def test_each_feed_lists_its_share_and_holds_two_back(feed: str) -> None:
    """`create` of each exchange: two more contracts can be listed while it runs."""
    now_ms = 1_791_269_856_400
    (exchange,) = create_exchanges([feed], SimulatorOptions(), 6, now_ms)
    assert exchange.name == feed
    names = {rate.symbol for rate in exchange.settled_at_start()}
    assert len(names) == 6
    held = [exchange.listings.list_next() for _ in range(3)]
    assert held[2] is None
    assert not names & set(held)
    day_ms = 86_400_000
    later = {rate.symbol for rate in exchange.settle(now_ms + day_ms)}
    assert later == names | set(held[:2])
    gone = exchange.listings.delist_one()
    assert gone == held[1]
    assert {rate.symbol for rate in exchange.settle(now_ms + 2 * day_ms)} == later - {gone}
