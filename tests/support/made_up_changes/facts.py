"""A venue that sends what has changed: what all parts share of it.

Its one socket sends gzip. A message is `{"n":3,"ping":7}`, to be answered with `{"pong":7}` before
more comes, or `{"n":4,"whole":false,"rows":{"PEPE/USD":{"at":ms}}}`. `n` counts the messages of the
connection, and a row has the fields that have changed. REST is that of the other made-up venue.
"""

from __future__ import annotations

from tests.support.made_up_venue.facts import FEED as PLAIN

_HERE = __name__.rpartition(".")[0]

FEED = PLAIN._replace(
    name="made-up-changes",
    description=f"{_HERE}.description",
    normaliser=f"{_HERE}.normaliser",
    simulator=f"{_HERE}.simulator",
    thinned=True,
)
