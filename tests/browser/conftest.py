"""The browser that the tests of this folder share."""

from __future__ import annotations

from tests.support.browser import browser

__all__ = ["browser"]
