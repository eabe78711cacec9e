"""The lines by which made-up venues are registered, as an installed package has them."""

from __future__ import annotations

from pathlib import Path

LINE = "made-up = tests.support.made_up_venue.facts:FEED"
CHANGES = "made-up-changes = tests.support.made_up_changes.facts:FEED"
POLLED = "made-up-polled = tests.support.made_up_polled.facts:FEED"


def registered(folder: Path, *lines: str) -> Path:
    """A folder for PYTHONPATH with the metadata of a package that has these lines, or the first."""
    metadata = folder / "made_up_venue-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-venue\nVersion: 1\n")
    text = "\n".join(lines or [LINE])
    (metadata / "entry_points.txt").write_text(f"[fundingstream.feeds]\n{text}\n")
    return folder
