"""The description: what it says of every route, and that CSV has the columns of the rows."""

from __future__ import annotations

from stream_app.web.rest.answers import Contracts, Feeds, Gaps, Spreads
from stream_app.web.rest.openapi import columns
from stream_app.web.rest.rows import FIELDS
from tests.support.rest_scene import served_description

PATHS = {
    "/contracts", "/contracts/{contract_id}", "/contracts/{contract_id}/history",
    "/contracts/{contract_id}/raw", "/feeds", "/spreads", "/spreads/paid", "/alerts", "/gaps",
    "/sparklines", "/summary", "/openapi.json",
}  # fmt: skip


async def test_every_route_is_described() -> None:
    """With what it takes, and every status that it may have."""
    found = await served_description()
    assert found["openapi"] == "3.1.0"
    assert {path.removeprefix("/api/v1") for path in found["paths"]} == PATHS
    for path, operations in found["paths"].items():
        assert list(operations) == ["get"]
        operation = operations["get"]
        always = {"200", "304", "400", "401", "403", "405", "413", "429", "503"}
        assert always <= set(operation["responses"]), path
        assert ("404" in operation["responses"]) == ("contract" in path or "paid" in path) or (
            path.endswith("/contracts")
        )
        assert all(each["description"] for each in operation["parameters"])
    ids = [operations["get"]["operationId"] for operations in found["paths"].values()]
    assert len(set(ids)) == len(ids)


async def test_every_reference_leads_somewhere() -> None:
    """And every schema is used."""
    found = await served_description()
    text = str(found)
    for name in found["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in text
    assert text.count("$ref") > 20


def test_csv_has_the_columns_of_the_rows() -> None:
    """Objects within a row become columns of their own."""
    assert tuple(columns(Contracts, "contracts")) == FIELDS
    assert columns(Spreads, "spreads")[:5] == [
        "base", "gap_8h", "gap_apr", "high_contract_id", "high_feed",
    ]  # fmt: skip
    assert "since_iso" in columns(Feeds, "feeds")
    assert columns(Gaps, "gaps")[0] == "feed"
