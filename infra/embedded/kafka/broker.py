"""The embedded broker: Apache Kafka itself, one KRaft node on Java, in a data directory of its own.

`prepare` checks everything that can be checked (Java, jars, port, directory, disk), formats the
directory once, and returns the command line; `run` runs that process until a signal. Where Java or
Maven is missing, a small broker takes its place that is good for a first look (`_prepare_noida`).
"""

from __future__ import annotations

import enum
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from infra.embedded.kafka.configuration import (
    Listeners,
    cluster_id,
    properties_text,
    server_properties,
)
from infra.embedded.kafka.jars import LOGGING_CONFIG, default_jars_directory, ensure_jars
from infra.embedded.ports import LOOPBACK, free_port, require_free_port
from infra.embedded.storage import DataDirectory
from infra.embedded.supervision.child import argv_of_child
from schemas.errors import UnavailableError

DEFAULT_PORT = 9092
_MIN_JAVA = 17
_FORMAT_TIMEOUT_S = 60.0
_JAVA_VERSION_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 30  # whole seconds: alarm(2)
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - recognised, not bound
_WHAT = "the Kafka broker"

LOOK_ONLY = (
    "this broker (noida-db) is for a look only: data is emptied at each start and lost when it is"
    " killed, groups cannot rebalance and a dead member is never evicted"
)


class Engine(enum.StrEnum):
    """Which broker to run. `auto` takes Kafka wherever it can run."""

    AUTO = "auto"
    KAFKA = "kafka"
    NOIDA = "noida"


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """The options of the broker. `advertised_host` is the address that clients are sent to."""

    data_dir: Path
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    advertised_host: str | None = None
    engine: Engine = Engine.AUTO
    heap_mb: int = 384
    port_flag: str = "--port"
    data_dir_flag: str = "--data-dir"


@dataclass(frozen=True, slots=True)
class PreparedBroker:
    """A checked command line, and its locked directory. `notice` is for the user, or empty."""

    engine: Engine
    argv: list[str]
    directory: DataDirectory
    notice: str = ""


def choose_engine(wanted: Engine, data_dir: Path) -> tuple[Engine, str]:
    """Return the engine to run and, where Kafka was wanted and cannot run, the reason.

    Kafka's jars are downloaded where they are missing.

    Raises:
        UnavailableError: Kafka cannot run, and it was asked for, or the directory holds its data,
            or the other broker is not installed.
    """
    if wanted is Engine.NOIDA:
        return wanted, ""
    try:
        require_java()
        ensure_jars(default_jars_directory())
    except UnavailableError as error:
        if wanted is Engine.KAFKA or _is_formatted(data_dir) or find_spec("noida_db") is None:
            raise
        return Engine.NOIDA, str(error)
    return Engine.KAFKA, ""


def prepare(options: BrokerOptions) -> PreparedBroker:
    """Check everything, lock the directory and format it where it is new.

    Raises:
        FundingStreamError: something is missing; the message says what to do.
    """
    require_free_port(options.port, _WHAT, options.port_flag, options.host)
    directory = DataDirectory(options.data_dir, _WHAT, options.data_dir_flag)
    try:
        engine, reason = choose_engine(options.engine, directory.path)
        if engine is Engine.NOIDA:
            notice = f"{LOOK_ONLY}. {reason}" if reason else LOOK_ONLY
            return PreparedBroker(
                engine, _prepare_noida(options, directory.path), directory, notice
            )
        return PreparedBroker(engine, _prepare_kafka(options, directory.path), directory)
    except BaseException:
        directory.close()
        raise


def run(options: BrokerOptions) -> int:
    """Run the broker until SIGTERM or SIGINT, and return the exit code 0.

    Kafka runs as a child, because Java ends with exit code 143 after SIGTERM and this process turns
    that into 0. Replaces the signal handlers of the process.

    Raises:
        UnavailableError: the broker cannot start, or has ended by itself.
    """
    stopper = _Stopper()
    stopper.install()
    prepared = prepare(options)
    if prepared.notice:
        sys.stdout.write(f"notice: {prepared.notice}\n")
        sys.stdout.flush()
    with prepared.directory:
        stopper.broker = subprocess.Popen(
            argv_of_child(prepared.argv),
            stdin=subprocess.DEVNULL,
            # The child keeps the lock: a broker that outlives this process still guards its data.
            pass_fds=[prepared.directory.descriptor],
        )
        code = stopper.broker.wait()
    if stopper.stopping:
        return 0
    raise UnavailableError(
        f"{prepared.engine} ended by itself with exit code {code}: the lines above say why"
    )


class _Stopper:
    """Passes SIGTERM and SIGINT on to the broker, once, and kills it when it does not stop."""

    def __init__(self) -> None:
        self.broker: subprocess.Popen[bytes] | None = None
        self.stopping = False

    def install(self) -> None:
        """Install the handlers. Until there is a broker a signal ends the program with code 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._kill)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.broker is None:
            raise SystemExit(0)
        if not self.stopping:
            self.stopping = True
            signal.alarm(_STOP_TIMEOUT_S)
            self.broker.send_signal(signal.SIGTERM)

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        if self.broker is not None:
            self.broker.kill()


def _is_formatted(data_dir: Path) -> bool:
    return (_log_directory(data_dir) / "meta.properties").is_file()


def _log_directory(data_dir: Path) -> Path:
    return data_dir / "kafka"


def _prepare_kafka(options: BrokerOptions, data_dir: Path) -> list[str]:
    log_directory = _log_directory(data_dir)
    host = options.host
    listeners = Listeners(
        host=host,
        port=options.port,
        advertised_host=options.advertised_host or (LOOPBACK if host in _WILDCARDS else host),
        controller_port=free_port(),
    )
    properties = data_dir / "server.properties"
    properties.write_text(
        properties_text(server_properties(listeners, str(log_directory))), encoding="ascii"
    )
    java = _java_command(options.heap_mb)
    if not _is_formatted(data_dir):
        _format(java, properties, log_directory)
    return [*java, "kafka.Kafka", str(properties)]


def _java_command(heap_mb: int) -> list[str]:
    return [
        require_java(),
        f"-Xmx{heap_mb}m",
        "-Xms64m",
        # Only the quick compiler: a third less CPU at start, 35 MB less memory, fast enough here.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",  # one small heap: no collector threads, half the resident memory of G1
        "-XX:+ExitOnOutOfMemoryError",  # the supervisor restarts it
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={LOGGING_CONFIG.as_uri()}",
        "-cp",
        str(default_jars_directory() / "*"),
    ]


def _format(java: list[str], properties: Path, log_directory: Path) -> None:
    """Give an empty directory its cluster id and metadata version."""
    argv = [
        *java,
        "kafka.tools.StorageTool",
        "format",
        "--cluster-id",
        cluster_id(secrets.token_bytes(16)),
        "--config",
        str(properties),
    ]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"Kafka did not format {log_directory} within {_FORMAT_TIMEOUT_S:g} s"
        ) from error
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no reason given"]
        reason = next((line for line in lines if "Exception" in line), lines[-1])
        raise UnavailableError(f"Kafka cannot format {log_directory} ({reason.strip()})")


def require_java() -> str:
    """Return the java command. Raises UnavailableError: there is none of version 17 or later."""
    home = os.environ.get("JAVA_HOME")
    candidate = Path(home, "bin", "java") if home else None
    java = str(candidate) if candidate and candidate.is_file() else shutil.which("java")
    advice = f"install Java {_MIN_JAVA} or later, or use --engine noida for a look, or --kafka"
    if java is None:
        raise UnavailableError(f"Apache Kafka needs Java and there is none: {advice}")
    try:
        done = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_JAVA_VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{java} does not run: {advice}") from error
    found = re.search(r'version "(\d+)', done.stderr + done.stdout)
    if found is None or int(found.group(1)) < _MIN_JAVA:
        version = f"version {found.group(1)}" if found else "of unknown version"
        raise UnavailableError(f"{java} is {version}, too old for Apache Kafka: {advice}")
    return java


def _prepare_noida(options: BrokerOptions, data_dir: Path) -> list[str]:
    """Return the command line of the broker inside the noida-db wheel, on an emptied directory.

    What a killed run of it leaves behind is stale, so the directory is emptied first.
    """
    spec = find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise UnavailableError(
            "the noida-db wheel is not installed: pip install 'fundingstream[embedded]'"
        )
    binary = Path(spec.origin).parent / "noida-db"
    if not os.access(binary, os.X_OK):
        raise UnavailableError(f"{binary} is missing or not executable: reinstall noida-db")
    state = data_dir / "noida"
    if state.exists():
        shutil.rmtree(state)
    state.mkdir()
    return [
        str(binary),
        "start",
        "--data-dir",
        str(state),
        "--host",
        options.host,
        "--only",
        "kafka",
        "--kafka-port",
        str(options.port),
    ]
