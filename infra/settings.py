"""The settings of all parts together, and the `.env` file that may hold some of them.

What each setting means is documented in the settings.py of its part.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from producers.settings import ProducerSettings
from schemas.config.settings import (
    ENV_PREFIX,
    SharedSettings,
    load_settings,
    shown_url,
    variable_names,
)
from schemas.errors import ConfigurationError
from stream_app.settings import (
    ALERT_URL_PREFIX,
    AlertSettings,
    PageSettings,
    SinkSettings,
    WorkerSettings,
)

PARTS: dict[str, type[SharedSettings]] = {
    "producer": ProducerSettings,
    "worker": WorkerSettings,
    "page": PageSettings,
    "sink": SinkSettings,
    "alerts": AlertSettings,
}
ENV_FILE_VARIABLE = f"{ENV_PREFIX}ENV_FILE"
"""Which file to read settings from, in the environment alone; empty: none."""
DEFAULT_ENV_FILE = ".env"
SECRET_FILE_SUFFIX = "_FILE"  # noqa: S105 - the end of a variable's name
"""Behind the variable of a secret: which file holds it."""
_MAX_ENV_FILE_BYTES = 1 << 20
_MAX_SECRET_BYTES = 4_096


def known_variables() -> set[str]:
    """Return every FUNDING_ variable that some part reads, or the console script itself."""
    files = {f"{name}{SECRET_FILE_SUFFIX}" for name in secret_variables()}
    return {ENV_FILE_VARIABLE}.union(files, *(variable_names(part) for part in PARTS.values()))


def secret_variables() -> set[str]:
    """Return the variables that hold passwords."""
    return {
        f"{ENV_PREFIX}{name.upper()}"
        for part in PARTS.values()
        for name, field in part.model_fields.items()
        if field.annotation is SecretStr
    }


def read_secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets for which the environment names a file: FUNDING_X_FILE for FUNDING_X.

    The file holds the secret alone; a line's end behind it does not belong to it. This is how
    Docker and Kubernetes hand secrets to a container.

    Raises:
        ConfigurationError: a file cannot be read or holds no secret, or the variable is set beside
            it. The message shows no secret.
    """
    found = {}
    targets = {
        name.removesuffix(SECRET_FILE_SUFFIX)
        for name in environment
        if name.startswith(ALERT_URL_PREFIX) and name.endswith(SECRET_FILE_SUFFIX)
    }
    for variable in sorted(secret_variables() | targets):
        named = environment.get(f"{variable}{SECRET_FILE_SUFFIX}")
        if not named:
            continue
        if environment.get(variable):
            raise ConfigurationError(f"{variable} and {variable}{SECRET_FILE_SUFFIX} are both set")
        secret = _text_of(Path(named), _MAX_SECRET_BYTES).rstrip("\r\n")
        if not secret or "\n" in secret:
            raise ConfigurationError(f"{named} is not one line with the value of {variable}")
        found[variable] = secret
    return found


def check_variables(names: set[str], where: str) -> None:
    """Refuse FUNDING_ variables that nothing reads: a typing error must not pass silently.

    Raises:
        ConfigurationError: names the unknown variables, and `where` they stand.
    """
    ours = {
        name
        for name in names
        if name.startswith(ENV_PREFIX) and not name.startswith(ALERT_URL_PREFIX)
    }
    unknown = ours - known_variables()
    if unknown:
        raise ConfigurationError(
            f"unknown settings in {where}: {', '.join(sorted(unknown))}; "
            "`fundingstream config` lists all"
        )


def shown_settings(
    environment: Mapping[str, str], from_file: frozenset[str]
) -> dict[str, dict[str, Any]]:
    """Return every setting by its variable: `parts` that read it, `value` now, and its `source`.

    Secrets are hidden. `from_file` holds the variables that the `.env` file has set; `source` is
    that file, "environment", or empty for a default.

    Raises:
        ConfigurationError: a value is wrong.
    """
    rows: dict[str, dict[str, Any]] = {}
    for part, settings_type in PARTS.items():
        settings = load_settings(settings_type)
        for name in settings_type.model_fields:
            row = rows.setdefault(f"{ENV_PREFIX}{name.upper()}", {"parts": []})
            row["parts"].append(part)
            row["value"] = shown_setting(name, getattr(settings, name))
    file = environment.get(ENV_FILE_VARIABLE, DEFAULT_ENV_FILE)
    rows[ENV_FILE_VARIABLE] = {"parts": ["console script"], "value": file}
    for variable, row in rows.items():
        own = "environment" if variable in environment else ""
        row["source"] = file if variable in from_file else own
    return rows


def shown_setting(name: str, value: Any) -> Any:
    """Return a setting's value as it may be shown: no secret, no URL with user or password."""
    if isinstance(value, SecretStr):
        return "********" if value else ""
    return shown_url(value) if name.endswith("_url") else value


def read_env_file(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the FUNDING_ settings of the `.env` file that are not in the environment.

    The file is `.env` in the working directory, or the one that FUNDING_ENV_FILE names. Lines are
    as a shell reads them, without any `$` expansion. Other programs' variables are left alone.

    Raises:
        ConfigurationError: the file cannot be read, a line is no NAME=VALUE, a name is unknown.
            The message shows no value.
    """
    named = environment.get(ENV_FILE_VARIABLE)
    path = Path(DEFAULT_ENV_FILE if named is None else named)
    # A directory of this name is some tool's virtual environment.
    if named == "" or (named is None and not path.is_file()):
        return {}
    settings = _settings_of(_text_of(path, _MAX_ENV_FILE_BYTES), path)
    check_variables(set(settings), str(path))
    if ENV_FILE_VARIABLE in settings:
        raise ConfigurationError(f"{path}: {ENV_FILE_VARIABLE} belongs into the environment")
    return {name: value for name, value in settings.items() if name not in environment}


def _text_of(path: Path, max_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no path
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{path} cannot be read ({reason})") from None
    if len(raw) > max_bytes or "\0" in text:
        raise ConfigurationError(f"{path} is longer than {max_bytes} bytes, or binary")
    return text


def _settings_of(text: str, path: Path) -> dict[str, str]:
    from dotenv.parser import parse_stream  # noqa: PLC0415 - only where there is a file

    found: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        ours = binding.key is not None and binding.key.startswith(ENV_PREFIX)
        if binding.error or (ours and binding.value is None):
            # Empty lines before a binding are a part of it.
            original = binding.original
            empty = len(original.string) - len(original.string.lstrip())
            line = original.line + original.string.count("\n", 0, empty)
            raise ConfigurationError(f"{path}, line {line}: write NAME=VALUE")
        if ours and binding.key is not None and binding.value is not None:
            found[binding.key] = binding.value
    return found
