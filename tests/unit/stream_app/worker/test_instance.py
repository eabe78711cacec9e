"""Which name in the group a worker takes, on one machine and after kill -9, without Kafka."""

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
from stream_app.worker.instance import SESSION_S, Expulsions, Instance, claim_instance
from tests.support.clock import ManualClock


def settings(directory: Path, name: str = "") -> WorkerSettings:
    """Settings of a worker with this data directory."""
    return load_settings(WorkerSettings, worker_data_dir=str(directory), worker_instance=name)


def claimed(directory: Path, name: str = "", **members: str) -> Instance:
    """A claim in a group of these members (name to member id), who all live on."""
    clock = ManualClock()
    return claim_instance(
        settings(directory, name), clock, members=lambda: members, sleep=clock.sleep
    )


def test_workers_of_one_directory_take_names_of_their_own(tmp_path: Path) -> None:
    """Without any setting; and who comes back takes the name that is free."""
    first = claimed(tmp_path)
    second = claimed(tmp_path)
    assert first.name.endswith("-1")
    assert second.name == f"{first.name[:-2]}-2"
    assert re.fullmatch(INSTANCE_PATTERN, first.name)
    first.close()
    again = claimed(tmp_path)
    assert again.name == first.name


def test_directories_have_names_of_their_own(tmp_path: Path) -> None:
    """Two of one machine never meet in a group."""
    one, other = (claimed(tmp_path / name) for name in ("a", "b"))
    assert one.name != other.name


def test_a_given_name_is_one_workers(tmp_path: Path) -> None:
    """The second is told who has it, and can take another."""
    first = claimed(tmp_path, "mine")
    assert first.name == "mine"
    with pytest.raises(UnavailableError, match=rf"FUNDING_WORKER_INSTANCE=mine .*{os.getpid()}"):
        claimed(tmp_path, "mine")
    assert claimed(tmp_path, "yours").name == "yours"


@pytest.mark.parametrize("name", ["../x", "a b", "a/b", "-a", "x" * 101, "ä", "a\n"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    """It names files and stands in a URL."""
    with pytest.raises(ConfigurationError, match="FUNDING_WORKER_INSTANCE"):
        settings(tmp_path, name)


def test_a_dead_predecessor_is_not_waited_for(tmp_path: Path) -> None:
    """The lock says that it is dead, its member id that it is the one whom Kafka still lists."""
    first = claimed(tmp_path, "mine")
    first.remember("mine-1234")
    first.remember("mine-5678")
    first.close()
    again = claimed(tmp_path, "mine", mine="mine-5678")
    assert again.predecessor() == "mine-5678"
    again.close()
    with pytest.raises(UnavailableError, match="is alive in the group fundingstream"):
        claimed(tmp_path, "mine", mine="mine-9999")


def test_a_member_that_ends_within_its_session_leaves_its_name(tmp_path: Path) -> None:
    """The group lists a dead member until its session ends; then the name is free."""
    clock = ManualClock()
    until_s = clock.monotonic_s() + SESSION_S
    waited = claim_instance(
        settings(tmp_path, "mine"),
        clock,
        members=lambda: {"mine": "of-another"} if clock.monotonic_s() < until_s else {},
        sleep=clock.sleep,
    )
    assert waited.name == "mine"
    assert clock.monotonic_s() == until_s


def test_a_name_of_the_directory_that_somebody_has_is_passed_over(tmp_path: Path) -> None:
    """A copied data directory: its worker takes the next name."""
    first = claimed(tmp_path)
    first.close()
    assert claimed(tmp_path, **{first.name: "of-another"}).name == f"{first.name[:-2]}-2"


@pytest.mark.parametrize("text", ["", "../x", "a b", "x" * 200])
def test_a_damaged_name_is_told(tmp_path: Path, text: str) -> None:
    """With what to do; no worker goes on under a name that is none."""
    (tmp_path / "name").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="remove it"):
        claimed(tmp_path)


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


@pytest.mark.parametrize(("pause_s", "gives_way"), [(12.0, False), (1.0, True)])
def test_a_worker_that_was_stopped_again_and_again_stays(
    pause_s: float, *, gives_way: bool
) -> None:
    """Each time its session ends and it joins under a new id, without anybody else's doing."""
    now_s = 1_000.0
    expulsions = Expulsions(now_s)
    found = []
    for turn in range(3):
        for _ in range(4):
            now_s += 0.5
            found.append(expulsions.expelled(now_s, f"id-{turn}"))
        now_s += pause_s
    assert any(found) == gives_way


@given(st.lists(st.integers(61, 10_000), max_size=50))
def test_a_worker_that_is_cut_off_now_and_then_stays(gaps_s: list[int]) -> None:
    """Its session ends, it joins again under a new id: rarely, and that is no turn-taking."""
    expulsions, now_s = Expulsions(0.0), 0.0
    assert not expulsions.expelled(now_s, "first")
    for number, gap_s in enumerate(gaps_s):
        now_s += gap_s
        assert not expulsions.expelled(now_s, "")
        assert not expulsions.expelled(now_s, f"id-{number}")
