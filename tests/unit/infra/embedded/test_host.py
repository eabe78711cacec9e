"""Ports, data directories, the broker's configuration and the guard against web pages."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from infra.embedded.kafka.configuration import (
    Listeners,
    cluster_id,
    properties_text,
    server_properties,
)
from infra.embedded.ports import free_port, port_holder, require_free_port
from infra.embedded.storage import DataDirectory
from infra.embedded.supervision.supervisor import RestartPolicy
from schemas.errors import ConfigurationError, UnavailableError
from schemas.http.browser_guard import is_loopback, refusal


def test_a_free_port_can_be_used() -> None:
    """And is said to be free."""
    port = free_port()
    require_free_port(port, "a test", "--port")
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_busy_port_names_its_holder(address: str) -> None:
    """Port, process, and what to change; a listener on all addresses counts."""
    with socket.create_server((address, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UnavailableError) as busy:
            require_free_port(port, "the test server", "--test-port")
        message = str(busy.value)
        assert f"port {port} for the test server" in message
        assert f"pid {os.getpid()}" in message
        assert "--test-port" in message
        assert "\n" not in message
    assert port_holder(port) is None


def test_impossible_ports_and_hosts_are_configuration_errors() -> None:
    """Waiting would not help."""
    with pytest.raises(ConfigurationError, match="not a port"):
        require_free_port(70_000, "a test", "--port")
    with pytest.raises(ConfigurationError, match="cannot listen"):
        require_free_port(free_port(), "a test", "--port", "192.0.2.1")


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    """The second is told who; after the first has closed it is free."""
    with (
        DataDirectory(tmp_path / "a" / "b", "the test", "--dir") as first,
        pytest.raises(UnavailableError, match=rf"pid {os.getpid()}.*--dir"),
    ):
        DataDirectory(first.path, "the test", "--dir")
    DataDirectory(first.path, "the test", "--dir").close()


def test_a_full_disk_is_said_before_it_hurts(tmp_path: Path) -> None:
    """With what is left and what is needed; the lock is given back."""
    with pytest.raises(UnavailableError, match=r"MB left .* needs \d+ MB"):
        DataDirectory(tmp_path, "the test", "--dir", min_free_bytes=1 << 60)
    DataDirectory(tmp_path, "the test", "--dir").close()


def test_a_directory_is_cleared_around_its_lock(tmp_path: Path) -> None:
    """Nobody else can have it meanwhile; a link is removed, not what it leads to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with DataDirectory(tmp_path / "data", "the test", "--dir") as directory:
        (directory.path / "kafka" / "deep").mkdir(parents=True)
        (directory.path / "log").touch()
        (directory.path / "link").symlink_to(outside)
        directory.clear(keep="log")
        assert sorted(entry.name for entry in directory.path.iterdir()) == [".lock", "log"]
        assert not directory.is_empty()
        directory.clear()
        assert directory.is_empty()
        with pytest.raises(UnavailableError, match="in use"):
            DataDirectory(directory.path, "the test", "--dir")
    assert (outside / "kept").exists()


@pytest.mark.parametrize(
    "path", ["/sys/kernel", "/proc", "/dev/null", "~nobody-of-this-name", "\0"]
)
def test_a_directory_that_cannot_be_is_a_configuration_error(path: str) -> None:
    """A path that cannot be a data directory gives one line that says what to choose instead."""
    with pytest.raises(ConfigurationError, match=r"the test cannot use .*: choose another --dir"):
        DataDirectory(Path(path), "the test", "--dir")


def test_properties_survive_javas_reader() -> None:
    """Backslashes and everything outside ASCII are escaped."""
    assert properties_text({"a": "b\\c ä 😀"}) == "a=b\\\\c \\u00e4 \\ud83d\\ude00\n"


def test_kafka_listens_where_it_is_told_and_advertises_where_it_is_found() -> None:
    """The controller stays on the loopback interface."""
    values = server_properties(Listeners("0.0.0.0", 9092, "box", 20_001), "/data")
    assert values["listeners"] == "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:20001"
    assert values["advertised.listeners"] == "PLAINTEXT://box:9092"
    with pytest.raises(ConfigurationError, match="comma"):
        server_properties(Listeners("127.0.0.1", 9092, "box", 20_001), "/a,b")


def test_cluster_ids_never_look_like_options() -> None:
    """22 characters that do not begin with a dash."""
    assert cluster_id(b"\xff" * 16) == "K" + "_" * 20 + "w"
    assert len(cluster_id(bytes(16))) == 22


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Host": "127.0.0.1:8123"}, False),
        ({"Host": "localhost"}, False),
        ({"Host": "[::1]:8123"}, False),
        ({"Host": "192.168.1.5:8123"}, False),
        ({"Host": "box:8123"}, False),
        ({"Host": "evil.example"}, True),
        ({"Host": "localhost.evil.example"}, True),
        ({"Host": "127.0.0.1.evil.example"}, True),
        ({"Host": ""}, True),
        ({}, True),
        ({"Host": "[bad"}, True),
        ({"Host": "127.0.0.1:8123", "Origin": "http://127.0.0.1:8123"}, False),
        ({"Host": "127.0.0.1:8123", "Origin": "http://127.0.0.1:9"}, True),
        ({"Host": "127.0.0.1:8123", "Origin": "null"}, True),
        ({"Host": "127.0.0.1:8123", "Sec-Fetch-Site": "same-site"}, True),
        ({"Host": "127.0.0.1:8123", "Sec-Fetch-Site": "none"}, False),
    ],
)
def test_pages_are_told_from_programs(headers: dict[str, str], refused: bool) -> None:  # noqa: FBT001
    """By Host (DNS rebinding), Origin and Sec-Fetch-Site."""
    assert (refusal(headers, {"box"}) is not None) is refused


def test_loopback_is_this_machine_only() -> None:
    """Names other than localhost are not trusted to be."""
    assert all(map(is_loopback, ("127.0.0.1", "::1", "localhost", "127.1.2.3")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "box")))


def test_restart_delays_double_up_to_a_cap() -> None:
    """Whatever the number of restarts."""
    policy = RestartPolicy(delay_first_s=0.5, delay_max_s=3.0)
    assert [policy.delay_s(n) for n in (0, 1, 2, 3, 5_000)] == [0.5, 1.0, 2.0, 3.0, 3.0]
