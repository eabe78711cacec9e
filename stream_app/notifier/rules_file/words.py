"""What a rule says, in plain words, for `fundingstream alerts check`."""

from __future__ import annotations

from stream_app.notifier.rules.messages import duration
from stream_app.notifier.rules.model import (
    Condition,
    FeedStates,
    Kinds,
    Mismatch,
    OpenGap,
    RateCondition,
    Rule,
    SignFlip,
    Spread,
    Threshold,
)
from stream_app.notifier.rules.quiet_hours import QuietHours
from stream_app.notifier.rules.selection import Patterns, Selection

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def rule_words(rule: Rule) -> list[str]:
    """Return the sentences that say what a rule does."""
    hold = f", for {duration(rule.hold_us)}" if rule.hold_us else ""
    sentences = [f"{_condition(rule.condition)}{hold}."]
    about = _selection(rule.selection)
    if about:
        sentences.append(f"Only {about}.")
    if rule.confidence != "none":
        sentences.append(f"Only z-scores with a confidence of {rule.confidence} or more.")
    severity = rule.severity or ("as the alert" if isinstance(rule.condition, Kinds) else "warning")
    sentences.append(f"Tells {', '.join(rule.targets)}; severity {severity}.")
    if rule.cool_down_us:
        sentences.append(f"At most once in {duration(rule.cool_down_us)} about the same subject.")
    if rule.digest_us:
        sentences.append(f"Collects for {duration(rule.digest_us)} into one message.")
    return [*sentences, *map(_quiet, rule.quiet)]


def _condition(condition: Condition) -> str:
    match condition:
        case RateCondition(z, apr):
            parts = [_threshold("z", z, 1.0, "")] if z is not None else []
            parts += [_threshold("APR", apr, 100.0, " %")] if apr is not None else []
            text = " and ".join(parts)
        case SignFlip():
            text = "The rate has another sign"
        case Spread(unit, limit, back):
            each = "a year" if unit == "apr" else "per 8 h"
            over = f"it is over at {(limit - back) * 100:g} %"
            text = f"Two feeds of a base are more than {limit * 100:g} % {each} apart ({over})"
        case FeedStates(states):
            text = f"A feed is {' or '.join(sorted(states))}"
        case OpenGap(of):
            whose = {"contract": "a contract", "feed": "a feed", "any": "a contract or a feed"}[of]
            text = f"A gap of {whose} is open"
        case Mismatch(share):
            text = f"REST contradicts the stream for more than {share * 100:g} % of the rates"
        case Kinds(kinds):
            text = f"Our own alerts: {', '.join(sorted(kinds))}"
    return text


def _threshold(name: str, threshold: Threshold, scale: float, unit: str) -> str:
    limit, back = threshold.limit * scale, threshold.back * scale
    match threshold.direction:
        case "abs":
            text, over = f"beyond ±{limit:g}{unit}", f"within ±{limit - back:g}{unit}"
        case "above":
            text, over = f"above {limit:g}{unit}", f"at {limit - back:g}{unit}"
        case "below":
            text, over = f"below {limit:g}{unit}", f"at {limit + back:g}{unit}"
    return f"{name} is {text} (it is over {over})"


def _selection(selection: Selection) -> str:
    named = {
        "contracts": selection.contracts,
        "bases": selection.bases,
        "feeds": selection.feeds,
    }
    return "; ".join(
        f"{name} {_patterns(patterns)}"
        for name, patterns in named.items()
        if patterns.include or patterns.exclude
    )


def _patterns(patterns: Patterns) -> str:
    taken = ", ".join(patterns.include)
    left_out = f"not {', '.join(patterns.exclude)}" if patterns.exclude else ""
    return ", ".join(filter(None, [taken, left_out]))


def _quiet(hours: QuietHours) -> str:
    days = "" if len(hours.days) == len(_DAYS) else f" on {_days(hours.days)}"
    told = "is told in one message afterwards" if hours.collect else "is left out"
    passes = "; critical passes" if hours.critical_passes else ""
    between = f"{hours.begin:%H:%M} to {hours.end:%H:%M} {hours.zone}"
    return f"Quiet from {between}{days}: what comes then {told}{passes}."


def _days(days: frozenset[int]) -> str:
    return ", ".join(_DAYS[day] for day in sorted(days))
