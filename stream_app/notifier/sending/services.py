"""Sends one message to one target through apprise.

A target's URL holds its secrets. It is given to apprise and never kept, logged or told; apprise's
own log is silent, since it quotes addresses.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import apprise
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

from schemas.errors import ConfigurationError
from schemas.records import Notification, Severity
from stream_app.notifier.rules.messages import harmless_text

_KINDS: Mapping[Severity, NotifyType] = {
    "info": NotifyType.INFO,
    "warning": NotifyType.WARNING,
    "critical": NotifyType.FAILURE,
}
_ID_FIELD = "alert_id"
_ID_HEADER = "X-Alert-Id"
_CODE = re.compile(r"error[ =:]+([1-5][0-9]{2})\b")
_MACHINE_READ = frozenset({"NotifyJSON", "NotifyForm"})
"""Services that hand fields of ours on to a program."""
MAX_BODY_CHARS = 4_000


class Result(NamedTuple):
    """What became of an attempt."""

    ok: bool
    reason: str = ""
    """Why it failed, without any secret."""
    tried: bool = True
    """False: it was not made."""


class _Words(logging.Handler):
    """Hears what a service's plugin logs, for the one thing in it that may be told: a status."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.code = ""
        """The status of the newest failure; empty: none was named."""

    def emit(self, record: logging.LogRecord) -> None:
        """Note the status in a line."""
        found = _CODE.search(record.getMessage())
        if found:
            self.code = found[1]


def _silence() -> None:
    """Keep the lines of apprise itself away from our log."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.handlers[:] = [logging.NullHandler()]
    log.setLevel(logging.CRITICAL)


_silence()


class Service:
    """One target's service."""

    def __init__(self, target: str, variable: str, url: str, timeout_s: float) -> None:
        """`variable` holds `url`, and is what an error names.

        Raises:
            ConfigurationError: apprise knows no such service, or the URL lacks something.
        """
        asset = AppriseAsset(
            app_id="fundingstream",
            app_desc="fundingstream alerts",
            async_mode=False,
            secure_logging=True,
        )
        plugin: Any = None
        # Several in one variable could be sent twice when one of them fails.
        if url.strip() and not re.search(r"\s", url.strip()):
            plugin = Apprise.instantiate(url.strip(), asset=asset)
        if plugin is None:
            raise ConfigurationError(
                f"target {target}: {variable} is not one URL of a service that apprise "
                f"{apprise.__version__} knows (https://github.com/caronc/apprise/wiki); its value "
                "is not shown, since it may hold secrets"
            )
        plugin.socket_connect_timeout = plugin.socket_read_timeout = timeout_s
        self._plugin = plugin
        # A logger of its own, known to nobody else: services run in threads of apprise.
        self._words = _Words()
        plugin.logger = logging.Logger(f"apprise of {target}", logging.WARNING)  # noqa: LOG001
        plugin.logger.addHandler(self._words)
        self._apprise: Any = Apprise(asset=asset)
        self._apprise.add(plugin)
        self.name = str(plugin.service_name)
        """The service's name, for people."""

    def send(self, title: str, body: str, severity: Severity, alert_id: str) -> Result:
        """Send a message; blocks until the service has answered. Not from two threads at once."""
        if type(self._plugin).__name__ in _MACHINE_READ:
            self._plugin.payload_extras = {**self._plugin.payload_extras, _ID_FIELD: alert_id}
            self._plugin.headers = {**self._plugin.headers, _ID_HEADER: _header(alert_id)}
        self._words.code = ""
        try:
            ok = self._apprise.notify(
                title=title,
                body=body,
                notify_type=_KINDS[severity],
                body_format=NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            # Its text may quote the URL.
            return Result(ok=False, reason=f"the service's plugin failed: {type(error).__name__}")
        if ok:
            return Result(ok=True)
        if self._words.code:
            reason = f"the service answered with status {self._words.code}"
            return Result(ok=False, reason=reason)
        return Result(ok=False, reason="no connection, no answer in time, or a refusal")


def _header(text: str) -> str:
    return "".join(c if "!" <= c <= "~" else "?" for c in text)[:200]


def message_of(record: Notification) -> tuple[str, str]:
    """Return title and body of a notification as they are sent."""
    doubt = ""
    if record["in_doubt"]:
        doubt = "\nThe notifier was ended while it sent this: you may have it already."
    title = f"(repeated?) {record['title']}" if doubt else record["title"]
    tail = f"{doubt}\nid {harmless_text(record['alert_id'].replace('/', ' / '), 200)}"
    return title, record["message"][: MAX_BODY_CHARS - len(tail)] + tail
