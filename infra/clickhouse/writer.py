"""As which user `migrate` and `sql --write` log in: that of the settings, or of a run of `up`.

The embedded ClickHouse lets everybody read without a password. The password of its writer is in the
data directory of the run, for whoever may read that directory.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from infra.embedded.clickhouse.access import READER_NAME, writer_credentials
from infra.embedded.storage import is_held
from infra.runs import CLICKHOUSE_URL_FILE, RUN_DIRECTORIES
from schemas.errors import ConfigurationError
from schemas.http.browser_guard import is_loopback
from stream_app.settings import SinkSettings


def as_writer(settings: SinkSettings, data_dir: Path | None) -> SinkSettings:
    """Return the settings with the name and the password of a user who may write.

    A user or a password in the settings wins. Otherwise it is the writer of the run whose data is
    in `data_dir`, or of the run that uses a default directory now; without such a run the settings
    stay as they are. A run's password is sent to this machine only.

    Raises:
        ConfigurationError: `data_dir` holds no secret, or the server is on another machine.
    """
    own = settings.clickhouse_username != READER_NAME or settings.clickhouse_password
    if own and data_dir is None:
        return settings
    local = is_loopback(urlsplit(settings.clickhouse_url).hostname or "")
    if data_dir is not None and not local:
        raise ConfigurationError(
            "--data-dir is for the ClickHouse of a run on this machine: set "
            "FUNDING_CLICKHOUSE_USERNAME and FUNDING_CLICKHOUSE_PASSWORD for another one"
        )
    found = data_dir if data_dir is not None or not local else _running(settings.clickhouse_url)
    if found is None:
        return settings
    writer = writer_credentials(found / "clickhouse")
    return settings.model_copy(
        update={
            "clickhouse_username": writer.user,
            "clickhouse_password": SecretStr(writer.password),
        }
    )


def _running(url: str) -> Path | None:
    """Return the default directory of the run of `up` whose ClickHouse is at `url`; None: no run.

    A run's password is not sent to another ClickHouse on this machine.
    """
    for path in RUN_DIRECTORIES.values():
        with suppress(OSError, ValueError):
            own = urlsplit((path / CLICKHOUSE_URL_FILE).read_text("utf-8"))
            if own.port == urlsplit(url).port and is_held(path):
                return path
    return None
