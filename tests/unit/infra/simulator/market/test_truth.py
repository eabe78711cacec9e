"""The truth files: each update once, each settlement once, nothing half written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.simulator.market.truth import TickLedger, TruthLog, head
from schemas.errors import ConfigurationError, StateError, UnavailableError


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_update_is_claimed_by_its_first_send_only() -> None:
    """Two clients of one tick leave one line per contract."""
    ledger = TickLedger([head("f", "A"), head("f", "B")], [1_000, 2_000], ["0.1", "-0.2"])
    assert len(ledger.claim([0], 5)) == 1
    claimed = ledger.claim([0, 1], 6)
    assert [json.loads(line) for line in claimed] == [
        {"contract_id": "f:B", "event_time": 2_000, "sent_at": 6, "rate": -0.2}
    ]
    assert ledger.claim([0, 1], 7) == []


def test_rows_without_a_rate_and_foreign_rows_are_not_truth() -> None:
    """Dated contracts have no rate; rows of another feed are not this feed's contracts."""
    ledger = TickLedger([head("f", "A"), None], [1, 1], [None, "0.1"])
    assert ledger.claim([0, 1], 5) == []


def test_a_non_ascii_symbol_is_written_as_utf8(tmp_path: Path) -> None:
    """The contract id is the exchange's own spelling."""
    with TruthLog(tmp_path, seed=1) as truth:
        ledger = TickLedger([head("f", "币安人生USDT")], [1], ["0.00000001"])
        truth.updates("f", ledger.claim([0], 2))
    raw = (tmp_path / "truth" / "f.ndjson").read_bytes()
    assert "币安人生USDT".encode() in raw
    assert lines(tmp_path / "truth" / "f.ndjson")[0]["rate"] == 1e-8


def test_without_updates_the_settlements_are_written(tmp_path: Path) -> None:
    """A simulator that runs for days does not fill the disk."""
    with TruthLog(tmp_path, seed=1, with_updates=False) as truth:
        ledger = TickLedger([head("f", "A")], [1], ["0.1"])
        truth.updates("f", ledger.claim([0], 2))
        truth.missed("f", ["{}\n"])
        truth.settlement("f:A", 10, "0.1", 8)
    assert [file.name for file in (tmp_path / "truth").glob("*.ndjson") if file.stat().st_size] == [
        "settlements.ndjson"
    ]


def test_settlements_are_not_repeated_after_a_restart(tmp_path: Path) -> None:
    """A second run appends only what the first has not written."""
    for funding_times in ([10, 20], [10, 20, 30], [30]):
        with TruthLog(tmp_path, seed=1) as truth:
            for funding_us in funding_times:
                truth.settlement("f:A", funding_us, "0.00010000", 8)
    written = lines(tmp_path / "truth" / "settlements.ndjson")
    assert [row["funding_time"] for row in written] == [10, 20, 30]
    assert set(written[0]) == {"contract_id", "funding_time", "rate", "interval_hours", "kind"}


def test_a_special_settlement_is_written_beside_the_regular_one(tmp_path: Path) -> None:
    """With its kind; a restart takes the regular ones alone for what it has written."""
    with TruthLog(tmp_path, seed=1) as truth:
        truth.settlement("f:A", 10, "0.1", 8)
        truth.settlement("f:A", 10, "-0.2", 8, special=True)
    path = tmp_path / "truth" / "settlements.ndjson"
    with path.open("a", encoding="utf-8") as file:
        file.write('{"contract_id":"f:A","funding_time":20,"rate":1,"interval_hours":8}\n')
    with TruthLog(tmp_path, seed=1) as truth:
        for funding_us in (10, 20, 30):
            truth.settlement("f:A", funding_us, "0.1", 8)
    written = [(row["funding_time"], row.get("kind")) for row in lines(path)]
    assert written == [(10, "regular"), (10, "special"), (20, None), (30, "regular")]


@pytest.mark.parametrize("torn", ['{"contract_id":"f:A","fund', "x" * 10_000])
def test_a_torn_last_line_is_cut_and_written_again(tmp_path: Path, torn: str) -> None:
    """A killed simulator leaves half a line; its successor leaves none."""
    with TruthLog(tmp_path, seed=1) as truth:
        truth.settlement("f:A", 10, "0.1", 8)
    path = tmp_path / "truth" / "settlements.ndjson"
    with path.open("a", encoding="utf-8") as file:
        file.write(torn)
    with TruthLog(tmp_path, seed=1) as truth:
        truth.settlement("f:A", 10, "0.1", 8)
        truth.settlement("f:A", 20, "0.2", 8)
    assert [row["funding_time"] for row in lines(path)] == [10, 20]


def test_flush_makes_lines_visible_while_running(tmp_path: Path) -> None:
    """Readers need not wait for the end."""
    with TruthLog(tmp_path, seed=1) as truth:
        truth.updates("f", ["{}\n"])
        truth.flush()
        assert len(lines(tmp_path / "truth" / "f.ndjson")) == 1


def test_another_seed_is_refused(tmp_path: Path) -> None:
    """Two histories in one truth would prove nothing."""
    TruthLog(tmp_path, seed=1).close()
    with pytest.raises(ConfigurationError, match="seed 1, not 2"):
        TruthLog(tmp_path, seed=2)


def test_an_unusable_directory_is_a_typed_error(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "truth").write_text("")
    with pytest.raises(UnavailableError, match="cannot write the truth"):
        TruthLog(tmp_path, seed=1)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Two simulators in one directory would repeat settlements."""
    with (
        TruthLog(tmp_path, seed=1),
        pytest.raises(UnavailableError, match="another simulator"),
    ):
        TruthLog(tmp_path, seed=1)
    TruthLog(tmp_path, seed=1).close()


def test_a_damaged_file_is_a_typed_error(tmp_path: Path) -> None:
    """A truth that cannot be read is not silently extended."""
    TruthLog(tmp_path, seed=1).close()
    (tmp_path / "truth" / "settlements.ndjson").write_text("not json\n")
    with pytest.raises(StateError, match="damaged"):
        TruthLog(tmp_path, seed=1)
