"""Rows as CSV (RFC 4180), for spreadsheets: a text cell never becomes a formula. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet would take a text for a formula (OWASP, "CSV Injection")."""
GUARD = "'"
"""It stands before such a text, and before one that begins with itself."""


def csv_text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with a head. Numbers stay numbers; what JSON has as null is an empty cell.

    An object within a row becomes cells of its own, named `object_field`; a list is written as
    JSON.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in map(flat, rows))
    return text.getvalue()


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose objects are spread over fields of their own."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{inner}": item for inner, item in value.items()}
        else:
            found[name] = value
    return found


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return GUARD + value if value.startswith((*_FORMULA_STARTS, GUARD)) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return msgspec.json.encode(value).decode()
    return value
