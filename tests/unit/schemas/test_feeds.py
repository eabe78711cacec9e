"""The registry of feeds: what a line must name, and what an unknown feed is answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.registry import SIMULATED
from producers.exchanges import exchange
from schemas.errors import ConfigurationError
from schemas.feeds import (
    FEEDS,
    limits_groups,
    part,
    pushes_per_s,
    registered,
    shared_out,
    spec,
)
from stream_app.normalise import normaliser

LINE = "schemas.venues.backpack:FEED"


@pytest.mark.parametrize("feed", FEEDS)
def test_a_registered_feed_has_all_its_parts(feed: str) -> None:
    """Its description bears its name; its normaliser can be called."""
    assert exchange(feed).feed == feed
    assert callable(normaliser(feed))


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["schemas.venues.nobody:FEED"], "cannot be loaded"),
        (["schemas.venues.backpack:NOTHING"], "cannot be loaded"),
        (["schemas.feed_spec:MAX_CONTRACTS"], "no FeedSpec"),
        ([LINE, LINE], "taken"),
    ],
)
def test_a_line_that_names_no_new_feed_is_refused(lines: list[str], what: str) -> None:
    """With an error that quotes the line."""
    with pytest.raises(ConfigurationError, match=what) as caught:
        registered(lines)
    assert lines[-1] in str(caught.value)


def test_a_package_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its import raises."""
    (tmp_path / "broken_venue.py").write_text("raise ValueError('no\\nluck')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"'broken_venue:FEED' .*: ValueError: no luck$"):
        registered(["broken_venue:FEED"])


def test_a_module_without_its_object_is_an_error_that_names_both() -> None:
    """The normaliser, the description and the simulator are found by name as well."""
    with pytest.raises(ConfigurationError, match=r"feed 'kucoin': 'schemas.rates:EXCHANGE'"):
        part("kucoin", "schemas.rates", "EXCHANGE")


def test_an_unknown_feed_is_named_with_those_that_are_known() -> None:
    """As an error of configuration: the id comes from a person."""
    with pytest.raises(ConfigurationError, match=f"'nobody': known are {', '.join(FEEDS)}"):
        spec("nobody")


def test_an_installed_package_adds_a_feed_with_one_line(tmp_path: Path) -> None:
    """Its entry point is seen by every process that can import the package."""
    metadata = tmp_path / "somewhere-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: somewhere\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[fundingstream.feeds]\nmine = somewhere:FEED\n")
    (tmp_path / "somewhere.py").write_text(
        "from schemas.venues.backpack import FEED as OTHER\nFEED = OTHER._replace(name='mine')\n"
    )
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import schemas.feeds as f"
    shown = subprocess.run(
        [sys.executable, "-c", f"{program}; print(f.FEEDS)"], check=True, capture_output=True
    )
    assert shown.stdout.decode().strip() == str((*FEEDS, "mine"))


@given(st.permutations(FEEDS), st.integers(1, len(FEEDS)), st.integers(1, 8))
def test_shares_together_have_every_feed_once(
    feeds: list[str], number_of_feeds: int, shares: int
) -> None:
    """Each has one at least, and feeds that share limits are together."""
    feeds = feeds[:number_of_feeds]
    groups = limits_groups(feeds)
    shares = min(shares, len(groups))
    dealt = [shared_out(feeds, number, shares) for number in range(1, shares + 1)]
    assert sorted(feed for share in dealt for feed in share) == sorted(feeds)
    assert all(dealt)
    assert all(any(set(group) <= set(share) for share in dealt) for group in groups)


@pytest.mark.parametrize("shares", [2, 3, 4])
def test_no_share_of_all_feeds_has_much_more_to_do_than_another(shares: int) -> None:
    """By the rates that the exchanges push a second."""
    loads = [pushes_per_s(shared_out(FEEDS, n, shares)) for n in range(1, shares + 1)]
    assert max(loads) < 1.1 * min(loads)


def test_both_markets_of_binance_are_one_group() -> None:
    """All other feeds are alone."""
    groups = limits_groups(FEEDS)
    assert [group for group in groups if len(group) > 1] == [("binance-usdm", "binance-coinm")]
    assert [feed for group in groups for feed in group] == list(FEEDS)


@pytest.mark.parametrize("feed", FEEDS)
def test_the_facts_agree_with_the_description_and_the_simulator(feed: str) -> None:
    """On the group of its limits, and on how many contracts the exchange lists."""
    known = spec(feed)
    assert exchange(feed).limits_group == (known.limits_group or feed)
    assert SIMULATED[feed].perpetuals == known.perpetuals


@pytest.mark.parametrize(("number", "shares"), [(0, 3), (4, 3), (3, 3)])
def test_a_share_without_feeds_is_an_error(number: int, shares: int) -> None:
    """A process that streams nothing would look healthy."""
    with pytest.raises(ConfigurationError, match="share"):
        shared_out(("kucoin", "backpack"), number, shares)


def test_too_few_feeds_are_told_in_words() -> None:
    """Two markets that share their limits are one."""
    with pytest.raises(ConfigurationError, match=r"^1 feed is too few for 2 shares$"):
        shared_out(("kucoin",), 1, 2)
    with pytest.raises(ConfigurationError, match=r"^2 feeds with limits of their own are too few"):
        shared_out(("kucoin", "binance-usdm", "binance-coinm"), 3, 3)
