"""A repeated insert is stored once, whatever the profile of the user says about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.clock import now_us
from schemas.serde.codec import HEADER_BYTES, Encoder
from stream_app.sink.avro_container import container, container_header
from stream_app.sink.clickhouse import connect, insert_settings
from stream_app.sink.clickhouse_errors import REFUSED_CODES, TRANSIENT_CODES, Fault, classify
from stream_app.sink.tables import TABLES
from tests.support.sink_stack import ClickHouseServer, rate

pytestmark = pytest.mark.integration

RATES = next(table for table in TABLES if table.name == "rates")
PROFILE = {
    "deduplicate_insert": "disable",
    "insert_deduplicate": "0",
    "async_insert": "1",
    "wait_for_async_insert": "0",
}
FIXED = "max_insert_block_size"
# The embedded server with a profile that turns off what the sink needs.
SERVER = f"""
from infra.embedded.clickhouse import roles
given = "".join(f"<{{name}}>{{value}}</{{name}}>" for name, value in {PROFILE}.items())
given += "<constraints><{FIXED}><const/></{FIXED}></constraints>"
plain = roles.users_xml
roles.users_xml = lambda: plain().replace("<default>", f"<default>{{given}}", 1)
from infra.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def unwilling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A server whose users have such a profile."""
    clickhouse = ClickHouseServer(tmp_path_factory.mktemp("unwilling"))
    clickhouse.start(SERVER)
    clickhouse.empty()
    yield clickhouse
    clickhouse.stop()


def stored_of_two(clickhouse: ClickHouseServer, settings: dict[str, str], token: str) -> int:
    """Insert two different rows under one token; return how many rows are stored."""
    clickhouse.rows("TRUNCATE TABLE funding.rates")
    encoder, header = Encoder(RATES.record_type, 1), container_header(RATES.record_type.text)
    client = connect(clickhouse.settings)
    for number in range(2):
        client.raw_insert(
            RATES.full_name, list(RATES.record_type.fields),
            container(header, [encoder.encode(rate(number, event_time=now_us()))[HEADER_BYTES:]]),
            fmt="Avro", settings={**settings, "insert_deduplication_token": token},
        )  # fmt: skip
    client.close()
    ((count,),) = clickhouse.rows("SELECT count() FROM funding.rates")
    return int(count)


def test_the_sink_s_settings_win_over_a_profile_that_turns_tokens_off(
    unwilling: ClickHouseServer,
) -> None:
    """Since ClickHouse 26.2 there is a setting that the older one does not overrule."""
    client = connect(unwilling.settings)
    for name, value in PROFILE.items():
        assert client.server_settings[name].value == value
    sent = insert_settings(client)
    client.close()
    assert stored_of_two(unwilling, sent, "sent") == 1
    older = {name: value for name, value in sent.items() if name != "deduplicate_insert"}
    assert stored_of_two(unwilling, older, "older") == 2


def test_a_server_that_does_not_know_a_setting_says_so(unwilling: ClickHouseServer) -> None:
    """That is why it is asked first; rows are not blamed for it."""
    with pytest.raises(DatabaseError) as refused:
        stored_of_two(unwilling, {"setting_of_a_later_version": "1"}, "unknown")
    assert classify(refused.value) is Fault.TRANSIENT


def test_a_setting_that_the_profile_fixes_is_refused_by_the_server(
    unwilling: ClickHouseServer,
) -> None:
    """With its number, so that the sink says what to do; the driver's own refusal has none."""
    with pytest.raises(DatabaseError) as refused:
        stored_of_two(unwilling, {FIXED: "7"}, "fixed")
    assert classify(refused.value) is Fault.DENIED


@pytest.mark.parametrize("raw", ["0", "1"])
def test_times_are_microseconds_however_a_server_reads_numbers(
    unwilling: ClickHouseServer, raw: str
) -> None:
    """ClickHouse 26.8 changed how numbers in text become DateTime64; Avro says its unit itself."""
    time_us = now_us() // 1_000_000 * 1_000_000 + 654_321
    client = connect(unwilling.settings)
    unwilling.rows("TRUNCATE TABLE funding.rates")
    body = Encoder(RATES.record_type, 1).encode(rate(1, event_time=time_us))[HEADER_BYTES:]
    client.raw_insert(
        RATES.full_name, list(RATES.record_type.fields),
        container(container_header(RATES.record_type.text), [body]), fmt="Avro",
        settings={
            **insert_settings(client), "input_format_read_datetime_number_as_raw_value": raw,
        },
    )  # fmt: skip
    client.close()
    found = unwilling.rows("SELECT toUnixTimestamp64Micro(event_time) FROM funding.rates")
    assert found == [(time_us,)]


def test_the_codes_of_errors_are_those_of_the_engine(clickhouse: ClickHouseServer) -> None:
    """A number that is mistyped would call an outage a fault of the rows, or the reverse."""
    codes = REFUSED_CODES | TRANSIENT_CODES
    named = clickhouse.rows(
        f"SELECT c, errorCodeToName(c) FROM (SELECT arrayJoin({[*codes]}) AS c)"
    )
    assert dict(named) == codes
