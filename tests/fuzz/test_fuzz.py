"""The fuzzers' targets without a fuzzer, and with atheris where it is installed.

Seam between the two sides: what a description cuts is what the normaliser of its feed reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.symbols import symbol_fault
from tests.fuzz.messages import FRAMES, REPLIES, Message
from tests.fuzz.slicing import TARGETS, slice_input, slice_or_refuse, slice_seeds, target_of
from tests.fuzz.targets import normalise_input, normalise_seeds, read_or_refuse
from tests.support.paths import ROOT
from tests.venues.samples import RECEIVED_AT_US

RUNS = 20_000


@pytest.mark.parametrize(
    "message",
    [*FRAMES, *(m for m in REPLIES if m.sample.purpose != "reconcile")],
    ids=lambda m: f"{m.sample.feed} {m.sample.purpose} {m.sample.channel}",
)
def test_what_a_description_cuts_is_what_the_normaliser_reads(message: Message) -> None:
    """Channel, symbol and meaning come through, whatever envelope a piece keeps."""
    sample = message.sample
    ((channel, piece),) = slice_or_refuse(TARGETS[target_of(sample)], message.body)
    assert piece.symbol == sample.symbol
    payload = piece.payload
    if piece.partial is not None:
        payload = piece.partial.head + payload + piece.partial.tail
    cut = read_or_refuse(sample._replace(channel=channel), payload, RECEIVED_AT_US)
    assert cut == read_or_refuse(sample, sample.payload, RECEIVED_AT_US) != ()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.sampled_from(slice_seeds()),
    cuts=st.lists(st.integers(0, 400), min_size=2, max_size=2).map(sorted),
    middle=st.binary(max_size=6)
    | st.sampled_from([b"null", b"[", b"{}", b'""', b"1e999", b"9" * 99]),
)
def test_a_damaged_message_is_cut_or_refused(seed: bytes, cuts: list[int], middle: bytes) -> None:
    """Nothing but MalformedInputError escapes, from a description or from a normaliser."""
    body = seed[1:]
    slice_input(seed[:1] + body[: cuts[0]] + middle + body[cuts[1] :])


DEEP = 20_000
ODD = (
    *(b"[" * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP, b"9" * DEEP, b"-" + b"9" * DEEP),
    *(b"1e999999999", b"NaN", b"-Infinity", b"18446744073709551616", b"1e308", b"0", b"-1"),
    *(b'"\\ud800"', b'"\\udfff\\ud800"', b'"\xff\xfe"', b'"\\u0000"', b'"\\n"', b'""', b"null"),
    *(b'"' + b"A" * DEEP + b'"', b'"1e999"', b'"nan"', b'"' + b"9" * 5_000 + b'"', b'"\xd9\xa3"'),
    *(b"true", b"{}", b"[]", b"\xef\xbb\xbf[]"),
)
HERE = "@here@"


def places(value: Any) -> Iterator[Any]:
    """Copies of a JSON value, with HERE in each place in turn."""
    yield HERE
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: copy} for copy in places(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for copy in places(inner):
                yield [*value[:index], copy, *value[index + 1 :]]


@pytest.mark.parametrize("seed", slice_seeds(), ids=lambda seed: repr(seed[:50]))
def test_an_odd_value_in_any_place_is_cut_or_refused(seed: bytes) -> None:
    """Too deep, too long, too large, no number, no text: no other error, and short symbols."""
    target = TARGETS[seed[0] % len(TARGETS)]
    for copy in places(json.loads(seed[1:])):
        text = json.dumps(copy, ensure_ascii=False).encode()
        for odd in ODD:
            body = text.replace(f'"{HERE}"'.encode(), odd)
            for _channel, piece in slice_or_refuse(target, body):
                assert piece.symbol is None or symbol_fault(piece.symbol) is None


@pytest.mark.parametrize("target", [normalise_input, slice_input])
def test_a_fuzzers_target_takes_any_input(target: object) -> None:
    """Also none at all."""
    assert callable(target)
    for data in (b"", b"\xff", *normalise_seeds(), *slice_seeds()):
        target(data)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("script", ["fuzz_normalise", "fuzz_slice"])
def test_atheris_finds_nothing(script: str, tmp_path: Path) -> None:
    """A short run of each harness; long ones are run by hand."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{script}", f"-runs={RUNS}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert f"Done {RUNS}" in done.stderr
