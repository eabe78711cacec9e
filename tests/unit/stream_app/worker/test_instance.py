"""Who gets which name in the group, on one machine and after kill -9; no Kafka is needed for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config.settings import load_settings
from schemas.errors import ConfigurationError, UnavailableError
from stream_app.settings import INSTANCE_PATTERN, WorkerSettings
from stream_app.worker import instance as instances
from stream_app.worker.instance import Expulsions, claim_instance


@pytest.fixture(autouse=True)
def _nobody_in_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """test_worker_process.py asks a real group."""
    monkeypatch.setattr(instances, "static_members", lambda *_: {})


def settings(directory: Path, name: str = "") -> WorkerSettings:
    """Settings of a worker with this data directory."""
    return load_settings(WorkerSettings, worker_data_dir=str(directory), worker_instance=name)


def test_workers_of_one_directory_take_names_of_their_own(tmp_path: Path) -> None:
    """Without any setting; and who comes back takes the name that is free."""
    first = claim_instance(settings(tmp_path))
    second = claim_instance(settings(tmp_path))
    assert first.name.endswith("-1")
    assert second.name == f"{first.name[:-2]}-2"
    assert re.fullmatch(INSTANCE_PATTERN, first.name)
    first.close()
    again = claim_instance(settings(tmp_path))
    assert again.name == first.name


def test_directories_have_names_of_their_own(tmp_path: Path) -> None:
    """Two of one machine never meet in a group."""
    one, other = (claim_instance(settings(tmp_path / name)) for name in ("a", "b"))
    assert one.name != other.name


def test_a_given_name_is_one_workers(tmp_path: Path) -> None:
    """The second is told who has it, and can take another."""
    first = claim_instance(settings(tmp_path, "mine"))
    assert first.name == "mine"
    with pytest.raises(UnavailableError, match=rf"FUNDING_WORKER_INSTANCE=mine .*{os.getpid()}"):
        claim_instance(settings(tmp_path, "mine"))
    assert claim_instance(settings(tmp_path, "yours")).name == "yours"


@pytest.mark.parametrize("name", ["../x", "a b", "a/b", "-a", "x" * 101, "ä", "a\n"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    """It names files and stands in a URL."""
    with pytest.raises(ConfigurationError, match="FUNDING_WORKER_INSTANCE"):
        settings(tmp_path, name)


def test_a_dead_predecessor_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock says that it is dead, its member id that it is the one whom Kafka still lists."""
    first = claim_instance(settings(tmp_path, "mine"))
    first.remember("mine-1234")
    first.remember("mine-5678")
    first.close()
    monkeypatch.setattr(instances, "static_members", lambda *_: {"mine": "mine-5678"})
    monkeypatch.setattr(instances, "SESSION_S", 0.0)
    monkeypatch.setattr(instances, "SESSION_SLACK_S", 0.0)
    again = claim_instance(settings(tmp_path, "mine"))
    assert again.predecessor() == "mine-5678"
    again.close()
    monkeypatch.setattr(instances, "static_members", lambda *_: {"mine": "mine-9999"})
    with pytest.raises(UnavailableError, match="is alive in the group fundingstream"):
        claim_instance(settings(tmp_path, "mine"))


def test_a_name_of_the_directory_that_somebody_has_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copied data directory: its worker takes the next name."""
    first = claim_instance(settings(tmp_path))
    first.close()
    monkeypatch.setattr(instances, "static_members", lambda *_: {first.name: "of-another"})
    monkeypatch.setattr(instances, "SESSION_S", 0.0)
    monkeypatch.setattr(instances, "SESSION_SLACK_S", 0.0)
    assert claim_instance(settings(tmp_path)).name == f"{first.name[:-2]}-2"


@pytest.mark.parametrize("text", ["", "../x", "a b", "x" * 200])
def test_a_damaged_name_is_told(tmp_path: Path, text: str) -> None:
    """With what to do; no worker goes on under a name that is none."""
    (tmp_path / "name").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="remove it"):
        claim_instance(settings(tmp_path))


def test_two_that_take_turns_are_found_out() -> None:
    """The one that came last gives way first; the other stays."""
    old, young = Expulsions(0.0), Expulsions(1_000.0)
    assert not old.expelled(1.0, "o-0")
    assert not young.expelled(1_000.0, "y-0")
    ended = []
    for turn in range(1, 4):
        now_s = 1_000.0 + 3 * turn
        if old.expelled(now_s, f"o-{turn}"):
            ended.append("old")
        if young.expelled(now_s, f"y-{turn}"):
            ended.append("young")
            break
    assert ended == ["young"]


@given(st.lists(st.integers(61, 10_000), max_size=50))
def test_a_worker_that_is_cut_off_now_and_then_stays(gaps_s: list[int]) -> None:
    """Its session ends, it joins again under a new id: rarely, and that is no turn-taking."""
    expulsions, now_s = Expulsions(0.0), 0.0
    assert not expulsions.expelled(now_s, "first")
    for number, gap_s in enumerate(gaps_s):
        now_s += gap_s
        assert not expulsions.expelled(now_s, "")
        assert not expulsions.expelled(now_s, f"id-{number}")
