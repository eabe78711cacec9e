"""Reads a rules file whole: every mistake is told at once, with its line and column.

YAML and not TOML, since PyYAML's nodes keep their places, and tomllib's values do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, time, tzinfo
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from schemas.alert_kinds import AlertKind
from schemas.errors import ConfigurationError
from schemas.records import Confidence, Severity
from stream_app.notifier.rules.model import (
    CONFIDENCES,
    SEVERITIES,
    FeedStates,
    Kinds,
    Mismatch,
    OpenGap,
    Rule,
    RuleFile,
)
from stream_app.notifier.rules.quiet_hours import QuietHours
from stream_app.notifier.rules.selection import Patterns, Selection, matches, pattern_problem
from stream_app.notifier.rules_file.conditions import MAX_LASTING_S, When, read_when
from stream_app.notifier.rules_file.nodes import MAX_ITEMS, Entry, NodeReader, first_of
from stream_app.notifier.rules_file.problems import RulesFileError, meant, shown
from stream_app.notifier.rules_file.yaml_nodes import compose
from stream_app.settings import ALERT_URL_PREFIX

MAX_FILE_BYTES = 256 << 10
MAX_TARGETS = 32
"""Each has a thread while messages are sent."""
_NAME = r"[a-z0-9][a-z0-9_-]{0,59}"
_NAME_WORDS = "1 to 60 of a-z, 0-9, `-` and `_`, and begins with a letter or digit"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,59}")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SELECTING = ("contracts", "bases", "feeds")
_SHARED = ("targets", "severity", "confidence", "cool_down", "quiet", "digest", *_SELECTING)
_RULE_KEYS = ("name", "when", "kinds", "hold", *_SHARED)
_QUIET_KEYS = ("from", "to", "zone", "days", "critical", "then")
_MAX_DIGEST_S = 86_400
_NO_LASTING = (Kinds, Mismatch)
_Entries = dict[str, Entry]


def load_rules(
    path: str, feeds: Collection[str], environment: Mapping[str, str] | None
) -> RuleFile:
    """Read and check a rules file.

    Args:
        path: The file.
        feeds: The feeds that there are.
        environment: Must hold the variable of each target; None: that is not checked.

    Raises:
        RulesFileError: it has mistakes.
        ConfigurationError: it cannot be read.
    """
    if not path:
        raise ConfigurationError(
            "no rules file is named: set FUNDING_ALERT_RULES (docs/alerts-out.md has an example)"
        )
    return read_rules(_text_of(Path(path)), path, feeds, environment)


def read_rules(
    text: str, file: str, feeds: Collection[str], environment: Mapping[str, str] | None
) -> RuleFile:
    """Read the text of a rules file, as `load_rules` does."""
    reader = _Reader(feeds, environment)
    node = compose(text, reader.problems)
    if node is None:
        if reader.problems.found:
            raise RulesFileError(file, reader.problems.found)
        raise ConfigurationError(f"{file} is empty: docs/alerts-out.md has an example")
    rules = reader.file(node)
    if reader.problems.found:
        raise RulesFileError(file, sorted(set(reader.problems.found)))
    return rules


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        text = raw.decode()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no path
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"the rules file {path} cannot be read ({reason})") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigurationError(f"the rules file {path} is longer than {MAX_FILE_BYTES} bytes")
    return text


class _Reader(NodeReader):
    """Reads the nodes of a rules file."""

    def __init__(self, feeds: Collection[str], environment: Mapping[str, str] | None) -> None:
        super().__init__()
        self._feeds = tuple(feeds)
        self._environment = environment
        self._names: set[str] = set()
        """Of the rules so far."""

    def file(self, node: Node) -> RuleFile:
        """Return what the whole file says."""
        entries = self.mapping(node, "the file", ("targets", "defaults", "rules"))
        for name in ("targets", "rules"):
            if name not in entries and isinstance(node, MappingNode):
                self.wrong(node, f"the file has no `{name}`")
        targets = self._targets(entries["targets"].value) if "targets" in entries else {}
        defaults: _Entries = {}
        if "defaults" in entries:
            defaults = self.mapping(entries["defaults"].value, "`defaults`", _SHARED)
        rules = [self._rule(item, defaults, targets) for item in self._rule_nodes(entries)]
        return RuleFile(tuple(rule for rule in rules if rule is not None), targets)

    def _rule_nodes(self, entries: _Entries) -> list[Node]:
        node = entries["rules"].value if "rules" in entries else None
        if node is None:
            return []
        if not isinstance(node, SequenceNode) or not 1 <= len(node.value) <= MAX_ITEMS:
            self.wrong(node, f"`rules` is a list of 1 to {MAX_ITEMS} rules")
            return []
        return list(node.value)

    def _targets(self, node: Node) -> dict[str, str]:
        found: dict[str, str] = {}
        entries = self.mapping(node, "`targets`", None)
        if isinstance(node, MappingNode) and not 1 <= len(entries) <= MAX_TARGETS:
            self.wrong(node, f"there are 1 to {MAX_TARGETS} targets")
        for name, entry in entries.items():
            self.text(entry.key, "the name of a target", _NAME, _NAME_WORDS)
            # Names are known although their variables are wrong: rules may refer to them.
            found[name] = self._variable(entry.value)
        return found

    def _variable(self, node: Node) -> str:
        text = node.value if isinstance(node, ScalarNode) else ""
        if "://" in text:
            self.wrong(
                node,
                "a URL may hold secrets and does not stand in this file: put it into an "
                f"environment variable {ALERT_URL_PREFIX}… and name that here",
            )
        elif not _VARIABLE.fullmatch(text) or (
            text.startswith("FUNDING_") and not text.startswith(ALERT_URL_PREFIX)
        ):
            self.wrong(
                node,
                "a target is the name of the environment variable with its URL, as "
                f"{ALERT_URL_PREFIX}DESK",
            )
        elif self._environment is not None and not self._environment.get(text):
            self.wrong(node, f"the environment variable {text} is not set")
        return text

    def _rule(self, node: Node, defaults: _Entries, targets: Mapping[str, str]) -> Rule | None:
        entries = self.mapping(node, "a rule", _RULE_KEYS)
        if not entries:
            return None
        name = self._name(node, entries)
        when = self._condition(node, entries)
        selection = self._selection(entries, defaults)
        told = self._told(node, entries, defaults, targets)
        hold_us = self._hold(entries, when)
        confidence = self._confidence(entries, defaults)
        severity = self._severity(entries, defaults)
        cool_down_us = self._duration(entries, defaults, "cool_down", MAX_LASTING_S)
        quiet = self._all_quiet(entries, defaults)
        digest_us = self._duration(entries, defaults, "digest", _MAX_DIGEST_S)
        if name is None or when is None:
            return None
        said = _canonical(repr((when.condition, selection, confidence, hold_us)))
        return Rule(
            name=name,
            condition=when.condition,
            targets=told,
            selection=selection,
            confidence=confidence,
            severity=severity,
            hold_us=hold_us,
            cool_down_us=cool_down_us,
            quiet=quiet,
            digest_us=digest_us,
            fingerprint=sha256(said.encode()).hexdigest()[:16],
        )

    def _name(self, rule: Node, entries: _Entries) -> str | None:
        if "name" not in entries:
            self.wrong(rule, "a rule has a `name`")
            return None
        node = entries["name"].value
        name = self.text(node, "the name of a rule", _NAME, _NAME_WORDS)
        if name in self._names:
            self.wrong(node, f"a rule {shown(name or '')} stands above: names differ")
        if name is not None:
            self._names.add(name)
        return name

    def _condition(self, node: Node, entries: _Entries) -> When | None:
        if ("when" in entries) == ("kinds" in entries):
            self.wrong(node, "a rule has either `when`, a condition, or `kinds` of our own alerts")
            return None
        if "when" in entries:
            return read_when(self, entries["when"].value)
        names = tuple(str(kind) for kind in AlertKind)
        value = entries["kinds"].value
        if isinstance(value, ScalarNode) and value.value == "all":
            return When(Kinds(frozenset(names)))
        kinds = self.several(value, "`kinds`", lambda n: self.choice(n, "a kind", names), least=1)
        return When(Kinds(frozenset(kinds))) if kinds else None

    def _hold(self, entries: _Entries, when: When | None) -> int:
        own = when.hold_us if when is not None else None
        if "hold" not in entries:
            return own or 0
        node = entries["hold"]
        lasts = "kinds" not in entries and not (
            when is not None and isinstance(when.condition, _NO_LASTING)
        )
        if own is not None or not lasts:
            said = {FeedStates: "`for`", OpenGap: "`longer_than`"}
            instead = said.get(type(when.condition)) if when is not None else None
            what = f"its condition has {instead}" if instead else "alerts do not last"
            self.wrong(node.key, f"this rule has no `hold`: {what}")
            return own or 0
        return self.duration_us(node.value, "`hold`", 0, MAX_LASTING_S) or 0

    def _duration(self, entries: _Entries, defaults: _Entries, name: str, most_s: float) -> int:
        node = first_of(entries, defaults, name)
        return 0 if node is None else self.duration_us(node, f"`{name}`", 0, most_s) or 0

    def _severity(self, entries: _Entries, defaults: _Entries) -> Severity | None:
        node = first_of(entries, defaults, "severity")
        named = None if node is None else self.choice(node, "`severity`", SEVERITIES)
        return next((severity for severity in SEVERITIES if severity == named), None)

    def _confidence(self, entries: _Entries, defaults: _Entries) -> Confidence:
        node = first_of(entries, defaults, "confidence")
        named = None if node is None else self.choice(node, "`confidence`", CONFIDENCES)
        return next((each for each in CONFIDENCES if each == named), "none")

    def _told(
        self, rule: Node, entries: _Entries, defaults: _Entries, targets: Mapping[str, str]
    ) -> tuple[str, ...]:
        node = first_of(entries, defaults, "targets")
        if node is None:
            self.wrong(rule, "a rule has `targets`, names of those above")
            return ()

        def name_of(item: Node) -> str | None:
            if isinstance(item, ScalarNode) and item.value in targets:
                return str(item.value)
            text = item.value if isinstance(item, ScalarNode) else ""
            self.wrong(item, f"there is no target {shown(text)}: {meant(text, targets)}")
            return None

        return tuple(dict.fromkeys(self.several(node, "`targets`", name_of, least=1)))

    def _selection(self, entries: _Entries, defaults: _Entries) -> Selection:
        found = {
            name: self._patterns(node, name)
            for name in _SELECTING
            if (node := first_of(entries, defaults, name)) is not None
        }
        return Selection(**found)

    def _patterns(self, node: Node, name: str) -> Patterns:
        if not isinstance(node, MappingNode):
            return Patterns(include=self._pattern_list(node, name))
        inner = self.mapping(node, f"`{name}`", ("include", "exclude"))
        lists = {key: self._pattern_list(entry.value, name) for key, entry in inner.items()}
        return Patterns(**lists)

    def _pattern_list(self, node: Node, name: str) -> tuple[str, ...]:
        def pattern_of(item: Node) -> str | None:
            if not isinstance(item, ScalarNode):
                self.wrong(item, f"an item of `{name}` is a pattern, as BTC or *:BTC*")
                return None
            problem = pattern_problem(item.value) or self._feed_problem(item.value, name)
            if problem:
                self.wrong(item, problem)
                return None
            return str(item.value)

        return tuple(self.several(node, f"`{name}`", pattern_of, least=1))

    def _feed_problem(self, pattern: str, name: str) -> str:
        """Return what is wrong with the feed that a pattern names; empty: nothing."""
        if name == "bases":
            return ""
        feed, colon, _symbol = pattern.partition(":")
        if name == "contracts" and not colon:
            return "" if "*" in feed else "a contract is <feed>:<symbol>, with * for any"
        if not any(matches(feed, each) for each in self._feeds):
            return f"there is no feed {shown(feed)}: {meant(feed, self._feeds)}"
        return ""

    def _all_quiet(self, entries: _Entries, defaults: _Entries) -> tuple[QuietHours, ...]:
        node = first_of(entries, defaults, "quiet")
        return () if node is None else tuple(self.several(node, "`quiet`", self._quiet))

    def _quiet(self, node: Node) -> QuietHours | None:
        entries = self.mapping(node, "`quiet`", _QUIET_KEYS)
        begin, end = (self._time_of_day(node, entries, name) for name in ("from", "to"))
        zone: tzinfo | None = UTC
        if "zone" in entries:
            zone = self._zone(entries["zone"].value)
        days = list(_DAYS)
        if "days" in entries:
            days = self.several(
                entries["days"].value,
                "`days`",
                lambda item: self.choice(item, "a day", _DAYS),
                least=1,
            )
        words = {"critical": ("pass", "hold"), "then": ("drop", "digest")}
        said = {
            name: self.choice(entries[name].value, f"`{name}`", allowed)
            for name, allowed in words.items()
            if name in entries
        }
        if begin is None or end is None or zone is None:
            return None
        if begin == end:
            self.wrong(node, "`from` and `to` of quiet hours differ")
        return QuietHours(
            begin,
            end,
            zone,
            frozenset(map(_DAYS.index, days)),
            critical_passes=said.get("critical") != "hold",
            collect=said.get("then") == "digest",
        )

    def _time_of_day(self, node: Node, entries: _Entries, name: str) -> time | None:
        if name not in entries:
            self.wrong(node, f"`quiet` has `{name}`, as 22:00")
            return None
        value = entries[name].value
        match = _TIME.fullmatch(value.value) if isinstance(value, ScalarNode) else None
        if match is None:
            self.wrong(value, f"`{name}` is a time of day, as 22:00")
            return None
        return time(int(match[1]), int(match[2]))

    def _zone(self, node: Node) -> tzinfo | None:
        text = node.value if isinstance(node, ScalarNode) else ""
        try:
            if _ZONE.fullmatch(text):
                return ZoneInfo(text)
        except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            pass
        self.wrong(node, "`zone` is UTC or a zone of the IANA, as Europe/Berlin")
        return None


def _canonical(text: str) -> str:
    """Return a representation in which sets are ordered, so that it is the same in each process."""
    return re.sub(
        r"frozenset\(\{([^}]*)\}\)", lambda m: "{" + ",".join(sorted(m[1].split(", "))) + "}", text
    )
