"""`python -m stream_app.sink`: the sink without the console script."""

from __future__ import annotations

import sys

from schemas.errors import FundingStreamError
from stream_app.sink.commands import sink

try:
    sink()
except FundingStreamError as error:
    sys.stderr.write(f"fundingstream sink: {error}\n")
    sys.exit(error.exit_code)
