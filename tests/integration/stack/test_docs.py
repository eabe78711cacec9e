"""What the README and docs/deployment.md show works: commands and consumer run against a stack."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.topics import all_topics
from tests.support.paths import ROOT
from tests.support.stack_fixture import RunningStack

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

README = (ROOT / "README.md").read_text(encoding="utf-8")
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
TOOLS = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
SERVICES = ("up", "producer", "worker", "sink")
"""Commands that do not end by themselves: the stack runs them."""
BIN = Path(sys.executable).parent


def blocks(language: str, page: str = README) -> list[str]:
    """Fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands(prefix: str, page: str = README) -> list[str]:
    """Shell commands of a page that begin with a word."""
    lines = [line for block in blocks("sh", page) for line in block.splitlines() if line]
    return [line for line in lines if line.startswith(prefix)]


def tools(page: str) -> list[str]:
    """Commands of a page that come to an end."""
    shown = commands("fundingstream ", page)
    return [command for command in shown if command.split()[1] not in SERVICES]


def here(text: str, stack: RunningStack) -> str:
    """The text with the ports of this stack for the default ones."""
    ports = stack.options.ports
    for default, port in (
        (9092, ports.kafka),
        (8081, ports.registry),
        (8123, ports.clickhouse),
        (6066, ports.web),
    ):
        text = text.replace(f"127.0.0.1:{default}", f"127.0.0.1:{port}")
    return text


async def run(argv: list[str], stack: RunningStack, directory: Path = ROOT) -> str:
    """Output of a command that must succeed, called in a directory."""
    done = await asyncio.to_thread(
        subprocess.run,
        argv,
        env=stack.options.environment(),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


async def test_every_shell_line_is_run_by_a_test_here() -> None:
    """A command of a kind that no test here runs fails this one."""
    known = ("make demo", "make test", ".venv/bin/fundingstream ", "curl ")
    lines = [line for block in blocks("sh") for line in block.splitlines() if line]
    assert [line for line in lines if not line.startswith(known)] == []


async def test_the_make_targets_exist(stack: RunningStack) -> None:
    """`make demo` and `make test` are what they say; they are not run inside the tests."""
    for line in commands("make "):
        plan = await run([*shlex.split(line), "-n"], stack)
        assert {"demo": "fundingstream up", "test": "pytest"}[line.split()[1]] in plan


@pytest.mark.parametrize("command", commands(".venv/bin/fundingstream "))
async def test_a_tool_answers(command: str, stack: RunningStack) -> None:
    """Each tool that the README shows prints something and exits 0."""
    argv = shlex.split(command)
    if argv[1] == "tail":
        argv += ["--from-beginning"]
    output = await run([str(BIN / "fundingstream"), *argv[1:]], stack)
    # Of gaps a stack that is healthy has none to show.
    assert "FROM gaps" in command or "binance-usdm" in output or "funding_time" in output


@pytest.mark.parametrize("command", tools(DEPLOYMENT))
async def test_a_tool_of_the_deployment_page_may_be_repeated(
    command: str, stack: RunningStack
) -> None:
    """`topics` and `migrate` find everything there, as after each upgrade."""
    argv = [str(BIN / "fundingstream"), *shlex.split(command)[1:], "--json"]
    if argv[1] == "migrate":
        argv += ["--data-dir", str(stack.options.data_dir)]
    found = json.loads(await run(argv, stack))
    if argv[1] == "topics":
        assert {topic["outcome"] for topic in found} == {"present"}
    else:
        assert (found["applied"], found["made"]) == ([], [])


async def test_the_deployment_page_shows_its_tools() -> None:
    """The test above would pass if there were none."""
    assert tools(DEPLOYMENT) == ["fundingstream topics", "fundingstream migrate"]


@pytest.mark.parametrize("command", tools(TOOLS))
async def test_a_tool_of_the_tools_page_answers(
    command: str, stack: RunningStack, tmp_path: Path
) -> None:
    """Each command that docs/tools.md shows prints something and exits 0."""
    argv = [str(BIN / "fundingstream"), *shlex.split(command)[1:]]
    assert await run(argv, stack, tmp_path)


@pytest.mark.parametrize("command", commands("curl "))
async def test_curl_gets_an_answer(command: str, stack: RunningStack) -> None:
    """Each URL that the README shows answers: SQL with a number, the API with JSON."""
    url = here(shlex.split(command)[-1], stack)
    status, body = await stack.get(url)
    assert status == 200
    if "/api/" in url:
        assert "contracts" in json.loads(body)
    else:
        assert int(body) > 0


async def test_the_example_consumer_prints_z_scores(stack: RunningStack) -> None:
    """The example needs nothing of ours and prints ten records."""
    (example,) = blocks("python")
    assert "fundingstream" not in example
    output = await run([sys.executable, "-c", here(example, stack)], stack)
    assert len(output.splitlines()) == 10
    for line in output.splitlines():
        contract_id, rate, z, zone, _day, _time = line.split()
        assert contract_id.startswith("binance-usdm:")
        assert abs(float(rate)) < 1
        assert (abs(float(z)) > 2) == (zone == "high")


async def test_the_topics_are_what_the_table_says() -> None:
    """Record types and subjects: dead letters have none, raw topics do."""
    rows = re.findall(r"^\| (`.*`.*?) \| .* \| (.*) \| (.*) \|$", README, re.MULTILINE)
    table = {name: row[1:] for row in rows for name in re.findall(r"`([a-z.<>-]+)`", row[0])}
    for spec in all_topics():
        name = spec.name.removeprefix("funding.")
        told, subject = table["raw.<feed>" if name.startswith("raw.") else name]
        if spec.record_type is None:
            assert (subject, "original bytes" in told) == ("none", True)
        else:
            assert f"`{spec.record_type.name}`" in told
            assert subject == "`<topic>-value`"
