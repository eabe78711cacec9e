"""docs/benchmarks.md and the file of results that it is made of."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.report import BENCHMARKS, PRINTED, main, render
from benchmarks.results import PAGE, RESULTS, Entry, load, machine, save
from schemas.errors import ConfigurationError

UNWANTED = re.compile(r"/(?:home|root|tmp|work|usr|var)/|https?://|@")


def test_the_page_is_what_the_results_make_of_it() -> None:
    """After each change of either: `python -m benchmarks report`."""
    assert PAGE.read_text(encoding="utf-8") == render(load())
    assert main(["--check"]) == 0


def test_the_results_name_no_host_and_no_path() -> None:
    """They are published."""
    text = RESULTS.read_text(encoding="utf-8")
    assert UNWANTED.search(text) is None
    assert socket.gethostname() not in text


def test_every_result_is_of_a_known_benchmark() -> None:
    """A result of another name would never be shown."""
    assert set(load()) <= {*BENCHMARKS, *PRINTED}


def test_the_machine_is_described_without_its_name() -> None:
    """By what figures depend on."""
    facts = machine()
    assert facts["cores"] > 0
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["kafka"])
    assert set(facts["libraries"]) == set(results.LIBRARIES)
    assert socket.gethostname() not in str(facts)


def test_a_result_replaces_the_one_before_and_keeps_its_remarks(tmp_path: Path) -> None:
    """The others stay as they are."""
    path = tmp_path / "results.json"
    save("faults", Entry("2026-01-02", printed="old", remarks=["It rained."]), path)
    save("calls", Entry("2026-01-03", printed="calls"), path)
    save("faults", Entry("2026-01-04", "a command", printed="new"), path)
    found = load(path)
    assert list(found) == ["calls", "faults"]
    assert found["faults"] == Entry(
        "2026-01-04", "a command", printed="new", remarks=["It rained."]
    )
    page = render(found)
    assert page.index("It rained.") < page.index("new") < page.index("\ncalls\n")
    assert "`a command`, 2026-01-04." in page


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """It would be overwritten otherwise."""
    path = tmp_path / "results.json"
    path.write_text('{"faults": 3}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"results\.json cannot be read"):
        load(path)
    assert load(tmp_path / "none.json") == {}


def test_aims_stand_first_and_paragraphs_are_broken_but_tables_are_not() -> None:
    """What is missed is said at the top."""
    runs = [{"updates": 9, "updates_s": 150_000.0, "cpu_us": 11.0, "complete": True}]
    figures = {"sizes": {"63": {"fundingstream": runs}}, "quixstreams": None, "seconds": 5.0}
    entry = Entry("2026-01-02", "c", machine(), figures, remarks=["word " * 40])
    lines = render({"throughput": entry}).splitlines()
    assert lines.index("## Aims") < lines.index("## One worker beside others: throughput")
    (aim,) = (line for line in lines if line.startswith("| 63 contracts a record"))
    assert aim.endswith("| 150,000/s, 11.0 µs | **missed** |")
    assert max(len(line) for line in lines if not line.startswith("|")) <= 110


def test_what_is_aligned_by_spaces_is_shown_as_it_was_printed() -> None:
    """A benchmark may print columns that are no Markdown."""
    printed = "kind    lost\nkill       0"
    page = render({"disturbances": Entry("2026-01-02", printed=f"A word.\n\n{printed}")})
    assert page.endswith(f"A word.\n\n```\n{printed}\n```\n")
