"""Whole messages as the exchanges send them, made of the samples: frames, and replies by resource.

What a producer cuts out of them is what the samples are.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.fuzz.samples import SAMPLES
from tests.venues.samples import Sample


class Message(NamedTuple):
    """A message, and the sample that is to come out of it."""

    sample: Sample
    body: bytes


FRAMES = tuple(Message(s, s.message) for s in SAMPLES if s.purpose == "stream")
REPLIES = tuple(Message(s, s.message) for s in SAMPLES if s.purpose != "stream" and s.asked)
