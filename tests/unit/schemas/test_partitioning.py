"""Identity of a contract and its partition: what a keyed producer of any language would choose."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitioning import PARTITIONS, contract_id, murmur2, partition_of

symbols = st.text(min_size=1, max_size=24) | st.sampled_from(
    ["BTCUSDT", "币安人生USDT", "xyz:NVDA", "BTC_USDC_PERP", "1000PEPEUSDT", "BTCUSD_PERP"]
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_the_java_clients(data: bytes, expected: int) -> None:
    """The vectors of org.apache.kafka.common.utils.UtilsTest, signed as Java has them."""
    assert murmur2(data) == expected % 2**32


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"kafka", 0xD067CF64),
        (b"giberish123456789", 0x8F552B0C),
        (b"1234", 0x9FC97B14),
        (b"234", 0xE7C009CA),
        (b"34", 0x873930DA),
        (b"4", 0x5A4B5CA1),
        (b"", 0x106E08D9),
    ],
)
def test_murmur2_is_librdkafkas(data: bytes, expected: int) -> None:
    """The vectors of librdkafka's rdmurmur2.c; every length of the tail is among them."""
    assert murmur2(data) == expected


@given(symbol=symbols, partitions=st.integers(1, 64))
def test_the_partition_is_the_default_partitioners(symbol: str, partitions: int) -> None:
    """The Java partitioner as aiokafka ported it agrees, for keys of any script."""
    key = contract_id("binance-usdm", symbol)
    everyone = list(range(partitions))
    expected = DefaultPartitioner()(key.encode(), everyone, everyone)
    assert partition_of(key, partitions) == expected


def test_without_a_number_it_is_the_partition_of_our_topics() -> None:
    """Eight partitions, and a universe of contracts uses them all."""
    keys = [contract_id("binance-usdm", f"COIN{i}USDT") for i in range(200)]
    assert [partition_of(key) for key in keys] == [partition_of(key, 8) for key in keys]
    assert {partition_of(key) for key in keys} == set(range(PARTITIONS))


def test_a_contract_id_names_feed_and_native_symbol() -> None:
    """The native symbol may hold a colon itself."""
    assert contract_id("binance-usdm", "BTCUSDT") == "binance-usdm:BTCUSDT"
    assert contract_id("hyperliquid", "xyz:NVDA") == "hyperliquid:xyz:NVDA"
