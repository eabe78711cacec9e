"""Apache Kafka's jars: Maven downloads them once into the user's cache, for all directories."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import infra
from schemas.errors import ConfigurationError, UnavailableError
from schemas.process.locks import FileLock

KAFKA_VERSION = "4.3.1"
_MAVEN_TIMEOUT_S = 600.0
_REASON_CHARS = 300
_KAFKA_DIRECTORY = Path(infra.__file__).parent / "kafka"
POM = _KAFKA_DIRECTORY / "pom.xml"
LOGGING_CONFIG = _KAFKA_DIRECTORY / "log4j2.properties"


def default_jars_directory() -> Path:
    """Return `$XDG_CACHE_HOME/fundingstream/kafka-<version>`; the variable defaults to ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    root = Path(cache) if cache else Path.home() / ".cache"
    return root / "fundingstream" / f"kafka-{KAFKA_VERSION}"


def jars_present(directory: Path) -> bool:
    """Whether the jars are there. The directory appears complete or not at all."""
    return (directory / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file()


def ensure_jars(directory: Path) -> Path:
    """Return `directory` with the jars in it; let Maven download them where they are missing.

    Of two starts at once the second waits for the first and finds the jars.

    Raises:
        UnavailableError: Maven is missing or failed, or the cache cannot be written.
    """
    if jars_present(directory):
        return directory
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError(
            "Apache Kafka's jars are not in the cache and Maven (mvn) is not installed:"
            " install Maven, or use --engine noida for a look, or a broker of your own (--kafka)"
        )
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Another start holds the lock for no longer than Maven's time-out.
        with FileLock(directory.with_name(f"{directory.name}.lock"), wait=True):
            if not jars_present(directory):
                sys.stdout.write("notice: Maven brings Apache Kafka, once; it takes a minute\n")
                sys.stdout.flush()
                _download(maven, directory)
    except (OSError, ConfigurationError) as error:
        raise UnavailableError(
            f"the cache {directory.parent} cannot be written ({error}):"
            " set XDG_CACHE_HOME to a directory of yours"
        ) from error
    return directory


def _download(maven: str, directory: Path) -> None:
    staging = Path(tempfile.mkdtemp(prefix=f"{directory.name}.", dir=directory.parent))
    try:
        # A copy, so that Maven writes nothing into the installed package.
        pom = shutil.copy(POM, staging / "pom.xml")
        jars = staging / "jars"
        _run_maven(
            [
                maven,
                "-B",
                "-q",
                "-f",
                str(pom),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={jars}",
            ]
        )
        if not jars_present(jars):
            raise UnavailableError(f"Maven ended well but brought no Kafka {KAFKA_VERSION} jar")
        if directory.exists():  # incomplete: made by hand, or damaged
            shutil.rmtree(directory)
        jars.rename(directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _run_maven(argv: list[str]) -> None:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=_MAVEN_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"Maven did not bring Apache Kafka within {_MAVEN_TIMEOUT_S:g} s:"
            " check the network, or use --engine noida for a look"
        ) from error
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        reason = next((line for line in lines if "ERROR" in line), "no reason given")
        raise UnavailableError(
            f"Maven could not bring Apache Kafka ({reason.strip()[:_REASON_CHARS]}):"
            " check the network, or use --engine noida for a look"
        )
