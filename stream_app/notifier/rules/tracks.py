"""The tracks of all rules, and which of them have changed since they were last stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from stream_app.notifier.rules.excursions import Track
from stream_app.notifier.rules.model import Rule

TrackKey = tuple[str, str]
"""Name of the rule, subject."""
MAX_TRACKS = 200_000
"""Beyond it nothing new is followed: a hundred rules over two thousand contracts are within."""


class Tracks:
    """Every track that is not idle. Idle ones are forgotten, and their stored records removed."""

    def __init__(self) -> None:
        self._tracks: dict[TrackKey, Track] = {}
        self._changed: set[TrackKey] = set()
        self.refused = 0
        """How many tracks there was no room for."""

    def __len__(self) -> int:
        return len(self._tracks)

    def restore(self, key: TrackKey, track: Track) -> None:
        """Take a track that was stored."""
        self._tracks[key] = track

    def find(self, rule: Rule, subject: str) -> Track:
        """Return the track of a rule and subject, or a new one, which `keep` may keep."""
        return self._tracks.get((rule.name, subject)) or Track()

    def keep(self, rule: Rule, subject: str, track: Track, now_us: int) -> None:
        """Note that a track has changed."""
        key = (rule.name, subject)
        if key not in self._tracks:
            if track.idle(now_us, rule.cool_down_us):
                return
            if len(self._tracks) >= MAX_TRACKS:
                self.refused += 1
                return
            self._tracks[key] = track
        elif track.idle(now_us, rule.cool_down_us):
            del self._tracks[key]
        self._changed.add(key)

    def of_rule(self, rule: Rule) -> Iterator[tuple[str, Track]]:
        """Yield subject and track of each track of a rule; they may be kept meanwhile."""
        for (name, subject), track in list(self._tracks.items()):
            if name == rule.name:
                yield subject, track

    def forget_idle(self, rules: Iterable[Rule], now_us: int) -> None:
        """Remove tracks of which only a cool-down was left, which is over."""
        cool_down = {rule.name: rule.cool_down_us for rule in rules}
        self._drop(lambda key, track: track.idle(now_us, cool_down[key[0]]))

    def drop_rule(self, name: str) -> None:
        """Forget all tracks of a rule."""
        self._drop(lambda key, _track: key[0] == name)

    def _drop(self, gone: Callable[[TrackKey, Track], bool]) -> None:
        for key in [key for key, track in self._tracks.items() if gone(key, track)]:
            del self._tracks[key]
            self._changed.add(key)

    def take_changes(self) -> dict[TrackKey, Track | None]:
        """Return what has changed since the last call; None: it is no longer kept."""
        changes = {key: self._tracks.get(key) for key in self._changed}
        self._changed.clear()
        return changes
