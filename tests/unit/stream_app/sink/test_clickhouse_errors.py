"""What the errors of ClickHouse mean, and how they are told."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from stream_app.sink.clickhouse_errors import Fault, classify, one_line


def test_an_error_is_one_line() -> None:
    """Servers' stack traces and clients' wrappers stay out of the log."""
    long = DatabaseError(
        "driver\n Code: 60. DB::Exception: Unknown table\n (version 1)" + "x" * 999
    )
    assert one_line(long) == "Code: 60. DB::Exception: Unknown table"
    assert one_line(OperationalError("Max… [Errno 111] Connection refused'))")) == (
        "Connection refused"
    )


def test_what_the_server_s_avro_library_refuses_is_in_the_rows() -> None:
    """Though servers may give it the number of any error within."""
    text = "Code: 1001. DB::Exception: std::exception. Code: 1001, type: avro::Exception, e.what()"
    assert classify(DatabaseError(text)) is Fault.REFUSED


@pytest.mark.parametrize("code", [225, 242, 244, 285, 286, 289, 319, 733, 999])
def test_replicas_that_are_away_are_no_fault_of_the_rows(code: int) -> None:
    """Without Keeper or a quorum a table takes nothing; rows are not looked through for it."""
    text = f"Received ClickHouse exception, code: {code}, server response: Code: {code}. x"
    assert classify(DatabaseError(text)) is Fault.TRANSIENT
