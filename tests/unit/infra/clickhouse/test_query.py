"""`sql`: the values of a statement's parameters, and what its errors mean."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from urllib3.exceptions import IncompleteRead

from infra.clickhouse.query import TooMuchError, _parameter, _refusal
from schemas.errors import ConfigurationError, UnavailableError
from stream_app.settings import SinkSettings

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


SETTINGS = SinkSettings()


@pytest.mark.parametrize("code", [158, 159, 241, 307, 396])
def test_what_is_too_much_for_the_server_is_told_so(code: int) -> None:
    """Whoever asked may ask for less."""
    error = _refusal(DatabaseError(f"Code: {code}. DB::Exception: no"), SETTINGS, write=False)
    assert isinstance(error, TooMuchError)
    assert "ask for less" in str(error)


def test_an_answer_that_breaks_off_is_unavailable() -> None:
    """The driver raises urllib3's own error there, which is no OSError."""
    error = _refusal(IncompleteRead(1, 2), SETTINGS, write=False)
    assert isinstance(error, UnavailableError)
    assert "broke off" in str(error)
