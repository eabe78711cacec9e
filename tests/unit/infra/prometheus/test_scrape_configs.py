"""Prometheus asks every part of the containers, by names, ports and labels that exist."""

from __future__ import annotations

import re
from typing import Any

import pytest

from producers.settings import ProducerSettings
from schemas.feeds import FEEDS, shared_out
from schemas.http.browser_guard import refusal
from stream_app.settings import SinkSettings, WorkerSettings
from tests.support.monitoring import PROMETHEUS, SHARES, read_yaml, services

COMPOSE = "docker-compose.yml"
OVERRIDE = "infra/docker/host-network.yml"
SIMULATED = [f"producer-{number}" for number in range(1, SHARES + 1)]
LIVE = [f"live-{number}" for number in range(1, SHARES + 1)]
PORT_VARIABLES = {
    "producer": "FUNDING_PRODUCER_METRICS_PORT",
    "worker": "FUNDING_WEB_PORT",
    "sink": "FUNDING_SINK_METRICS_PORT",
}


def jobs(name: str) -> dict[str, Any]:
    """The scrape configurations of a file, by job."""
    configuration = read_yaml(PROMETHEUS / name)
    return {each["job_name"]: each for each in configuration["scrape_configs"]}


def static_targets() -> dict[str, tuple[str, str]]:
    """Job and address of each service, on the host's network."""
    return {
        group["labels"]["service"]: (job, group["targets"][0])
        for job, each in jobs("host-network.yml").items()
        for group in each["static_configs"]
        if job != "prometheus"
    }


def default_port(service: str, variable: str) -> int:
    """The port that a service of the override has unless a variable gives another."""
    value = services(OVERRIDE)[service]["environment"][variable]
    found = re.fullmatch(r"\$\{\w+:-(\d+)\}", value)
    assert found is not None, value
    return int(found[1])


def test_compose_has_a_producer_of_each_share_simulated_and_live() -> None:
    """Together they stream every feed that is registered, and no file names one."""
    for path in (COMPOSE, OVERRIDE):
        names = [name for name in services(path) if name.startswith(("producer-", "live-"))]
        assert sorted(names) == sorted(SIMULATED + LIVE), path
    for name in SIMULATED + LIVE:
        share = f"{name.partition('-')[2]}/{SHARES}"
        assert services(COMPOSE)[name]["command"] == ["producer", "--share", share]
    dealt = [feed for n in range(SHARES) for feed in shared_out(FEEDS, n + 1, SHARES)]
    assert sorted(dealt) == sorted(FEEDS)


def test_prometheus_looks_for_each_of_them() -> None:
    """By the names that the services have in the compose network."""
    looked_for = {
        job: each["dns_sd_configs"][0]["names"]
        for job, each in jobs("prometheus.yml").items()
        if "dns_sd_configs" in each
    }
    assert looked_for == {"producer": SIMULATED + LIVE, "worker": ["worker"], "sink": ["sink"]}


def test_ports_of_the_compose_network_are_the_defaults() -> None:
    """No service changes them there."""
    ports = {
        job: each["dns_sd_configs"][0]["port"]
        for job, each in jobs("prometheus.yml").items()
        if "dns_sd_configs" in each
    }
    assert ports == {
        "producer": ProducerSettings.model_fields["producer_metrics_port"].default,
        "worker": WorkerSettings.model_fields["web_port"].default,
        "sink": SinkSettings.model_fields["sink_metrics_port"].default,
    }
    for name, service in services(COMPOSE).items():
        assert not service.get("environment", {}).keys() & set(PORT_VARIABLES.values()), name


def test_ports_of_the_host_network_are_those_of_the_override() -> None:
    """A live producer has the port of the simulated one of its share."""
    targets = static_targets()
    assert targets.keys() == {*SIMULATED, "worker", "sink"}
    for service, (job, address) in targets.items():
        names = [service, service.replace("producer-", "live-")]
        for name in names:
            assert address == f"127.0.0.1:{default_port(name, PORT_VARIABLES[job])}", name


def test_jobs_and_labels_are_the_same_on_both_networks() -> None:
    """Whatever is asked of the one works on the other."""
    composed, host = jobs("prometheus.yml"), jobs("host-network.yml")
    assert list(composed) == list(host)
    service = [{"source_labels": ["__meta_dns_name"], "target_label": "service"}]
    for job in PORT_VARIABLES:
        assert composed[job]["relabel_configs"] == service
        assert all(list(group["labels"]) == ["service"] for group in host[job]["static_configs"])


@pytest.mark.parametrize("name", ["prometheus.yml", "host-network.yml"])
def test_both_ask_often_enough_for_the_rules(name: str) -> None:
    """WorkerSlow takes a rate over a minute, which needs several samples."""
    configuration = read_yaml(PROMETHEUS / name)
    assert configuration["global"] == {"scrape_interval": "5s", "evaluation_interval": "5s"}
    assert configuration["rule_files"] == ["rules/*.yml"]


def test_no_part_refuses_prometheus() -> None:
    """Records of type A and static targets are addresses, and any address may be called.

    A configuration that named `worker:6066` as its target would need the name allowed.
    """
    for each in jobs("prometheus.yml").values():
        assert {dns["type"] for dns in each.get("dns_sd_configs", [])} <= {"A"}
    hosts = ["172.18.0.7:9101", *(address for _, address in static_targets().values())]
    assert [refusal({"Host": host}) for host in hosts] == [None] * len(hosts)
    assert refusal({"Host": "worker:6066"}) is not None
    assert refusal({"Host": "worker:6066"}, {"worker"}) is None


def test_the_files_that_the_containers_read_are_mounted() -> None:
    """The configuration of each network, by the path within the container."""
    mounted = services(COMPOSE)["prometheus"]["volumes"]
    assert "./infra/prometheus:/etc/prometheus:ro" in mounted
    for path in (COMPOSE, OVERRIDE):
        command = services(path)["prometheus"]["command"]
        (file,) = [each for each in command if each.startswith("--config.file=/etc/prometheus/")]
        assert (PROMETHEUS / file.rpartition("/")[2]).is_file()
