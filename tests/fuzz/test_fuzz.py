"""The fuzzers' targets without a fuzzer, and with atheris where it is installed.

Seam between the two sides: what a description cuts is what the normaliser of its feed reads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.messages import FRAMES, REPLIES, Message
from tests.fuzz.samples import RECEIVED_AT_US
from tests.fuzz.slicing import TARGETS, slice_input, slice_or_refuse, slice_seeds, target_of
from tests.fuzz.targets import normalise_input, normalise_seeds, read_or_refuse

ROOT = Path(__file__).resolve().parents[2]
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
    cut = read_or_refuse(sample._replace(channel=channel), piece.payload, RECEIVED_AT_US)
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
