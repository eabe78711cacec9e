"""Fixtures that several test folders share."""

from __future__ import annotations

from tests.integration.stack_fixture import stack

__all__ = ["stack"]
