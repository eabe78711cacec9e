"""The client that ccxt has for an exchange, pointed at a simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest


@asynccontextmanager
async def client(name: str, urls: dict[str, Any]) -> AsyncIterator[Any]:
    """The client that ccxt has for an exchange, pointed at other URLs.

    The test is skipped without ccxt, which is no dependency of ours: `pip install ccxt` (4.5 is
    what these tests were written with).
    """
    ccxt = pytest.importorskip("ccxt.pro")
    # With its own resolver and certificates the client would look beyond this machine.
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8))
    one = getattr(ccxt, name)({"session": session, "enableRateLimit": False})
    one.urls["api"] = {**one.urls["api"], **urls}
    one.has["fetchCurrencies"] = False
    try:
        yield one
    finally:
        await one.close()
        await session.close()


def symbol_of(one: Any, unified: str) -> str:
    """The exchange's own name of a ccxt symbol."""
    symbol: str = one.market(unified)["id"]
    return symbol
