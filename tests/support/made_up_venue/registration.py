"""The one line by which the made-up venue is registered, as an installed package has it."""

from __future__ import annotations

from pathlib import Path

LINE = "made-up = tests.support.made_up_venue.facts:FEED"


def registered(folder: Path) -> Path:
    """A folder for PYTHONPATH with the metadata of a package that has the one line."""
    metadata = folder / "made_up_venue-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-venue\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[fundingstream.feeds]\n{LINE}\n")
    return folder
