"""What the simulator really sent, and what really settled: the yardstick of every test.

Responsible for: `truth/<feed>.ndjson` (one line per contract update put on a socket),
`truth/<feed>.missed.ndjson` (those that nobody got, where asked for), `truth/settlements.ndjson`
and `truth/faults.ndjson` under the data directory; each update once however many clients got it;
each settlement once however often the simulator is restarted. A line is written after a send
returned, so whatever is here left the simulator.

Keys. Updates: `contract_id`, `event_time`, `sent_at` (µs since the epoch), `rate`; missed ones the
same, `sent_at` being when the tick was published, and `why`: `fault`, `unsubscribed` or
`no socket`. Settlements: `contract_id`, `funding_time` (µs, on the contract's grid), `rate`,
`interval_hours`, `kind` (`regular`, or `special`: extra funding that a fault has ordered). Faults:
`id`, `kind`, `feed`, `began_at`, `ended_at` (µs; null at the begin), `parameters`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from schemas.errors import ConfigurationError, StateError, UnavailableError
from schemas.process.files import write_atomically
from schemas.process.locks import FileLock, LockedError

_BUFFER_LIMIT_BYTES = 1_000_000


class TickLedger:
    """Which contracts of one tick have been recorded already.

    Args:
        heads: per contract, the start of its line up to the event time; None: never recorded
            (rows of another feed).
        event_us: per contract, the event time in µs.
        rates: per contract, the rate exactly as printed on the wire; None where there is none.
    """

    __slots__ = ("_event_us", "_heads", "_rates", "delivery")

    def __init__(
        self,
        heads: Sequence[str | None],
        event_us: Sequence[int],
        rates: Sequence[str | None],
    ) -> None:
        self._heads: list[str | None] = list(heads)
        self._event_us = event_us
        self._rates = rates
        self.delivery: Delivery | None = None
        """What becomes of its updates, where somebody wants to know."""

    def claim(self, rows: Sequence[int], sent_us: int, shift_us: int = 0) -> list[str]:
        """The lines of those rows that no earlier send has claimed.

        `shift_us` is how far the times of the frame were moved.
        """
        heads, event_us, rates = self._heads, self._event_us, self._rates
        lines = []
        for row in rows:
            head, rate = heads[row], rates[row]
            if head is not None and rate is not None:
                heads[row] = None
                at_us = event_us[row] + shift_us
                lines.append(f'{head}{at_us},"sent_at":{sent_us},"rate":{rate}}}\n')
        return lines

    def is_open(self, row: int) -> bool:
        """Whether a row has something to claim that nobody has claimed."""
        return self._heads[row] is not None and self._rates[row] is not None

    def missed(self, row: int, published_us: int, why: str) -> str:
        """The line of an open row that nobody will claim."""
        return (
            f'{self._heads[row]}{self._event_us[row]},"sent_at":{published_us},'
            f'"rate":{self._rates[row]},"why":"{why}"}}\n'
        )


class Delivery:
    """Follows one tick until every frame of it was sent or lost; then tells what nobody got.

    Args:
        ledgers: of the tick; an update counts as delivered with any of them.
        rows: the contracts that the tick has an update of.
        published_us: when.
        otherwise: why an update was missed that no fault is blamed for.
        record: gets the lines of the missed updates, once.
    """

    def __init__(
        self,
        ledgers: Sequence[TickLedger],
        rows: Sequence[int],
        published_us: int,
        otherwise: str,
        record: Callable[[Sequence[str]], None],
    ) -> None:
        self._ledgers = ledgers
        self._rows = rows
        self._published_us = published_us
        self._otherwise = otherwise
        self._record = record
        self._blamed: set[int] = set()
        self._held = 1
        for ledger in ledgers:
            ledger.delivery = self

    def took(self) -> None:
        """One more place holds a frame of the tick."""
        self._held += 1

    def blame(self, rows: Iterable[int]) -> None:
        """A fault has kept these from a client; another may still get them."""
        self._blamed.update(rows)

    def released(self) -> None:
        """A place has sent or lost its frame; called once for the tick itself when it is out."""
        self._held -= 1
        if self._held == 0:
            self._record([
                self._ledgers[0].missed(
                    row, self._published_us, "fault" if row in self._blamed else self._otherwise
                )
                for row in self._rows
                if all(ledger.is_open(row) for ledger in self._ledgers)
            ])  # fmt: skip


def head(feed: str, symbol: str) -> str:
    """The constant start of a contract's lines."""
    return f'{{"contract_id":{json.dumps(f"{feed}:{symbol}", ensure_ascii=False)},"event_time":'


class _Settled(msgspec.Struct):
    contract_id: str
    funding_time: int
    kind: str = "regular"


class TruthLog:
    """The truth files of one simulator process. Buffered: call `flush` at least each second.

    Without `with_updates` there is no line about each update, as suits a simulator that runs for
    days: of all contracts they are some GB a day.
    """

    def __init__(self, data_dir: Path, seed: int, *, with_updates: bool = True) -> None:
        self._with_updates = with_updates
        self._dir = data_dir / "truth"
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            self._lock = _own(self._dir / "simulator.json", seed)
            self._settlements = _Appender(self._dir / "settlements.ndjson")
            self._faults = _Appender(self._dir / "faults.ndjson")
        except OSError as error:
            message = f"cannot write the truth under {self._dir}: {error.strerror}"
            raise UnavailableError(message) from error
        self._feeds: dict[str, _Appender] = {}
        self._settled_heads: dict[str, str] = {}
        """The constant start of each contract's settlements."""
        self._settled_until_us = _newest_settlements(self._settlements.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def updates(self, feed: str, lines: Sequence[str]) -> None:
        """Add the claimed lines of one send."""
        if self._with_updates:
            self._add(feed, lines)

    def missed(self, feed: str, lines: Sequence[str]) -> None:
        """Add the updates of one tick that nobody got."""
        if lines and self._with_updates:
            self._add(f"{feed}.missed", lines)

    def fault(self, record: Mapping[str, Any]) -> None:
        """Add the begin or the end of a fault."""
        self._faults.add((json.dumps(record, ensure_ascii=False) + "\n",))

    def _add(self, name: str, lines: Sequence[str]) -> None:
        appender = self._feeds.get(name)
        if appender is None:
            appender = self._feeds[name] = _Appender(self._dir / f"{name}.ndjson")
        appender.add(lines)

    def settlement(
        self,
        contract_id: str,
        funding_us: int,
        rate: str,
        interval_hours: int,
        *,
        special: bool = False,
    ) -> None:
        """Add a settlement unless an earlier run has. Regular ones ascend within a contract.

        A special one happens on request alone, and so is never one of an earlier run.
        """
        if not special:
            if funding_us <= self._settled_until_us.get(contract_id, 0):
                return
            self._settled_until_us[contract_id] = funding_us
        begun = self._settled_heads.get(contract_id)
        if begun is None:
            name = json.dumps(contract_id, ensure_ascii=False)
            begun = self._settled_heads[contract_id] = f'{{"contract_id":{name},"funding_time":'
        kind = "special" if special else "regular"
        line = f'{begun}{funding_us},"rate":{rate},"interval_hours":{interval_hours},'
        self._settlements.add((f'{line}"kind":"{kind}"}}\n',))

    def flush(self) -> None:
        """Hand everything to the operating system, where it outlives the process."""
        for appender in (self._settlements, self._faults, *self._feeds.values()):
            appender.flush()

    def close(self) -> None:
        """Flush and close all files, and give the directory free."""
        for appender in (self._settlements, self._faults, *self._feeds.values()):
            appender.close()
        self._lock.close()


class _Appender:
    """One append-only file of lines. A line that a killed process left half written is cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        _cut_torn_line(path)
        self._lines: list[str] = []
        self._size = 0

    def add(self, lines: Sequence[str]) -> None:
        self._lines.extend(lines)
        self._size += sum(map(len, lines))
        if self._size > _BUFFER_LIMIT_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._lines:
            return
        rest = memoryview("".join(self._lines).encode())
        self._lines, self._size = [], 0
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        self.flush()
        self._file.close()


def _cut_torn_line(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, 2)
        keep = end
        while keep > 0:
            start = max(0, keep - 4096)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            keep = start if newline < 0 else start + newline + 1
            if newline >= 0:
                break
        if keep < end:
            file.truncate(keep)


def _newest_settlements(path: Path) -> dict[str, int]:
    newest: dict[str, int] = {}
    decoder = msgspec.json.Decoder(_Settled)
    with path.open("rb") as file:
        for line in file:
            try:
                settled = decoder.decode(line)
            except msgspec.DecodeError as error:
                message = f"{path} is damaged ({error}): use another --data-dir"
                raise StateError(message) from error
            if settled.kind == "special":
                continue
            if settled.funding_time > newest.get(settled.contract_id, 0):
                newest[settled.contract_id] = settled.funding_time
    return newest


def _own(path: Path, seed: int) -> FileLock:
    """Lock the directory of `path` for this process, and bind it to this seed, kept in `path`.

    Two writers would repeat settlements, and two seeds in one truth would prove nothing.

    Raises:
        UnavailableError: another simulator writes there.
        ConfigurationError: it holds the truth of another seed.
    """
    try:
        lock = FileLock(path.with_suffix(".lock"))
    except LockedError as error:
        raise UnavailableError(
            f"another simulator writes to {path.parent}: stop it, or use another --data-dir"
        ) from error
    known = json.loads(path.read_text(encoding="utf-8"))["seed"] if path.exists() else seed
    if known != seed:
        lock.close()
        raise ConfigurationError(
            f"{path.parent} holds the truth of seed {known}, not {seed}: "
            "use the same --seed, or another --data-dir"
        )
    write_atomically(path, json.dumps({"seed": seed}) + "\n")
    return lock
