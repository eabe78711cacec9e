"""The messages of the venue without a stream, over which the suites of all venues run."""

from __future__ import annotations

from dataclasses import replace

from tests.support.made_up_venue import samples as plain

SAMPLES = replace(plain.SAMPLES, data=[], control=[])
PAYLOADS = tuple(
    one._replace(feed="made-up-polled") for one in plain.PAYLOADS if one.purpose != "stream"
)
DOCUMENTED = replace(plain.DOCUMENTED, sockets=[])
