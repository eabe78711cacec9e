"""Which texts are accepted as symbols of contracts, by producers and worker alike.

A symbol becomes a key of state, of Kafka records and of rows, so its length is bounded and it may
hold nothing invisible. Letters of any script are allowed: one exchange lists `币安人生USDT`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import is_normalized

MAX_SYMBOL_BYTES = 64
"""As UTF-8. The longest that any exchange was seen to use has 24."""
MAX_NAME_BYTES = 64
"""Of a base or quote asset and of a status, as UTF-8."""
_PUNCTUATION_TEXT = "_-:./@+,"
_PUNCTUATION = frozenset(_PUNCTUATION_TEXT)
"""As in BTCUSD_PERP, BTC-USDT-SWAP, xyz:NVDA, ETH.P, BTC/USD, @123, and A,pool,0x12-USD."""
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0")
"""Hangul fillers: letters by their category, and nothing to see."""
_matches_plain = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_\-:./@+,]+").fullmatch


def symbol_fault(symbol: str) -> str | None:
    """Return why a text cannot be a symbol, without quoting it; None: it can be one.

    Refused are a text without a letter or a digit, more than MAX_SYMBOL_BYTES, spaces, control and
    format characters (a right-to-left override among them), markup, and text that is not in
    Unicode's form NFC, of which two that look the same would be two contracts.
    """
    if len(symbol) <= MAX_SYMBOL_BYTES and _is_plain(symbol):
        return None
    if not symbol.strip(_PUNCTUATION_TEXT):
        return "a symbol without a letter or a digit"
    if len(symbol) > MAX_SYMBOL_BYTES:
        return f"a symbol of {len(symbol)} characters"
    for character in symbol:
        is_word = character.isalpha() or character.isdecimal()
        if not (is_word or character in _PUNCTUATION) or character in _INVISIBLE:
            return f"a symbol with U+{ord(character):04X} in it"
    if len(symbol.encode()) > MAX_SYMBOL_BYTES:
        return f"a symbol of {len(symbol.encode())} bytes"
    return None if is_normalized("NFC", symbol) else "a symbol that is not in the form NFC"


@lru_cache(maxsize=1 << 15)
def _is_plain(symbol: str) -> bool:
    """Tell whether a short text is a symbol at first sight; each row of a frame asks again."""
    return _matches_plain(symbol) is not None


def name_fault(name: str) -> str | None:
    """Return why a text cannot be the name of an asset or a status; None: it can be one."""
    if len(name) > MAX_NAME_BYTES or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"longer than {MAX_NAME_BYTES} bytes"
    return None if name.isprintable() else "with characters that do not show"


def clip(text: str, limit_bytes: int) -> str:
    """Return the beginning of a text that fits into so many bytes of UTF-8."""
    if len(text) * 4 <= limit_bytes:
        return text
    # What UTF-8 cannot hold (half a surrogate pair) becomes a question mark.
    return text[:limit_bytes].encode(errors="replace")[:limit_bytes].decode(errors="ignore")
