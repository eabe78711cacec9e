"""How an answer travels: what clients keep of it, and how it is compressed."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.support.clock import START_US, ManualClock
from tests.support.rest_scene import BTC, served, small_market, zscore

PATH = "/api/v1/contracts"


async def test_who_has_the_content_gets_304() -> None:
    """By its ETag, weak or strong or among others; another content has another one."""
    clock, fleet = ManualClock(), small_market()
    async with served(fleet, clock) as site:
        reply, body = await site.get(PATH)
        etag = reply.headers["ETag"]
        assert etag.startswith('W/"')
        assert reply.headers["Cache-Control"] == "private, no-cache"
        for known in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
            again, nothing = await site.get(PATH, headers={"If-None-Match": known})
            assert (again.status, nothing, again.headers["ETag"]) == (304, b"", etag), known
        for other in ('W/"x"', "nonsense", '"'):
            again, same = await site.get(PATH, headers={"If-None-Match": other})
            assert (again.status, same) == (200, body), other
        fleet.take_zscore(zscore(BTC, 9e-4, 9.0, event_time=START_US), START_US)
        clock.advance(1.5)
        again, other_body = await site.get(PATH, headers={"If-None-Match": etag})
        assert (again.status, other_body == body) == (200, False)


async def test_an_answer_is_given_for_a_second() -> None:
    """To all who ask the same, so that many clients cost what one does."""
    clock, fleet = ManualClock(), small_market()
    async with served(fleet, clock) as site:
        _, body = await site.get(PATH)
        fleet.take_zscore(zscore(BTC, 9e-4, 9.0, event_time=START_US), START_US)
        assert (await site.get(PATH))[1] == body
        assert (await site.json(f"{PATH}?limit=1"))["contracts"][0]["z"] == 9.0
        clock.advance(1.1)
        assert (await site.get(PATH))[1] != body


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("br", False)],
)
async def test_a_long_answer_is_compressed_for_who_accepts_it(
    accepted: str, *, coded: bool
) -> None:
    """With gzip, once for all; the ETag is the same."""
    async with served(small_market()) as site:
        headers = {"Accept-Encoding": accepted}
        async with site.session.get(f"{site.url}{PATH}", headers=headers) as reply:
            body = await reply.read()
            assert reply.headers.get("Content-Encoding") == ("gzip" if coded else None)
            assert "Accept-Encoding" in reply.headers["Vary"]
            assert len(json.loads(body)["contracts"]) == 5
            plain, _ = await site.get(PATH, headers={"Accept-Encoding": "identity"})
            assert plain.headers["ETag"] == reply.headers["ETag"]
            if coded:
                assert int(reply.headers["Content-Length"]) < len(body)


async def test_a_very_long_answer_is_compressed_as_well() -> None:
    """In a thread."""
    fleet = small_market()
    for number in range(400):
        fleet.take_zscore(zscore(f"kucoin:S{number}USDTM", 1e-4, number / 100), START_US)
    async with served(fleet) as site:
        reply, body = await site.get(PATH, headers={"Accept-Encoding": "gzip"})
        assert reply.headers["Content-Encoding"] == "gzip"
        assert len(body) > 1 << 16
        assert json.loads(body)["total"] == 405
        assert int(reply.headers["Content-Length"]) < len(gzip.compress(body, 1)) * 2


async def test_head_has_no_body() -> None:
    """And the headers of GET."""
    async with served(small_market()) as site:
        reply, body = await site.get(f"{PATH}/{BTC}", method="HEAD")
        got, _ = await site.get(f"{PATH}/{BTC}")
        assert (reply.status, body) == (200, b"")
        assert reply.headers["ETag"] == got.headers["ETag"]
        assert reply.headers["Content-Length"] == got.headers["Content-Length"]


async def test_a_refusal_is_not_kept() -> None:
    """By anybody."""
    async with served(small_market()) as site:
        reply, _ = await site.get(f"{PATH}?limit=x")
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
