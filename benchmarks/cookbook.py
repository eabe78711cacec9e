"""The queries of docs/cookbook.md, by the titles under which they stand."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "cookbook.md"
_QUERY = re.compile(r"^## (.*?)\n.*?^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)


def queries() -> dict[str, str]:
    """Return each query by its title, in the order of the page."""
    return dict(_QUERY.findall(PAGE.read_text(encoding="utf-8")))
