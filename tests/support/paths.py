"""Where tests find the repository's files and the captured messages beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
SHARED_FIXTURES = ROOT.parent / "shared" / "fixtures"
"""Messages that real exchanges sent; tests that need them skip where they are not present."""
