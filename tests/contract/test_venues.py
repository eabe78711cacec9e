"""What the module of a venue in tests/venues must hold, so that every suite runs over the venue."""

from __future__ import annotations

from infra.simulator.registry import SIMULATED
from schemas.feeds import FEEDS, spec
from tests.support.every_exchange import each_feed
from tests.venues.clients import by_name
from tests.venues.samples import ContractList, Documented, documented


@each_feed
def test_a_venue_states_what_its_page_documents(feed: str) -> None:
    """Addresses, costs and the list of contracts, for the tests of descriptions."""
    assert isinstance(documented(feed), Documented)
    assert isinstance(documented(feed).contracts, ContractList)


def test_every_simulated_venue_of_ours_has_a_client() -> None:
    """Its main one has the feed's name; the tests of faults ask by it."""
    own = {feed for feed in SIMULATED if spec(feed).description.startswith("producers.exchanges.")}
    clients = by_name()
    assert {feed for feed, _ in clients.values()} >= own
    assert all(clients[feed][0] == feed for feed in own)
    assert {feed for feed, _ in clients.values()} <= set(FEEDS)
