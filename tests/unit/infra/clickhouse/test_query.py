"""`sql`: the values of a statement's parameters."""

from __future__ import annotations

import pytest

from infra.clickhouse.query import _parameter
from schemas.errors import ConfigurationError

QUERY = "SELECT {contract:String}, { limit : UInt8 }"


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ("contract=a:b=c", ("contract", "a:b=c")),
        ("contract=", ("contract", "")),
        ("limit=5", ("limit", "5")),
    ],
)
def test_a_value_goes_to_the_place_of_its_name(given: str, bound: tuple[str, str]) -> None:
    """The first `=` ends the name; blanks in the braces do not count."""
    assert _parameter(given, QUERY) == bound


@pytest.mark.parametrize("given", ["contract", "=5", "1x=5", "a b=1", "other=1", "Contract=1"])
def test_a_value_without_a_place_is_refused(given: str) -> None:
    """The client would put it into the text otherwise."""
    with pytest.raises(ConfigurationError, match="-p "):
        _parameter(given, QUERY)
