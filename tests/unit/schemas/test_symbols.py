"""What a contract may be called: real names of every exchange, and nothing that deceives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.symbols import MAX_NAME_BYTES, MAX_SYMBOL_BYTES, clip, name_fault, symbol_fault


@pytest.mark.parametrize(
    "symbol",
    [
        *("BTCUSDT", "币安人生USDT", "1000PEPEUSDT", "BTCUSD_PERP", "BTCUSDT_260925", "XBTUSDTM"),
        *("xyz:NVDA", "@123", "kPEPE", "SOL_USDC_PERP", "BTC-USDT-SWAP", "BTC/USD", "ETH.P", "U"),
        *("AAPL.US_USDC_PERP", "BTC-USD_UM_XPERP-310404", "A+B", "é", "X" * MAX_SYMBOL_BYTES),
    ],
)
def test_what_exchanges_call_contracts_is_a_symbol(symbol: str) -> None:
    """Letters and digits of any script, and the punctuation that exchanges use."""
    assert symbol_fault(symbol) is None


@pytest.mark.parametrize(
    ("symbol", "fault"),
    [
        *((text, "without a letter or a digit") for text in ("", ".", "..", "/", "@", "_-:./@+")),
        (" ", "U+0020"),
        ("BTC USDT", "U+0020"),
        ("BTCUSDT\n", "U+000A"),
        ("A\x00B", "U+0000"),
        ("BTC\u202eTDSU", "U+202E"),
        ("BTC\u200bUSDT", "U+200B"),
        ("\u3164", "U+3164"),
        ("<b>", "U+003C"),
        ("A&B", "U+0026"),
        ("A'--", "U+0027"),
        ("\ud800", "U+D800"),
        ("e\u0301", "U+0301"),
        ("\u212b", "NFC"),
        ("X" * (MAX_SYMBOL_BYTES + 1), "65 characters"),
        ("币" * 22, "66 bytes"),
        ("X" * 1_000_000, "1000000 characters"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_deceives_or_is_too_long_is_none(symbol: str, fault: str) -> None:
    """The reason says which character it is, and quotes nothing of it."""
    told = symbol_fault(symbol)
    assert told is not None
    assert fault in told
    assert len(told) < 60


@given(st.text(max_size=100))
def test_a_symbol_is_bounded_and_shows(symbol: str) -> None:
    """Whatever text there is."""
    if symbol_fault(symbol) is None:
        assert 0 < len(symbol.encode()) <= MAX_SYMBOL_BYTES
        assert symbol.isprintable()
        assert not any(character.isspace() for character in symbol)


@given(st.text(alphabet=st.characters(codec=None), max_size=40), st.integers(0, 60))
def test_a_clipped_text_fits_and_is_the_beginning(text: str, limit: int) -> None:
    """Whole characters; what UTF-8 cannot hold is a question mark."""
    clipped = clip(text, limit)
    shown = text.encode(errors="replace").decode()
    assert shown.startswith(clipped.encode(errors="replace").decode())
    assert len(clipped.encode("utf-8", "surrogatepass")) <= max(limit, 0)


def test_names_of_assets_are_bounded_and_show() -> None:
    """A base, a quote, a status."""
    assert [name_fault(name) for name in ("", "BTC", "PRE TRADING", "币" * 21)] == [None] * 4
    assert name_fault("币" * 22) == f"longer than {MAX_NAME_BYTES} bytes"
    assert name_fault("B\u202eTC") == "with characters that do not show"
