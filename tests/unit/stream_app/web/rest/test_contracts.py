"""`/api/v1/contracts`: which contracts, in which order, with which fields."""

from __future__ import annotations

import csv
import io
import math

import pytest

from stream_app.web.rest.rows import FIELDS, SORTS, row
from tests.support.clock import START_US
from tests.support.fleet_records import contract_facts
from tests.support.rest_scene import BTC, COIN, ETH, HYPER, NEW, served, small_market, zscore

PATH = "/api/v1/contracts"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [ETH, BTC, HYPER, COIN, NEW]),
        ("feed=binance-usdm", [ETH, BTC]),
        ("feed=kucoin,backpack", [COIN, NEW]),
        ("base=BTC", [BTC, HYPER, COIN]),
        ("base=BTC,ETH&quote=USDT", [ETH, BTC, COIN]),
        ("zone=high", [ETH, BTC]),
        ("zone=unrated,normal", [HYPER, COIN, NEW]),
        ("interval_hours=1", [HYPER]),
        ("interval_hours=8,1.0&confidence=none", [NEW]),
        ("min_abs_z=1", [ETH, BTC, HYPER]),
        ("min_abs_z=0", [ETH, BTC, HYPER, COIN]),
        ("q=btc", [BTC, HYPER, COIN]),
        ("q=KUCOIN", [COIN]),
        (f"contract_id={COIN},{BTC},kucoin:NONE", [BTC, COIN]),
        ("feed=backpack&zone=high", []),
        ("sort=z", [ETH, HYPER, COIN, BTC, NEW]),
        ("sort=-z", [BTC, COIN, HYPER, ETH, NEW]),
        ("sort=abs_z", [COIN, HYPER, BTC, ETH, NEW]),
        ("sort=contract_id", [NEW, BTC, ETH, HYPER, COIN]),
        ("sort=-rate_8h", [BTC, NEW, COIN, HYPER, ETH]),
        ("sort=-interval_hours", [NEW, BTC, ETH, COIN, HYPER]),
        ("limit=2", [ETH, BTC]),
        ("limit=2&offset=3", [COIN, NEW]),
        ("offset=5", []),
    ],
)
async def test_contracts_are_filtered_sorted_and_cut(query: str, expected: list[str]) -> None:
    """Those without a value are last either way, equal ones in the order of their ids."""
    async with served(small_market()) as site:
        found = await site.json(f"{PATH}?{query}")
    assert [each["contract_id"] for each in found["contracts"]] == expected
    if "limit" not in query and "offset" not in query:
        assert found["total"] == len(expected)


async def test_contracts_are_filtered_by_what_is_traded() -> None:
    """One whose turnover is not known is traded for nothing that counts."""
    fleet = small_market()
    for contract_id, turnover in ((BTC, 2e6), (ETH, 5e5), (COIN, None)):
        fleet.take_contract(b"", contract_facts(contract_id, turnover_24h=turnover))
    async with served(fleet) as site:
        found = await site.json(f"{PATH}?min_turnover_24h=5e5")
        (row_of,) = (await site.json(f"{PATH}?min_turnover_24h=1e6"))["contracts"]
    assert [each["contract_id"] for each in found["contracts"]] == [ETH, BTC]
    assert (row_of["turnover_24h"], row_of["open_interest"]) == (2e6, 3e5)
    assert (row_of["rate_kind"], row_of["multiplier"]) == ("estimate", 1.0)


async def test_a_turnover_of_nothing_is_known() -> None:
    """Asked for at least 0, a contract of which nothing was traded is there."""
    fleet = small_market()
    fleet.take_contract(b"", contract_facts(BTC, turnover_24h=0.0))
    fleet.take_contract(b"", contract_facts(ETH, turnover_24h=None))
    async with served(fleet) as site:
        found = await site.json(f"{PATH}?min_turnover_24h=0")
    assert [each["contract_id"] for each in found["contracts"]] == [BTC]


async def test_a_page_says_how_many_there_are() -> None:
    """On all pages together."""
    async with served(small_market()) as site:
        found = await site.json(f"{PATH}?limit=2&offset=3&sort=z")
    assert (found["total"], found["limit"], found["offset"]) == (5, 2, 3)


async def test_a_contract_has_every_field() -> None:
    """Alone as in the list: numbers as numbers, times as µs and as text."""
    async with served(small_market()) as site:
        one = await site.json(f"{PATH}/{BTC}")
        (listed,) = (await site.json(f"{PATH}?contract_id={BTC}"))["contracts"]
    assert one == listed
    assert tuple(one) == FIELDS
    assert one["rate"] == 3e-4
    assert one["apr"] == pytest.approx(0.3285)
    assert one["quote"] == "USDT"
    assert one["interval_doubtful"] is False
    assert one["event_time"] == START_US - 1_000_000
    assert one["event_time_iso"] == "2026-09-21T14:13:19.000000Z"
    assert one["published_at"] == START_US - 1_000_000 + 400
    assert one["published_at_iso"] == "2026-09-21T14:13:19.000400Z"


async def test_only_the_fields_that_are_asked_for_are_there() -> None:
    """In their order; what is sorted by need not be among them."""
    async with served(small_market()) as site:
        found = await site.json(f"{PATH}?fields=z,contract_id&sort=-mean&limit=1")
        assert found["contracts"] == [{"z": 2.5, "contract_id": BTC}]
        _, body = await site.get(f"{PATH}?fields=z,contract_id&limit=2&format=csv")
    assert body.decode() == f"z,contract_id\r\n-3.5,{ETH}\r\n2.5,{BTC}\r\n"


@pytest.mark.parametrize("sort", SORTS)
async def test_every_sort_puts_all_contracts_in_order(sort: str) -> None:
    """Each once, whatever is missing or no number."""
    fleet = small_market()
    fleet.take_zscore(zscore("kucoin:ODDUSDTM", math.nan, math.nan), START_US)
    async with served(fleet) as site:
        found = (await site.json(f"{PATH}?sort={sort}"))["contracts"]
    assert sorted(each["contract_id"] for each in found) == sorted(fleet.contracts)
    name = sort.removeprefix("-")
    if name != "abs_z":
        values = [each[name] for each in found]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=sort.startswith("-"))
        assert values[len(known) :] == [None] * (len(values) - len(known))


async def test_numbers_that_are_none_are_null() -> None:
    """JSON has no others."""
    fleet = small_market()
    fleet.take_zscore(zscore("kucoin:ODDUSDTM", math.inf, math.nan), START_US)
    async with served(fleet) as site:
        found = await site.json(f"{PATH}/kucoin:ODDUSDTM")
    assert (found["rate"], found["z"]) == (None, None)


async def test_csv_has_the_same_rows() -> None:
    """By the parameter, or by what the client accepts most; the parameter goes first."""
    async with served(small_market()) as site:
        rows = (await site.json(PATH))["contracts"]
        reply, body = await site.get(PATH, headers={"Accept": "text/csv"})
        assert reply.content_type == "text/csv"
        asked, same = await site.get(f"{PATH}?format=csv")
        assert (asked.content_type, same) == ("text/csv", body)
        for accept in ("application/json, text/csv;q=0.9", "*/*", "text/csv;q=x", "text/html"):
            reply, _ = await site.get(PATH, headers={"Accept": accept})
            assert reply.content_type == "application/json", accept
        reply, _ = await site.get(f"{PATH}?format=json", headers={"Accept": "text/csv"})
        assert reply.content_type == "application/json"
    table = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert [each["contract_id"] for each in table] == [each["contract_id"] for each in rows]
    assert [float(each["rate"]) for each in table] == [each["rate"] for each in rows]
    assert table[4]["z"] == ""


def test_every_field_has_a_value() -> None:
    """Of the type that the description says: msgspec reads it back."""
    contract = small_market().contracts[BTC]
    assert set(row(contract)) == set(FIELDS)
