"""`python -m benchmarks`: every benchmark can be asked what it is, and says what is wrong."""

from __future__ import annotations

from importlib import import_module

import pytest

from benchmarks.__main__ import BENCHMARKS, COMMANDS, main
from benchmarks.report import PRINTED
from benchmarks.scale import aims as scale_aims
from benchmarks.scale import text as scale_text


@pytest.mark.parametrize("name", [*BENCHMARKS, *COMMANDS, "report"])
def test_every_benchmark_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with exit code 0 and starts nothing."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out


def test_the_overview_names_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    """And so does the answer to a name that is none."""
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(f"  {name} " in overview for name in (*BENCHMARKS, *COMMANDS, "report", "all"))
    assert main(["speed"]) == 2
    assert "unknown benchmark speed" in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_bounded(name: str) -> None:
    """Whatever happens it ends."""
    assert 0 < import_module(f"benchmarks.{name}").BOUND_S <= 1_800


def test_every_command_has_a_section_of_its_own() -> None:
    """What it prints can be kept."""
    assert set(COMMANDS) <= set(PRINTED)


def test_cost_is_compared_between_the_fewest_and_the_most_contracts() -> None:
    """Memory by what each further contract adds."""
    figures = {
        "contracts": {
            "1000": {
                "updates": 9, "thread_us": 8.0, "process_us": 10.0, "loaded_bytes": 9_000,
                "bytes": 9_500, "grown_mb": 20,
            },
            "5000": {
                "updates": 9, "thread_us": 10.0, "process_us": 12.0, "loaded_bytes": 8_000,
                "bytes": 8_500, "grown_mb": 60,
            },
        }
    }  # fmt: skip
    table = scale_text(figures)
    assert "| 5,000 | 10.0 (12.0) | 8,000 | 8,500 | 60 | 9 |" in table
    assert "From 1,000 to 5,000: 10,486 bytes for each further contract." in table
    (aim,) = scale_aims(figures)
    assert (aim.measured, aim.met) == ("1.25 ×, 60 MB", True)
