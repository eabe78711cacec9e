"""A rules file is checked whole: each mistake with line, column, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from schemas.alert_kinds import AlertKind
from schemas.errors import ConfigurationError
from schemas.feeds import FEEDS
from stream_app.notifier.rules.model import Kinds, RuleFile
from stream_app.notifier.rules_file.problems import MAX_PROBLEMS, RulesFileError
from stream_app.notifier.rules_file.reader import MAX_FILE_BYTES, load_rules, read_rules
from stream_app.notifier.rules_file.words import rule_words
from tests.support.paths import ROOT
from tests.support.rules import rules_of

EXAMPLE = ROOT / "infra" / "alerts" / "rules.example.yaml"
VARIABLES = {"FUNDING_ALERT_URL_DESK": "json://x", "FUNDING_ALERT_URL_ON_CALL": "json://y"}
HEAD = "targets: {desk: FUNDING_ALERT_URL_DESK}\nrules:\n"
GOOD = "  - {name: a, when: {z: {abs: 3}}, targets: [desk]}\n"


def problems_of(text: str) -> list[str]:
    """The mistakes of a file as `line:column: text`."""
    with pytest.raises(RulesFileError) as told:
        read_rules(text, "f.yaml", FEEDS, VARIABLES)
    return [f"{p.line}:{p.column}: {p.text}" for p in told.value.problems]


def problem_of_rule(inside: str) -> str:
    """The one mistake of a rule that has a name and a target besides."""
    (problem,) = problems_of(f"{HEAD}  - {{name: a, targets: [desk], {inside}}}\n")
    return problem


def test_the_example_is_right() -> None:
    """And says something in words about each rule."""
    found = load_rules(str(EXAMPLE), FEEDS, VARIABLES)
    assert len(found.rules) == 8
    assert all(len(rule_words(rule)) > 1 for rule in found.rules)
    assert found.targets == dict(zip(("desk", "on-call"), VARIABLES, strict=True))


def test_every_mistake_is_told_in_one_go() -> None:
    """In the order of the file, each where it stands."""
    text = (
        "targets:\n  desk: slack://A/B/C\nruels: []\nrules:\n"
        "  - name: a\n    wen: {z: {abs: 3}}\n    when: {z: {abs: -3}}\n    targets: [dsk]\n"
        "  - name: a\n    kinds: [z_cros]\n    hold: 5m\n    targets: [desk]\n"
    )
    assert problems_of(text) == [
        (
            "2:9: a URL may hold secrets and does not stand in this file: put it into an "
            "environment variable FUNDING_ALERT_URL_… and name that here"
        ),
        "3:1: the file has no key `ruels`: did you mean `rules`?",
        "6:5: a rule has no key `wen`: did you mean `when`?",
        "7:21: `abs` of z is a number from 0 to 1000, not `-3`",
        "8:15: there is no target `dsk`: did you mean `desk`?",
        "9:11: a rule `a` stands above: names differ",
        "10:13: a kind is not `z_cros`: did you mean `z_cross`?",
        "11:5: this rule has no `hold`: alerts do not last",
    ]


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        ("when: {}", "3:38: `when` has a condition: z, apr, spread, sign_flip"),
        ("when: [z]", "3:38: `when` is a mapping of keys and values"),
        ("when: {z: {abs: 3}, gap: {longer_than: 1m}}", "`when` has one condition; z and apr"),
        ("when: {z: {abs: 3, above: 2}}", "`z` has one of abs, above, below"),
        ("when: {z: {abs: 3, back: 4}}", "`back` of z is a number from 0 to 3, not `4`"),
        ("when: {z: {abs: nan}}", "`abs` of z is a number from 0 to 1000, not `nan`"),
        ("when: {z: {abs: '3'}}", "`abs` of z is a number from 0 to 1000"),
        ("when: {apr: {above: 1e9}}", "`above` of apr is a number from -1e+06 to 1e+06"),
        ("when: {spread: {apr: 3, rate_8h: 1}}", "`spread` has one of rate_8h, apr, in percent"),
        ("when: {sign_flip: 1}", "`sign_flip` is true or false"),
        ("when: {feed_state: {states: [dwn]}}", "a state is not `dwn`: did you mean `down`?"),
        ("when: {feed_state: {states: []}}", "`states` has 1 to 200 items, here are 0"),
        ("when: {feed_state: {for: 1m}}", "`feed_state` has `states`, a list of connecting, live"),
        ("when: {gap: {of: contract}}", "`gap` has `longer_than`, a duration as 2m"),
        ("when: {gap: {longer_than: 31d}}", "`longer_than` is 0s to 30d"),
        ("when: {gap: {longer_than: 1m}}, hold: 1m", "its condition has `longer_than`"),
        ("when: {mismatch: {share_above: 2}}", "`share_above` is a number from 0 to 1, not `2`"),
        ("when: {z: {abs: 3}}, kinds: [z_cross]", "a rule has either `when`, a condition, or"),
        ("kinds: z_cros", "a kind is not `z_cros`: did you mean `z_cross`?"),
        ("kinds: all, cool_down: 1 year", "`cool_down` is a duration, as 90s, 15m, 4h or 1d"),
        ("kinds: all, digest: 2d", "`digest` is 0s to 1d"),
        ("kinds: all, severity: bad", "`severity` is not `bad`: allowed are info, warning"),
        ("kinds: all, confidence: hihg", "did you mean `high`?"),
        ("kinds: all, feeds: [binance-usd]", "no feed `binance-usd`: did you mean `binance-usdm`?"),
        ("kinds: all, contracts: ['kucon:*']", "no feed `kucon`: did you mean `kucoin`?"),
        ("kinds: all, contracts: [BTC]", "a contract is <feed>:<symbol>"),
        ("kinds: all, bases: ['[A']", "`[` has no `]`: write [[] for the bracket itself"),
        ("kinds: all, bases: ['a b']", "a pattern has no spaces and no control characters"),
        (f"kinds: all, bases: [{'x' * 101}]", "a pattern has 1 to 100 characters"),
        (
            "kinds: all, bases: {inclde: [A]}",
            "`bases` has no key `inclde`: did you mean `include`?",
        ),
        ("kinds: all, quiet: {from: 22:00}", "`quiet` has `to`, as 22:00"),
        ("kinds: all, quiet: {from: 22:00, to: 24:00}", "`to` is a time of day, as 22:00"),
        ("kinds: all, quiet: {from: 22:00, to: 22:00}", "`from` and `to` of quiet hours differ"),
        ("kinds: all, quiet: {from: 22:00, to: 6:00, zone: Mars/X}", "a zone of the IANA"),
        ("kinds: all, quiet: {from: 22:00, to: 6:00, zone: ../x}", "a zone of the IANA"),
        ("kinds: all, quiet: {from: 22:00, to: 6:00, days: [sunday]}", "a day is not `sunday`"),
        ("kinds: all, kinds: all", "`kinds` stands twice in a rule"),
        ("kinds: all, ? [x] : 1", "a key of a rule is a word"),
    ],
)
def test_a_mistake_says_what_is_allowed(inside: str, told: str) -> None:
    """One mistake in a rule that is right otherwise."""
    assert told in problem_of_rule(inside)


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ("{desk: FUNDING_ALERT_URL_NONE}", "1:17: the environment variable FUNDING_ALERT_URL_NONE"),
        ("{desk: FUNDING_WEB_PORT}", "1:17: a target is the name of the environment variable"),
        ("{Desk: FUNDING_ALERT_URL_DESK}", "1:11: the name of a target is 1 to 60 of a-z"),
        ("{}", "1:10: there are 1 to 32 targets"),
    ],
)
def test_targets_are_names_of_variables(targets: str, told: str) -> None:
    """Which are set, and begin as ours do if they begin with FUNDING_."""
    assert any(told in problem for problem in problems_of(f"targets: {targets}\nrules:\n{GOOD}"))


def test_a_secret_in_the_file_is_never_repeated() -> None:
    """Wherever it was put by mistake."""
    secret = "slack://hunter2/hunter2"
    for text in (
        f"targets: {{desk: '{secret}'}}\nrules:\n{GOOD}",
        f"{HEAD}  - {{name: '{secret}', kinds: all, targets: ['{secret}']}}\n",
        f"{HEAD}  - {{name: a, kinds: ['{secret}'], targets: desk, '{secret}': 1}}\n",
        f"{HEAD}  - {{name: a, when: {{z: {{abs: '{secret}'}}}}, targets: desk}}\n",
    ):
        assert "hunter2" not in "\n".join(problems_of(text))
    for text in (
        "targets: {desk: *hunter2}",
        "targets: {desk: &hunter2 [&hunter2 a]}",
        "targets: !hunter2!x a",
        "%TAG !hunter2! x\n%TAG !hunter2! y\n---\ntargets: a",
    ):
        (problem,) = problems_of(text)
        assert "this is no YAML: " in problem
        assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: [", "f.yaml:1:9: this is no YAML: expected the node content"),
        ("a: b: c", "f.yaml:1:5: this is no YAML: mapping values are not allowed here"),
        ("a: *b", "f.yaml:1:4: this is no YAML: found undefined alias"),
        ("", "f.yaml is empty"),
        ("a:\n " + "[" * 5_000, "f.yaml:2:33: this is no YAML: more than 32 lists and mappings"),
        (f"a: {'{b: ' * 40}", "f.yaml:1:128: this is no YAML: more than 32 lists and mappings"),
        ("\x00", r"f.yaml:1:1: this is no YAML: the character U\+0000 is not allowed"),
        ("a: b\r\nc: d\x1b", r"f.yaml:2:5: this is no YAML: the character U\+001B"),
        ("\ufeffa: b\n\u2028x: \x7f", r"f.yaml:3:4: this is no YAML: the character U\+007F"),
        ('a: "\\UFFFFFFFF"', "f.yaml:1:7: this is no YAML: a number is too large"),
        ('a: "\\U00110000"', "f.yaml:1:7: this is no YAML: a number is too large"),
        (f"%YAML 1.{'9' * 5_000}\n---\na", "f.yaml:1:9: this is no YAML: a number is too large"),
        ("&a [&a b]", "f.yaml:1:5: this is no YAML: an anchor stands twice"),
        ("just text", "f.yaml:1:1: the file is a mapping of keys and values"),
    ],
)
def test_what_is_no_rules_file_is_told_in_words(text: str, told: str) -> None:
    """Without a traceback."""
    with pytest.raises(ConfigurationError, match=told):
        read_rules(text, "f.yaml", FEEDS, None)


def test_a_file_is_bounded(tmp_path: Path) -> None:
    """In its size, its rules, and the mistakes that are told."""
    file = tmp_path / "rules.yaml"
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigurationError, match="longer than"):
        load_rules(str(file), FEEDS, None)
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="it is not UTF-8"):
        load_rules(str(file), FEEDS, None)
    for path, told in (("", "FUNDING_ALERT_RULES"), (str(tmp_path / "no"), "No such file")):
        with pytest.raises(ConfigurationError, match=told):
            load_rules(path, FEEDS, None)
    many = "".join(f"  - {{name: r{n}, kinds: all, targets: desk}}\n" for n in range(201))
    assert problems_of(HEAD + many) == ["3:3: `rules` is a list of 1 to 200 rules"]
    wrong = "".join(f"  - {{name: r{n}, kinds: x, targets: desk}}\n" for n in range(200))
    assert len(problems_of(HEAD + wrong)) == MAX_PROBLEMS


def test_an_alias_is_read_where_it_stands() -> None:
    """YAML's anchors work; one that holds itself does not hang."""
    rules = ("{name: a, kinds: &k [z_cross], targets: desk}", "{name: b, kinds: *k, targets: desk}")
    text = HEAD + "".join(f"  - {rule}\n" for rule in rules)
    assert len(read_rules(text, "f", FEEDS, None).rules) == 2
    assert problems_of(HEAD + "  - &r {name: a, kinds: [*r], targets: desk}\n")


def test_defaults_hold_where_a_rule_says_nothing() -> None:
    """And only there."""
    text = (
        "targets: {desk: FUNDING_ALERT_URL_DESK}\ndefaults: {targets: desk, cool_down: 1h}\n"
        "rules:\n  - {name: a, kinds: all}\n  - {name: b, kinds: all, cool_down: 0s}\n"
    )
    one, two = read_rules(text, "f", FEEDS, None).rules
    assert (one.cool_down_us, two.cool_down_us) == (3_600_000_000, 0)
    assert one.targets == two.targets == ("desk",)
    assert one.condition == Kinds(frozenset(str(kind) for kind in AlertKind))


def test_a_fingerprint_changes_with_what_a_rule_asks_for() -> None:
    """And not with whom it tells, nor from process to process."""

    def print_of(rule: str) -> str:
        found: RuleFile = rules_of(rule)
        return found.rules[0].fingerprint

    states = "name: a, when: {feed_state: {states: [down, stalled, live, silent]}}"
    assert print_of(states) == "974c7eadbaf0f896", "sets are ordered: it is so in each process"
    assert print_of("name: a, when: {z: {abs: 3}}") != print_of("name: a, when: {z: {abs: 2}}")
    assert print_of("name: a, when: {z: {abs: 3}}, targets: spare, cool_down: 1h") == print_of(
        "name: a, when: {z: {abs: 3}}"
    )


def test_the_example_is_yaml_for_others_too() -> None:
    """It has no surprises of YAML 1.1: what we read as text is text."""
    assert isinstance(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")), dict)
