"""`sql`: the values of a statement's parameters, and what its errors mean."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError
from clickhouse_connect.driver.models import SettingDef
from urllib3.exceptions import IncompleteRead

from infra.clickhouse.query import TooMuchError, _Asked, _parameter, _reads_only, _refusal
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


SETTINGS = SinkSettings(clickhouse_username="desk")
READ = _Asked("SELECT 1", restricted=True)
INSERT = "INSERT INTO rates VALUES (1)"


@pytest.mark.parametrize("code", [158, 159, 241, 307, 396])
def test_what_is_too_much_for_the_server_is_told_so(code: int) -> None:
    """Whoever asked may ask for less."""
    error = _refusal(DatabaseError(f"Code: {code}. DB::Exception: no"), SETTINGS, READ)
    assert isinstance(error, TooMuchError)
    assert "ask for less" in str(error)


def test_an_answer_that_breaks_off_is_unavailable() -> None:
    """The driver raises urllib3's own error there, which is no OSError."""
    error = _refusal(IncompleteRead(1, 2), SETTINGS, READ)
    assert isinstance(error, UnavailableError)
    assert "broke off" in str(error)


@pytest.mark.parametrize(
    ("code", "asked", "told"),
    [
        (164, _Asked(INSERT, restricted=True), "add --write"),
        (497, _Asked(INSERT, restricted=True), "add --write"),
        (164, _Asked(INSERT, restricted=False), "does not let user 'desk'"),
        (497, _Asked(INSERT, restricted=False), "does not let user 'desk'"),
        (497, READ, "refuses user 'desk'"),
        (497, _Asked("SELECT 1", restricted=False), "refuses user 'desk'"),
    ],
)
def test_a_right_that_is_missing_is_told_by_what_was_asked(
    code: int, asked: _Asked, told: str
) -> None:
    """Only a statement that writes is helped by --write; what is lacking is named."""
    said = DatabaseError(f"Code: {code}. DB::Exception: it needs the grant X. (version 25.8)")
    error = _refusal(said, SETTINGS, asked)
    assert isinstance(error, ConfigurationError)
    assert told in str(error)
    assert ("add --write" in str(error)) == (told == "add --write")
    assert "it needs the grant X" in str(error)


def test_what_the_client_refuses_is_no_silent_server() -> None:
    """Nothing was sent: starting ClickHouse would not help."""
    error = _refusal(ProgrammingError("Setting x is readonly"), SETTINGS, READ)
    assert isinstance(error, ConfigurationError)
    assert str(error) == "Setting x is readonly"


@pytest.mark.parametrize(("value", "sent"), [("0", {"readonly": "2"}), ("1", {}), ("2", {})])
def test_who_reads_only_by_profile_is_not_told_so_again(value: str, sent: dict[str, str]) -> None:
    """ClickHouse's own profile `readonly` refuses every setting, this one too."""
    assert _reads_only({"readonly": SettingDef("readonly", value, 0)}) == sent
    assert _reads_only({}) == {"readonly": "2"}
