"""The words of messages: a short title, and one or two sentences.

Names of contracts come from exchanges, and services read markdown or HTML into what they get. So
what is not a letter, a digit or plain punctuation never gets into a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from schemas.rates import apr
from schemas.records import Alert, ZScore
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_MS, US_PER_S
from stream_app.notifier.rules.spreads import Gap

MAX_NAME_CHARS = 100
MAX_TITLE_CHARS = 150
MAX_MESSAGE_CHARS = 3_000
MAX_LISTED = 20
"""Of a digest, as many alerts are told in words; the others are counted."""
_NAME_MARKS = frozenset("._:-")
_TEXT_MARKS = frozenset("._:-+,;%()/'=±−×° \n")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def harmless_name(text: str) -> str:
    """Return a name from outside with letters, digits and `._:-` alone; others become `?`."""
    cut = text[:MAX_NAME_CHARS]
    return "".join(c if c.isalnum() or c in _NAME_MARKS else "?" for c in cut)


def harmless_text(text: str, limit: int = MAX_MESSAGE_CHARS) -> str:
    """Return a sentence from outside without markup, mentions and links."""
    kept = "".join(c if c.isalnum() or c in _TEXT_MARKS else " " for c in text[:limit])
    return " ".join(kept.replace("://", ": ").split())


def duration(us: int) -> str:
    """Return a duration in the unit that a person would choose."""
    for unit, name in ((US_PER_HOUR, "h"), (US_PER_MINUTE, "min")):
        if us >= 2 * unit or us == unit:
            return f"{us / unit:.3g} {name}"
    return f"{us / US_PER_S:.3g} s"


def moment(us: int) -> str:
    """Return a time as people read it, in UTC."""
    at = _EPOCH + timedelta(microseconds=us)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def rate_text(rate: float, interval_hours: float) -> str:
    """Return a rate in percent with its interval, and what it is a year."""
    yearly = apr(rate, interval_hours) * 100
    return f"{rate * 100:+.4f} % per {interval_hours:g} h ({yearly:+.1f} % a year)"


def score_words(record: ZScore, lasted_us: int, what: str) -> tuple[str, str]:
    """Return title and message of a contract's rate. `what` is the title behind its name."""
    name = harmless_name(record["contract_id"])
    z = "not known" if record["z"] is None else f"{record['z']:+.2f}"
    since = f" for {duration(lasted_us)}" if lasted_us >= US_PER_S else ""
    following = record["next_funding_time"]
    at = f" Next funding {moment(following)}." if following else ""
    rate = rate_text(record["rate"], record["interval_hours"])
    return f"{name}: {what}", f"{name}: {what}{since}, rate {rate}, z {z}.{at}"


def spread_words(base: str, gap: Gap, lasted_us: int) -> tuple[str, str]:
    """Return title and message of a spread between two feeds."""
    name = harmless_name(base)
    since = f" for {duration(lasted_us)}" if lasted_us >= US_PER_S else ""
    size = f"{gap.rate_8h * 100:.4f} % per 8 h ({gap.apr * 100:.1f} % a year)"
    high = f"{harmless_name(gap.high.contract_id)} {rate_text(*gap.high.rate)}"
    low = f"{harmless_name(gap.low.contract_id)} {rate_text(*gap.low.rate)}"
    return (
        f"{name}: spread {gap.apr * 100:.1f} % a year",
        f"{name}: two feeds are {size} apart{since}: {high}, and {low}.",
    )


def feed_words(feed: str, state: str, detail: str, lasted_us: int) -> tuple[str, str]:
    """Return title and message of a feed's state."""
    name = harmless_name(feed)
    why = f": {harmless_text(detail, 300)}" if detail else ""
    return f"{name}: {state}", f"{name} has been {state} for {duration(lasted_us)}{why}."


def gap_words(subject: str, cause: str, opened_us: int, lasted_us: int) -> tuple[str, str]:
    """Return title and message of a gap that is open."""
    name = harmless_name(subject)
    why = f" ({harmless_text(cause, 100)})" if cause else ""
    return (
        f"{name}: no stream for {duration(lasted_us)}",
        f"{name}: the stream has brought nothing since {moment(opened_us)}{why}.",
    )


def alert_words(alert: Alert) -> tuple[str, str]:
    """Return title and message of one of our own alerts."""
    kind = harmless_text(alert["kind"].replace("_", " "), 50)
    return f"{harmless_name(alert['subject'])}: {kind}", harmless_text(alert["message"], 500)


def digest_words(rule: str, titles: Sequence[str]) -> tuple[str, str]:
    """Return title and message of a digest of alerts with these titles, the oldest first."""
    listed = [*titles[:MAX_LISTED]]
    if len(titles) > MAX_LISTED:
        listed.append(f"and {len(titles) - MAX_LISTED} more")
    return f"{rule}: {len(titles)} alerts", "\n".join(listed)[:MAX_MESSAGE_CHARS]


def page_link(page_url: str, contract_id: str, at_us: int) -> str:
    """Return the address of a contract's page at a moment; empty where no page is known."""
    if not page_url or not contract_id:
        return ""
    return f"{page_url}/#/contract/{quote(contract_id, safe=':')}?at={at_us // US_PER_MS}"
