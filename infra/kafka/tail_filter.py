"""Which records of a topic a person wants to see. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.errors import ConfigurationError
from schemas.partitioning import partition_of
from schemas.topics import TopicSpec

_CONTRACT_FIELDS = ("contract_id", "subject")
_FEED_FIELDS = ("feed", *_CONTRACT_FIELDS)
_Z_FIELDS = ("z",)


class Filter(NamedTuple):
    """What a record must have; None: whatever it is."""

    contract: str | None = None
    """The id of the contract."""
    feed: str | None = None
    min_z: float | None = None
    """|z| is this or more; a record without a z is none of them."""

    def check(self, topic: TopicSpec) -> None:
        """Check that the records of a topic have the fields. Raises ConfigurationError."""
        for option, value, names in (
            ("--contract", self.contract, _CONTRACT_FIELDS),
            ("--feed", self.feed, _FEED_FIELDS),
            ("--min-z", self.min_z, _Z_FIELDS),
        ):
            fields = topic.record_type.fields if topic.record_type is not None else ()
            if value is not None and not any(name in fields for name in names):
                raise ConfigurationError(
                    f"{option}: records of {topic.name} have no {' or '.join(names)}"
                )

    def partitions(self, topic: TopicSpec) -> list[int]:
        """Return the partitions that can hold such records."""
        if self.contract is None:
            return list(range(topic.partitions))
        return [partition_of(self.contract, topic.partitions)]

    def holds(self, record: Mapping[str, Any] | None) -> bool:
        """Whether a decoded record is one of them.

        None, the end of a key, has no fields to choose by: it is one where nothing is chosen.
        """
        if record is None:
            return self == Filter()
        if self.contract is not None and _first(record, _CONTRACT_FIELDS) != self.contract:
            return False
        # A subject is a contract of a feed, or the feed itself.
        if self.feed is not None and _first(record, _FEED_FIELDS).split(":")[0] != self.feed:
            return False
        return self.min_z is None or (record["z"] is not None and abs(record["z"]) >= self.min_z)


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next(str(record[name]) for name in names if name in record)
