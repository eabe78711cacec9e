"""Workers of one data directory notice which of them have ended for good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from schemas.config.settings import load_settings
from schemas.process.locks import FileLock, is_locked
from stream_app.settings import WorkerSettings
from stream_app.worker.instance import Instance, claim_instance
from stream_app.worker.peers import SUCCESSOR_WITHIN_S, Member, Peers
from stream_app.worker.remove_members import RemoveMembersRequest
from tests.support.clock import ManualClock


def member(directory: Path, member_id: str, name: str = "") -> Instance:
    """A worker that has joined under an id."""
    settings = load_settings(WorkerSettings, worker_data_dir=str(directory), worker_instance=name)
    instance = claim_instance(settings, ManualClock(), members=dict, sleep=lambda _s: None)
    instance.remember(member_id)
    return instance


class Case:
    """A worker with two others, one of which has a name that was given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.own, self.other = member(directory, "own-id"), member(directory, "other-id")
        self.named = member(directory, "named-id", "given")
        self.clock = ManualClock()
        self.peers = Peers(self.own, self.clock)
        assert self.peers.dead() == []

    def dead_after(self, seconds: float) -> list[Member]:
        """Who is found dead so much later."""
        self.clock.advance(seconds)
        return self.peers.dead()


def test_who_has_ended_and_is_not_started_again_is_dead(tmp_path: Path) -> None:
    """After a while in which a successor would have come, and once."""
    case = Case(tmp_path)
    case.other.close()
    case.named.close()
    assert case.dead_after(0) == []
    assert case.dead_after(SUCCESSOR_WITHIN_S / 2) == []
    found = case.dead_after(SUCCESSOR_WITHIN_S)
    assert set(found) == {Member(case.other.name, "other-id"), Member("given", "named-id")}
    assert case.dead_after(60) == []


def test_a_successor_ends_the_wait(tmp_path: Path) -> None:
    """Its own end counts from the beginning, under the id that it has written."""
    case = Case(tmp_path)
    case.other.close()
    assert case.dead_after(SUCCESSOR_WITHIN_S / 2) == []
    again = member(tmp_path, "newer-id")
    assert again.name == case.other.name
    assert case.dead_after(60) == []
    again.close()
    assert case.dead_after(0) == []
    assert case.dead_after(SUCCESSOR_WITHIN_S) == [Member(again.name, "newer-id")]


def test_who_never_was_a_member_is_nobodys_loss(tmp_path: Path) -> None:
    """No id is known of it."""
    case = Case(tmp_path)
    settings = load_settings(WorkerSettings, worker_data_dir=str(tmp_path))
    claim_instance(settings, ManualClock(), members=dict, sleep=lambda _s: None).close()
    assert case.dead_after(0) == []
    assert case.dead_after(60) == []


def test_a_lock_is_held_until_its_process_ends(tmp_path: Path) -> None:
    """Asking does not take it."""
    path = tmp_path / "x.lock"
    assert not is_locked(path)
    assert not path.exists()
    code = (
        "import pathlib, sys; from schemas.process.locks import FileLock; "
        "lock = FileLock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert is_locked(path)
    assert is_locked(path)
    holder.kill()
    holder.communicate()
    assert not is_locked(path)
    FileLock(path).close()


def test_the_request_names_member_and_instance() -> None:
    """In the form of LeaveGroup version 3, which a broker refuses if the id is not the newest."""
    request = RemoveMembersRequest("group", [Member("host-2", "host-2-abc")])
    sent = request.prepare({13: (0, 5)})
    assert (sent.API_KEY, sent.API_VERSION) == (13, 3)
    member = b"\0\x0ahost-2-abc" + b"\0\x06host-2"
    assert sent.encode() == b"\0\x05group" + b"\0\0\0\x01" + member
