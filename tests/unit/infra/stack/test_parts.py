"""Which processes `up` starts, with which arguments, and which of them get a password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.embedded.clickhouse.access import WRITER_NAME, WRITER_VARIABLE, writer_credentials
from infra.stack.parts import StackOptions, producer_names, service
from stream_app.settings import SinkSettings


def env_of(options: StackOptions, name: str) -> dict[str, str]:
    """A part's environment."""
    env = service(options, name).env
    assert env is not None
    return dict(env)


@pytest.fixture(autouse=True)
def _no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WRITER_VARIABLE, raising=False)
    monkeypatch.delenv("FUNDING_CLICKHOUSE_USERNAME", raising=False)


def test_a_secret_is_made_for_those_who_need_it(tmp_path: Path) -> None:
    """The server and the sink have it in their environment, nobody on a command line."""
    options = StackOptions(data_dir=tmp_path)
    writer = options.clickhouse_writer()
    assert writer == writer_credentials(tmp_path / "clickhouse")
    assert writer is not None
    for name in ("broker", "registry", "clickhouse", "simulator", "worker", "sink", "producer"):
        part = service(options, name)
        assert writer.password not in " ".join(part.argv)
        told = writer.password in env_of(options, name).values()
        assert told == (name in {"clickhouse", "sink"}), name
    assert env_of(options, "sink")["FUNDING_CLICKHOUSE_USERNAME"] == WRITER_NAME


def test_a_password_of_the_environment_is_taken(tmp_path: Path) -> None:
    """Then there is no file."""
    options = StackOptions(data_dir=tmp_path, extra_env={WRITER_VARIABLE: "given"})
    assert env_of(options, "sink")[WRITER_VARIABLE] == "given"
    assert list(tmp_path.iterdir()) == []


def test_a_clickhouse_of_ones_own_keeps_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says goes to the sink as it is."""
    monkeypatch.setenv("FUNDING_CLICKHOUSE_USERNAME", "me")
    monkeypatch.setenv(WRITER_VARIABLE, "mine")
    options = StackOptions(data_dir=tmp_path, clickhouse_url="http://127.0.0.1:1")
    env = env_of(options, "sink")
    assert (env["FUNDING_CLICKHOUSE_USERNAME"], env[WRITER_VARIABLE]) == ("me", "mine")
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_server_is_in_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.env` for other servers may name one; a server of one's own may be in it."""
    monkeypatch.setenv("FUNDING_CLICKHOUSE_CLUSTER", "two")
    other = StackOptions(data_dir=tmp_path, clickhouse_url="http://ch:8123")
    assert StackOptions(data_dir=tmp_path).settings(SinkSettings).clickhouse_cluster == ""
    assert other.settings(SinkSettings).clickhouse_cluster == "two"


def test_several_producers_share_the_feeds(tmp_path: Path) -> None:
    """Each has its share, a name and a port; a single one has the part's plain name."""
    one = StackOptions(data_dir=tmp_path)
    assert producer_names(one) == ["producer"]
    three = replace(one, producers=3)
    assert producer_names(three) == ["producer-1", "producer-2", "producer-3"]
    started = [service(three, name) for name in producer_names(three)]
    assert [part.argv[-2:] for part in started] == [["--share", f"{k}/3"] for k in (1, 2, 3)]
    assert {part.argv[3] for part in started} == {"producer"}
    ports = [env_of(three, name)["FUNDING_PRODUCER_METRICS_PORT"] for name in producer_names(three)]
    assert ports[0] == str(three.ports.producer_metrics)
    assert len({*ports, str(three.ports.sink_metrics)}) == 4
